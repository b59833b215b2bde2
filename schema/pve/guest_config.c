/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_config.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/pve/guest_device.h"
#include "schema/pve/guest_format.h"
#include "schema/pve/guest_setting.h"

/* From a configuration's settings to what they mean: the guest's name, volumes, NICs and ids. */

static char *copy_setting(const struct guest_settings *settings, const char *key)
{
    const char *value = settings_get(settings, key);
    return value ? mem_copy_text(value) : NULL;
}

/* Whether Proxmox takes a setting for true: any value but "0" is, even one that is no boolean. */
static bool is_true(const struct guest_settings *settings, const char *key)
{
    const char *value = settings_get(settings, key);
    return value && strcmp(value, "0") != 0;
}

static void fill_unprivileged(struct guest_config *config, const struct guest_settings *settings)
{
    const char *value = settings_get(settings, "unprivileged");
    config->unprivileged = value ? is_true(settings, "unprivileged") : -1;
    if (value && strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        config->unprivileged_text = mem_copy_text(value);
}

static void add_volume(struct guest_config *config, const char *key, struct property_list *list)
{
    config->volumes =
        mem_resize(config->volumes, config->volume_count + 1, sizeof *config->volumes);
    struct volume *volume = &config->volumes[config->volume_count++];
    if (config->kind == GUEST_LXC)
        volume_from_lxc(key, list, volume);
    else
        volume_from_qemu(key, list, volume);
}

static void fill_volume(struct guest_config *config, const struct guest_setting *setting,
                        const struct property_schema *schema)
{
    struct error ignored; /* the reader of the line has warned already */
    cleanup_property_list struct property_list list = {NULL, 0};
    if (property_string_parse(schema, setting->value, &list, &ignored) < 0)
        return;
    if (config->kind == GUEST_LXC || drive_is_disk(&list))
        add_volume(config, setting->key, &list);
}

/* For Proxmox a container's NIC of "0" is there, but nothing is known of it. */
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

static void fill_nic(struct guest_config *config, const struct guest_setting *setting)
{
    struct error ignored; /* the reader of the line has warned already */
    cleanup_property_list struct property_list list = {NULL, 0};
    int r = config->kind == GUEST_LXC
                ? parse_lxc_nic(setting->value, &list, &ignored)
                : property_string_parse(&qemu_nic_schema, setting->value, &list, &ignored);
    if (r < 0)
        return;
    config->nics = mem_resize(config->nics, config->nic_count + 1, sizeof *config->nics);
    nic_from_properties(setting->key, &list, &config->nics[config->nic_count++]);
}

/* A container's NICs are not limited to the numbers that Proxmox lets one set. */
static bool is_nic(const char *key)
{
    return strncmp(key, "net", 3) == 0 && text_is_all(key + 3, DIGITS);
}

static void fill_lists(struct guest_config *config, const struct guest_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        const struct guest_setting *setting = &settings->items[i];
        const struct setting_rule *rule = setting_find(config->kind, setting->key);
        if (is_nic(setting->key))
            fill_nic(config, setting);
        else if (rule && rule->schema)
            fill_volume(config, setting, rule->schema);
    }
}

/* A virtual machine that does not start by UEFI has no use for its variables: vzdump leaves them
 * out. */
static void exclude_unused_efidisk(struct guest_config *config,
                                   const struct guest_settings *settings)
{
    const char *bios = settings_get(settings, "bios");
    bool is_uefi = bios && strcmp(bios, "ovmf") == 0;
    for (size_t i = 0; i < config->volume_count; i++)
        if (!is_uefi && strncmp(config->volumes[i].key, "efidisk", 7) == 0)
            config->volumes[i].backup = false;
}

/* By the key's letters, then by its number. */
static int compare_keys(const char *left, const char *right)
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
    return rootfs ? rootfs : compare_keys(left, right);
}

static int compare_nics(const void *a, const void *b)
{
    return compare_keys(((const struct nic *)a)->key, ((const struct nic *)b)->key);
}

static void sort_lists(struct guest_config *config)
{
    if (config->volume_count > 0)
        qsort(config->volumes, config->volume_count, sizeof *config->volumes, compare_volumes);
    if (config->nic_count > 0)
        qsort(config->nics, config->nic_count, sizeof *config->nics, compare_nics);
}

/* Fills config, whose kind and raw lines are there already, from the finished settings. */
static void guest_contents_fill(struct guest_config *config, const struct guest_settings *settings)
{
    const char *name = settings_get(settings, config->kind == GUEST_LXC ? "hostname" : "name");
    config->name = mem_copy_text(name ? name : "");
    config->hookscript = copy_setting(settings, "hookscript");
    config->lock = copy_setting(settings, "lock");
    config->template = is_true(settings, "template");
    config->unprivileged = -1;
    if (config->kind == GUEST_LXC)
        fill_unprivileged(config, settings);
    fill_lists(config, settings);
    exclude_unused_efidisk(config, settings);
    sort_lists(config);
    idmap_resolve_root(config);
}

/*
 * The line grammar of a guest's configuration file. It is deliberately as lax and as strict as
 * Proxmox's own: what is no line for Proxmox must be none here.
 */

enum guest_line_type {
    LINE_NOTHING, /* blank, a comment, the description, the snapshot state */
    LINE_SECTION, /* [name]: the live configuration ends here */
    LINE_RAW,     /* lxc.KEY: VALUE or lxc.KEY = VALUE */
    LINE_SETTING, /* KEY: VALUE */
    LINE_DELETE,  /* delete: KEYS, which belongs into the pending section only */
    LINE_UNKNOWN,
};

struct guest_line {
    enum guest_line_type type;
    char *key; /* of a raw line or a setting, inside the text that was read */
    char *value;
};

static const char *after_blanks(const char *text)
{
    return text + strspn(text, SPACES);
}

/* The length of text without the blanks at its end. */
static size_t trimmed_length(const char *text)
{
    size_t length = strlen(text);
    while (length > 0 && strchr(SPACES, text[length - 1]))
        length--;
    return length;
}

static char *trim(char *text)
{
    text += strspn(text, SPACES);
    text[trimmed_length(text)] = '\0';
    return text;
}

/* Whether the line is "PREFIX something". */
static bool says(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 && *after_blanks(text + length);
}

/* The length of what stands between the brackets of "[...]", -1 when the line is not like that. */
static ssize_t section_name_length(const char *text)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
    return end && !*after_blanks(end + 1) ? end - text - 1 : -1;
}

static bool is_section(enum guest_kind kind, const char *text)
{
    static const char pending[] = "[pve:pending]";
    ssize_t length = section_name_length(text);
    if (length < 0 || kind == GUEST_QEMU)
        return length >= 0;
    if (strncasecmp(text, pending, sizeof pending - 1) == 0)
        return true;
    return length >= 2 && strchr(LETTERS, text[1]) &&
           strspn(text + 1, LETTERS DIGITS "_-") == (size_t)length;
}

/* "snapstate: prepare" or "snapstate: delete" counts at the end of any line, whatever stands before
 * it. */
static bool ends_with_snapstate(const char *text)
{
    static const char *const states[] = {"prepare", "delete"};
    static const char name[] = "snapstate:";
    size_t end = trimmed_length(text);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        size_t length = strlen(states[i]);
        if (end < length || strncmp(text + end - length, states[i], length) != 0)
            continue;
        size_t before = end - length;
        while (before > 0 && strchr(SPACES, text[before - 1]))
            before--;
        return before >= sizeof name - 1 &&
               strncmp(text + before - (sizeof name - 1), name, sizeof name - 1) == 0;
    }
    return false;
}

static bool read_raw(char *text, struct guest_line *ret)
{
    static const char prefix[] = "lxc.";
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    size_t name = strspn(text + sizeof prefix - 1, LOWER DIGITS "_-.");
    char *key_end = text + sizeof prefix - 1 + name;
    char *separator = *key_end == ':' ? key_end : key_end + strspn(key_end, SPACES);
    bool separated =
        separator == key_end ? *separator == ':' || *separator == '=' : *separator == '=';
    if (name == 0 || !separated)
        return false;
    *ret = (struct guest_line){LINE_RAW, text, trim(separator + 1)};
    *key_end = '\0';
    return true;
}

/* A value of nothing but blanks is its last blank: Proxmox's expression wants one character at
 * least. */
static char *setting_value(char *text)
{
    bool blank = !*after_blanks(text);
    return blank ? text + strlen(text) - 1 : trim(text);
}

static bool read_setting(enum guest_kind kind, char *text, struct guest_line *ret)
{
    if (!text[0] || !strchr(LOWER, text[0]))
        return false;
    char *end = text + strspn(text, kind == GUEST_QEMU ? LOWER "_-" : LOWER "_");
    end += strspn(end, DIGITS);
    if (*end != ':' || !end[1])
        return false;
    *end = '\0';
    *ret = (struct guest_line){LINE_SETTING, text, setting_value(end + 1)};
    return true;
}

/* Reads one line without its newline. Cuts key and value out of text where there are any. */
static struct guest_line guest_line_read(enum guest_kind kind, char *text)
{
    struct guest_line line = {LINE_NOTHING, NULL, NULL};
    if (!*after_blanks(text) || text[0] == '#')
        return line;
    if (is_section(kind, text))
        return (struct guest_line){LINE_SECTION, NULL, NULL};
    if (kind == GUEST_LXC && read_raw(text, &line))
        return line;
    if (says(text, "description:") || ends_with_snapstate(text))
        return line;
    if (says(text, "delete:"))
        return (struct guest_line){LINE_DELETE, NULL, NULL};
    if (!read_setting(kind, text, &line))
        line.type = LINE_UNKNOWN;
    return line;
}

/* The keys of raw lines (lxc.KEY: VALUE) in a container's configuration. */

enum raw_key_verdict {
    RAW_KEY_GOOD,
    RAW_KEY_OUTDATED,    /* good, but Proxmox warns */
    RAW_KEY_ENVIRONMENT, /* good, but kept apart from the raw lines */
    RAW_KEY_FORBIDDEN,   /* Proxmox makes it itself, or has a setting for it */
    RAW_KEY_UNKNOWN,
};

static const char *const outdated_prefixes[] = {"lxc.limit.", "lxc.cgroup."};
static const char *const good_prefixes[] = {"lxc.cgroup2.", "lxc.prlimit.", "lxc.net."};
static const char *const forbidden[] = {"lxc.rootfs.path", "lxc.rootfs.options"};

/* The names of LXC before 3.0. */
static const char *const outdated[] = {
    "lxc.aa_profile",
    "lxc.aa_allow_incomplete",
    "lxc.console",
    "lxc.devttydir",
    "lxc.haltsignal",
    "lxc.rebootsignal",
    "lxc.stopsignal",
    "lxc.id_map",
    "lxc.init_cmd",
    "lxc.loglevel",
    "lxc.logfile",
    "lxc.mount",
    "lxc.network.type",
    "lxc.network.flags",
    "lxc.network.link",
    "lxc.network.mtu",
    "lxc.network.name",
    "lxc.network.hwaddr",
    "lxc.network.ipv4",
    "lxc.network.ipv4.gateway",
    "lxc.network.ipv6",
    "lxc.network.ipv6.gateway",
    "lxc.network.script.up",
    "lxc.network.script.down",
    "lxc.pts",
    "lxc.se_context",
    "lxc.seccomp",
    "lxc.tty",
    "lxc.utsname",
};

static const char *const good[] = {
    "lxc.apparmor.profile",
    "lxc.apparmor.allow_incomplete",
    "lxc.apparmor.allow_nesting",
    "lxc.apparmor.raw",
    "lxc.selinux.context",
    "lxc.include",
    "lxc.arch",
    "lxc.uts.name",
    "lxc.signal.halt",
    "lxc.signal.reboot",
    "lxc.signal.stop",
    "lxc.init.cmd",
    "lxc.init.cwd",
    "lxc.init.uid",
    "lxc.init.gid",
    "lxc.init.groups",
    "lxc.pty.max",
    "lxc.console.logfile",
    "lxc.console.path",
    "lxc.tty.max",
    "lxc.devtty.dir",
    "lxc.hook.autodev",
    "lxc.autodev",
    "lxc.kmsg",
    "lxc.mount.fstab",
    "lxc.mount.entry",
    "lxc.mount.auto",
    "lxc.rootfs.mount",
    "lxc.cap.drop",
    "lxc.cap.keep",
    "lxc.seccomp.profile",
    "lxc.seccomp.notify.proxy",
    "lxc.seccomp.notify.cookie",
    "lxc.idmap",
    "lxc.hook.pre-start",
    "lxc.hook.pre-mount",
    "lxc.hook.mount",
    "lxc.hook.start",
    "lxc.hook.stop",
    "lxc.hook.post-stop",
    "lxc.hook.clone",
    "lxc.hook.destroy",
    "lxc.hook.version",
    "lxc.log.level",
    "lxc.log.file",
    "lxc.start.auto",
    "lxc.start.delay",
    "lxc.start.order",
    "lxc.group",
    "lxc.environment",
    "lxc.environment.hooks",
    "lxc.sysctl.fs.mqueue",
    "lxc.sysctl.kernel.msgmax",
    "lxc.sysctl.kernel.msgmnb",
    "lxc.sysctl.kernel.msgmni",
    "lxc.sysctl.kernel.sem",
    "lxc.sysctl.kernel.shmall",
    "lxc.sysctl.kernel.shmmax",
    "lxc.sysctl.kernel.shmmni",
    "lxc.sysctl.kernel.shm_rmid_forced",
};

static bool is_among(const char *key, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static bool starts_with_any(const char *key, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static enum raw_key_verdict raw_key_judge(const char *key)
{
    if (strcmp(key, "lxc.environment.runtime") == 0)
        return RAW_KEY_ENVIRONMENT;
    if (is_among(key, forbidden, ARRAY_SIZE(forbidden)))
        return RAW_KEY_FORBIDDEN;
    if (is_among(key, outdated, ARRAY_SIZE(outdated)) ||
        starts_with_any(key, outdated_prefixes, ARRAY_SIZE(outdated_prefixes)))
        return RAW_KEY_OUTDATED;
    if (is_among(key, good, ARRAY_SIZE(good)) ||
        starts_with_any(key, good_prefixes, ARRAY_SIZE(good_prefixes)))
        return RAW_KEY_GOOD;
    return RAW_KEY_UNKNOWN;
}

#define LENGTH_MAX (MIB) /* what a file in /etc/pve can hold */

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

__attribute__((format(printf, 2, 3))) static void warn(struct reading *reading, const char *format,
                                                       ...)
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
