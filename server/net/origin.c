/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/origin.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/vmid.h"
#include "store/tables/guest.h"

/* --- ports --- */

/* A NIC of a container and of a virtual machine has a device of this name while the guest runs
 * (PVE::LXC, PVE::QemuServer). */
static int nic_has_port(uint32_t vmid, const char *number, bool *ret, struct error *error)
{
    static const char *const kinds[] = {"veth", "tap"};
    *ret = false;
    for (size_t i = 0; i < ARRAY_SIZE(kinds) && !*ret; i++) {
        cleanup_free char *name = mem_format("%s%ui%s", kinds[i], vmid, number);
        *ret = if_nametoindex(name) > 0;
        if (!*ret && errno != ENODEV)
            return fail_errno(error, errno, "cannot see whether there is a device %s", name);
    }
    return 0;
}

struct port_search {
    uint32_t vmid;
    bool found;
    struct error *error;
};

/* Visits no more once a port is found, or cannot be looked for. */
static int port_visit(const struct nic_row *nic, void *data)
{
    struct port_search *search = data;
    const char *number = nic->key + strcspn(nic->key, DIGITS);
    if (nic_has_port(search->vmid, number, &search->found, search->error) < 0)
        return -1;
    return search->found;
}

int origin_has_port(struct store *store, uint32_t vmid, bool *ret, struct error *error)
{
    struct port_search search = {.vmid = vmid, .error = error};
    if (nic_each(store, vmid, port_visit, &search, error) < 0)
        return -1;
    *ret = search.found;
    return 0;
}

/* --- whose --- */

struct query {
    struct store *store;
    const struct config *config;
    const struct arrival *arrival;
    struct peer *peer;
    struct error *error;
};

static enum refusal_reason origin_found(struct query *query, enum peer_identity identity,
                                        uint32_t vmid)
{
    query->peer->identity = identity;
    query->peer->vmid = vmid;
    return REFUSAL_NONE;
}

static enum refusal_reason origin_failed(struct query *query)
{
    return origin_found(query, PEER_UNKNOWN, query->peer->vmid);
}

/* Only ports prove who somebody is; whoever came through none is refused if that is required. */
static enum refusal_reason origin_without_port(struct query *query, enum peer_identity identity,
                                               uint32_t vmid)
{
    if (query->config->local_api.source_binding == BINDING_REQUIRE)
        return REFUSAL_UNRESOLVABLE;
    return origin_found(query, identity, vmid);
}

/* Sets *ret to whether the hardware address is that of another guest, which has a port of its own
 * here that it would have come through. */
static int is_stolen_hwaddr(struct query *query, uint32_t vmid, bool *ret)
{
    struct hwaddr_owners owners = {0};
    *ret = false;
    if (!query->peer->has_hwaddr)
        return 0;
    if (nic_find_owners(query->store, &query->peer->hwaddr, &owners, query->error) < 0)
        return -1;
    for (size_t i = 0; i < owners.count && !*ret; i++)
        if (owners.vmids[i] != vmid &&
            origin_has_port(query->store, owners.vmids[i], ret, query->error) < 0)
            return -1;
    return 0;
}

static enum refusal_reason origin_refuse_stolen(struct query *query)
{
    query->peer->has_hwaddr = false;
    return REFUSAL_FOREIGN_HWADDR;
}

/* What came through a guest's port is that guest, whatever its addresses are. */
static enum refusal_reason origin_by_port(struct query *query, uint32_t vmid)
{
    struct guest guest;
    bool is_stolen;
    query->peer->vmid = vmid;
    if (guest_find(query->store, vmid, &guest, query->error) < 0)
        return query->error->kind == ERROR_MISSING ? REFUSAL_STRANGER : origin_failed(query);
    if (is_stolen_hwaddr(query, vmid, &is_stolen) < 0)
        return origin_failed(query);
    if (is_stolen)
        return origin_refuse_stolen(query);
    if (vmids_has(&query->config->local_api.routers, vmid) &&
        query->config->local_api.source_binding == BINDING_AUTO)
        return origin_found(query, PEER_ROUTED, vmid);
    return origin_found(query, PEER_GUEST, vmid);
}

/* Nobody's hardware address is a router's, or a stranger's on the link. */
static enum refusal_reason origin_of_nobody(struct query *query)
{
    int routed = arrival_is_routed(query->arrival, query->peer->address.sin_addr, query->error);
    if (routed < 0)
        return origin_failed(query);
    return routed ? origin_without_port(query, PEER_ROUTED, 0) : REFUSAL_STRANGER;
}

static enum refusal_reason origin_by_hwaddr(struct query *query)
{
    struct hwaddr_owners owners;
    bool is_stolen = false;
    if (!query->peer->has_hwaddr)
        return origin_without_port(query, PEER_ROUTED, 0);
    if (nic_find_owners(query->store, &query->peer->hwaddr, &owners, query->error) < 0 ||
        (query->arrival->is_witnessed && is_stolen_hwaddr(query, 0, &is_stolen) < 0))
        return origin_failed(query);
    if (is_stolen)
        return origin_refuse_stolen(query);
    if (owners.count == 0)
        return origin_of_nobody(query);
    if (owners.count == 1)
        return origin_without_port(query, PEER_GUEST, owners.vmids[0]);
    return origin_without_port(query, PEER_AMBIGUOUS, 0);
}

static enum refusal_reason origin_query(struct query *query)
{
    switch (query->arrival->seen.path) {
    case WITNESS_GUEST:
        return origin_by_port(query, query->arrival->seen.vmid);
    case WITNESS_HOST:
        return origin_without_port(query, PEER_HOST, 0);
    case WITNESS_OUTSIDE:
        return origin_by_hwaddr(query);
    case WITNESS_CONFLICT:
    case WITNESS_NONE:
        break;
    }
    return REFUSAL_UNWITNESSED;
}

enum refusal_reason origin_check(struct store_pool *stores, const struct config *config,
                                 const struct arrival *arrival, struct peer *peer,
                                 struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    struct query query = {.config = config, .arrival = arrival, .peer = peer, .error = error};
    /* The loopback device's frames have an address of zeroes. */
    peer->has_hwaddr = arrival->seen.has_hwaddr && arrival->seen.path != WITNESS_HOST;
    peer->hwaddr = arrival->seen.hwaddr;
    if (store_borrow(stores, &loan, error) < 0)
        return origin_failed(&query);
    query.store = loan.store;
    enum refusal_reason refusal = origin_query(&query);
    if (refusal == REFUSAL_NONE && peer->identity == PEER_UNKNOWN)
        (void)store_loan_failed(&loan, error);
    return refusal;
}
