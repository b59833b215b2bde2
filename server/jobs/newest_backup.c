/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs/newest_backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "server/base/worker.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"

#define SECOND_US ((int64_t)1000000)
#define EVERY_US  (SECOND_US * 15 * 60)
#define PAUSE_US  (60 * SECOND_US) /* until a token, or the store, is looked for again */

/* --- one guest's --- */

static int record(struct store_pool *stores, uint32_t vmid, const struct backup *backup,
                  struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(stores, &loan, error) == 0 && backup_put(loan.store, vmid, backup, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

int newest_backup_look(struct store_pool *stores, const struct pve_call *call, uint32_t vmid,
                       struct error *error)
{
    struct pve_backup newest;
    struct backup backup = {0};
    if (pve_newest_backup(call, vmid, &newest, error) < 0)
        return -1;
    (void)snprintf(backup.archive, sizeof backup.archive, "%s", newest.archive);
    backup.size_bytes = newest.size_bytes;
    backup.at_ms = newest.at * 1000;
    return record(stores, vmid, &backup, error);
}

/* --- all guests' --- */

void newest_backups_clear(struct newest_backups *backups)
{
    free(backups->storage);
    (void)pthread_mutex_destroy(&backups->log.lock);
}

struct search {
    uint32_t after;
    uint32_t found;
};

static int stop_after(const struct guest *guest, void *context)
{
    struct search *search = context;
    if (guest->vmid > search->after)
        search->found = guest->vmid;
    return search->found != 0;
}

/* The next guest's VMID; 0 where there are no more. */
static int find_next(struct store_pool *stores, uint32_t after, uint32_t *ret, struct error *error)
{
    struct search search = {.after = after};
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(stores, &loan, error) < 0 ||
        guest_each(loan.store, stop_after, &search, error) < 0) {
        store_loan_failed(&loan, error);
        return -1;
    }
    *ret = search.found;
    return 0;
}

/* Ends this look. */
static void leave_for(struct newest_backups *backups, int64_t wait_us)
{
    backups->vmid = 0;
    backups->at_us = clock_steady_us() + wait_us;
}

static void tell(struct newest_backups *backups, const struct error *error)
{
    if (!atomic_load(backups->stopping))
        throttled_log_line(&backups->log, LOG_WARNING,
                           "guests' newest backups cannot be looked at: %s", error->message);
}

/* Whether it says nothing of how the next guest's would go: that it was removed just now, or that
 * what Proxmox says of it is not as documented. */
static bool is_of_one_guest(const struct error *error)
{
    return error->kind == ERROR_MISSING || error->kind == ERROR_CORRUPT;
}

static void heed_failure(struct newest_backups *backups, const struct error *error)
{
    tell(backups, error);
    if (!is_of_one_guest(error))
        leave_for(backups, backoff_ms(++backups->failures, EVERY_US / 1000) * 1000);
}

static void look(struct newest_backups *backups, struct store_pool *stores,
                 const struct pve_call *call)
{
    struct error error;
    if (newest_backup_look(stores, call, backups->vmid, &error) < 0)
        heed_failure(backups, &error);
    else
        backups->failures = 0;
}

static void take_turn(struct newest_backups *backups, struct store_pool *stores,
                      const struct pve_call *call)
{
    struct error error;
    uint32_t vmid;
    if (find_next(stores, backups->vmid, &vmid, &error) < 0) {
        tell(backups, &error);
        leave_for(backups, PAUSE_US);
    } else if (vmid == 0) {
        leave_for(backups, EVERY_US);
    } else {
        backups->vmid = vmid;
        look(backups, stores, call);
    }
}

/* Another storage has other backups. */
static void heed_storage(struct newest_backups *backups, const char *storage)
{
    if (backups->storage && strcmp(backups->storage, storage) == 0)
        return;
    free(backups->storage);
    backups->storage = mem_copy_text(storage);
    backups->failures = 0;
    leave_for(backups, 0);
}

int64_t newest_backups_turn(struct newest_backups *backups, struct store_pool *stores,
                            const struct pve_call *call)
{
    struct error error;
    heed_storage(backups, call->config->backup.storage);
    if (clock_steady_us() < backups->at_us)
        return backups->at_us;
    if (pve_token_check(call->config, NULL, &error) == 0)
        take_turn(backups, stores, call);
    else
        leave_for(backups, PAUSE_US);
    return backups->at_us;
}
