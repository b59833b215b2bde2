/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's configuration file as text: its live section's lines, and surgery on single ones that
 * leaves every other byte as it was (comments, snapshots, CRLF, a missing final newline). Contract:
 * PVE::LXC::Config::parse_pct_config.
 */
#ifndef FELHOM_CONFIG_TEXT_H
#define FELHOM_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/buffer.h"

/* Where a line stands in the text. Zero-initialised it stands before the first one. */
struct config_line {
    size_t start;
    size_t size;       /* with its line end */
    size_t key_length; /* the key stands at start; 0 for a blank, a comment or what Proxmox skips */
    size_t value_start;  /* behind the separator and blanks */
    size_t value_length; /* without trailing blanks */
};

/* Goes on to the next line of the live section; false at its end, *line is untouched then. */
bool config_line_next(const struct buffer *text, struct config_line *line);

/* Copies of the two halves of a line, to be freed with free(); "" without a key. */
char *config_line_key(const struct buffer *text, const struct config_line *line);
char *config_line_value(const struct buffer *text, const struct config_line *line);

/* Whether any section, a snapshot or a pending change included, has a line "KEY:". */
bool config_text_mentions(const struct buffer *text, const char *key);

/* Adds "KEY: VALUE" as the last line of the live section that is not blank, with the line end that
 * the text uses. */
void config_text_insert(struct buffer *text, const char *key, const char *value);

/* Takes the line out. *line then stands where it was, so that config_line_next goes on behind it.
 */
void config_text_remove(struct buffer *text, struct config_line *line);

#endif
