/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define ELLIPSIS      "..."
#define NUMBER_DIGITS 19 /* so many always fit into a uint64_t */

bool text_is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

bool text_is_all(const char *text, const char *set)
{
    return *text && !text[strspn(text, set)];
}

int text_index(const char *text, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    return -1;
}

bool text_number(const char *text, uint64_t most, uint64_t *ret)
{
    size_t digits = strspn(text, DIGITS);
    uint64_t number = strtoull(text, NULL, 10);
    if (digits == 0 || digits > NUMBER_DIGITS || text[digits] || (digits > 1 && *text == '0') ||
        number > most)
        return false;
    *ret = number;
    return true;
}

const char *text_after(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

bool text_ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

bool text_has_control(const char *text)
{
    while (*text && !iscntrl((unsigned char)*text))
        text++;
    return *text;
}

void text_mask(char *text)
{
    text_mask_n(text, strlen(text));
}

/* Returns true for characters by which a terminal moves or changes what it shows, and with which a
 * line ends: the control characters of ASCII and of Latin-1, those of bidirectional text, and the
 * separators of lines and paragraphs. */
static bool is_control_character(const char *at, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)at;
    if (length == 1)
        return iscntrl(bytes[0]);
    if (length == 2)
        return bytes[0] == 0xC2 && bytes[1] < 0xA0;
    return length == 3 && bytes[0] == 0xE2 &&
           ((bytes[1] == 0x80 && bytes[2] >= 0xA8 && bytes[2] <= 0xAE) ||
            (bytes[1] == 0x81 && bytes[2] >= 0xA6 && bytes[2] <= 0xA9));
}

/* Returns how many bytes from the first on are to be masked; 0 if they are a character that is
 * safe to show, whose length *ret_length is then. */
static size_t unsafe_length(const char *bytes, size_t left, size_t *ret_length)
{
    char character[5] = "";
    memcpy(character, bytes, left < 4 ? left : 4);
    const size_t length = text_character(character);
    *ret_length = length;
    if (length == 0)
        return 1;
    return is_control_character(character, length) ? length : 0;
}

void text_mask_n(char *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t step;
        const size_t masked = unsafe_length(bytes + i, length - i, &step);
        memset(bytes + i, '?', masked);
        i += masked > 0 ? masked : step;
    }
}

/* Returns how many of the length bytes of text fit into room bytes without cutting a UTF-8
 * character in two. */
static size_t whole_characters(const char *text, size_t length, size_t room)
{
    if (length <= room)
        return length;
    while (room > 0 && text_continues_character(text[room]))
        room--;
    return room;
}

void text_show(char *ret, size_t size, const char *text)
{
    struct slice line = slice_trim(slice_of(text), " \t\r\n");
    bool is_cut = line.length >= size;
    if (is_cut)
        line.length = whole_characters(line.text, line.length, size - sizeof ELLIPSIS);
    memcpy(ret, line.text, line.length);
    text_mask_n(ret, line.length);
    memcpy(ret + line.length, is_cut ? ELLIPSIS : "", is_cut ? sizeof ELLIPSIS : 1);
}

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

size_t text_character(const char *text)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t i = 0;
    while (i < ARRAY_SIZE(sequences) && bytes[0] > sequences[i].last)
        i++;
    if (i == ARRAY_SIZE(sequences) || bytes[0] < sequences[i].first)
        return 0;
    size_t length = sequences[i].length;
    if (length > 1 && (bytes[1] < sequences[i].second_from || bytes[1] > sequences[i].second_to))
        return 0;
    /* The NUL at the end of the text is no continuation byte, so the loop stops before it reads
     * past the end. */
    for (size_t byte = 2; byte < length; byte++)
        if (!text_continues_character(text[byte]))
            return 0;
    return length;
}

bool text_continues_character(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

bool slice_equals(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && slice_starts(slice, text);
}

bool slice_starts(struct slice slice, const char *prefix)
{
    size_t length = strlen(prefix);
    return slice.length >= length && memcmp(slice.text, prefix, length) == 0;
}

size_t slice_span(struct slice slice, const char *set)
{
    size_t n = 0;
    while (n < slice.length && text_is_one_of(slice.text[n], set))
        n++;
    return n;
}

struct slice slice_skip(struct slice slice, size_t n)
{
    return (struct slice){slice.text + n, slice.length - n};
}

struct slice slice_trim_end(struct slice slice, const char *set)
{
    while (slice.length > 0 && text_is_one_of(slice.text[slice.length - 1], set))
        slice.length--;
    return slice;
}

struct slice slice_trim(struct slice slice, const char *set)
{
    return slice_trim_end(slice_skip(slice, slice_span(slice, set)), set);
}

struct slice slice_take(struct slice *rest, char mark)
{
    const char *end = rest->length > 0 ? memchr(rest->text, mark, rest->length) : NULL;
    struct slice taken = {rest->text, end ? (size_t)(end - rest->text) : rest->length};
    *rest = slice_skip(*rest, taken.length + (end ? 1 : 0));
    return taken;
}

char *slice_copy(struct slice slice)
{
    return mem_copy_text_n(slice.text, slice.length);
}
