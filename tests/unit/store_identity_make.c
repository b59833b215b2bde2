/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate itself, checked with openssl. */
#include <arpa/inet.h>

#include "store/identity/identity.h"
#include "tests/unit/scratch.h"

static struct error error;

/* Makes an identity and writes it to agent.crt, the key included. */
static void make(const char *host_name)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    struct in_addr address = {htonl(INADDR_LOOPBACK)};
    assert_int_equal(identity_make(host_name, address, &pem, &error), 0);
    FILE *file = fopen(in_scratch("agent.crt"), "we");
    assert_non_null(file);
    assert_int_equal(fwrite(pem.data, 1, pem.length, file), pem.length);
    assert_int_equal(fclose(file), 0);
}

static void test_certificate(void **state)
{
    (void)state;
    make("pve1.example.org");
#define X509(options) "openssl x509 -in agent.crt -noout " options
    assert_output(X509("-subject -nameopt RFC2253"), "subject=CN=pve1.example.org");
    assert_output(X509("-issuer -nameopt RFC2253"), "issuer=CN=pve1.example.org");
    assert_output(X509("-ext subjectAltName | sed -n 2p | tr -d ' '"),
                  "IPAddress:127.0.0.1,DNS:pve1.example.org");
    assert_output(X509("-ext extendedKeyUsage | sed -n 2p | tr -d ' '"),
                  "TLSWebServerAuthentication");
    assert_output(X509("-ext keyUsage | sed -n 2p | tr -d ' '"), "DigitalSignature");
    assert_output(X509("-ext basicConstraints | sed -n 2p | tr -d ' '"), "CA:FALSE");
    assert_output(X509("-text | grep -c 'NIST CURVE: P-256'"), "1");
    assert_output(X509("-checkend 630000000"), "Certificate will not expire");
    assert_output(X509("-checkend 640000000"), "Certificate will expire");
    assert_output(X509("-serial | grep -cE '^serial=[4-7][0-9A-F]{31}$'"), "1");
    assert_output("openssl verify -x509_strict -purpose sslserver -CAfile agent.crt "
                  "-verify_ip 127.0.0.1 -verify_hostname pve1.example.org agent.crt",
                  "agent.crt: OK");
    assert_output("openssl verify -CAfile agent.crt -attime $(($(date +%s) - 80000)) agent.crt",
                  "agent.crt: OK");
}

static void test_two_identities_differ(void **state)
{
    (void)state;
    static const char *const commands[] = {X509("-serial"), X509("-pubkey | tr -d '\\n'")};
    char first[ARRAY_SIZE(commands)][256];
    char second[256];
    make("pve1");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        output_of(commands[i], first[i]);
    make("pve1");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        output_of(commands[i], second);
        assert_string_not_equal(first[i], second);
    }
}

static void test_odd_host_names(void **state)
{
    (void)state;
    static const struct {
        const char *host_name;
        const char *dns_name;
    } names[] = {
        {"", "felhom-agent"},
        {"...", "felhom-agent"},
        {"a,O=evil+CN=b", "a-O-evil-CN-b"},
        {"#0c03616263", "-0c03616263"},
        {"back\\slash \"quote\"", "back-slash--quote-"},
        {"h\xc3\xa4uschen\n", "h--uschen-"},
        {"under_score", "under_score"},
        {"-", "-"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        make(names[i].host_name);
        cleanup_free char *subject = mem_format("subject=CN=%s", names[i].dns_name);
        cleanup_free char *alternative = mem_format("DNS:%s", names[i].dns_name);
        assert_output(X509("-subject -nameopt oneline,-space_eq,-esc_msb | tr -d ' '"), subject);
        assert_output(X509("-ext subjectAltName | sed -n 2p | cut -d, -f2 | tr -d ' '"),
                      alternative);
    }
}

static void test_long_host_name(void **state)
{
    (void)state;
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    make(name);
    assert_output(X509("-subject -nameopt RFC2253 | tr -d '\\n' | wc -c"), "75");
    assert_output(X509("-ext subjectAltName | grep -o 'n\\{60,\\}' | tr -d '\\n' | wc -c"), "253");
}

#define test(function) cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_certificate),
        test(test_two_identities_differ),
        test(test_odd_host_names),
        test(test_long_host_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
