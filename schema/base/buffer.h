/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing run of bytes, always followed by a NUL that does not count. Documents that hold a token
 * are built in it, so it wipes every piece of memory it lets go of.
 */
#ifndef FELHOM_BUFFER_H
#define FELHOM_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data; /* NULL while nothing was added */
    size_t length;
    size_t capacity;
};

#define BUFFER_EMPTY ((struct buffer){NULL, 0, 0})

/* Adds length bytes. */
void buffer_add(struct buffer *buffer, const void *bytes, size_t length);

/* Adds a NUL-terminated text, without its NUL. */
void buffer_add_text(struct buffer *buffer, const char *text);

/* Adds formatted text. */
void buffer_add_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes room for extra more bytes and returns where they go; buffer->length is the caller's to
 * raise. */
char *buffer_reserve(struct buffer *buffer, size_t extra);

/* The content as text; "" while empty. Valid until the next change. */
const char *buffer_text(const struct buffer *buffer);

/* Wipes and frees; the buffer is empty afterwards. Fits cleanup(). */
void buffer_free(struct buffer *buffer);

#define cleanup_buffer cleanup(buffer_free)

#endif
