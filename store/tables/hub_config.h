/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's configuration for each guest's customer, as last pulled. */
#ifndef FELHOM_STORE_HUB_CONFIG_H
#define FELHOM_STORE_HUB_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/enrolment.h"
#include "schema/base/buffer.h"
#include "schema/base/mbedtls.h"
#include "store/db/store.h"

struct hub_pull {
    uint32_t vmid;                /* 0: nothing was ever pulled for the guest */
    uint8_t origin[DIGEST_BYTES]; /* as hub_origin tells it */
    bool refused;                 /* final for this origin */
    uint32_t failures;            /* since the last success */
    int64_t fetched_at_ms;        /* 0: never */
    int64_t next_try_at_ms;
};

/*
 * Where and with what a guest's configuration is pulled: from another origin it is another
 * document. False, and nothing to pull, where URL, customer or password is missing.
 */
bool hub_origin(const char *url, const struct enrolment *enrolment,
                uint8_t ret[static DIGEST_BYTES]);

/* Whether a body (followed by a NUL) may be kept: a YAML document whose root is a map, and that can
 * be written again. ERROR_INVALID otherwise. */
int hub_config_check(const char *body, size_t length, struct error *error);

int hub_pull_get(struct store *store, uint32_t vmid, struct hub_pull *ret, struct error *error);

/* Records a success: body takes the place of the one before. Of pull, vmid, origin and
 * next_try_at_ms count. */
int hub_config_put(struct store *store, const struct hub_pull *pull, const char *body,
                   size_t length, int64_t now_ms, struct error *error);

/* Records a failure. The body stays as long as the origin does and the hub did not refuse it: that
 * one is emptied. */
int hub_config_fail(struct store *store, const struct hub_pull *pull, const char *problem,
                    struct error *error);

/* Forgets what was pulled for a guest that has no customer any more. */
int hub_config_forget(struct store *store, uint32_t vmid, struct error *error);

/* Adds the body that was pulled from this origin to out; nothing where there is none. */
int hub_config_get(struct store *store, uint32_t vmid, const uint8_t origin[static DIGEST_BYTES],
                   struct buffer *out, struct error *error);

/* Adds why the last try failed to out; nothing after a success. */
int hub_config_problem(struct store *store, uint32_t vmid, struct buffer *out, struct error *error);

#endif
