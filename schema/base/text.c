/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define ELLIPSIS "..."

static bool is_blank(char c)
{
    return c && strchr(" \t\r\n", c);
}

/* Whether the byte goes on with a character that another began. */
static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* At most room of text's length bytes that end between two characters. */
static size_t whole_characters(const char *text, size_t length, size_t room)
{
    if (length <= room)
        return length;
    while (room > 0 && is_continuation(text[room]))
        room--;
    return room;
}

void shown_text(char *ret, size_t size, const char *text)
{
    while (is_blank(*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    bool is_cut = length >= size;
    if (is_cut)
        length = whole_characters(text, length, size - sizeof ELLIPSIS);
    for (size_t i = 0; i < length; i++)
        ret[i] = (char)(iscntrl((unsigned char)text[i]) ? '?' : text[i]);
    memcpy(ret + length, is_cut ? ELLIPSIS : "", is_cut ? sizeof ELLIPSIS : 1);
}
