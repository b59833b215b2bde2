/* SPDX-License-Identifier: Apache-2.0 */
/* restore-test for a guest that the store does not have, or if the store cannot be read. */
#include "store/tables/guest.h"
#include "tests/unit/cli_scratch.h"
#include "tests/unit/test.h"

static enum error_kind kind;
static const char *message;

/* Replaces the store's function. */
int guest_find(struct store *store, uint32_t vmid, struct guest *ret, struct error *error)
{
    (void)store;
    (void)vmid;
    (void)ret;
    return fail(error, kind, "%s", message);
}

static void assert_fails(enum error_kind as, const char *because, const char *expected)
{
    kind = as;
    message = because;
    cleanup_outcome struct outcome outcome = felhomctl("restore-test", "8200", NULL);
    assert_int_equal(outcome.status, 1);
    assert_string_equal(buffer_text(&outcome.err), expected);
}

static void an_unknown_guest_is_to_be_enrolled(void **state)
{
    (void)state;
    assert_fails(ERROR_MISSING, "no such guest",
                 "felhomctl: guest 8200 is not known on this host: run felhomctl enroll 8200\n");
}

static void another_failure_speaks_for_itself(void **state)
{
    (void)state;
    assert_fails(ERROR_BUSY, "the store is busy", "felhomctl: the store is busy\n");
    assert_fails(ERROR_CORRUPT, "the store is damaged", "felhomctl: the store is damaged\n");
    assert_fails(ERROR_SYSTEM, "the store cannot be read", "felhomctl: the store cannot be read\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(an_unknown_guest_is_to_be_enrolled, node_init),
        scratch_test(another_failure_speaks_for_itself, node_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
