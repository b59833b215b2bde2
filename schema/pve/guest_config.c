/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/pve/guest_contents.h"
#include "schema/pve/guest_device.h"
#include "schema/pve/guest_idmap.h"
#include "schema/pve/guest_line.h"
#include "schema/pve/guest_nic.h"
#include "schema/pve/guest_raw.h"
#include "schema/pve/guest_setting.h"

#define LENGTH_MAX ((size_t)1024 * 1024) /* what a file in /etc/pve can hold */

/* What is known while the lines are read. */
struct reading {
    struct guest_config *config;
    struct guest_settings settings;
    size_t line_number;
};

const char *guest_kind_name(enum guest_kind kind)
{
    return kind == GUEST_LXC ? "lxc" : "qemu";
}

/* A warning is shown on terminals: it must not bring control characters there. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == '\x7f')
            *text = '?';
}

__attribute__((format(printf, 2, 3))) static void warn(struct reading *reading, const char *format,
                                                       ...)
{
    struct guest_config *config = reading->config;
    struct error what;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what.message, sizeof what.message, format, args);
    va_end(args);
    make_printable(what.message);
    config->warnings =
        mem_resize(config->warnings, config->warning_count + 1, sizeof *config->warnings);
    config->warnings[config->warning_count++] =
        mem_format("line %zu: %s", reading->line_number, what.message);
}

static void add_raw(struct guest_config *config, const struct guest_line *line)
{
    struct property_list list = {config->raw, config->raw_count};
    property_list_add(&list, line->key, line->value);
    config->raw = list.items;
    config->raw_count = list.count;
}

static void take_raw(struct reading *reading, const struct guest_line *line)
{
    switch (raw_key_judge(line->key)) {
    case RAW_KEY_UNKNOWN:
        warn(reading, "unknown key '%s'", line->key);
        return;
    case RAW_KEY_FORBIDDEN:
        warn(reading, "'%s' is made by Proxmox from the rootfs setting", line->key);
        return;
    case RAW_KEY_ENVIRONMENT:
        return;
    case RAW_KEY_OUTDATED:
        warn(reading, "'%s' is an outdated key", line->key);
        break;
    case RAW_KEY_GOOD:
        break;
    }
    if (strcmp(line->key, "lxc.idmap") == 0 && !idmap_line_is_good(line->value))
        warn(reading, "'%s' is no id mapping: Proxmox will not start the guest", line->value);
    add_raw(reading->config, line);
}

/* A container's setting is kept whatever it holds; a virtual machine's only if it is good. */
static void take_setting(struct reading *reading, const struct guest_line *line)
{
    bool keep_bad = reading->config->kind == GUEST_LXC;
    const struct setting_rule *rule = setting_find(reading->config->kind, line->key);
    const char *key = rule && rule->stands_for ? rule->stands_for : line->key;
    const char *value = line->value;
    struct error error;
    bool is_good = rule && setting_check(rule, value, &value, &error) == 0;
    if (rule && !is_good)
        warn(reading, "unable to read '%s': %s", line->key, error.message);
    else if (!rule && keep_bad)
        warn(reading, "unknown setting '%s'", line->key);
    if (is_good || keep_bad)
        settings_add(&reading->settings, key, value);
}

/* False at the end of the live configuration. */
static bool take_line(struct reading *reading, char *text)
{
    struct guest_line line = guest_line_read(reading->config->kind, text);
    switch (line.type) {
    case LINE_SECTION:
        return false;
    case LINE_RAW:
        take_raw(reading, &line);
        break;
    case LINE_SETTING:
        take_setting(reading, &line);
        break;
    case LINE_DELETE:
        warn(reading, "'delete' belongs into the section of pending changes");
        break;
    case LINE_UNKNOWN:
        warn(reading, "unable to read '%s'", text);
        break;
    case LINE_NOTHING:
        break;
    }
    return true;
}

static void take_lines(struct reading *reading, char *text)
{
    for (char *line; (line = strsep(&text, "\n"));) {
        reading->line_number++;
        if (!take_line(reading, line))
            return;
    }
}

int guest_config_parse(enum guest_kind kind, const char *text, size_t length,
                       struct guest_config *ret, struct error *error)
{
    if (length > LENGTH_MAX)
        return fail(error, ERROR_INVALID, "%zu bytes are more than a guest's configuration has",
                    length);
    if (memchr(text, '\0', length))
        return fail(error, ERROR_INVALID, "there is a NUL byte in it");
    *ret = (struct guest_config){.kind = kind};
    cleanup_free char *copy = mem_copy_text_n(text, length);
    struct reading reading = {.config = ret};
    take_lines(&reading, copy);
    settings_finish(&reading.settings);
    guest_contents_fill(ret, &reading.settings);
    settings_free(&reading.settings);
    return 0;
}

void guest_config_free(struct guest_config *config)
{
    struct property_list raw = {config->raw, config->raw_count};
    property_list_free(&raw);
    for (size_t i = 0; i < config->volume_count; i++)
        volume_free(&config->volumes[i]);
    for (size_t i = 0; i < config->nic_count; i++)
        nic_free(&config->nics[i]);
    for (size_t i = 0; i < config->warning_count; i++)
        free(config->warnings[i]);
    free(config->volumes);
    free(config->nics);
    free(config->warnings);
    free(config->name);
    free(config->hookscript);
    free(config->lock);
    free(config->unprivileged_text);
    *config = (struct guest_config){.kind = config->kind};
}

const struct volume *guest_config_volume(const struct guest_config *config, const char *key)
{
    for (size_t i = 0; i < config->volume_count; i++)
        if (strcmp(config->volumes[i].key, key) == 0)
            return &config->volumes[i];
    return NULL;
}
