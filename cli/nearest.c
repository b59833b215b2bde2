/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/nearest.h"

#include <string.h>

#define WORD_MAX 32 /* longer ones are near to nothing */

static unsigned int least(unsigned int a, unsigned int b, unsigned int c)
{
    unsigned int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance, row by row. b is no longer than WORD_MAX. */
static unsigned int distance(const char *a, const char *b)
{
    unsigned int row[WORD_MAX + 1];
    size_t width = strlen(b);
    for (unsigned int j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned int i = 0; a[i]; i++) {
        unsigned int diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            unsigned int above = row[j + 1];
            row[j + 1] = least(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[width];
}

/* A third of the word, and at least two slips: "gests" is near, "xyz" is not. */
static unsigned int tolerance(const char *word)
{
    unsigned int third = (unsigned int)strlen(word) / 3;
    return third > 2 ? third : 2;
}

const char *nearest_of(const char *text, const char *const *candidates, size_t count)
{
    const char *nearest = NULL;
    unsigned int best = WORD_MAX;
    if (strlen(text) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned int found = distance(candidates[i], text);
        if (found < best && found <= tolerance(candidates[i])) {
            best = found;
            nearest = candidates[i];
        }
    }
    return nearest;
}
