/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte buffer that grows as needed and always has a NUL after its content (length does not count
 * the NUL). Documents that contain a token are built in such buffers, so every block of memory is
 * wiped before it is freed. Start from BUFFER_EMPTY and end with buffer_free; adding cannot fail,
 * because the process ends when memory runs out (memory.h).
 */
#ifndef FELHOM_BUFFER_H
#define FELHOM_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data; /* NULL until something is added */
    size_t length;
    size_t capacity;
};

#define BUFFER_EMPTY ((struct buffer){NULL, 0, 0})

/* Appends length bytes. */
void buffer_add(struct buffer *buffer, const void *bytes, size_t length);

/* Appends a NUL-terminated text, without its NUL. */
void buffer_add_text(struct buffer *buffer, const char *text);

/* Appends text formatted as by printf. */
void buffer_add_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes room for extra more bytes and returns the address where the caller may write them. The
 * caller then adds to buffer->length however many it wrote. */
char *buffer_reserve(struct buffer *buffer, size_t extra);

/* Returns the content as a NUL-terminated text, "" while the buffer is empty. The buffer owns the
 * text; it is valid until the buffer changes. */
const char *buffer_text(const struct buffer *buffer);

bool buffer_equals(const struct buffer *one, const struct buffer *other);

/* Wipes and frees the content; the buffer is empty afterwards. Can be used with cleanup(). */
void buffer_free(struct buffer *buffer);

#define cleanup_buffer cleanup(buffer_free)

#endif
