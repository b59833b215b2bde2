/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tls_context.h"

#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/version.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#include "schema/buffer.h"
#include "schema/cleanup.h"
#include "schema/memory.h"
#include "store/file.h"
#include "store/log.h"

/* Sessions in many threads share the random numbers, the cache and the ticket keys. */
#if defined(MBEDTLS_VERSION_NUMBER) && !defined(MBEDTLS_THREADING_C)
#error "mbedTLS must be built with MBEDTLS_THREADING_C"
#endif

#define PEM_LIMIT     65536
#define RESUME_S      3600 /* how long a session may be resumed */
#define CACHE_ENTRIES 256  /* for clients that take no tickets */

static const int suites[] = {
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

/* What mbedTLS 3 calls by other names than 2.28. */
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

static int library_start(void)
{
    return psa_crypto_init() == PSA_SUCCESS ? 0 : MBEDTLS_ERR_SSL_HW_ACCEL_FAILED;
}

static void set_versions_and_groups(mbedtls_ssl_config *config)
{
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_groups(config, groups);
}

static int parse_key(struct tls_context *context, const unsigned char *pem, size_t size)
{
    return mbedtls_pk_parse_key(&context->key, pem, size, NULL, 0, mbedtls_ctr_drbg_random,
                                &context->random);
}

static int check_pair(struct tls_context *context)
{
    return mbedtls_pk_check_pair(&context->certificate.pk, &context->key, mbedtls_ctr_drbg_random,
                                 &context->random);
}
#else
static const mbedtls_ecp_group_id groups[] = {
    MBEDTLS_ECP_DP_CURVE25519,
    MBEDTLS_ECP_DP_SECP256R1,
    MBEDTLS_ECP_DP_NONE,
};

static int library_start(void)
{
    return 0;
}

static void set_versions_and_groups(mbedtls_ssl_config *config)
{
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_curves(config, groups);
}

static int parse_key(struct tls_context *context, const unsigned char *pem, size_t size)
{
    return mbedtls_pk_parse_key(&context->key, pem, size, NULL, 0);
}

static int check_pair(struct tls_context *context)
{
    return mbedtls_pk_check_pair(&context->certificate.pk, &context->key);
}
#endif

int tls_fail(struct error *error, int code, const char *what)
{
    char reason[128];
    mbedtls_strerror(code, reason, sizeof(reason));
    return fail(error, ERROR_SYSTEM, "%s: %s", what, reason);
}

static int start_random(struct tls_context *context, struct error *error)
{
    static const unsigned char purpose[] = "felhomd";
    int code = library_start();
    if (code == 0)
        code = mbedtls_ctr_drbg_seed(&context->random, mbedtls_entropy_func, &context->entropy,
                                     purpose, sizeof(purpose));
    return code == 0 ? 0 : tls_fail(error, code, "cannot start the random number generator");
}

/* mbedTLS's PEM parsers want the closing NUL counted. */
static int parse_pem(struct tls_context *context, const struct buffer *pem, struct error *error)
{
    const unsigned char *text = (const unsigned char *)buffer_text(pem);
    int code = parse_key(context, text, pem->length + 1);
    if (code != 0)
        return tls_fail(error, code, "no usable private key");
    code = mbedtls_x509_crt_parse(&context->certificate, text, pem->length + 1);
    if (code != 0)
        return tls_fail(error, code, "no usable certificate");
    if (!mbedtls_pk_can_do(&context->key, MBEDTLS_PK_ECDSA))
        return fail(error, ERROR_INVALID, "the private key is not an ECDSA key");
    if (check_pair(context) != 0)
        return fail(error, ERROR_CORRUPT, "the private key does not belong to the certificate");
    return 0;
}

static int load_identity(struct tls_context *context, const char *pem_file, struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    if (file_read(pem_file, PEM_LIMIT, &pem, error) < 0)
        return -1;
    if (parse_pem(context, &pem, error) < 0)
        return fail_context(error, "%s", pem_file);
    return 0;
}

/* Silent unless somebody who hunts a bug raises the library's own threshold. */
static void log_library(void *context, int level, const char *file, int line, const char *message)
{
    (void)context;
    log_line(LOG_DEBUG, "mbedTLS %d: %s:%d: %s", level, file, line, message);
}

static void configure_policy(mbedtls_ssl_config *config)
{
    set_versions_and_groups(config);
    mbedtls_ssl_conf_ciphersuites(config, suites);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_dbg(config, log_library, NULL);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
}

static int configure_resumption(struct tls_context *context)
{
    int code = mbedtls_ssl_ticket_setup(&context->tickets, mbedtls_ctr_drbg_random,
                                        &context->random, MBEDTLS_CIPHER_AES_256_GCM, RESUME_S);
    mbedtls_ssl_cache_set_max_entries(&context->cache, CACHE_ENTRIES);
    mbedtls_ssl_cache_set_timeout(&context->cache, RESUME_S);
    mbedtls_ssl_conf_session_cache(&context->config, &context->cache, mbedtls_ssl_cache_get,
                                   mbedtls_ssl_cache_set);
    mbedtls_ssl_conf_session_tickets_cb(&context->config, mbedtls_ssl_ticket_write,
                                        mbedtls_ssl_ticket_parse, &context->tickets);
    return code;
}

static int configure(struct tls_context *context, struct error *error)
{
    int code =
        mbedtls_ssl_config_defaults(&context->config, MBEDTLS_SSL_IS_SERVER,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(&context->config, mbedtls_ctr_drbg_random, &context->random);
    configure_policy(&context->config);
    if (code == 0)
        code = configure_resumption(context);
    if (code == 0)
        code = mbedtls_ssl_conf_own_cert(&context->config, &context->certificate, &context->key);
    return code == 0 ? 0 : tls_fail(error, code, "cannot configure TLS");
}

static struct tls_context *context_alloc(const struct tls_limits *limits)
{
    struct tls_context *context = mem_new(struct tls_context);
    context->limits = *limits;
    context->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mbedtls_ssl_config_init(&context->config);
    mbedtls_entropy_init(&context->entropy);
    mbedtls_ctr_drbg_init(&context->random);
    mbedtls_pk_init(&context->key);
    mbedtls_x509_crt_init(&context->certificate);
    mbedtls_ssl_cache_init(&context->cache);
    mbedtls_ssl_ticket_init(&context->tickets);
    return context;
}

static int context_fill(struct tls_context *context, const char *pem_file, struct error *error)
{
    if (context->interrupt_fd < 0)
        return fail_errno(error, errno, "cannot make an eventfd");
    if (start_random(context, error) < 0 || load_identity(context, pem_file, error) < 0)
        return -1;
    return configure(context, error);
}

int tls_context_new(const char *pem_file, const struct tls_limits *limits, struct tls_context **ret,
                    struct error *error)
{
    struct tls_context *context = context_alloc(limits);
    if (context_fill(context, pem_file, error) < 0) {
        tls_context_free(context);
        return -1;
    }
    *ret = context;
    return 0;
}

/* mbedTLS wipes what it frees: the key, the ticket keys, the cached sessions, the generator's
 * state. */
void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    mbedtls_ssl_config_free(&context->config);
    mbedtls_ssl_ticket_free(&context->tickets);
    mbedtls_ssl_cache_free(&context->cache);
    mbedtls_x509_crt_free(&context->certificate);
    mbedtls_pk_free(&context->key);
    mbedtls_ctr_drbg_free(&context->random);
    mbedtls_entropy_free(&context->entropy);
    cleanup_close_fn(&context->interrupt_fd);
    free(context);
}

void tls_context_interrupt(struct tls_context *context)
{
    (void)eventfd_write(context->interrupt_fd, 1);
}
