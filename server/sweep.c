/* SPDX-License-Identifier: Apache-2.0 */
#include "server/sweep.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/base/vmid.h"
#include "store/base/cgroup.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/tables/credential.h"
#include "store/tables/event.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

/* --- whether a guest exists --- */

/* If we cannot tell whether the guest exists, assume it does; never revoke on a guess. */
static enum presence presence_of(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 && errno == ENOENT ? PRESENCE_NO : PRESENCE_YES;
}

/* Whether DIRECTORY/NAME exists; unknown if the directory itself does not. */
static enum presence presence_in(const char *directory, const char *name)
{
    cleanup_free char *path = mem_format("%s/%s", directory, name);
    if (presence_of(directory) != PRESENCE_YES)
        return PRESENCE_UNKNOWN;
    return presence_of(path);
}

/* PRESENCE_YES if either is; else PRESENCE_NO if either is. */
static enum presence presence_combine(enum presence a, enum presence b)
{
    if (a == PRESENCE_YES || b == PRESENCE_YES)
        return PRESENCE_YES;
    return a == PRESENCE_NO || b == PRESENCE_NO ? PRESENCE_NO : PRESENCE_UNKNOWN;
}

/* Where Proxmox keeps the configurations, by the kind of guest. */
static const char *const directories[] = {[GUEST_LXC] = "lxc", [GUEST_QEMU] = "qemu-server"};
#define KINDS ARRAY_SIZE(directories)

enum presence presence_configured(const char *pve, uint32_t vmid)
{
    enum presence presence = PRESENCE_UNKNOWN;
    cleanup_free char *name = mem_format("%u.conf", vmid);
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        cleanup_free char *directory = mem_format("%s/%s", pve, directories[i]);
        presence = presence_combine(presence, presence_in(directory, name));
    }
    return presence;
}

enum presence presence_running(const char *cgroup, enum guest_kind kind, uint32_t vmid)
{
    enum presence presence = PRESENCE_UNKNOWN;
    cleanup_free char *name = cgroup_name(kind, vmid);
    for (size_t i = 0; i < CGROUP_HIERARCHIES; i++) {
        cleanup_free char *folder = cgroup_folder(cgroup, i, kind);
        presence = presence_combine(presence, presence_in(folder, name));
    }
    return presence;
}

/* --- all guests at once: each directory is read once in a sweep, whatever the number of guests ---
 */

/* The guests that a directory names. */
struct listing {
    enum presence others; /* the presence of a guest that is not among them */
    struct vmids vmids;   /* in ascending order */
};

/* The guests that the host's directories name at one moment. */
struct host_guests {
    struct listing configured[KINDS];
    struct listing running[KINDS][CGROUP_HIERARCHIES];
};

static void host_guests_free(struct host_guests *listed)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        vmids_free(&listed->configured[kind].vmids);
        for (size_t i = 0; i < CGROUP_HIERARCHIES; i++)
            vmids_free(&listed->running[kind][i].vmids);
    }
}

/* Adds the guest that an entry VMIDSUFFIX stands for. */
static void listing_add(struct listing *listing, const char *name, const char *suffix)
{
    char digits[VMID_TEXT_SIZE];
    uint32_t vmid;
    size_t length = strspn(name, DIGITS);
    if (length >= sizeof digits || strcmp(name + length, suffix) != 0)
        return;
    memcpy(digits, name, length);
    digits[length] = '\0';
    if (vmid_parse(digits, &vmid))
        vmids_add(&listing->vmids, vmid);
}

/* A directory that cannot be read to its end says of no guest that it is missing. */
static void listing_read(const char *path, const char *suffix, struct listing *ret)
{
    const struct dirent *entry;
    cleanup_directory DIR *directory = opendir(path);
    if (!directory) {
        ret->others = errno == ENOENT ? PRESENCE_UNKNOWN : PRESENCE_YES;
        return;
    }
    for (errno = 0; (entry = readdir(directory)); errno = 0)
        listing_add(ret, entry->d_name, suffix);
    ret->others = errno == 0 ? PRESENCE_NO : PRESENCE_YES;
    vmids_sort(&ret->vmids);
}

static enum presence listing_presence(const struct listing *listing, uint32_t vmid)
{
    const struct vmids *vmids = &listing->vmids;
    bool listed = vmids->count > 0 &&
                  bsearch(&vmid, vmids->items, vmids->count, sizeof vmid, vmid_compare) != NULL;
    return listed ? PRESENCE_YES : listing->others;
}

static void host_guests_read(const struct config *config, struct host_guests *ret)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        cleanup_free char *directory = mem_format("%s/%s", config->paths.pve, directories[kind]);
        listing_read(directory, ".conf", &ret->configured[kind]);
        for (size_t i = 0; i < CGROUP_HIERARCHIES; i++) {
            cleanup_free char *folder =
                cgroup_folder(config->paths.cgroup, i, (enum guest_kind)kind);
            listing_read(folder, cgroup_suffix((enum guest_kind)kind), &ret->running[kind][i]);
        }
    }
}

static enum presence host_guests_configured(const struct host_guests *listed, uint32_t vmid)
{
    enum presence presence = PRESENCE_UNKNOWN;
    for (size_t kind = 0; kind < KINDS; kind++)
        presence = presence_combine(presence, listing_presence(&listed->configured[kind], vmid));
    return presence;
}

static enum presence host_guests_running(const struct host_guests *listed, enum guest_kind kind,
                                         uint32_t vmid)
{
    enum presence presence = PRESENCE_UNKNOWN;
    for (size_t i = 0; i < CGROUP_HIERARCHIES; i++)
        presence = presence_combine(presence, listing_presence(&listed->running[kind][i], vmid));
    return presence;
}

/* --- the sweep --- */

/* How long a guest may be absent, or take to start, before its tokens are revoked. */
#define GRACE_US MINUTE_US
#define GRACE_MS MINUTE_MS

/* What one sweep works with. */
struct sweep_look {
    const struct config *config;
    struct store *store;
    const struct host_guests *listed; /* NULL: each guest is looked for when it is asked about */
    int64_t now_us;
    int64_t now_ms;
};

struct guests {
    struct guest *items; /* in ascending order of VMID */
    size_t count;
};

/* The guests of which something in the store has to change. */
struct sweep_plan {
    struct vmids revoke;
    struct vmids forget;
    int64_t newest_event;
};

static void sweep_plan_free(struct sweep_plan *plan)
{
    vmids_free(&plan->revoke);
    vmids_free(&plan->forget);
}

static void guests_free(struct guests *guests)
{
    free(guests->items);
}

void sweep_clear(struct sweep *sweep)
{
    free(sweep->absences);
    *sweep = (struct sweep){0};
}

static int guests_add(const struct guest *guest, void *context)
{
    struct guests *guests = context;
    guests->items = mem_grow(guests->items, guests->count, sizeof *guest);
    guests->items[guests->count++] = *guest;
    return 0;
}

/* True for a guest whose start began less than a minute ago: its control group does not exist
 * yet. */
static bool guest_is_about_to_run(const struct sweep_look *look, const struct guest *guest)
{
    int64_t age_ms = look->now_ms - guest->changed_at_ms;
    return guest->state == GUEST_STARTING && age_ms >= 0 && age_ms < GRACE_MS;
}

static int absence_compare(const void *vmid, const void *absence)
{
    return vmid_compare(vmid, &((const struct absence *)absence)->vmid);
}

static bool guest_is_absent(const struct sweep_look *look, const struct guest *guest)
{
    if (guest_is_about_to_run(look, guest))
        return false;
    return PRESENCE_NO ==
           (look->listed ? host_guests_running(look->listed, guest->kind, guest->vmid)
                         : presence_running(look->config->paths.cgroup, guest->kind, guest->vmid));
}

/* Returns since when the guest is absent; otherwise_us if it was not absent at the last sweep, or
 * has had a phase or a new token since. */
static int64_t guest_absent_since(const struct sweep *sweep, const struct guest *guest,
                                  int64_t otherwise_us)
{
    const struct absence *absence =
        sweep->absence_count == 0 ? NULL
                                  : bsearch(&guest->vmid, sweep->absences, sweep->absence_count,
                                            sizeof *absence, absence_compare);
    if (!absence || absence->version.generation != guest->generation ||
        absence->version.changed_at_ms != guest->changed_at_ms)
        return otherwise_us;
    return absence->since_us;
}

/* Replaces the noted absences by those of now; guests that run again, or that no longer exist,
 * are dropped. */
static void sweep_note_absences(struct sweep *sweep, const struct sweep_look *look,
                                const struct guests *guests)
{
    struct sweep noted = {.absences = mem_new_array(guests->count, sizeof *noted.absences)};
    for (size_t i = 0; i < guests->count; i++) {
        const struct guest *guest = &guests->items[i];
        if (guest_is_absent(look, guest))
            noted.absences[noted.absence_count++] = (struct absence){
                .vmid = guest->vmid,
                .version = {guest->generation, guest->changed_at_ms},
                .since_us = guest_absent_since(sweep, guest, look->now_us),
            };
    }
    free(sweep->absences);
    sweep->absences = noted.absences;
    sweep->absence_count = noted.absence_count;
}

static bool guest_is_gone(const struct sweep_look *look, uint32_t vmid)
{
    return PRESENCE_NO == (look->listed ? host_guests_configured(look->listed, vmid)
                                        : presence_configured(look->config->paths.pve, vmid));
}

/* Returns why the tokens of the guest are to be revoked; NULL if they are not. */
static const char *sweep_find_reason(const struct sweep *sweep, const struct sweep_look *look,
                                     const struct guest *guest)
{
    if (guest_is_gone(look, guest->vmid))
        return "its configuration is gone from this node";
    if (look->now_us - guest_absent_since(sweep, guest, look->now_us) < GRACE_US)
        return NULL;
    return guest_is_absent(look, guest) ? "it has not been running for a minute" : NULL;
}

static int sweep_record_revocation(const struct sweep_look *look, uint32_t vmid, const char *reason,
                                   int count, struct error *error)
{
    cleanup_free char *detail =
        mem_format("%d token%s revoked: %s", count, count == 1 ? "" : "s", reason);
    log_guest(LOG_NOTICE, vmid, "revoke", "guest %u: %s", vmid, detail);
    return event_note(look->store, look->now_ms, vmid, "revoke", "ok", detail, error);
}

/* Looks again inside the transaction, so that a start that has just minted a token does not lose
 * it. */
static int sweep_revoke_tokens(const struct sweep *sweep, const struct sweep_look *look,
                               uint32_t vmid, struct error *error)
{
    struct guest guest;
    int count;
    if (guest_find(look->store, vmid, &guest, error) < 0)
        return -1;
    const char *reason = sweep_find_reason(sweep, look, &guest);
    if (!reason)
        return 0;
    if (credential_revoke_all(look->store, vmid, look->now_ms, reason, &count, error) < 0 ||
        guest_set_state(look->store, vmid, GUEST_STOPPED, look->now_ms, error) < 0)
        return -1;
    return count > 0 ? sweep_record_revocation(look, vmid, reason, count, error) : 0;
}

/* Looks again inside the transaction, so that nothing of the next guest with this VMID is
 * deleted. */
static int sweep_forget_past(const struct sweep *sweep, const struct sweep_look *look,
                             uint32_t vmid, struct error *error)
{
    (void)sweep;
    return guest_is_gone(look, vmid) ? guest_forget_past(look->store, vmid, error) : 0;
}

/* A change of the store that sweep_in_transaction makes. */
typedef int sweep_change(const struct sweep *sweep, const struct sweep_look *look, uint32_t vmid,
                         struct error *error);

static int sweep_in_transaction(sweep_change *make, const struct sweep *sweep,
                                const struct sweep_look *look, uint32_t vmid, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(look->store, &transaction, error) < 0 ||
        make(sweep, look, vmid, error) < 0 || transaction_commit(&transaction, error) < 0)
        return -1;
    nudge_send(look->config->paths.state);
    return 0;
}

static int sweep_each(sweep_change *make, const struct sweep *sweep, const struct sweep_look *look,
                      const struct vmids *vmids, struct error *error)
{
    for (size_t i = 0; i < vmids->count; i++)
        if (sweep_in_transaction(make, sweep, look, vmids->items[i], error) < 0)
            return -1;
    return 0;
}

/* Adds the guest to the plan if it has tokens to be revoked, or has gone and has events, which the
 * next guest with this VMID must not see. */
static int sweep_plan_guest(const struct sweep *sweep, const struct sweep_look *look,
                            const struct guest *guest, struct sweep_plan *plan, struct error *error)
{
    int good = 0;
    bool has_past = false;
    if (!sweep_find_reason(sweep, look, guest))
        return 0;
    if (token_count_before(look->store, guest->vmid, INT64_MAX, look->now_ms, &good, error) < 0)
        return -1;
    if (good > 0)
        vmids_add(&plan->revoke, guest->vmid);
    if (!guest_is_gone(look, guest->vmid))
        return 0;
    if (guest_has_past(look->store, guest->vmid, &has_past, error) < 0)
        return -1;
    if (has_past || good > 0) /* a revocation is an event */
        vmids_add(&plan->forget, guest->vmid);
    return 0;
}

static int sweep_plan_all(struct sweep *sweep, const struct sweep_look *look,
                          struct sweep_plan *plan, struct error *error)
{
    cleanup(guests_free) struct guests guests = {0};
    if (guest_each(look->store, guests_add, &guests, error) < 0 ||
        event_newest(look->store, &plan->newest_event, error) < 0)
        return -1;
    sweep_note_absences(sweep, look, &guests);
    for (size_t i = 0; i < guests.count; i++)
        if (sweep_plan_guest(sweep, look, &guests.items[i], plan, error) < 0)
            return -1;
    return 0;
}

/* Reads the store in one transaction, because each one takes locks. */
static int sweep_plan_view(struct sweep *sweep, const struct sweep_look *look,
                           struct sweep_plan *plan, struct error *error)
{
    if (store_begin_view(look->store, error) < 0)
        return -1;
    int result = sweep_plan_all(sweep, look, plan, error);
    store_rollback(look->store);
    return result;
}

/* Deletes events that nobody keeps: event_add deletes what one batch adds, but not what an older
 * program or the operator has left. */
static int sweep_events(struct sweep *sweep, const struct sweep_look *look, int64_t newest,
                        struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (!sweep->events_left && newest / EVENTS_BATCH == sweep->newest_event / EVENTS_BATCH)
        return 0;
    if (transaction_begin(look->store, &transaction, error) < 0 ||
        event_prune(look->store, &sweep->events_left, error) < 0 ||
        transaction_commit(&transaction, error) < 0)
        return -1;
    sweep->newest_event = newest;
    return 0;
}

int sweep_run(struct sweep *sweep, const struct config *config, struct store *store, int64_t now_us,
              int64_t now_ms, struct error *error)
{
    cleanup(host_guests_free) struct host_guests listed = {0};
    cleanup(sweep_plan_free) struct sweep_plan plan = {0};
    const struct sweep_look at_all = {config, store, &listed, now_us, now_ms};
    const struct sweep_look at_one = {config, store, NULL, now_us, now_ms};
    host_guests_read(config, &listed);
    if (sweep_plan_view(sweep, &at_all, &plan, error) < 0 ||
        sweep_each(sweep_revoke_tokens, sweep, &at_one, &plan.revoke, error) < 0 ||
        sweep_each(sweep_forget_past, sweep, &at_one, &plan.forget, error) < 0 ||
        sweep_events(sweep, &at_one, plan.newest_event, error) < 0)
        return -1;
    return 0;
}
