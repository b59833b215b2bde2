/* SPDX-License-Identifier: Apache-2.0 */
/* TLS with curl and openssl as clients. */
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

#include "server/tls/context.h"
#include "tests/unit/local_listener.h"

#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define HAS_TLS13 1
#else
#define HAS_TLS13 0
#endif

static const struct tls_limits limits = {.handshake_ms = 1, .request_ms = 1, .idle_ms = 1};

static void test_right_pin(void **state)
{
    (void)state;
    int status;
    const char *output =
        run(&status, "curl -sk --pinnedpubkey sha256//%s %s/ 2>&1", local.pin, local.url);
    assert_int_equal(status, 0);
    assert_string_equal(output, "{\"peer\":\"127.0.0.1\"}");
}

static void test_wrong_pin(void **state)
{
    (void)state;
    int status;
    const char *output = run(&status,
                             "curl -sk -w '%%{http_code}' --pinnedpubkey "
                             "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= %s/ 2>/dev/null",
                             local.url);
    assert_int_equal(status, 90);
    assert_string_equal(output, "000");
}

/* One handshake by openssl, configured to offer even outdated versions and ciphers. */
static const char *shake_hands(int *ret_status, const char *options)
{
    return run(ret_status,
               "openssl s_client -connect %s -cipher ALL:@SECLEVEL=0 %s </dev/null 2>&1",
               local.endpoint, options);
}

static void assert_refused(const char *options, const char *alert)
{
    int status;
    const char *output = shake_hands(&status, options);
    assert_int_not_equal(status, 0);
    if (!strstr(output, alert))
        fail_test("%s: no \"%s\" in:\n%s", options, alert, output);
}

static void assert_accepted(const char *options, const char *expected)
{
    int status;
    const char *output = shake_hands(&status, options);
    assert_int_equal(status, 0);
    if (!strstr(output, expected))
        fail_test("%s: no \"%s\" in:\n%s", options, expected, output);
}

static void test_versions(void **state)
{
    (void)state;
    assert_refused("-tls1", "alert protocol version");
    assert_refused("-tls1_1", "alert protocol version");
    assert_accepted("-tls1_2", "New, TLSv1.2");
    if (HAS_TLS13)
        assert_accepted("-tls1_3", "New, TLSv1.3");
    else
        assert_refused("-tls1_3", "alert handshake failure");
}

static void test_suites(void **state)
{
    (void)state;
    assert_accepted("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", "AES128-GCM");
    assert_accepted("-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", "AES256-GCM");
    assert_accepted("-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20");
    assert_refused("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", "alert handshake failure");
    assert_refused("-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA", "alert handshake failure");
}

static void test_groups(void **state)
{
    (void)state;
    assert_accepted("-tls1_2", "Temp Key: X25519");
    assert_accepted("-tls1_2 -groups P-256", "Temp Key: ECDH, prime256v1");
    assert_refused("-tls1_2 -groups P-521", "alert handshake failure");
}

static void test_renegotiation_is_off(void **state)
{
    (void)state;
    const char *output = run(NULL,
                             "(sleep 0.2; echo R; sleep 0.3) | "
                             "openssl s_client -tls1_2 -connect %s 2>&1",
                             local.endpoint);
    assert_non_null(strstr(output, "RENEGOTIATING"));
    assert_non_null(strstr(output, "no renegotiation"));
}

static void assert_resumes(const char *options)
{
    const char *output = run(NULL,
                             "s='openssl s_client -connect %s %s'; cd %s;"
                             "(sleep 0.3) | $s -sess_out s >/dev/null 2>&1;"
                             "(sleep 0.3) | $s -sess_in s 2>&1 | grep -c ^Reused",
                             local.endpoint, options, local.directory);
    if (strcmp(output, "1\n") != 0)
        fail_test("%s: not resumed: %s", options, output);
}

static void test_sessions_are_resumed(void **state)
{
    (void)state;
    assert_resumes("-tls1_2");
    assert_resumes("-tls1_2 -no_ticket");
}

static void test_tls13_sessions_are_resumed(void **state)
{
    (void)state;
    if (!HAS_TLS13)
        skip();
    assert_resumes("-tls1_3");
}

static void assert_unusable(const char *content, enum error_kind kind, const char *message)
{
    char path[128];
    char expected[256];
    struct tls_context *context = NULL;
    struct error error = {0};
    (void)snprintf(path, sizeof(path), "%s/other.pem", local.directory);
    (void)snprintf(expected, sizeof(expected), "%s: %s", path, message);
    (void)run(NULL, "cd %s && (%s) > other.pem 2>/dev/null", local.directory, content);
    assert_int_equal(tls_context_new(path, &limits, &context, &error), -1);
    assert_null(context);
    assert_int_equal(error.kind, kind);
    if (strncmp(error.message, expected, strlen(expected)) != 0)
        fail_test("got \"%s\", not \"%s\"", error.message, expected);
}

static void test_unusable_identities(void **state)
{
    (void)state;
    assert_unusable("true", ERROR_SYSTEM, "no usable private key: ");
    assert_unusable("cat cert", ERROR_SYSTEM, "no usable private key: ");
    assert_unusable("cat key", ERROR_SYSTEM, "no usable certificate: ");
    assert_unusable("head -n 3 key; cat cert", ERROR_SYSTEM, "no usable private key: ");
    assert_unusable("openssl ecparam -name prime256v1 -genkey -noout; cat cert", ERROR_CORRUPT,
                    "the private key does not belong to the certificate");
    assert_unusable("openssl req -x509 -newkey rsa:2048 -nodes -keyout k -subj /CN=r; cat k",
                    ERROR_INVALID, "the private key is not an ECDSA key");
}

/* mbedTLS 2 computes a table for a key's curve at the first signature, if it can store it. */
static void test_the_key_has_signed_before_it_is_shared(void **state)
{
    (void)state;
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    skip(); /* its tables are constants */
#else
    struct tls_context *context;
    struct error error;
    assert_int_equal(tls_context_new(local.pem, &limits, &context, &error), 0);
    assert_non_null(mbedtls_pk_ec(context->generation->key)->grp.T);
    tls_context_free(context);
#endif
}

static void test_no_identity(void **state)
{
    (void)state;
    struct tls_context *context = NULL;
    struct error error = {0};
    assert_int_equal(tls_context_new("/nonexistent/agent.pem", &limits, &context, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_string_equal(error.message, "/nonexistent/agent.pem: no such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(test_right_pin),
        LOCAL_TEST(test_wrong_pin),
        LOCAL_TEST(test_versions),
        LOCAL_TEST(test_suites),
        LOCAL_TEST(test_groups),
        LOCAL_TEST(test_renegotiation_is_off),
        LOCAL_TEST(test_sessions_are_resumed),
        LOCAL_TEST(test_tls13_sessions_are_resumed),
        cmocka_unit_test(test_unusable_identities),
        cmocka_unit_test(test_the_key_has_signed_before_it_is_shared),
        cmocka_unit_test(test_no_identity),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
