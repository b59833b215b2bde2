/* SPDX-License-Identifier: Apache-2.0 */
/* Why requests were refused, by the id that each reply carries: for the operator, never for guests.
 * No secret ever goes in. */
#ifndef FELHOM_STORE_EXPLANATION_H
#define FELHOM_STORE_EXPLANATION_H

#include <stdint.h>

#include "schema/agent/token.h"
#include "store/db/store.h"

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
