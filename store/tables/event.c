/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/event.h"

#include "store/db/sql.h"

/* The trail is cut to EVENTS_KEPT each time its numbers pass a multiple of EVENTS_BATCH. */
#define EVENTS_KEPT  100000
#define EVENTS_BATCH 1000

static struct sql_value text_or_empty(const char *text)
{
    return sql_text(text ? text : "");
}

static int prune(struct store *store, struct error *error)
{
    int64_t newest = sqlite3_last_insert_rowid(store->connection);
    if (newest % EVENTS_BATCH != 0 || newest <= EVENTS_KEPT)
        return 0;
    return sql_run(store, "DELETE FROM event WHERE seq <= ?1",
                   sql_values(sql_int(newest - EVENTS_KEPT)), error);
}

int event_add(struct store *store, const struct event *event, struct error *error)
{
    if (sql_run(store,
                "INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                sql_values(sql_int(event->at_ms), sql_int(event->vmid), text_or_empty(event->kind),
                           text_or_empty(event->outcome), text_or_empty(event->detail),
                           text_or_empty(event->source), sql_int(event->duration_us)),
                error) < 0)
        return -1;
    return prune(store, error);
}

#define SELECT_EVENT \
    "SELECT seq, at_ms, vmid, kind, outcome, detail, source, duration_us FROM event"

static struct event read_event(const struct sql_query *query)
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
    };
}

/* Runs a statement of SELECT_EVENT over since, limit and vmid. */
static int visit_all(struct store *store, const char *sql, struct sql_values values,
                     int (*visit)(const struct event *event, void *context), void *context,
                     struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, sql, values, &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        struct event event = read_event(&query);
        int verdict = visit(&event, context);
        if (verdict)
            return verdict;
    }
    return row;
}

int event_each(struct store *store, uint32_t vmid, int64_t since, int limit,
               int (*visit)(const struct event *event, void *context), void *context,
               struct error *error)
{
    const char *sql = vmid ? SELECT_EVENT " WHERE vmid = ?3 AND seq > ?1 ORDER BY seq LIMIT ?2"
                           : SELECT_EVENT " WHERE seq > ?1 AND ?3 = 0 ORDER BY seq LIMIT ?2";
    return visit_all(store, sql, sql_values(sql_int(since), sql_int(limit), sql_int(vmid)), visit,
                     context, error);
}

int event_each_newest(struct store *store, uint32_t vmid, int64_t since, int limit,
                      int (*visit)(const struct event *event, void *context), void *context,
                      struct error *error)
{
    const char *sql =
        vmid ? SELECT_EVENT " WHERE seq IN (SELECT seq FROM event WHERE vmid = ?3 AND seq > ?1"
                            " ORDER BY seq DESC LIMIT ?2) ORDER BY seq"
             : SELECT_EVENT " WHERE seq IN (SELECT seq FROM event WHERE seq > ?1 AND ?3 = 0"
                            " ORDER BY seq DESC LIMIT ?2) ORDER BY seq";
    return visit_all(store, sql, sql_values(sql_int(since), sql_int(limit), sql_int(vmid)), visit,
                     context, error);
}

int event_each_own(struct store *store, uint32_t vmid, int64_t since, int limit,
                   int (*visit)(const struct event *event, void *context), void *context,
                   struct error *error)
{
    return visit_all(
        store,
        SELECT_EVENT " WHERE vmid = ?3 AND kind <> '" EVENT_REFUSED "'"
                     " AND seq > max(?1, (SELECT first_seq FROM guest WHERE vmid = ?3))"
                     " ORDER BY seq LIMIT ?2",
        sql_values(sql_int(since), sql_int(limit), sql_int(vmid)), visit, context, error);
}

int event_newest(struct store *store, int64_t *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT seq FROM sqlite_sequence WHERE name = 'event'",
                        SQL_NO_VALUES, &query, error);
    if (row < 0)
        return -1;
    *ret = row ? sql_column_int(&query, 0) : 0;
    return 0;
}
