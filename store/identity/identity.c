/* SPDX-License-Identifier: Apache-2.0 */
#include "store/identity/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "store/files/file.h"
#include "store/identity/identity_make.h"
#include "store/identity/identity_pem.h"
#include "store/identity/tls_directory.h"

#define ADVICE \
    "restore it from a backup, or remove both files and run felhomctl init for a new identity, " \
    "which breaks every pin given out"

void identity_free(struct identity *identity)
{
    buffer_free(&identity->certificate_pem);
}

static int fail_missing(const struct place *tls, struct error *error)
{
    return fail(error, ERROR_MISSING, "%s/" TLS_CERTIFICATE_FILE " is missing: run felhomctl init",
                tls->path);
}

int identity_open(const char *state_dir, struct place *ret_tls, struct error *error)
{
    if (tls_directory_locate(state_dir, ret_tls, error) < 0)
        return -1;
    if (tls_directory_open(ret_tls, error) == 0)
        return 0;
    return error->kind == ERROR_MISSING ? fail_missing(ret_tls, error) : -1;
}

int identity_read(const struct place *tls, struct identity *ret, struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    if (tls_directory_get(tls, TLS_CERTIFICATE_FILE, &pem, error) < 0)
        return error->kind == ERROR_MISSING ? fail_missing(tls, error) : -1;
    int result = identity_parse(&pem, false, ret);
    if (result == 0)
        return 0;
    return tls_directory_damaged(tls, TLS_CERTIFICATE_FILE, result,
                                 "run felhomctl init, which restores it from " TLS_PEM_FILE, error);
}

int identity_load(const char *state_dir, struct identity *ret, struct error *error)
{
    cleanup_place struct place tls;
    return identity_open(state_dir, &tls, error) < 0 ? -1 : identity_read(&tls, ret, error);
}

static int fail_missing_key(const struct place *tls, struct error *error)
{
    return fail(error, ERROR_CORRUPT,
                "%s/" TLS_PEM_FILE " is missing, though " TLS_CERTIFICATE_FILE " is there: " ADVICE,
                tls->path);
}

static int verify_pem(const struct place *tls, const struct pins *shown, struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(identity_free) struct identity whole = {.certificate_pem = BUFFER_EMPTY};
    if (tls_directory_get(tls, TLS_PEM_FILE, &pem, error) < 0)
        return error->kind == ERROR_MISSING ? fail_missing_key(tls, error) : -1;
    int result = identity_parse(&pem, true, &whole);
    if (result != 0)
        return tls_directory_damaged(tls, TLS_PEM_FILE, result, ADVICE, error);
    if (strcmp(whole.pins.leaf, shown->leaf) == 0)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "%s/" TLS_CERTIFICATE_FILE " is not the certificate in " TLS_PEM_FILE
                ": run felhomctl init, which restores it from there",
                tls->path);
}

int identity_verify(const char *state_dir, struct error *error)
{
    cleanup_place struct place tls;
    cleanup(identity_free) struct identity shown = {.certificate_pem = BUFFER_EMPTY};
    if (identity_open(state_dir, &tls, error) < 0 || identity_read(&tls, &shown, error) < 0)
        return -1;
    return verify_pem(&tls, &shown.pins, error);
}

/* A certificate without its key was pinned by somebody: that is no place for a new identity. */
static int make_pem(const struct place *tls, const char *host_name, struct in_addr address,
                    struct buffer *out, struct error *error)
{
    struct stat status;
    if (fstatat(tls->fd, TLS_CERTIFICATE_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return fail_missing_key(tls, error);
    if (identity_make(host_name, address, out, error) < 0)
        return -1;
    return tls_directory_put(tls, TLS_PEM_FILE, 0600, out, error);
}

static int get_or_make_pem(const struct place *tls, const char *host_name, struct in_addr address,
                           struct buffer *out, bool *ret_made, struct error *error)
{
    struct error problem;
    bool found = tls_directory_get(tls, TLS_PEM_FILE, out, &problem) == 0;
    if (!found && problem.kind != ERROR_MISSING) {
        *error = problem;
        return -1;
    }
    if (!found && make_pem(tls, host_name, address, out, error) < 0)
        return -1;
    *ret_made = !found;
    return 0;
}

int identity_ensure(const char *state_dir, const char *host_name, struct in_addr address,
                    struct identity *ret, bool *ret_made, struct error *error)
{
    cleanup_place struct place tls;
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    bool made = false;
    if (tls_directory_locate(state_dir, &tls, error) < 0 || tls_directory_make(&tls, error) < 0 ||
        get_or_make_pem(&tls, host_name, address, &pem, &made, error) < 0)
        return -1;
    int result = identity_parse(&pem, true, &identity);
    if (result != 0)
        return tls_directory_damaged(&tls, TLS_PEM_FILE, result, ADVICE, error);
    if (tls_directory_put_certificate(&tls, TLS_CERTIFICATE_FILE, &identity.certificate_pem,
                                      error) < 0)
        return -1;
    *ret = identity;
    identity.certificate_pem = BUFFER_EMPTY;
    *ret_made = made;
    return 0;
}
