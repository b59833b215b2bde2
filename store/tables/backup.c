/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/sql.h"
#include "store/tables/job.h"

static int forget(struct store *store, uint32_t vmid, struct error *error)
{
    return sql_run(store, "DELETE FROM backup WHERE vmid = ?1", sql_values(sql_int(vmid)), error);
}

int backup_put(struct store *store, uint32_t vmid, const struct backup *backup, struct error *error)
{
    if (backup->archive[0] == '\0')
        return forget(store, vmid, error);
    return sql_run(store,
                   "INSERT INTO backup (vmid, archive, size_bytes, at_ms) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (vmid) DO UPDATE SET archive = excluded.archive,"
                   " size_bytes = excluded.size_bytes, at_ms = excluded.at_ms"
                   " WHERE (excluded.archive, excluded.size_bytes, excluded.at_ms)"
                   " IS NOT (backup.archive, backup.size_bytes, backup.at_ms)",
                   sql_values(sql_int(vmid), sql_text(backup->archive), sql_int(backup->size_bytes),
                              sql_int(backup->at_ms)),
                   error);
}

int backup_get(struct store *store, uint32_t vmid, struct backup *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT archive, size_bytes, at_ms FROM backup WHERE vmid = ?1",
                        sql_values(sql_int(vmid)), &query, error);
    if (row < 0)
        return -1;
    *ret = (struct backup){.size_bytes = -1};
    if (row == 0)
        return 0;
    sql_column_copy(&query, 0, ret->archive, sizeof ret->archive);
    ret->size_bytes = sql_column_int(&query, 1);
    ret->at_ms = sql_column_int(&query, 2);
    return 0;
}
