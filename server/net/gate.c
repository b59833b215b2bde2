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
#include "server/net/peer.h"
#include "server/net/source_table.h"
#include "store/base/clock.h"

#define SECOND_US ((int64_t)1000000)
#define MINUTE_US (60 * SECOND_US)

/* 4096 sources are remembered; strangers have a smaller table of their own, so that they can't push
 * guests out. */
#define ADMITTED_SETS 256
#define REFUSED_SETS  64

/* However many sources an attacker invents, the refused callback is called no more than this often
 * a minute. */
#define REPORTS_PER_MINUTE 60

/* A peer's source where it is the probe: a row outside the tables. */
#define PROBE_ROW UINT32_MAX

struct rules {
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
    pthread_mutex_t lock; /* of all that follows */
    struct rules rules;
    struct source_table *admitted;
    struct source_table *refused;
    struct bucket reports;
    struct sockaddr_in expected; /* the probe that may come; port 0: none */
    struct source probe;
};

_Static_assert(REFUSAL_CONNECTIONS_TOO_OFTEN < SOURCE_REFUSALS,
               "a source's row has a place for each refusal");

static struct rules rules_new(const struct config *config, const struct cidr *allow,
                              size_t allow_count)
{
    uint32_t requests = config->limits.requests_per_source;
    uint32_t failures = config->limits.failures_per_source;
    struct rules rules = {
        .binding = config->local_api.source_binding,
        .connections = config->limits.connections_per_source,
        .requests = bucket_rate(requests, SECOND_US, 2 * (int64_t)requests),
        .failures = bucket_rate(failures, MINUTE_US, failures),
        .allow = mem_new_array(allow_count, sizeof(*allow)),
        .allow_count = allow_count,
    };
    if (allow_count > 0)
        memcpy(rules.allow, allow, allow_count * sizeof(*allow));
    return rules;
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
    free(gate->rules.allow);
    (void)pthread_mutex_destroy(&gate->lock);
    free(gate);
}

void gate_reconfigure(struct gate *gate, const struct config *config, const struct cidr *allow,
                      size_t allow_count)
{
    struct rules rules = rules_new(config, allow, allow_count);
    (void)pthread_mutex_lock(&gate->lock);
    struct cidr *old = gate->rules.allow;
    gate->rules = rules;
    (void)pthread_mutex_unlock(&gate->lock);
    free(old);
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

/* Whether the peer is the probe, which can come but once. */
static bool take_probe(struct gate *gate, struct peer *peer)
{
    (void)pthread_mutex_lock(&gate->lock);
    bool expected = is_expected(gate, peer);
    if (expected) {
        gate->expected = (struct sockaddr_in){0};
        gate->probe.connections++;
        peer->source = PROBE_ROW;
    }
    (void)pthread_mutex_unlock(&gate->lock);
    return expected;
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

/* The verdict of the allow list, and the binding that is in force. */
static enum refusal_reason judge_address(struct gate *gate, const struct peer *peer,
                                         enum source_binding *ret_binding)
{
    (void)pthread_mutex_lock(&gate->lock);
    bool allowed = is_allowed(&gate->rules, peer);
    *ret_binding = gate->rules.binding;
    (void)pthread_mutex_unlock(&gate->lock);
    return allowed ? REFUSAL_NONE : REFUSAL_NOT_ALLOWED;
}

/* The verdict on the hardware address, which is looked up for it. */
static enum refusal_reason judge_link(struct gate *gate, struct peer *peer,
                                      enum source_binding binding)
{
    struct error ignored;
    int enrolled = -1;
    if (binding == BINDING_OFF)
        return REFUSAL_NONE;
    peer->has_hwaddr = peer_find_hwaddr(peer->address.sin_addr, &peer->hwaddr, &ignored) == 0;
    if (peer->has_hwaddr)
        enrolled = gate->callbacks.is_enrolled(&peer->hwaddr, gate->callbacks.context);
    if (enrolled < 0)
        return binding == BINDING_REQUIRE ? REFUSAL_UNRESOLVABLE : REFUSAL_NONE;
    return enrolled ? REFUSAL_NONE : REFUSAL_STRANGER;
}

/* A handshake costs as much as many requests: none is begun for a source that could not even ask
 * for something. */
static enum refusal_reason judge_source(const struct gate *gate, struct source *source,
                                        int64_t now_us)
{
    if (!source || source->connections >= gate->rules.connections)
        return REFUSAL_TOO_MANY_CONNECTIONS;
    if (bucket_take(&source->arrivals, &gate->rules.requests, now_us) > 0)
        return REFUSAL_CONNECTIONS_TOO_OFTEN;
    return REFUSAL_NONE;
}

/* Counts the connection in its source's row. */
static enum refusal_reason take_place(struct gate *gate, struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    struct source *source = source_table_claim(gate->admitted, source_key(peer), now_us);
    enum refusal_reason refusal = judge_source(gate, source, now_us);
    if (refusal == REFUSAL_NONE) {
        source->connections++;
        peer->source = source_table_index(gate->admitted, source);
    }
    (void)pthread_mutex_unlock(&gate->lock);
    return refusal;
}

/* Takes the refusals that may be told of now, this one included; 0 if it is not time yet. */
static uint32_t take_unreported(struct gate *gate, struct source_refusal *refusal, int64_t now_us)
{
    const struct bucket_rate rate = bucket_rate(REPORTS_PER_MINUTE, MINUTE_US, REPORTS_PER_MINUTE);
    refusal->unreported++;
    if (refusal->reported_us > 0 && now_us - refusal->reported_us < MINUTE_US)
        return 0;
    if (bucket_take(&gate->reports, &rate, now_us) > 0)
        return 0;
    uint32_t count = refusal->unreported;
    *refusal = (struct source_refusal){.reported_us = now_us};
    return count;
}

static void report(struct gate *gate, const struct peer *peer, enum refusal_reason refusal)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    struct source *source = source_table_claim(gate->refused, source_key(peer), now_us);
    uint32_t count = source ? take_unreported(gate, &source->refusals[refusal], now_us) : 0;
    (void)pthread_mutex_unlock(&gate->lock);
    if (count > 0)
        gate->callbacks.refused(peer, refusal, count, gate->callbacks.context);
}

static enum refusal_reason judge(struct gate *gate, struct peer *peer)
{
    enum source_binding binding;
    if (take_probe(gate, peer))
        return REFUSAL_NONE;
    enum refusal_reason refusal = judge_address(gate, peer, &binding);
    if (refusal == REFUSAL_NONE)
        refusal = judge_link(gate, peer, binding);
    if (refusal == REFUSAL_NONE)
        refusal = take_place(gate, peer);
    return refusal;
}

enum refusal_reason gate_enter(struct gate *gate, int socket, struct peer *ret)
{
    struct peer peer;
    /* A peer that is gone already has no name to report. */
    if (find_peer(socket, &peer) < 0)
        return REFUSAL_NOT_ALLOWED;
    enum refusal_reason refusal = judge(gate, &peer);
    if (refusal != REFUSAL_NONE) {
        report(gate, &peer, refusal);
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

uint32_t gate_connections(const struct gate *gate)
{
    return atomic_load(&gate->connections);
}

/* Whole seconds for Retry-After, rounded up. A minute at most: no bucket takes longer to fill. */
static uint32_t seconds(int64_t wait_us)
{
    return (uint32_t)((wait_us + SECOND_US - 1) / SECOND_US);
}

uint32_t gate_count_request(struct gate *gate, const struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    struct source *source = source_of(gate, peer);
    int64_t wait_us = bucket_take(&source->requests, &gate->rules.requests, now_us);
    (void)pthread_mutex_unlock(&gate->lock);
    return seconds(wait_us);
}

void gate_count_failure(struct gate *gate, const struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    struct source *source = source_of(gate, peer);
    (void)bucket_take(&source->failures, &gate->rules.failures, now_us);
    (void)pthread_mutex_unlock(&gate->lock);
}

uint32_t gate_locked_out(struct gate *gate, const struct peer *peer)
{
    int64_t now_us = clock_steady_us();
    (void)pthread_mutex_lock(&gate->lock);
    const struct source *source = source_of(gate, peer);
    int64_t wait_us = bucket_wait(&source->failures, &gate->rules.failures, now_us);
    (void)pthread_mutex_unlock(&gate->lock);
    return seconds(wait_us);
}
