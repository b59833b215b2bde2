/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/sql.h"
#include "store/tables/guest.h"

static int insert(struct store *store, uint32_t vmid, const struct nic *nic, struct error *error)
{
    char hwaddr[HWADDR_TEXT_SIZE];
    hwaddr_format(&nic->hwaddr, hwaddr);
    return sql_run(
        store, "INSERT INTO nic (vmid, key, hwaddr, bridge, ip) VALUES (?1, ?2, ?3, ?4, ?5)",
        sql_values(sql_int(vmid), sql_text(nic->key), sql_text(nic->has_hwaddr ? hwaddr : NULL),
                   sql_text(nic->bridge), sql_text(nic->ip)),
        error);
}

int nic_replace_all(struct store *store, uint32_t vmid, const struct nic *nics, size_t count,
                    struct error *error)
{
    cleanup_scope struct sql_scope scope = {0};
    if (sql_scope_enter(store, &scope, error) < 0 ||
        sql_run(store, "DELETE FROM nic WHERE vmid = ?1", sql_values(sql_int(vmid)), error) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (insert(store, vmid, &nics[i], error) < 0)
            return fail_context(error, "%s of guest %u", nics[i].key, vmid);
    return sql_scope_commit(&scope, error);
}

int nic_find_guest(struct store *store, const struct hwaddr *hwaddr, uint32_t prefer,
                   uint32_t *ret_vmid, struct error *error)
{
    char text[HWADDR_TEXT_SIZE];
    hwaddr_format(hwaddr, text);
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT ifnull((SELECT vmid FROM nic WHERE hwaddr = ?1 AND vmid = ?2),"
                        " (SELECT min(vmid) FROM nic WHERE hwaddr = ?1))",
                        sql_values(sql_text(text), sql_int(prefer)), &query, error);
    if (row < 0)
        return -1;
    *ret_vmid = (uint32_t)sql_column_int(&query, 0);
    return 0;
}
