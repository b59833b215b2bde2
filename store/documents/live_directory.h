/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's directory as its start has left it. What stands here tells more of a running guest than
 * its configuration does: that may have changed since, and the guest sees as root's what belongs to
 * the ids that it was started with.
 */
#ifndef FELHOM_LIVE_DIRECTORY_H
#define FELHOM_LIVE_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/agent/token.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

struct live_directory {
    bool live; /* all that a guest reads is there, so that no stop has begun to take it away */
    uid_t uid; /* the directory's owner */
    gid_t gid;
    char token_id[TOKEN_ID_LENGTH + 1]; /* of the token in it; "" if that is none */
};

/* Looks at GUESTS_DIR/VMID, which must be a directory and no link, below verified parents. Where
 * there is none, it is not live. */
int live_directory_look(const char *guests_dir, uint32_t vmid, struct live_directory *ret,
                        struct error *error);

/* Adds the content of one of its files. ERROR_MISSING where that or the directory is not there. */
int live_directory_read(const char *guests_dir, uint32_t vmid, const char *name, struct buffer *out,
                        struct error *error);

/* The token that lies in it. ERROR_INVALID where that is none. The caller wipes it. */
int live_directory_token(const char *guests_dir, uint32_t vmid, struct token_text *ret,
                         struct error *error);

#endif
