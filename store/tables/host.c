/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/host.h"

#include "store/db/sql.h"

int host_put(struct store *store, const struct host *host, struct error *error)
{
    return sql_run(store,
                   "INSERT OR REPLACE INTO host"
                   " (id, host_id, node, endpoint, pin_spki, pin_leaf)"
                   " VALUES (1, ?1, ?2, ?3, ?4, ?5)",
                   sql_values(sql_text(host->host_id), sql_text(host->node),
                              sql_text(host->endpoint), sql_text(host->pins.spki),
                              sql_text(host->pins.leaf)),
                   error);
}

int host_get(struct store *store, struct host *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT host_id, node, endpoint, pin_spki, pin_leaf FROM host",
                        SQL_NO_VALUES, &query, error);
    if (row < 0)
        return -1;
    if (row == 0)
        return fail(error, ERROR_MISSING,
                    "the store knows nothing of its host yet: run `felhomctl init`");
    sql_column_copy(&query, 0, ret->host_id, sizeof ret->host_id);
    sql_column_copy(&query, 1, ret->node, sizeof ret->node);
    sql_column_copy(&query, 2, ret->endpoint, sizeof ret->endpoint);
    sql_column_copy(&query, 3, ret->pins.spki, sizeof ret->pins.spki);
    sql_column_copy(&query, 4, ret->pins.leaf, sizeof ret->pins.leaf);
    return 0;
}
