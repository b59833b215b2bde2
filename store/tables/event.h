/* SPDX-License-Identifier: Apache-2.0 */
/* The audit trail. No secret ever goes in: a token is named by its public id. */
#ifndef FELHOM_STORE_EVENT_H
#define FELHOM_STORE_EVENT_H

#include <stdint.h>

#include "schema/agent/token.h"
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

/* Why requests were refused, by the id that each reply carries: for the operator, never for guests.
 * No secret ever goes in. */

#define EXPLANATIONS_KEPT 1024

#define REQUEST_ID_LENGTH 16 /* hexadecimal digits */

struct explanation {
    char request_id[REQUEST_ID_LENGTH + 1];
    int64_t at_ms;
    int status; /* what it was answered with */
    char method[16];
    char path[64];                      /* "" where it is none of ours */
    uint32_t vmid;                      /* the token's guest; 0: of none that is known */
    char token_id[TOKEN_ID_LENGTH + 1]; /* "" likewise */
    char source[64];                    /* who asked: peer_name */
    char reason[32];                    /* which check refused it */
    char detail[256];                   /* more in words */
};

/* Adds it, and drops what is older than the newest EXPLANATIONS_KEPT. */
int explanation_add(struct store *store, const struct explanation *explanation,
                    struct error *error);

/* ERROR_MISSING where there is none of that id. */
int explanation_find(struct store *store, const char *request_id, struct explanation *ret,
                     struct error *error);

/* Visits the newest limit of them, newest first, until visit returns non-zero; returns that, or -1
 * on failure. */
int explanation_each(struct store *store, int limit,
                     int (*visit)(const struct explanation *explanation, void *context),
                     void *context, struct error *error);

#endif
