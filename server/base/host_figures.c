/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/host_figures.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "schema/kernel/host_stat.h"
#include "schema/pve/rrd_dump.h"
#include "server/base/limiter.h"
#include "server/http/reply.h"
#include "store/base/clock.h"
#include "store/files/file.h"

/* How hot the processor is, by the kernel's own sensors. */

#define TEMPERATURE_UNKNOWN INT_MIN

#define ATTRIBUTE_LIMIT 4096 /* a page, as sysfs gives out */
#define COLDEST         (-40000)
#define HOTTEST         150000

#define NAMES_MAX 8

/* A family of sensors: where their values are, and what says beside each whose it is. */
static const struct family {
    const char *values;
    const char *name_file;
    const char *names[NAMES_MAX];
} families[] = {
    {"sys/class/hwmon/*/temp*_input",
     "name",
     {"coretemp", "k10temp", "k8temp", "zenpower", "via_cputemp", "cpu_thermal", "soc_thermal"}},
    {"sys/class/thermal/*/temp",
     "type",
     {"x86_pkg_temp", "cpu-thermal", "cpu_thermal", "cpu0-thermal", "soc-thermal", "soc_thermal"}},
};

/* An attribute without its newline; false where it cannot be read, as with a sensor asleep. */
static bool read_attribute(const char *path, struct buffer *out)
{
    struct error error;
    if (file_read(path, ATTRIBUTE_LIMIT, out, &error) < 0 || out->length == 0)
        return false;
    out->data[strcspn(out->data, "\n")] = '\0';
    return true;
}

static bool is_of_processor(const struct family *family, const char *value_path)
{
    cleanup_buffer struct buffer name = BUFFER_EMPTY;
    const int directory = (int)(strrchr(value_path, '/') - value_path);
    cleanup_free char *path = mem_format("%.*s/%s", directory, value_path, family->name_file);
    if (!read_attribute(path, &name))
        return false;
    for (size_t i = 0; i < NAMES_MAX && family->names[i]; i++) {
        if (strcmp(family->names[i], name.data) == 0)
            return true;
    }
    return false;
}

static int read_value(const char *path)
{
    char *end;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (!read_attribute(path, &text))
        return TEMPERATURE_UNKNOWN;
    errno = 0;
    long value = strtol(text.data, &end, 10);
    if (errno || end == text.data || *end || value <= COLDEST || value >= HOTTEST)
        return TEMPERATURE_UNKNOWN;
    return (int)value;
}

static int hottest_of(const struct family *family, const char *root)
{
    int hottest = TEMPERATURE_UNKNOWN;
    cleanup(globfree) glob_t found = {0};
    cleanup_free char *pattern = mem_format("%s/%s", root, family->values);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return TEMPERATURE_UNKNOWN;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (!is_of_processor(family, found.gl_pathv[i]))
            continue;
        int value = read_value(found.gl_pathv[i]);
        hottest = value > hottest ? value : hottest;
    }
    return hottest;
}

/*
 * The hottest of the processor's sensors below ROOT/sys, in thousandths of a degree Celsius: those
 * of hwmon, else the thermal zones. TEMPERATURE_UNKNOWN where there is none, as in most virtual
 * machines, or none that tells something believable.
 */
static int cpu_temperature(const char *root)
{
    int hottest = TEMPERATURE_UNKNOWN;
    for (size_t i = 0; i < ARRAY_SIZE(families) && hottest == TEMPERATURE_UNKNOWN; i++)
        hottest = hottest_of(&families[i], root);
    return hottest;
}

#define INTERVAL_US     INT64_C(1000000) /* the load of less is noise */
#define STORAGE_WAIT_US INT64_C(500000)
#define PROC_LIMIT      ((size_t)1 << 20)
#define RRD_LIMIT       ((size_t)16 << 20)

struct sample {
    int64_t at_us; /* 0: none */
    struct cpu_times times;
};

struct metrics {
    char *root;
    struct turnstile turnstile; /* to the file that storages are read from */
    pthread_mutex_t lock;       /* of what follows */
    struct sample samples[2];   /* the newest first, INTERVAL_US apart or more */
    struct rrd_storages storages;
};

struct metrics *metrics_new(const char *root)
{
    struct metrics *metrics = mem_new(struct metrics);
    metrics->root = mem_copy_text(root);
    turnstile_init(&metrics->turnstile);
    (void)pthread_mutex_init(&metrics->lock, NULL);
    metrics_sample(metrics);
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    rrd_storages_free(&metrics->storages);
    (void)pthread_mutex_destroy(&metrics->lock);
    turnstile_destroy(&metrics->turnstile);
    free(metrics->root);
    free(metrics);
}

/* A file of /proc; what cannot be read is empty. */
static void read_proc(const struct metrics *metrics, const char *name, struct buffer *out)
{
    struct error error;
    cleanup_free char *path = mem_format("%s/proc/%s", metrics->root, name);
    (void)file_read(path, PROC_LIMIT, out, &error);
}

static bool take_sample(const struct metrics *metrics, struct sample *ret)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    read_proc(metrics, "stat", &text);
    ret->at_us = clock_steady_us();
    return cpu_times_parse(buffer_text(&text), &ret->times);
}

static bool is_old(const struct sample *sample, const struct sample *now)
{
    return sample->at_us > 0 && now->at_us - sample->at_us >= INTERVAL_US;
}

/* Keeps the sample where its time has come, and returns how busy it shows the processors to have
 * been until then. */
static int record(struct metrics *metrics, const struct sample *sample)
{
    int busy = -1;
    (void)pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; busy < 0 && i < ARRAY_SIZE(metrics->samples); i++) {
        if (is_old(&metrics->samples[i], sample))
            busy = cpu_times_busy(&metrics->samples[i].times, &sample->times);
    }
    if (metrics->samples[0].at_us == 0 || is_old(&metrics->samples[0], sample)) {
        metrics->samples[1] = metrics->samples[0];
        metrics->samples[0] = *sample;
    }
    (void)pthread_mutex_unlock(&metrics->lock);
    return busy;
}

void metrics_sample(struct metrics *metrics)
{
    struct sample sample;
    if (take_sample(metrics, &sample))
        (void)record(metrics, &sample);
}

static json_t *known(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

/* Not known where either is not. */
static int64_t difference(int64_t total, int64_t rest)
{
    return total < 0 || rest < 0 || rest > total ? -1 : total - rest;
}

static json_t *describe_load(const struct metrics *metrics)
{
    double load[3];
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    read_proc(metrics, "loadavg", &text);
    if (!load_parse(buffer_text(&text), load))
        return json_pack("[n, n, n]");
    return json_pack("[f, f, f]", load[0], load[1], load[2]);
}

static json_t *describe_memory(const struct memory_figures *memory)
{
    const int64_t used = difference(memory->total, memory->available);
    return json_pack("{s:o, s:o, s:o}",                   /**/
                     "total_bytes", known(memory->total), /**/
                     "used_bytes", known(used),           /**/
                     "available_bytes", known(memory->available));
}

static json_t *describe_swap(const struct memory_figures *memory)
{
    const int64_t used = difference(memory->swap_total, memory->swap_free);
    return json_pack("{s:o, s:o}", "total_bytes", known(memory->swap_total), "used_bytes",
                     known(used));
}

static void describe_memories(const struct metrics *metrics, json_t *object)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    read_proc(metrics, "meminfo", &text);
    const struct memory_figures memory = memory_parse(buffer_text(&text));
    json_set(object, "memory", describe_memory(&memory));
    json_set(object, "swap", describe_swap(&memory));
}

static json_t *describe_uptime(const struct metrics *metrics)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    read_proc(metrics, "uptime", &text);
    return known(uptime_parse(buffer_text(&text)));
}

static json_t *describe_temperature(const struct metrics *metrics)
{
    int value = cpu_temperature(metrics->root);
    if (value == TEMPERATURE_UNKNOWN)
        return json_null();
    const int tenths = (value + (value < 0 ? -50 : 50)) / 100;
    return json_real(tenths / 10.0);
}

static void describe_processors(struct metrics *metrics, json_t *object)
{
    struct sample sample = {0};
    int busy = take_sample(metrics, &sample) ? record(metrics, &sample) : -1;
    json_set(object, "cpu_percent", busy < 0 ? json_null() : json_real(busy / 10.0));
    json_set(object, "cpu_count", known(sample.times.count > 0 ? sample.times.count : -1));
}

/* A file that is gone means none; one that cannot be read leaves what was known. */
static void read_storages(struct metrics *metrics, const char *path, const char *node)
{
    struct error error = {.kind = ERROR_NONE};
    struct rrd_storages storages;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read(path, RRD_LIMIT, &text, &error) < 0 && error.kind != ERROR_MISSING)
        return;
    rrd_dump_storages(buffer_text(&text), text.length, node, &storages);
    (void)pthread_mutex_lock(&metrics->lock);
    struct rrd_storages old = metrics->storages;
    metrics->storages = storages;
    (void)pthread_mutex_unlock(&metrics->lock);
    rrd_storages_free(&old);
}

/* /etc/pve is a process's file system, which can hang: one request at a time finds out. */
static void refresh_storages(struct metrics *metrics, const struct config *config, const char *node)
{
    struct error error;
    cleanup_free char *path = mem_format("%s/.rrd", config->paths.pve);
    if (turnstile_enter(&metrics->turnstile, clock_steady_us() + STORAGE_WAIT_US, &error) < 0)
        return;
    read_storages(metrics, path, node);
    turnstile_leave(&metrics->turnstile);
}

static json_t *describe_storages(struct metrics *metrics)
{
    json_t *list = json_array();
    (void)pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->storages.count; i++) {
        const struct rrd_storage *storage = &metrics->storages.items[i];
        json_append(list, json_pack("{s:s, s:o, s:o, s:o}",                     /**/
                                    "storage", storage->storage,                /**/
                                    "total_bytes", known(storage->total_bytes), /**/
                                    "used_bytes", known(storage->used_bytes),   /**/
                                    "at", api_time(storage->at * 1000)));
    }
    (void)pthread_mutex_unlock(&metrics->lock);
    return list;
}

json_t *metrics_describe(struct metrics *metrics, const struct config *config, const char *node)
{
    json_t *object = json_object();
    describe_processors(metrics, object);
    json_set(object, "load", describe_load(metrics));
    describe_memories(metrics, object);
    json_set(object, "uptime_seconds", describe_uptime(metrics));
    json_set(object, "cpu_temp_c", describe_temperature(metrics));
    refresh_storages(metrics, config, node);
    json_set(object, "storages", describe_storages(metrics));
    return object;
}
