/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry tokens that were minted for guests, by the names under which the registry knows them;
 * the tokens themselves are stored nowhere. A name is recorded before its token is minted and
 * forgotten after the token was deleted, so that a crash cannot leave an unknown token behind. A
 * token that is to be deleted is called doomed. A registry is identified as USERNAME@HOST, because
 * only the user who minted a token can delete it.
 */
#ifndef FELHOM_STORE_CREDENTIAL_H
#define FELHOM_STORE_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "store/db/store.h"

#define CREDENTIAL_NAME_SIZE 256

/* A guest with this many tokens that are not deleted yet gets no more. */
#define CREDENTIALS_MAX 32

/*
 * Records a token that is about to be minted. ERROR_CONFLICT if the guest has stopped meanwhile (it
 * has no bearer token that is not revoked), or has CREDENTIALS_MAX registry tokens already.
 */
int credential_begin(struct store *store, const char *name, const char *registry, uint32_t vmid,
                     int64_t now_ms, struct error *error);

/*
 * Records that the token was minted. *ret_wanted: it may be handed out, and the guest's older
 * tokens are doomed, to be deleted at replaced_until_ms. If *ret_wanted is false, the token itself
 * was doomed meanwhile. ERROR_MISSING if the name was never recorded.
 */
int credential_live(struct store *store, const char *name, int64_t replaced_until_ms,
                    bool *ret_wanted, struct error *error);

/* Dooms all tokens of a guest that has stopped or was removed, to be deleted at once. */
int credential_doom(struct store *store, uint32_t vmid, int64_t now_ms, struct error *error);

/* Revokes all bearer tokens of the guest and dooms the registry tokens that it got by them, in the
 * caller's transaction. *ret_count: how many bearer tokens were still good. */
int credential_revoke_all(struct store *store, uint32_t vmid, int64_t now_ms, const char *reason,
                          int *ret_count, struct error *error);

/*
 * Dooms tokens that were never confirmed by credential_live, and tokens of guests without a bearer
 * token that is not revoked. except: the name of a token that is being minted now; "" for none.
 */
int credential_doom_stale(struct store *store, const char *except, int64_t now_ms,
                          struct error *error);

/* A doomed token. */
struct credential_doomed {
    char name[CREDENTIAL_NAME_SIZE]; /* "": there is none */
    uint32_t vmid;
    bool minted; /* the registry has confirmed it; if false, it may exist or yet appear */
    uint32_t failures;
    int64_t created_at_ms;
    int64_t next_try_at_ms;
};

/* Finds the doomed token of this registry whose next try comes first. except: as above. */
int credential_next_doomed(struct store *store, const char *registry, const char *except,
                           struct credential_doomed *ret, struct error *error);

/* Counts a failed deletion and sets the time of the next try. */
int credential_postpone(struct store *store, const char *name, int64_t next_try_at_ms,
                        struct error *error);

/* Makes all postponed deletions due now. */
int credential_hurry(struct store *store, int64_t now_ms, struct error *error);

/* Forgets a token that was deleted or never existed. */
int credential_forget(struct store *store, const char *name, struct error *error);

/* Counts the tokens of other registries. *ret_registry becomes the name of one of these registries,
 * "" if there is none; the caller frees it. */
int credential_count_elsewhere(struct store *store, const char *registry, uint32_t *ret_count,
                               char **ret_registry, struct error *error);

#endif
