/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/tree.h"

#include <errno.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/units.h"

#define MAX_BYTES (MIB) /* of input, and of scalars once aliases are resolved */
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

#define UNFOLDED (-1)

static int add_piece(void *out, unsigned char *bytes, size_t length)
{
    buffer_add(out, bytes, length);
    return 1;
}

/*
 * Whether the scalar is a text if it stands in quotes. The emitter quotes what it cannot write
 * plainly, which is right for whatever was a text before; nothing at all (null) and a date with a
 * tab in it were not. Those, like what was read with a "!" before its quotes, get a "!".
 */
static bool is_text_in_quotes(const struct yaml_tree *scalar)
{
    if (!scalar->resolved)
        return true;
    return scalar->style == YAML_PLAIN_SCALAR_STYLE && scalar->length > 0 &&
           !memchr(scalar->text, '\t', scalar->length);
}

/* Hands an event over, if making it succeeded. As throughout below: non-zero is success, as in
 * libyaml. */
static int put(yaml_emitter_t *emitter, int made, yaml_event_t *event)
{
    return made && yaml_emitter_emit(emitter, event);
}

static int put_scalar(yaml_emitter_t *emitter, const struct yaml_tree *scalar)
{
    yaml_event_t event;
    bool quotable = !scalar->tag && is_text_in_quotes(scalar);
    int made = yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *)scalar->tag,
                                            (const yaml_char_t *)scalar->text, (int)scalar->length,
                                            scalar->resolved, quotable, scalar->style);
    return put(emitter, made, &event);
}

static int put_start(yaml_emitter_t *emitter, const struct yaml_tree *collection)
{
    yaml_event_t event;
    const yaml_char_t *tag = (const yaml_char_t *)collection->tag;
    int made =
        collection->kind == YAML_TREE_MAP
            ? yaml_mapping_start_event_initialize(&event, NULL, tag, !tag, YAML_BLOCK_MAPPING_STYLE)
            : yaml_sequence_start_event_initialize(&event, NULL, tag, !tag,
                                                   YAML_BLOCK_SEQUENCE_STYLE);
    return put(emitter, made, &event);
}

static int put_end(yaml_emitter_t *emitter, const struct yaml_tree *collection)
{
    yaml_event_t event;
    int made = collection->kind == YAML_TREE_MAP ? yaml_mapping_end_event_initialize(&event)
                                                 : yaml_sequence_end_event_initialize(&event);
    return put(emitter, made, &event);
}

static int put_node(yaml_emitter_t *emitter, const struct yaml_tree *node)
{
    if (node->kind == YAML_TREE_SCALAR)
        return put_scalar(emitter, node);
    int good = put_start(emitter, node);
    for (size_t i = 0; good && i < node->count; i++)
        good = put_node(emitter, node->items[i]);
    return good && put_end(emitter, node);
}

static int put_document(yaml_emitter_t *emitter, const struct yaml_tree *root)
{
    yaml_event_t start;
    yaml_event_t end;
    return yaml_emitter_open(emitter) &&
           put(emitter, yaml_document_start_event_initialize(&start, NULL, NULL, NULL, 1),
               &start) &&
           put_node(emitter, root) &&
           put(emitter, yaml_document_end_event_initialize(&end, 1), &end) &&
           yaml_emitter_close(emitter);
}

/* For an event that it could not make libyaml gives no reason. */
static int fail_emitter(const yaml_emitter_t *emitter, struct error *error)
{
    if (emitter->error == YAML_MEMORY_ERROR || errno == ENOMEM)
        mem_exhausted();
    return fail(error, ERROR_INVALID, "cannot be written as YAML: %s",
                emitter->problem ? emitter->problem : "a text is not UTF-8");
}

int yaml_tree_emit(const struct yaml_tree *tree, struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer document = BUFFER_EMPTY;
    cleanup(yaml_emitter_delete) yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        mem_exhausted();
    yaml_emitter_set_output(&emitter, add_piece, &document);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, UNFOLDED);
    errno = 0;
    if (!put_document(&emitter, tree))
        return fail_emitter(&emitter, error);
    buffer_add(out, document.data, document.length);
    return 0;
}

struct yaml_tree *yaml_tree_new(enum yaml_tree_kind kind)
{
    struct yaml_tree *tree = mem_new(struct yaml_tree);
    tree->kind = kind;
    return tree;
}

static struct yaml_tree *new_scalar(const char *text, yaml_scalar_style_t style)
{
    struct yaml_tree *scalar = yaml_tree_new(YAML_TREE_SCALAR);
    scalar->text = mem_copy_text(text);
    scalar->length = strlen(text);
    scalar->style = style;
    scalar->resolved = style == YAML_PLAIN_SCALAR_STYLE;
    return scalar;
}

struct yaml_tree *yaml_tree_new_text(const char *text)
{
    return new_scalar(text, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

struct yaml_tree *yaml_tree_new_plain(const char *text)
{
    return new_scalar(text, YAML_PLAIN_SCALAR_STYLE);
}

void yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree)
        return;
    for (size_t i = 0; i < tree->count; i++)
        yaml_tree_free(tree->items[i]);
    if (tree->text)
        explicit_bzero(tree->text, tree->length);
    free(tree->items);
    free(tree->text);
    free(tree->tag);
    free(tree);
}

void yaml_tree_append(struct yaml_tree *tree, struct yaml_tree *item)
{
    size_t count = tree->count;
    bool power_of_two = (count & (count - 1)) == 0;
    if (power_of_two)
        tree->items = mem_resize(tree->items, count ? 2 * count : 1, sizeof(struct yaml_tree *));
    tree->items[tree->count++] = item;
}

bool yaml_tree_is_empty(const struct yaml_tree *tree)
{
    return tree->kind == YAML_TREE_SCALAR && tree->resolved && tree->length == 0;
}

/* !!str says what a string is anyway. */
static const char *telling_tag(const struct yaml_tree *tree)
{
    return tree->tag && strcmp(tree->tag, YAML_STR_TAG) != 0 ? tree->tag : "";
}

static bool equal(const struct yaml_tree *a, const struct yaml_tree *b)
{
    if (a->kind != b->kind || a->length != b->length || a->count != b->count)
        return false;
    if (a->length > 0 && memcmp(a->text, b->text, a->length) != 0)
        return false;
    if (strcmp(telling_tag(a), telling_tag(b)) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!equal(a->items[i], b->items[i]))
            return false;
    return true;
}

size_t yaml_tree_find(const struct yaml_tree *map, const struct yaml_tree *key)
{
    size_t place = 0;
    while (place < map->count && !equal(map->items[place], key))
        place += 2;
    return place;
}

static void merge_pair(struct yaml_tree *map, struct yaml_tree *key, struct yaml_tree *value)
{
    size_t place = yaml_tree_find(map, key);
    if (place == map->count) {
        yaml_tree_append(map, key);
        yaml_tree_append(map, value);
        return;
    }
    yaml_tree_free(key);
    struct yaml_tree **old = &map->items[place + 1];
    if ((*old)->kind == YAML_TREE_MAP && value->kind == YAML_TREE_MAP) {
        yaml_tree_merge(*old, value);
        return;
    }
    yaml_tree_free(*old);
    *old = value;
}

void yaml_tree_merge(struct yaml_tree *map, struct yaml_tree *over)
{
    for (size_t i = 0; i < over->count; i += 2)
        merge_pair(map, over->items[i], over->items[i + 1]);
    over->count = 0;
    if (over->tag) {
        free(map->tag);
        map->tag = steal(over->tag);
    }
    yaml_tree_free(over);
}

void yaml_tree_put(struct yaml_tree *map, const char *key, struct yaml_tree *value)
{
    merge_pair(map, new_scalar(key, YAML_PLAIN_SCALAR_STYLE), value);
}

struct yaml_tree *yaml_tree_take_at(struct yaml_tree *map, size_t place)
{
    struct yaml_tree **pair = &map->items[place];
    struct yaml_tree *value = pair[1];
    yaml_tree_free(pair[0]);
    map->count -= 2;
    memmove(pair, pair + 2, (map->count - place) * sizeof(struct yaml_tree *));
    return value;
}

struct yaml_tree *yaml_tree_take(struct yaml_tree *map, const char *key)
{
    cleanup_yaml_tree struct yaml_tree *wanted = new_scalar(key, YAML_PLAIN_SCALAR_STYLE);
    size_t place = yaml_tree_find(map, wanted);
    return place < map->count ? yaml_tree_take_at(map, place) : NULL;
}

void yaml_tree_add_missing(struct yaml_tree *map, struct yaml_tree *other)
{
    size_t kept = 0;
    for (size_t i = 0; i < other->count; i += 2) {
        struct yaml_tree **pair = &other->items[i];
        bool missing = yaml_tree_find(map, pair[0]) == map->count;
        for (size_t part = 0; part < 2; part++) {
            if (missing)
                yaml_tree_append(map, pair[part]);
            else
                other->items[kept++] = pair[part];
        }
    }
    other->count = kept;
}

int yaml_tree_fail(const char *name, const struct yaml_tree *node, const char *why,
                   struct error *error)
{
    return fail(error, ERROR_INVALID, "%s:%zu:%zu: %s", name, node->mark.line + 1,
                node->mark.column + 1, why);
}
