/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is freed is wiped, whoever frees it: SQLite, libyaml, jansson, libcurl and OpenSSL hold
 * copies of secrets, too, and give them back as they are. The Makefile links these two in the place
 * of the C library's free and realloc, in the programs and for all libraries that they use;
 * sanitizers, which have a heap of their own, do without.
 */
#ifndef FELHOM_HEAP_H
#define FELHOM_HEAP_H

#include <stddef.h>

/* As free(3), after wiping all of the block. */
void wiping_free(void *memory);

/* As realloc(3), and nothing is left where it moves from. A block that is cut by less than half
 * stays as large as it was. */
void *wiping_realloc(void *memory, size_t size);

#endif
