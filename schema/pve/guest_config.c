/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/pve/guest_setting.h"
#include "schema/pve/lxc_line.h"

/* --- which ids on the host the guest's root has --- */

/* Where Proxmox starts the ids of every unprivileged container without lxc.idmap lines. */
#define UNPRIVILEGED_ROOT 100000

enum idmap_field { FIELD_CONTAINER, FIELD_HOST, FIELD_LENGTH, FIELD_COUNT };

/* A parsed lxc.idmap line. fields point to the three numbers in the line's text. */
struct idmap_line {
    char type;
    const char *fields[FIELD_COUNT];
};

static bool idmap_line_parse(const char *value, struct idmap_line *ret)
{
    ret->type = value[0];
    if (value[0] != IDMAP_UID && value[0] != IDMAP_GID)
        return false;
    value++;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        size_t blanks = strspn(value, SPACES);
        size_t digits = strspn(value + blanks, DIGITS);
        if (blanks == 0 || digits == 0)
            return false;
        ret->fields[i] = value + blanks;
        value += blanks + digits;
    }
    return !value[strspn(value, SPACES)];
}

static bool digits_are_zero(const char *digits)
{
    return strspn(digits, "0") == strspn(digits, DIGITS);
}

static uint32_t digits_to_id(const char *digits)
{
    unsigned long long id = strtoull(digits, NULL, 10);
    return id < UINT32_MAX ? (uint32_t)id : UINT32_MAX;
}

static bool is_idmap(const struct property *raw)
{
    return strcmp(raw->key, "lxc.idmap") == 0;
}

static bool idmap_line_is_good(const char *value)
{
    struct idmap_line line;
    return idmap_line_parse(value, &line);
}

bool guest_config_idmap_is_good(const struct guest_config *config)
{
    for (size_t i = 0; i < config->raw_count; i++)
        if (is_idmap(&config->raw[i]) && !idmap_line_is_good(config->raw[i].value))
            return false;
    return true;
}

static bool has_idmap(const struct guest_config *config)
{
    for (size_t i = 0; i < config->raw_count; i++)
        if (is_idmap(&config->raw[i]))
            return true;
    return false;
}

const char *guest_config_root_id_text(const struct guest_config *config, enum idmap_type type,
                                      size_t *ret_length)
{
    const char *host = NULL;
    for (size_t i = 0; i < config->raw_count; i++) {
        const struct property *raw = &config->raw[i];
        struct idmap_line line;
        if (is_idmap(raw) && idmap_line_parse(raw->value, &line) && line.type == (char)type &&
            digits_are_zero(line.fields[FIELD_CONTAINER]))
            host = line.fields[FIELD_HOST];
    }
    if (host)
        *ret_length = strspn(host, DIGITS);
    return host;
}

static uint32_t root_id(const struct guest_config *config, enum idmap_type type, bool *ret_mapped)
{
    size_t length;
    const char *host = guest_config_root_id_text(config, type, &length);
    *ret_mapped = host != NULL;
    if (host)
        return digits_to_id(host);
    return config->unprivileged == 1 && !has_idmap(config) ? UNPRIVILEGED_ROOT : 0;
}

static void idmap_resolve_root(struct guest_config *config)
{
    config->root_uid = root_id(config, IDMAP_UID, &config->root_uid_mapped);
    config->root_gid = root_id(config, IDMAP_GID, &config->root_gid_mapped);
}

/* Returns the DISK id of the entry "TYPE:0:DISK:LENGTH" in a mount point's idmap; NULL if no entry
 * maps root. */
static const char *disk_id_text(const char *idmap, enum idmap_type type)
{
    for (const char *entry = idmap; entry; entry = strchr(entry, ';')) {
        entry += *entry == ';';
        if (entry[0] == (char)type && digits_are_zero(entry + 2))
            return strchr(entry + 2, ':') + 1;
    }
    return NULL;
}

static uint32_t disk_id(const char *idmap, enum idmap_type type, uint32_t host_id)
{
    if (strcmp(idmap, "passthrough") == 0)
        return 0;
    const char *disk = disk_id_text(idmap, type);
    return disk ? digits_to_id(disk) : host_id;
}

void guest_config_disk_ids(const struct guest_config *config, const char *idmap, uint32_t *ret_uid,
                           uint32_t *ret_gid)
{
    /* A mount point's idmap has no effect for a container without a user namespace, nor for an id
     * that the container's own mapping leaves out. */
    bool is_default = config->unprivileged == 1 && !has_idmap(config);
    bool is_good = idmap && format_mount_idmap(idmap);
    bool uid_maps = is_good && (is_default || config->root_uid_mapped);
    bool gid_maps = is_good && (is_default || config->root_gid_mapped);
    *ret_uid = uid_maps ? disk_id(idmap, IDMAP_UID, config->root_uid) : config->root_uid;
    *ret_gid = gid_maps ? disk_id(idmap, IDMAP_GID, config->root_gid) : config->root_gid;
}

/* --- from settings to volumes, NICs and the other fields --- */

static char *settings_copy(const struct guest_settings *settings, const char *key)
{
    const char *value = guest_settings_get(settings, key);
    return value ? mem_copy_text(value) : NULL;
}

/* Returns true if Proxmox takes the setting as true: every value but "0", even one that is no
 * boolean. */
static bool settings_is_true(const struct guest_settings *settings, const char *key)
{
    const char *value = guest_settings_get(settings, key);
    return value && strcmp(value, "0") != 0;
}

static void guest_fill_unprivileged(struct guest_config *config,
                                    const struct guest_settings *settings)
{
    const char *value = guest_settings_get(settings, "unprivileged");
    config->unprivileged = value ? settings_is_true(settings, "unprivileged") : -1;
    if (value && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        config->unprivileged_text = mem_copy_text(value);
}

static void guest_add_volume(struct guest_config *config, const char *key,
                             struct property_list *list)
{
    config->volumes =
        mem_resize(config->volumes, config->volume_count + 1, sizeof *config->volumes);
    struct volume *volume = &config->volumes[config->volume_count++];
    if (config->kind == GUEST_LXC)
        volume_from_lxc(key, list, volume);
    else
        volume_from_qemu(key, list, volume);
}

static void guest_fill_volume(struct guest_config *config, const struct guest_setting *setting,
                              const struct property_schema *schema)
{
    struct error ignored; /* taking the line has already added a warning */
    cleanup_property_list struct property_list list = {NULL, 0};
    if (property_string_parse(schema, setting->value, &list, &ignored) < 0)
        return;
    if (config->kind == GUEST_LXC || drive_is_disk(&list))
        guest_add_volume(config, setting->key, &list);
}

/* Proxmox accepts "0" for a container's NIC: the NIC exists, without any properties. */
static int parse_lxc_nic(const char *text, struct property_list *ret, struct error *error)
{
    if (strcmp(text, "0") == 0)
        return 0;
    if (property_string_parse(&lxc_nic_schema, text, ret, error) < 0)
        return -1;
    if (!property_list_get(ret, "type"))
        property_list_add(ret, "type", "veth");
    return 0;
}

static void guest_fill_nic(struct guest_config *config, const struct guest_setting *setting)
{
    struct error ignored; /* taking the line has already added a warning */
    cleanup_property_list struct property_list list = {NULL, 0};
    int r = config->kind == GUEST_LXC
                ? parse_lxc_nic(setting->value, &list, &ignored)
                : property_string_parse(&qemu_nic_schema, setting->value, &list, &ignored);
    if (r < 0)
        return;
    config->nics = mem_resize(config->nics, config->nic_count + 1, sizeof *config->nics);
    nic_from_properties(setting->key, &list, &config->nics[config->nic_count++]);
}

/* Proxmox sets net0 to net31 only, but reads a container's netN with any number. */
static bool is_nic_key(const char *key)
{
    return strncmp(key, "net", 3) == 0 && text_is_all(key + 3, DIGITS);
}

/* --- NICs of lxc.net.N.* lines --- */

#define RAW_NIC      "lxc.net."
#define RAW_NICS_MAX 64 /* more would only take time */

/* Returns the length of "lxc.net.N" in a key "lxc.net.N.PROPERTY"; 0 for another key. */
static size_t raw_nic_prefix(const char *key)
{
    const char *number = text_after(key, RAW_NIC);
    size_t digits = number ? strspn(number, DIGITS) : 0;
    return digits > 0 && number[digits] == '.' ? strlen(RAW_NIC) + digits : 0;
}

/* Collects the properties of one NIC from all lines that begin with this prefix. As in LXC, the
 * last line counts, and quotes around a value do not. */
static struct property_list raw_nic_properties(const struct guest_config *config,
                                               struct slice prefix)
{
    struct property_list list = {NULL, 0};
    for (size_t i = config->raw_count; i-- > 0;) {
        const char *key = config->raw[i].key;
        if (raw_nic_prefix(key) != prefix.length || strncmp(key, prefix.text, prefix.length) != 0 ||
            property_list_get(&list, key + prefix.length + 1))
            continue;
        cleanup_free char *value = lxc_value_unquoted(config->raw[i].value);
        property_list_add(&list, key + prefix.length + 1, value);
    }
    return list;
}

/* Network types without a device of the guest's own; "none" shares the host's network. */
static bool raw_nic_is_none(const struct property_list *list)
{
    const char *type = property_list_get(list, "type");
    return !type ? !property_list_get(list, "hwaddr")
                 : strcmp(type, "none") == 0 || strcmp(type, "empty") == 0;
}

static bool has_nic(const struct guest_config *config, const char *key)
{
    for (size_t i = 0; i < config->nic_count; i++)
        if (strcmp(config->nics[i].key, key) == 0)
            return true;
    return false;
}

static void guest_fill_raw_nics(struct guest_config *config)
{
    size_t most = config->nic_count + RAW_NICS_MAX;
    for (size_t i = 0; i < config->raw_count && config->nic_count < most; i++) {
        struct slice prefix = {config->raw[i].key, raw_nic_prefix(config->raw[i].key)};
        cleanup_free char *key = mem_copy_text_n(prefix.text, prefix.length);
        if (prefix.length == 0 || has_nic(config, key))
            continue;
        cleanup_property_list struct property_list list = raw_nic_properties(config, prefix);
        if (raw_nic_is_none(&list))
            continue;
        config->nics = mem_resize(config->nics, config->nic_count + 1, sizeof *config->nics);
        nic_from_raw(key, &list, &config->nics[config->nic_count++]);
    }
}

static void guest_fill_lists(struct guest_config *config, const struct guest_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        const struct guest_setting *setting = &settings->items[i];
        const struct guest_setting_rule *rule = guest_setting_find(config->kind, setting->key);
        if (is_nic_key(setting->key))
            guest_fill_nic(config, setting);
        else if (rule && rule->schema)
            guest_fill_volume(config, setting, rule->schema);
    }
}

/* An EFI disk of a virtual machine that does not boot by UEFI is unused, and vzdump leaves it out
 * of backups. */
static void exclude_unused_efidisk(struct guest_config *config,
                                   const struct guest_settings *settings)
{
    const char *bios = guest_settings_get(settings, "bios");
    bool is_uefi = bios && strcmp(bios, "ovmf") == 0;
    for (size_t i = 0; i < config->volume_count; i++)
        if (!is_uefi && strncmp(config->volumes[i].key, "efidisk", 7) == 0)
            config->volumes[i].backup = false;
}

/* Compares the letters of two keys, then their numbers, so that mp2 comes before mp10. */
static int compare_numbered_keys(const char *left, const char *right)
{
    size_t letters = strcspn(left, DIGITS);
    if (letters != strcspn(right, DIGITS) || strncmp(left, right, letters) != 0)
        return strcmp(left, right);
    unsigned long long a = strtoull(left + letters, NULL, 10);
    unsigned long long b = strtoull(right + letters, NULL, 10);
    return a != b ? (a > b) - (a < b) : strcmp(left, right);
}

static int compare_volumes(const void *a, const void *b)
{
    const char *left = ((const struct volume *)a)->key;
    const char *right = ((const struct volume *)b)->key;
    int rootfs = (strcmp(right, "rootfs") == 0) - (strcmp(left, "rootfs") == 0);
    return rootfs ? rootfs : compare_numbered_keys(left, right);
}

static int compare_nics(const void *a, const void *b)
{
    const struct nic *left = a;
    const struct nic *right = b;
    return left->raw != right->raw ? left->raw - right->raw
                                   : compare_numbered_keys(left->key, right->key);
}

static void guest_sort_lists(struct guest_config *config)
{
    if (config->volume_count > 0)
        qsort(config->volumes, config->volume_count, sizeof *config->volumes, compare_volumes);
    if (config->nic_count > 0)
        qsort(config->nics, config->nic_count, sizeof *config->nics, compare_nics);
}

/* Fills config from the finished settings; kind and raw have been filled before. */
static void guest_contents_fill(struct guest_config *config, const struct guest_settings *settings)
{
    const char *name =
        guest_settings_get(settings, config->kind == GUEST_LXC ? "hostname" : "name");
    config->name = mem_copy_text(name ? name : "");
    config->hookscript = settings_copy(settings, "hookscript");
    config->lock = settings_copy(settings, "lock");
    config->template = settings_is_true(settings, "template");
    config->unprivileged = -1;
    if (config->kind == GUEST_LXC)
        guest_fill_unprivileged(config, settings);
    guest_fill_lists(config, settings);
    guest_fill_raw_nics(config);
    exclude_unused_efidisk(config, settings);
    guest_sort_lists(config);
    idmap_resolve_root(config);
}

/* --- from lines to settings --- */

#define LENGTH_MAX (MIB) /* the largest file that /etc/pve can hold */

/* State while the lines are read. */
struct reading {
    struct guest_config *config;
    struct guest_settings settings;
    size_t line_number;
};

__attribute__((format(printf, 2, 3))) static void reading_warn(struct reading *reading,
                                                               const char *format, ...)
{
    struct guest_config *config = reading->config;
    struct error what;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what.message, sizeof what.message, format, args);
    va_end(args);
    text_mask(what.message);
    config->warnings =
        mem_resize(config->warnings, config->warning_count + 1, sizeof *config->warnings);
    config->warnings[config->warning_count++] =
        mem_format("line %zu: %s", reading->line_number, what.message);
}

static void guest_add_raw(struct reading *reading, const struct guest_line *line)
{
    struct guest_config *config = reading->config;
    struct property_list list = {config->raw, config->raw_count};
    property_list_add(&list, line->key, line->value);
    config->raw = list.items;
    config->raw_lines = mem_resize(config->raw_lines, list.count, sizeof *config->raw_lines);
    config->raw_lines[config->raw_count] = reading->line_number;
    config->raw_count = list.count;
}

static void reading_take_raw(struct reading *reading, const struct guest_line *line)
{
    switch (guest_line_classify_raw(line->key)) {
    case RAW_KEY_UNKNOWN:
        reading_warn(reading, "unknown key '%s'", line->key);
        return;
    case RAW_KEY_FORBIDDEN:
        reading_warn(reading, "'%s' is made by Proxmox from the rootfs setting", line->key);
        return;
    case RAW_KEY_ENVIRONMENT:
        return;
    case RAW_KEY_OUTDATED:
        reading_warn(reading, "'%s' is an outdated key", line->key);
        break;
    case RAW_KEY_GOOD:
        break;
    }
    if (strcmp(line->key, "lxc.idmap") == 0 && !idmap_line_is_good(line->value))
        reading_warn(reading, "'%s' is no id mapping: Proxmox will not start the guest",
                     line->value);
    guest_add_raw(reading, line);
}

/* Keeps a container's setting even if its value is bad, and a virtual machine's only if it is good;
 * Proxmox does the same. */
static void reading_take_setting(struct reading *reading, const struct guest_line *line)
{
    bool keep_bad = reading->config->kind == GUEST_LXC;
    const struct guest_setting_rule *rule = guest_setting_find(reading->config->kind, line->key);
    const char *key = rule && rule->stands_for ? rule->stands_for : line->key;
    const char *value = line->value;
    struct error error;
    bool is_good = rule && guest_setting_check(rule, value, &value, &error) == 0;
    if (rule && !is_good)
        reading_warn(reading, "unable to read '%s': %s", line->key, error.message);
    else if (!rule && keep_bad)
        reading_warn(reading, "unknown setting '%s'", line->key);
    if (is_good || keep_bad)
        guest_settings_add(&reading->settings, key, value);
}

static void pending_add(struct guest_config *config, const char *key, const char *value)
{
    struct property_list list = {config->pending, config->pending_count};
    property_list_add(&list, key, value);
    config->pending = list.items;
    config->pending_count = list.count;
}

/* Proxmox separates the keys by commas, blanks or semicolons, and puts '!' before one that is
 * removed by force. */
static void pending_add_deleted(struct guest_config *config, char *keys)
{
    for (char *key; (key = strsep(&keys, ",;" SPACES));) {
        key += *key == '!';
        if (*key)
            pending_add(config, key, "");
    }
}

/* Reads the section of pending changes up to the next section. */
static void reading_take_pending(struct reading *reading, char *text)
{
    struct guest_config *config = reading->config;
    for (char *next; (next = strsep(&text, "\n"));) {
        const char *keys = text_after(next, "delete:");
        if (keys) {
            pending_add_deleted(config, next + (keys - next));
            continue;
        }
        struct guest_line line = guest_line_read(config->kind, next);
        if (line.type == LINE_SECTION)
            return;
        if (line.type == LINE_SETTING)
            pending_add(config, line.key, line.value);
    }
}

/* Reads one line. Returns false at the end of the live configuration. */
static bool reading_take_line(struct reading *reading, char *text)
{
    struct guest_line line = guest_line_read(reading->config->kind, text);
    switch (line.type) {
    case LINE_SECTION:
        return false;
    case LINE_RAW:
        reading_take_raw(reading, &line);
        break;
    case LINE_SETTING:
        reading_take_setting(reading, &line);
        break;
    case LINE_DELETE:
        reading_warn(reading, "'delete' belongs into the section of pending changes");
        break;
    case LINE_UNKNOWN:
        reading_warn(reading, "unable to read '%s'", text);
        break;
    case LINE_NOTHING:
        break;
    }
    return true;
}

static void reading_take_lines(struct reading *reading, char *text)
{
    enum guest_kind kind = reading->config->kind;
    for (char *line; (line = strsep(&text, "\n"));) {
        reading->line_number++;
        bool pending = line[0] == '[' && guest_line_is_pending(kind, slice_of(line));
        if (reading_take_line(reading, line))
            continue;
        if (pending)
            reading_take_pending(reading, text);
        return;
    }
}

const char *guest_config_pending(const struct guest_config *config, const char *key)
{
    const char *found = NULL;
    for (size_t i = 0; i < config->pending_count; i++)
        if (strcmp(config->pending[i].key, key) == 0)
            found = config->pending[i].value;
    return found;
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
    reading_take_lines(&reading, copy);
    guest_settings_finish(&reading.settings);
    guest_contents_fill(ret, &reading.settings);
    guest_settings_free(&reading.settings);
    return 0;
}

void guest_config_free(struct guest_config *config)
{
    struct property_list raw = {config->raw, config->raw_count};
    struct property_list pending = {config->pending, config->pending_count};
    property_list_free(&raw);
    property_list_free(&pending);
    for (size_t i = 0; i < config->volume_count; i++)
        volume_free(&config->volumes[i]);
    for (size_t i = 0; i < config->nic_count; i++)
        nic_free(&config->nics[i]);
    for (size_t i = 0; i < config->warning_count; i++)
        free(config->warnings[i]);
    free(config->volumes);
    free(config->nics);
    free(config->raw_lines);
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
