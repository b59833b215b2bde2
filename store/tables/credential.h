/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry tokens that were minted for guests: their names, by which the registry deletes them. The
 * tokens themselves are kept nowhere. A name is recorded before the token is minted and forgotten
 * after it was deleted, so that no crash leaves one behind unseen. A registry is meant as
 * USERNAME@HOST: nobody else can delete what was minted there.
 */
#ifndef FELHOM_STORE_CREDENTIAL_H
#define FELHOM_STORE_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "store/db/store.h"

#define CREDENTIAL_NAME_SIZE 256

/* How many of one guest's may be waiting to be deleted before it gets no more. */
#define CREDENTIALS_MAX 32

/*
 * Records one that is about to be minted. ERROR_CONFLICT where the guest has no token that is not
 * revoked, as it has stopped meanwhile, or where CREDENTIALS_MAX of its are there already.
 */
int credential_begin(struct store *store, const char *name, const char *registry, uint32_t vmid,
                     int64_t now_ms, struct error *error);

/*
 * It was minted. *ret_wanted: it can be handed out, and the guest's older ones are doomed to be
 * deleted at replaced_until_ms; false: it was itself doomed meanwhile.
 */
int credential_live(struct store *store, const char *name, int64_t replaced_until_ms,
                    bool *ret_wanted, struct error *error);

/* All of the guest's are to be deleted, and at once: it has stopped, or was taken out. */
int credential_doom(struct store *store, uint32_t vmid, int64_t now_ms, struct error *error);

/*
 * The same for those that were left between begin and live, and for those of guests without any
 * token that is not revoked. except: one that is just being minted, "" for none.
 */
int credential_doom_stale(struct store *store, const char *except, int64_t now_ms,
                          struct error *error);

/* One that is to be deleted. */
struct credential_doomed {
    char name[CREDENTIAL_NAME_SIZE]; /* "": there is none */
    uint32_t vmid;
    bool minted; /* the registry has said that it exists; else it may, now or in a while */
    uint32_t failures;
    int64_t created_at_ms;
    int64_t next_try_at_ms;
};

/* Of this registry the one whose time comes first. except: as above. */
int credential_next_doomed(struct store *store, const char *registry, const char *except,
                           struct credential_doomed *ret, struct error *error);

/* It could not be deleted, which counts as a failure. */
int credential_postpone(struct store *store, const char *name, int64_t next_try_at_ms,
                        struct error *error);

/* The time of all that were postponed comes now. */
int credential_hurry(struct store *store, int64_t now_ms, struct error *error);

/* It is no more, or never was. */
int credential_forget(struct store *store, const char *name, struct error *error);

/* How many there are of other registries, and one of these: "" for none, the caller's to free. */
int credential_count_elsewhere(struct store *store, const char *registry, uint32_t *ret_count,
                               char **ret_registry, struct error *error);

#endif
