/* SPDX-License-Identifier: Apache-2.0 */
/* storage.cfg: the first line is a volume id, the rest the file. Whatever it holds, a path that
 * comes out is absolute, one line, and ends with the volume's own name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/pve/storage_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *volume, const char *path)
{
    const char *name = strchr(strchr(volume, ':'), '/') + 1;
    size_t length = strlen(path);
    size_t tail = strlen(name);
    if (path[0] != '/' || strchr(path, '\n') || strchr(name, '/') || length <= tail ||
        strcmp(path + length - tail, name) != 0 || path[length - tail - 1] != '/')
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    cleanup_free char *path = NULL;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add(&text, data, size);
    char *volume = text.data ? text.data : (char[]){""};
    char *end = volume + strcspn(volume, "\n");
    const char *storages = *end ? end + 1 : end;
    *end = '\0';
    if (snippet_path(storages, volume, &path, &error) == 0)
        check(volume, path);
    return 0;
}
