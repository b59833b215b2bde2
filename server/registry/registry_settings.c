/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/registry_settings.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

#define FILE_LIMIT ((size_t)4096)

/* Without what editors put at its end. */
static size_t line_length(const struct buffer *text)
{
    size_t length = text->length;
    while (length > 0 && strchr("\r\n", text->data[length - 1]))
        length--;
    return length;
}

static bool is_line(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (iscntrl((unsigned char)bytes[i]))
            return false;
    }
    return length > 0;
}

int registry_read_secret(const struct config *config, struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    const char *path = config->registry.secret_file;
    if (file_read(path, FILE_LIMIT, &text, error) < 0) {
        error->kind = ERROR_INVALID;
        return fail_context(error, "registry.secret_file");
    }
    size_t length = line_length(&text);
    if (!is_line(text.data, length))
        return fail(error, ERROR_INVALID, "registry.secret_file: %s does not hold one line", path);
    buffer_add(out, text.data, length);
    return 0;
}

char *registry_account(const struct config *config)
{
    if (config->registry.mode != REGISTRY_GITEA)
        return mem_copy_text("");
    return mem_format("%s@%s", config->registry.username, config->registry.host);
}
