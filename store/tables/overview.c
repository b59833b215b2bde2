/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/overview.h"

#include "store/db/sql.h"

int overview_get(struct store *store, int64_t now_ms, struct overview *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT (SELECT count(*) FROM guest WHERE state = 'starting'),"
                        " (SELECT count(*) FROM guest WHERE state = 'running'),"
                        " (SELECT count(*) FROM guest WHERE state = 'stopping'),"
                        " (SELECT count(*) FROM guest WHERE state = 'stopped'),"
                        " (SELECT count(*) FROM token WHERE revoked_at_ms IS NULL"
                        "  AND (expires_at_ms = 0 OR expires_at_ms > ?1)),"
                        " (SELECT count(*) FROM token WHERE revoked_at_ms IS NULL"
                        "  AND expires_at_ms <> 0 AND expires_at_ms <= ?1),"
                        " (SELECT count(*) FROM token WHERE revoked_at_ms IS NOT NULL),"
                        " (SELECT count(*) FROM job WHERE finished_at_ms IS NULL),"
                        " (SELECT count(*) FROM event)",
                        sql_values(sql_int(now_ms)), &query, error);
    if (row < 0)
        return -1;
    *ret = (struct overview){
        .guests_starting = sql_column_int(&query, 0),
        .guests_running = sql_column_int(&query, 1),
        .guests_stopping = sql_column_int(&query, 2),
        .guests_stopped = sql_column_int(&query, 3),
        .tokens_good = sql_column_int(&query, 4),
        .tokens_expired = sql_column_int(&query, 5),
        .tokens_revoked = sql_column_int(&query, 6),
        .jobs_running = sql_column_int(&query, 7),
        .events = sql_column_int(&query, 8),
    };
    return 0;
}
