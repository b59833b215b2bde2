/* SPDX-License-Identifier: Apache-2.0 */
/* Whether key and certificate match. */
#include <arpa/inet.h>

#include "store/identity/identity.h"
#include "tests/unit/scratch.h"

static struct error error;

static int make(void **state)
{
    bool made;
    struct identity identity;
    const struct in_addr address = {htonl(INADDR_LOOPBACK)};
    if (scratch_make(state) < 0 ||
        identity_ensure(scratch, "pve1", address, &identity, &made, &error) < 0)
        return -1;
    identity_free(&identity);
    return 0;
}

static void assert_refused(enum error_kind kind, const char *part)
{
    error = (struct error){0};
    assert_int_equal(identity_verify(scratch, &error), -1);
    assert_int_equal(error.kind, kind);
    if (!strstr(error.message, part))
        fail_test("'%s' lacks '%s'", error.message, part);
}

static void a_pair(void **state)
{
    (void)state;
    assert_int_equal(identity_verify(scratch, &error), 0);
}

static void a_certificate_of_another_key(void **state)
{
    (void)state;
    shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
          "-subj /CN=other -keyout other.key -out tls/agent.crt 2>/dev/null");
    assert_refused(ERROR_CONFLICT, "run felhomctl init, which restores it from there");
    shell("cat other.key tls/agent.crt > both && cp both tls/agent.pem");
    assert_int_equal(identity_verify(scratch, &error), 0);
}

static void a_key_of_another_certificate(void **state)
{
    (void)state;
    shell("openssl ecparam -name prime256v1 -genkey -noout -out other.key 2>/dev/null && "
          "cat other.key tls/agent.crt > both && cp both tls/agent.pem");
    assert_refused(ERROR_CORRUPT, "agent.pem is damaged");
}

static void no_key(void **state)
{
    (void)state;
    shell("rm tls/agent.pem");
    assert_refused(ERROR_CORRUPT, "agent.pem is missing, though agent.crt is there");
    shell("rm tls/agent.crt");
    assert_refused(ERROR_MISSING, "agent.crt is missing");
}

static void nonsense(void **state)
{
    (void)state;
    shell("echo nonsense > tls/agent.pem");
    assert_refused(ERROR_CORRUPT, "agent.pem is damaged");
}

#define verify_test(function) cmocka_unit_test_setup_teardown(function, make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        verify_test(a_pair),
        verify_test(a_certificate_of_another_key),
        verify_test(a_key_of_another_certificate),
        verify_test(no_key),
        verify_test(nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
