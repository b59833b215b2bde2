/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_property.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/pve/guest_format.h"

/* What is known while a property string is read. */
struct reading {
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

static struct property *list_find(const struct property_list *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].key, key) == 0)
            return &list->items[i];
    return NULL;
}

const char *property_list_get(const struct property_list *list, const char *key)
{
    const struct property *property = list_find(list, key);
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

/* The value as it is kept: a boolean as "0" or "1"; one that is none stays, and is refused later.
 */
static const char *value_to_keep(const struct property_rule *rule, const char *value)
{
    const char *boolean = rule->type == PROPERTY_BOOLEAN ? property_boolean(value) : NULL;
    return boolean ? boolean : value;
}

static int fail_duplicate(const char *key, struct error *error)
{
    return fail(error, ERROR_INVALID, "property '%s' is there twice", key);
}

/* The rule that an alias stands for; keeps the alias's own name where that means something. */
static const struct property_rule *
follow_alias(struct reading *reading, const struct property_rule *rule, struct error *error)
{
    if (rule->name_of) {
        if (list_find(&reading->list, rule->name_of)) {
            (void)fail_duplicate(rule->name_of, error);
            return NULL;
        }
        property_list_add(&reading->list, rule->name_of, rule->name);
    }
    return property_schema_find(reading->schema, rule->alias);
}

static int take_keyed(struct reading *reading, const char *key, const char *value,
                      struct error *error)
{
    const struct property_rule *rule = property_schema_find(reading->schema, key);
    if (!rule)
        return fail(error, ERROR_INVALID, "there is no property '%s'", key);
    if (rule->alias)
        rule = follow_alias(reading, rule, error);
    if (!rule)
        return -1;
    if (list_find(&reading->list, rule->name))
        return fail_duplicate(rule->name, error);
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

/* A bare value replaces one that was given by name if that was "0", as in Proxmox. */
static int take_bare(struct reading *reading, const char *value, struct error *error)
{
    const struct property_rule *rule = bare_rule(reading->schema);
    if (!rule)
        return fail(error, ERROR_INVALID, "'%s' is a value without a key", value);
    struct property *earlier = list_find(&reading->list, rule->name);
    if (reading->bare_seen || (earlier && strcmp(earlier->value, "0") != 0))
        return fail_duplicate(rule->name, error);
    reading->bare_seen = true;
    if (!earlier) {
        property_list_add(&reading->list, rule->name, value_to_keep(rule, value));
        return 0;
    }
    free(earlier->value);
    earlier->value = mem_copy_text(value_to_keep(rule, value));
    return 0;
}

static int take_part(struct reading *reading, char *part, struct error *error)
{
    char *equals = strchr(part, '=');
    if (!part[strspn(part, SPACES)])
        return 0;
    if (!equals)
        return take_bare(reading, part, error);
    if (equals == part || !equals[1])
        return fail(error, ERROR_INVALID, "'%s' lacks a key or a value", part);
    *equals = '\0';
    return take_keyed(reading, part, equals + 1, error);
}

static bool has_type(enum property_type type, const char *value)
{
    switch (type) {
    case PROPERTY_BOOLEAN:
        return strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
    case PROPERTY_INTEGER:
        return format_integer(value);
    case PROPERTY_NUMBER:
        return format_number(value);
    case PROPERTY_TEXT:
        break;
    }
    return true;
}

static bool is_in_range(const struct property_range *range, const char *value)
{
    double number = strtod(value, NULL);
    return number >= range->minimum && number <= range->maximum;
}

static bool is_one_of(const char *const *values, const char *value)
{
    for (; *values; values++)
        if (strcmp(*values, value) == 0)
            return true;
    return false;
}

static bool is_good(const struct property_rule *rule, const char *value)
{
    return has_type(rule->type, value) && (!rule->accepts || rule->accepts(value)) &&
           (!rule->values || is_one_of(rule->values, value)) &&
           (!rule->range || is_in_range(rule->range, value));
}

static int check_list(const struct reading *reading, struct error *error)
{
    for (size_t i = 0; i < reading->schema->count; i++) {
        const struct property_rule *rule = &reading->schema->rules[i];
        const char *value = property_list_get(&reading->list, rule->name);
        if (!value && rule->required)
            return fail(error, ERROR_INVALID, "property '%s' is missing", rule->name);
        if (value && !is_good(rule, value))
            return fail(error, ERROR_INVALID, "'%s' is no good value for '%s'", value, rule->name);
    }
    return 0;
}

static int take_all(struct reading *reading, const char *text, struct error *error)
{
    cleanup_free char *copy = mem_copy_text(text);
    char *rest = copy;
    for (char *part; (part = strsep(&rest, ","));)
        if (take_part(reading, part, error) < 0)
            return -1;
    return check_list(reading, error);
}

int property_string_parse(const struct property_schema *schema, const char *text,
                          struct property_list *ret, struct error *error)
{
    struct reading reading = {.schema = schema};
    if (take_all(&reading, text, error) < 0) {
        property_list_free(&reading.list);
        return -1;
    }
    *ret = reading.list;
    return 0;
}
