/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tls/context.h"

#include <errno.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/error.h>
#include <mbedtls/version.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "store/base/log.h"
#include "store/files/file.h"

/* Sessions in many threads share the random number generator, the cache and the ticket keys. */
#if defined(MBEDTLS_VERSION_NUMBER) && !defined(MBEDTLS_THREADING_C)
#error "mbedTLS must be built with MBEDTLS_THREADING_C"
#endif

#define PEM_LIMIT     65536
#define RESUME_S      3600 /* how long a session may be resumed */
#define CACHE_ENTRIES 256  /* for clients that do not use tickets */

int tls_fail(struct error *error, int code, const char *what)
{
    char reason[128];
    mbedtls_check_memory(code);
    mbedtls_strerror(code, reason, sizeof(reason));
    return fail(error, ERROR_SYSTEM, "%s: %s", what, reason);
}

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

/* What differs between mbedTLS 3 and 2.28. */
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

static int parse_key(struct tls_generation *generation, const unsigned char *pem, size_t size)
{
    return mbedtls_pk_parse_key(&generation->key, pem, size, NULL, 0, mbedtls_ctr_drbg_random,
                                &generation->random);
}

static int check_pair(struct tls_generation *generation)
{
    return mbedtls_pk_check_pair(&generation->certificate.pk, &generation->key,
                                 mbedtls_ctr_drbg_random, &generation->random);
}

/* mbedTLS 3 has the precomputed tables of its curves as constants. */
static int prepare_key(struct tls_generation *generation)
{
    (void)generation;
    return 0;
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

static int parse_key(struct tls_generation *generation, const unsigned char *pem, size_t size)
{
    return mbedtls_pk_parse_key(&generation->key, pem, size, NULL, 0);
}

static int check_pair(struct tls_generation *generation)
{
    return mbedtls_pk_check_pair(&generation->certificate.pk, &generation->key);
}

/* The first signature computes the curve's table. Doing it here, before threads share the key,
 * avoids a race. */
static int sign_once(struct tls_generation *generation, mbedtls_pk_context *key)
{
    static const unsigned char digest[32];
    unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t length;
    return mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, digest, sizeof(digest), signature, &length,
                           mbedtls_ctr_drbg_random, &generation->random);
}

/* mbedTLS would copy the key, as the parser returns it, for each signature and compute the table of
 * its curve each time, which is half the work of a signature. */
static int prepare_key(struct tls_generation *generation)
{
    cleanup(mbedtls_pk_free) mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    int code = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECDSA));
    if (code == 0)
        code = mbedtls_ecdsa_from_keypair(mbedtls_pk_ec(key), mbedtls_pk_ec(generation->key));
    if (code == 0)
        code = sign_once(generation, &key);
    if (code == 0) {
        mbedtls_pk_context parsed = generation->key;
        generation->key = key;
        key = parsed;
    }
    return code;
}
#endif

static int start_random(struct tls_generation *generation, struct error *error)
{
    static const unsigned char purpose[] = "felhomd";
    int code = library_start();
    if (code == 0)
        code = mbedtls_ctr_drbg_seed(&generation->random, mbedtls_entropy_func,
                                     &generation->entropy, purpose, sizeof(purpose));
    return code == 0 ? 0 : tls_fail(error, code, "cannot start the random number generator");
}

/* mbedTLS's PEM parsers expect the terminating NUL to be counted. */
static int parse_pem(struct tls_generation *generation, const struct buffer *pem,
                     struct error *error)
{
    const unsigned char *text = (const unsigned char *)buffer_text(pem);
    int code = parse_key(generation, text, pem->length + 1);
    if (code != 0)
        return tls_fail(error, code, "no usable private key");
    code = mbedtls_x509_crt_parse(&generation->certificate, text, pem->length + 1);
    if (code != 0)
        return tls_fail(error, code, "no usable certificate");
    if (!mbedtls_pk_can_do(&generation->key, MBEDTLS_PK_ECDSA))
        return fail(error, ERROR_INVALID, "the private key is not an ECDSA key");
    code = check_pair(generation);
    if (code != 0) {
        mbedtls_check_memory(code);
        return fail(error, ERROR_CORRUPT, "the private key does not belong to the certificate");
    }
    code = prepare_key(generation);
    return code == 0 ? 0 : tls_fail(error, code, "cannot sign with the private key");
}

static int load_identity(struct tls_generation *generation, const char *pem_file,
                         struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    if (file_read(pem_file, PEM_LIMIT, &pem, error) < 0)
        return -1;
    if (parse_pem(generation, &pem, error) < 0)
        return fail_context(error, "%s", pem_file);
    return 0;
}

/* mbedTLS calls this only if a developer raises its debug threshold. */
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

static int configure_resumption(struct tls_generation *generation)
{
    int code = mbedtls_ssl_ticket_setup(&generation->tickets, mbedtls_ctr_drbg_random,
                                        &generation->random, MBEDTLS_CIPHER_AES_256_GCM, RESUME_S);
    mbedtls_ssl_cache_set_max_entries(&generation->cache, CACHE_ENTRIES);
    mbedtls_ssl_cache_set_timeout(&generation->cache, RESUME_S);
    mbedtls_ssl_conf_session_cache(&generation->config, &generation->cache, mbedtls_ssl_cache_get,
                                   mbedtls_ssl_cache_set);
    mbedtls_ssl_conf_session_tickets_cb(&generation->config, mbedtls_ssl_ticket_write,
                                        mbedtls_ssl_ticket_parse, &generation->tickets);
    return code;
}

static int generation_configure(struct tls_generation *generation, struct error *error)
{
    int code =
        mbedtls_ssl_config_defaults(&generation->config, MBEDTLS_SSL_IS_SERVER,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(&generation->config, mbedtls_ctr_drbg_random, &generation->random);
    configure_policy(&generation->config);
    if (code == 0)
        code = configure_resumption(generation);
    if (code == 0)
        code = mbedtls_ssl_conf_own_cert(&generation->config, &generation->certificate,
                                         &generation->key);
    return code == 0 ? 0 : tls_fail(error, code, "cannot configure TLS");
}

static struct tls_generation *generation_alloc(void)
{
    struct tls_generation *generation = mem_new(struct tls_generation);
    atomic_init(&generation->holders, 1);
    mbedtls_ssl_config_init(&generation->config);
    mbedtls_entropy_init(&generation->entropy);
    mbedtls_ctr_drbg_init(&generation->random);
    mbedtls_pk_init(&generation->key);
    mbedtls_x509_crt_init(&generation->certificate);
    mbedtls_ssl_cache_init(&generation->cache);
    mbedtls_ssl_ticket_init(&generation->tickets);
    return generation;
}

/* mbedTLS wipes what it frees: the key, the ticket keys, the cached sessions and the state of the
 * random number generator. */
static void generation_free(struct tls_generation *generation)
{
    mbedtls_ssl_config_free(&generation->config);
    mbedtls_ssl_ticket_free(&generation->tickets);
    mbedtls_ssl_cache_free(&generation->cache);
    mbedtls_x509_crt_free(&generation->certificate);
    mbedtls_pk_free(&generation->key);
    mbedtls_ctr_drbg_free(&generation->random);
    mbedtls_entropy_free(&generation->entropy);
    free(generation);
}

/* The caller holds *ret and ends the hold with tls_generation_drop. */
static int generation_new(const char *pem_file, struct tls_generation **ret, struct error *error)
{
    struct tls_generation *generation = generation_alloc();
    errno = 0; /* see schema/base/mbedtls.h */
    if (start_random(generation, error) < 0 || load_identity(generation, pem_file, error) < 0 ||
        generation_configure(generation, error) < 0) {
        generation_free(generation);
        return -1;
    }
    *ret = generation;
    return 0;
}

void tls_generation_drop(struct tls_generation *generation)
{
    if (generation && atomic_fetch_sub(&generation->holders, 1) == 1)
        generation_free(generation);
}

static struct tls_context *context_alloc(const struct tls_limits *limits)
{
    struct tls_context *context = mem_new(struct tls_context);
    context->limits = *limits;
    context->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    (void)pthread_mutex_init(&context->lock, NULL);
    return context;
}

int tls_context_new(const char *pem_file, const struct tls_limits *limits, struct tls_context **ret,
                    struct error *error)
{
    int result = 0;
    struct tls_context *context = context_alloc(limits);
    if (context->interrupt_fd < 0)
        result = fail_errno(error, errno, "cannot create an eventfd");
    if (result == 0)
        result = generation_new(pem_file, &context->generation, error);
    if (result < 0)
        tls_context_free(context);
    else
        *ret = context;
    return result;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    tls_generation_drop(context->generation);
    (void)pthread_mutex_destroy(&context->lock);
    cleanup_close_fn(&context->interrupt_fd);
    free(context);
}

int tls_context_renew(struct tls_context *context, const char *pem_file, struct error *error)
{
    struct tls_generation *new;
    if (generation_new(pem_file, &new, error) < 0)
        return -1;
    (void)pthread_mutex_lock(&context->lock);
    struct tls_generation *old = context->generation;
    context->generation = new;
    (void)pthread_mutex_unlock(&context->lock);
    tls_generation_drop(old);
    return 0;
}

struct tls_generation *tls_context_hold(struct tls_context *context)
{
    (void)pthread_mutex_lock(&context->lock);
    struct tls_generation *generation = context->generation;
    (void)atomic_fetch_add(&generation->holders, 1);
    (void)pthread_mutex_unlock(&context->lock);
    return generation;
}

void tls_context_pins(struct tls_context *context, struct pins *ret)
{
    struct tls_generation *generation = tls_context_hold(context);
    const mbedtls_x509_crt *certificate = &generation->certificate;
    pins_make(certificate->pk_raw.p, certificate->pk_raw.len, certificate->raw.p,
              certificate->raw.len, ret);
    tls_generation_drop(generation);
}

void tls_context_interrupt(struct tls_context *context)
{
    (void)eventfd_write(context->interrupt_fd, 1);
}
