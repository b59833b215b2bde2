/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail: when memory is out the process ends with EXIT_MEMORY, so callers
 * carry no branches for it. What that means is decided by whoever waits for the process:
 * felhom-hook's supervisor applies the operator's on_error policy, and main does so for the
 * supervisor itself; systemd starts felhomd again.
 */
#ifndef FELHOM_MEMORY_H
#define FELHOM_MEMORY_H

#include <stddef.h>

#define EXIT_MEMORY 71 /* sysexits' EX_OSERR */

/* Zeroed memory for count objects of size bytes; the caller frees it with free(). */
void *mem_new_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
#define mem_new(type) ((type *)mem_new_array(1, sizeof(type)))

/* An array grown to count objects of size bytes; new space is not cleared. Frees the old one. */
void *mem_resize(void *array, size_t count, size_t size) __attribute__((returns_nonnull));

/* Copies to be freed with free(). mem_copy_text_n copies at most n bytes and ends with a NUL. */
char *mem_copy_text(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_copy_text_n(const char *text, size_t n) __attribute__((malloc, returns_nonnull));

/* printf into fresh memory, to be freed with free(). */
char *mem_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* What the process ends with from then on when memory is out; for main. */
void mem_exit_with(int status);

/* Ends the process as above; for libraries that report lack of memory themselves. */
void mem_exhausted(void) __attribute__((noreturn, cold));

/*
 * What is freed is wiped, whoever frees it: SQLite, libyaml, jansson, libcurl and OpenSSL hold
 * copies of secrets, too, and give them back as they are. The Makefile links these two in the place
 * of the C library's free and realloc, in the programs and for all libraries that they use;
 * sanitizers, which have a heap of their own, do without.
 */

/* As free(3), after wiping all of the block. */
void wiping_free(void *memory);

/* As realloc(3), and nothing is left where it moves from. A block that is cut by less than half
 * stays as large as it was. */
void *wiping_realloc(void *memory, size_t size);

#endif
