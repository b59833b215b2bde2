/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/run_options.h"

#include <stdlib.h>
#include <string.h>

#include "schema/agent/text_rules.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"

#define OPTIONS_MOST 64
#define LOWER        "abcdefghijklmnopqrstuvwxyz"

static size_t name_length(const char *option)
{
    return strspn(option, LOWER "0123456789-");
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

static int check(const struct yaml_key *key, const struct yaml_value *value, struct error *error)
{
    if (value->kind != KIND_TEXT)
        return yaml_refuse(&value->place, key->path, error,
                           "each item must be a text, such as --memory=512m, not %s",
                           yaml_kind_name(value->kind));
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

static int read_options(const struct yaml_key *key, const struct yaml_value *value, void *document,
                        struct error *error)
{
    cleanup_buffer struct buffer lines = BUFFER_EMPTY;
    if (value->count > OPTIONS_MOST)
        return yaml_refuse(&value->place, key->path, error, "must not have more than %d items",
                           OPTIONS_MOST);
    for (size_t i = 0; i < value->count; i++) {
        const struct yaml_value *item = &value->entries[i].value;
        if (check(key, item, error))
            return -1;
        buffer_add_format(&lines, "%s%s", i > 0 ? "\n" : "", item->text);
    }
    release_options(key, document);
    *(char **)yaml_field(key, document) = mem_copy_text(buffer_text(&lines));
    return 0;
}

const struct yaml_type run_options = {KIND_LIST, read_options, release_options};

/* Takes the next line off; NULL where there is none left. The caller frees it. */
static char *take_line(const char **rest)
{
    if (!**rest)
        return NULL;
    size_t length = strcspn(*rest, "\n");
    char *line = mem_copy_text_n(*rest, length);
    *rest += length + ((*rest)[length] == '\n');
    return line;
}

struct yaml_tree *run_options_yaml(const char *options)
{
    struct yaml_tree *list = yaml_tree_new(YAML_TREE_SEQUENCE);
    for (char *line; (line = take_line(&options)); free(line))
        yaml_tree_append(list, yaml_tree_new_text(line));
    return list;
}

json_t *run_options_json(const char *options)
{
    json_t *list = json_array();
    if (!list)
        mem_exhausted();
    for (char *line; (line = take_line(&options)); free(line))
        json_append(list, json_text(line));
    return list;
}
