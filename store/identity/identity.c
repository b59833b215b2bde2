/* SPDX-License-Identifier: Apache-2.0 */
#include "store/identity/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "store/base/clock.h"
#include "store/files/file.h"

#define VALID_YEARS       20
#define SERIAL_SIZE       16
#define COMMON_NAME_MAX   64  /* X.520's ub-common-name */
#define DNS_NAME_MAX      253 /* RFC 1035 */
#define KEY_PEM_ROOM      512
#define CERT_PEM_ROOM     4096
#define GENERAL_NAMES_MAX (DNS_NAME_MAX + 32)
#define LOCK_WAIT_US      (10 * SECOND_US)

#define FALLBACK_NAME "felhom-agent"

struct maker {
    char dns_name[DNS_NAME_MAX + 1];
    struct in_addr address;
    mbedtls_pk_context key;
    mbedtls_x509write_cert certificate;
    struct buffer *out;
};

/* Fills out with random bytes from the kernel; the signature is that of mbedTLS's random
 * callbacks. */
static int identity_random(void *unused, unsigned char *out, size_t length)
{
    (void)unused;
    while (length > 0) {
        ssize_t count = TEMP_FAILURE_RETRY(getrandom(out, length, 0));
        if (count < 0)
            return MBEDTLS_ERR_ERROR_GENERIC_ERROR;
        out += count;
        length -= (size_t)count;
    }
    return 0;
}

/* Accepts characters that need no quoting in either a DNS name or a distinguished name. */
static bool is_plain_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

static void host_name_sanitize(const char *host_name, char ret[static DNS_NAME_MAX + 1])
{
    bool any = false;
    size_t length = strnlen(host_name, DNS_NAME_MAX);
    for (size_t i = 0; i < length; i++) {
        ret[i] = '-';
        if (is_plain_name_character(host_name[i]))
            ret[i] = host_name[i];
        any |= is_plain_name_character(host_name[i]) && host_name[i] != '.';
    }
    ret[length] = '\0';
    if (!any)
        memcpy(ret, FALLBACK_NAME, sizeof FALLBACK_NAME);
}

static int certificate_make_key(struct maker *maker)
{
    int result = mbedtls_pk_setup(&maker->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (result == 0)
        result = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(maker->key),
                                     identity_random, NULL);
    return result;
}

static int certificate_set_names(struct maker *maker)
{
    char name[sizeof "CN=" + COMMON_NAME_MAX];
    mbedtls_x509write_cert *certificate = &maker->certificate;
    mbedtls_x509write_crt_set_subject_key(certificate, &maker->key);
    mbedtls_x509write_crt_set_issuer_key(certificate, &maker->key);
    (void)snprintf(name, sizeof name, "CN=%.*s", COMMON_NAME_MAX, maker->dns_name);
    int result = mbedtls_x509write_crt_set_subject_name(certificate, name);
    return result ? result : mbedtls_x509write_crt_set_issuer_name(certificate, name);
}

/* Bits of the first byte are fixed so that the number is positive and has no leading zero byte. */
static int certificate_set_serial(struct maker *maker)
{
    unsigned char serial[SERIAL_SIZE];
    int result = identity_random(NULL, serial, sizeof serial);
    if (result != 0)
        return result;
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40);
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
    return mbedtls_x509write_crt_set_serial_raw(&maker->certificate, serial, sizeof serial);
#else
    mbedtls_mpi number;
    mbedtls_mpi_init(&number);
    result = mbedtls_mpi_read_binary(&number, serial, sizeof serial);
    if (result == 0)
        result = mbedtls_x509write_crt_set_serial(&maker->certificate, &number);
    mbedtls_mpi_free(&number);
    return result;
#endif
}

static void certificate_format_time(time_t at, int years_later, char ret[static 16])
{
    struct tm tm;
    (void)gmtime_r(&at, &tm);
    tm.tm_year += years_later;
    at = timegm(&tm);
    (void)strftime(ret, 16, "%Y%m%d%H%M%S", gmtime_r(&at, &tm));
}

/* Valid from one day ago, for guests whose clock is slow. */
static int certificate_set_validity(struct maker *maker)
{
    char from[16];
    char to[16];
    time_t now = time(NULL);
    certificate_format_time(now - DAY_S, 0, from);
    certificate_format_time(now, VALID_YEARS, to);
    return mbedtls_x509write_crt_set_validity(&maker->certificate, from, to);
}

static int certificate_set_usage(struct maker *maker)
{
    static const char server[] = "\x30\x0a\x06\x08" MBEDTLS_OID_SERVER_AUTH;
    mbedtls_x509write_cert *certificate = &maker->certificate;
    int result = mbedtls_x509write_crt_set_basic_constraints(certificate, 0, -1);
    if (result == 0)
        result =
            mbedtls_x509write_crt_set_key_usage(certificate, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (result == 0)
        result = mbedtls_x509write_crt_set_subject_key_identifier(certificate);
    if (result == 0)
        result =
            mbedtls_x509write_crt_set_extension(certificate, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                                MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0,
                                                (const unsigned char *)server, sizeof server - 1);
    return result;
}

/* DER, written from the end of bytes towards the beginning. The first failure is kept in result. */
struct der {
    unsigned char bytes[GENERAL_NAMES_MAX];
    unsigned char *start;
    int result; /* 0 or an mbedTLS code */
};

static void der_keep(struct der *der, int result)
{
    if (der->result == 0 && result < 0)
        der->result = result;
}

/* Puts tag and length before the length bytes at der->start. */
static void der_wrap(struct der *der, size_t length, int tag)
{
    der_keep(der, mbedtls_asn1_write_len(&der->start, der->bytes, length));
    der_keep(der, mbedtls_asn1_write_tag(&der->start, der->bytes, (unsigned char)tag));
}

/* Writes a GeneralName (RFC 5280) in primitive form: the tag [number] and the bytes. */
static void der_general_name(struct der *der, int number, const void *bytes, size_t length)
{
    der_keep(der, mbedtls_asn1_write_raw_buffer(&der->start, der->bytes, bytes, length));
    der_wrap(der, length, MBEDTLS_ASN1_CONTEXT_SPECIFIC | number);
}

static int certificate_set_alternative_names(struct maker *maker)
{
    struct der der = {.result = 0};
    const unsigned char *end = der.bytes + sizeof der.bytes;
    der.start = der.bytes + sizeof der.bytes;
    der_general_name(&der, 2, maker->dns_name, strlen(maker->dns_name));
    der_general_name(&der, 7, &maker->address, sizeof maker->address);
    der_wrap(&der, (size_t)(end - der.start), MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    if (der.result != 0)
        return der.result;
    return mbedtls_x509write_crt_set_extension(&maker->certificate, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
                                               der.start, (size_t)(end - der.start));
}

static int certificate_write_key(struct maker *maker)
{
    char *room = buffer_reserve(maker->out, KEY_PEM_ROOM);
    int result = mbedtls_pk_write_key_pem(&maker->key, (unsigned char *)room, KEY_PEM_ROOM);
    if (result == 0)
        maker->out->length += strlen(room);
    return result;
}

static int certificate_write_pem(struct maker *maker)
{
    char *room = buffer_reserve(maker->out, CERT_PEM_ROOM);
    int result = mbedtls_x509write_crt_pem(&maker->certificate, (unsigned char *)room,
                                           CERT_PEM_ROOM, identity_random, NULL);
    if (result == 0)
        maker->out->length += strlen(room);
    return result;
}

static const struct {
    const char *what;
    int (*run)(struct maker *maker); /* returns 0 or an mbedTLS code */
} steps[] = {
    {"cannot make the TLS key", certificate_make_key},
    {"cannot name the TLS certificate", certificate_set_names},
    {"cannot number the TLS certificate", certificate_set_serial},
    {"cannot date the TLS certificate", certificate_set_validity},
    {"cannot set the TLS certificate's usage", certificate_set_usage},
    {"cannot set the TLS certificate's alternative names", certificate_set_alternative_names},
    {"cannot write the TLS key", certificate_write_key},
    {"cannot sign the TLS certificate", certificate_write_pem},
};

static int certificate_fail_step(struct error *error, const char *what, int result)
{
    char reason[128];
    mbedtls_check_memory(result);
    mbedtls_strerror(result, reason, sizeof reason);
    return fail(error, ERROR_SYSTEM, "%s: %s", what, reason);
}

static void maker_free(struct maker *maker)
{
    mbedtls_x509write_crt_free(&maker->certificate);
    mbedtls_pk_free(&maker->key);
}

int identity_make(const char *host_name, struct in_addr address, struct buffer *out,
                  struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(maker_free) struct maker maker = {.address = address, .out = &pem};
    host_name_sanitize(host_name, maker.dns_name);
    mbedtls_pk_init(&maker.key);
    mbedtls_x509write_crt_init(&maker.certificate);
    mbedtls_x509write_crt_set_version(&maker.certificate, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&maker.certificate, MBEDTLS_MD_SHA256);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        errno = 0; /* see mbedtls_check_memory */
        int result = steps[i].run(&maker);
        if (result != 0)
            return certificate_fail_step(error, steps[i].what, result);
    }
    buffer_add(out, pem.data, pem.length);
    return 0;
}

#define PEM_ROOM ((size_t)8192) /* for one certificate */

/* Writes only the certificate, whatever else was in the file that it was read from. */
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

/* Checks that the PEM text contains the certificate's private key. Returns 0 or an mbedTLS code. */
static int certificate_check_key(const struct buffer *pem, const mbedtls_x509_crt *certificate)
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

static int64_t certificate_time_ms(const mbedtls_x509_time *at)
{
    struct tm tm = {
        .tm_year = at->year - 1900,
        .tm_mon = at->mon - 1,
        .tm_mday = at->day,
        .tm_hour = at->hour,
        .tm_min = at->min,
        .tm_sec = at->sec,
    };
    return (int64_t)timegm(&tm) * 1000;
}

int identity_parse(const struct buffer *pem, bool with_key, struct identity *ret)
{
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt certificate;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    mbedtls_x509_crt_init(&certificate);
    errno = 0; /* see mbedtls_check_memory */
    int result = mbedtls_x509_crt_parse(&certificate, (const unsigned char *)buffer_text(pem),
                                        pem->length + 1);
    if (result == 0 && with_key)
        result = certificate_check_key(pem, &certificate);
    if (result == 0)
        result = certificate_to_pem(&certificate, &identity.certificate_pem);
    if (result != 0)
        return result;
    identity.valid_from_ms = certificate_time_ms(&certificate.valid_from);
    identity.valid_to_ms = certificate_time_ms(&certificate.valid_to);
    pins_make(certificate.pk_raw.p, certificate.pk_raw.len, certificate.raw.p, certificate.raw.len,
              &identity.pins);
    *ret = steal(identity);
    return 0;
}

int tls_directory_locate(const char *state_dir, struct owned_directory *tls, struct error *error)
{
    struct stat status;
    *tls = (struct owned_directory){.fd = -1, .path = mem_format("%s/tls", state_dir)};
    int result = lstat(state_dir, &status);
    if (result < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such directory: run felhomctl init", state_dir);
    if (result < 0)
        return fail_errno(error, errno, "cannot look at %s", state_dir);
    tls->uid = status.st_uid;
    tls->gid = status.st_gid;
    return 0;
}

/* Opens the directory for reading. ERROR_MISSING if it does not exist. */
static int tls_directory_open(struct owned_directory *tls, struct error *error)
{
    return directory_open_of(tls->path, tls->uid, &tls->fd, error);
}

int tls_directory_make(struct owned_directory *tls, struct error *error)
{
    if (directory_make(tls->path, 0700, tls->uid, tls->gid, &tls->fd, error) < 0)
        return -1;
    if (file_lock_until(tls->fd, tls->path, clock_steady_us() + LOCK_WAIT_US, error) < 0)
        return -1;
    if (file_settle(tls->fd, 0700, tls->uid, tls->gid) < 0)
        return fail_errno(error, errno, "cannot set owner and mode of %s", tls->path);
    if (file_drafts_clear(tls->fd, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

int tls_directory_damaged(const struct owned_directory *tls, const char *name, int result,
                          const char *advice, struct error *error)
{
    char reason[128];
    mbedtls_check_memory(result);
    mbedtls_strerror(result, reason, sizeof reason);
    return fail(error, ERROR_CORRUPT, "%s/%s is damaged (%s): %s", tls->path, name, reason, advice);
}

int tls_directory_put(const struct owned_directory *tls, const char *name, mode_t mode,
                      const struct buffer *content, struct error *error)
{
    if (file_replace_at(tls->fd, name, mode, tls->uid, tls->gid, content->data, content->length,
                        true, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

int tls_directory_get(const struct owned_directory *tls, const char *name, struct buffer *out,
                      struct error *error)
{
    if (file_read_at(tls->fd, name, TLS_FILE_LIMIT, out, error) < 0)
        return fail_context(error, "%s", tls->path);
    return 0;
}

int tls_directory_put_certificate(const struct owned_directory *tls, const char *name,
                                  const struct buffer *pem, struct error *error)
{
    struct error ignored;
    cleanup_buffer struct buffer now = BUFFER_EMPTY;
    if (file_read_at(tls->fd, name, TLS_FILE_LIMIT, &now, &ignored) == 0 &&
        buffer_equals(&now, pem))
        return 0;
    return tls_directory_put(tls, name, 0644, pem, error);
}

#define ADVICE \
    "restore it from a backup, or remove both files and run felhomctl init for a new identity, " \
    "which breaks every pin given out"

void identity_free(struct identity *identity)
{
    buffer_free(&identity->certificate_pem);
}

static int identity_fail_missing(const struct owned_directory *tls, struct error *error)
{
    return fail(error, ERROR_MISSING, "%s/" TLS_CERTIFICATE_FILE " is missing: run felhomctl init",
                tls->path);
}

int identity_open(const char *state_dir, struct owned_directory *ret_tls, struct error *error)
{
    if (tls_directory_locate(state_dir, ret_tls, error) < 0)
        return -1;
    if (tls_directory_open(ret_tls, error) == 0)
        return 0;
    return error->kind == ERROR_MISSING ? identity_fail_missing(ret_tls, error) : -1;
}

int identity_read(const struct owned_directory *tls, struct identity *ret, struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    if (tls_directory_get(tls, TLS_CERTIFICATE_FILE, &pem, error) < 0)
        return error->kind == ERROR_MISSING ? identity_fail_missing(tls, error) : -1;
    int result = identity_parse(&pem, false, ret);
    if (result == 0)
        return 0;
    return tls_directory_damaged(tls, TLS_CERTIFICATE_FILE, result,
                                 "run felhomctl init, which restores it from " TLS_PEM_FILE, error);
}

int identity_load(const char *state_dir, struct identity *ret, struct error *error)
{
    cleanup_owned_directory struct owned_directory tls;
    return identity_open(state_dir, &tls, error) < 0 ? -1 : identity_read(&tls, ret, error);
}

static int identity_fail_missing_key(const struct owned_directory *tls, struct error *error)
{
    return fail(error, ERROR_CORRUPT,
                "%s/" TLS_PEM_FILE " is missing, though " TLS_CERTIFICATE_FILE " is there: " ADVICE,
                tls->path);
}

static int identity_verify_pem(const struct owned_directory *tls, const struct pins *shown,
                               struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(identity_free) struct identity whole = {.certificate_pem = BUFFER_EMPTY};
    if (tls_directory_get(tls, TLS_PEM_FILE, &pem, error) < 0)
        return error->kind == ERROR_MISSING ? identity_fail_missing_key(tls, error) : -1;
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
    cleanup_owned_directory struct owned_directory tls;
    cleanup(identity_free) struct identity shown = {.certificate_pem = BUFFER_EMPTY};
    if (identity_open(state_dir, &tls, error) < 0 || identity_read(&tls, &shown, error) < 0)
        return -1;
    return identity_verify_pem(&tls, &shown.pins, error);
}

/* Refuses to make a new identity if there is a certificate without its key, because guests have
 * pinned that certificate. */
static int identity_make_pem(const struct owned_directory *tls, const char *host_name,
                             struct in_addr address, struct buffer *out, struct error *error)
{
    struct stat status;
    if (fstatat(tls->fd, TLS_CERTIFICATE_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return identity_fail_missing_key(tls, error);
    if (identity_make(host_name, address, out, error) < 0)
        return -1;
    return tls_directory_put(tls, TLS_PEM_FILE, 0600, out, error);
}

static int identity_get_or_make_pem(const struct owned_directory *tls, const char *host_name,
                                    struct in_addr address, struct buffer *out, bool *ret_made,
                                    struct error *error)
{
    struct error problem;
    bool found = tls_directory_get(tls, TLS_PEM_FILE, out, &problem) == 0;
    if (!found && (fail_unless_missing(error, &problem) < 0 ||
                   identity_make_pem(tls, host_name, address, out, error) < 0))
        return -1;
    *ret_made = !found;
    return 0;
}

int identity_ensure(const char *state_dir, const char *host_name, struct in_addr address,
                    struct identity *ret, bool *ret_made, struct error *error)
{
    cleanup_owned_directory struct owned_directory tls;
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    bool made = false;
    if (tls_directory_locate(state_dir, &tls, error) < 0 || tls_directory_make(&tls, error) < 0 ||
        identity_get_or_make_pem(&tls, host_name, address, &pem, &made, error) < 0)
        return -1;
    int result = identity_parse(&pem, true, &identity);
    if (result != 0)
        return tls_directory_damaged(&tls, TLS_PEM_FILE, result, ADVICE, error);
    if (tls_directory_put_certificate(&tls, TLS_CERTIFICATE_FILE, &identity.certificate_pem,
                                      error) < 0)
        return -1;
    *ret = steal(identity);
    *ret_made = made;
    return 0;
}
