/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/explanation.h"

#include "store/db/sql.h"

static int insert(struct store *store, const struct explanation *explanation, struct error *error)
{
    return sql_run(store,
                   "INSERT INTO explanation (request_id, at_ms, status, method, path, vmid,"
                   " token_id, source, reason, detail)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                   sql_values(sql_text(explanation->request_id), sql_int(explanation->at_ms),
                              sql_int(explanation->status), sql_text(explanation->method),
                              sql_text(explanation->path), sql_int(explanation->vmid),
                              sql_text(explanation->token_id), sql_text(explanation->source),
                              sql_text(explanation->reason), sql_text(explanation->detail)),
                   error);
}

int explanation_add(struct store *store, const struct explanation *explanation, struct error *error)
{
    cleanup_scope struct sql_scope scope = {0};
    if (sql_scope_enter(store, &scope, error) < 0 || insert(store, explanation, error) < 0)
        return -1;
    int64_t newest = sqlite3_last_insert_rowid(store->connection);
    if (sql_run(store, "DELETE FROM explanation WHERE seq <= ?1",
                sql_values(sql_int(newest - EXPLANATIONS_KEPT)), error) < 0)
        return -1;
    return sql_scope_commit(&scope, error);
}

#define SELECT_EXPLANATION \
    "SELECT request_id, at_ms, status, method, path, vmid, token_id, source, reason, detail" \
    " FROM explanation"

static struct explanation read_explanation(const struct sql_query *query)
{
    struct explanation explanation = {
        .at_ms = sql_column_int(query, 1),
        .status = (int)sql_column_int(query, 2),
        .vmid = (uint32_t)sql_column_int(query, 5),
    };
    sql_column_copy(query, 0, explanation.request_id, sizeof explanation.request_id);
    sql_column_copy(query, 3, explanation.method, sizeof explanation.method);
    sql_column_copy(query, 4, explanation.path, sizeof explanation.path);
    sql_column_copy(query, 6, explanation.token_id, sizeof explanation.token_id);
    sql_column_copy(query, 7, explanation.source, sizeof explanation.source);
    sql_column_copy(query, 8, explanation.reason, sizeof explanation.reason);
    sql_column_copy(query, 9, explanation.detail, sizeof explanation.detail);
    return explanation;
}

int explanation_find(struct store *store, const char *request_id, struct explanation *ret,
                     struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, SELECT_EXPLANATION " WHERE request_id = ?1",
                        sql_values(sql_text(request_id)), &query, error);
    if (row < 0)
        return -1;
    if (row == 0)
        return fail(error, ERROR_MISSING, "no refused request %s is remembered", request_id);
    *ret = read_explanation(&query);
    return 0;
}

int explanation_each(struct store *store, int limit,
                     int (*visit)(const struct explanation *explanation, void *context),
                     void *context, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, SELECT_EXPLANATION " ORDER BY seq DESC LIMIT ?1",
                        sql_values(sql_int(limit)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        struct explanation explanation = read_explanation(&query);
        int verdict = visit(&explanation, context);
        if (verdict)
            return verdict;
    }
    return row;
}
