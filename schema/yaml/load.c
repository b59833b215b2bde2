/* SPDX-License-Identifier: Apache-2.0 */
#include <search.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/yaml/tree.h"

/*
 * Builds the tree of schema/yaml/tree.h from libyaml's events. Two readers share the code:
 * yaml_settings_load for settings files, which allows only texts, lists and maps, and
 * yaml_tree_load for whole documents, which also resolves aliases and merge keys. Limits on size,
 * depth and number of nodes keep a small document from exhausting memory.
 */

#define MAX_BYTES MIB /* of input, and of all scalars after aliases are resolved */
#define MAX_DEPTH 64
#define MAX_NODES 8192

#define YAML_TAG_PREFIX "tag:yaml.org,2002:"

struct anchor {
    char *name;
    const struct yaml_tree *node;
    bool open; /* the node has not been read to its end yet */
};

struct loader {
    yaml_parser_t parser;
    const char *name;
    const char *text;
    size_t length;
    bool is_settings; /* only texts, lists and maps are allowed */
    bool keeps_part;  /* what stands before the first mistake is kept */
    bool stopped;     /* at that mistake */
    char path[64];    /* dotted path of the node being read, for messages; cut if too long */
    struct anchor *anchors;
    size_t anchor_count;
    size_t nodes; /* created so far; bytes: the length of their texts */
    size_t bytes;
    struct error *error;
};

static void loader_free(struct loader *loader)
{
    for (size_t i = 0; i < loader->anchor_count; i++)
        free(loader->anchors[i].name);
    free(loader->anchors);
    yaml_parser_delete(&loader->parser);
}

/* --- places and error messages --- */

static struct yaml_place mark_place(const struct loader *loader, const yaml_mark_t *mark)
{
    return (struct yaml_place){loader->name, mark->line + 1, mark->column + 1};
}

/* Converts a byte offset into line and column. libyaml reports only the offset of bytes that it
 * cannot decode. */
static struct yaml_place offset_place(const struct loader *loader, size_t offset)
{
    struct yaml_place place = {loader->name, 1, 1};
    for (size_t i = 0; i < offset; i++) {
        if (loader->text[i] == '\n')
            place = (struct yaml_place){loader->name, place.line + 1, 1};
        else if (!text_continues_character(loader->text[i]))
            place.column++;
    }
    return place;
}

static int event_fail(const struct loader *loader, const yaml_event_t *event, const char *why)
{
    struct yaml_place place = mark_place(loader, &event->start_mark);
    (void)yaml_refuse(&place, NULL, loader->error, "%s", why);
    return -1;
}

/* True if the text has a tab at this place. */
static bool is_tab_at(const struct loader *loader, const struct yaml_place *place)
{
    struct yaml_place at = {loader->name, 1, 0};
    for (size_t i = 0; i < loader->length && at.line <= place->line; i++) {
        at.column += !text_continues_character(loader->text[i]);
        if (at.line == place->line && at.column == place->column)
            return loader->text[i] == '\t';
        if (loader->text[i] == '\n')
            at = (struct yaml_place){loader->name, at.line + 1, 0};
    }
    return false;
}

/* libyaml does not say of a tab what it is. */
static int parser_fail(const struct loader *loader)
{
    const yaml_parser_t *parser = &loader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        mem_exhausted();
    struct yaml_place place = parser->error == YAML_READER_ERROR
                                  ? offset_place(loader, parser->problem_offset)
                                  : mark_place(loader, &parser->problem_mark);
    return yaml_refuse(&place, NULL, loader->error, "%s%s%s%s",
                       parser->context ? parser->context : "", parser->context ? ": " : "",
                       parser->problem,
                       is_tab_at(loader, &place) ? " (a tab: YAML is indented with spaces)" : "");
}

/* --- what settings files must not contain --- */

/* Returns the message for a YAML feature that settings files must not use; NULL if there is
 * none. */
static const char *event_excess(const yaml_event_t *event)
{
    /* The event data of all three kinds of node begin with anchor and tag, so the scalar's members
     * serve for all of them. */
    bool is_node = event->type == YAML_SCALAR_EVENT || event->type == YAML_SEQUENCE_START_EVENT ||
                   event->type == YAML_MAPPING_START_EVENT;
    if (event->type == YAML_ALIAS_EVENT || (is_node && event->data.scalar.anchor))
        return "anchors and aliases are not allowed here; write the value out";
    if (is_node && event->data.scalar.tag)
        return "tags are not allowed here; leave the tag out";
    if (event->type == YAML_SCALAR_EVENT &&
        memchr(event->data.scalar.value, '\0', event->data.scalar.length))
        return "a text cannot hold a NUL character";
    return NULL;
}

/* Reads the next event. The caller frees it, even on failure. */
static int loader_next_event(struct loader *loader, yaml_event_t *event)
{
    if (!yaml_parser_parse(&loader->parser, event))
        return parser_fail(loader);
    const char *excess = loader->is_settings ? event_excess(event) : NULL;
    return excess ? event_fail(loader, event, excess) : 0;
}

/* --- nodes --- */

/*
 * Counts a node against the limits, so that a few aliases cannot expand to gigabytes. Settings have
 * no aliases. The depth limit counts lists and maps only in settings, so a text may be in the
 * innermost list.
 */
static int node_admit(struct loader *loader, const struct yaml_tree *node, size_t depth)
{
    size_t levels = loader->is_settings && node->kind == YAML_TREE_SCALAR ? depth - 1 : depth;
    loader->nodes++;
    loader->bytes += node->length;
    if (levels > MAX_DEPTH)
        return yaml_refuse(&node->place, NULL, loader->error, "nested deeper than 64 levels");
    if (!loader->is_settings && (loader->nodes > MAX_NODES || loader->bytes > MAX_BYTES))
        return yaml_refuse(&node->place, NULL, loader->error,
                           "too many nodes, or too large with its aliases resolved");
    return 0;
}

static char *copy_bytes(const void *bytes, size_t length)
{
    char *copy = mem_new_array(length + 1, 1);
    memcpy(copy, bytes, length);
    return copy;
}

static char *copy_tag(const void *tag)
{
    return tag ? mem_copy_text(tag) : NULL;
}

/* Makes a deep copy of an anchored node for an alias. All nodes of the copy get the alias's
 * place. */
static int copy_node(struct loader *loader, const struct yaml_tree *node, struct yaml_place place,
                     size_t depth, struct yaml_tree **ret)
{
    cleanup_yaml_tree struct yaml_tree *copy = mem_new(struct yaml_tree);
    *copy = (struct yaml_tree){
        .kind = node->kind,
        .place = place,
        .tag = copy_tag(node->tag),
        .length = node->length,
        .style = node->style,
        .resolved = node->resolved,
    };
    if (node_admit(loader, copy, depth) != 0)
        return -1;
    copy->text = node->text ? copy_bytes(node->text, node->length) : NULL;
    for (size_t i = 0; i < node->count; i++) {
        struct yaml_tree *item = NULL;
        if (copy_node(loader, node->items[i], place, depth + 1, &item) != 0)
            return -1;
        yaml_tree_append(copy, item);
    }
    *ret = steal(copy);
    return 0;
}

static struct anchor *find_anchor(const struct loader *loader, const char *name)
{
    for (size_t i = loader->anchor_count; i > 0; i--)
        if (strcmp(loader->anchors[i - 1].name, name) == 0)
            return &loader->anchors[i - 1];
    return NULL;
}

static int load_alias(struct loader *loader, const yaml_event_t *event, size_t depth,
                      struct yaml_tree **ret)
{
    const struct anchor *anchor = find_anchor(loader, (const char *)event->data.alias.anchor);
    if (!anchor)
        return event_fail(loader, event, "this alias has no anchor before it");
    if (anchor->open)
        return event_fail(loader, event, "this alias stands inside what it names");
    return copy_node(loader, anchor->node, mark_place(loader, &event->start_mark), depth, ret);
}

/* Records the node under its anchor's name, if it has one. Returns the number that close_anchor
 * needs. */
static size_t open_anchor(struct loader *loader, const yaml_char_t *name,
                          const struct yaml_tree *node)
{
    size_t number = loader->anchor_count;
    if (!name)
        return number;
    loader->anchors = mem_resize(loader->anchors, number + 1, sizeof *loader->anchors);
    loader->anchors[number] = (struct anchor){mem_copy_text((const char *)name), node, true};
    loader->anchor_count++;
    return number;
}

static void close_anchor(struct loader *loader, const yaml_char_t *name, size_t number)
{
    if (name)
        loader->anchors[number].open = false;
}

/* "!" is the non-specific tag: it says that a scalar's text decides its type even in quotes, and
 * means nothing for lists and maps. */
static bool is_non_specific(const yaml_char_t *tag)
{
    return tag && strcmp((const char *)tag, "!") == 0;
}

/* The tags of YAML's core schema. Any other can make the program that reads the document build
 * objects or run code, and can hide a second key of the same name. */
static bool is_core_tag(const char *tag)
{
    static const char *const names[] = {"null", "bool", "int", "float", "str", "seq", "map", NULL};
    const char *name = text_after(tag, YAML_TAG_PREFIX);
    return name && text_index(name, names) >= 0;
}

static void node_take_scalar(struct yaml_tree *node, const yaml_event_t *event)
{
    node->length = event->data.scalar.length;
    node->text = copy_bytes(event->data.scalar.value, node->length);
    node->style = event->data.scalar.style;
    node->resolved = event->data.scalar.plain_implicit || is_non_specific(event->data.scalar.tag);
}

static enum yaml_tree_kind event_node_kind(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_MAPPING_START_EVENT:
        return YAML_TREE_MAP;
    case YAML_SEQUENCE_START_EVENT:
        return YAML_TREE_SEQUENCE;
    default:
        return YAML_TREE_SCALAR;
    }
}

static int load_items(struct loader *loader, struct yaml_tree *collection, size_t depth);

static int load_new(struct loader *loader, const yaml_event_t *event, size_t depth,
                    struct yaml_tree **ret)
{
    const yaml_char_t *anchor = event->data.scalar.anchor;
    cleanup_yaml_tree struct yaml_tree *node = yaml_tree_new(event_node_kind(event));
    node->place = mark_place(loader, &event->start_mark);
    if (!is_non_specific(event->data.scalar.tag))
        node->tag = copy_tag(event->data.scalar.tag);
    if (node->kind == YAML_TREE_SCALAR)
        node_take_scalar(node, event);
    if (node->tag && !is_core_tag(node->tag))
        return event_fail(
            loader, event,
            "only the tags !!null, !!bool, !!int, !!float, !!str, !!seq and !!map are "
            "allowed");
    if (node_admit(loader, node, depth) != 0)
        return -1;
    size_t number = open_anchor(loader, anchor, node);
    if (node->kind != YAML_TREE_SCALAR && load_items(loader, node, depth + 1) != 0)
        return -1;
    close_anchor(loader, anchor, number);
    *ret = steal(node);
    return 0;
}

static int load_node(struct loader *loader, const yaml_event_t *event, size_t depth,
                     struct yaml_tree **ret)
{
    if (event->type == YAML_ALIAS_EVENT)
        return load_alias(loader, event, depth, ret);
    return load_new(loader, event, depth, ret);
}

/* --- lists and maps --- */

static int compare_map_keys(const void *a, const void *b)
{
    return yaml_tree_compare(a, b);
}

static void keep_key(void *key)
{
    (void)key;
}

static void key_set_free(void **set)
{
    tdestroy(*set, keep_key);
}

/* Appends a key to the path of the node being read, as far as there is room. */
static void path_add(struct loader *loader, const struct yaml_tree *key)
{
    size_t length = strlen(loader->path);
    size_t room = sizeof loader->path - 1 - length;
    if (length > 0 && room > 0) {
        loader->path[length++] = '.';
        room--;
    }
    size_t added = key->length < room ? key->length : room;
    memcpy(loader->path + length, key->text, added);
    loader->path[length + added] = '\0';
}

/* Records a key of the current map, refuses a duplicate, and appends the key to the path. */
static int map_enter_key(struct loader *loader, const struct yaml_tree *key, void **seen)
{
    if (key->text)
        path_add(loader, key);
    const struct yaml_tree *const *found = tsearch(key, seen, compare_map_keys);
    if (!found)
        mem_exhausted();
    if (*found == key)
        return 0;
    return yaml_refuse(&key->place, key->text ? loader->path : NULL, loader->error,
                       "this key is there twice in the same map, first in line %zu: write both as "
                       "one",
                       (*found)->place.line);
}

/* Ends a map at a mistake in it: the entry with the mistake is dropped, and so is a list as a
 * whole, which would mean something else without its end. Fails where nothing is to be kept. */
static int map_cut(struct loader *loader, struct yaml_tree *map)
{
    if (!loader->keeps_part || map->kind != YAML_TREE_MAP)
        return -1;
    loader->stopped = true;
    if (map->count % 2 > 0)
        yaml_tree_free(map->items[--map->count]);
    return 0;
}

static int load_items(struct loader *loader, struct yaml_tree *collection, size_t depth)
{
    cleanup(key_set_free) void *seen = NULL;
    const size_t outside = strlen(loader->path);
    for (;;) {
        cleanup(yaml_event_delete) yaml_event_t event = {.type = YAML_NO_EVENT};
        bool is_key = collection->kind == YAML_TREE_MAP && collection->count % 2 == 0;
        if (loader_next_event(loader, &event) != 0)
            return map_cut(loader, collection);
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (is_key && loader->is_settings && event.type != YAML_SCALAR_EVENT) {
            (void)event_fail(loader, &event, "a key must be a text");
            return map_cut(loader, collection);
        }
        struct yaml_tree *item = NULL;
        if (load_node(loader, &event, depth, &item) != 0)
            return map_cut(loader, collection);
        yaml_tree_append(collection, item);
        if (loader->stopped)
            return 0;
        if (!is_key)
            loader->path[outside] = '\0';
        else if (map_enter_key(loader, item, &seen) != 0)
            return map_cut(loader, collection);
    }
}

static bool is_merge_key(const struct yaml_tree *key)
{
    return key->resolved && key->length == 2 && memcmp(key->text, "<<", 2) == 0;
}

/* Adds the keys of source to map, unless the map has them. source: a map, or a list of maps, of
 * which earlier ones take precedence. */
static int map_take_missing(const struct loader *loader, struct yaml_tree *map,
                            struct yaml_tree *source)
{
    if (source->kind == YAML_TREE_MAP) {
        yaml_tree_add_missing(map, source);
        return 0;
    }
    for (size_t i = 0; i < source->count; i++) {
        const struct yaml_tree *item = source->items[i];
        if (item->kind != YAML_TREE_MAP)
            return yaml_refuse(&item->place, NULL, loader->error, "<< takes maps only");
        yaml_tree_add_missing(map, source->items[i]);
    }
    if (source->kind == YAML_TREE_SCALAR)
        return yaml_refuse(&source->place, NULL, loader->error, "<< takes maps only");
    return 0;
}

/*
 * Replaces each merge key (<<) by the keys that it brings. Inner maps come first, so that the keys
 * that a map takes over are complete. This must wait until the whole document has been read,
 * because an alias may refer to any earlier node.
 */
static int expand_merge_keys(const struct loader *loader, struct yaml_tree *node)
{
    for (size_t i = 0; i < node->count; i++)
        if (expand_merge_keys(loader, node->items[i]) != 0)
            return -1;
    if (node->kind != YAML_TREE_MAP)
        return 0;
    for (size_t i = 0; i < node->count; i += 2) {
        if (!is_merge_key(node->items[i]))
            continue;
        cleanup_yaml_tree struct yaml_tree *source = yaml_tree_take_at(node, i);
        return map_take_missing(loader, node, source);
    }
    return 0;
}

/* --- documents --- */

/* Ends the document at a mistake after its root. Fails where nothing is to be kept. */
static int root_cut(const struct loader *loader, struct yaml_tree **root, struct yaml_tree **ret)
{
    if (!loader->keeps_part || !*root)
        return -1;
    *ret = steal(*root);
    return 0;
}

/* Reads the root node; *ret becomes NULL if the stream has no document. */
static int loader_load_root(struct loader *loader, struct yaml_tree **ret)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    for (;;) {
        cleanup(yaml_event_delete) yaml_event_t event = {.type = YAML_NO_EVENT};
        if (loader_next_event(loader, &event) != 0)
            return root_cut(loader, &root, ret);
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (root) {
                (void)event_fail(loader, &event, "there must be only one document in the file");
                return root_cut(loader, &root, ret);
            }
            break;
        case YAML_STREAM_END_EVENT:
            *ret = steal(root);
            return 0;
        default:
            if (load_node(loader, &event, 1, &root) != 0)
                return -1;
            if (loader->stopped)
                return root_cut(loader, &root, ret);
        }
    }
}

static int loader_load_text(struct loader *loader, struct yaml_tree **ret)
{
    struct yaml_place start = {loader->name, 1, 1};
    if (loader->length > MAX_BYTES)
        return yaml_refuse(&start, NULL, loader->error, "the document is larger than 1 MiB");
    if (!yaml_parser_initialize(&loader->parser))
        mem_exhausted();
    if (loader->is_settings)
        yaml_parser_set_encoding(&loader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader->parser, (const unsigned char *)loader->text,
                                 loader->length);
    return loader_load_root(loader, ret);
}

int yaml_settings_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                       struct error *error)
{
    cleanup(loader_free) struct loader loader = {.name = name,
                                                 .text = length ? text : "",
                                                 .length = length,
                                                 .is_settings = true,
                                                 .error = error};
    struct yaml_tree *root = NULL;
    if (loader_load_text(&loader, &root) != 0)
        return -1;
    if (!root) {
        root = yaml_tree_new_plain("");
        root->place = (struct yaml_place){name, 1, 1};
    }
    *ret = root;
    return 0;
}

int yaml_tree_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                   struct error *error)
{
    cleanup(loader_free) struct loader loader = {
        .name = name, .text = length ? text : "", .length = length, .error = error};
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    if (loader_load_text(&loader, &root) != 0)
        return -1;
    if (!root || yaml_tree_is_empty(root)) {
        *ret = yaml_tree_new(YAML_TREE_MAP);
        return 0;
    }
    if (root->kind != YAML_TREE_MAP)
        return yaml_refuse(&root->place, NULL, error, "the document must be a map");
    if (expand_merge_keys(&loader, root) != 0)
        return -1;
    *ret = steal(root);
    return 0;
}

void yaml_settings_load_part(const char *text, size_t length, struct yaml_tree **ret)
{
    struct error ignored;
    cleanup(loader_free) struct loader loader = {.name = "",
                                                 .text = length ? text : "",
                                                 .length = length,
                                                 .is_settings = true,
                                                 .keeps_part = true,
                                                 .error = &ignored};
    struct yaml_tree *root = NULL;
    if (loader_load_text(&loader, &root) != 0 || !root)
        root = yaml_tree_new_plain("");
    *ret = root;
}
