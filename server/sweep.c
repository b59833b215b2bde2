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

/* What cannot be looked at counts as there: nobody loses a token on a guess. */
static enum presence presence_of(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 && errno == ENOENT ? PRESENCE_NO : PRESENCE_YES;
}

/* DIRECTORY/NAME; unknown where there is no such directory at all. */
static enum presence presence_in(const char *directory, const char *name)
{
    cleanup_free char *path = mem_format("%s/%s", directory, name);
    if (presence_of(directory) != PRESENCE_YES)
        return PRESENCE_UNKNOWN;
    return presence_of(path);
}

/* One that is there decides; else one place where it could be but is not. */
static enum presence combine(enum presence a, enum presence b)
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
        presence = combine(presence, presence_in(directory, name));
    }
    return presence;
}

enum presence presence_running(const char *cgroup, enum guest_kind kind, uint32_t vmid)
{
    enum presence presence = PRESENCE_UNKNOWN;
    cleanup_free char *name = cgroup_name(kind, vmid);
    for (size_t i = 0; i < CGROUP_HIERARCHIES; i++) {
        cleanup_free char *folder = cgroup_folder(cgroup, i, kind);
        presence = combine(presence, presence_in(folder, name));
    }
    return presence;
}

#define GRACE_US MINUTE_US
#define GRACE_MS MINUTE_MS

/* One look at the guests. */
struct look {
    const struct config *config;
    struct store *store;
    int64_t now_us;
    int64_t now_ms;
};

struct guests {
    struct guest *items;
    size_t count;
};

static void free_guests(struct guests *guests)
{
    free(guests->items);
}

void sweep_clear(struct sweep *sweep)
{
    free(sweep->absences);
    *sweep = (struct sweep){0};
}

static int keep_guest(const struct guest *guest, void *context)
{
    struct guests *guests = context;
    guests->items = mem_resize(guests->items, guests->count + 1, sizeof *guest);
    guests->items[guests->count++] = *guest;
    return 0;
}

/* Its control group does not exist yet. */
static bool is_about_to_run(const struct look *look, const struct guest *guest)
{
    int64_t age_ms = look->now_ms - guest->changed_at_ms;
    return guest->state == GUEST_STARTING && age_ms >= 0 && age_ms < GRACE_MS;
}

static bool is_absent(const struct look *look, const struct guest *guest)
{
    return !is_about_to_run(look, guest) &&
           presence_running(look->config->paths.cgroup, guest->kind, guest->vmid) == PRESENCE_NO;
}

static int64_t absent_since(const struct sweep *sweep, uint32_t vmid, int64_t otherwise_us)
{
    for (size_t i = 0; i < sweep->absence_count; i++) {
        if (sweep->absences[i].vmid == vmid)
            return sweep->absences[i].since_us;
    }
    return otherwise_us;
}

/* Forgets those that run again or are no more. */
static void note_absences(struct sweep *sweep, const struct look *look, const struct guests *guests)
{
    struct sweep noted = {mem_new_array(guests->count, sizeof *noted.absences), 0};
    for (size_t i = 0; i < guests->count; i++) {
        uint32_t vmid = guests->items[i].vmid;
        if (is_absent(look, &guests->items[i]))
            noted.absences[noted.absence_count++] =
                (struct absence){vmid, absent_since(sweep, vmid, look->now_us)};
    }
    sweep_clear(sweep);
    *sweep = noted;
}

static bool is_gone(const struct look *look, uint32_t vmid)
{
    return presence_configured(look->config->paths.pve, vmid) == PRESENCE_NO;
}

/* Why the guest's tokens should be good no more; NULL: they should. */
static const char *find_reason(const struct sweep *sweep, const struct look *look,
                               const struct guest *guest)
{
    if (is_gone(look, guest->vmid))
        return "its configuration is gone from this node";
    if (look->now_us - absent_since(sweep, guest->vmid, look->now_us) < GRACE_US)
        return NULL;
    return is_absent(look, guest) ? "it has not been running for a minute" : NULL;
}

static int record(const struct look *look, uint32_t vmid, const char *reason, int count,
                  struct error *error)
{
    cleanup_free char *detail =
        mem_format("%d token%s revoked: %s", count, count == 1 ? "" : "s", reason);
    const struct event event = {
        .at_ms = look->now_ms,
        .vmid = vmid,
        .kind = "revoke",
        .outcome = "ok",
        .detail = detail,
        .duration_us = -1,
    };
    log_guest(LOG_NOTICE, vmid, event.kind, "guest %u: %s", vmid, detail);
    return event_add(look->store, &event, error);
}

/* Looks again inside the transaction: a start that has just minted a token must not lose it. */
static int revoke_tokens(const struct sweep *sweep, const struct look *look, uint32_t vmid,
                         struct error *error)
{
    struct guest guest;
    int count;
    if (guest_find(look->store, vmid, &guest, error) < 0)
        return -1;
    const char *reason = find_reason(sweep, look, &guest);
    if (!reason)
        return 0;
    if (token_revoke_before(look->store, vmid, INT64_MAX, look->now_ms, reason, &count, error) <
            0 ||
        credential_doom(look->store, vmid, look->now_ms, error) < 0 ||
        guest_set_state(look->store, vmid, GUEST_STOPPED, look->now_ms, error) < 0)
        return -1;
    return count > 0 ? record(look, vmid, reason, count, error) : 0;
}

/* Looks again, too: nothing of the guest that comes next is to be forgotten. */
static int forget_past(const struct sweep *sweep, const struct look *look, uint32_t vmid,
                       struct error *error)
{
    (void)sweep;
    return is_gone(look, vmid) ? guest_forget_past(look->store, vmid, error) : 0;
}

typedef int change(const struct sweep *sweep, const struct look *look, uint32_t vmid,
                   struct error *error);

static int make_at_once(change *make, const struct sweep *sweep, const struct look *look,
                        uint32_t vmid, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(look->store, &transaction, error) < 0 ||
        make(sweep, look, vmid, error) < 0 || transaction_commit(&transaction, error) < 0)
        return -1;
    nudge_send(look->config->paths.state);
    return 0;
}

static int sweep_tokens(const struct sweep *sweep, const struct look *look,
                        const struct guest *guest, struct error *error)
{
    int good = 0;
    if (!find_reason(sweep, look, guest))
        return 0;
    if (token_count_before(look->store, guest->vmid, INT64_MAX, look->now_ms, &good, error) < 0)
        return -1;
    return good > 0 ? make_at_once(revoke_tokens, sweep, look, guest->vmid, error) : 0;
}

/* The next guest with the VMID must not see this one's events. */
static int sweep_past(const struct sweep *sweep, const struct look *look, const struct guest *guest,
                      struct error *error)
{
    bool has_past = false;
    if (!is_gone(look, guest->vmid))
        return 0;
    if (guest_has_past(look->store, guest->vmid, &has_past, error) < 0)
        return -1;
    return has_past ? make_at_once(forget_past, sweep, look, guest->vmid, error) : 0;
}

int sweep_run(struct sweep *sweep, const struct config *config, struct store *store, int64_t now_us,
              int64_t now_ms, struct error *error)
{
    const struct look look = {config, store, now_us, now_ms};
    cleanup(free_guests) struct guests guests = {0};
    if (guest_each(store, keep_guest, &guests, error) < 0)
        return -1;
    note_absences(sweep, &look, &guests);
    for (size_t i = 0; i < guests.count; i++) {
        const struct guest *guest = &guests.items[i];
        if (sweep_tokens(sweep, &look, guest, error) < 0 ||
            sweep_past(sweep, &look, guest, error) < 0)
            return -1;
    }
    return 0;
}
