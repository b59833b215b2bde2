/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_property.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/address.h"
#include "schema/base/memory.h"

bool property_part_next(const char **rest, struct property_part *ret)
{
    if (!*rest)
        return false;
    struct slice part = {*rest, strcspn(*rest, ",")};
    struct slice value = part;
    struct slice key = slice_take(&value, '=');
    bool bare = !memchr(part.text, '=', part.length);
    *ret = (struct property_part){
        .whole = part,
        .key = bare ? slice_of("") : key,
        .value = bare ? part : value,
        .bare = bare,
    };
    *rest = (*rest)[part.length] ? *rest + part.length + 1 : NULL;
    return true;
}

char *property_source(const char *text, bool is_drive)
{
    struct property_part part;
    while (property_part_next(&text, &part))
        if (part.bare ||
            (slice_equals(part.key, "volume") && (is_drive || part.value.length > 0)) ||
            (is_drive && slice_equals(part.key, "file")))
            return slice_copy(part.value);
    return mem_copy_text("");
}

/* State while a property string is read. */
struct property_reading {
    const struct property_schema *schema;
    struct property_list list;
    bool bare_seen;
};

void property_list_add(struct property_list *list, const char *key, const char *value)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof *list->items);
    list->items[list->count++] =
        (struct property){.key = mem_copy_text(key), .value = mem_copy_text(value)};
}

static struct property *property_list_find(const struct property_list *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].key, key) == 0)
            return &list->items[i];
    return NULL;
}

const char *property_list_get(const struct property_list *list, const char *key)
{
    const struct property *property = property_list_find(list, key);
    return property ? property->value : NULL;
}

void property_list_free(struct property_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].value);
    }
    free(list->items);
    *list = (struct property_list){NULL, 0};
}

const struct property_rule *property_schema_find(const struct property_schema *schema,
                                                 const char *name)
{
    for (size_t i = 0; i < schema->count; i++)
        if (strcmp(schema->rules[i].name, name) == 0)
            return &schema->rules[i];
    return NULL;
}

const char *property_boolean(const char *text)
{
    static const char *const words[][4] = {{"0", "off", "no", "false"}, {"1", "on", "yes", "true"}};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        for (size_t j = 0; j < ARRAY_SIZE(words[i]); j++)
            if (strcasecmp(text, words[i][j]) == 0)
                return words[i][0];
    return NULL;
}

/* Returns the value to keep: "0" or "1" for a boolean. A value that is no boolean is kept
 * unchanged; property_list_check refuses it later. */
static const char *value_to_keep(const struct property_rule *rule, const char *value)
{
    const char *boolean = rule->type == PROPERTY_BOOLEAN ? property_boolean(value) : NULL;
    return boolean ? boolean : value;
}

static int property_fail_duplicate(const char *key, struct error *error)
{
    return fail(error, ERROR_INVALID, "property '%s' is there twice", key);
}

/* Returns the rule that an alias stands for. If the alias's name is itself a value (name_of), adds
 * it to the list. Fails with NULL. */
static const struct property_rule *property_follow_alias(struct property_reading *reading,
                                                         const struct property_rule *rule,
                                                         struct error *error)
{
    if (rule->name_of) {
        if (property_list_find(&reading->list, rule->name_of)) {
            (void)property_fail_duplicate(rule->name_of, error);
            return NULL;
        }
        property_list_add(&reading->list, rule->name_of, rule->name);
    }
    return property_schema_find(reading->schema, rule->alias);
}

static int property_take_keyed(struct property_reading *reading, const char *key, const char *value,
                               struct error *error)
{
    const struct property_rule *rule = property_schema_find(reading->schema, key);
    if (!rule)
        return fail(error, ERROR_INVALID, "there is no property '%s'", key);
    if (rule->alias)
        rule = property_follow_alias(reading, rule, error);
    if (!rule)
        return -1;
    if (property_list_find(&reading->list, rule->name))
        return property_fail_duplicate(rule->name, error);
    property_list_add(&reading->list, rule->name, value_to_keep(rule, value));
    return 0;
}

static const struct property_rule *bare_rule(const struct property_schema *schema)
{
    for (size_t i = 0; i < schema->count; i++)
        if (schema->rules[i].bare)
            return &schema->rules[i];
    return NULL;
}

/* As in Proxmox, a bare value replaces one that was given by name if that was "0". */
static int property_take_bare(struct property_reading *reading, const char *value,
                              struct error *error)
{
    const struct property_rule *rule = bare_rule(reading->schema);
    if (!rule)
        return fail(error, ERROR_INVALID, "'%s' is a value without a key", value);
    struct property *earlier = property_list_find(&reading->list, rule->name);
    if (reading->bare_seen || (earlier && strcmp(earlier->value, "0") != 0))
        return property_fail_duplicate(rule->name, error);
    reading->bare_seen = true;
    if (!earlier) {
        property_list_add(&reading->list, rule->name, value_to_keep(rule, value));
        return 0;
    }
    free(earlier->value);
    earlier->value = mem_copy_text(value_to_keep(rule, value));
    return 0;
}

static int property_take_part(struct property_reading *reading, const struct property_part *part,
                              struct error *error)
{
    if (slice_span(part->whole, SPACES) == part->whole.length)
        return 0;
    cleanup_free char *value = slice_copy(part->value);
    if (part->bare)
        return property_take_bare(reading, value, error);
    if (part->key.length == 0 || part->value.length == 0)
        return fail(error, ERROR_INVALID, "'%.*s' lacks a key or a value", (int)part->whole.length,
                    part->whole.text);
    cleanup_free char *key = slice_copy(part->key);
    return property_take_keyed(reading, key, value, error);
}

/* 7, +7 or -7. */
static bool is_integer(const char *text)
{
    return text_is_all(text + text_is_one_of(*text, "+-"), DIGITS);
}

/* An integer, 1.5, .5, 5. or 1e3. */
static bool is_number(const char *text)
{
    text += text_is_one_of(*text, "+-");
    size_t whole = strspn(text, DIGITS);
    text += whole;
    size_t fraction = *text == '.' ? strspn(text + 1, DIGITS) : 0;
    if (whole + fraction == 0)
        return false;
    text += *text == '.' ? 1 + fraction : 0;
    return !*text || (text_is_one_of(*text, "eE") && is_integer(text + 1));
}

static bool value_has_type(enum property_type type, const char *value)
{
    switch (type) {
    case PROPERTY_BOOLEAN:
        return strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
    case PROPERTY_INTEGER:
        return is_integer(value);
    case PROPERTY_NUMBER:
        return is_number(value);
    case PROPERTY_TEXT:
        break;
    }
    return true;
}

static bool value_is_in_range(const struct property_range *range, const char *value)
{
    double number = strtod(value, NULL);
    return number >= range->minimum && number <= range->maximum;
}

static bool value_is_good(const struct property_rule *rule, const char *value)
{
    return value_has_type(rule->type, value) && (!rule->accepts || rule->accepts(value)) &&
           (!rule->values || text_index(value, rule->values) >= 0) &&
           (!rule->range || value_is_in_range(rule->range, value));
}

static int property_list_check(const struct property_reading *reading, struct error *error)
{
    for (size_t i = 0; i < reading->schema->count; i++) {
        const struct property_rule *rule = &reading->schema->rules[i];
        const char *value = property_list_get(&reading->list, rule->name);
        if (!value && rule->required)
            return fail(error, ERROR_INVALID, "property '%s' is missing", rule->name);
        if (value && !value_is_good(rule, value))
            return fail(error, ERROR_INVALID, "'%s' is no good value for '%s'", value, rule->name);
    }
    return 0;
}

static int property_take_all(struct property_reading *reading, const char *text,
                             struct error *error)
{
    struct property_part part;
    while (property_part_next(&text, &part))
        if (property_take_part(reading, &part, error) < 0)
            return -1;
    return property_list_check(reading, error);
}

int property_string_parse(const struct property_schema *schema, const char *text,
                          struct property_list *ret, struct error *error)
{
    struct property_reading reading = {.schema = schema};
    if (property_take_all(&reading, text, error) < 0) {
        property_list_free(&reading.list);
        return -1;
    }
    *ret = reading.list;
    return 0;
}

/* --- formats of values --- */

static bool unit_parse(const char *text, long double *ret)
{
    static const char letters[] = "KMGT";
    if (!*text) {
        *ret = 1;
        return true;
    }
    const char *letter = strchr(letters, *text);
    if (!letter || (text[1] && strcmp(text + 1, "iB") != 0))
        return false;
    *ret = (long double)(1ULL << (10 * (letter - letters + 1)));
    return true;
}

/* As in Proxmox, an integer is exact up to 64 bits, and everything else is a double. */
static long double number_value(const char *text, bool integer)
{
    errno = 0;
    uint64_t exact = strtoull(text, NULL, 10);
    return integer && errno == 0 ? (long double)exact : (long double)strtod(text, NULL);
}

bool guest_size_parse(const char *text, long double *ret)
{
    size_t whole = strspn(text, DIGITS);
    const char *end = text + whole;
    size_t fraction = *end == '.' ? strspn(end + 1, DIGITS) : 0;
    if (fraction > 0)
        end += 1 + fraction;
    long double unit;
    if (whole == 0 || !unit_parse(end, &unit))
        return false;
    long double bytes = number_value(text, fraction == 0) * unit;
    *ret =
        bytes > (long double)UINT64_MAX ? (long double)(double)bytes : (long double)(uint64_t)bytes;
    return true;
}

bool format_word(const char *text)
{
    return text_is_all(text, ALNUM "-_.");
}

/* What needs no further encoding in a URL. */
static bool is_url_encoded(const char *text)
{
    return !*text || text_is_all(text, ALNUM "-%_.!~*'()");
}

static bool is_dns_label(const char *text, size_t length)
{
    return length > 0 && text_is_one_of(text[0], ALNUM) &&
           text_is_one_of(text[length - 1], ALNUM) && strspn(text, ALNUM "-") >= length;
}

bool format_dns_name(const char *text)
{
    for (;;) {
        size_t length = strcspn(text, ".");
        if (!is_dns_label(text, length))
            return false;
        if (!text[length])
            return true;
        text += length + 1;
    }
}

bool format_unicast_hwaddr(const char *text)
{
    struct hwaddr hwaddr;
    return hwaddr_parse(text, &hwaddr) && (hwaddr.bytes[0] & 1) == 0;
}

bool format_ipv4(const char *text)
{
    struct in_addr address;
    return inet_pton(AF_INET, text, &address) == 1;
}

bool format_ipv6(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* Accepts ADDRESS/LENGTH with a prefix length from 8 to max. Proxmox takes a shorter prefix for a
 * mistake. */
static bool is_cidr(const char *text, bool (*is_address)(const char *), unsigned long max)
{
    const char *slash = strrchr(text, '/');
    if (!slash || !text_is_all(slash + 1, DIGITS))
        return false;
    unsigned long length = strtoul(slash + 1, NULL, 10);
    cleanup_free char *address = mem_copy_text_n(text, (size_t)(slash - text));
    return length >= 8 && length <= max && is_address(address);
}

bool format_ipv4_config(const char *text)
{
    return strcmp(text, "dhcp") == 0 || strcmp(text, "manual") == 0 ||
           is_cidr(text, format_ipv4, 32);
}

bool format_ipv6_config(const char *text)
{
    return strcmp(text, "auto") == 0 || strcmp(text, "dhcp") == 0 || strcmp(text, "manual") == 0 ||
           is_cidr(text, format_ipv6, 128);
}

bool format_disk_size(const char *text)
{
    long double bytes;
    return guest_size_parse(text, &bytes);
}

bool format_volume_id(const char *text)
{
    size_t storage = strspn(text, ALNUM "-_.");
    return storage >= 2 && text_is_one_of(text[0], LETTERS) &&
           text_is_one_of(text[storage - 1], ALNUM) && text[storage] == ':' && text[storage + 1];
}

bool format_mount_path(const char *text)
{
    return !strstr(text, "/./") && !strstr(text, "/../") && !text_ends_with(text, "/.") &&
           !text_ends_with(text, "/..") && strncmp(text, "../", 3) != 0;
}

/* Returns true if every item of a list separated by semicolons is good. An empty item is not. */
static bool is_list_of(const char *text, bool (*is_item)(const char *))
{
    cleanup_free char *copy = mem_copy_text(text);
    char *rest = copy;
    for (char *item; (item = strsep(&rest, ";"));)
        if (!is_item(item))
            return false;
    return true;
}

static bool is_mount_option(const char *text)
{
    static const char *const options[] = {"discard", "lazytime", "noatime", "nodev",
                                          "noexec",  "nosuid",   NULL};
    return text_index(text, options) >= 0;
}

bool format_mount_options(const char *text)
{
    return is_list_of(text, is_mount_option);
}

/* Returns what follows the digits and the colon at the start of text; NULL if they are not
 * there. */
static const char *after_number(const char *text)
{
    size_t digits = strspn(text, DIGITS);
    return digits > 0 && text[digits] == ':' ? text + digits + 1 : NULL;
}

/* Accepts TYPE:CONTAINER:DISK:LENGTH. */
static bool is_idmap_entry(const char *text)
{
    bool has_type = text_is_one_of(text[0], "ug") && text[1] == ':';
    const char *disk = has_type ? after_number(text + 2) : NULL;
    const char *length = disk ? after_number(disk) : NULL;
    return length && *length != '0' && text_is_all(length, DIGITS);
}

bool format_mount_idmap(const char *text)
{
    return strcmp(text, "passthrough") == 0 || is_list_of(text, is_idmap_entry);
}

static bool is_vlan_id(const char *text)
{
    return text_is_all(text, DIGITS);
}

static bool is_vlan_range(const char *text)
{
    size_t digits = strspn(text, DIGITS);
    return digits > 0 && (!text[digits] || (text[digits] == '-' && is_vlan_id(text + digits + 1)));
}

bool format_vlan_ids(const char *text)
{
    return is_list_of(text, is_vlan_id);
}

bool format_vlan_ranges(const char *text)
{
    return is_list_of(text, is_vlan_range);
}

bool format_drive_source(const char *text)
{
    return text[0] == '/' || strcmp(text, "none") == 0 || strcmp(text, "cdrom") == 0 ||
           format_volume_id(text);
}

static bool is_url_encoded_of(const char *text, size_t max)
{
    const size_t bytes_per_character = 3; /* such as %20 */
    return is_url_encoded(text) && strlen(text) <= max * bytes_per_character;
}

bool format_drive_serial(const char *text)
{
    return is_url_encoded_of(text, 20);
}

bool format_drive_model(const char *text)
{
    return is_url_encoded_of(text, 40);
}

static bool is_drive_text(const char *text, size_t max)
{
    return text_is_all(text, ALNUM "-_" SPACES) && strlen(text) <= max;
}

bool format_drive_product(const char *text)
{
    return is_drive_text(text, 16);
}

bool format_drive_vendor(const char *text)
{
    return is_drive_text(text, 8);
}

bool format_drive_wwn(const char *text)
{
    return strncmp(text, "0x", 2) == 0 && strlen(text + 2) == 16 &&
           text_is_all(text + 2, HEX_DIGITS);
}
