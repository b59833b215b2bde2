/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/credential.h"

#include "schema/base/memory.h"
#include "store/db/sql.h"
#include "store/tables/token.h"

static int credential_check_count(struct store *store, uint32_t vmid, struct error *error)
{
    int64_t count = 0;
    if (sql_number(store, "SELECT count(*) FROM credential WHERE vmid = ?1",
                   sql_values(sql_int(vmid)), &count, error) < 0)
        return -1;
    if (count < CREDENTIALS_MAX)
        return 0;
    return fail(error, ERROR_CONFLICT, "the registry has yet to delete %d tokens of this guest",
                CREDENTIALS_MAX);
}

static int credential_insert(struct store *store, const char *name, const char *registry,
                             uint32_t vmid, int64_t now_ms, struct error *error)
{
    return sql_must_change(
        store,
        "INSERT INTO credential (name, registry, vmid, state, minted, failures,"
        " created_at_ms, next_try_at_ms) SELECT ?1, ?2, ?3, 'minting', 0, 0, ?4, ?4"
        " WHERE EXISTS (SELECT 1 FROM token WHERE vmid = ?3 AND revoked_at_ms IS NULL)",
        sql_values(sql_text(name), sql_text(registry), sql_int(vmid), sql_int(now_ms)), error,
        ERROR_CONFLICT, "guest %u has stopped", vmid);
}

int credential_begin(struct store *store, const char *name, const char *registry, uint32_t vmid,
                     int64_t now_ms, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        credential_check_count(store, vmid, error) < 0 ||
        credential_insert(store, name, registry, vmid, now_ms, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

static int credential_mark_minted(struct store *store, const char *name, bool *ret_wanted,
                                  struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "UPDATE credential SET minted = 1, state ="
                        " CASE state WHEN 'minting' THEN 'live' ELSE state END"
                        " WHERE name = ?1 RETURNING state = 'live'",
                        sql_values(sql_text(name)), &query, error);
    if (row < 0)
        return -1;
    if (row == 0)
        return fail(error, ERROR_MISSING, "the store knows no registry token %s", name);
    *ret_wanted = sql_column_int(&query, 0) != 0;
    return 0;
}

static int credential_doom_replaced(struct store *store, const char *name, int64_t due_at_ms,
                                    struct error *error)
{
    return sql_run(store,
                   "UPDATE credential SET state = 'doomed', next_try_at_ms = ?2"
                   " WHERE vmid = (SELECT vmid FROM credential WHERE name = ?1)"
                   " AND name <> ?1 AND state = 'live'",
                   sql_values(sql_text(name), sql_int(due_at_ms)), error);
}

int credential_live(struct store *store, const char *name, int64_t replaced_until_ms,
                    bool *ret_wanted, struct error *error)
{
    bool wanted = false;
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        credential_mark_minted(store, name, &wanted, error) < 0 ||
        (wanted && credential_doom_replaced(store, name, replaced_until_ms, error) < 0) ||
        transaction_commit(&transaction, error) < 0)
        return -1;
    *ret_wanted = wanted;
    return 0;
}

/* A token whose deletion has failed before keeps its time of the next try. */
int credential_doom(struct store *store, uint32_t vmid, int64_t now_ms, struct error *error)
{
    return sql_run(store,
                   "UPDATE credential SET state = 'doomed', next_try_at_ms = ?2"
                   " WHERE vmid = ?1 AND failures = 0",
                   sql_values(sql_int(vmid), sql_int(now_ms)), error);
}

int credential_revoke_all(struct store *store, uint32_t vmid, int64_t now_ms, const char *reason,
                          int *ret_count, struct error *error)
{
    if (token_revoke_before(store, vmid, INT64_MAX, now_ms, reason, ret_count, error) < 0)
        return -1;
    return credential_doom(store, vmid, now_ms, error);
}

#define STALE \
    " FROM credential WHERE state <> 'doomed' AND name <> ?1 AND (state = 'minting' OR NOT EXISTS" \
    " (SELECT 1 FROM token WHERE token.vmid = credential.vmid AND revoked_at_ms IS NULL))"

/* Reads before it writes, because usually there is nothing to do. */
int credential_doom_stale(struct store *store, const char *except, int64_t now_ms,
                          struct error *error)
{
    int64_t found = 0;
    if (sql_number(store, "SELECT 1" STALE, sql_values(sql_text(except)), &found, error) < 0)
        return -1;
    if (!found)
        return 0;
    return sql_run(store,
                   "UPDATE credential SET state = 'doomed', next_try_at_ms = ?2"
                   " WHERE name IN (SELECT name" STALE ")",
                   sql_values(sql_text(except), sql_int(now_ms)), error);
}

int credential_next_doomed(struct store *store, const char *registry, const char *except,
                           struct credential_doomed *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT name, vmid, minted, failures, created_at_ms, next_try_at_ms"
                        " FROM credential WHERE state = 'doomed' AND registry = ?1 AND name <> ?2"
                        " ORDER BY next_try_at_ms, name LIMIT 1",
                        sql_values(sql_text(registry), sql_text(except)), &query, error);
    if (row < 0)
        return -1;
    *ret = (struct credential_doomed){.name = ""};
    if (row == 0)
        return 0;
    sql_column_copy(&query, 0, ret->name, sizeof ret->name);
    ret->vmid = (uint32_t)sql_column_int(&query, 1);
    ret->minted = sql_column_int(&query, 2) != 0;
    ret->failures = (uint32_t)sql_column_int(&query, 3);
    ret->created_at_ms = sql_column_int(&query, 4);
    ret->next_try_at_ms = sql_column_int(&query, 5);
    return 0;
}

int credential_postpone(struct store *store, const char *name, int64_t next_try_at_ms,
                        struct error *error)
{
    return sql_run(store,
                   "UPDATE credential SET failures = failures + 1, next_try_at_ms = ?2"
                   " WHERE name = ?1",
                   sql_values(sql_text(name), sql_int(next_try_at_ms)), error);
}

int credential_hurry(struct store *store, int64_t now_ms, struct error *error)
{
    return sql_run(store,
                   "UPDATE credential SET next_try_at_ms = ?1"
                   " WHERE state = 'doomed' AND failures > 0 AND next_try_at_ms > ?1",
                   sql_values(sql_int(now_ms)), error);
}

int credential_forget(struct store *store, const char *name, struct error *error)
{
    return sql_run(store, "DELETE FROM credential WHERE name = ?1", sql_values(sql_text(name)),
                   error);
}

int credential_count_elsewhere(struct store *store, const char *registry, uint32_t *ret_count,
                               char **ret_registry, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    if (sql_first(store, "SELECT count(*), min(registry) FROM credential WHERE registry <> ?1",
                  sql_values(sql_text(registry)), &query, error) < 0)
        return -1;
    *ret_count = (uint32_t)sql_column_int(&query, 0);
    *ret_registry = mem_copy_text(sql_column_text(&query, 1));
    return 0;
}
