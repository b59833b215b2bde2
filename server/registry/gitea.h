/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API of Gitea and Forgejo, from 1.19 on, for access tokens. A token is made and deleted with
 * the name and password of a user, because the API accepts nothing else for it. A failure is
 * ERROR_DENIED or ERROR_BUSY if the registry caused it; all other kinds come from this host. A call
 * belongs to the thread that owns its client.
 */
#ifndef FELHOM_GITEA_H
#define FELHOM_GITEA_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

struct http_client;

/* What a call needs. All members are borrowed. */
struct gitea_call {
    struct http_client *client;
    const struct config *config; /* used: registry.host, registry.username, registry.ca_file */
    const char *password;
    int64_t deadline_us; /* by clock_steady_us */
};

/*
 * Makes a token of this name that may read packages and nothing else, and adds its text to
 * ret_token. Fails if the registry makes a token that may do more. On failure *ret_may_exist tells
 * whether a token of this name may exist all the same, now or later.
 */
int gitea_mint(const struct gitea_call *call, const char *name, struct buffer *ret_token,
               bool *ret_may_exist, struct error *error);

/* Deletes the token of this name. ERROR_MISSING if there is none. */
int gitea_delete(const struct gitea_call *call, const char *name, struct error *error);

#endif
