/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory allocation that cannot fail: when memory runs out, the process writes one line to standard
 * error and ends with EXIT_MEMORY, so callers need no error branches for it. The parent process
 * decides what happens next: felhom-hook's supervisor applies the operator's on_error policy (main
 * does so if the supervisor itself runs out of memory), and systemd restarts felhomd.
 *
 * The second half declares free and realloc replacements that wipe memory.
 */
#ifndef FELHOM_MEMORY_H
#define FELHOM_MEMORY_H

#include <stddef.h>

#define EXIT_MEMORY 71 /* sysexits' EX_OSERR */

/* Returns zeroed memory for count objects of size bytes. The caller frees it with free(). */
void *mem_new_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
#define mem_new(type) ((type *)mem_new_array(1, sizeof(type)))

/* Resizes an array to count objects of size bytes, as realloc does, and returns its new address.
 * New space is not zeroed. */
void *mem_resize(void *array, size_t count, size_t size) __attribute__((returns_nonnull));

/*
 * Makes room for one more object in an array that has count of them and that only this function
 * has sized, as mem_resize does. The array has room for the next power of two, so that an array
 * which grows to n objects is copied log(n) times.
 */
void *mem_grow(void *array, size_t count, size_t size) __attribute__((returns_nonnull));

/* Return a copy of the text, which the caller frees with free(). mem_copy_text_n copies at most n
 * bytes and appends a NUL. */
char *mem_copy_text(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_copy_text_n(const char *text, size_t n) __attribute__((malloc, returns_nonnull));

/* Formats text as printf does. The caller frees the result with free(). */
char *mem_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* Sets the exit status that the process ends with when memory runs out. Called by main. */
void mem_exit_with(int status);

/* Ends the process as described at the top. For use with libraries that report lack of memory
 * themselves. */
void mem_exhausted(void) __attribute__((noreturn, cold));

/*
 * Replacements for free and realloc that wipe all memory before it is released, whoever releases
 * it: SQLite, libyaml, jansson, libcurl and OpenSSL hold copies of secrets, too, and free them
 * unwiped. The Makefile links these two in place of the C library's free and realloc, for felhomd,
 * felhomctl and all libraries that they use. felhom-hook, which ends after some milliseconds, wipes
 * its whole heap at its end instead. Builds with sanitizers, which bring their own heap, go
 * without.
 */

/* Like free(3), but wipes the whole block first. */
void wiping_free(void *memory);

/* Like realloc(3), but wipes the old block if the content has to move. A block that shrinks by less
 * than half keeps its size. */
void *wiping_realloc(void *memory, size_t size);

/*
 * mem_mark_heap: from now on whatever is allocated can be wiped by mem_wipe_heap. To be called
 * first of all. mem_wipe_heap: wipes all of it, in use or not; afterwards the process can only end,
 * by _exit(2). For a process with one thread.
 */
void mem_mark_heap(void);
void mem_wipe_heap(void);

#endif
