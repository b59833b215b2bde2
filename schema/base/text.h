/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text helpers: character sets, prefixes and suffixes, UTF-8, slices (pieces of a text that do not
 * end with a NUL), and making text from outside safe to show on a terminal or in a log. Control
 * characters are those of ASCII, 0 to 31 and 127; blanks are space and tab.
 */
#ifndef FELHOM_TEXT_H
#define FELHOM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Character sets for strspn() and the functions below. */
#define DIGITS     "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"
#define LOWER      "abcdefghijklmnopqrstuvwxyz"
#define LETTERS    LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM      LETTERS DIGITS
#define BLANKS     " \t"
#define SPACES     " \t\n\v\f\r" /* what isspace() accepts in the C locale */

/* Returns true if the character is in the set. A NUL never is. */
bool text_is_one_of(char c, const char *set);

/* Returns true if the text has at least one character and all of them are in the set. */
bool text_is_all(const char *text, const char *set);

/* Returns the text's index in a list of words that ends with NULL; -1 if it is none of them. */
int text_index(const char *text, const char *const *words);

/* Reads a decimal number from 0 to most: digits without a sign, and without a leading zero, which
 * other programs read as octal. Returns false for anything else and leaves *ret untouched. */
bool text_number(const char *text, uint64_t most, uint64_t *ret);

/* Returns the rest of the text after the prefix; NULL if the text does not begin with the
 * prefix. */
const char *text_after(const char *text, const char *prefix);

/* Returns true if the text ends with the given end. */
bool text_ends_with(const char *text, const char *end);

/* Returns true if the text contains a control character. */
bool text_has_control(const char *text);

/* Replace each byte of a control character, of ASCII, Latin-1 or Unicode's for lines and for
 * bidirectional text, and each that is not valid UTF-8 with '?', in place, so that the text cannot
 * break a log line or send commands to a terminal. */
void text_mask(char *text);
void text_mask_n(char *bytes, size_t length);

/*
 * Copies text into ret (size bytes) as one line that is safe to show: leading and trailing blanks
 * and line ends are dropped, the rest is masked as by text_mask. A text that does not fit is cut
 * between two characters and ends with "...".
 */
void text_show(char *ret, size_t size, const char *text);

/*
 * Returns the length in bytes (1 to 4) of the UTF-8 character at the start of the text; 0 if the
 * bytes there are not valid UTF-8 (an overlong form, a surrogate, a stray byte). A NUL counts as a
 * character of one byte.
 */
size_t text_character(const char *text);

/* Returns true if the byte is a continuation byte of UTF-8 (not the first byte of a character). */
bool text_continues_character(char byte);

/* A piece of a text that somebody else owns; it does not end with a NUL. */
struct slice {
    const char *text;
    size_t length;
};

/* Returns the whole text as a slice. slice_equals and slice_starts compare a slice with a text. */
struct slice slice_of(const char *text);
bool slice_equals(struct slice slice, const char *text);
bool slice_starts(struct slice slice, const char *prefix);

/* Returns how many bytes at the start of the slice are in the set. */
size_t slice_span(struct slice slice, const char *set);

/* Returns the slice without its first n bytes; n must not exceed its length. */
struct slice slice_skip(struct slice slice, size_t n);

/* Return the slice without characters of the set at its end, or at both ends. */
struct slice slice_trim_end(struct slice slice, const char *set);
struct slice slice_trim(struct slice slice, const char *set);

/* Cuts *rest at the first mark: returns what is before the mark and leaves in *rest what follows
 * it. Without a mark, returns everything and leaves *rest empty. */
struct slice slice_take(struct slice *rest, char mark);

/* Returns a copy that ends with a NUL. The caller frees it with free(). */
char *slice_copy(struct slice slice);

#endif
