/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: its lines cover the live section without a gap, what is inserted can be removed without
 * a trace, and a pending change that is taken out is none any more. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pve/config.h"
#include "schema/base/cleanup.h"
#include "schema/pve/guest_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY   "lxc.mount.entry"
#define VALUE "/run/felhom-agent/export/8200 etc/felhom-bootstrap none bind 0 0"

static void require(int condition)
{
    if (!condition)
        abort();
}

static size_t walk(const struct buffer *text)
{
    size_t end = 0;
    for (struct config_line line = {0}; config_line_next(text, &line);) {
        require(line.start == end && line.size > 0);
        end = line.start + line.size;
        require(end <= text->length);
        require(line.key_length == 0 || line.value_start + line.value_length <= end);
    }
    return end;
}

/* Removes the last line that reads as the inserted one; any before it was in the text already. */
static void remove_inserted(struct buffer *text)
{
    struct config_line last = {0};
    for (struct config_line line = {0}; config_line_next(text, &line);) {
        cleanup_free char *key = config_line_key(text, &line);
        cleanup_free char *value = config_line_value(text, &line);
        if (strcmp(key, KEY) == 0 && strcmp(value, VALUE) == 0)
            last = line;
    }
    require(last.size > 0);
    config_text_remove(text, &last);
}

/* A text with NUL bytes is refused before. */
static void check_unpend(const struct buffer *whole)
{
    if (memchr(buffer_text(whole), '\0', whole->length))
        return;
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(guest_config_free) struct guest_config guest = {0};
    buffer_add(&text, buffer_text(whole), whole->length);
    config_text_unpend(&text, "mp0");
    if (guest_config_parse(GUEST_LXC, buffer_text(&text), text.length, &guest, &ignored) == 0)
        require(!guest_config_pending(&guest, "mp0"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add(&text, data, size);
    size_t live = walk(&text);
    config_text_insert(&text, KEY, VALUE);
    require(walk(&text) > live);
    remove_inserted(&text);
    check_unpend(&text);
    require(text.length == size && (size == 0 || memcmp(text.data, data, size) == 0));
    return 0;
}
