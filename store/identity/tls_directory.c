/* SPDX-License-Identifier: Apache-2.0 */
#include "store/identity/tls_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/error.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

int tls_directory_locate(const char *state_dir, struct place *tls, struct error *error)
{
    struct stat status;
    *tls = (struct place){.fd = -1, .path = mem_format("%s/tls", state_dir)};
    int result = lstat(state_dir, &status);
    if (result < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such directory: run felhomctl init", state_dir);
    if (result < 0)
        return fail_errno(error, errno, "cannot look at %s", state_dir);
    tls->uid = status.st_uid;
    tls->gid = status.st_gid;
    return 0;
}

int tls_directory_open(struct place *tls, struct error *error)
{
    return directory_open_of(tls->path, tls->uid, &tls->fd, error);
}

int tls_directory_make(struct place *tls, struct error *error)
{
    if (directory_make(tls->path, 0700, tls->uid, tls->gid, &tls->fd, error) < 0)
        return -1;
    if (TEMP_FAILURE_RETRY(flock(tls->fd, LOCK_EX)) < 0)
        return fail_errno(error, errno, "cannot lock %s", tls->path);
    if (file_settle(tls->fd, 0700, tls->uid, tls->gid) < 0)
        return fail_errno(error, errno, "cannot set owner and mode of %s", tls->path);
    if (file_drafts_clear(tls->fd, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

int tls_directory_damaged(const struct place *tls, const char *name, int result, const char *advice,
                          struct error *error)
{
    char reason[128];
    mbedtls_heed_memory(result);
    mbedtls_strerror(result, reason, sizeof reason);
    return fail(error, ERROR_CORRUPT, "%s/%s is damaged (%s): %s", tls->path, name, reason, advice);
}

int tls_directory_put(const struct place *tls, const char *name, mode_t mode,
                      const struct buffer *content, struct error *error)
{
    if (file_replace_at(tls->fd, name, mode, tls->uid, tls->gid, content->data, content->length,
                        true, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

int tls_directory_get(const struct place *tls, const char *name, struct buffer *out,
                      struct error *error)
{
    if (file_read_at(tls->fd, name, TLS_FILE_LIMIT, out, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

int tls_directory_put_certificate(const struct place *tls, const char *name,
                                  const struct buffer *pem, struct error *error)
{
    struct error ignored;
    cleanup_buffer struct buffer now = BUFFER_EMPTY;
    if (file_read_at(tls->fd, name, TLS_FILE_LIMIT, &now, &ignored) == 0 &&
        now.length == pem->length && memcmp(now.data, pem->data, now.length) == 0)
        return 0;
    return tls_directory_put(tls, name, 0644, pem, error);
}
