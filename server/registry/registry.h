/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of the container registry. registry.mode tells where they come from: none; static,
 * the same one for all guests, from registry.secret_file; gitea, a token minted for each request.
 *
 *   registry.c  what the API calls; how often a guest may ask; has the registry make a token, in
 *               the thread of the request; the worker thread
 *   deletion.c  has the registry delete doomed tokens (store/tables/credential.h), in the worker
 *               thread
 *   gitea.c     the requests to the registry
 *
 * This header is for the first two files and for the API.
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

struct call_counters;
struct context;
struct http_client;
struct registry;

/* Starts the worker thread. The context is borrowed. Ends with registry_stop. */
struct registry *registry_start(struct context *context);

/* Ends the thread. A deletion that is under way is aborted within a second. NULL is allowed. */
void registry_stop(struct registry *registry);

/* Tells the worker that something was committed, perhaps a credential that was doomed, or that
 * the configuration has changed. Any thread may call it. NULL is allowed. */
void registry_wake(struct registry *registry);

/* A credential to hand out. registry_credential_free wipes and frees it. */
struct registry_credential {
    char *host;
    char *username;
    struct buffer token;
};
void registry_credential_free(struct registry_credential *credential);

/* Notes that the guest asks for a credential. Returns 0 if it may have one now; if, under gitea,
 * it has asked too often, in how many seconds it may ask again. Any thread may call it. */
uint32_t registry_early_seconds(struct registry *registry, const struct config *config,
                                uint32_t vmid);

/*
 * Gets the credential for this guest. Under gitea a fresh one is minted each time, which dooms the
 * older ones of the guest; the call waits for the registry until deadline_us (clock_steady_us) at
 * most. ERROR_MISSING if registry.mode is none. ERROR_BUSY, ERROR_DENIED and ERROR_CONFLICT are
 * about the registry or the guest, and the guest may be told the message; other errors are about
 * the host. Any thread may call it.
 */
int registry_credential_get(struct registry *registry, const struct config *config, uint32_t vmid,
                            int64_t deadline_us, struct registry_credential *ret,
                            struct error *error);

/* Returns how many requests wait for their turn to have a token minted. NULL is allowed. */
uint32_t registry_waiting(struct registry *registry);

/* --- the registry as agent.yaml describes it: registry.c --- */

/* Adds the one line of registry.secret_file to out. ERROR_INVALID if the file cannot be read or
 * holds anything else. */
int registry_read_secret(const struct config *config, struct buffer *out, struct error *error);

/* Returns the account that tokens are minted for, as the store names it: USERNAME@HOST, or "" if
 * none are minted. The caller frees it. */
char *registry_account(const struct config *config);

/* --- how often each guest may have a token minted: registry.c --- */

struct mint_pace {
    pthread_mutex_t lock; /* guards the members below */
    struct mint_pause *pauses;
    size_t count;
};

void mint_pace_init(struct mint_pace *pace);
void mint_pace_destroy(struct mint_pace *pace);

/* Returns 0 if the guest may have a token minted, and starts a pause of five seconds for it,
 * whether the mint succeeds or not. Otherwise returns how many seconds of the pause are left.
 * now_us by clock_steady_us. */
uint32_t mint_pace_take(struct mint_pace *pace, uint32_t vmid, int64_t now_us);

/* --- minting, one token at a time: registry.c --- */

struct registry_mint {
    struct store_pool *stores;
    struct fair_lock client_lock; /* held while client is used */
    struct http_client *client;
    pthread_mutex_t lock;            /* guards name */
    char name[CREDENTIAL_NAME_SIZE]; /* of the token that is being minted; "": none */
};

/* calls counts the requests to the registry; NULL is allowed. */
void registry_mint_init(struct registry_mint *mint, struct store_pool *stores,
                        struct call_counters *calls);
void registry_mint_destroy(struct registry_mint *mint);

/* Mints a token for the guest and adds it to out. Fails as registry_credential_get does. Any
 * thread may call it. */
int registry_mint(struct registry_mint *mint, const struct config *config, uint32_t vmid,
                  int64_t deadline_us, struct buffer *out, struct error *error);

/* Returns the name of the token that is being minted ("": none), and lets no other mint begin
 * until registry_mint_resume. */
const char *registry_mint_hold(struct registry_mint *mint);
void registry_mint_resume(struct registry_mint *mint);

/* --- deleting: deletion.c --- */

/* Belongs to the worker thread. The pointers are borrowed. */
struct registry_deletion {
    struct store_pool *stores;
    struct http_client *client;
    struct registry_mint *mint; /* the token that is being minted is never deleted */
    const atomic_bool *stopping;
    struct throttled_log log;
};

/*
 * Deletes one doomed token at the registry if one is due. fresh: the configuration may have
 * changed, so all deletions that failed are due now. Returns in how many microseconds to call
 * again.
 */
int64_t registry_deletion_turn(struct registry_deletion *deletion, const struct config *config,
                               bool fresh);

#endif
