/* SPDX-License-Identifier: Apache-2.0 */
#include "store/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/error.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/cleanup.h"
#include "schema/memory.h"
#include "store/file.h"
#include "store/identity_make.h"

#define PEM_FILE         "agent.pem" /* key and certificate: the truth */
#define CERTIFICATE_FILE "agent.crt" /* follows it */
#define PEM_LIMIT        ((size_t)65536)
#define PEM_ROOM         ((size_t)8192) /* of one certificate */

#define ADVICE \
    "restore it from a backup, or remove both files and run felhomctl init for a new identity, " \
    "which breaks every pin given out"

/* STATE/tls, open; what is made in it gets the state directory's owner. */
struct tls_directory {
    int fd;
    char *path;
    uid_t uid;
    gid_t gid;
};

static void tls_directory_free(struct tls_directory *tls)
{
    cleanup_close_fn(&tls->fd);
    free(tls->path);
}
#define cleanup_tls_directory cleanup(tls_directory_free)

void identity_free(struct identity *identity)
{
    buffer_free(&identity->certificate_pem);
}

/* Finds out whose the directory is to be; *tls is to be freed in any case. */
static int tls_directory_locate(const char *state_dir, struct tls_directory *tls,
                                struct error *error)
{
    struct stat status;
    *tls = (struct tls_directory){.fd = -1, .path = mem_format("%s/tls", state_dir)};
    if (lstat(state_dir, &status) < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such directory: run felhomctl init", state_dir);
    if (lstat(state_dir, &status) < 0)
        return fail_errno(error, errno, "cannot look at %s", state_dir);
    tls->uid = status.st_uid;
    tls->gid = status.st_gid;
    return 0;
}

/* Makes it where it is missing, and keeps other processes out until it is closed. */
static int tls_directory_make(struct tls_directory *tls, struct error *error)
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

static int fail_damaged(struct error *error, const struct tls_directory *tls, const char *name,
                        int result, const char *advice)
{
    char reason[128];
    mbedtls_strerror(result, reason, sizeof reason);
    return fail(error, ERROR_CORRUPT, "%s/%s is damaged (%s): %s", tls->path, name, reason, advice);
}

static int put_file(const struct tls_directory *tls, const char *name, mode_t mode,
                    const struct buffer *content, struct error *error)
{
    if (file_replace_at(tls->fd, name, mode, tls->uid, tls->gid, content->data, content->length,
                        true, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

static int get_file(const struct tls_directory *tls, const char *name, struct buffer *out,
                    struct error *error)
{
    if (file_read_at(tls->fd, name, PEM_LIMIT, out, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

/* The certificate alone, whatever else the file had that it was read from. */
static int certificate_to_pem(const mbedtls_x509_crt *certificate, struct buffer *out)
{
    size_t length = 0;
    char *room = buffer_reserve(out, PEM_ROOM);
    int result = mbedtls_pem_write_buffer(
        "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", certificate->raw.p,
        certificate->raw.len, (unsigned char *)room, PEM_ROOM, &length);
    if (result == 0)
        out->length += strlen(room);
    return result;
}

/* Whether the PEM text has the certificate's private key. Returns 0 or mbedTLS's code. */
static int check_key(const struct buffer *pem, const mbedtls_x509_crt *certificate)
{
    cleanup(mbedtls_pk_free) mbedtls_pk_context key;
    const unsigned char *text = (const unsigned char *)buffer_text(pem);
    mbedtls_pk_init(&key);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int result = mbedtls_pk_parse_key(&key, text, pem->length + 1, NULL, 0, identity_random, NULL);
    return result ? result : mbedtls_pk_check_pair(&certificate->pk, &key, identity_random, NULL);
#else
    int result = mbedtls_pk_parse_key(&key, text, pem->length + 1, NULL, 0);
    return result ? result : mbedtls_pk_check_pair(&certificate->pk, &key);
#endif
}

/* Returns 0 or mbedTLS's code, which counts the NUL behind a PEM text. with_key: the key must be
 * there, too. */
static int identity_parse(const struct buffer *pem, bool with_key, struct identity *ret)
{
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt certificate;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    mbedtls_x509_crt_init(&certificate);
    int result = mbedtls_x509_crt_parse(&certificate, (const unsigned char *)buffer_text(pem),
                                        pem->length + 1);
    if (result == 0 && with_key)
        result = check_key(pem, &certificate);
    if (result == 0)
        result = certificate_to_pem(&certificate, &identity.certificate_pem);
    if (result != 0)
        return result;
    pins_make(certificate.pk_raw.p, certificate.pk_raw.len, certificate.raw.p, certificate.raw.len,
              &identity.pins);
    *ret = identity;
    identity.certificate_pem = BUFFER_EMPTY;
    return 0;
}

static int get_certificate(struct tls_directory *tls, struct buffer *out, struct error *error)
{
    if (directory_open_of(tls->path, tls->uid, &tls->fd, error) == 0 &&
        get_file(tls, CERTIFICATE_FILE, out, error) == 0)
        return 0;
    if (error->kind == ERROR_MISSING)
        return fail(error, ERROR_MISSING, "%s/" CERTIFICATE_FILE " is missing: run felhomctl init",
                    tls->path);
    return -1;
}

int identity_load(const char *state_dir, struct identity *ret, struct error *error)
{
    cleanup_tls_directory struct tls_directory tls;
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    if (tls_directory_locate(state_dir, &tls, error) < 0 || get_certificate(&tls, &pem, error) < 0)
        return -1;
    int result = identity_parse(&pem, false, ret);
    if (result == 0)
        return 0;
    return fail_damaged(error, &tls, CERTIFICATE_FILE, result,
                        "run felhomctl init, which restores it from " PEM_FILE);
}

static int fail_missing_key(const struct tls_directory *tls, struct error *error)
{
    return fail(error, ERROR_CORRUPT,
                "%s/" PEM_FILE " is missing, though " CERTIFICATE_FILE " is there: " ADVICE,
                tls->path);
}

static int verify_pem(const struct tls_directory *tls, const struct pins *shown,
                      struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(identity_free) struct identity whole = {.certificate_pem = BUFFER_EMPTY};
    if (get_file(tls, PEM_FILE, &pem, error) < 0)
        return error->kind == ERROR_MISSING ? fail_missing_key(tls, error) : -1;
    int result = identity_parse(&pem, true, &whole);
    if (result != 0)
        return fail_damaged(error, tls, PEM_FILE, result, ADVICE);
    if (strcmp(whole.pins.leaf, shown->leaf) == 0)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "%s/" CERTIFICATE_FILE " is not the certificate in " PEM_FILE
                ": run felhomctl init, which restores it from there",
                tls->path);
}

int identity_verify(const char *state_dir, struct error *error)
{
    cleanup_tls_directory struct tls_directory tls = {.fd = -1};
    cleanup(identity_free) struct identity shown = {.certificate_pem = BUFFER_EMPTY};
    if (identity_load(state_dir, &shown, error) < 0 ||
        tls_directory_locate(state_dir, &tls, error) < 0 ||
        directory_open_of(tls.path, tls.uid, &tls.fd, error) < 0)
        return -1;
    return verify_pem(&tls, &shown.pins, error);
}

/* A certificate without its key was pinned by somebody: that is no place for a new identity. */
static int make_pem(const struct tls_directory *tls, const char *host_name, struct in_addr address,
                    struct buffer *out, struct error *error)
{
    struct stat status;
    if (fstatat(tls->fd, CERTIFICATE_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return fail_missing_key(tls, error);
    if (identity_make(host_name, address, out, error) < 0)
        return -1;
    return put_file(tls, PEM_FILE, 0600, out, error);
}

static int get_or_make_pem(const struct tls_directory *tls, const char *host_name,
                           struct in_addr address, struct buffer *out, bool *ret_made,
                           struct error *error)
{
    struct error problem;
    bool found = get_file(tls, PEM_FILE, out, &problem) == 0;
    if (!found && problem.kind != ERROR_MISSING) {
        *error = problem;
        return -1;
    }
    if (!found && make_pem(tls, host_name, address, out, error) < 0)
        return -1;
    *ret_made = !found;
    return 0;
}

/* Whatever else is there under the certificate's name goes: a run was killed, or somebody meddled.
 */
static int put_certificate(const struct tls_directory *tls, const struct buffer *pem,
                           struct error *error)
{
    struct error ignored;
    cleanup_buffer struct buffer now = BUFFER_EMPTY;
    if (file_read_at(tls->fd, CERTIFICATE_FILE, PEM_LIMIT, &now, &ignored) == 0 &&
        now.length == pem->length && memcmp(now.data, pem->data, now.length) == 0)
        return 0;
    return put_file(tls, CERTIFICATE_FILE, 0644, pem, error);
}

int identity_ensure(const char *state_dir, const char *host_name, struct in_addr address,
                    struct identity *ret, bool *ret_made, struct error *error)
{
    cleanup_tls_directory struct tls_directory tls;
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    bool made = false;
    if (tls_directory_locate(state_dir, &tls, error) < 0 || tls_directory_make(&tls, error) < 0 ||
        get_or_make_pem(&tls, host_name, address, &pem, &made, error) < 0)
        return -1;
    int result = identity_parse(&pem, true, &identity);
    if (result != 0)
        return fail_damaged(error, &tls, PEM_FILE, result, ADVICE);
    if (put_certificate(&tls, &identity.certificate_pem, error) < 0)
        return -1;
    *ret = identity;
    identity.certificate_pem = BUFFER_EMPTY;
    *ret_made = made;
    return 0;
}
