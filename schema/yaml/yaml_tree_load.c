/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/tree.h"

#include <string.h>

#include "schema/base/memory.h"

#define MAX_BYTES ((size_t)1024 * 1024) /* of input, and of scalars once aliases are resolved */
#define MAX_DEPTH 64
#define MAX_NODES 8192

#define YAML_TAG_PREFIX "tag:yaml.org,2002:"

struct anchor {
    char *name;
    const struct yaml_tree *node;
    bool open; /* its end has not been read yet */
};

struct loader {
    yaml_parser_t parser;
    const char *name;
    const char *text;
    struct anchor *anchors;
    size_t anchor_count;
    size_t nodes; /* made so far, and the bytes of their texts */
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

static int fail_at(const struct loader *loader, yaml_mark_t mark, const char *why)
{
    return yaml_tree_fail(loader->name, &(struct yaml_tree){.mark = mark}, why, loader->error);
}

static int fail_node(const struct loader *loader, const struct yaml_tree *node, const char *why)
{
    return yaml_tree_fail(loader->name, node, why, loader->error);
}

/* --- nodes from events --- */

static yaml_mark_t mark_of_offset(const char *text, size_t offset)
{
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset; i++) {
        mark.column = text[i] == '\n' ? 0 : mark.column + 1;
        mark.line += text[i] == '\n';
    }
    return mark;
}

static int fail_parser(const struct loader *loader)
{
    const yaml_parser_t *parser = &loader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        mem_exhausted();
    bool bad_bytes = parser->error == YAML_READER_ERROR;
    return fail_at(loader,
                   bad_bytes ? mark_of_offset(loader->text, parser->problem_offset)
                             : parser->problem_mark,
                   parser->problem);
}

/* Counts a node against the limits, so that a few aliases cannot blow up to gigabytes. */
static int admit(struct loader *loader, yaml_mark_t mark, size_t depth, size_t bytes)
{
    loader->nodes++;
    loader->bytes += bytes;
    if (depth > MAX_DEPTH)
        return fail_at(loader, mark, "nested deeper than 64 levels");
    if (loader->nodes > MAX_NODES || loader->bytes > MAX_BYTES)
        return fail_at(loader, mark, "too many nodes, or too large with its aliases resolved");
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

/* A deep copy for the alias at mark, which is where its nodes are said to be from then on. */
static int copy_node(struct loader *loader, const struct yaml_tree *node, yaml_mark_t mark,
                     size_t depth, struct yaml_tree **ret)
{
    if (admit(loader, mark, depth, node->length) != 0)
        return -1;
    cleanup_yaml_tree struct yaml_tree *copy = mem_new(struct yaml_tree);
    *copy = *node;
    copy->mark = mark;
    copy->tag = copy_tag(node->tag);
    copy->text = node->text ? copy_bytes(node->text, node->length) : NULL;
    copy->items = NULL;
    copy->count = 0;
    for (size_t i = 0; i < node->count; i++) {
        struct yaml_tree *item = NULL;
        if (copy_node(loader, node->items[i], mark, depth + 1, &item) != 0)
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
        return fail_at(loader, event->start_mark, "this alias has no anchor before it");
    if (anchor->open)
        return fail_at(loader, event->start_mark, "this alias stands inside what it names");
    return copy_node(loader, anchor->node, event->start_mark, depth, ret);
}

/* Returns the anchor's number for close_anchor, which matters only if there is one. */
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

static int next_event(struct loader *loader, yaml_event_t *event)
{
    return yaml_parser_parse(&loader->parser, event) ? 0 : fail_parser(loader);
}

static int load_node(struct loader *loader, const yaml_event_t *event, size_t depth,
                     struct yaml_tree **ret);

static int load_items(struct loader *loader, struct yaml_tree *collection, size_t depth)
{
    for (;;) {
        cleanup(yaml_event_delete) yaml_event_t event = {0};
        if (next_event(loader, &event) != 0)
            return -1;
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT)
            return 0;
        struct yaml_tree *item = NULL;
        if (load_node(loader, &event, depth, &item) != 0)
            return -1;
        yaml_tree_append(collection, item);
    }
}

/* "!" is no tag: it says that a scalar's text decides, quoted or not, and nothing of the others. */
static bool is_non_specific(const yaml_char_t *tag)
{
    return tag && strcmp((const char *)tag, "!") == 0;
}

/*
 * libyaml writes a tag that begins so in its short form, without escaping what the short form may
 * not hold: such a tag could not be read again, or would be another.
 */
static bool is_unwritable(const char *tag)
{
    static const char *const prefixes[] = {YAML_TAG_PREFIX, "!"};
    for (size_t i = 0; tag && i < ARRAY_SIZE(prefixes); i++)
        if (strncmp(tag, prefixes[i], strlen(prefixes[i])) == 0)
            return strpbrk(tag + strlen(prefixes[i]), "!,[]") != NULL;
    return false;
}

static void take_scalar(struct yaml_tree *node, const yaml_event_t *event)
{
    node->length = event->data.scalar.length;
    node->text = copy_bytes(event->data.scalar.value, node->length);
    node->style = event->data.scalar.style;
    node->resolved = event->data.scalar.plain_implicit || is_non_specific(event->data.scalar.tag);
}

static enum yaml_tree_kind kind_of(const yaml_event_t *event)
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

static int load_new(struct loader *loader, const yaml_event_t *event, size_t depth,
                    struct yaml_tree **ret)
{
    /* All three kinds of node begin with anchor and tag, so that scalar's name them for all. */
    const yaml_char_t *anchor = event->data.scalar.anchor;
    cleanup_yaml_tree struct yaml_tree *node = yaml_tree_new(kind_of(event));
    node->mark = event->start_mark;
    if (!is_non_specific(event->data.scalar.tag))
        node->tag = copy_tag(event->data.scalar.tag);
    if (node->kind == YAML_TREE_SCALAR)
        take_scalar(node, event);
    if (is_unwritable(node->tag))
        return fail_node(loader, node, "a short tag that holds one of !,[]");
    if (admit(loader, node->mark, depth, node->length) != 0)
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

/* The root, or NULL in *ret where the document holds none. */
static int load_root(struct loader *loader, struct yaml_tree **ret)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    for (;;) {
        cleanup(yaml_event_delete) yaml_event_t event = {0};
        if (next_event(loader, &event) != 0)
            return -1;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (root)
                return fail_at(loader, event.start_mark, "a second document; one is expected");
            break;
        case YAML_STREAM_END_EVENT:
            *ret = steal(root);
            return 0;
        default:
            if (load_node(loader, &event, 1, &root) != 0)
                return -1;
        }
    }
}

/* --- what the tree must hold to --- */

static bool is_merge_key(const struct yaml_tree *key)
{
    return key->resolved && key->length == 2 && memcmp(key->text, "<<", 2) == 0;
}

/* Gives map the keys of source: a map, or a list of maps of which earlier ones win. */
static int adopt(const struct loader *loader, struct yaml_tree *map, struct yaml_tree *source)
{
    if (source->kind == YAML_TREE_MAP) {
        yaml_tree_add_missing(map, source);
        return 0;
    }
    for (size_t i = 0; i < source->count; i++) {
        if (source->items[i]->kind != YAML_TREE_MAP)
            return fail_node(loader, source->items[i], "<< takes maps only");
        yaml_tree_add_missing(map, source->items[i]);
    }
    if (source->kind == YAML_TREE_SCALAR)
        return fail_node(loader, source, "<< takes maps only");
    return 0;
}

static int expand_merge_key(const struct loader *loader, struct yaml_tree *map)
{
    for (size_t i = 0; i < map->count; i += 2) {
        if (!is_merge_key(map->items[i]))
            continue;
        cleanup_yaml_tree struct yaml_tree *source = yaml_tree_take_at(map, i);
        return adopt(loader, map, source);
    }
    return 0;
}

static int refuse_duplicates(const struct loader *loader, const struct yaml_tree *map)
{
    for (size_t i = 0; i < map->count; i += 2)
        if (yaml_tree_find(map, map->items[i]) != i)
            return fail_node(loader, map->items[i], "this key stands twice in its map");
    return 0;
}

/* Inner maps first: what a map adopts is settled by then. */
static int settle(const struct loader *loader, struct yaml_tree *node)
{
    for (size_t i = 0; i < node->count; i++)
        if (settle(loader, node->items[i]) != 0)
            return -1;
    if (node->kind != YAML_TREE_MAP)
        return 0;
    if (refuse_duplicates(loader, node) != 0)
        return -1;
    return expand_merge_key(loader, node);
}

static int load_map(struct loader *loader, struct yaml_tree **ret)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    if (load_root(loader, &root) != 0)
        return -1;
    if (!root || yaml_tree_is_empty(root)) {
        *ret = yaml_tree_new(YAML_TREE_MAP);
        return 0;
    }
    if (root->kind != YAML_TREE_MAP)
        return fail_node(loader, root, "the document must be a map");
    if (settle(loader, root) != 0)
        return -1;
    *ret = steal(root);
    return 0;
}

int yaml_tree_load(const char *name, const char *text, size_t length, struct yaml_tree **ret,
                   struct error *error)
{
    cleanup(loader_free) struct loader loader = {.name = name, .text = text, .error = error};
    if (!yaml_parser_initialize(&loader.parser))
        mem_exhausted();
    if (length > MAX_BYTES)
        return fail_at(&loader, (yaml_mark_t){0}, "longer than 1 MiB");
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text, length);
    return load_map(&loader, ret);
}
