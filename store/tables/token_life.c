/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/token_life.h"

#include "store/db/sql.h"

int64_t token_life_end(int64_t now_ms, uint64_t max_age_ms)
{
    return max_age_ms ? now_ms + (int64_t)max_age_ms : 0;
}

#define SELECT_LIFE \
    "SELECT id, generation, created_at_ms, expires_at_ms, revoked_at_ms IS NOT NULL FROM token"

static void read_life(const struct sql_query *query, struct token_life *ret)
{
    *ret = (struct token_life){
        .generation = sql_column_int(query, 1),
        .created_at_ms = sql_column_int(query, 2),
        .expires_at_ms = sql_column_int(query, 3),
        .revoked = sql_column_int(query, 4) != 0,
    };
    sql_column_copy(query, 0, ret->id, sizeof ret->id);
}

static int first_life(struct store *store, const char *sql, struct sql_values values,
                      struct token_life *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, sql, values, &query, error);
    if (row < 0)
        return -1;
    *ret = (struct token_life){0};
    if (row > 0)
        read_life(&query, ret);
    return 0;
}

int token_newest(struct store *store, uint32_t vmid, struct token_life *ret, struct error *error)
{
    return first_life(store, SELECT_LIFE " WHERE vmid = ?1 ORDER BY generation DESC LIMIT 1",
                      sql_values(sql_int(vmid)), ret, error);
}

int token_find(struct store *store, const char *id, struct token_life *ret, struct error *error)
{
    return first_life(store, SELECT_LIFE " WHERE id = ?1", sql_values(sql_text(id)), ret, error);
}

int token_end_before(struct store *store, uint32_t vmid, int64_t before, int64_t end_ms,
                     struct error *error)
{
    return sql_run(store,
                   "UPDATE token SET expires_at_ms = ?3"
                   " WHERE vmid = ?1 AND generation < ?2 AND revoked_at_ms IS NULL"
                   " AND (expires_at_ms = 0 OR expires_at_ms > ?3)",
                   sql_values(sql_int(vmid), sql_int(before), sql_int(end_ms)), error);
}
