/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/enrolment.h"

#include <stdlib.h>
#include <string.h>

#include "schema/agent/text_rules.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "schema/yaml/keys.h"
#include "schema/yaml/tree.h"

#define OPTIONS_MOST 64

static size_t name_length(const char *option)
{
    return strspn(option, LOWER DIGITS "-");
}

static bool is_option(const char *option)
{
    if (strncmp(option, "--", 2) != 0 || !option[2] || !strchr(LOWER, option[2]))
        return false;
    char after = option[name_length(option)];
    return after == '\0' || after == '=';
}

static bool is_the_guests_own(const char *option)
{
    static const char *const own[] = {
        "--name", "--detach", "--rm", "--interactive", "--tty", "--cidfile",
    };
    size_t length = name_length(option);
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (strlen(own[i]) == length && strncmp(own[i], option, length) == 0)
            return true;
    return false;
}

static int option_check(const struct yaml_key *key, const struct yaml_tree *value,
                        struct error *error)
{
    if (yaml_kind_of(value) != KIND_TEXT)
        return yaml_refuse(&value->place, key->path, error,
                           "each item must be a text, such as --memory=512m, not %s",
                           yaml_kind_name(yaml_kind_of(value)));
    if (yaml_text_check(&rule_line, value->text, error))
        return yaml_refuse(&value->place, key->path, error, "each item %s", error->message);
    if (!is_option(value->text))
        return yaml_refuse(&value->place, key->path, error,
                           "each item must be --NAME or --NAME=VALUE, such as --memory=512m");
    if (is_the_guests_own(value->text))
        return yaml_refuse(&value->place, key->path, error, "%s is for the guest itself to say",
                           value->text);
    return 0;
}

static void release_options(const struct yaml_key *key, void *document)
{
    char **field = yaml_field(key, document);
    free(*field);
    *field = NULL;
}

static int read_options(const struct yaml_key *key, const struct yaml_tree *value, void *document,
                        struct error *error)
{
    cleanup_buffer struct buffer lines = BUFFER_EMPTY;
    if (value->count > OPTIONS_MOST)
        return yaml_refuse(&value->place, key->path, error, "must not have more than %d items",
                           OPTIONS_MOST);
    for (size_t i = 0; i < value->count; i++) {
        const struct yaml_tree *item = value->items[i];
        if (option_check(key, item, error))
            return -1;
        buffer_add_format(&lines, "%s%s", i > 0 ? "\n" : "", item->text);
    }
    release_options(key, document);
    *(char **)yaml_field(key, document) = mem_copy_text(buffer_text(&lines));
    return 0;
}

const struct yaml_type run_options = {KIND_LIST, read_options, release_options};

/* Returns a copy of the first line of *rest, which the caller frees, and removes it from *rest.
 * Returns NULL when no line is left. */
static char *option_take_line(const char **rest)
{
    if (!**rest)
        return NULL;
    size_t length = strcspn(*rest, "\n");
    char *line = mem_copy_text_n(*rest, length);
    *rest += length + ((*rest)[length] == '\n');
    return line;
}

static struct yaml_tree *run_options_yaml(const char *options)
{
    struct yaml_tree *list = yaml_tree_new(YAML_TREE_SEQUENCE);
    for (char *line; (line = option_take_line(&options)); free(line))
        yaml_tree_append(list, yaml_tree_new_text(line));
    return list;
}

json_t *run_options_json(const char *options)
{
    json_t *list = json_array();
    if (!list)
        mem_exhausted();
    for (char *line; (line = option_take_line(&options)); free(line))
        json_append(list, json_text(line));
    return list;
}

/* clang-format off */
#define TEXT(path, field, kind) \
    {path, &yaml_text, offsetof(struct enrolment, field), "", {.text = &(kind)}}

static const struct yaml_key keys[] = {
    TEXT("customer.id",             customer_id,             rule_name),
    TEXT("customer.name",           customer_name,           rule_line),
    TEXT("customer.domain",         customer_domain,         rule_word),
    TEXT("customer.email",          customer_email,          rule_word),
    TEXT("hub.retrieval_password",  hub_retrieval_password,  rule_line),
    TEXT("image",                   image,                   rule_word),
    TEXT("chain",                   chain,                   rule_snippet),
    TEXT("guest.volume",            guest_volume,            rule_line),
    TEXT("guest.hwaddrs",           guest_hwaddrs,           rule_line),
    TEXT("quota.snapshots",         quota_snapshots,         rule_snapshots),
    TEXT("quota.snapshot_interval", quota_snapshot_interval, rule_duration),
    TEXT("quota.backup_interval",   quota_backup_interval,   rule_duration),
    {"run", &run_options, offsetof(struct enrolment, run), "", {NULL}},
    {"controller", &yaml_anything, 0, NULL, {NULL}},
};
/* clang-format on */

static const struct yaml_table table = {keys, ARRAY_SIZE(keys)};

int enrolment_parse(const char *name, const char *text, size_t length, struct enrolment *ret,
                    struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    cleanup(enrolment_free) struct enrolment enrolment = {.customer_id = NULL};
    if (yaml_settings_load(name, text, length, &root, error) ||
        yaml_table_read(&table, root, &enrolment, error))
        return -1;
    *ret = steal(enrolment);
    return 0;
}

void enrolment_salvage(const char *text, size_t length, struct enrolment *ret)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    *ret = (struct enrolment){.customer_id = NULL};
    yaml_settings_load_part(text, length, &root);
    yaml_table_salvage(&table, root, ret);
}

struct quota enrolment_quota(const struct enrolment *enrolment, const struct quota *standard)
{
    struct quota quota = *standard;
    if (*enrolment->quota_snapshots)
        quota.snapshots = (uint32_t)strtoul(enrolment->quota_snapshots, NULL, 10);
    /* "" is no duration, and leaves the value as it is. */
    (void)duration_parse(enrolment->quota_snapshot_interval, &quota.snapshot_interval_ms);
    (void)duration_parse(enrolment->quota_backup_interval, &quota.backup_interval_ms);
    return quota;
}

static const char *enrolment_field_text(const struct yaml_key *key,
                                        const struct enrolment *enrolment)
{
    const char *text;
    if (key->type == &yaml_anything)
        return "";
    memcpy(&text, (const char *)enrolment + key->offset, sizeof text);
    return text;
}

static struct yaml_tree *enrolment_value(const struct yaml_key *key, const char *text)
{
    return key->type == &run_options ? run_options_yaml(text) : yaml_tree_new_text(text);
}

/* Puts the value into the tree at the key's path: "name" or "section.name". */
static void enrolment_put_at_path(struct yaml_tree *root, const struct yaml_key *key,
                                  struct yaml_tree *value)
{
    const char *dot = strchr(key->path, '.');
    if (!dot) {
        yaml_tree_put(root, key->path, value);
        return;
    }
    cleanup_free char *section = mem_copy_text_n(key->path, (size_t)(dot - key->path));
    struct yaml_tree *map = yaml_tree_new(YAML_TREE_MAP);
    yaml_tree_put(map, dot + 1, value);
    yaml_tree_put(root, section, map);
}

int enrolment_render(const struct enrolment *enrolment, struct buffer *out, struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = yaml_tree_new(YAML_TREE_MAP);
    for (size_t i = 0; i < table.count; i++) {
        const char *text = enrolment_field_text(&keys[i], enrolment);
        if (!*text)
            continue;
        if (keys[i].type == &yaml_text && yaml_text_check(keys[i].rule.text, text, error))
            return fail_context(error, "%s", keys[i].path);
        enrolment_put_at_path(root, &keys[i], enrolment_value(&keys[i], text));
    }
    return yaml_tree_emit(root, out, error);
}

void enrolment_free(struct enrolment *enrolment)
{
    yaml_table_free(&table, enrolment);
}
