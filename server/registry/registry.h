/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of the container registry. Those minted for a guest (registry.mode: gitea) are
 * deleted at the registry in the background once they are doomed.
 */
#ifndef FELHOM_REGISTRY_H
#define FELHOM_REGISTRY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

struct context;
struct registry;

struct registry *registry_start(struct context *context);

/* NULL is fine. */
void registry_stop(struct registry *registry);

/* Something was committed, perhaps a credential was doomed; or the settings are others. */
void registry_wake(struct registry *registry);

/* A credential to hand out; wiped and freed by registry_credential_free. */
struct registry_credential {
    char *host;
    char *username;
    struct buffer token;
};
void registry_credential_free(struct registry_credential *credential);

/* Notes that the guest asks for a credential. In how many seconds it may: it has asked too often
 * under gitea. 0: now. */
uint32_t registry_early_seconds(struct registry *registry, const struct config *config,
                                uint32_t vmid);

/*
 * The credential for this guest. Under gitea a fresh one is minted each time, which dooms those
 * that the guest had before; waits for the registry until deadline_us (clock_steady_us) at the
 * longest. ERROR_MISSING where registry.mode is none. ERROR_BUSY, ERROR_DENIED and ERROR_CONFLICT
 * are about the registry or the guest itself, which may be told; others are the host's own.
 */
int registry_credential_get(struct registry *registry, const struct config *config, uint32_t vmid,
                            int64_t deadline_us, struct registry_credential *ret,
                            struct error *error);

/* The registry as agent.yaml describes it. */

/* Adds the one line of registry.secret_file to out. ERROR_INVALID where there is none to be read.
 */
int registry_read_secret(const struct config *config, struct buffer *out, struct error *error);

/* Whose tokens are minted where, as the store knows it: USERNAME@HOST, the caller's to free; ""
 * where none are. */
char *registry_account(const struct config *config);

/* How often each guest may have a registry token minted, whether that succeeds or not. */

struct mint_pace {
    pthread_mutex_t lock; /* of what follows */
    struct mint_pause *pauses;
    size_t count;
};

void mint_pace_init(struct mint_pace *pace);
void mint_pace_destroy(struct mint_pace *pace);

/* 0: the guest may, and then this was it for five seconds. Else in how many seconds it may. */
uint32_t mint_pace_take(struct mint_pace *pace, uint32_t vmid, int64_t now_us);

#endif
