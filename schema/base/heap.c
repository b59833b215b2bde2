/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/heap.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* The C library's own by its other name: free is ours. */
extern void __libc_free(void *memory); /* NOLINT(bugprone-reserved-identifier) */

void wiping_free(void *memory)
{
    if (!memory)
        return;
    explicit_bzero(memory, malloc_usable_size(memory));
    __libc_free(memory);
}

static void *move(void *memory, size_t length, size_t size)
{
    void *moved = malloc(size);
    if (!moved)
        return NULL;
    memcpy(moved, memory, length < size ? length : size);
    wiping_free(memory);
    return moved;
}

void *wiping_realloc(void *memory, size_t size)
{
    if (!memory)
        return malloc(size);
    if (size == 0) {
        wiping_free(memory);
        return NULL;
    }
    size_t length = malloc_usable_size(memory);
    return size <= length && size >= length / 2 ? memory : move(memory, length, size);
}
