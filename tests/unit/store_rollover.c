/* SPDX-License-Identifier: Apache-2.0 */
/* The steps from one identity to the next, in and out of order, and each one interrupted. */
#include <arpa/inet.h>

#include "store/identity/rollover.h"
#include "tests/unit/scratch.h"

#define USER 12345u

static struct error error;

static struct in_addr address(void)
{
    return (struct in_addr){htonl(INADDR_LOOPBACK)};
}

static int make(void **state)
{
    struct identity identity;
    bool made;
    if (scratch_make(state) != 0 ||
        identity_ensure(scratch, "pve1", address(), &identity, &made, &error) != 0)
        return -1;
    identity_free(&identity);
    shell("cp -a tls before");
    return 0;
}

static void stage(bool changed)
{
    bool really = !changed;
    assert_int_equal(rollover_stage(scratch, "pve1", address(), &really, &error), 0);
    assert_int_equal(really, changed);
}

static void switch_over(bool changed)
{
    bool really = !changed;
    assert_int_equal(rollover_switch(scratch, &really, &error), 0);
    assert_int_equal(really, changed);
}

static void retire(bool changed)
{
    bool really = !changed;
    assert_int_equal(rollover_retire(scratch, &really, &error), 0);
    assert_int_equal(really, changed);
}

static void assert_refused(int result, const char *message)
{
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_string_equal(error.message, message);
}

/* The pins only; "" for an identity that does not exist. */
struct view {
    struct pins current, next, previous;
};

static struct view view(void)
{
    struct view view = {0};
    cleanup(rollover_free) struct rollover rollover = {0};
    assert_int_equal(rollover_load(scratch, &rollover, &error), 0);
    view.current = rollover.current.pins;
    if (rollover_has(&rollover.next))
        view.next = rollover.next.pins;
    if (rollover_has(&rollover.previous))
        view.previous = rollover.previous.pins;
    return view;
}

static void assert_same(const struct pins *a, const struct pins *b)
{
    assert_string_equal(a->leaf, b->leaf);
    assert_string_equal(a->spki, b->spki);
}

static const struct pins none = {.spki = ""};

static void assert_at_rest(const struct pins *current)
{
    struct view now = view();
    assert_same(&now.current, current);
    assert_same(&now.next, &none);
    assert_same(&now.previous, &none);
}

static void test_at_rest(void **state)
{
    (void)state;
    struct view now = view();
    struct pins coming;
    assert_at_rest(&now.current);
    assert_int_equal(rollover_coming_pins(scratch, &now.current, &coming, &error), 0);
    assert_same(&coming, &none);
    shell("diff -r before tls");
}

static void test_whole_way(void **state)
{
    (void)state;
    struct view first = view();
    stage(true);
    struct view staged = view();
    assert_same(&staged.current, &first.current);
    assert_string_not_equal(staged.next.leaf, "");
    assert_string_not_equal(staged.next.spki, first.current.spki);
    assert_same(&staged.previous, &none);
    shell("cmp before/agent.pem tls/agent.pem; cmp before/agent.crt tls/agent.crt");
    switch_over(true);
    struct view switched = view();
    assert_same(&switched.current, &staged.next);
    assert_same(&switched.previous, &first.current);
    assert_same(&switched.next, &none);
    shell("cmp before/agent.pem tls/previous.pem; cmp before/agent.crt tls/previous.crt");
    retire(true);
    assert_at_rest(&staged.next);
    assert_int_equal(count_entries(in_scratch("tls")), 2);
    shell("test \"$(cat tls/agent.crt)\" = \"$(openssl x509 -in tls/agent.pem)\"");
    stage(true);
}

static void test_modes(void **state)
{
    (void)state;
    stage(true);
    assert_int_equal(status_of("tls/next.pem").st_mode, S_IFREG | 0600);
    assert_int_equal(status_of("tls/next.crt").st_mode, S_IFREG | 0644);
    switch_over(true);
    static const char *const keys[] = {"tls/agent.pem", "tls/previous.pem"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_int_equal(status_of(keys[i]).st_mode, S_IFREG | 0600);
    shell("! grep -l PRIVATE tls/*.crt");
}

/* felhomd can read what root made. */
static void test_owner_is_the_state_directorys(void **state)
{
    (void)state;
    needs_root();
    shell("chown %u:%u . tls tls/*", USER, USER + 1);
    stage(true);
    switch_over(true);
    static const char *const names[] = {"tls/agent.pem", "tls/agent.crt", "tls/previous.pem",
                                        "tls/previous.crt"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(status_of(names[i]).st_uid, USER);
        assert_int_equal(status_of(names[i]).st_gid, USER + 1);
    }
}

static void test_again(void **state)
{
    (void)state;
    retire(false);
    stage(true);
    struct view staged = view();
    stage(false);
    struct view again = view();
    assert_same(&again.next, &staged.next);
    switch_over(true);
    switch_over(false);
    struct view switched = view();
    assert_same(&switched.current, &staged.next);
    assert_same(&switched.previous, &staged.current);
    retire(true);
    retire(false);
}

static void test_out_of_turn(void **state)
{
    (void)state;
    bool changed;
    assert_refused(rollover_switch(scratch, &changed, &error),
                   "no next identity is staged for guests to know: felhomctl identity stage");
    shell("diff -r before tls");
    stage(true);
    assert_refused(rollover_retire(scratch, &changed, &error),
                   "the next identity is staged, but not served yet: felhomctl identity switch");
    switch_over(true);
    assert_refused(rollover_stage(scratch, "pve1", address(), &changed, &error),
                   "the identity before this one is not retired yet: felhomctl identity retire");
    struct view now = view();
    assert_same(&now.next, &none);
}

static void test_without_an_identity(void **state)
{
    (void)state;
    bool changed;
    struct rollover rollover;
    shell("rm tls/*");
    assert_int_equal(rollover_load(scratch, &rollover, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_int_equal(rollover_stage(scratch, "pve1", address(), &changed, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_non_null(strstr(error.message, "agent.pem is missing: run felhomctl init"));
}

static void assert_coming(const struct pins *told, const struct pins *shown,
                          const struct pins *coming)
{
    struct pins found;
    cleanup(rollover_free) struct rollover rollover = {0};
    assert_int_equal(rollover_load(scratch, &rollover, &error), 0);
    assert_same(&rollover_shown(&rollover, told)->pins, shown);
    const struct identity *next = rollover_coming(&rollover, told);
    assert_same(next ? &next->pins : &none, coming);
    if (!told)
        return;
    assert_int_equal(rollover_coming_pins(scratch, told, &found, &error), 0);
    assert_same(&found, coming);
}

/* Guests get both pins until felhomd has recorded that it shows the new certificate. */
static void test_what_is_shown(void **state)
{
    (void)state;
    stage(true);
    struct view staged = view();
    assert_coming(NULL, &staged.current, &staged.next);
    assert_coming(&staged.current, &staged.current, &staged.next);
    switch_over(true);
    assert_coming(&staged.current, &staged.current, &staged.next);
    assert_coming(&staged.next, &staged.next, &none);
    assert_coming(NULL, &staged.next, &none);
    retire(true);
    assert_coming(&staged.next, &staged.next, &none);
}

/* The certificates of the bundle in order, read by openssl. */
static void assert_bundle(const struct pins *told, const char *files)
{
    cleanup(rollover_free) struct rollover rollover = {0};
    cleanup_buffer struct buffer bundle = BUFFER_EMPTY;
    assert_int_equal(rollover_load(scratch, &rollover, &error), 0);
    rollover_certificates(&rollover, told, &bundle);
    FILE *file = fopen(in_scratch("bundle"), "w");
    assert_non_null(file);
    assert_true(fputs(buffer_text(&bundle), file) >= 0);
    assert_int_equal(fclose(file), 0);
    shell("cat %s | cmp - bundle", files);
}

static void test_bundle(void **state)
{
    (void)state;
    struct pins old = view().current;
    assert_bundle(&old, "tls/agent.crt");
    stage(true);
    assert_bundle(&old, "tls/agent.crt tls/next.crt");
    switch_over(true);
    assert_bundle(&old, "tls/previous.crt tls/agent.crt");
    assert_bundle(NULL, "tls/agent.crt tls/previous.crt");
    retire(true);
    assert_bundle(&old, "tls/agent.crt");
}

/* --- as if killed --- */

static void test_half_staged(void **state)
{
    (void)state;
    bool changed;
    stage(true);
    struct view staged = view();
    shell("rm tls/next.crt");
    assert_at_rest(&staged.current);
    assert_refused(rollover_switch(scratch, &changed, &error),
                   "no next identity is staged for guests to know: felhomctl identity stage");
    stage(true);
    struct view again = view();
    assert_same(&again.next, &staged.next);
}

/* Before the rename nothing has changed. */
static void test_switch_not_begun(void **state)
{
    (void)state;
    stage(true);
    struct view staged = view();
    static const char *const left[] = {"cp -p before/agent.pem tls/previous.pem",
                                       "cp -p before/agent.crt tls/previous.crt"};
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        shell("%s", left[i]);
        struct view now = view();
        assert_same(&now.current, &staged.current);
        assert_same(&now.next, &staged.next);
        assert_same(&now.previous, &none);
        stage(false);
    }
    switch_over(true);
    struct view now = view();
    assert_same(&now.current, &staged.next);
    assert_same(&now.previous, &staged.current);
}

static void switch_half(void)
{
    stage(true);
    shell("cp -p before/agent.pem tls/previous.pem; cp -p before/agent.crt tls/previous.crt;"
          " mv tls/next.pem tls/agent.pem");
}

/* After the rename, readers find both until any step completes it. */
static void test_half_switched(void **state)
{
    (void)state;
    bool changed;
    switch_half();
    struct view half = view();
    assert_same(&half.previous, &none);
    assert_coming(&half.current, &half.current, &half.next);
    assert_coming(&half.next, &half.current, &half.next);
    assert_refused(rollover_retire(scratch, &changed, &error),
                   "the next identity is staged, but not served yet: felhomctl identity switch");
    struct view now = view();
    assert_same(&now.current, &half.next);
    assert_same(&now.previous, &half.current);
    switch_over(false);
    assert_false(is_there("tls/next.crt"));
}

static void test_half_switched_then_again(void **state)
{
    (void)state;
    switch_half();
    struct view half = view();
    shell("cp tls/next.crt tls/agent.crt"); /* one instruction later */
    struct view later = view();
    assert_same(&later.current, &half.next);
    assert_same(&later.next, &none);
    assert_same(&later.previous, &half.current);
    switch_over(false);
    retire(true);
    assert_at_rest(&half.next);
}

static void test_half_retired(void **state)
{
    (void)state;
    stage(true);
    switch_over(true);
    struct pins current = view().current;
    shell("rm tls/previous.crt");
    assert_at_rest(&current);
    retire(true);
    assert_false(is_there("tls/previous.pem"));
}

static void test_damaged_next(void **state)
{
    (void)state;
    bool changed;
    stage(true);
    shell("cp before/agent.crt tls/next.pem"); /* without a key */
    assert_int_equal(rollover_switch(scratch, &changed, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "tls/next.pem is damaged ("));
    assert_non_null(strstr(error.message, "then run felhomctl identity stage"));
    shell("cmp before/agent.pem tls/agent.pem; cmp before/agent.crt tls/agent.crt;"
          " rm tls/next.pem tls/next.crt");
    stage(true);
    switch_over(true);
}

#define test(function) cmocka_unit_test_setup_teardown(function, make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_at_rest),
        test(test_whole_way),
        test(test_modes),
        test(test_owner_is_the_state_directorys),
        test(test_again),
        test(test_out_of_turn),
        test(test_without_an_identity),
        test(test_what_is_shown),
        test(test_bundle),
        test(test_half_staged),
        test(test_switch_not_begun),
        test(test_half_switched),
        test(test_half_switched_then_again),
        test(test_half_retired),
        test(test_damaged_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
