/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has happened since felhomd started, counted where it happens, for the metrics; and the names
 * of what is counted. Counters begin at zero. Safe to use from many threads. Each counters_add_
 * function accepts NULL, for a caller whose events nobody counts.
 */
#ifndef FELHOM_COUNTERS_H
#define FELHOM_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>

typedef atomic_uint_least64_t counter;

/* Why a connection or a request was refused. */
enum refusal_reason {
    REFUSAL_NONE, /* it was not */

    /* The gate's, before TLS. They come first: struct source has a place for each of them. */
    REFUSAL_NOT_ALLOWED,           /* the address is outside local_api.allow */
    REFUSAL_STRANGER,              /* the MAC is no enrolled guest's */
    REFUSAL_UNRESOLVABLE,          /* source_binding: require, and no MAC is known */
    REFUSAL_TOO_MANY_CONNECTIONS,  /* the source has limits.connections_per_source connections */
    REFUSAL_CONNECTIONS_TOO_OFTEN, /* it opens them faster than limits.requests_per_source */

    /* A request's. */
    REFUSAL_TOO_MANY_REQUESTS,
    REFUSAL_TOO_MANY_BAD_TOKENS, /* the source may not present any token for a while */
    REFUSAL_NO_TOKEN,
    REFUSAL_MALFORMED_TOKEN,
    REFUSAL_UNKNOWN_TOKEN,
    REFUSAL_REVOKED_TOKEN,
    REFUSAL_EXPIRED_TOKEN,
    REFUSAL_FOREIGN_PATH,  /* /guests/VMID of another guest than the token's */
    REFUSAL_FOREIGN_TOKEN, /* it came from the MAC of another guest than the token's */
    REFUSAL_REASONS,
};

/* "not allowed", "revoked token", ...: in events, explanations and metrics. "other" for
 * REFUSAL_NONE, which a metric exists for. */
const char *refusal_reason_name(enum refusal_reason reason);

enum handshake_failure { HANDSHAKE_FAILED, HANDSHAKE_LATE, HANDSHAKE_FAILURES };

/* Of a call to Proxmox, the hub or the registry: a good answer came, or an HTTP error, or none. */
enum call_outcome { CALL_ANSWERED, CALL_REFUSED, CALL_FAILED, CALL_OUTCOMES };

struct call_counters {
    counter count[CALL_OUTCOMES];
};

/* How many paths are counted apart: as many as server/api/route.c has. */
#define COUNTERS_ENDPOINTS 14

/* How many HTTP statuses are counted apart. */
#define COUNTERS_STATUSES 22

struct counters {
    /* By the number of the path (struct destination), COUNTERS_ENDPOINTS for all others; and by
     * the index that counters_status_name takes. */
    counter requests[COUNTERS_ENDPOINTS + 1][COUNTERS_STATUSES];
    counter refusals[REFUSAL_REASONS];
    counter handshakes[HANDSHAKE_FAILURES];
    struct call_counters proxmox;
    struct call_counters hub;
    struct call_counters registry;
};

/* Counts a request that was answered with this HTTP status. */
void counters_add_request(struct counters *counters, size_t endpoint, int status);
void counters_add_refusal(struct counters *counters, enum refusal_reason reason);
void counters_add_handshake(struct counters *counters, enum handshake_failure failure);
void counters_add_call(struct call_counters *calls, enum call_outcome outcome);

/* The values of the metrics' labels. Index 0 of the statuses is "other": those without a counter of
 * their own. */
const char *counters_status_name(size_t index);
const char *handshake_failure_name(enum handshake_failure failure);
const char *call_outcome_name(enum call_outcome outcome);

#endif
