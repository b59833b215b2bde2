/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/host_figures.h"

#include <pthread.h>

#include "schema/json/json.h"
#include "tests/unit/scratch.h"
#include "tests/unit/test_clock.h"

#define STORAGE_KIND "pve-storage-9.0/pve1/"

static void figures_drop(struct host_figures **figures)
{
    host_figures_free(*figures);
}

static struct config config = {.paths = {.pve = scratch}};

static void write_processors(const char *ticks)
{
    shell("mkdir -p proc && printf 'cpu  %s\\ncpu0 1 1 1 1\\ncpu1 1 1 1 1\\n' >proc/stat", ticks);
}

static void write_proc(const char *name, const char *text)
{
    shell("mkdir -p proc && printf '%s' >proc/%s", text, name);
}

/* Writes a value below sys/class, and the sensor's name beside it. */
static void write_sensor(const char *owner, const char *path, const char *value)
{
    const char *name_file = strncmp(path, "thermal/", 8) == 0 ? "type" : "name";
    shell("mkdir -p $(dirname sys/class/%s) && echo '%s' >sys/class/%s", path, value, path);
    shell("echo '%s' >$(dirname sys/class/%s)/%s", owner, path, name_file);
}

static json_t *describe(struct host_figures *figures)
{
    return host_figures_describe(figures, &config, "pve1");
}

static void assert_member(struct host_figures *figures, const char *key, const char *expected)
{
    cleanup_json json_t *object = describe(figures);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    const json_t *member = json_object_get(object, key);
    assert_non_null(member);
    json_write(member, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15), &text);
    assert_string_equal(buffer_text(&text), expected);
}

static void assert_now(const char *key, const char *expected)
{
    cleanup(figures_drop) struct host_figures *figures = host_figures_new(scratch);
    assert_member(figures, key, expected);
}

static void test_nothing_is_known(void **state)
{
    (void)state;
    static const char *const keys[] = {"cpu_percent", "cpu_count", "uptime_seconds", "cpu_temp_c"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_now(keys[i], "null");
    assert_now("load", "[null,null,null]");
    assert_now("memory", "{\"total_bytes\":null,\"used_bytes\":null,\"available_bytes\":null}");
    assert_now("swap", "{\"total_bytes\":null,\"used_bytes\":null}");
    assert_now("storages", "[]");
}

static void test_figures_of_proc(void **state)
{
    (void)state;
    write_processors("1 2 3 4");
    write_proc("loadavg", "0.52 1.10 12.30 1/2 3\\n");
    write_proc("uptime", "12.90 3.00\\n");
    write_proc("meminfo",
               "MemTotal: 100 kB\\nMemAvailable: 60 kB\\nSwapTotal: 9 kB\\nSwapFree: 9 kB\\n");
    assert_now("cpu_count", "2");
    assert_now("load", "[0.52,1.1,12.3]");
    assert_now("uptime_seconds", "12");
    assert_now("memory", "{\"total_bytes\":102400,\"used_bytes\":40960,\"available_bytes\":61440}");
    assert_now("swap", "{\"total_bytes\":9216,\"used_bytes\":0}");
}

static void test_memory_in_contradiction(void **state)
{
    (void)state;
    write_proc("meminfo", "MemTotal: 1 kB\\nMemAvailable: 2 kB\\nSwapFree: 9 kB\\n");
    assert_now("memory", "{\"total_bytes\":1024,\"used_bytes\":null,\"available_bytes\":2048}");
    assert_now("swap", "{\"total_bytes\":null,\"used_bytes\":null}");
}

static void wait_for_interval(void)
{
    clock_skip_ms(1020);
}

static void test_load_of_an_interval(void **state)
{
    (void)state;
    clock_stand();
    write_processors("0 0 0 0");
    cleanup(figures_drop) struct host_figures *figures = host_figures_new(scratch);
    assert_member(figures, "cpu_percent", "null"); /* no second has passed */
    wait_for_interval();
    write_processors("123 0 0 877");
    assert_member(figures, "cpu_percent", "12.3");
    /* Less than a second has passed, but the first sample can still be compared. */
    write_processors("500 0 0 1500");
    assert_member(figures, "cpu_percent", "25.0");
    wait_for_interval();
    write_processors("600 0 0 1500");
    host_figures_sample(figures);
    write_processors("623 0 0 2377");
    assert_member(figures, "cpu_percent", "25.0"); /* since the sample before the last */
    wait_for_interval();
    write_processors("600 0 0 2500");
    assert_member(figures, "cpu_percent", "0.0"); /* since the last */
    shell("rm proc/stat");
    assert_member(figures, "cpu_percent", "null");
}

static void test_hottest_processor(void **state)
{
    (void)state;
    write_sensor("nvme", "hwmon/hwmon0/temp1_input", "90000");
    assert_now("cpu_temp_c", "null");
    write_sensor("acpitz", "thermal/thermal_zone0/temp", "91000");
    assert_now("cpu_temp_c", "null");
    write_sensor("x86_pkg_temp", "thermal/thermal_zone1/temp", "40449");
    assert_now("cpu_temp_c", "40.4");
    write_sensor("coretemp", "hwmon/hwmon1/temp1_input", "45950");
    assert_now("cpu_temp_c", "46.0");
    write_sensor("coretemp", "hwmon/hwmon1/temp3_input", "47000");
    write_sensor("coretemp", "hwmon/hwmon1/temp3_max", "100000");
    write_sensor("k10temp", "hwmon/hwmon2/temp1_input", "46000");
    assert_now("cpu_temp_c", "47.0");
    write_sensor("cpu_thermal", "hwmon/hwmon3/temp1_input", "-5120");
    assert_now("cpu_temp_c", "47.0");
}

static void test_temperature_below_zero(void **state)
{
    (void)state;
    write_sensor("cpu-thermal", "thermal/thermal_zone0/temp", "-5160");
    assert_now("cpu_temp_c", "-5.2");
}

static void test_wild_temperatures(void **state)
{
    (void)state;
    static const char *const values[] = {
        "-40000", "150000", "x", "", "45000x", "99999999999999999999", "-99999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        write_sensor("coretemp", "hwmon/hwmon0/temp1_input", values[i]);
        assert_now("cpu_temp_c", "null");
    }
    shell("rm sys/class/hwmon/hwmon0/name");
    assert_now("cpu_temp_c", "null");
    write_sensor("x86_pkg_temp", "thermal/thermal_zone0/temp", "149999");
    assert_now("cpu_temp_c", "150.0");
}

static void write_rrd(const char *text)
{
    shell("printf '%s' >.rrd", text);
}

static void test_storages(void **state)
{
    (void)state;
    write_rrd(STORAGE_KIND "usb:1795428003:200:U\\n" STORAGE_KIND "local:1795428000:100:40\\n"
                           "pve2-storage/pve2/local:1795428003:1:1\\n\\0");
    assert_now("storages", "[{\"storage\":\"local\",\"total_bytes\":100,\"used_bytes\":40,"
                           "\"at\":\"2026-11-23T10:00:00Z\"},"
                           "{\"storage\":\"usb\",\"total_bytes\":200,\"used_bytes\":null,"
                           "\"at\":\"2026-11-23T10:00:03Z\"}]");
}

static void test_storages_that_cannot_be_read_stay(void **state)
{
    (void)state;
    static const char expected[] = "[{\"storage\":\"a\",\"total_bytes\":2,\"used_bytes\":1,"
                                   "\"at\":\"1970-01-01T00:00:01Z\"}]";
    cleanup(figures_drop) struct host_figures *figures = host_figures_new(scratch);
    write_rrd(STORAGE_KIND "a:1:2:1\\n");
    assert_member(figures, "storages", expected);
    shell("rm .rrd && mkdir .rrd");
    assert_member(figures, "storages", expected);
    shell("rmdir .rrd && truncate -s 17M .rrd");
    assert_member(figures, "storages", expected);
    shell("rm .rrd && mkfifo .rrd");
    assert_member(figures, "storages", expected);
    shell("rm .rrd");
    assert_member(figures, "storages", "[]");
}

static void *describe_often(void *figures)
{
    for (int i = 0; i < 20; i++)
        json_decref(describe(figures));
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    pthread_t threads[8];
    write_processors("1 2 3 4");
    write_rrd(STORAGE_KIND "a:1:2:1\\n");
    cleanup(figures_drop) struct host_figures *figures = host_figures_new(scratch);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, describe_often, figures), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_member(figures, "cpu_count", "2");
}

static void test_this_very_machine(void **state)
{
    (void)state;
    cleanup(figures_drop) struct host_figures *figures = host_figures_new("");
    cleanup_json json_t *object = describe(figures);
    assert_true(json_integer_value(json_object_get(object, "cpu_count")) > 0);
    assert_true(json_integer_value(json_object_get(object, "uptime_seconds")) > 0);
    assert_true(json_integer_value(
                    json_object_get(json_object_get(object, "memory"), "total_bytes")) > 1 << 20);
}

#define each(test) cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

int main(void)
{
    host_figures_free(NULL);
    const struct CMUnitTest tests[] = {
        each(test_nothing_is_known),
        each(test_figures_of_proc),
        each(test_memory_in_contradiction),
        each(test_load_of_an_interval),
        each(test_hottest_processor),
        each(test_temperature_below_zero),
        each(test_wild_temperatures),
        each(test_storages),
        each(test_storages_that_cannot_be_read_stay),
        each(test_many_threads),
        each(test_this_very_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
