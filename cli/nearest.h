/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody who mistyped a word may have meant. */
#ifndef FELHOM_NEAREST_H
#define FELHOM_NEAREST_H

#include <stddef.h>

/* The candidate that takes the fewest typing slips to become text, NULL where none is near. */
const char *nearest_of(const char *text, const char *const *candidates, size_t count);

#endif
