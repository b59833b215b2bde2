/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/event.h"

#include "store/db/sql.h"

static int explanation_insert(struct store *store, const struct explanation *explanation,
                              struct error *error)
{
    return sql_run(store,
                   "INSERT INTO explanation (request_id, at_ms, status, method, path, vmid,"
                   " token_id, source, reason, detail, origin)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                   sql_values(sql_text(explanation->request_id), sql_int(explanation->at_ms),
                              sql_int(explanation->status), sql_text(explanation->method),
                              sql_text(explanation->path), sql_int(explanation->vmid),
                              sql_text(explanation->token_id), sql_text(explanation->source),
                              sql_text(explanation->reason), sql_text(explanation->detail),
                              sql_int(explanation->origin)),
                   error);
}

int explanation_add(struct store *store, const struct explanation *explanation, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        explanation_insert(store, explanation, error) < 0)
        return -1;
    int64_t kept = explanation->origin ? EXPLANATIONS_OF_GUEST : EXPLANATIONS_OF_OTHERS;
    if (sql_run(store,
                "DELETE FROM explanation WHERE origin = ?1 AND seq <= (SELECT seq FROM explanation"
                " WHERE origin = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                sql_values(sql_int(explanation->origin), sql_int(kept)), error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

#define SELECT_EXPLANATION \
    "SELECT request_id, at_ms, status, method, path, vmid, token_id, source, reason, detail," \
    " origin FROM explanation"

static struct explanation explanation_from_row(const struct sql_query *query)
{
    struct explanation explanation = {
        .at_ms = sql_column_int(query, 1),
        .status = (int)sql_column_int(query, 2),
        .vmid = (uint32_t)sql_column_int(query, 5),
        .origin = (uint32_t)sql_column_int(query, 10),
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
        return fail(error, ERROR_MISSING, "no refused request %s is recorded", request_id);
    *ret = explanation_from_row(&query);
    return 0;
}

int explanation_each(struct store *store, int limit,
                     int (*visit)(const struct explanation *explanation, void *context),
                     void *context, struct error *error)
{
    return sql_visit(store, SELECT_EXPLANATION " ORDER BY seq DESC LIMIT ?1",
                     sql_values(sql_int(limit)), struct explanation, explanation_from_row, visit,
                     context, error);
}

/* --- the audit trail's shares: schema/sql/ has the column --- */

static struct sql_value text_or_empty(const char *text)
{
    return sql_text(text ? text : "");
}

/* All shares that have events; each is found by one step in the index. */
#define WITH_SHARES \
    "WITH RECURSIVE found (id) AS (SELECT min(share) FROM event UNION ALL" \
    " SELECT (SELECT min(share) FROM event WHERE share > id) FROM found WHERE id IS NOT NULL) "

int event_prune(struct store *store, bool *ret_more, struct error *error)
{
    int64_t shares = 0;
    if (sql_number(store, WITH_SHARES "SELECT count(id) FROM found", SQL_NO_VALUES, &shares,
                   error) < 0)
        return -1;
    const int64_t fair = EVENTS_IN_ALL / (shares > 0 ? shares : 1) + 1;
    const int64_t kept = fair < EVENTS_OF_SHARE ? fair : EVENTS_OF_SHARE;
    if (sql_run(store,
                "DELETE FROM event WHERE seq IN (" WITH_SHARES
                "SELECT old.seq FROM found JOIN event AS old ON old.share = id WHERE old.seq <="
                " (SELECT seq FROM event WHERE share = id ORDER BY seq DESC LIMIT 1 OFFSET ?1)"
                " LIMIT ?2)",
                sql_values(sql_int(kept), sql_int(EVENTS_PRUNED)), error) < 0)
        return -1;
    *ret_more = sql_changes(store) == EVENTS_PRUNED;
    return 0;
}

int event_add(struct store *store, const struct event *event, struct error *error)
{
    if (sql_run(store,
                "INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us,"
                " origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                sql_values(sql_int(event->at_ms), sql_int(event->vmid), text_or_empty(event->kind),
                           text_or_empty(event->outcome), text_or_empty(event->detail),
                           text_or_empty(event->source), sql_int(event->duration_us),
                           sql_int(event->origin)),
                error) < 0)
        return -1;
    bool ignored;
    bool is_due = sqlite3_last_insert_rowid(store->connection) % EVENTS_BATCH == 0;
    return is_due ? event_prune(store, &ignored, error) : 0;
}

int event_note(struct store *store, int64_t at_ms, uint32_t vmid, const char *kind,
               const char *outcome, const char *detail, struct error *error)
{
    const struct event event = {
        .at_ms = at_ms,
        .vmid = vmid,
        .kind = kind,
        .outcome = outcome,
        .detail = detail,
        .duration_us = -1,
    };
    return event_add(store, &event, error);
}

#define SELECT_EVENT \
    "SELECT seq, at_ms, vmid, kind, outcome, detail, source, duration_us, origin FROM event"

/* A guest's events are those of its share, the refusals of its tokens, whoever sent them, and of
 * the requests that it sent, whoever's token they had. */
#define OWN_SINCE     " WHERE share = ?3 AND seq > ?1"
#define REFUSED_SINCE " WHERE kind = '" EVENT_REFUSED "' AND vmid = ?3 AND seq > ?1"
#define SENT_SINCE    " WHERE share = -1 - ?3 AND vmid IS NOT ?3 AND seq > ?1"

static struct event event_from_row(const struct sql_query *query)
{
    return (struct event){
        .seq = sql_column_int(query, 0),
        .at_ms = sql_column_int(query, 1),
        .vmid = (uint32_t)sql_column_int(query, 2),
        .kind = sql_column_text(query, 3),
        .outcome = sql_column_text(query, 4),
        .detail = sql_column_text(query, 5),
        .source = sql_column_text(query, 6),
        .duration_us = sql_column_int(query, 7),
        .origin = (uint32_t)sql_column_int(query, 8),
    };
}

/* Runs a SELECT_EVENT statement and visits its rows. values: since, limit and vmid. */
static int event_visit(struct store *store, const char *sql, struct sql_values values,
                       int (*visit)(const struct event *event, void *context), void *context,
                       struct error *error)
{
    return sql_visit(store, sql, values, struct event, event_from_row, visit, context, error);
}

int event_each(struct store *store, uint32_t vmid, int64_t since, int limit,
               int (*visit)(const struct event *event, void *context), void *context,
               struct error *error)
{
    const char *sql = vmid ? SELECT_EVENT OWN_SINCE " UNION ALL " SELECT_EVENT REFUSED_SINCE
                                                    " UNION ALL " SELECT_EVENT SENT_SINCE
                                                    " ORDER BY seq LIMIT ?2"
                           : SELECT_EVENT " WHERE seq > ?1 AND ?3 = 0 ORDER BY seq LIMIT ?2";
    return event_visit(store, sql, sql_values(sql_int(since), sql_int(limit), sql_int(vmid)), visit,
                       context, error);
}

int event_each_newest(struct store *store, uint32_t vmid, int64_t since, int limit,
                      int (*visit)(const struct event *event, void *context), void *context,
                      struct error *error)
{
    const char *sql = vmid ? SELECT_EVENT " WHERE seq IN (SELECT seq FROM event" OWN_SINCE
                                          " UNION ALL SELECT seq FROM event" REFUSED_SINCE
                                          " UNION ALL SELECT seq FROM event" SENT_SINCE
                                          " ORDER BY seq DESC LIMIT ?2) ORDER BY seq"
                           : SELECT_EVENT
                          " WHERE seq IN (SELECT seq FROM event WHERE seq > ?1 AND ?3 = 0"
                          " ORDER BY seq DESC LIMIT ?2) ORDER BY seq";
    return event_visit(store, sql, sql_values(sql_int(since), sql_int(limit), sql_int(vmid)), visit,
                       context, error);
}

int event_each_own(struct store *store, uint32_t vmid, int64_t since, int limit,
                   int (*visit)(const struct event *event, void *context), void *context,
                   struct error *error)
{
    return event_visit(
        store,
        SELECT_EVENT " WHERE share = ?3"
                     " AND seq > max(?1, (SELECT first_seq FROM guest WHERE vmid = ?3))"
                     " ORDER BY seq LIMIT ?2",
        sql_values(sql_int(since), sql_int(limit), sql_int(vmid)), visit, context, error);
}

int event_newest(struct store *store, int64_t *ret, struct error *error)
{
    return sql_number(store, "SELECT seq FROM sqlite_sequence WHERE name = 'event'", SQL_NO_VALUES,
                      ret, error);
}
