/* SPDX-License-Identifier: Apache-2.0 */
/* The replies that are lists of things to choose from. */
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/vmid.h"
#include "schema/json/json.h"
#include "schema/pve/pve_data.h"
#include "schema/pve/reply.h"

/* --- tasks --- */

struct wanted_task {
    const char *type;
    uint32_t vmid;
    const char *user;
    int64_t since;
};

/* The UPID alone is looked at: beside it, Proxmox names the user of a task that runs and of one
 * that has ended in two ways. */
static bool is_wanted(const struct upid *upid, const struct wanted_task *wanted)
{
    uint32_t vmid;
    return vmid_parse(upid->id, &vmid) && vmid == wanted->vmid &&
           strcmp(upid->type, wanted->type) == 0 && strcmp(upid->user, wanted->user) == 0 &&
           upid->started_at >= wanted->since;
}

/* "" where there is none, NULL where the list is not as documented. */
static const char *find_oldest(const json_t *tasks, const struct wanted_task *wanted)
{
    struct upid upid;
    int64_t oldest_at = 0;
    const char *oldest = "";
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const char *text = pve_data_text(json_array_get(tasks, i), "upid", NULL);
        if (!text)
            return NULL;
        if (!upid_parse(text, &upid) || !is_wanted(&upid, wanted) ||
            (*oldest && upid.started_at >= oldest_at))
            continue;
        oldest = text;
        oldest_at = upid.started_at;
    }
    return oldest;
}

int pve_reply_find_task(const struct pve_reply *reply, const char *type, uint32_t vmid,
                        const char *user, int64_t since, char ret[static UPID_SIZE],
                        struct error *error)
{
    const struct wanted_task wanted = {type, vmid, user, since};
    cleanup_json json_t *data = NULL;
    if (pve_data_read(reply, JSON_ARRAY, &data, error) < 0)
        return -1;
    const char *found = find_oldest(data, &wanted);
    if (!found)
        return pve_data_fail(error, "a task has no UPID");
    memcpy(ret, found, strlen(found) + 1);
    return 0;
}

/* --- snapshots --- */

void pve_snapshots_free(struct pve_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++)
        free(snapshots->items[i].description);
    free(snapshots->items);
    *snapshots = (struct pve_snapshots){0};
}

/* "current" is what the guest is now, "vzdump" what a backup under way uses, and a snapshot with a
 * state is still being made or removed. */
static bool is_usable(const json_t *item, const char *name)
{
    struct error ignored;
    return snapshot_name_check(name, &ignored) == 0 && !json_object_get(item, "snapstate");
}

static void copy_name(const char *name, char ret[static SNAPSHOT_NAME_SIZE])
{
    size_t length = strlen(name);
    if (length < SNAPSHOT_NAME_SIZE)
        memcpy(ret, name, length + 1);
}

static int add_snapshot(const json_t *item, struct pve_snapshots *snapshots, struct error *error)
{
    struct pve_snapshot snapshot = {0};
    const char *name = pve_data_text(item, "name", NULL);
    const char *description = pve_data_text(item, "description", "");
    const char *parent = pve_data_text(item, "parent", "");
    if (!name || !description || !parent || !pve_data_int(item, "snaptime", 0, &snapshot.at))
        return pve_data_fail(error, "a snapshot has no name, or what it has is of another type");
    if (!is_usable(item, name))
        return 0;
    copy_name(name, snapshot.name);
    copy_name(parent, snapshot.parent);
    snapshot.description = mem_copy_text(description);
    snapshots->items[snapshots->count++] = snapshot;
    return 0;
}

static int by_age(const void *a, const void *b)
{
    const struct pve_snapshot *one = a;
    const struct pve_snapshot *other = b;
    if (one->at != other->at)
        return one->at < other->at ? -1 : 1;
    return strcmp(one->name, other->name);
}

int pve_reply_snapshots(const struct pve_reply *reply, struct pve_snapshots *ret,
                        struct error *error)
{
    cleanup_json json_t *data = NULL;
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    if (pve_data_read(reply, JSON_ARRAY, &data, error) < 0)
        return -1;
    snapshots.items = mem_new_array(json_array_size(data) + 1, sizeof *snapshots.items);
    for (size_t i = 0; i < json_array_size(data); i++)
        if (add_snapshot(json_array_get(data, i), &snapshots, error) < 0)
            return -1;
    qsort(snapshots.items, snapshots.count, sizeof *snapshots.items, by_age);
    *ret = snapshots;
    snapshots = (struct pve_snapshots){0};
    return 0;
}

/* --- backups --- */

struct backup_item {
    const char *archive;
    const char *content;
    int64_t vmid;
    int64_t size_bytes;
    int64_t at;
};

/* False where it has no volume id, or what it has is of another type. */
static bool read_backup(const json_t *json, struct backup_item *ret)
{
    *ret = (struct backup_item){0};
    ret->archive = pve_data_text(json, "volid", NULL);
    ret->content = pve_data_text(json, "content", "backup");
    bool is_backup = ret->archive && ret->content &&
                     strlen(ret->archive) < sizeof((struct pve_backup *)NULL)->archive &&
                     pve_data_int(json, "vmid", 0, &ret->vmid) &&
                     pve_data_int(json, "ctime", 0, &ret->at) &&
                     pve_data_int(json, "size", -1, &ret->size_bytes);
    if (ret->size_bytes < 0)
        ret->size_bytes = -1;
    return is_backup;
}

static bool is_newer(const struct backup_item *item, const struct backup_item *than)
{
    if (item->at != than->at)
        return item->at > than->at;
    return strcmp(item->archive, than->archive) > 0;
}

/* archive is "" where there is none. False where the list is not as documented. */
static bool find_newest(const json_t *items, uint32_t vmid, struct backup_item *ret)
{
    *ret = (struct backup_item){.archive = "", .at = INT64_MIN};
    for (size_t i = 0; i < json_array_size(items); i++) {
        struct backup_item item;
        if (!read_backup(json_array_get(items, i), &item))
            return false;
        if (item.vmid == vmid && strcmp(item.content, "backup") == 0 && is_newer(&item, ret))
            *ret = item;
    }
    return true;
}

int pve_reply_newest_backup(const struct pve_reply *reply, uint32_t vmid, struct pve_backup *ret,
                            struct error *error)
{
    cleanup_json json_t *data = NULL;
    struct backup_item newest;
    if (pve_data_read(reply, JSON_ARRAY, &data, error) < 0)
        return -1;
    if (!find_newest(data, vmid, &newest))
        return pve_data_fail(error, "a backup has no volume id, or what it has is of another type");
    *ret = (struct pve_backup){.size_bytes = -1};
    if (!*newest.archive)
        return 0;
    ret->size_bytes = newest.size_bytes;
    ret->at = newest.at;
    memcpy(ret->archive, newest.archive, strlen(newest.archive) + 1);
    return 0;
}
