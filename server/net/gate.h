/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate decides before the TLS handshake, by where it comes from alone, whether a connection is
 * admitted. It also counts requests and failed authentications, to enforce the limits of each
 * source.
 *
 * A source is a guest if the peer is one, else a MAC on the link, else an address, so that a guest
 * with many addresses is still one source. All tables have a fixed size, whatever clients do. Every
 * function may be called from any thread. The gate has one lock, which is never held while the
 * kernel or the store is queried; a connection is checked by the rules that were in force when it
 * was accepted.
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

/* The gate calls these from any thread, without holding its lock. */
struct gate_callbacks {
    /* Fills in who the peer of this connected socket is (server/net/origin.h). Returns why the
     * connection is to be closed; REFUSAL_NONE if it is not. Not called with source_binding: off.
     */
    enum refusal_reason (*identify)(int socket, struct peer *peer, void *context);
    /* Reports refusals, at most once a minute for each source and reason. count: how many refusals
     * this call stands for. */
    void (*refused)(const struct peer *peer, enum refusal_reason refusal, uint32_t count,
                    void *context);
    void *context;
};

/* allow: the networks from which connections are admitted; copied. The caller ends the gate with
 * gate_free, after the last connection. gate_free(NULL) does nothing. */
struct gate *gate_new(const struct config *config, const struct cidr *allow, size_t allow_count,
                      const struct gate_callbacks *callbacks);
void gate_free(struct gate *gate);

/* Puts new limits and networks in force for new connections; open ones stay. */
void gate_reconfigure(struct gate *gate, const struct config *config, const struct cidr *allow,
                      size_t allow_count);

/* Checks a connected socket. If it is admitted, returns REFUSAL_NONE and fills in *ret, and the
 * caller must call gate_leave once. Otherwise returns the reason and leaves *ret alone. */
enum refusal_reason gate_enter(struct gate *gate, int socket, struct peer *ret);
void gate_leave(struct gate *gate, const struct peer *peer);

/* Does the same as gate_leave for a connection that turns out to be another peer's, and reports
 * that under its address alone. */
void gate_refuse(struct gate *gate, const struct peer *peer, enum refusal_reason refusal);

/*
 * felhomd's self-test (server/systemd/watchdog.h) connects from an address that the allow list,
 * source binding and limits need not admit. So the gate can expect one connection: it admits the
 * next one from exactly this address and port whatever the rules say, counts it for no source's
 * limits, and then expects none any more.
 *
 * No other client can use this. The probe holds the port from before gate_expect until after
 * gate_expect_nobody, so the kernel gives it to no other process of the host. The address is one of
 * the host's own: the kernel drops packets from outside that have such a source address, and
 * answers to it would go to the probe's own socket, so no guest can complete TCP's handshake as the
 * probe. And passing the gate grants nothing yet: every path that returns data of a guest requires
 * a token.
 */
void gate_expect(struct gate *gate, const struct sockaddr_in *probe);
void gate_expect_nobody(struct gate *gate);

/* The caller keeps a connection open without a thread: from now on it counts only for its source's
 * limit, and ends with gate_leave_detached instead of gate_leave. */
void gate_detach(struct gate *gate);
void gate_leave_detached(struct gate *gate, const struct peer *peer);

/* Returns how many admitted connections have a thread. */
uint32_t gate_connections(const struct gate *gate);

/* Counts a request of the source. Returns 0 if it is within the limit, else after how many seconds
 * (1..60) the source may try again (HTTP 429). */
uint32_t gate_count_request(struct gate *gate, const struct peer *peer);

/* Counts a failed authentication of the source. */
void gate_count_failure(struct gate *gate, const struct peer *peer);

/* Returns 0, or for how many more seconds (1..60) the source's authentications are refused because
 * too many have failed. */
uint32_t gate_locked_out(struct gate *gate, const struct peer *peer);

#endif
