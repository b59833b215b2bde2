/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has happened since felhomd started, counted where it happens, for metrics. All zero to begin
 * with. Safe to use from many threads; a pointer to one may be NULL where nobody counts.
 */
#ifndef FELHOM_TALLY_H
#define FELHOM_TALLY_H

#include <stdatomic.h>
#include <stddef.h>

typedef atomic_uint_least64_t counter;

/* How many paths are counted apart: as many as server/api/route.c has. */
#define COUNTERS_ENDPOINTS 14

#define COUNTERS_STATUSES 22
#define REFUSAL_REASONS   15

enum handshake_failure { HANDSHAKE_FAILED, HANDSHAKE_LATE, HANDSHAKE_FAILURES };

/* Of a call to the world beyond the host: an answer came, which was good or an HTTP error, or none
 * came. */
enum call_outcome { CALL_ANSWERED, CALL_REFUSED, CALL_FAILED, CALL_OUTCOMES };

struct call_counters {
    counter count[CALL_OUTCOMES];
};

struct counters {
    counter requests[COUNTERS_ENDPOINTS + 1]
                    [COUNTERS_STATUSES]; /* by the number of the path, and status */
    counter refusals[REFUSAL_REASONS];   /* by enum refusal_reason */
    counter handshakes[HANDSHAKE_FAILURES];
    struct call_counters proxmox;
    struct call_counters hub;
    struct call_counters registry;
};

/* An HTTP status that was sent. */
void counters_add_request(struct counters *counters, size_t endpoint, int status);

/* Why a request or a connection was refused. */
void counters_add_refusal(struct counters *counters, const char *reason);

void counters_add_handshake(struct counters *counters, enum handshake_failure failure);

void counters_add_call(struct call_counters *calls, enum call_outcome outcome);

/* The labels' values; "other" for what is none of those known. */
const char *counters_status_name(size_t code);
const char *refusal_reason_name(size_t reason);
const char *handshake_failure_name(enum handshake_failure failure);
const char *call_outcome_name(enum call_outcome outcome);

#endif
