/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of the container registry, by registry.mode: none; static, the one of
 * registry.secret_file for all guests; gitea, a token minted for each request.
 *
 *   registry.c  what the API calls; the pace at which a guest may ask; the worker thread
 *   mint.c      has the registry make a token, in the thread of the request
 *   deletion.c  has the registry delete tokens that are doomed (store/tables/credential.h), in the
 *               worker thread
 *   gitea.c     the requests to the registry themselves
 *
 * What these files share is below.
 */
#ifndef FELHOM_REGISTRY_H
#define FELHOM_REGISTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "server/base/limiter.h"
#include "server/base/store_pool.h"
#include "store/tables/credential.h"

struct context;
struct http_client;
struct registry;

/* Starts the worker thread. Ends with registry_stop. */
struct registry *registry_start(struct context *context);

/* Waits for the deletion under way, which is aborted within a second. NULL is fine. */
void registry_stop(struct registry *registry);

/* Something was committed, perhaps a credential was doomed; or the settings have changed. From any
 * thread; NULL is fine. */
void registry_wake(struct registry *registry);

/* A credential to hand out; wiped and freed by registry_credential_free. */
struct registry_credential {
    char *host;
    char *username;
    struct buffer token;
};
void registry_credential_free(struct registry_credential *credential);

/* Notes that the guest asks for a credential. Returns in how many seconds it may ask again, where
 * it has asked too often under gitea; 0: it may have one now. */
uint32_t registry_early_seconds(struct registry *registry, const struct config *config,
                                uint32_t vmid);

/*
 * The credential for this guest. Under gitea a fresh one is minted each time, which dooms those
 * that the guest had before; waits for the registry until deadline_us (clock_steady_us) at the
 * longest. ERROR_MISSING where registry.mode is none. ERROR_BUSY, ERROR_DENIED and ERROR_CONFLICT
 * are about the registry or the guest itself, and the guest may be told; others are the host's own.
 */
int registry_credential_get(struct registry *registry, const struct config *config, uint32_t vmid,
                            int64_t deadline_us, struct registry_credential *ret,
                            struct error *error);

/* --- the registry as agent.yaml describes it: registry.c --- */

/* Adds the one line of registry.secret_file to out. ERROR_INVALID where there is none to be read.
 */
int registry_read_secret(const struct config *config, struct buffer *out, struct error *error);

/* Whose tokens are minted where, as the store knows it: USERNAME@HOST, the caller's to free; ""
 * where none are. */
char *registry_account(const struct config *config);

/* --- how often each guest may have a token minted, whether that succeeds or not: registry.c --- */

struct mint_pace {
    pthread_mutex_t lock; /* of what follows */
    struct mint_pause *pauses;
    size_t count;
};

void mint_pace_init(struct mint_pace *pace);
void mint_pace_destroy(struct mint_pace *pace);

/* 0: the guest may have a token minted, and then not again for five seconds. Otherwise in how many
 * seconds it may. */
uint32_t mint_pace_take(struct mint_pace *pace, uint32_t vmid, int64_t now_us);

/* --- minting, one token at a time: mint.c --- */

struct registry_mint {
    struct store_pool *stores;
    struct bounded_lock client_lock; /* before client */
    struct http_client *client;
    pthread_mutex_t lock;            /* of name */
    char name[CREDENTIAL_NAME_SIZE]; /* of the token that is being minted; "": none is */
};

void registry_mint_init(struct registry_mint *mint, struct store_pool *stores);
void registry_mint_destroy(struct registry_mint *mint);

/* Adds a fresh token for the guest to out. Otherwise as registry_credential_get. */
int registry_mint(struct registry_mint *mint, const struct config *config, uint32_t vmid,
                  int64_t deadline_us, struct buffer *out, struct error *error);

/* Returns the name of the token that is being minted, and lets no other mint begin before
 * registry_mint_resume. */
const char *registry_mint_hold(struct registry_mint *mint);
void registry_mint_resume(struct registry_mint *mint);

/* --- deleting: deletion.c --- */

/* The worker's. */
struct registry_deletion {
    struct store_pool *stores;
    struct http_client *client;
    struct registry_mint *mint; /* a token that is being minted is left alone */
    const atomic_bool *stopping;
    struct throttled_log log;
};

/*
 * Deletes one token at the registry if it is time for that. fresh: the settings may have changed,
 * so that it is time for all that failed. Returns in how many microseconds to call again.
 */
int64_t registry_deletion_turn(struct registry_deletion *deletion, const struct config *config,
                               bool fresh);

#endif
