/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/listing.h"

#include "store/db/sql.h"

static struct token_row read_token(const struct sql_query *query)
{
    struct token_row token = {
        .generation = sql_column_int(query, 1),
        .created_at_ms = sql_column_int(query, 2),
        .expires_at_ms = sql_column_int(query, 3),
        .revoked_at_ms = sql_column_int(query, 4),
        .revoked_reason = sql_column_text(query, 5),
    };
    sql_column_copy(query, 0, token.id, sizeof token.id);
    return token;
}

int token_each(struct store *store, uint32_t vmid,
               int (*visit)(const struct token_row *token, void *context), void *context,
               struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT id, generation, created_at_ms, expires_at_ms,"
                        " ifnull(revoked_at_ms, 0), ifnull(revoked_reason, '') FROM token"
                        " WHERE vmid = ?1 ORDER BY generation DESC",
                        sql_values(sql_int(vmid)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        struct token_row token = read_token(&query);
        int verdict = visit(&token, context);
        if (verdict)
            return verdict;
    }
    return row;
}

int nic_each(struct store *store, uint32_t vmid,
             int (*visit)(const struct nic_row *nic, void *context), void *context,
             struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT key, ifnull(hwaddr, ''), bridge, ip FROM nic WHERE vmid = ?1"
                        " ORDER BY length(key), key",
                        sql_values(sql_int(vmid)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        struct nic_row nic = {sql_column_text(&query, 0), sql_column_text(&query, 1),
                              sql_column_text(&query, 2), sql_column_text(&query, 3)};
        int verdict = visit(&nic, context);
        if (verdict)
            return verdict;
    }
    return row;
}
