/* SPDX-License-Identifier: Apache-2.0 */
/* Guests of a scratch host in the state after their starts, made without the hook. */
#ifndef FELHOM_TESTS_CLI_GUEST_SCRATCH_H
#define FELHOM_TESTS_CLI_GUEST_SCRATCH_H

#include <sqlite3.h>

#include "store/files/guest_directory.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"
#include "tests/unit/cli_scratch.h"
#include "tests/unit/expect.h"

static inline void run_sql(const char *sql)
{
    sqlite3 *connection = NULL;
    char *problem = NULL;
    cleanup_free char *path = scratch_path("state/db/agent.db");
    assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
    if (sqlite3_exec(connection, sql, NULL, NULL, &problem) != SQLITE_OK)
        fail_test("%s: %s", sql, problem);
    assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

/* Each statement makes the guest one that has no token to replace. */
static const char *const not_live[] = {
    "UPDATE guest SET state = 'stopped'",
    "UPDATE guest SET state = 'running'; UPDATE token SET revoked_at_ms = 1",
    "DELETE FROM token",
};

/* A directory as pre-start leaves it, as far as verbs read it. */
static inline void fill_directory(uint32_t vmid, const char *token)
{
    cleanup_free char *guests = scratch_path("run/guests");
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    cleanup(guest_files_free) struct guest_files files = {0};
    buffer_add_format(&files.token, "%s\n", token);
    buffer_add_text(&files.bootstrap_json, "{}");
    OK(guest_drafts_write(guests, vmid, getuid(), getgid(), &files, &drafts, &error));
    OK(guest_drafts_publish(&drafts, &error));
}

/* A running guest with a token and a directory. */
static inline void scratch_guest(uint32_t vmid, int64_t minted_ms)
{
    cleanup_free char *state_dir = scratch_path("state");
    cleanup_store struct store *store = NULL;
    struct guest guest = {.vmid = vmid, .state = GUEST_RUNNING, .name = "web"};
    struct token token;
    OK(store_open(state_dir, STORE_OPEN_EXISTING, 1000, &store, &error));
    OK(guest_put(store, &guest, &error));
    OK(token_mint(store, vmid, minted_ms, 0, &token, &error));
    fill_directory(vmid, token.text.text);
    token_text_wipe(&token.text);
}

#endif
