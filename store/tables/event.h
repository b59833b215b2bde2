/* SPDX-License-Identifier: Apache-2.0 */
/* The audit trail. No secret ever goes in: a token is named by its public id. */
#ifndef FELHOM_STORE_EVENT_H
#define FELHOM_STORE_EVENT_H

#include <stdint.h>

#include "store/db/store.h"

/* Texts borrowed when adding; valid during the visit when listing. NULL counts as "". */
struct event {
    int64_t seq; /* set by the store, ever growing */
    int64_t at_ms;
    uint32_t vmid;       /* 0: of no guest */
    const char *kind;    /* "pre-start", "mint", "revoke", "refused", ... */
    const char *outcome; /* "ok", "warning" or "error" */
    const char *detail;  /* one line in words */
    const char
        *source; /* where a request came from: address or MAC; "" for the host's own doings */
    int64_t duration_us; /* -1: has none */
};

/* Adds it within or without a transaction; the newest 100 000 are kept. */
int event_add(struct store *store, const struct event *event, struct error *error);

/* Visits events with seq > since in order (vmid 0: of all guests), at most limit, until visit
 * returns non-zero. */
int event_each(struct store *store, uint32_t vmid, int64_t since, int limit,
               int (*visit)(const struct event *event, void *context), void *context,
               struct error *error);

/* The same for the newest limit of them. */
int event_each_newest(struct store *store, uint32_t vmid, int64_t since, int limit,
                      int (*visit)(const struct event *event, void *context), void *context,
                      struct error *error);

/* As event_each, for what the guest itself may see: nothing of a guest that had its VMID before,
 * and no refusals, which tell of others. */
int event_each_own(struct store *store, uint32_t vmid, int64_t since, int limit,
                   int (*visit)(const struct event *event, void *context), void *context,
                   struct error *error);

/* The newest event's seq; 0 before the first. */
int event_newest(struct store *store, int64_t *ret, struct error *error);

#define EVENT_REFUSED "refused" /* the kind of a refusal */

#endif
