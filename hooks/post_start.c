/* SPDX-License-Identifier: Apache-2.0 */
/* post-start: the guest runs; does it see its directory? */
#include <string.h>

#include "hooks/reaction.h"
#include "store/base/clock.h"
#include "store/files/guest_mount.h"
#include "store/tables/guest.h"

static void check_sighting(struct reaction *reaction, const struct guest *guest)
{
    if (*guest->mount_form == '\0')
        return;
    if (guest_mount_visibility(reaction->config, reaction->vmid) == VISIBILITY_MISSING)
        report_problem(reaction->report,
                       "the running guest does not see its directory at %s (mount form %s); "
                       "felhomctl guest %u shows more",
                       reaction->config->bootstrap.guest_path, guest->mount_form, reaction->vmid);
}

int react_post_start(struct reaction *reaction, struct error *error)
{
    struct guest guest;
    cleanup_transaction struct transaction transaction = {0};
    if (reaction_open_store(reaction, error) < 0 ||
        guest_find(reaction->store, reaction->vmid, &guest, error) < 0)
        return -1;
    check_sighting(reaction, &guest);
    if (transaction_begin(reaction->store, &transaction, error) < 0 ||
        guest_set_state(reaction->store, reaction->vmid, GUEST_RUNNING, clock_wall_ms(), error) <
            0 ||
        reaction_phase_event(reaction, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}
