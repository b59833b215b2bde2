/* SPDX-License-Identifier: Apache-2.0 */
/* A listener whose certificate is replaced while it serves. */
#include <mbedtls/ssl.h>

#include "tests/unit/local_listener.h"
#include "tests/unit/tls_client.h"

#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define HAS_TLS13 1
#else
#define HAS_TLS13 0
#endif

#define GET     "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define ROUNDS  50
#define CLIENTS 4

static struct error error;

static char other[128]; /* another key and certificate */
static char other_pin[64];

static int make_certificates(void **state)
{
    int status;
    if (make_certificate(state) != 0)
        return -1;
    (void)snprintf(other, sizeof other, "%s/other.pem", local.directory);
    const char *pin =
        run(&status,
            "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
            "-keyout other.key -out other.crt -subj /CN=other -days 2 2>/dev/null && "
            "cat other.key other.crt > other.pem && "
            "openssl x509 -in other.crt -pubkey -noout | openssl pkey -pubin -outform der | "
            "openssl dgst -sha256 -binary | base64",
            local.directory);
    (void)snprintf(other_pin, sizeof other_pin, "%.44s", pin);
    return status;
}

static void renew(const char *pem_file)
{
    if (listener_renew(local.listener, pem_file, &error) != 0)
        fail_test("%s", error.message);
}

static void assert_shown(const char *pin)
{
    struct pins pins;
    int status;
    listener_pins(local.listener, &pins);
    assert_string_equal(pins.spki, pin);
    const char *output =
        run(&status, "curl -sk --pinnedpubkey sha256//%s %s/ 2>&1", pin, local.url);
    assert_int_equal(status, 0);
    assert_string_equal(output, "{\"peer\":\"127.0.0.1\"}");
}

static void assert_not_shown(const char *pin)
{
    int status;
    (void)run(&status, "curl -sk --pinnedpubkey sha256//%s %s/ 2>&1", pin, local.url);
    assert_int_equal(status, 90);
}

static void test_new_connections_are_shown_it(void **state)
{
    (void)state;
    assert_shown(local.pin);
    renew(other);
    assert_shown(other_pin);
    assert_not_shown(local.pin);
    renew(local.pem);
    assert_shown(local.pin);
    assert_not_shown(other_pin);
}

/* Longer than one certificate is in use. */
static void test_open_connections_go_on(void **state)
{
    (void)state;
    struct client client;
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, GET), 0);
    assert_non_null(strstr(client_receive(&client, "}"), "200"));
    renew(other);
    renew(local.pem);
    renew(other);
    assert_int_equal(client_send_text(&client, GET), 0);
    assert_non_null(strstr(client_receive(&client, "}"), "200"));
    client_close(&client);
}

/* Reads everything the server sends until it closes: in TLS 1.3 tickets come after the
 * handshake. */
static const char *shake_hands(const char *options, const char *session)
{
    return run(NULL,
               "cd %s && printf 'GET / HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n' | openssl "
               "s_client -ign_eof -connect %s %s -%s session 2>&1",
               local.directory, local.endpoint, options, session);
}

static void assert_not_resumed(const char *options)
{
    (void)shake_hands(options, "sess_out");
    assert_non_null(strstr(shake_hands(options, "sess_in"), "Reused, TLSv1"));
    renew(other);
    const char *after = shake_hands(options, "sess_in");
    assert_non_null(strstr(after, "New, TLSv1"));
    renew(local.pem);
}

static void test_no_session_of_before_is_resumed(void **state)
{
    (void)state;
    assert_not_resumed("-tls1_2");
    assert_not_resumed("-tls1_2 -no_ticket");
}

static void test_what_is_unusable_changes_nothing(void **state)
{
    (void)state;
    char path[128];
    static const char *const makings[] = {
        "echo rubbish",
        "cat other.crt",
        "cat key other.crt",
        "true",
    };
    (void)snprintf(path, sizeof path, "%s/unusable.pem", local.directory);
    for (size_t i = 0; i < ARRAY_SIZE(makings); i++) {
        (void)run(NULL, "cd %s && (%s) >unusable.pem", local.directory, makings[i]);
        assert_int_equal(listener_renew(local.listener, path, &error), -1);
        assert_int_equal(strncmp(error.message, path, strlen(path)), 0);
        assert_shown(local.pin);
    }
    assert_int_equal(listener_renew(local.listener, "/nonexistent", &error), -1);
    assert_shown(local.pin);
}

/* Clients that connect meanwhile are served, whichever certificate they get. */
static void test_under_load(void **state)
{
    (void)state;
    FILE *clients[CLIENTS];
    char command[512];
    (void)snprintf(command, sizeof command,
                   "until [ -e %s/enough ]; do curl -sk --pinnedpubkey 'sha256//%s;sha256//%s' "
                   "-o /dev/null %s/ || echo $?; done",
                   local.directory, local.pin, other_pin, local.url);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = popen(command, "r");
        assert_non_null(clients[i]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        renew(i % 2 ? local.pem : other);
        assert_shown(i % 2 ? local.pin : other_pin);
    }
    (void)run(NULL, "touch %s/enough", local.directory);
    for (size_t i = 0; i < CLIENTS; i++) {
        char output[64] = "";
        (void)!fread(output, 1, sizeof output - 1, clients[i]);
        assert_int_equal(pclose(clients[i]), 0);
        assert_string_equal(output, "");
    }
}

static void test_no_tls13_ticket_of_before_is_resumed(void **state)
{
    (void)state;
    if (!HAS_TLS13)
        skip();
    assert_not_resumed("-tls1_3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(test_new_connections_are_shown_it),
        LOCAL_TEST(test_open_connections_go_on),
        LOCAL_TEST(test_no_session_of_before_is_resumed),
        LOCAL_TEST(test_no_tls13_ticket_of_before_is_resumed),
        LOCAL_TEST(test_what_is_unusable_changes_nothing),
        LOCAL_TEST(test_under_load),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificate);
}
