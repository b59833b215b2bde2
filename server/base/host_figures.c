/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of the host itself. host_figures_describe puts them together for GET /host/metrics
 * and for the report to the hub.
 *
 * The processor's load is the difference between two samples: the main thread takes one every ten
 * seconds, and each caller of host_figures_describe takes another and compares the two. All other
 * figures are read at each call. Proxmox's figures of storages are in a file of /etc/pve, which can
 * hang: only one thread at a time reads that file; the others use what was read last.
 */
#include "server/base/host_figures.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/host/figures.h"
#include "schema/json/json.h"
#include "server/base/limiter.h"
#include "server/base/lock.h"
#include "store/base/clock.h"
#include "store/files/file.h"

#define INTERVAL_US     INT64_C(1000000) /* over a shorter time the load is noise */
#define STORAGE_WAIT_US INT64_C(500000)
#define PROC_LIMIT      ((size_t)1 << 20)
#define RRD_LIMIT       ((size_t)16 << 20)

#define TEMPERATURE_UNKNOWN INT_MIN
#define ATTRIBUTE_LIMIT     4096 /* one page, the most that sysfs returns */
/* Values outside these bounds, in thousandths of a degree Celsius, are not believed. */
#define COLDEST   (-40000)
#define HOTTEST   150000
#define NAMES_MAX 8

/* --- the processor's temperature, from the kernel's sensors --- */

/* A family of sensors: the files with their values, and the name of the file beside each value
 * that says what the sensor measures. */
static const struct sensor_family {
    const char *values;
    const char *name_file;
    const char *names[NAMES_MAX];
} sensor_families[] = {
    {"sys/class/hwmon/*/temp*_input",
     "name",
     {"coretemp", "k10temp", "k8temp", "zenpower", "via_cputemp", "cpu_thermal", "soc_thermal"}},
    {"sys/class/thermal/*/temp",
     "type",
     {"x86_pkg_temp", "cpu-thermal", "cpu_thermal", "cpu0-thermal", "soc-thermal", "soc_thermal"}},
};

/* Reads an attribute without its newline. False if it cannot be read, for example while the
 * device sleeps. */
static bool sensor_read_attribute(const char *path, struct buffer *out)
{
    struct error error;
    if (file_read(path, ATTRIBUTE_LIMIT, out, &error) < 0 || out->length == 0)
        return false;
    out->data[strcspn(out->data, "\n")] = '\0';
    return true;
}

static bool sensor_is_of_processor(const struct sensor_family *family, const char *value_path)
{
    cleanup_buffer struct buffer name = BUFFER_EMPTY;
    const int directory = (int)(strrchr(value_path, '/') - value_path);
    cleanup_free char *path = mem_format("%.*s/%s", directory, value_path, family->name_file);
    if (!sensor_read_attribute(path, &name))
        return false;
    for (size_t i = 0; i < NAMES_MAX && family->names[i]; i++) {
        if (strcmp(family->names[i], name.data) == 0)
            return true;
    }
    return false;
}

static int sensor_read_value(const char *path)
{
    char *end;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (!sensor_read_attribute(path, &text))
        return TEMPERATURE_UNKNOWN;
    errno = 0;
    long value = strtol(text.data, &end, 10);
    if (errno || end == text.data || *end || value <= COLDEST || value >= HOTTEST)
        return TEMPERATURE_UNKNOWN;
    return (int)value;
}

static int sensors_hottest(const struct sensor_family *family, const char *root)
{
    int hottest = TEMPERATURE_UNKNOWN;
    cleanup(globfree) glob_t found = {0};
    cleanup_free char *pattern = mem_format("%s/%s", root, family->values);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return TEMPERATURE_UNKNOWN;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (!sensor_is_of_processor(family, found.gl_pathv[i]))
            continue;
        int value = sensor_read_value(found.gl_pathv[i]);
        hottest = value > hottest ? value : hottest;
    }
    return hottest;
}

/*
 * Returns the value of the hottest of the processor's sensors below ROOT/sys, in thousandths of a
 * degree Celsius. The sensors of hwmon are preferred to the thermal zones. Returns
 * TEMPERATURE_UNKNOWN if there is no sensor, as in most virtual machines, or none with a credible
 * value.
 */
static int figures_cpu_temperature(const char *root)
{
    int hottest = TEMPERATURE_UNKNOWN;
    for (size_t i = 0; i < ARRAY_SIZE(sensor_families) && hottest == TEMPERATURE_UNKNOWN; i++)
        hottest = sensors_hottest(&sensor_families[i], root);
    return hottest;
}

/* --- the figures --- */

struct cpu_sample {
    int64_t at_us; /* 0: no sample */
    struct cpu_times times;
};

struct host_figures {
    char *root;
    struct fair_lock storages_lock; /* held by the thread that reads the file about storages */
    atomic_uint storages_reads;     /* how many reads of it have begun */
    pthread_mutex_t lock;           /* guards the members below */
    struct cpu_sample samples[2];   /* the newest first, at least INTERVAL_US apart */
    struct rrd_storages storages;
};

struct host_figures *host_figures_new(const char *root)
{
    struct host_figures *figures = mem_new(struct host_figures);
    figures->root = mem_copy_text(root);
    fair_lock_init(&figures->storages_lock);
    (void)pthread_mutex_init(&figures->lock, NULL);
    host_figures_sample(figures);
    return figures;
}

void host_figures_free(struct host_figures *figures)
{
    if (!figures)
        return;
    rrd_storages_free(&figures->storages);
    (void)pthread_mutex_destroy(&figures->lock);
    fair_lock_destroy(&figures->storages_lock);
    free(figures->root);
    free(figures);
}

/* Reads a file of /proc. If that fails, *out stays empty. */
static void figures_read_proc(const struct host_figures *figures, const char *name,
                              struct buffer *out)
{
    struct error error;
    cleanup_free char *path = mem_format("%s/proc/%s", figures->root, name);
    (void)file_read(path, PROC_LIMIT, out, &error);
}

static bool cpu_sample_take(const struct host_figures *figures, struct cpu_sample *ret)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    figures_read_proc(figures, "stat", &text);
    ret->at_us = clock_steady_us();
    return cpu_times_parse(buffer_text(&text), &ret->times);
}

static bool cpu_sample_is_old(const struct cpu_sample *sample, const struct cpu_sample *now)
{
    return sample->at_us > 0 && now->at_us - sample->at_us >= INTERVAL_US;
}

/* Keeps the sample if the newest kept one is at least INTERVAL_US older. Returns how busy the
 * processors have been since an earlier sample, in thousandths; -1 if that is not known. */
static int cpu_sample_record(struct host_figures *figures, const struct cpu_sample *sample)
{
    int busy = -1;
    lock_scope(&figures->lock);
    for (size_t i = 0; busy < 0 && i < ARRAY_SIZE(figures->samples); i++) {
        if (cpu_sample_is_old(&figures->samples[i], sample))
            busy = cpu_times_busy(&figures->samples[i].times, &sample->times);
    }
    if (figures->samples[0].at_us == 0 || cpu_sample_is_old(&figures->samples[0], sample)) {
        figures->samples[1] = figures->samples[0];
        figures->samples[0] = *sample;
    }
    return busy;
}

void host_figures_sample(struct host_figures *figures)
{
    struct cpu_sample sample;
    if (cpu_sample_take(figures, &sample))
        (void)cpu_sample_record(figures, &sample);
}

/* Returns total - rest; -1 (not known) if either is not known or rest is the larger. */
static int64_t figures_difference(int64_t total, int64_t rest)
{
    return total < 0 || rest < 0 || rest > total ? -1 : total - rest;
}

static json_t *figures_describe_load(const struct host_figures *figures)
{
    double load[3];
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    figures_read_proc(figures, "loadavg", &text);
    if (!loadavg_parse(buffer_text(&text), load))
        return json_pack("[n, n, n]");
    return json_pack("[f, f, f]", load[0], load[1], load[2]);
}

static void figures_describe_memory(const struct host_figures *figures, json_t *object)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    figures_read_proc(figures, "meminfo", &text);
    const struct memory_figures memory = meminfo_parse(buffer_text(&text));
    const int64_t used = figures_difference(memory.total, memory.available);
    const int64_t swap_used = figures_difference(memory.swap_total, memory.swap_free);
    json_set(object, "memory",
             json_pack("{s:o, s:o, s:o}",                                 /**/
                       "total_bytes", json_integer_or_null(memory.total), /**/
                       "used_bytes", json_integer_or_null(used),          /**/
                       "available_bytes", json_integer_or_null(memory.available)));
    json_set(object, "swap",
             json_pack("{s:o, s:o}",                                           /**/
                       "total_bytes", json_integer_or_null(memory.swap_total), /**/
                       "used_bytes", json_integer_or_null(swap_used)));
}

static json_t *figures_describe_uptime(const struct host_figures *figures)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    figures_read_proc(figures, "uptime", &text);
    return json_integer_or_null(uptime_parse(buffer_text(&text)));
}

static json_t *figures_describe_temperature(const struct host_figures *figures)
{
    int value = figures_cpu_temperature(figures->root);
    if (value == TEMPERATURE_UNKNOWN)
        return json_null();
    const int tenths = (value + (value < 0 ? -50 : 50)) / 100;
    return json_real(tenths / 10.0);
}

static void figures_describe_processors(struct host_figures *figures, json_t *object)
{
    struct cpu_sample sample = {0};
    int busy = cpu_sample_take(figures, &sample) ? cpu_sample_record(figures, &sample) : -1;
    json_set(object, "cpu_percent", busy < 0 ? json_null() : json_real(busy / 10.0));
    json_set(object, "cpu_count",
             json_integer_or_null(sample.times.count > 0 ? sample.times.count : -1));
}

/* If the file does not exist, there are no storages; if it cannot be read, the storages known so
 * far stay. */
static void figures_read_storages(struct host_figures *figures, const char *path, const char *node)
{
    struct error error = {.kind = ERROR_NONE};
    struct rrd_storages storages;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read(path, RRD_LIMIT, &text, &error) < 0 && error.kind != ERROR_MISSING)
        return;
    rrd_dump_storages(buffer_text(&text), text.length, node, &storages);
    (void)pthread_mutex_lock(&figures->lock);
    struct rrd_storages old = figures->storages;
    figures->storages = storages;
    (void)pthread_mutex_unlock(&figures->lock);
    rrd_storages_free(&old);
}

static void figures_refresh_storages(struct host_figures *figures, const struct config *config,
                                     const char *node)
{
    struct error error;
    const unsigned came = atomic_load(&figures->storages_reads);
    cleanup_free char *path = mem_format("%s/.rrd", config->paths.pve);
    if (fair_lock_acquire(&figures->storages_lock, 0, config->limits.threads,
                          clock_steady_us() + STORAGE_WAIT_US, &error) < 0)
        return;
    /* A read that began after this thread came serves it as well as one of its own. */
    if (atomic_load(&figures->storages_reads) == came) {
        atomic_fetch_add(&figures->storages_reads, 1);
        figures_read_storages(figures, path, node);
    }
    fair_lock_release(&figures->storages_lock);
}

static json_t *figures_describe_storages(struct host_figures *figures)
{
    json_t *list = json_array();
    lock_scope(&figures->lock);
    for (size_t i = 0; i < figures->storages.count; i++) {
        const struct rrd_storage *storage = &figures->storages.items[i];
        json_append(list, json_pack("{s:s, s:o, s:o, s:o}",                                    /**/
                                    "storage", storage->storage,                               /**/
                                    "total_bytes", json_integer_or_null(storage->total_bytes), /**/
                                    "used_bytes", json_integer_or_null(storage->used_bytes),   /**/
                                    "at", json_time(storage->at * 1000)));
    }
    return list;
}

json_t *host_figures_describe(struct host_figures *figures, const struct config *config,
                              const char *node)
{
    json_t *object = json_object();
    figures_describe_processors(figures, object);
    json_set(object, "load", figures_describe_load(figures));
    figures_describe_memory(figures, object);
    json_set(object, "uptime_seconds", figures_describe_uptime(figures));
    json_set(object, "cpu_temp_c", figures_describe_temperature(figures));
    figures_refresh_storages(figures, config, node);
    json_set(object, "storages", figures_describe_storages(figures));
    return object;
}
