/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the database do with it, also in other processes, and what must be true
 * afterwards. */
#ifndef FELHOM_TEST_STORE_WORK_H
#define FELHOM_TEST_STORE_WORK_H

#include "store/tables/event.h"
#include "store/tables/token.h"
#include "tests/unit/store_fixture.h"

#define OWNER 12345
#define GROUP 23456

static const char database[] = "state/db/agent.db";

static inline void assert_whole(void)
{
    assert_raw("PRAGMA integrity_check", "ok");
    assert_raw("SELECT count(*) FROM pragma_foreign_key_check", "0");
    assert_raw("SELECT count(*) FROM guest WHERE generation <>"
               " (SELECT ifnull(max(generation), 0) FROM token WHERE token.vmid = guest.vmid)",
               "0");
}

static inline int open_scratch(enum store_open_mode mode, uint32_t busy_ms, struct error *failure)
{
    struct store *store = NULL;
    int r = store_open(in_scratch("state"), mode, busy_ms, &store, failure);
    if (r < 0 && store)
        return -2; /* set on success only */
    store_close(store);
    return r;
}

/* Does what a pre-start does to the store. Returns 0 on success; for children, which have no
 * cmocka. */
static inline int work(enum store_open_mode mode, uint32_t vmid)
{
    cleanup_store struct store *store = NULL;
    struct error failure = {0};
    struct guest guest = guest_named(vmid, "web");
    struct token token;
    struct event event = {.vmid = vmid, .kind = "mint", .outcome = "ok"};
    if (store_open(in_scratch("state"), mode, BUSY_MS, &store, &failure) < 0 ||
        store_begin(store, &failure) < 0 || guest_put(store, &guest, &failure) < 0 ||
        token_mint(store, vmid, 1000, 0, &token, &failure) < 0 ||
        token_revoke_before(store, vmid, token.generation, 1000, "x", NULL, &failure) < 0 ||
        event_add(store, &event, &failure) < 0 || store_commit(store, &failure) < 0) {
        (void)fprintf(stderr, "guest %u: %s\n", vmid, failure.message);
        return 1;
    }
    return 0;
}

static inline void assert_owned(const char *name)
{
    struct stat status = status_of(name);
    assert_int_equal(status.st_uid, OWNER);
    assert_int_equal(status.st_gid, GROUP);
}

static inline void assert_all_owned(void)
{
    assert_owned("state/db");
    assert_owned(database);
    assert_owned("state/db/agent.db-wal");
    assert_owned("state/db/agent.db-shm");
}

#endif
