/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/cpu_temperature.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

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

int cpu_temperature(const char *root)
{
    int hottest = TEMPERATURE_UNKNOWN;
    for (size_t i = 0; i < ARRAY_SIZE(families) && hottest == TEMPERATURE_UNKNOWN; i++)
        hottest = hottest_of(&families[i], root);
    return hottest;
}
