/* SPDX-License-Identifier: Apache-2.0 */
/* A store that is opened for reading only, and what a check of all of it finds. */
#include "tests/unit/test.h"

#include "schema/base/buffer.h"
#include "store/files/file.h"
#include "tests/unit/store_fixture.h"

static int open_read_only(struct store **ret)
{
    return store_open_read_only(in_scratch("state"), BUSY_MS, ret, &error);
}

/* Prints names, owners, modes and content of all files but SQLite's shared memory. */
static struct buffer everything(void)
{
    struct buffer text = BUFFER_EMPTY;
    shell("{ find state ! -name '*-shm' -printf '%%p %%m %%U %%T@\n' | sort;"
          " sha256sum state/db/agent.db state/db/agent.db-wal; } > listing");
    OK(file_read(in_scratch("listing"), 65536, &text, &error));
    return text;
}

static void looks(void **state)
{
    (void)state;
    struct guest guest;
    {
        cleanup_store struct store *writer = store_of_scratch();
        put_guest(writer, 8200);
    }
    cleanup_buffer struct buffer before = everything();
    {
        cleanup_store struct store *store = NULL;
        OK(open_read_only(&store));
        OK(guest_find(store, 8200, &guest, &error));
        OK(store_check(store, &error));
    }
    cleanup_buffer struct buffer after = everything();
    assert_string_equal(buffer_text(&after), buffer_text(&before));
    assert_string_equal(guest.name, "web");
}

static void sees_what_another_just_wrote(void **state)
{
    (void)state;
    struct guest guest;
    cleanup_store struct store *writer = store_of_scratch();
    cleanup_store struct store *store = NULL;
    OK(open_read_only(&store));
    put_guest(writer, 8201);
    OK(guest_find(store, 8201, &guest, &error));
}

static void cannot_write(void **state)
{
    (void)state;
    store_close(store_of_scratch());
    cleanup_store struct store *store = NULL;
    OK(open_read_only(&store));
    assert_int_equal(guest_set_state(store, 8200, GUEST_RUNNING, 1, &error), -1);
}

static void refuses_other_versions(void **state)
{
    (void)state;
    struct store *store = NULL;
    assert_int_equal(open_read_only(&store), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    store_close(store_of_scratch());
    run_raw("PRAGMA user_version = 99");
    assert_int_equal(open_read_only(&store), -1);
    assert_int_equal(error.kind, ERROR_NEWER);
    run_raw("PRAGMA user_version = 1");
    assert_int_equal(open_read_only(&store), -1);
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_raw("PRAGMA user_version", "1");
    shell("rm state/db/*; : >state/db/agent.db");
    assert_int_equal(open_read_only(&store), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    shell("mkdir state/db/agent.db-wal");
    assert_int_equal(open_read_only(&store), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
}

/* An index that lacks rows: every page is intact, but the database is not. */
static void finds_what_does_not_fit_together(void **state)
{
    (void)state;
    cleanup_store struct store *store = NULL;
    store_close(store_of_scratch());
    run_raw("CREATE TABLE extra (a); INSERT INTO extra VALUES (1), (2);"
            "CREATE INDEX extra_a ON extra (a);");
    run_raw("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'extra_a'");
    run_raw("INSERT INTO extra VALUES (3)");
    OK(open_read_only(&store));
    assert_int_equal(store_check(store, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "agent.db is damaged: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(looks),
        store_test(sees_what_another_just_wrote),
        store_test(cannot_write),
        store_test(refuses_other_versions),
        store_test(finds_what_does_not_fit_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
