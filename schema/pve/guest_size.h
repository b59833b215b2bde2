/* SPDX-License-Identifier: Apache-2.0 */
/* The size of a disk as a guest's configuration has it: 8G, 1.5T, 512M, 4194304. */
#ifndef FELHOM_GUEST_SIZE_H
#define FELHOM_GUEST_SIZE_H

#include <stdbool.h>

/*
 * Reads digits, an optional fraction and an optional K, M, G or T (or KiB, MiB, GiB, TiB). *ret
 * becomes the number of whole bytes, as far as a double is exact above 2^64. False for anything
 * else, *ret untouched.
 */
bool guest_size_parse(const char *text, long double *ret);

#endif
