/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
