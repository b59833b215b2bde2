/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The C library's own free under its other name; the name "free" resolves to wiping_free. */
extern void __libc_free(void *memory); /* NOLINT(bugprone-reserved-identifier) */

void wiping_free(void *memory)
{
    if (!memory)
        return;
    explicit_bzero(memory, malloc_usable_size(memory));
    __libc_free(memory);
}

static void *wiping_move(void *memory, size_t length, size_t size)
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
    return size <= length && size >= length / 2 ? memory : wiping_move(memory, length, size);
}

#define PAGE_SIZE     ((size_t)4096)
#define PAGES_AT_ONCE ((size_t)64)

static char *heap_start;

void mem_mark_heap(void)
{
    (void)mallopt(M_MMAP_MAX, 0);
    (void)mallopt(M_TRIM_THRESHOLD, -1);
    heap_start = mem_new(char);
}

/* Zeroes the pages that are in memory, which all are that were written to; all of them if the
 * kernel does not say which. */
static void wipe_pages(char *pages, size_t count)
{
    unsigned char in_memory[PAGES_AT_ONCE];
    bool known = mincore(pages, count * PAGE_SIZE, in_memory) == 0;
    for (size_t i = 0; i < count; i++)
        if (!known || in_memory[i])
            explicit_bzero(pages + i * PAGE_SIZE, PAGE_SIZE);
}

/* The heap ends with a page; its first bytes, before the start, are the C library's own. */
void mem_wipe_heap(void)
{
    if (!heap_start)
        return;
    const char *end = sbrk(0);
    size_t before = PAGE_SIZE - (uintptr_t)heap_start % PAGE_SIZE;
    explicit_bzero(heap_start, before);
    for (char *page = heap_start + before; page < end;) {
        size_t left = ((size_t)(end - page) + PAGE_SIZE - 1) / PAGE_SIZE;
        size_t count = left < PAGES_AT_ONCE ? left : PAGES_AT_ONCE;
        wipe_pages(page, count);
        page += count * PAGE_SIZE;
    }
}

static int exit_status = EXIT_MEMORY;

void mem_exit_with(int status)
{
    exit_status = status;
}

void mem_exhausted(void)
{
    static const char text[] = "felhom-agent: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(exit_status);
}

void *mem_new_array(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        mem_exhausted();
    return memory;
}

void *mem_resize(void *array, size_t count, size_t size)
{
    void *memory = reallocarray(array, count ? count : 1, size);
    if (!memory)
        mem_exhausted();
    return memory;
}

void *mem_grow(void *array, size_t count, size_t size)
{
    bool is_full = (count & (count - 1)) == 0; /* 0 or a power of two */
    return is_full ? mem_resize(array, count ? 2 * count : 1, size) : array;
}

char *mem_copy_text(const char *text)
{
    return mem_copy_text_n(text, strlen(text));
}

char *mem_copy_text_n(const char *text, size_t n)
{
    char *copy = strndup(text, n);
    if (!copy)
        mem_exhausted();
    return copy;
}

char *mem_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0 || !text)
        mem_exhausted();
    return text;
}
