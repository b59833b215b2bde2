/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/store_peek.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "schema/base/memory.h"
#include "store/db/sql.h"

int store_peek_version(const char *state_dir, int *ret, struct error *error)
{
    int64_t version;
    cleanup_store struct store *store = mem_new(struct store);
    cleanup_free char *real = realpath(state_dir, NULL);
    store->path = mem_format("%s/db/agent.db", real ? real : state_dir);
    if (access(store->path, F_OK) < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no store %s", store->path);
    if (access(store->path, R_OK) < 0)
        return fail_errno(error, errno, "cannot read the store %s", store->path);
    if (sql_connect_read_only(store, error) < 0 ||
        sql_settle(store, "PRAGMA user_version", &version, error) < 0)
        return -1;
    *ret = (int)version;
    return 0;
}
