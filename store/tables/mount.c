/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "store/db/sql.h"
#include "store/tables/guest.h"

static const char *const kind_names[] = {
    [VOLUME_STORAGE] = "storage",
    [VOLUME_BIND] = "bind",
    [VOLUME_DEVICE] = "device",
};

static int insert(struct store *store, uint32_t vmid, const struct volume *volume,
                  struct error *error)
{
    return sql_run(store,
                   "INSERT INTO mount"
                   " (vmid, key, kind, storage, source, mount_point, read_only, backup, size_bytes)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                   sql_values(sql_int(vmid), sql_text(volume->key),
                              sql_text(kind_names[volume->kind]), sql_text(volume->storage),
                              sql_text(volume->source), sql_text(volume->mount_point),
                              sql_int(volume->read_only), sql_int(volume->backup),
                              sql_int(volume->size_bytes)),
                   error);
}

int mount_replace_all(struct store *store, uint32_t vmid, const struct volume *volumes,
                      size_t count, struct error *error)
{
    cleanup_scope struct sql_scope scope = {0};
    if (sql_scope_enter(store, &scope, error) < 0 ||
        sql_run(store, "DELETE FROM mount WHERE vmid = ?1", sql_values(sql_int(vmid)), error) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (insert(store, vmid, &volumes[i], error) < 0)
            return fail_context(error, "%s of guest %u", volumes[i].key, vmid);
    return sql_scope_commit(&scope, error);
}

static struct mount read_mount(const struct sql_query *query)
{
    return (struct mount){
        .key = mem_copy_text(sql_column_text(query, 0)),
        .kind = (enum volume_kind)sql_column_choice(query, 1, kind_names, ARRAY_SIZE(kind_names)),
        .storage = mem_copy_text(sql_column_text(query, 2)),
        .source = mem_copy_text(sql_column_text(query, 3)),
        .mount_point = mem_copy_text(sql_column_text(query, 4)),
        .read_only = sql_column_int(query, 5) != 0,
        .backup = sql_column_int(query, 6) != 0,
        .size_bytes = sql_column_int(query, 7),
    };
}

static void append(struct mount_list *list, struct mount mount)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof *list->items);
    list->items[list->count++] = mount;
}

static struct mount_list take(struct mount_list *list)
{
    struct mount_list taken = *list;
    *list = (struct mount_list){0};
    return taken;
}

/* As people count: rootfs, mp0, ..., mp9, mp10. */
static int compare_keys(const void *one, const void *other)
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

/* Sorted here: SQLite's own sorter costs more than all the rest of the query. */
int mount_list(struct store *store, uint32_t vmid, struct mount_list *ret, struct error *error)
{
    cleanup(mount_list_free) struct mount_list list = {0};
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "SELECT key, kind, storage, source, mount_point, read_only, backup,"
                        " size_bytes FROM mount WHERE vmid = ?1",
                        sql_values(sql_int(vmid)), &query, error);
    for (; row > 0; row = sql_step(&query, error))
        append(&list, read_mount(&query));
    if (row < 0)
        return -1;
    if (list.count > 1)
        qsort(list.items, list.count, sizeof *list.items, compare_keys);
    *ret = take(&list);
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
