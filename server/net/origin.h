/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose connection this is. A guest that has a port on this host is who comes through that port,
 * and nobody else is; the Ethernet address decides only about guests without a port here (SR-IOV),
 * and never against the port.
 */
#ifndef FELHOM_ORIGIN_H
#define FELHOM_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "server/base/counters.h"
#include "server/base/store_pool.h"
#include "server/net/arrival.h"
#include "server/net/peer.h"

/*
 * Fills in identity, vmid and hwaddr of *peer, whose address is set, by how it came in and what the
 * store knows of the guests. Returns why the connection is to be closed; REFUSAL_NONE if it is
 * not; if that is for a hardware address that is not the peer's own, has_hwaddr is false then, so
 * that nothing is counted or written in the name of whose it is. If the store or the kernel fails,
 * the identity is PEER_UNKNOWN, *error says why, and the connection is kept, to be told so.
 */
enum refusal_reason origin_check(struct store_pool *stores, const struct config *config,
                                 const struct arrival *arrival, struct peer *peer,
                                 struct error *error);

/* Sets *ret to whether the guest has a port on this host now. */
int origin_has_port(struct store *store, uint32_t vmid, bool *ret, struct error *error);

#endif
