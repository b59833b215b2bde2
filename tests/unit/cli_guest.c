/* SPDX-License-Identifier: Apache-2.0 */
/* The events that `guest` shows: the newest ten; no further ones are read for them. */
#include <dlfcn.h>
#include <jansson.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "store/base/clock.h"
#include "store/tables/event.h"
#include "tests/unit/cli_guest_scratch.h"
#include "tests/unit/test.h"

#define SHOWN 10

/* Shared with the child in which felhomctl runs. */
static struct {
    atomic_int rows;  /* of the table of events, that SQLite handed out */
    atomic_int scans; /* its steps through the whole of that table */
} * counted;

/* Replaces SQLite's function. */
int sqlite3_step(sqlite3_stmt *statement)
{
    static int (*step)(sqlite3_stmt * statement);
    if (!step)
        *(void **)&step = dlsym(RTLD_NEXT, "sqlite3_step");
    int result = step(statement);
    const char *sql = sqlite3_sql(statement); /* NULL: a statement of SQLite's own */
    if (counted && sql && strstr(sql, "FROM event")) {
        counted->rows += result == SQLITE_ROW;
        counted->scans += sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
    }
    return result;
}

static int setup(void **state)
{
    counted =
        mmap(NULL, sizeof *counted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counted == MAP_FAILED)
        return -1;
    int status = node_init(state);
    scratch_guest(8200, clock_wall_ms());
    return status;
}

static int teardown(void **state)
{
    (void)munmap(counted, sizeof *counted);
    return scratch_remove(state);
}

/* Every second event is another guest's. */
static void add_events(int count)
{
    cleanup_store struct store *store = NULL;
    cleanup_free char *state_dir = scratch_path("state");
    OK(store_open(state_dir, STORE_OPEN_EXISTING, 1000, &store, &error));
    for (int i = 0; i < 2 * count; i++) {
        cleanup_free char *detail = mem_format("event %d", i / 2);
        const struct event event = {
            .vmid = i % 2 ? 8300 : 8200, .kind = "mint", .outcome = "ok", .detail = detail};
        OK(event_add(store, &event, &error));
    }
}

static void the_newest_events_are_shown(void **state)
{
    (void)state;
    cleanup_outcome struct outcome before = felhomctl("guest", "8200", NULL);
    assert_int_equal(before.status, 0);
    add_events(300);
    counted->rows = 0;
    counted->scans = 0;
    cleanup_outcome struct outcome outcome =
        felhomctl("guest", "8200", "--output-format", "json", NULL);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(counted->rows, SHOWN);
    assert_int_equal(counted->scans, 0);
    json_t *whole = json_loads(buffer_text(&outcome.out), JSON_REJECT_DUPLICATES, NULL);
    const json_t *events = json_object_get(whole, "events");
    assert_int_equal(json_array_size(events), SHOWN);
    for (int i = 0; i < SHOWN; i++) {
        const json_t *event = json_array_get(events, (size_t)i);
        cleanup_free char *detail = mem_format("event %d", 300 - SHOWN + i);
        assert_string_equal(json_string_value(json_object_get(event, "detail")), detail);
        assert_int_equal(json_integer_value(json_object_get(event, "vmid")), 8200);
    }
    json_decref(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_newest_events_are_shown, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
