/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access tokens of Gitea and Forgejo, from 1.19 on: made and deleted by a user's name and password
 * alone, which is all that their API accepts for it. Failures are ERROR_DENIED and ERROR_BUSY where
 * they are the registry's, and others where they are this host's.
 */
#ifndef FELHOM_GITEA_H
#define FELHOM_GITEA_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

struct http_client;

/* By what a call is made. All borrowed. */
struct gitea_call {
    struct http_client *client;
    const struct config *config; /* registry.host, username, ca_file */
    const char *password;
    int64_t deadline_us; /* by clock_steady_us */
};

/*
 * Makes a token of this name that may read packages and nothing else; its text is added to
 * ret_token. A registry that makes one that may do more is an error. *ret_may_exist is set on
 * failure: whether there may be a token of this name all the same, now or in a while.
 */
int gitea_mint(const struct gitea_call *call, const char *name, struct buffer *ret_token,
               bool *ret_may_exist, struct error *error);

/* Deletes the token of this name. ERROR_MISSING where there is none. */
int gitea_delete(const struct gitea_call *call, const char *name, struct error *error);

#endif
