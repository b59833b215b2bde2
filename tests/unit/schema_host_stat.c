/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/figures.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

static void test_processors(void **state)
{
    (void)state;
    struct cpu_times times;
    assert_true(cpu_times_parse("cpu  10132153 290696 3084719 46828483 16683 0 25195 7 175628 0\n"
                                "cpu0 1393280 32966 572056 13343292 6130 0 17875 0 23933 0\n"
                                "cpu1 1 2 3 4 5 6 7 8 9 10\n"
                                "intr 8688370 9 0\nctxt 1\ncpufreq 1\nbtime 1\n",
                                &times));
    assert_int_equal(times.count, 2);
    static const uint64_t ticks[CPU_TICKS] = {10132153, 290696, 3084719, 46828483,
                                              16683,    0,      25195,   7};
    assert_memory_equal(times.ticks, ticks, sizeof ticks);
}

static void test_an_old_kernel_tells_less(void **state)
{
    (void)state;
    struct cpu_times times;
    assert_true(cpu_times_parse("cpu 1 2 3 4\ncpu0 1 2 3 4", &times));
    static const uint64_t ticks[CPU_TICKS] = {1, 2, 3, 4};
    assert_memory_equal(times.ticks, ticks, sizeof ticks);
}

static void test_what_tells_no_times(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "cpu",
        "cpu ",
        "cpu  1 2 3\ncpu0 1 2 3\n",
        "cpu  1 2 3 4\n",
        "cpu  1 2 x 4\ncpu0 1 2 3 4\n",
        "cpu  1 2 -3 4\ncpu0 1 2 3 4\n",
        "cpu  1 2 99999999999999999999 4\ncpu0 1 2 3 4\n",
        "cpu0 1 2 3 4\n",
        "intr 1\ncpu  1 2 3 4\ncpu0 1 2 3 4\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct cpu_times times = {.count = -7};
        if (cpu_times_parse(texts[i], &times))
            fail_test("taken for times: %s", texts[i]);
        assert_int_equal(times.count, -7);
    }
}

static void test_busy_in_between(void **state)
{
    (void)state;
    static const struct {
        struct cpu_times from, to;
        int busy;
    } cases[] = {
        {{{0}, 1}, {{0}, 1}, -1},
        {{{5, 5, 5, 5}, 1}, {{5, 5, 5, 5}, 1}, -1},
        {{{100, 0, 50, 1000, 10}, 1}, {{125, 0, 75, 1100, 60}, 1}, 250},
        {{{0}, 1}, {{0, 0, 0, 100}, 1}, 0},
        {{{0}, 1}, {{1, 1, 1, 0, 0, 1, 1, 1}, 1}, 1000},
        {{{0}, 1}, {{1, 0, 0, 2}, 1}, 333},
        {{{0}, 1}, {{2, 0, 0, 1}, 1}, 667},
        {{{10, 0, 0, 10, 10}, 1}, {{20, 0, 0, 20, 5}, 1}, 500},
        {{{9, 9, 9, 9, 9, 9, 9, 9}, 1}, {{1, 1, 1, 1, 1, 1, 1, 1}, 1}, -1},
        {{{0}, 1}, {{UINT64_MAX, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX}, 1}, 500},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(cpu_times_busy(&cases[i].from, &cases[i].to), cases[i].busy);
}

static void test_load(void **state)
{
    (void)state;
    double load[3];
    assert_true(loadavg_parse("0.52 10.00 127.59 3/467 12345\n", load));
    assert_true(load[0] == 0.52 && load[1] == 10.0 && load[2] == 127.59);
    static const char *const texts[] = {
        "",
        "0.52",
        "0.52 0.58",
        "0.52 0.58 0.59",
        "0.52 x 0.59 1/2 3",
        "-1 0.58 0.59 1/2 3",
        "nan inf 0.1 ",
        "1e3 1 1 ",
        "0.5.2 1 1 ",
        ". 1 1 ",
        "99999999 1 1 ",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        double kept[3] = {7, 7, 7};
        if (loadavg_parse(texts[i], kept))
            fail_test("taken for a load: %s", texts[i]);
        assert_true(kept[0] == 7 && kept[1] == 7 && kept[2] == 7);
    }
}

static void test_memory(void **state)
{
    (void)state;
    struct memory_figures memory = meminfo_parse("MemTotal:       16318036 kB\n"
                                                 "MemFree:          563920 kB\n"
                                                 "MemAvailable:    8316416 kB\n"
                                                 "SwapCached:            1 kB\n"
                                                 "SwapTotal:       8388604 kB\n"
                                                 "SwapFree:        8388600 kB\n"
                                                 "HugePages_Total:       0\n");
    assert_int_equal(memory.total, INT64_C(16318036) * 1024);
    assert_int_equal(memory.available, INT64_C(8316416) * 1024);
    assert_int_equal(memory.swap_total, INT64_C(8388604) * 1024);
    assert_int_equal(memory.swap_free, INT64_C(8388600) * 1024);
}

static void test_memory_that_is_not_known(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "MemTotal:",
        "MemTotal: x kB\n",
        "MemTotal: 1\n",
        "MemTotal: 1 MB\n",
        "MemTotal 1 kB\n",
        "MemTotals: 1 kB\n",
        "XMemTotal: 1 kB\n",
        "MemTotal: -1 kB\n",
        "MemTotal: 9007199254740993 kB\n",
        "MemTotal: 99999999999999999999999 kB\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct memory_figures memory = meminfo_parse(texts[i]);
        if (memory.total != -1 || memory.available != -1 || memory.swap_free != -1)
            fail_test("taken for memory: %s", texts[i]);
    }
}

static void test_uptime(void **state)
{
    (void)state;
    assert_int_equal(uptime_parse("350735.47 234388.90\n"), 350735);
    assert_int_equal(uptime_parse("0.00 0.00\n"), 0);
    assert_int_equal(uptime_parse(""), -1);
    assert_int_equal(uptime_parse("x"), -1);
    assert_int_equal(uptime_parse("-1.0 1"), -1);
    assert_int_equal(uptime_parse("12"), -1);
    assert_int_equal(uptime_parse("9999999999999999999.1 1"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processors),
        cmocka_unit_test(test_an_old_kernel_tells_less),
        cmocka_unit_test(test_what_tells_no_times),
        cmocka_unit_test(test_busy_in_between),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_that_is_not_known),
        cmocka_unit_test(test_uptime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
