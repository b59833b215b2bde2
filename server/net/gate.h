/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate stands before the TLS handshake: it decides from address and MAC alone whether a
 * connection is worth a thread. A source is a MAC where the peer is on the link, else an address,
 * so that a guest with many addresses is still one source. All tables have a fixed size, whatever
 * clients do. Safe to use from many threads.
 */
#ifndef FELHOM_GATE_H
#define FELHOM_GATE_H

#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/address.h"
#include "schema/base/error.h"
#include "server/base/counters.h"
#include "server/net/peer.h"

struct gate;

/* What the gate asks and tells; called without the gate's locks held, from any thread. */
struct gate_callbacks {
    /* Whether some enrolled guest owns this hardware address. -1 on failure: the peer is then
     * treated as unresolvable. */
    int (*is_enrolled)(const struct hwaddr *hwaddr, void *context);
    /* Called for refusals, at most once a minute for each source and reason. count: how many it
     * stands for. */
    void (*refused)(const struct peer *peer, enum refusal_reason refusal, uint32_t count,
                    void *context);
    void *context;
};

/* allow is copied. Ends with gate_free, after the last connection. */
struct gate *gate_new(const struct config *config, const struct cidr *allow, size_t allow_count,
                      const struct gate_callbacks *callbacks);
void gate_free(struct gate *gate);

/* Puts new limits and networks in force; what is connected stays connected. */
void gate_reconfigure(struct gate *gate, const struct config *config, const struct cidr *allow,
                      size_t allow_count);

/* Judges the connected socket: REFUSAL_NONE, or one of the gate's reasons. When admitted, *ret is
 * filled and the caller owes one gate_leave. */
enum refusal_reason gate_enter(struct gate *gate, int socket, struct peer *ret);
void gate_leave(struct gate *gate, const struct peer *peer);

/*
 * The daemon asks itself now and then whether it can still answer (self_probe.h), from an address
 * that allow lists, source binding and limits need not let in. So the gate can expect one
 * connection: the next one from exactly this address and port is admitted whatever the rules say,
 * counts for nobody's limits, and uses the expectation up.
 *
 * This is no way in for anybody else. The probe holds the port from before gate_expect until after
 * gate_expect_nobody, so that the kernel gives it to no other process of the host. The address is
 * one of the host's own: what comes from outside with such a source is dropped by the kernel, and
 * what answers it would go to the probe's own socket, so that no guest ever finishes TCP's
 * handshake as the probe. And who comes through the gate is not yet trusted with anything: every
 * path that tells of a guest wants a token.
 */
void gate_expect(struct gate *gate, const struct sockaddr_in *probe);
void gate_expect_nobody(struct gate *gate);

/* From here on the connection waits without a thread: it counts for its source alone, and ends with
 * gate_leave_parked. */
void gate_park(struct gate *gate);
void gate_leave_parked(struct gate *gate, const struct peer *peer);

/* Connections inside now that are not parked. */
uint32_t gate_connections(const struct gate *gate);

/* Counts a request of the source: 0, or after how many seconds (1..60) it may try again (HTTP 429).
 */
uint32_t gate_count_request(struct gate *gate, const struct peer *peer);

/* Counts a failed authentication. */
void gate_count_failure(struct gate *gate, const struct peer *peer);

/* 0, or for how many seconds (1..60) the source's authentications are refused because too many have
 * failed. */
uint32_t gate_locked_out(struct gate *gate, const struct peer *peer);

#endif
