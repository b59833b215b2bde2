/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/metrics_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

int metrics_file_replace(const char *path, const struct buffer *text, struct error *error)
{
    const char *name = strrchr(path, '/') + 1;
    cleanup_free char *directory = mem_copy_text_n(path, (size_t)(name - path));
    /* Who owns the directory is not ours to say: it is the collector's. */
    cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "%s", directory);
    if (file_replace_at(fd, name, 0644, (uid_t)-1, (gid_t)-1, text->data, text->length, false,
                        error) < 0)
        return fail_context(error, "%s", directory);
    return 0;
}
