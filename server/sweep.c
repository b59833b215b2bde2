/* SPDX-License-Identifier: Apache-2.0 */
#include "server/sweep.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
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

enum presence presence_configured(const char *pve, uint32_t vmid)
{
    static const char *const directories[] = {"lxc", "qemu-server"};
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

/* --- the sweep --- */

/* How long a guest may be absent, or take to start, before its tokens are revoked. */
#define GRACE_US MINUTE_US
#define GRACE_MS MINUTE_MS

/* What one sweep works with. */
struct sweep_look {
    const struct config *config;
    struct store *store;
    int64_t now_us;
    int64_t now_ms;
};

struct guests {
    struct guest *items;
    size_t count;
};

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
    guests->items = mem_resize(guests->items, guests->count + 1, sizeof *guest);
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

static bool guest_is_absent(const struct sweep_look *look, const struct guest *guest)
{
    return !guest_is_about_to_run(look, guest) &&
           presence_running(look->config->paths.cgroup, guest->kind, guest->vmid) == PRESENCE_NO;
}

/* Returns since when the guest is absent; otherwise_us if it was not absent at the last sweep. */
static int64_t guest_absent_since(const struct sweep *sweep, uint32_t vmid, int64_t otherwise_us)
{
    for (size_t i = 0; i < sweep->absence_count; i++) {
        if (sweep->absences[i].vmid == vmid)
            return sweep->absences[i].since_us;
    }
    return otherwise_us;
}

/* Replaces the noted absences by those of now; guests that run again, or that no longer exist,
 * are dropped. */
static void sweep_note_absences(struct sweep *sweep, const struct sweep_look *look,
                                const struct guests *guests)
{
    struct sweep noted = {mem_new_array(guests->count, sizeof *noted.absences), 0};
    for (size_t i = 0; i < guests->count; i++) {
        uint32_t vmid = guests->items[i].vmid;
        if (guest_is_absent(look, &guests->items[i]))
            noted.absences[noted.absence_count++] =
                (struct absence){vmid, guest_absent_since(sweep, vmid, look->now_us)};
    }
    sweep_clear(sweep);
    *sweep = noted;
}

static bool guest_is_gone(const struct sweep_look *look, uint32_t vmid)
{
    return presence_configured(look->config->paths.pve, vmid) == PRESENCE_NO;
}

/* Returns why the tokens of the guest are to be revoked; NULL if they are not. */
static const char *sweep_find_reason(const struct sweep *sweep, const struct sweep_look *look,
                                     const struct guest *guest)
{
    if (guest_is_gone(look, guest->vmid))
        return "its configuration is gone from this node";
    if (look->now_us - guest_absent_since(sweep, guest->vmid, look->now_us) < GRACE_US)
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
    if (token_revoke_before(look->store, vmid, INT64_MAX, look->now_ms, reason, &count, error) <
            0 ||
        credential_doom(look->store, vmid, look->now_ms, error) < 0 ||
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

static int sweep_tokens(const struct sweep *sweep, const struct sweep_look *look,
                        const struct guest *guest, struct error *error)
{
    int good = 0;
    if (!sweep_find_reason(sweep, look, guest))
        return 0;
    if (token_count_before(look->store, guest->vmid, INT64_MAX, look->now_ms, &good, error) < 0)
        return -1;
    return good > 0 ? sweep_in_transaction(sweep_revoke_tokens, sweep, look, guest->vmid, error)
                    : 0;
}

/* Deletes the events of a guest that is gone, because the next guest with this VMID must not see
 * them. */
static int sweep_past_events(const struct sweep *sweep, const struct sweep_look *look,
                             const struct guest *guest, struct error *error)
{
    bool has_past = false;
    if (!guest_is_gone(look, guest->vmid))
        return 0;
    if (guest_has_past(look->store, guest->vmid, &has_past, error) < 0)
        return -1;
    return has_past ? sweep_in_transaction(sweep_forget_past, sweep, look, guest->vmid, error) : 0;
}

int sweep_run(struct sweep *sweep, const struct config *config, struct store *store, int64_t now_us,
              int64_t now_ms, struct error *error)
{
    const struct sweep_look look = {config, store, now_us, now_ms};
    cleanup(guests_free) struct guests guests = {0};
    if (guest_each(store, guests_add, &guests, error) < 0)
        return -1;
    sweep_note_absences(sweep, &look, &guests);
    for (size_t i = 0; i < guests.count; i++) {
        const struct guest *guest = &guests.items[i];
        if (sweep_tokens(sweep, &look, guest, error) < 0 ||
            sweep_past_events(sweep, &look, guest, error) < 0)
            return -1;
    }
    return 0;
}
