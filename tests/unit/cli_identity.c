/* SPDX-License-Identifier: Apache-2.0 */
/* The steps to another certificate, as guests' directories and the operator see them; felhomd is
 * not running. */
#include <string.h>

#include "store/base/clock.h"
#include "store/identity/rollover.h"
#include "tests/unit/cli_guest_scratch.h"
#include "tests/unit/test.h"

static int setup(void **state)
{
    assert_int_equal(node_init(state), 0);
    scratch_guest(8200, clock_wall_ms());
    return 0;
}

static void assert_lacks(const struct buffer *text, const char *part)
{
    if (strstr(buffer_text(text), part))
        fail_test("'%s' has '%s'", buffer_text(text), part);
}

static void assert_document(const char *part, bool there)
{
    cleanup_buffer struct buffer document = scratch_read("run/guests/8200/bootstrap.json");
    if (there)
        assert_contains(&document, part);
    else
        assert_lacks(&document, part);
}

static void staged_pins_are_told(void **state)
{
    (void)state;
    cleanup_free char *state_dir = scratch_path("state");
    cleanup(rollover_free) struct rollover rollover = {0};
    cleanup_buffer struct buffer token = scratch_read("run/guests/8200/token");
    cleanup_outcome struct outcome stage = felhomctl("identity", "stage", NULL);
    assert_int_equal(stage.status, 0);
    assert_string_equal(
        buffer_text(&stage.out),
        "done     identity         the next certificate is staged\n"
        "done     8200             its directory names the pins\n"
        "\nNext: felhomctl identity switch, once the guests have read their directories again.\n");
    OK(rollover_load(state_dir, &rollover, &error));
    assert_document(rollover.current.pins.spki, true);
    assert_document(rollover.next.pins.spki, true);
    cleanup_buffer struct buffer after = scratch_read("run/guests/8200/token");
    assert_string_equal(buffer_text(&after), buffer_text(&token));
}

/* A guest keeps its expired token, as a rotation may follow. */
static void a_token_that_ended_by_its_age_stays(void **state)
{
    (void)state;
    run_sql("UPDATE token SET expires_at_ms = 1");
    cleanup_outcome struct outcome stage = felhomctl("identity", "stage", NULL);
    assert_int_equal(stage.status, 0);
    assert_document("local_api_pin_spki_sha256_next", true);
}

static void only_what_is_live_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(not_live); i++) {
        run_sql(not_live[i]);
        cleanup_outcome struct outcome stage = felhomctl("identity", "stage", NULL);
        assert_int_equal(stage.status, 0);
        assert_lacks(&stage.out, "8200");
        assert_document("pin", false);
    }
    cleanup_outcome struct outcome over = felhomctl("identity", "switch", NULL);
    assert_int_equal(over.status, 0);
    assert_lacks(&over.out, "8200");
}

static void those_who_cannot_be_told_are_named(void **state)
{
    (void)state;
    scratch_guest(8300, clock_wall_ms());
    scratch_guest(8400, clock_wall_ms());
    scratch_write("run/guests/8300/token", "rubbish\n");
    assert_int_equal(mkdir(in_scratch("run/guests/8200/.token.0123456789abcdef"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("run/guests/8400/.token.0123456789abcdef"), 0700), 0);
    cleanup_outcome struct outcome stage = felhomctl("identity", "stage", NULL);
    assert_int_equal(stage.status, 1);
    assert_contains(&stage.out, "done     identity ");
    assert_contains(&stage.out, "warning  8200             ");
    assert_lacks(&stage.out, "8300");
    assert_string_equal(buffer_text(&stage.err),
                        "felhomctl: not all directories could be updated: guests 8200, 8400\n");
}

/* No felhomd shows a certificate: guests keep both until one does. */
static void without_felhomd(void **state)
{
    (void)state;
    cleanup_outcome struct outcome stage = felhomctl("identity", "stage", NULL);
    cleanup_outcome struct outcome over = felhomctl("identity", "switch", NULL);
    cleanup_outcome struct outcome again = felhomctl("identity", "switch", NULL);
    cleanup_outcome struct outcome retire = felhomctl("identity", "retire", NULL);
    cleanup_outcome struct outcome shown = felhomctl("identity", NULL);
    assert_int_equal(stage.status, 0);
    assert_int_equal(over.status, 0);
    assert_contains(&over.out, "warning  felhomd          does not run: ");
    assert_contains(&over.out, "already  8200             its directory names the pins already\n");
    assert_int_equal(again.status, 0);
    assert_contains(&again.out, "already  identity ");
    assert_int_equal(retire.status, 1);
    assert_contains(&retire.err, "felhomd has not shown the new certificate yet: start it");
    assert_contains(&shown.out, "next step:         felhomctl identity switch again");
    assert_document("local_api_pin_spki_sha256_next", true);
}

static void a_guest_that_was_not_told_is_warned_of(void **state)
{
    (void)state;
    cleanup_outcome struct outcome stage = felhomctl("identity", "stage", NULL);
    scratch_guest(8300, clock_wall_ms());
    cleanup_outcome struct outcome over = felhomctl("identity", "switch", NULL);
    assert_int_equal(over.status, 0);
    assert_lacks(&over.out, "warning  8200 ");
    assert_contains(&over.out,
                    "warning  8300             its directory names the new certificate only now: "
                    "until it reads its directory again it refuses the new certificate\n");
}

static void steps_need_what_init_makes(void **state)
{
    (void)state;
    cleanup_free char *pem = scratch_path("state/tls/agent.pem");
    assert_int_equal(unlink(pem), 0);
    cleanup_outcome struct outcome stage = felhomctl("identity", "stage", NULL);
    assert_int_equal(stage.status, 1);
    assert_contains(&stage.err, "tls/agent.pem is missing: run felhomctl init\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(staged_pins_are_told, setup),
        scratch_test(a_token_that_ended_by_its_age_stays, setup),
        scratch_test(only_what_is_live_is_told, setup),
        scratch_test(those_who_cannot_be_told_are_named, setup),
        scratch_test(without_felhomd, setup),
        scratch_test(a_guest_that_was_not_told_is_warned_of, setup),
        scratch_test(steps_need_what_init_makes, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
