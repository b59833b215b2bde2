/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/gate.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/net/peer.h"
#include "server/net/source_table.h"
#include "store/base/clock.h"

/* 256 sets hold 4096 sources. Refused sources have a smaller table of their own, so that they
 * cannot evict guests. */
#define ADMITTED_SETS 256
#define REFUSED_SETS  64

/* The refused callback is called no more often than this in a minute for guests, and for all
 * others, even if an attacker uses many addresses. */
#define REPORTS_PER_MINUTE 60

/* peer.source of the probe, whose row is gate.probe and in no table. */
#define PROBE_ROW UINT32_MAX

/* The rules that a connection is checked by. A struct rules never changes: gate_reconfigure
 * replaces it, and a thread that is checking a connection goes on with the one it holds. */
struct rules {
    uint32_t holders; /* guarded by the gate's lock */
    enum source_binding binding;
    uint32_t connections;
    struct bucket_rate requests;
    struct bucket_rate failures;
    struct cidr *allow;
    size_t allow_count;
};

struct gate {
    struct gate_callbacks callbacks;
    atomic_uint connections;
    pthread_mutex_t lock; /* guards all members below */
    struct rules *rules;  /* in force; held */
    struct source_table *admitted;
    struct source_table *refused;
    struct bucket guest_reports;
    struct bucket other_reports;
    struct sockaddr_in expected; /* the probe's address; port 0: no probe is expected */
    struct source probe;
};

_Static_assert(REFUSAL_CONNECTIONS_TOO_OFTEN < SOURCE_REFUSALS,
               "a source's row has a place for each refusal");

/* The caller holds the result and ends the hold with rules_drop. */
static struct rules *rules_new(const struct config *config, const struct cidr *allow,
                               size_t allow_count)
{
    uint32_t requests = config->limits.requests_per_source;
    uint32_t failures = config->limits.failures_per_source;
    struct rules *rules = mem_new(struct rules);
    *rules = (struct rules){
        .holders = 1,
        .binding = config->local_api.source_binding,
        .connections = config->limits.connections_per_source,
        .requests = bucket_rate(requests, SECOND_US, 2 * (int64_t)requests),
        .failures = bucket_rate(failures, MINUTE_US, failures),
        .allow = mem_new_array(allow_count, sizeof(*allow)),
        .allow_count = allow_count,
    };
    if (allow_count > 0)
        memcpy(rules->allow, allow, allow_count * sizeof(*allow));
    return rules;
}

/* Call both with the gate's lock held. The last rules_drop frees the rules. */
static struct rules *rules_hold(struct rules *rules)
{
    rules->holders++;
    return rules;
}

static void rules_drop(struct rules *rules)
{
    if (--rules->holders > 0)
        return;
    free(rules->allow);
    free(rules);
}

struct gate *gate_new(const struct config *config, const struct cidr *allow, size_t allow_count,
                      const struct gate_callbacks *callbacks)
{
    struct gate *gate = mem_new(struct gate);
    gate->callbacks = *callbacks;
    (void)pthread_mutex_init(&gate->lock, NULL);
    gate->rules = rules_new(config, allow, allow_count);
    gate->admitted = source_table_new(ADMITTED_SETS);
    gate->refused = source_table_new(REFUSED_SETS);
    return gate;
}

void gate_free(struct gate *gate)
{
    if (!gate)
        return;
    source_table_free(gate->admitted);
    source_table_free(gate->refused);
    rules_drop(gate->rules);
    (void)pthread_mutex_destroy(&gate->lock);
    free(gate);
}

void gate_reconfigure(struct gate *gate, const struct config *config, const struct cidr *allow,
                      size_t allow_count)
{
    struct rules *rules = rules_new(config, allow, allow_count);
    (void)pthread_mutex_lock(&gate->lock);
    rules_drop(gate->rules);
    gate->rules = rules;
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_expect(struct gate *gate, const struct sockaddr_in *probe)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->expected = *probe;
    gate->probe.requests = (struct bucket){0};
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_expect_nobody(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->expected = (struct sockaddr_in){0};
    (void)pthread_mutex_unlock(&gate->lock);
}

static bool is_expected(const struct gate *gate, const struct peer *peer)
{
    return gate->expected.sin_port != 0 && gate->expected.sin_port == peer->address.sin_port &&
           gate->expected.sin_addr.s_addr == peer->address.sin_addr.s_addr;
}

/* Returns true if the peer is the expected probe; no second connection is then expected. Call with
 * the gate's lock held. */
static bool take_probe(struct gate *gate, struct peer *peer)
{
    if (!is_expected(gate, peer))
        return false;
    gate->expected = (struct sockaddr_in){0};
    gate->probe.connections++;
    peer->source = PROBE_ROW;
    peer->identity = PEER_HOST;
    return true;
}

static struct source *source_of(struct gate *gate, const struct peer *peer)
{
    return peer->source == PROBE_ROW ? &gate->probe : source_table_at(gate->admitted, peer->source);
}

static int find_peer(int socket, struct peer *ret)
{
    socklen_t length = sizeof(ret->address);
    *ret = (struct peer){.address_text = ""};
    if (getpeername(socket, (struct sockaddr *)&ret->address, &length) < 0 ||
        ret->address.sin_family != AF_INET)
        return -1;
    (void)inet_ntop(AF_INET, &ret->address.sin_addr, ret->address_text, sizeof(ret->address_text));
    return 0;
}

static bool is_allowed(const struct rules *rules, const struct peer *peer)
{
    for (size_t i = 0; i < rules->allow_count; i++) {
        if (cidr_contains(&rules->allow[i], (const struct sockaddr *)&peer->address))
            return true;
    }
    return false;
}

/* A handshake costs as much as many requests, so a source at its limits is refused before the
 * handshake. Call with the gate's lock held. */
static enum refusal_reason check_source(const struct rules *rules, struct source *source,
                                        int64_t now_us)
{
    if (!source || source->connections >= rules->connections)
        return REFUSAL_TOO_MANY_CONNECTIONS;
    if (bucket_take(&source->arrivals, &rules->requests, now_us) > 0)
        return REFUSAL_CONNECTIONS_TOO_OFTEN;
    return REFUSAL_NONE;
}

/* Checks the source's limits and, if they allow it, counts the connection in the source's row. Call
 * with the gate's lock held. */
static enum refusal_reason count_connection(struct gate *gate, const struct rules *rules,
                                            struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    struct source *source = source_table_claim(gate->admitted, source_key(peer), now_us);
    enum refusal_reason refusal = check_source(rules, source, now_us);
    if (refusal == REFUSAL_NONE) {
        source->connections++;
        peer->source = source_table_index(gate->admitted, source);
    }
    return refusal;
}

/* Uses one struct rules throughout: a gate_reconfigure during the lookup of the hardware address
 * applies to the next connection. */
static enum refusal_reason gate_check(struct gate *gate, int socket, struct peer *peer)
{
    (void)pthread_mutex_lock(&gate->lock);
    bool is_probe = take_probe(gate, peer);
    struct rules *rules = is_probe ? NULL : rules_hold(gate->rules);
    (void)pthread_mutex_unlock(&gate->lock);
    if (!rules)
        return REFUSAL_NONE;

    enum refusal_reason refusal = is_allowed(rules, peer) ? REFUSAL_NONE : REFUSAL_NOT_ALLOWED;
    /* No lock is held: this asks the kernel and the store. */
    peer->identity = rules->binding == BINDING_OFF ? PEER_UNBOUND : PEER_UNKNOWN;
    if (refusal == REFUSAL_NONE && rules->binding != BINDING_OFF)
        refusal = gate->callbacks.identify(socket, peer, gate->callbacks.context);

    (void)pthread_mutex_lock(&gate->lock);
    if (refusal == REFUSAL_NONE)
        refusal = count_connection(gate, rules, peer);
    rules_drop(rules);
    (void)pthread_mutex_unlock(&gate->lock);
    return refusal;
}

/* Returns how many refusals to report now, including this one; 0 while rate-limited. Call with the
 * gate's lock held. */
static uint32_t take_unreported(struct bucket *reports, struct source_refusal *refusal,
                                int64_t now_us)
{
    const struct bucket_rate rate = bucket_rate(REPORTS_PER_MINUTE, MINUTE_US, REPORTS_PER_MINUTE);
    refusal->unreported++;
    if (refusal->reported_us > 0 && now_us - refusal->reported_us < MINUTE_US)
        return 0;
    if (bucket_take(reports, &rate, now_us) > 0)
        return 0;
    uint32_t count = refusal->unreported;
    *refusal = (struct source_refusal){.reported_us = now_us};
    return count;
}

static void report_refusal(struct gate *gate, const struct peer *peer, enum refusal_reason refusal)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    struct source *source = source_table_claim(gate->refused, source_key(peer), now_us);
    struct bucket *reports = peer->vmid != 0 ? &gate->guest_reports : &gate->other_reports;
    uint32_t count = source ? take_unreported(reports, &source->refusals[refusal], now_us) : 0;
    (void)pthread_mutex_unlock(&gate->lock);
    if (count > 0)
        gate->callbacks.refused(peer, refusal, count, gate->callbacks.context);
}

enum refusal_reason gate_enter(struct gate *gate, int socket, struct peer *ret)
{
    struct peer peer;
    /* A peer that has disconnected already has no address to report. */
    if (find_peer(socket, &peer) < 0)
        return REFUSAL_GONE;
    enum refusal_reason refusal = gate_check(gate, socket, &peer);
    if (refusal != REFUSAL_NONE) {
        report_refusal(gate, &peer, refusal);
        return refusal;
    }
    atomic_fetch_add(&gate->connections, 1);
    *ret = peer;
    return REFUSAL_NONE;
}

void gate_detach(struct gate *gate)
{
    atomic_fetch_sub(&gate->connections, 1);
}

void gate_leave_detached(struct gate *gate, const struct peer *peer)
{
    (void)pthread_mutex_lock(&gate->lock);
    source_of(gate, peer)->connections--;
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_leave(struct gate *gate, const struct peer *peer)
{
    gate_leave_detached(gate, peer);
    atomic_fetch_sub(&gate->connections, 1);
}

void gate_refuse(struct gate *gate, const struct peer *peer, enum refusal_reason refusal)
{
    struct peer unknown = *peer;
    unknown.vmid = 0;
    unknown.identity = PEER_UNKNOWN;
    unknown.has_hwaddr = false;
    gate_leave(gate, peer);
    report_refusal(gate, &unknown, refusal);
}

uint32_t gate_connections(const struct gate *gate)
{
    return atomic_load(&gate->connections);
}

/* Returns whole seconds for Retry-After, rounded up: at most 60, as every bucket is full again
 * after a minute. */
static uint32_t retry_after_s(int64_t wait_us)
{
    return (uint32_t)((wait_us + SECOND_US - 1) / SECOND_US);
}

uint32_t gate_count_request(struct gate *gate, const struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    struct source *source = source_of(gate, peer);
    int64_t wait_us = bucket_take(&source->requests, &gate->rules->requests, now_us);
    (void)pthread_mutex_unlock(&gate->lock);
    return retry_after_s(wait_us);
}

void gate_count_failure(struct gate *gate, const struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    struct source *source = source_of(gate, peer);
    (void)bucket_take(&source->failures, &gate->rules->failures, now_us);
    (void)pthread_mutex_unlock(&gate->lock);
}

uint32_t gate_locked_out(struct gate *gate, const struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    const struct source *source = source_of(gate, peer);
    int64_t wait_us = bucket_wait(&source->failures, &gate->rules->failures, now_us);
    (void)pthread_mutex_unlock(&gate->lock);
    return retry_after_s(wait_us);
}
