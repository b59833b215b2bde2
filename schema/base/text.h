/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts: sets of characters, prefixes, slices (texts that do not end with a NUL), UTF-8, and what
 * may be shown of a text that comes from outside. Control characters are those of ASCII, 0 to 31
 * and 127.
 */
#ifndef FELHOM_TEXT_H
#define FELHOM_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Sets for strspn() and the functions below. */
#define DIGITS     "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"
#define LOWER      "abcdefghijklmnopqrstuvwxyz"
#define LETTERS    LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM      LETTERS DIGITS
#define BLANKS     " \t"
#define SPACES     " \t\n\v\f\r" /* what isspace() accepts in the C locale */

/* True if the character is one of the set. A NUL never is. */
bool text_is_one_of(char c, const char *set);

/* True if the text has at least one character, and each of them is one of the set. */
bool text_is_all(const char *text, const char *set);

/* What follows the prefix in the text; NULL if the text does not begin with it. */
const char *text_after(const char *text, const char *prefix);

bool text_ends_with(const char *text, const char *end);

/* True if the text has a control character. */
bool text_has_control(const char *text);

/* Replaces each control character with '?', so that a line stays one line and a terminal takes
 * nothing for a command. */
void text_mask(char *text);
void text_mask_n(char *bytes, size_t length);

/*
 * Copies text as one line that is fit to be shown: blanks and line ends around it are left out,
 * control characters within it become '?'. A text that does not fit into size bytes is cut between
 * two characters and ends with "...".
 */
void text_show(char *ret, size_t size, const char *text);

/* The length of the UTF-8 character at the start of the text, 1 to 4 bytes; 0 if there is none
 * (an overlong form, a surrogate, a stray byte). A NUL counts as a character of one byte. */
size_t text_character(const char *text);

/* True for a byte that continues a UTF-8 character which an earlier byte began. */
bool text_continues_character(char byte);

/* A piece of a text, borrowed; not ended by a NUL. */
struct slice {
    const char *text;
    size_t length;
};

struct slice slice_of(const char *text);
bool slice_equals(struct slice slice, const char *text);
bool slice_starts(struct slice slice, const char *prefix);

/* How many bytes at the start of the slice are of the set. */
size_t slice_span(struct slice slice, const char *set);

/* The slice without its first n bytes, of which there must be as many. */
struct slice slice_skip(struct slice slice, size_t n);

/* The slice without the characters of the set at its end, or at both ends. */
struct slice slice_trim_end(struct slice slice, const char *set);
struct slice slice_trim(struct slice slice, const char *set);

/* Takes off the front of *rest what stands before the mark, and drops the mark; takes all if there
 * is no mark. */
struct slice slice_take(struct slice *rest, char mark);

/* A copy that ends with a NUL, to be freed with free(). */
char *slice_copy(struct slice slice);

#endif
