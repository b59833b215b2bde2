/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running guest's directory says, brought up to date while the guest runs.
 *
 * It keeps the very token that lies in it. A rotation would tell the guest as much, but would make
 * it change its token besides, fill the audit trail with one for each guest and step, and cut off
 * the guest that reads its directory less often than token.overlap; nothing is wrong with the
 * token. As nothing is minted, a death at any instruction leaves nothing to be taken back: each
 * file is whole and good, old or new.
 */
#ifndef FELHOM_TELLING_H
#define FELHOM_TELLING_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/session.h"
#include "store/identity/identity.h"

enum telling_outcome {
    TELLING_DONE,
    TELLING_ALREADY,  /* it says so already */
    TELLING_NOT_LIVE, /* the guest is stopped or has no token: it is told when it starts */
};

struct telling {
    enum telling_outcome outcome;
    struct error left_out; /* as controller_parts_render tells it */
};

/* Has the guest's directory say what a start now would have it say, but for the token. */
int telling_run(const struct session *session, uint32_t vmid, struct telling *ret,
                struct error *error);

/* Whether the guest runs with a directory that does not name the certificate. */
bool telling_is_owed(const struct session *session, uint32_t vmid, const struct identity *identity);

#endif
