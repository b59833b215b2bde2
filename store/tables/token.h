/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens: minted for one guest, kept as public id and SHA-256, never in the clear. */
#ifndef FELHOM_STORE_TOKEN_H
#define FELHOM_STORE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "store/db/store.h"

/* A token as minted: the only time its text exists on the host's side outside the guest's
 * directory. */
struct token {
    struct token_text text; /* wiped by token_text_wipe */
    int64_t generation;     /* 1, 2, ... within the guest */
};

/*
 * Mints the next generation for a guest known to the store. expires_at_ms 0: never by itself.
 * Older tokens stay as they are. Of those that ended, revoked or by age,
 * none of more than 100 generations ago is kept.
 */
int token_mint(struct store *store, uint32_t vmid, int64_t now_ms, int64_t expires_at_ms,
               struct token *ret, struct error *error);

/* Revokes the guest's tokens older than generation before (INT64_MAX: all). *ret_count (may be
 * NULL): how many were still good. */
int token_revoke_before(struct store *store, uint32_t vmid, int64_t before, int64_t now_ms,
                        const char *reason, int *ret_count, struct error *error);

/* How many of the guest's tokens older than generation before are good at now_ms. */
int token_count_before(struct store *store, uint32_t vmid, int64_t before, int64_t now_ms,
                       int *ret_count, struct error *error);

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_MALFORMED,
    TOKEN_UNKNOWN,
    TOKEN_REVOKED,
    TOKEN_EXPIRED,
};

/* "good", "malformed", ...: for events and logs, never for the guest. */
const char *token_verdict_name(enum token_verdict verdict);

struct token_check {
    enum token_verdict verdict;
    uint32_t vmid;                /* 0 unless the id is known */
    char id[TOKEN_ID_LENGTH + 1]; /* "" if malformed */
    int64_t generation;
};

/*
 * Judges a presented token of length bytes. All bad ones take the same path (one hash, one look-up,
 * one constant-time comparison), so that the time taken tells nothing. Returns 0 with the verdict,
 * -1 only when the store cannot be read.
 */
int token_check(struct store *store, const char *text, size_t length, int64_t now_ms,
                struct token_check *ret, struct error *error);

/* Judges a token that was good before, by its id alone. */
int token_recheck(struct store *store, const char *id, int64_t now_ms, enum token_verdict *ret,
                  struct error *error);

/* From when to when a guest's tokens are good, and the end that a newer one brings them. */

/* A token by its public id; nothing here is a secret. */
struct token_life {
    char id[TOKEN_ID_LENGTH + 1];
    int64_t generation;
    int64_t created_at_ms;
    int64_t expires_at_ms; /* 0: never by itself */
    int64_t revoked_at_ms; /* 0: not revoked */
    char revoked_reason[256];
};

/* TOKEN_GOOD, TOKEN_REVOKED or TOKEN_EXPIRED. */
enum token_verdict token_life_verdict(const struct token_life *life, int64_t now_ms);

/* When a token that is made now ends by itself: 0, never, where max_age_ms is 0. */
int64_t token_life_end(int64_t now_ms, uint64_t max_age_ms);

/* The guest's newest token; all zero where it never had one. */
int token_newest(struct store *store, uint32_t vmid, struct token_life *ret, struct error *error);

/* The token with this id; all zero where the store keeps none. */
int token_find(struct store *store, const char *id, struct token_life *ret, struct error *error);

/* Visits the guest's tokens, newest first, until visit returns non-zero; returns that, or -1 on
 * failure. */
int token_each(struct store *store, uint32_t vmid,
               int (*visit)(const struct token_life *token, void *context), void *context,
               struct error *error);

/* Has the guest's tokens older than generation before end no later than end_ms. One that ends
 * sooner, or is revoked, stays as it is. */
int token_end_before(struct store *store, uint32_t vmid, int64_t before, int64_t end_ms,
                     struct error *error);

#endif
