/* SPDX-License-Identifier: Apache-2.0 */
/* Texts from outside, on their way into a message. */
#ifndef FELHOM_SHOWN_TEXT_H
#define FELHOM_SHOWN_TEXT_H

#include <stddef.h>

/*
 * Copies text as one line that is fit to be shown: blanks and line ends around it are left out,
 * control characters within it become '?'. Where size does not suffice it is cut between two
 * characters, and "..." shows it.
 */
void shown_text(char *ret, size_t size, const char *text);

#endif
