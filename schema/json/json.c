/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/json/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* The well-formed UTF-8 sequences by their first byte (Unicode, table 3-7). */
static const struct {
    uint8_t first, last;
    uint8_t second_from, second_to;
    uint8_t length;
} sequences[] = {
    {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

/* Stops at the text's NUL, which continues no sequence. */
static bool continues(const uint8_t *bytes, size_t length)
{
    for (size_t i = 2; i < length; i++)
        if (bytes[i] < 0x80 || bytes[i] > 0xBF)
            return false;
    return true;
}

/* The length of the sequence at bytes; 0 where there is none. */
static size_t sequence_length(const uint8_t *bytes)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(sequences) && bytes[0] > sequences[i].last)
        i++;
    if (i == ARRAY_SIZE(sequences) || bytes[0] < sequences[i].first)
        return 0;
    size_t length = sequences[i].length;
    if (length == 1)
        return 1;
    if (bytes[1] < sequences[i].second_from || bytes[1] > sequences[i].second_to)
        return 0;
    return continues(bytes, length) ? length : 0;
}

static void add_mended(const char *text, struct buffer *out)
{
    while (*text) {
        size_t length = sequence_length((const uint8_t *)text);
        if (length)
            buffer_add(out, text, length);
        else
            buffer_add_text(out, REPLACEMENT);
        text += length ? length : 1;
    }
}

static json_t *mended_text(const char *text)
{
    cleanup_buffer struct buffer mended = BUFFER_EMPTY;
    add_mended(text, &mended);
    return json_stringn(buffer_text(&mended), mended.length);
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text); /* NULL where it is not UTF-8 */
    if (!value)
        value = mended_text(text);
    if (!value)
        mem_exhausted();
    return value;
}

void json_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) < 0)
        mem_exhausted();
}

void json_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0)
        mem_exhausted();
}

static int add_piece(const char *bytes, size_t length, void *out)
{
    buffer_add(out, bytes, length);
    return 0;
}

void json_write(const json_t *value, size_t flags, struct buffer *out)
{
    if (json_dump_callback(value, add_piece, out, flags) != 0)
        mem_exhausted();
}

static void wipe_strings(json_t *value)
{
    for (void *i = json_object_iter(value); i; i = json_object_iter_next(value, i))
        wipe_strings(json_object_iter_value(i));
    for (size_t i = 0; i < json_array_size(value); i++)
        wipe_strings(json_array_get(value, i));
    /* The copy is jansson's own and about to be freed: nobody reads it after this. */
    if (json_is_string(value))
        explicit_bzero((char *)json_string_value(value), json_string_length(value));
}

void json_wipe(json_t *value)
{
    wipe_strings(value);
    json_decref(value);
}
