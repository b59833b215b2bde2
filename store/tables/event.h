/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two records for the operator: the audit trail (events), and explanations of why requests were
 * refused, by the request id in the reply. Neither ever contains a secret; tokens are named by
 * their public ids.
 */
#ifndef FELHOM_STORE_EVENT_H
#define FELHOM_STORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "store/db/store.h"

/* An entry of the audit trail. When adding, texts are borrowed and NULL counts as ""; when listing,
 * texts are valid only during the visit. */
struct event {
    int64_t seq; /* assigned by the store, always increasing */
    int64_t at_ms;
    uint32_t vmid;       /* 0: not about a guest */
    const char *kind;    /* "pre-start", "mint", "revoke", "refused" and so on */
    const char *outcome; /* "ok", "warning" or "error" */
    const char *detail;  /* a sentence for people, one line */
    const char *source;  /* address or MAC that a request came from; "" for the host itself */
    int64_t duration_us; /* -1: no duration */
    uint32_t origin;     /* of EVENT_REFUSED: the guest that sent the request; 0: no guest */
};

/*
 * The trail is kept in shares, so that what one source does pushes out its own events alone. A
 * guest has two: its events, and its requests that were refused. Two more are for the events that
 * are about no guest, and for the refused requests of all who are no guest. A share keeps its
 * newest EVENTS_OF_SHARE; where there are many shares, each keeps an equal part of EVENTS_IN_ALL.
 */
#define EVENTS_OF_SHARE 10000
#define EVENTS_IN_ALL   500000
#define EVENTS_BATCH    1000 /* event_add prunes whenever seq is a multiple of it */
#define EVENTS_PRUNED   4000 /* how many events event_prune deletes at most */

/* Adds an event, in the caller's transaction if there is one. */
int event_add(struct store *store, const struct event *event, struct error *error);

/* Deletes what no share keeps, the oldest of each first, but only so much that the caller's
 * transaction stays short. *ret_more: there may be more to delete. */
int event_prune(struct store *store, bool *ret_more, struct error *error);

/* Adds an event without source and duration. */
int event_note(struct store *store, int64_t at_ms, uint32_t vmid, const char *kind,
               const char *outcome, const char *detail, struct error *error);

/* Visits events with seq > since in ascending order, at most limit, until visit returns non-zero;
 * returns that value, or -1 on failure. vmid 0: events of all guests.
 * Of a guest, also the refusals of its tokens and of the requests that it sent. */
int event_each(struct store *store, uint32_t vmid, int64_t since, int limit,
               int (*visit)(const struct event *event, void *context), void *context,
               struct error *error);

/* Like event_each, but visits the newest limit of those events. */
int event_each_newest(struct store *store, uint32_t vmid, int64_t since, int limit,
                      int (*visit)(const struct event *event, void *context), void *context,
                      struct error *error);

/* Like event_each, for events that the guest itself may see: none of a guest that had the VMID
 * before, and no refusals, because they contain information about others. */
int event_each_own(struct store *store, uint32_t vmid, int64_t since, int limit,
                   int (*visit)(const struct event *event, void *context), void *context,
                   struct error *error);

/* Returns the newest event's seq; 0 if there has been none. */
int event_newest(struct store *store, int64_t *ret, struct error *error);

#define EVENT_REFUSED "refused" /* the kind of events about refused requests */

/* Explanations of refused requests: for the operator, never for guests. */

/* How many are kept: the newest of each guest, and of all others together. */
#define EXPLANATIONS_OF_GUEST  128
#define EXPLANATIONS_OF_OTHERS 1024

#define REQUEST_ID_LENGTH 16 /* hexadecimal digits */

struct explanation {
    char request_id[REQUEST_ID_LENGTH + 1];
    int64_t at_ms;
    int status; /* of the reply */
    char method[16];
    char path[64];                      /* "" if the path is not one of the API */
    uint32_t vmid;                      /* the token's guest; 0: not known */
    char token_id[TOKEN_ID_LENGTH + 1]; /* "" if not known */
    char source[64];                    /* who sent the request, as peer_name writes it */
    char reason[32];                    /* the check that refused it */
    char detail[256];                   /* a sentence with more detail */
    uint32_t origin;                    /* the guest that sent the request; 0: no guest */
};

/* Adds an explanation and deletes the oldest of the same origin. */
int explanation_add(struct store *store, const struct explanation *explanation,
                    struct error *error);

/* Finds the explanation of a request. ERROR_MISSING if there is none. */
int explanation_find(struct store *store, const char *request_id, struct explanation *ret,
                     struct error *error);

/* Visits the newest limit explanations, newest first, until visit returns non-zero; returns that
 * value, or -1 on failure. */
int explanation_each(struct store *store, int limit,
                     int (*visit)(const struct explanation *explanation, void *context),
                     void *context, struct error *error);

#endif
