/* SPDX-License-Identifier: Apache-2.0 */
/* pre-stop and post-stop: the guest is asked to stop, and keeps its token until it has; then it is
 * gone, and so is what it knew. */
#include <stdio.h>

#include "hooks/reaction.h"
#include "schema/base/cleanup.h"
#include "store/base/clock.h"
#include "store/files/guest_directory.h"
#include "store/tables/credential.h"
#include "store/tables/guest.h"

int react_pre_stop(struct reaction *reaction, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (reaction_open_store(reaction, error) < 0 ||
        reaction_begin(reaction, &transaction, error) < 0 ||
        guest_set_state(reaction->store, reaction->vmid, GUEST_STOPPING, clock_wall_ms(), error) <
            0 ||
        reaction_phase_event(reaction, error) < 0)
        return -1;
    return reaction_commit(reaction, &transaction, error);
}

static int revoke_tokens(struct reaction *reaction, int64_t now_ms, struct error *error)
{
    int count = 0;
    char detail[64];
    if (credential_revoke_all(reaction->store, reaction->vmid, now_ms, "the guest stopped", &count,
                              error) < 0)
        return -1;
    (void)snprintf(detail, sizeof detail, "%d: the guest stopped", count);
    return count == 0 ? 0 : reaction_event(reaction, "revoke", "ok", detail, error);
}

static int record_stop(struct reaction *reaction, struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    struct guest guest;
    cleanup_transaction struct transaction transaction = {0};
    if (reaction_begin(reaction, &transaction, error) < 0 ||
        guest_find(reaction->store, reaction->vmid, &guest, error) < 0 ||
        revoke_tokens(reaction, now_ms, error) < 0 ||
        guest_set_state(reaction->store, reaction->vmid, GUEST_STOPPED, now_ms, error) < 0 ||
        reaction_phase_event(reaction, error) < 0)
        return -1;
    return reaction_commit(reaction, &transaction, error);
}

/* The files go first: a file must never outlive the token in it. Mounts are left alone: this phase
 * runs in the LXC monitor's private mount namespace. */
int react_post_stop(struct reaction *reaction, struct error *error)
{
    cleanup_close int lock = -1;
    if (guest_directory_lock(reaction->config, reaction->vmid, &lock, error) < 0 ||
        guest_directory_scrub(reaction->config->paths.guests, reaction->vmid, error) < 0 ||
        reaction_open_store(reaction, error) < 0)
        return -1;
    return record_stop(reaction, error);
}
