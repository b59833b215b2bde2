/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"

#define BUFFER_FIRST 512

static size_t grown_capacity(size_t capacity, size_t needed)
{
    size_t size = capacity ? capacity : BUFFER_FIRST;
    while (size < needed) {
        if (size > SIZE_MAX / 2)
            mem_exhausted();
        size *= 2;
    }
    return size;
}

/* realloc would leave an unwiped copy behind when it moves the block. */
static void buffer_grow(struct buffer *buffer, size_t extra)
{
    if (extra > SIZE_MAX - buffer->length - 1)
        mem_exhausted();
    size_t capacity = grown_capacity(buffer->capacity, buffer->length + extra + 1);
    char *data = mem_new_array(capacity, 1);
    size_t length = buffer->length;
    if (length)
        memcpy(data, buffer->data, length);
    buffer_free(buffer);
    *buffer = (struct buffer){data, length, capacity};
}

char *buffer_reserve(struct buffer *buffer, size_t extra)
{
    if (extra >= buffer->capacity - buffer->length)
        buffer_grow(buffer, extra);
    return buffer->data + buffer->length;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t length)
{
    char *room = buffer_reserve(buffer, length);
    if (length)
        memcpy(room, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_add_format(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    char *room = buffer_reserve(buffer, 0);
    size_t size = buffer->capacity - buffer->length;
    int length = vsnprintf(room, size, format, args);
    va_end(args);
    if (length < 0)
        mem_exhausted();
    if ((size_t)length >= size)
        (void)vsnprintf(buffer_reserve(buffer, (size_t)length), (size_t)length + 1, format, again);
    va_end(again);
    buffer->length += (size_t)length;
}

const char *buffer_text(const struct buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

bool buffer_equals(const struct buffer *one, const struct buffer *other)
{
    return one->length == other->length &&
           memcmp(buffer_text(one), buffer_text(other), one->length) == 0;
}

void buffer_free(struct buffer *buffer)
{
    if (buffer->data)
        explicit_bzero(buffer->data, buffer->capacity);
    free(buffer->data);
    *buffer = BUFFER_EMPTY;
}
