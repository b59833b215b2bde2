/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has happened since felhomd started, counted where it happens, for metrics. All zero to begin
 * with. Safe to use from many threads; a pointer to one may be NULL where nobody counts.
 */
#ifndef FELHOM_TALLY_H
#define FELHOM_TALLY_H

#include <stdatomic.h>
#include <stddef.h>

#include "server/api/route.h"

typedef atomic_uint_least64_t tally_count;

#define TALLY_CODES   22
#define TALLY_REASONS 15

enum tally_handshake { TALLY_HANDSHAKE_FAILED, TALLY_HANDSHAKE_LATE, TALLY_HANDSHAKES };

/* Of a call to the world beyond the host: an answer came, which was good or an HTTP error, or none
 * came. */
enum tally_outcome { TALLY_ANSWERED, TALLY_REFUSED, TALLY_FAILED, TALLY_OUTCOMES };

struct tally_calls {
    tally_count count[TALLY_OUTCOMES];
};

struct tally {
    tally_count requests[ROUTE_COUNT + 1][TALLY_CODES]; /* by route_index and its code */
    tally_count refusals[TALLY_REASONS];                /* by tally_reason */
    tally_count handshakes[TALLY_HANDSHAKES];
    struct tally_calls proxmox;
    struct tally_calls hub;
    struct tally_calls registry;
};

/* An HTTP status that was sent. */
void tally_request(struct tally *tally, size_t endpoint, int status);

/* Why a request or a connection was refused. */
void tally_refusal(struct tally *tally, const char *reason);

void tally_handshake(struct tally *tally, enum tally_handshake failure);

void tally_call(struct tally_calls *calls, enum tally_outcome outcome);

/* The labels' values; "other" for what is none of those known. */
const char *tally_code_name(size_t code);
const char *tally_reason_name(size_t reason);
const char *tally_handshake_name(enum tally_handshake failure);
const char *tally_outcome_name(enum tally_outcome outcome);

#endif
