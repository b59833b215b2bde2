/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/yaml/keys.h"

#define COUNT_DIGITS 10 /* of the largest uint32_t */

void *yaml_field(const struct yaml_key *key, void *document)
{
    return (char *)document + key->offset;
}

static void release_text(const struct yaml_key *key, void *document)
{
    char **field = yaml_field(key, document);
    if (*field)
        explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = NULL;
}

static void put_text(const struct yaml_key *key, const char *text, void *document)
{
    char **field = yaml_field(key, document);
    release_text(key, document);
    *field = mem_copy_text(text);
}

int yaml_text_check(const struct yaml_text_rule *rule, const char *text, struct error *error)
{
    if (strlen(text) > rule->longest)
        return fail(error, ERROR_INVALID, "must not be longer than %zu bytes", rule->longest);
    if (!rule->accepts(text))
        return fail(error, ERROR_INVALID, "must be %s", rule->wanted);
    return 0;
}

static int read_text(const struct yaml_key *key, const struct yaml_value *value, void *document,
                     struct error *error)
{
    bool left_out = !*value->text && !*key->standard;
    if (!left_out && yaml_text_check(key->rule.text, value->text, error))
        return yaml_refuse(&value->place, key->path, error, "%s", error->message);
    put_text(key, value->text, document);
    return 0;
}

static int refuse_word(const struct yaml_key *key, const struct yaml_value *value,
                       struct error *error)
{
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    for (const char *const *word = key->rule.words; *word; word++) {
        const char *before = word == key->rule.words ? "" : word[1] ? ", " : " or ";
        buffer_add_format(&list, "%s%s", before, *word);
    }
    return yaml_refuse(&value->place, key->path, error, "must be %s", buffer_text(&list));
}

static int find_word(const struct yaml_key *key, const struct yaml_value *value, unsigned *ret,
                     struct error *error)
{
    for (unsigned i = 0; key->rule.words[i]; i++) {
        if (!strcmp(value->text, key->rule.words[i])) {
            *ret = i;
            return 0;
        }
    }
    return refuse_word(key, value, error);
}

static int read_choice(const struct yaml_key *key, const struct yaml_value *value, void *document,
                       struct error *error)
{
    unsigned index;
    if (find_word(key, value, &index, error))
        return -1;
    put_text(key, value->text, document);
    return 0;
}

static int read_enum(const struct yaml_key *key, const struct yaml_value *value, void *document,
                     struct error *error)
{
    unsigned index = 0;
    if (find_word(key, value, &index, error))
        return -1;
    memcpy(yaml_field(key, document), &index, sizeof index);
    return 0;
}

/* Digits alone: YAML's octal, hexadecimal and signed numbers are more likely a slip than meant. */
static bool number_parse(const char *text, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > COUNT_DIGITS || text[digits] || (digits > 1 && *text == '0'))
        return false;
    *ret = strtoull(text, NULL, 10);
    return true;
}

static int read_count(const struct yaml_key *key, const struct yaml_value *value, void *document,
                      struct error *error)
{
    uint64_t number;
    uint64_t least = key->rule.bounds.least;
    uint64_t most = key->rule.bounds.most;
    if (!number_parse(value->text, &number) || number < least || number > most)
        return yaml_refuse(&value->place, key->path, error, "must be a number from %ju to %ju",
                           (uintmax_t)least, (uintmax_t)most);
    *(uint32_t *)yaml_field(key, document) = (uint32_t)number;
    return 0;
}

static int read_duration(const struct yaml_key *key, const struct yaml_value *value, void *document,
                         struct error *error)
{
    uint64_t ms;
    if (!duration_parse(value->text, &ms))
        return yaml_refuse(&value->place, key->path, error,
                           "must be a duration: digits and one of s m h d, such as 30s or 24h");
    if (ms < key->rule.bounds.least || ms > key->rule.bounds.most)
        return yaml_refuse(&value->place, key->path, error, "must be from %jus to %jus",
                           (uintmax_t)(key->rule.bounds.least / 1000),
                           (uintmax_t)(key->rule.bounds.most / 1000));
    *(uint64_t *)yaml_field(key, document) = ms;
    return 0;
}

static int read_anything(const struct yaml_key *key, const struct yaml_value *value, void *document,
                         struct error *error)
{
    (void)key;
    (void)value;
    (void)document;
    (void)error;
    return 0;
}

const struct yaml_type yaml_text = {KIND_TEXT, read_text, release_text};
const struct yaml_type yaml_choice = {KIND_TEXT, read_choice, release_text};
const struct yaml_type yaml_enum = {KIND_TEXT, read_enum, NULL};
const struct yaml_type yaml_count = {KIND_TEXT, read_count, NULL};
const struct yaml_type yaml_duration = {KIND_TEXT, read_duration, NULL};
const struct yaml_type yaml_anything = {KIND_MAP, read_anything, NULL};
