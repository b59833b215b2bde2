/* SPDX-License-Identifier: Apache-2.0 */
#include "server/binding.h"

#include <stdio.h>

#include "schema/cleanup.h"
#include "server/agent.h"
#include "server/request.h"
#include "server/route.h"
#include "store/guest.h"

static void refuse(const struct request *request, const char *reason, const char *relation,
                   uint32_t other, struct reply *reply, struct refusal *refusal)
{
    reply_error(reply, 403, NULL);
    refusal->reason = reason;
    refusal->vmid = request->vmid;
    (void)snprintf(refusal->detail, sizeof refusal->detail, "%s of guest %u %s guest %u",
                   request->token_id, request->vmid, relation, other);
}

bool binding_of_path(const struct destination *destination, const struct request *request,
                     struct reply *reply, struct refusal *refusal)
{
    if (!destination->has_vmid || destination->vmid == request->vmid)
        return true;
    refuse(request, "path of another guest", "asked about", destination->vmid, reply, refusal);
    return false;
}

static bool find_owner(struct agent *agent, const struct request *request, uint32_t *ret,
                       struct reply *reply)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(agent->stores, &loan, &error) == 0 &&
        nic_find_guest(loan.store, &request->peer->hwaddr, request->vmid, ret, &error) == 0)
        return true;
    agent_fail(agent, &loan, &error, reply);
    return false;
}

bool binding_of_source(struct agent *agent, const struct request *request, struct reply *reply,
                       struct refusal *refusal)
{
    uint32_t owner;
    if (request->setup->config.local_api.source_binding == BINDING_OFF ||
        !request->peer->has_hwaddr)
        return true;
    if (!find_owner(agent, request, &owner, reply))
        return false;
    if (owner == 0 || owner == request->vmid)
        return true;
    refuse(request, "token of another guest", "came from", owner, reply, refusal);
    return false;
}
