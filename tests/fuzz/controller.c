/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three sources, with NULs between them, merged into a controller.yaml. Beside not crashing: what
 * is written is read again as the very same tree, and rendering again from it changes nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/guest_documents.h"
#include "schema/yaml/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Plain texts that the emitter quotes: with such bytes, or alike to a document's border or an
 * indicator. */
static bool may_be_quoted(const struct yaml_tree *scalar)
{
    if (scalar->length >= 3 && (!memcmp(scalar->text, "---", 3) || !memcmp(scalar->text, "...", 3)))
        return true;
    if (scalar->length > 0 && strchr("-?:", scalar->text[scalar->length - 1]))
        return true;
    for (size_t i = 0; i < scalar->length; i++)
        if (scalar->text[i] < ' ' || scalar->text[i] > '~')
            return true;
    return false;
}

static void must_be_same(const struct yaml_tree *a, const struct yaml_tree *b)
{
    must(a->kind == b->kind && a->count == b->count && a->length == b->length);
    must(!a->tag == !b->tag && (!a->tag || strcmp(a->tag, b->tag) == 0));
    must(a->length == 0 || memcmp(a->text, b->text, a->length) == 0);
    must(a->resolved == b->resolved || (a->resolved && may_be_quoted(a)));
    for (size_t i = 0; i < a->count; i++)
        must_be_same(a->items[i], b->items[i]);
}

static void check_round_trip(const struct yaml_source *source)
{
    cleanup_yaml_tree struct yaml_tree *tree = NULL;
    cleanup_yaml_tree struct yaml_tree *again = NULL;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    struct error error;
    if (yaml_tree_load(source->name, source->text, source->length, &tree, &error) != 0)
        return;
    must(yaml_tree_emit(tree, &text, &error) == 0);
    if (text.length > 512 * 1024) /* indented beyond what is read */
        return;
    must(yaml_tree_load("again", buffer_text(&text), text.length, &again, &error) == 0);
    must_be_same(tree, again);
}

static void check_render(struct controller *controller)
{
    cleanup_buffer struct buffer first = BUFFER_EMPTY;
    cleanup_buffer struct buffer second = BUFFER_EMPTY;
    struct error error;
    if (controller_render(controller, &first, &error) != 0 || first.length > 512 * 1024)
        return;
    controller->template = (struct yaml_source){"first", first.data, first.length};
    controller->hub = controller->enrolment = (struct yaml_source){"none", NULL, 0};
    must(controller_render(controller, &second, &error) == 0);
    must(strcmp(buffer_text(&first), buffer_text(&second)) == 0);
}

/* The bytes up to the next NUL or the end, of which *data and *size are moved past. */
static struct yaml_source next_source(const char *name, const char **data, size_t *size)
{
    const char *end = memchr(*data, '\0', *size);
    size_t length = end ? (size_t)(end - *data) : *size;
    struct yaml_source source = {name, *data, length};
    size_t past = end ? length + 1 : length;
    *data += past;
    *size -= past;
    return source;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *rest = size ? (const char *)data : "";
    struct controller controller = {
        .customer_id = "acme",
        .hub_url = "",
        .endpoint = "192.168.0.162:8443",
        .fingerprint = "12:34",
        .fingerprint_next = "",
        .token = "fh1_token",
    };
    controller.template = next_source("template", &rest, &size);
    controller.hub = next_source("hub", &rest, &size);
    controller.enrolment = next_source("enrolment", &rest, &size);
    check_round_trip(&controller.template);
    check_render(&controller);
    return 0;
}
