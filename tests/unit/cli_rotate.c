/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation, and what can happen between its two transactions. */
#include <string.h>

#include "schema/base/units.h"
#include "store/base/clock.h"
#include "store/tables/token.h"
#include "tests/unit/cli_guest_scratch.h"
#include "tests/unit/test.h"

static struct store *open_store(void)
{
    struct store *store = NULL;
    cleanup_free char *state_dir = scratch_path("state");
    OK(store_open(state_dir, STORE_OPEN_EXISTING, 1000, &store, &error));
    return store;
}

static int setup(void **state)
{
    assert_int_equal(node_init(state), 0);
    scratch_guest(8200, 1000);
    return 0;
}

static struct token_life newest(void)
{
    cleanup_store struct store *store = open_store();
    struct token_life life;
    OK(token_newest(store, 8200, &life, &error));
    return life;
}

static int count_good(int64_t at_ms)
{
    cleanup_store struct store *store = open_store();
    int count;
    OK(token_count_before(store, 8200, INT64_MAX, at_ms, &count, &error));
    return count;
}

static void assert_file_holds(const char *id)
{
    cleanup_buffer struct buffer token = scratch_read("run/guests/8200/token");
    assert_int_equal(strncmp(buffer_text(&token) + 4, id, TOKEN_ID_LENGTH), 0);
}

static void rotated(void **state)
{
    (void)state;
    struct token_life old = newest();
    cleanup_outcome struct outcome outcome = felhomctl("rotate", "8200", NULL);
    struct token_life new = newest();
    cleanup_free char *line =
        mem_format("done     8200             token %s gen 2 in place of %s\n", new.id, old.id);
    assert_int_equal(outcome.status, 0);
    assert_string_equal(buffer_text(&outcome.out), line);
    assert_string_equal(buffer_text(&outcome.err), "");
    assert_file_holds(new.id);
    assert_int_equal(new.expires_at_ms, 0);
    assert_int_equal(count_good(0), 2);
    assert_int_equal(count_good(INT64_MAX), 1);
}

/* felhomd's sweep or the operator revokes the token between the two transactions. */
static void revoked_meanwhile(void **state)
{
    (void)state;
    run_sql("CREATE TRIGGER meanwhile AFTER INSERT ON event WHEN NEW.kind = 'mint' BEGIN"
            " UPDATE token SET revoked_at_ms = 1, revoked_reason = 'x'; END");
    cleanup_outcome struct outcome outcome = felhomctl("rotate", "8200", NULL);
    assert_int_equal(outcome.status, 1);
    assert_string_equal(
        buffer_text(&outcome.err),
        "felhomctl: guest 8200: another process had its new token revoked at once\n");
    assert_false(scratch_exists("run/guests/8200/token"));
    assert_false(scratch_exists("run/guests/8200/bootstrap.json"));
    assert_false(scratch_exists("run/guests/8200/controller.yaml"));
    assert_int_equal(count_good(0), 0);
}

/* A kill after the files were written: both tokens stay valid until the next rotation. */
static void no_end_for_the_old(void **state)
{
    (void)state;
    run_sql("CREATE TRIGGER meanwhile BEFORE INSERT ON event WHEN NEW.kind = 'rotate' BEGIN"
            " SELECT RAISE(ABORT, 'no space'); END");
    cleanup_outcome struct outcome outcome = felhomctl("rotate", "8200", NULL);
    assert_int_equal(outcome.status, 1);
    assert_contains(&outcome.err, "no space");
    assert_file_holds(newest().id);
    assert_int_equal(count_good(INT64_MAX), 2);
    run_sql("DROP TRIGGER meanwhile");
    cleanup_outcome struct outcome again = felhomctl("rotate", "8200", NULL);
    assert_int_equal(again.status, 0);
    assert_int_equal(newest().generation, 3);
    assert_int_equal(count_good(INT64_MAX), 1);
    assert_int_equal(count_good(0), 3);
}

/* The operator's mistake takes nothing from the guest but controller.yaml. */
static void an_enrolment_at_fault(void **state)
{
    (void)state;
    struct token_life old = newest();
    scratch_write("pve/priv/felhom/8200.yaml", "bogus: 1\n");
    cleanup_outcome struct outcome outcome = felhomctl("rotate", "8200", NULL);
    assert_int_equal(outcome.status, 0);
    assert_contains(&outcome.out, "done     8200             token ");
    assert_contains(&outcome.out, "\nwarning  8200             there is no controller.yaml: ");
    assert_contains(&outcome.out, "8200.yaml:1:1: bogus: ");
    assert_string_not_equal(newest().id, old.id);
    assert_file_holds(newest().id);
    assert_false(scratch_exists("run/guests/8200/controller.yaml"));
}

/* A failure before the first commit leaves nothing behind. */
static void no_new_token(void **state)
{
    (void)state;
    struct token_life old = newest();
    scratch_guest(8300, 1000);
    assert_int_equal(mkdir(in_scratch("run/guests/8200/.token.0123456789abcdef"), 0700), 0);
    cleanup_outcome struct outcome corrupt = felhomctl("rotate", "8200", "8300", "8999", NULL);
    assert_int_equal(corrupt.status, 1);
    assert_contains(&corrupt.out, "warning  8200             ");
    assert_contains(&corrupt.out, "cannot remove the draft ");
    assert_contains(&corrupt.out, "\ndone     8300             token ");
    assert_contains(&corrupt.out,
                    "\nwarning  8999             guest 8999 is not known on this host: "
                    "run felhomctl enroll 8999\n");
    assert_string_equal(buffer_text(&corrupt.err),
                        "felhomctl: not all tokens could be rotated: guests 8200, 8999\n");
    assert_string_equal(newest().id, old.id);
    assert_file_holds(old.id);
}

static void only_what_is_live(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(not_live); i++) {
        run_sql(not_live[i]);
        cleanup_outcome struct outcome gone = felhomctl("rotate", "8200", NULL);
        assert_string_equal(buffer_text(&gone.err),
                            "felhomctl: guest 8200 has no token: it is not on this node\n");
        scratch_write("pve/lxc/8200.conf", "hostname: web\n");
        cleanup_outcome struct outcome one = felhomctl("rotate", "8200", NULL);
        cleanup_outcome struct outcome all = felhomctl("rotate", "--all", NULL);
        assert_int_equal(one.status, 1);
        assert_string_equal(buffer_text(&one.err),
                            "felhomctl: guest 8200 has no token: it gets one when it starts\n");
        assert_int_equal(all.status, 0);
        assert_string_equal(buffer_text(&all.out),
                            "already  8200             has no token: it gets one when it starts\n");
        assert_int_equal(unlink(in_scratch("pve/lxc/8200.conf")), 0);
    }
}

static void nothing_is_due_without_an_age(void **state)
{
    (void)state;
    cleanup_outcome struct outcome due = felhomctl("rotate", "--due", NULL);
    assert_int_equal(due.status, 0);
    assert_string_equal(buffer_text(&due.out),
                        "already  token.max_age    is 0: tokens do not age, so only those that are "
                        "lost or had an end set are due\n");
    assert_int_equal(newest().generation, 1);
}

/* felhom-token-age.path starts the verb for this file, and again at once if it is still there. */
static void the_request_is_taken(void **state)
{
    static const char *const faults[] = {
        "true",
        "mv state/db state/other",
        "mv state/other state/db; echo 'bogus: 1' >>agent.yaml",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        shell("%s; touch run/tokens/renew", faults[i]);
        cleanup_outcome struct outcome due = felhomctl("rotate", "--due", NULL);
        assert_int_equal(due.status, i > 0);
        assert_false(scratch_exists("run/tokens/renew"));
    }
}

#define LATER_MS(hours) (clock_wall_ms() + (hours)*HOUR_MS)

/* Gives the newest token these times: in the store, and in the record, by which it ends as well. */
static void set_times(int64_t created_ms, int64_t expires_ms, int64_t recorded_ms)
{
    const struct token_life life = newest();
    cleanup_free char *record = mem_format("1\n%s %lld\n", life.id, (long long)recorded_ms);
    cleanup_free char *sql =
        mem_format("UPDATE token SET created_at_ms = %lld, expires_at_ms = %lld WHERE id = '%s';"
                   "UPDATE token SET revoked_at_ms = 1 WHERE id <> '%s';"
                   "UPDATE guest SET token_changes = 1",
                   (long long)created_ms, (long long)expires_ms, life.id, life.id);
    run_sql(sql);
    scratch_write("run/tokens/8200", record);
}

static int64_t generation_after_due(void)
{
    cleanup_outcome struct outcome due = felhomctl("rotate", "--due", NULL);
    assert_int_equal(due.status, 0);
    return newest().generation;
}

/* The clock was set back: by it the token has long to go. */
static void due_by_the_record(void **state)
{
    cleanup_buffer struct buffer settings = scratch_read("agent.yaml");
    (void)state;
    buffer_add_text(&settings, "token: {max_age: 24h}\n");
    scratch_write("agent.yaml", buffer_text(&settings));
    set_times(LATER_MS(-4), LATER_MS(20), clock_boot_ms() + 20 * HOUR_MS);
    assert_int_equal(generation_after_due(), 1);
    set_times(LATER_MS(-4), LATER_MS(20), clock_boot_ms() + 5 * HOUR_MS);
    assert_int_equal(generation_after_due(), 2);
    set_times(LATER_MS(-4), LATER_MS(20), 1);
    assert_int_equal(generation_after_due(), 3);
}

/* token.max_age was not 0 when it was minted. */
static void due_by_its_own_end(void **state)
{
    (void)state;
    set_times(LATER_MS(-4), LATER_MS(20), clock_boot_ms() + 20 * HOUR_MS);
    assert_int_equal(generation_after_due(), 1);
    set_times(LATER_MS(-23), LATER_MS(1), clock_boot_ms() + HOUR_MS);
    assert_int_equal(generation_after_due(), 2);
    set_times(LATER_MS(-30), LATER_MS(-6), 1);
    assert_int_equal(generation_after_due(), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(rotated, setup),
        scratch_test(revoked_meanwhile, setup),
        scratch_test(no_end_for_the_old, setup),
        scratch_test(no_new_token, setup),
        scratch_test(an_enrolment_at_fault, setup),
        scratch_test(only_what_is_live, setup),
        scratch_test(nothing_is_due_without_an_age, setup),
        scratch_test(the_request_is_taken, setup),
        scratch_test(due_by_the_record, setup),
        scratch_test(due_by_its_own_end, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
