/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate stands before the TLS handshake: from address and MAC alone it decides whether a
 * connection is worth a thread. It also counts requests and failed authentications, for the limits
 * of each source.
 *
 * A source is a MAC if the peer is on the link, else an address, so that a guest with many
 * addresses is still one source. All tables have a fixed size, whatever clients do. Every function
 * may be called from any thread. The gate has one lock, which is never held while the kernel or the
 * store is asked; a connection is judged by the rules that were in force when it came.
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

/* What the gate calls, from any thread, without holding its lock. */
struct gate_callbacks {
    /* 1 if an enrolled guest owns this hardware address, 0 if none does, -1 on failure: the peer is
     * then treated as unresolvable. */
    int (*is_enrolled)(const struct hwaddr *hwaddr, void *context);
    /* Reports refusals, at most once a minute for each source and reason. count: how many refusals
     * this call stands for. */
    void (*refused)(const struct peer *peer, enum refusal_reason refusal, uint32_t count,
                    void *context);
    void *context;
};

/* allow is copied. Ends with gate_free, after the last connection. */
struct gate *gate_new(const struct config *config, const struct cidr *allow, size_t allow_count,
                      const struct gate_callbacks *callbacks);
void gate_free(struct gate *gate);

/* Puts new limits and networks in force for the connections to come; open ones stay. */
void gate_reconfigure(struct gate *gate, const struct config *config, const struct cidr *allow,
                      size_t allow_count);

/* Judges a connected socket. REFUSAL_NONE: it is admitted, *ret is filled in and the caller owes
 * one gate_leave. Otherwise one of the gate's reasons, and *ret is left alone. */
enum refusal_reason gate_enter(struct gate *gate, int socket, struct peer *ret);
void gate_leave(struct gate *gate, const struct peer *peer);

/*
 * felhomd asks itself now and then whether it still answers (server/systemd/watchdog.h), from an
 * address that the allow list, source binding and limits need not let in. So the gate can expect
 * one connection: the next one from exactly this address and port is admitted whatever the rules
 * say, counts for nobody's limits, and uses the expectation up.
 *
 * Nobody else gets in that way. The probe holds the port from before gate_expect until after
 * gate_expect_nobody, so that the kernel gives it to no other process of the host. The address is
 * one of the host's own: the kernel drops what comes from outside with such a source, and answers
 * to it would go to the probe's own socket, so that no guest ever finishes TCP's handshake as the
 * probe. And coming through the gate grants nothing yet: every path that tells of a guest wants a
 * token.
 */
void gate_expect(struct gate *gate, const struct sockaddr_in *probe);
void gate_expect_nobody(struct gate *gate);

/* A connection goes on without a thread: from now on it counts for its source's limit alone, and
 * ends with gate_leave_detached instead of gate_leave. */
void gate_detach(struct gate *gate);
void gate_leave_detached(struct gate *gate, const struct peer *peer);

/* How many admitted connections have a thread. */
uint32_t gate_connections(const struct gate *gate);

/* Counts a request of the source. Returns 0, or after how many seconds (1..60) the source may try
 * again (HTTP 429). */
uint32_t gate_count_request(struct gate *gate, const struct peer *peer);

/* Counts a failed authentication of the source. */
void gate_count_failure(struct gate *gate, const struct peer *peer);

/* Returns 0, or for how many seconds (1..60) the source's authentications are refused because too
 * many have failed. */
uint32_t gate_locked_out(struct gate *gate, const struct peer *peer);

#endif
