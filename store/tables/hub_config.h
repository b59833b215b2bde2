/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub's configuration for each guest's customer, as felhomd last pulled it: the document
 * itself, when the next pull is due, and why the last one failed. The document is one of the
 * sources of the guest's controller.yaml.
 */
#ifndef FELHOM_STORE_HUB_CONFIG_H
#define FELHOM_STORE_HUB_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/enrolment.h"
#include "schema/base/buffer.h"
#include "schema/base/mbedtls.h"
#include "store/db/store.h"

/* The state of one guest's pulls, without the document. */
struct hub_pull {
    uint32_t vmid;                /* 0: nothing has been pulled for the guest */
    uint8_t origin[DIGEST_BYTES]; /* as hub_origin computes it */
    bool refused;                 /* final, until the origin changes */
    uint32_t failures;            /* since the last success */
    int64_t fetched_at_ms;        /* 0: never */
    int64_t next_try_at_ms;
};

/*
 * Computes a digest of everything that decides which document the hub returns: URL, customer and
 * password. Returns false if one of them is missing; then there is nothing to pull.
 */
bool hub_origin(const char *url, const struct enrolment *enrolment,
                uint8_t ret[static DIGEST_BYTES]);

/* Checks whether a document may be stored: YAML whose root is a map and that can be written again.
 * body must end with a NUL. ERROR_INVALID otherwise. */
int hub_config_check(const char *body, size_t length, struct error *error);

/* Reads the state of the guest's pulls; *ret is all zero if nothing has been pulled. ERROR_CORRUPT
 * if the stored state is damaged. */
int hub_pull_get(struct store *store, uint32_t vmid, struct hub_pull *ret, struct error *error);

/* Records a successful pull and replaces the document. Uses vmid, origin and next_try_at_ms of
 * pull. */
int hub_config_put(struct store *store, const struct hub_pull *pull, const char *body,
                   size_t length, int64_t now_ms, struct error *error);

/* Records a failed pull. The document is kept unless the origin has changed or the hub has refused
 * the request; then it is emptied. */
int hub_config_fail(struct store *store, const struct hub_pull *pull, const char *problem,
                    struct error *error);

/* Forgets everything about a guest that has no customer any more. */
int hub_config_forget(struct store *store, uint32_t vmid, struct error *error);

/* Appends the document that was pulled from this origin to out; nothing if there is none. */
int hub_config_get(struct store *store, uint32_t vmid, const uint8_t origin[static DIGEST_BYTES],
                   struct buffer *out, struct error *error);

/* Appends the reason why the last pull failed to out; nothing if it succeeded. */
int hub_config_problem(struct store *store, uint32_t vmid, struct buffer *out, struct error *error);

#endif
