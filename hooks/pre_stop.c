/* SPDX-License-Identifier: Apache-2.0 */
/* pre-stop: the guest is asked to stop; it keeps its token until it has. */
#include "hooks/reaction.h"
#include "store/base/clock.h"
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
