/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/config_text.h"

#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/pve/guest_line.h"

/* The line at an offset, with its line end. */
static struct slice line_at(const struct buffer *text, size_t start)
{
    const char *bytes = buffer_text(text) + start;
    size_t left = text->length - start;
    const char *end = memchr(bytes, '\n', left);
    return (struct slice){bytes, end ? (size_t)(end - bytes) + 1 : left};
}

/* Sections of Proxmox's own whose names no snapshot can have, beside those that guest_line knows.
 */
static bool is_special_section(struct slice name)
{
    static const char *const names[] = {"special:cloudinit", "special:fleecing"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (name.length == strlen(names[i]) && strncasecmp(name.text, names[i], name.length) == 0)
            return true;
    return false;
}

static bool is_section(struct slice line)
{
    struct slice trimmed = slice_trim_end(line, SPACES);
    bool bracketed =
        trimmed.length > 2 && trimmed.text[0] == '[' && trimmed.text[trimmed.length - 1] == ']';
    return guest_line_is_section(GUEST_LXC, line) ||
           (bracketed && is_special_section((struct slice){trimmed.text + 1, trimmed.length - 2}));
}

bool config_line_next(const struct buffer *text, struct config_line *line)
{
    size_t start = line->start + line->size;
    if (start >= text->length)
        return false;
    struct slice found = line_at(text, start);
    if (is_section(found))
        return false;
    size_t separator = 0;
    size_t key_length = guest_line_key(GUEST_LXC, found, &separator);
    struct slice value = slice_trim_end(slice_skip(found, key_length + separator), SPACES);
    size_t space = slice_span(value, SPACES);
    *line = (struct config_line){start, found.length, key_length,
                                 start + key_length + separator + space, value.length - space};
    return true;
}

char *config_line_key(const struct buffer *text, const struct config_line *line)
{
    return mem_copy_text_n(buffer_text(text) + line->start, line->key_length);
}

char *config_line_value(const struct buffer *text, const struct config_line *line)
{
    return mem_copy_text_n(buffer_text(text) + line->value_start,
                           line->key_length ? line->value_length : 0);
}

bool config_text_mentions(const struct buffer *text, const char *key)
{
    cleanup_free char *prefix = mem_format("%s:", key);
    for (size_t start = 0; start < text->length;) {
        struct slice line = line_at(text, start);
        if (slice_starts(line, prefix))
            return true;
        start += line.length;
    }
    return false;
}

/* Puts length bytes in place of the size bytes at start. */
static void splice(struct buffer *text, size_t start, size_t size, const char *bytes, size_t length)
{
    struct buffer spliced = BUFFER_EMPTY;
    buffer_add(&spliced, buffer_text(text), start);
    buffer_add(&spliced, bytes, length);
    buffer_add(&spliced, buffer_text(text) + start + size, text->length - start - size);
    buffer_free(text);
    *text = spliced;
}

static bool is_blank_line(const struct buffer *text, const struct config_line *line)
{
    struct slice content = {buffer_text(text) + line->start, line->size};
    return slice_span(content, SPACES) == content.length;
}

/* Behind the last line of the live section that is not blank. */
static size_t insertion_point(const struct buffer *text)
{
    size_t point = 0;
    for (struct config_line line = {0}; config_line_next(text, &line);)
        if (!is_blank_line(text, &line))
            point = line.start + line.size;
    return point;
}

/* A text that ends in a bare CR gets a CRLF too, so that taking the line out again leaves that CR
 * alone. */
static const char *line_end(const struct buffer *text)
{
    struct slice first = line_at(text, 0);
    const char *bytes = buffer_text(text);
    bool ends_in_cr = text->length > 0 && bytes[text->length - 1] == '\r';
    bool crlf = first.length >= 2 && first.text[first.length - 1] == '\n' &&
                first.text[first.length - 2] == '\r';
    return crlf || ends_in_cr ? "\r\n" : "\n";
}

void config_text_insert(struct buffer *text, const char *key, const char *value)
{
    size_t point = insertion_point(text);
    bool unended = point > 0 && buffer_text(text)[point - 1] != '\n';
    const char *end = line_end(text);
    cleanup_free char *line =
        mem_format("%s%s: %s%s", unended ? end : "", key, value, unended ? "" : end);
    splice(text, point, 0, line, strlen(line));
}

/* The size of the line end that stands before an offset. */
static size_t end_before(const struct buffer *text, size_t start)
{
    const char *bytes = buffer_text(text);
    if (start == 0 || bytes[start - 1] != '\n')
        return 0;
    return start >= 2 && bytes[start - 2] == '\r' ? 2 : 1;
}

void config_text_remove(struct buffer *text, struct config_line *line)
{
    bool ended = line->size > 0 && buffer_text(text)[line->start + line->size - 1] == '\n';
    size_t before = ended ? 0 : end_before(text, line->start);
    splice(text, line->start - before, line->size + before, "", 0);
    *line = (struct config_line){.start = line->start - before};
}
