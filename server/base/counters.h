/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of what has happened since felhomd started, for the metrics, and the names that the
 * metrics give to what is counted. Each event is counted by the code that causes it. Counters begin
 * at zero. Any thread may call these functions. Each counters_add_ function ignores a NULL pointer,
 * so that a caller whose events are not counted needs no check.
 */
#ifndef FELHOM_COUNTERS_H
#define FELHOM_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>

typedef atomic_uint_least64_t counter;

/* Why a connection or a request was refused. */
enum refusal_reason {
    REFUSAL_NONE, /* it was not refused */

    /* Connections, refused by the gate before TLS. They come first, because struct source has
     * one place for each of them. */
    REFUSAL_GONE,           /* the peer had hung up before anybody looked */
    REFUSAL_NOT_ALLOWED,    /* the address is outside local_api.allow */
    REFUSAL_STRANGER,       /* the MAC belongs to no enrolled guest */
    REFUSAL_UNRESOLVABLE,   /* source_binding: require, and it came through no guest's port */
    REFUSAL_FOREIGN_HWADDR, /* the MAC is that of another guest, which has a port of its own */
    REFUSAL_UNWITNESSED,    /* nobody saw through which port it came, or several saw it */
    REFUSAL_TOO_MANY_CONNECTIONS,  /* the source has limits.connections_per_source connections */
    REFUSAL_CONNECTIONS_TOO_OFTEN, /* the source opens connections faster than
                                      limits.requests_per_source */

    /* Requests. */
    REFUSAL_TOO_MANY_REQUESTS,
    REFUSAL_TOO_MANY_BAD_TOKENS, /* the source may not present any token for a while */
    REFUSAL_NO_TOKEN,
    REFUSAL_MALFORMED_TOKEN,
    REFUSAL_UNKNOWN_TOKEN,
    REFUSAL_REVOKED_TOKEN,
    REFUSAL_EXPIRED_TOKEN,
    REFUSAL_UNRECORDED_TOKEN, /* the store says it is good, the record does not */
    REFUSAL_FOREIGN_PATH,     /* the path is /guests/VMID of a guest other than the token's */
    REFUSAL_FOREIGN_TOKEN,    /* the request came from the MAC of a guest other than the token's */
    REFUSAL_LOOKUP_FAILED,    /* it could not be found out who is asking */
    REFUSAL_TOO_MANY_SNAPSHOTS,  /* the guest has as many as its quota allows */
    REFUSAL_SNAPSHOTS_TOO_OFTEN, /* quota.snapshot_interval is not over */
    REFUSAL_BACKUPS_TOO_OFTEN,   /* quota.backup_interval is not over */
    REFUSAL_REASONS,
};

/* Returns the reason's name in events, explanations and metrics: "not allowed", "revoked token"
 * and so on. REFUSAL_NONE, which has a metric too, is "other". */
const char *refusal_reason_name(enum refusal_reason reason);

enum handshake_failure { HANDSHAKE_FAILED, HANDSHAKE_LATE, HANDSHAKE_FAILURES };

/* How a call to Proxmox, the hub or the registry ended: with an HTTP status below 400, with a
 * status of 400 or more, or without a reply. */
enum call_outcome { CALL_ANSWERED, CALL_REFUSED, CALL_FAILED, CALL_OUTCOMES };

struct call_counters {
    counter count[CALL_OUTCOMES];
};

/* How many paths have counters of their own: as many as server/api/route.c has. */
#define COUNTERS_ENDPOINTS 14

/* How many HTTP statuses have counters of their own, "other" included. */
#define COUNTERS_STATUSES 22

struct counters {
    /* The first index is the number of the path (endpoint in struct destination), or
     * COUNTERS_ENDPOINTS for every other path; the second is the index that counters_status_name
     * takes. */
    counter requests[COUNTERS_ENDPOINTS + 1][COUNTERS_STATUSES];
    counter refusals[REFUSAL_REASONS];
    counter handshakes[HANDSHAKE_FAILURES];
    struct call_counters proxmox;
    struct call_counters hub;
    struct call_counters registry;
};

/* Counts a request to this endpoint (0 to COUNTERS_ENDPOINTS) that was answered with this HTTP
 * status. */
void counters_add_request(struct counters *counters, size_t endpoint, int status);
void counters_add_refusal(struct counters *counters, enum refusal_reason reason);
void counters_add_handshake(struct counters *counters, enum handshake_failure failure);
void counters_add_call(struct call_counters *calls, enum call_outcome outcome);

/* Return the values of the metrics' labels. Index 0 of the statuses is "other", for the statuses
 * that have no counter of their own. */
const char *counters_status_name(size_t index);
const char *handshake_failure_name(enum handshake_failure failure);
const char *call_outcome_name(enum call_outcome outcome);

#endif
