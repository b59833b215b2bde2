/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/tree.h"

#include <errno.h>
#include <string.h>

#include "schema/base/memory.h"

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
