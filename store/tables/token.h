/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests' bearer tokens: minted for one guest, stored as public id and SHA-256, never in the
 * clear. Each new token of a guest has the next generation number. Older ones stay good until they
 * are revoked or reach the end that token_end_before sets. schema/agent/token.h has the text form.
 */
#ifndef FELHOM_STORE_TOKEN_H
#define FELHOM_STORE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "store/db/store.h"

/* A new token. Its text exists on the host only here and in the guest's directory. */
struct token {
    struct token_text text; /* secret: wipe it with token_text_wipe */
    int64_t generation;     /* 1, 2 and so on for each guest */
    int older;              /* how many older tokens of the guest have not ended */
};

/* Makes the text of a new token. It is good once token_mint_prepared has recorded it. */
int token_prepare(struct token *ret, struct error *error);

/* Like token_mint, for a token from token_prepare, whose generation it fills in. ERROR_CONFLICT if
 * the store has a token of that id, which happens once in 2^47 tokens. */
int token_mint_prepared(struct store *store, uint32_t vmid, int64_t now_ms, int64_t expires_at_ms,
                        struct token *token, struct error *error);

/*
 * Mints a token with the guest's next generation. expires_at_ms 0: it does not expire. Older tokens
 * are left as they are, except that tokens that are revoked or expired and more than 100
 * generations old are deleted. ERROR_MISSING if the store does not know the guest.
 */
int token_mint(struct store *store, uint32_t vmid, int64_t now_ms, int64_t expires_at_ms,
               struct token *ret, struct error *error);

/* The reason with which felhomctl revoke revokes: such a guest gets no new token until it starts
 * again, or until the operator says so. */
#define TOKEN_REVOKED_BY_OPERATOR "felhomctl revoke"
/* The reasons with which token_audit revokes: what may still have been good, and what the record
 * says had ended: by the operator or with a stop. */
#define TOKEN_REVOKED_BEHIND "the store had gone back to an earlier state"
#define TOKEN_REVOKED_BEFORE "ended before the store went back to an earlier state"

/* Whether the operator has revoked it with this reason, as far as can be known. */
bool token_ended_on_purpose(const char *revoked_reason);

/* Revokes the guest's tokens of generations below before (INT64_MAX: all). *ret_count (ret_count
 * may be NULL): how many of them were still good. */
int token_revoke_before(struct store *store, uint32_t vmid, int64_t before, int64_t now_ms,
                        const char *reason, int *ret_count, struct error *error);

/* Counts the guest's tokens of generations below before that are good at now_ms. */
int token_count_before(struct store *store, uint32_t vmid, int64_t before, int64_t now_ms,
                       int *ret_count, struct error *error);

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_MALFORMED,
    TOKEN_UNKNOWN,
    TOKEN_REVOKED,
    TOKEN_EXPIRED,
    TOKEN_BEHIND, /* by the store it is good, but it is not on record: the store has gone back */
};

/* Returns "good", "malformed" and so on, for events and logs. Guests never see it. */
const char *token_verdict_name(enum token_verdict verdict);

/* The result of token_check. vmid and generation belong to the token with that id, even if the rest
 * of the presented token is wrong. */
struct token_check {
    enum token_verdict verdict;
    uint32_t vmid;                /* 0 if the id is not known */
    char id[TOKEN_ID_LENGTH + 1]; /* "" if the token is malformed */
    int64_t generation;
};

/*
 * Checks a presented token of length bytes. All bad tokens take the same path (one hash, one
 * look-up, one comparison in constant time), so that the duration reveals nothing. Returns 0 with
 * the verdict in *ret; -1 only if the store cannot be read.
 */
int token_check(struct store *store, const char *text, size_t length, int64_t now_ms,
                struct token_check *ret, struct error *error);

/* Checks a token again that was good before, by its id alone. */
int token_recheck(struct store *store, const char *id, int64_t now_ms, enum token_verdict *ret,
                  struct error *error);

/* --- validity: from when to when a token is good, and how a newer token ends it --- */

/* The validity of a token, without any secret. */
struct token_life {
    char id[TOKEN_ID_LENGTH + 1];
    int64_t generation;
    int64_t created_at_ms;
    int64_t expires_at_ms; /* 0: does not expire */
    int64_t revoked_at_ms; /* 0: not revoked */
    char revoked_reason[256];
    bool other_boot; /* it was minted in an earlier boot of the host, and has ended with that */
};

/* Returns TOKEN_GOOD, TOKEN_REVOKED or TOKEN_EXPIRED. */
enum token_verdict token_life_verdict(const struct token_life *life, int64_t now_ms);

/* Returns when a token that is minted now will expire; 0 (never) if max_age_ms is 0. */
int64_t token_life_end(int64_t now_ms, uint64_t max_age_ms);

/* Finds the guest's newest token; *ret is all zero if it never had one. */
int token_newest(struct store *store, uint32_t vmid, struct token_life *ret, struct error *error);

/* Finds the token with this id; *ret is all zero if the store does not have it. */
int token_find(struct store *store, const char *id, struct token_life *ret, struct error *error);

/* Visits the guest's tokens, newest first, until visit returns non-zero; returns that value, or -1
 * on failure. */
int token_each(struct store *store, uint32_t vmid,
               int (*visit)(const struct token_life *token, void *context), void *context,
               struct error *error);

/* Makes the guest's tokens of generations below before expire at end_ms at the latest. Tokens that
 * expire sooner or are revoked stay as they are. */
int token_end_before(struct store *store, uint32_t vmid, int64_t before, int64_t end_ms,
                     int64_t now_ms, struct error *error);

/* --- a store that has gone back --- */

/* What an audit has found. */
struct token_audit {
    int count;     /* guests with which the store does not agree with the record; 0: all is well */
    uint32_t vmid; /* the first of them */
    int ended;     /* how many good tokens token_audit has ended */
};

/* Compares what the store says of all guests' tokens with the record (store/db/token_record.h).
 * Changes nothing. What another process is just changing may be found as well. */
int token_audit_look(struct store *store, int64_t now_ms, struct token_audit *ret,
                     struct error *error);

/*
 * Does the same, for certain, and if the store is behind for any guest, ends all tokens, adds an
 * event and asks for new tokens for the running guests (token_record_ask_renewal): whatever else
 * the store has forgotten, no token that had ended becomes good.
 */
int token_audit(struct store *store, int64_t now_ms, struct token_audit *ret, struct error *error);

/*
 * Looks for guests that have good tokens by the record, but of which the store knows none: it was
 * lost, and a new one made. Their tokens are refused. The first time in this store, fills in count
 * and vmid of *ret, adds an event and asks for new tokens; count is 0 if there are none, or if that
 * was asked for before, as for guests that do not run.
 */
int token_audit_lost(struct store *store, int64_t now_ms, struct token_audit *ret,
                     struct error *error);

#endif
