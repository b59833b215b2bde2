/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/guest_refresh.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "server/base/lock.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/files/config_file.h"
#include "store/files/file.h"
#include "store/tables/event.h"
#include "store/tables/guest.h"

#define LOOK_WAIT_US INT64_C(50000) /* for another thread that looks, from when it has begun */
#define LOOK_LONG_US (5 * SECOND_US)
#define LOOK_WAITERS 8 /* this part of all threads may wait, so that the others serve */
#define LIST_LIMIT   ((size_t)16 << 20)

/* What Proxmox's file system says of itself. */
struct pve_version {
    json_int_t started; /* when it was started; its numbers begin anew then */
    json_int_t list;    /* grows when any guest's configuration is written */
};

struct guest_refresh {
    pthread_mutex_t lock; /* guards the members up to waiting */
    pthread_cond_t ended;
    bool is_looking;
    bool is_told;     /* that the look takes long */
    int64_t begun_us; /* the look under way, or the last one */
    int64_t ended_us; /* the last one; 0: none */
    uint32_t waiting;
    struct pve_version version; /* at the last look; this and newest are the looking thread's */
    json_int_t newest;          /* the newest number of a configuration at that time */
    atomic_uint_fast64_t serial;
};

struct guest_refresh *guest_refresh_new(void)
{
    struct guest_refresh *refresh = mem_new(struct guest_refresh);
    (void)pthread_mutex_init(&refresh->lock, NULL);
    lock_condition_init(&refresh->ended);
    return refresh;
}

void guest_refresh_free(struct guest_refresh *refresh)
{
    if (!refresh)
        return;
    (void)pthread_cond_destroy(&refresh->ended);
    (void)pthread_mutex_destroy(&refresh->lock);
    free(refresh);
}

uint64_t guest_refresh_serial(const struct guest_refresh *refresh)
{
    return atomic_load(&refresh->serial);
}

/* --- what differs between the store and the configuration --- */

/* A NIC or a mount, as text. */
struct device {
    char *key;
    char *text;
};

struct devices {
    struct device *items;
    size_t count;
};

static void devices_free(struct devices *devices)
{
    for (size_t i = 0; i < devices->count; i++) {
        free(devices->items[i].key);
        free(devices->items[i].text);
    }
    free(devices->items);
}

/* Takes ownership of the device's texts. */
static void devices_add(struct devices *devices, struct device device)
{
    devices->items = mem_resize(devices->items, devices->count + 1, sizeof *devices->items);
    devices->items[devices->count++] = device;
}

static const struct device *devices_find(const struct devices *devices, const char *key)
{
    for (size_t i = 0; i < devices->count; i++)
        if (strcmp(devices->items[i].key, key) == 0)
            return &devices->items[i];
    return NULL;
}

static int devices_add_nic(const struct nic_row *nic, void *data)
{
    devices_add(data, (struct device){mem_copy_text(nic->key),
                                      mem_format("%s %s %s", nic->hwaddr, nic->bridge, nic->ip)});
    return 0;
}

static void devices_add_mount(struct devices *devices, const struct mount *mount)
{
    char *text = mem_format("%d %s %s %s %d %d %lld", (int)mount->kind, mount->storage,
                            mount->source, mount->mount_point, mount->read_only, mount->backup,
                            (long long)mount->size_bytes);
    devices_add(devices, (struct device){mem_copy_text(mount->key), text});
}

/* What the store has of the guest. */
static int devices_of_store(struct store *store, uint32_t vmid, struct devices *ret,
                            struct error *error)
{
    cleanup(mount_list_free) struct mount_list mounts = {0};
    if (nic_each(store, vmid, devices_add_nic, ret, error) < 0 ||
        mount_list(store, vmid, &mounts, error) < 0)
        return -1;
    for (size_t i = 0; i < mounts.count; i++)
        devices_add_mount(ret, &mounts.items[i]);
    return 0;
}

/* What the store would have of the guest. */
static void devices_of_config(const struct guest_config *config, struct devices *ret)
{
    for (size_t i = 0; i < config->nic_count; i++) {
        const struct nic *nic = &config->nics[i];
        char hwaddr[HWADDR_TEXT_SIZE] = "";
        if (nic->has_hwaddr)
            hwaddr_format(&nic->hwaddr, hwaddr);
        const struct nic_row row = {nic->key, hwaddr, nic->bridge, nic->ip};
        (void)devices_add_nic(&row, ret);
    }
    for (size_t i = 0; i < config->volume_count; i++) {
        const struct volume *volume = &config->volumes[i];
        const struct mount mount = {volume->key,    volume->kind,        volume->storage,
                                    volume->source, volume->mount_point, volume->read_only,
                                    volume->backup, volume->size_bytes};
        devices_add_mount(ret, &mount);
    }
}

static void describe_one(const char *key, const char *what, struct buffer *out)
{
    buffer_add_format(out, "%s%s %s", out->length > 0 ? ", " : "", key, what);
}

/* Appends "net0 changed, net1 added, mp0 removed"; nothing if the two are the same. */
static void describe_changes(const struct devices *before, const struct devices *after,
                             struct buffer *out)
{
    for (size_t i = 0; i < after->count; i++) {
        const struct device *now = &after->items[i];
        const struct device *then = devices_find(before, now->key);
        if (!then)
            describe_one(now->key, "added", out);
        else if (strcmp(then->text, now->text) != 0)
            describe_one(now->key, "changed", out);
    }
    for (size_t i = 0; i < before->count; i++)
        if (!devices_find(after, before->items[i].key))
            describe_one(before->items[i].key, "removed", out);
}

/* --- one guest --- */

struct look {
    struct guest_refresh *refresh;
    struct store *store;
    const struct config *config;
    struct throttled_log *log;
};

static int record_changes(const struct look *look, uint32_t vmid, const struct guest_config *guest,
                          const char *changes, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(look->store, &transaction, error) < 0 ||
        nic_replace_all(look->store, vmid, guest->nics, guest->nic_count, error) < 0 ||
        mount_replace_all(look->store, vmid, guest->volumes, guest->volume_count, error) < 0 ||
        event_note(look->store, clock_wall_ms(), vmid, "change", "ok", changes, error) < 0 ||
        transaction_commit(&transaction, error) < 0)
        return -1;
    (void)atomic_fetch_add(&look->refresh->serial, 1);
    log_guest(LOG_NOTICE, vmid, "change", "guest %u: %s", vmid, changes);
    nudge_send(look->config->paths.state);
    return 0;
}

/* Brings the store up to date with the guest's configuration. Fails only if the store does. A guest
 * of another kind, or none, is no longer the guest that the store knows. */
static int refresh_guest(const struct look *look, uint32_t vmid, struct error *error)
{
    struct guest known;
    struct error unreadable;
    cleanup(guest_config_free) struct guest_config guest = {0};
    cleanup(devices_free) struct devices before = {0};
    cleanup(devices_free) struct devices after = {0};
    cleanup_buffer struct buffer changes = BUFFER_EMPTY;
    if (config_file_load_guest(look->config, vmid, &guest, &unreadable) < 0) {
        if (unreadable.kind != ERROR_MISSING)
            throttled_log_line(look->log, LOG_WARNING, "guest %u stays as it is known: %s", vmid,
                               unreadable.message);
        return 0;
    }
    if (guest_find(look->store, vmid, &known, error) < 0)
        return error->kind == ERROR_MISSING ? 0 : -1;
    if (known.kind != guest.kind)
        return 0;
    if (devices_of_store(look->store, vmid, &before, error) < 0)
        return -1;
    devices_of_config(&guest, &after);
    describe_changes(&before, &after, &changes);
    return changes.length > 0 ? record_changes(look, vmid, &guest, buffer_text(&changes), error)
                              : 0;
}

/* --- what has changed --- */

static int read_list(const struct config *config, const char *name, json_t **ret,
                     struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *path = mem_format("%s/%s", config->paths.pve, name);
    if (file_read(path, LIST_LIMIT, &text, error) < 0)
        return -1;
    if (json_read(buffer_text(&text), text.length, ret, error) < 0)
        return fail_context(error, "%s", path);
    return 0;
}

static int read_version(const struct config *config, struct pve_version *ret, struct error *error)
{
    cleanup_json json_t *root = NULL;
    if (read_list(config, ".version", &root, error) < 0)
        return -1;
    *ret =
        (struct pve_version){json_get_int(root, "starttime", 0), json_get_int(root, "vmlist", 0)};
    return 0;
}

/* Returns the number of the guest's configuration; 0 if there is none on any node. */
static json_int_t guest_number(const json_t *guests, uint32_t vmid)
{
    char key[VMID_TEXT_SIZE];
    (void)snprintf(key, sizeof key, "%u", vmid);
    return json_get_int(json_object_get(guests, key), "version", 0);
}

/* Reads the configurations of the guests whose numbers are greater than since. */
static int refresh_since(const struct look *look, json_int_t since, json_int_t *ret_newest,
                         struct error *error)
{
    cleanup_json json_t *root = NULL;
    cleanup(vmids_free) struct vmids vmids = {0};
    json_int_t newest = since;
    if (read_list(look->config, ".vmlist", &root, error) < 0 ||
        guest_list(look->store, &vmids, error) < 0)
        return -1;
    const json_t *guests = json_object_get(root, "ids");
    for (size_t i = 0; i < vmids.count; i++) {
        json_int_t number = guest_number(guests, vmids.items[i]);
        if (number > since && refresh_guest(look, vmids.items[i], error) < 0)
            return -1;
        newest = number > newest ? number : newest;
    }
    *ret_newest = newest;
    return 0;
}

static int look_at_pve(struct look *look, struct store_pool *stores, struct error *error)
{
    struct guest_refresh *refresh = look->refresh;
    struct pve_version now;
    cleanup_store_loan struct store_loan loan = {0};
    if (read_version(look->config, &now, error) < 0)
        return error->kind == ERROR_MISSING ? 0 : -1;
    if (now.started == refresh->version.started && now.list == refresh->version.list)
        return 0;
    json_int_t since = now.started == refresh->version.started ? refresh->newest : 0;
    if (store_borrow_writer(stores, &loan, error) < 0)
        return -1;
    look->store = loan.store;
    if (refresh_since(look, since, &refresh->newest, error) < 0)
        return store_loan_failed(&loan, error);
    refresh->version = now;
    return 0;
}

/* --- one at a time --- */

/* Waits for the look under way, unless it takes long or many wait for it already. Call with the
 * lock held. */
static void refresh_await(struct guest_refresh *refresh, uint32_t threads)
{
    const int64_t begun_us = refresh->begun_us;
    const struct timespec end = lock_time(begun_us + LOOK_WAIT_US);
    if (refresh->waiting >= threads / LOOK_WAITERS)
        return;
    refresh->waiting++;
    while (refresh->is_looking && refresh->begun_us == begun_us &&
           pthread_cond_timedwait(&refresh->ended, &refresh->lock, &end) == 0)
        continue;
    refresh->waiting--;
}

/* Returns true if the caller is to look. *ret_long_us becomes how long the look under way has taken
 * if that is to be told now, else 0. */
static bool refresh_begin(struct guest_refresh *refresh, uint32_t threads, int64_t *ret_long_us)
{
    int64_t now_us = clock_steady_us();
    lock_scope(&refresh->lock);
    *ret_long_us = 0;
    if (refresh->is_looking) {
        if (!refresh->is_told && now_us - refresh->begun_us >= LOOK_LONG_US) {
            refresh->is_told = true;
            *ret_long_us = now_us - refresh->begun_us;
        }
        refresh_await(refresh, threads);
        return false;
    }
    if (refresh->ended_us != 0 && now_us - refresh->ended_us < GUEST_REFRESH_PAUSE_US)
        return false;
    refresh->is_looking = true;
    refresh->is_told = false;
    refresh->begun_us = now_us;
    return true;
}

static void refresh_end(struct guest_refresh *refresh)
{
    lock_scope(&refresh->lock);
    refresh->is_looking = false;
    refresh->ended_us = clock_steady_us();
    (void)pthread_cond_broadcast(&refresh->ended);
}

void guest_refresh_look(struct guest_refresh *refresh, struct store_pool *stores,
                        const struct config *config, struct throttled_log *log)
{
    struct error error;
    struct look look = {.refresh = refresh, .config = config, .log = log};
    int64_t long_us;
    bool is_mine = refresh_begin(refresh, config->limits.threads, &long_us);
    if (long_us > 0)
        throttled_log_line(log, LOG_WARNING,
                           "changes of the guests' configurations are not seen: %s has not "
                           "answered for %lld s",
                           config->paths.pve, (long long)(long_us / SECOND_US));
    if (!is_mine)
        return;
    if (look_at_pve(&look, stores, &error) < 0)
        throttled_log_line(log, LOG_WARNING,
                           "changes of the guests' configurations are not seen: %s", error.message);
    refresh_end(refresh);
}
