/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/guest.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "store/db/sql.h"

const char *const guest_state_names[] = {
    [GUEST_STARTING] = "starting",
    [GUEST_RUNNING] = "running",
    [GUEST_STOPPING] = "stopping",
    [GUEST_STOPPED] = "stopped",
    NULL,
};

#define UNKNOWN_GUEST "the store knows no guest %u"

#define NEWEST_EVENT "ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)"

#define UPDATE_GUEST \
    "UPDATE guest SET kind = ?2, name = ?3, state = ?4, root_uid = ?5, root_gid = ?6," \
    " mount_form = ?7, changed_at_ms = ?8, enrolment = ifnull(?9, enrolment) WHERE vmid = ?1"

#define INSERT_GUEST \
    "INSERT INTO guest (vmid, kind, name, state, root_uid, root_gid, mount_form, changed_at_ms," \
    " enrolment, first_seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, " NEWEST_EVENT ")"

/* Two statements, because a single one takes twice as long to prepare, and guests are rarely
 * new. */
int guest_put_enrolled(struct store *store, const struct guest *guest,
                       const struct buffer *enrolment, struct error *error)
{
    const struct sql_values row = sql_values(
        sql_int(guest->vmid), sql_text(guest_kind_names[guest->kind]), sql_text(guest->name),
        sql_text(guest_state_names[guest->state]), sql_int(guest->root_uid),
        sql_int(guest->root_gid), sql_text(guest->mount_form), sql_int(guest->changed_at_ms),
        enrolment ? sql_bytes(buffer_text(enrolment), enrolment->length) : sql_bytes(NULL, 0));
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        sql_run(store, UPDATE_GUEST, row, error) < 0 ||
        (!sql_changes(store) && sql_run(store, INSERT_GUEST, row, error) < 0))
        return -1;
    return transaction_commit(&transaction, error);
}

int guest_put(struct store *store, const struct guest *guest, struct error *error)
{
    return guest_put_enrolled(store, guest, NULL, error);
}

#define SELECT_GUEST \
    "SELECT vmid, kind, name, state, root_uid, root_gid, mount_form, generation, changed_at_ms" \
    " FROM guest"

static struct guest guest_from_row(const struct sql_query *query)
{
    struct guest guest = {
        .vmid = (uint32_t)sql_column_int(query, 0),
        .kind = (enum guest_kind)sql_column_choice(query, 1, guest_kind_names),
        .state = (enum guest_state)sql_column_choice(query, 3, guest_state_names),
        .root_uid = (uint32_t)sql_column_int(query, 4),
        .root_gid = (uint32_t)sql_column_int(query, 5),
        .generation = sql_column_int(query, 7),
        .changed_at_ms = sql_column_int(query, 8),
    };
    sql_column_copy(query, 2, guest.name, sizeof guest.name);
    sql_column_copy(query, 6, guest.mount_form, sizeof guest.mount_form);
    return guest;
}

int guest_find(struct store *store, uint32_t vmid, struct guest *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row =
        sql_first(store, SELECT_GUEST " WHERE vmid = ?1", sql_values(sql_int(vmid)), &query, error);
    if (row <= 0)
        return row < 0 ? -1 : fail(error, ERROR_MISSING, UNKNOWN_GUEST, vmid);
    *ret = guest_from_row(&query);
    return 0;
}

int guest_version(struct store *store, uint32_t vmid, struct guest_version *ret,
                  struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT generation, changed_at_ms FROM guest WHERE vmid = ?1",
                        sql_values(sql_int(vmid)), &query, error);
    if (row <= 0)
        return row < 0 ? -1 : fail(error, ERROR_MISSING, UNKNOWN_GUEST, vmid);
    *ret = (struct guest_version){sql_column_int(&query, 0), sql_column_int(&query, 1)};
    return 0;
}

int guest_set_state(struct store *store, uint32_t vmid, enum guest_state state, int64_t now_ms,
                    struct error *error)
{
    return sql_must_change(
        store, "UPDATE guest SET state = ?2, changed_at_ms = ?3 WHERE vmid = ?1",
        sql_values(sql_int(vmid), sql_text(guest_state_names[state]), sql_int(now_ms)), error,
        ERROR_MISSING, UNKNOWN_GUEST, vmid);
}

int guest_remove(struct store *store, uint32_t vmid, struct error *error)
{
    return sql_run(store, "DELETE FROM guest WHERE vmid = ?1", sql_values(sql_int(vmid)), error);
}

int guest_has_past(struct store *store, uint32_t vmid, bool *ret, struct error *error)
{
    int64_t found = 0;
    if (sql_number(store,
                   "SELECT 1 FROM guest WHERE vmid = ?1 AND first_seq <"
                   " (SELECT max(seq) FROM event WHERE share = ?1)",
                   sql_values(sql_int(vmid)), &found, error) < 0)
        return -1;
    *ret = found != 0;
    return 0;
}

int guest_forget_past(struct store *store, uint32_t vmid, struct error *error)
{
    return sql_run(
        store, "UPDATE guest SET enrolment = NULL, first_seq = " NEWEST_EVENT " WHERE vmid = ?1",
        sql_values(sql_int(vmid)), error);
}

int guest_each(struct store *store, int (*visit)(const struct guest *guest, void *context),
               void *context, struct error *error)
{
    return sql_visit(store, SELECT_GUEST " ORDER BY vmid", SQL_NO_VALUES, struct guest,
                     guest_from_row, visit, context, error);
}

static int guest_add_vmid(const struct guest *guest, void *vmids)
{
    vmids_add(vmids, guest->vmid);
    return 0;
}

int guest_list(struct store *store, struct vmids *vmids, struct error *error)
{
    return guest_each(store, guest_add_vmid, vmids, error);
}

int guest_get_enrolment(struct store *store, uint32_t vmid, struct buffer *out, struct error *error)
{
    return sql_add_bytes(store, "SELECT enrolment FROM guest WHERE vmid = ?1",
                         sql_values(sql_int(vmid)), out, error);
}

/* --- NICs and mounts --- */

static struct nic_row nic_from_row(const struct sql_query *query)
{
    return (struct nic_row){sql_column_text(query, 0), sql_column_text(query, 1),
                            sql_column_text(query, 2), sql_column_text(query, 3)};
}

static void nic_format_hwaddr(const struct nic *nic, char ret[static HWADDR_TEXT_SIZE])
{
    ret[0] = '\0';
    if (nic->has_hwaddr)
        hwaddr_format(&nic->hwaddr, ret);
}

static bool nic_is_recorded(const struct nic *nic, const struct nic_row *row)
{
    char hwaddr[HWADDR_TEXT_SIZE];
    nic_format_hwaddr(nic, hwaddr);
    return strcmp(row->hwaddr, hwaddr) == 0 && strcmp(row->bridge, nic->bridge) == 0 &&
           strcmp(row->ip, nic->ip) == 0;
}

static const struct nic *nic_find(const struct nic *nics, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(nics[i].key, key) == 0)
            return &nics[i];
    return NULL;
}

#define SELECT_NICS_AND_LOOK \
    "SELECT key, ifnull(hwaddr, ''), bridge, ip, EXISTS (SELECT 1 FROM nic other" \
    " WHERE other.hwaddr = nic.hwaddr AND other.vmid <> ?1) FROM nic WHERE vmid = ?1"

/* Returns 1 if these are the NICs that the store has of the guest, and 0 if it has others. */
static int nics_are_recorded(struct store *store, uint32_t vmid, const struct nic *nics,
                             size_t count, const struct nic **ret_shared, struct error *error)
{
    size_t seen = 0;
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, SELECT_NICS_AND_LOOK, sql_values(sql_int(vmid)), &query, error);
    *ret_shared = NULL;
    for (; row > 0; row = sql_step(&query, error), seen++) {
        const struct nic_row recorded = nic_from_row(&query);
        const struct nic *nic = nic_find(nics, count, recorded.key);
        if (!nic || !nic_is_recorded(nic, &recorded))
            return 0;
        if (sql_column_int(&query, 4) != 0 && (!*ret_shared || nic < *ret_shared))
            *ret_shared = nic;
    }
    return row < 0 ? -1 : seen == count;
}

static int nic_insert(struct store *store, uint32_t vmid, const struct nic *nic,
                      struct error *error)
{
    char hwaddr[HWADDR_TEXT_SIZE];
    nic_format_hwaddr(nic, hwaddr);
    return sql_run(
        store, "INSERT INTO nic (vmid, key, hwaddr, bridge, ip) VALUES (?1, ?2, ?3, ?4, ?5)",
        sql_values(sql_int(vmid), sql_text(nic->key), sql_text(nic->has_hwaddr ? hwaddr : NULL),
                   sql_text(nic->bridge), sql_text(nic->ip)),
        error);
}

static int nic_write_all(struct store *store, uint32_t vmid, const struct nic *nics, size_t count,
                         struct error *error)
{
    if (sql_run(store, "DELETE FROM nic WHERE vmid = ?1", sql_values(sql_int(vmid)), error) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (nic_insert(store, vmid, &nics[i], error) < 0)
            return fail_context(error, "%s of guest %u", nics[i].key, vmid);
    return 0;
}

/* Mostly nothing has changed, and then nothing is written, as pre-start's time counts. */
int nic_replace_all_and_look(struct store *store, uint32_t vmid, const struct nic *nics,
                             size_t count, const struct nic **ret_shared, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0)
        return -1;
    int same = nics_are_recorded(store, vmid, nics, count, ret_shared, error);
    if (same == 0 && (nic_write_all(store, vmid, nics, count, error) < 0 ||
                      nics_are_recorded(store, vmid, nics, count, ret_shared, error) < 0))
        return -1;
    return same < 0 ? -1 : transaction_commit(&transaction, error);
}

int nic_replace_all(struct store *store, uint32_t vmid, const struct nic *nics, size_t count,
                    struct error *error)
{
    const struct nic *ignored;
    return nic_replace_all_and_look(store, vmid, nics, count, &ignored, error);
}

int nic_find_guest(struct store *store, const struct hwaddr *hwaddr, uint32_t prefer,
                   uint32_t *ret_vmid, struct error *error)
{
    char text[HWADDR_TEXT_SIZE];
    int64_t vmid = 0;
    hwaddr_format(hwaddr, text);
    if (sql_number(store,
                   "SELECT ifnull((SELECT vmid FROM nic WHERE hwaddr = ?1 AND vmid = ?2),"
                   " (SELECT min(vmid) FROM nic WHERE hwaddr = ?1))",
                   sql_values(sql_text(text), sql_int(prefer)), &vmid, error) < 0)
        return -1;
    *ret_vmid = (uint32_t)vmid;
    return 0;
}

static uint32_t owner_from_row(const struct sql_query *query)
{
    return (uint32_t)sql_column_int(query, 0);
}

static int owner_add(const uint32_t *vmid, void *data)
{
    struct hwaddr_owners *owners = data;
    owners->vmids[owners->count++] = *vmid;
    return owners->count == HWADDR_OWNERS_MAX;
}

int nic_find_owners(struct store *store, const struct hwaddr *hwaddr, struct hwaddr_owners *ret,
                    struct error *error)
{
    char text[HWADDR_TEXT_SIZE];
    hwaddr_format(hwaddr, text);
    *ret = (struct hwaddr_owners){.count = 0};
    int result =
        sql_visit(store, "SELECT DISTINCT vmid FROM nic WHERE hwaddr = ?1 ORDER BY vmid",
                  sql_values(sql_text(text)), uint32_t, owner_from_row, owner_add, ret, error);
    return result < 0 ? -1 : 0;
}

int nic_each(struct store *store, uint32_t vmid,
             int (*visit)(const struct nic_row *nic, void *context), void *context,
             struct error *error)
{
    return sql_visit(store,
                     "SELECT key, ifnull(hwaddr, ''), bridge, ip FROM nic WHERE vmid = ?1"
                     " ORDER BY length(key), key",
                     sql_values(sql_int(vmid)), struct nic_row, nic_from_row, visit, context,
                     error);
}

static const char *const volume_kind_names[] = {
    [VOLUME_STORAGE] = "storage",
    [VOLUME_BIND] = "bind",
    [VOLUME_DEVICE] = "device",
    NULL,
};

static struct mount mount_from_row(const struct sql_query *query)
{
    return (struct mount){
        .key = mem_copy_text(sql_column_text(query, 0)),
        .kind = (enum volume_kind)sql_column_choice(query, 1, volume_kind_names),
        .storage = mem_copy_text(sql_column_text(query, 2)),
        .source = mem_copy_text(sql_column_text(query, 3)),
        .mount_point = mem_copy_text(sql_column_text(query, 4)),
        .read_only = sql_column_int(query, 5) != 0,
        .backup = sql_column_int(query, 6) != 0,
        .size_bytes = sql_column_int(query, 7),
    };
}

/* Sorts rootfs first, then by number: mp0, mp9, mp10. */
static int mount_compare(const void *one, const void *other)
{
    const char *left = ((const struct mount *)one)->key;
    const char *right = ((const struct mount *)other)->key;
    int first = (strcmp(right, "rootfs") == 0) - (strcmp(left, "rootfs") == 0);
    size_t left_length = strlen(left);
    size_t right_length = strlen(right);
    if (first != 0 || left_length == right_length)
        return first != 0 ? first : strcmp(left, right);
    return left_length < right_length ? -1 : 1;
}

/* Sorts the list here, because SQLite's sorter costs more than the rest of the query. */
int mount_list(struct store *store, uint32_t vmid, struct mount_list *ret, struct error *error)
{
    cleanup(mount_list_free) struct mount_list list = {0};
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT key, kind, storage, source, mount_point, read_only, backup,"
                        " size_bytes FROM mount WHERE vmid = ?1",
                        sql_values(sql_int(vmid)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        list.items = mem_resize(list.items, list.count + 1, sizeof *list.items);
        list.items[list.count++] = mount_from_row(&query);
    }
    if (row < 0)
        return -1;
    if (list.count > 1)
        qsort(list.items, list.count, sizeof *list.items, mount_compare);
    *ret = steal(list);
    return 0;
}

void mount_list_free(struct mount_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].storage);
        free(list->items[i].source);
        free(list->items[i].mount_point);
    }
    free(list->items);
    *list = (struct mount_list){0};
}

static const struct volume *volume_find(const struct volume *volumes, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(volumes[i].key, key) == 0)
            return &volumes[i];
    return NULL;
}

static bool volume_is_recorded(const struct volume *volume, const struct mount *mount)
{
    return mount->kind == volume->kind && strcmp(mount->storage, volume->storage) == 0 &&
           strcmp(mount->source, volume->source) == 0 &&
           strcmp(mount->mount_point, volume->mount_point) == 0 &&
           mount->read_only == volume->read_only && mount->backup == volume->backup &&
           mount->size_bytes == volume->size_bytes;
}

/* Returns 1 if these are the mounts that the store has of the guest, and 0 if it has others. */
static int mounts_are_recorded(struct store *store, uint32_t vmid, const struct volume *volumes,
                               size_t count, struct error *error)
{
    cleanup(mount_list_free) struct mount_list list = {0};
    if (mount_list(store, vmid, &list, error) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        const struct volume *volume = volume_find(volumes, count, list.items[i].key);
        if (!volume || !volume_is_recorded(volume, &list.items[i]))
            return 0;
    }
    return list.count == count;
}

static int mount_insert(struct store *store, uint32_t vmid, const struct volume *volume,
                        struct error *error)
{
    return sql_run(store,
                   "INSERT INTO mount"
                   " (vmid, key, kind, storage, source, mount_point, read_only, backup, size_bytes)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                   sql_values(sql_int(vmid), sql_text(volume->key),
                              sql_text(volume_kind_names[volume->kind]), sql_text(volume->storage),
                              sql_text(volume->source), sql_text(volume->mount_point),
                              sql_int(volume->read_only), sql_int(volume->backup),
                              sql_int(volume->size_bytes)),
                   error);
}

static int mount_write_all(struct store *store, uint32_t vmid, const struct volume *volumes,
                           size_t count, struct error *error)
{
    if (sql_run(store, "DELETE FROM mount WHERE vmid = ?1", sql_values(sql_int(vmid)), error) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (mount_insert(store, vmid, &volumes[i], error) < 0)
            return fail_context(error, "%s of guest %u", volumes[i].key, vmid);
    return 0;
}

int mount_replace_all(struct store *store, uint32_t vmid, const struct volume *volumes,
                      size_t count, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0)
        return -1;
    int same = mounts_are_recorded(store, vmid, volumes, count, error);
    if (same < 0 || (same == 0 && mount_write_all(store, vmid, volumes, count, error) < 0))
        return -1;
    return transaction_commit(&transaction, error);
}
