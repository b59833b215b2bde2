/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/binding.h"

#include <stdio.h>

#include "server/agent.h"
#include "server/api/route.h"
#include "server/http/request.h"
#include "store/tables/guest.h"

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

bool binding_of_source(struct agent *agent, const struct request *request, struct reply *reply,
                       struct refusal *refusal)
{
    struct error error;
    uint32_t owner;
    if (request->setup->config.local_api.source_binding == BINDING_OFF ||
        !request->peer->has_hwaddr)
        return true;
    if (nic_find_guest(request->view->store, &request->peer->hwaddr, request->vmid, &owner,
                       &error) < 0) {
        agent_fail(agent, request->view, &error, reply);
        return false;
    }
    if (owner == 0 || owner == request->vmid)
        return true;
    refuse(request, "token of another guest", "came from", owner, reply, refusal);
    return false;
}
