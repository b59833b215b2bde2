/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_yaml.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789_"

/* What YAML takes for a truth or for nothing. */
static bool is_word_of_yaml(const char *key)
{
    static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
                                        "off", "true", "false", "null"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(words[i], key) == 0)
            return true;
    return false;
}

/* Ours are plain names; those that come from a guest's configuration may look like anything. */
static struct yaml_tree *key_of(const char *key)
{
    bool plain = key[0] >= 'a' && key[0] <= 'z' && strspn(key, NAME_LETTERS) == strlen(key) &&
                 !is_word_of_yaml(key);
    return plain ? yaml_tree_new_plain(key) : yaml_tree_new_text(key);
}

static struct yaml_tree *map_of(json_t *object)
{
    struct yaml_tree *map = yaml_tree_new(YAML_TREE_MAP);
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        yaml_tree_append(map, key_of(json_object_iter_key(at)));
        yaml_tree_append(map, yaml_tree_of_json(json_object_iter_value(at)));
    }
    return map;
}

static struct yaml_tree *sequence_of(const json_t *array)
{
    struct yaml_tree *sequence = yaml_tree_new(YAML_TREE_SEQUENCE);
    for (size_t i = 0; i < json_array_size(array); i++)
        yaml_tree_append(sequence, yaml_tree_of_json(json_array_get(array, i)));
    return sequence;
}

/* JSON's numbers, truths and null are YAML's. */
static struct yaml_tree *plain_of(const json_t *value)
{
    cleanup_free char *text = json_dumps(value, JSON_ENCODE_ANY);
    if (!text)
        mem_exhausted();
    return yaml_tree_new_plain(text);
}

struct yaml_tree *yaml_tree_of_json(json_t *value)
{
    if (json_is_object(value))
        return map_of(value);
    if (json_is_array(value))
        return sequence_of(value);
    return json_is_string(value) ? yaml_tree_new_text(json_string_value(value)) : plain_of(value);
}
