/* SPDX-License-Identifier: Apache-2.0 */
/* A new token for a guest that runs, in place of the one that it has. */
#ifndef FELHOM_ROTATION_H
#define FELHOM_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "store/tables/token.h"

enum rotation_outcome {
    ROTATION_DONE,
    ROTATION_NOT_DUE,
    ROTATION_NO_TOKEN, /* the guest is stopped, or its tokens were revoked */
};

struct rotation {
    enum rotation_outcome outcome;
    struct token_life token;    /* the guest's newest; the new one where it was rotated */
    struct token_life replaced; /* what its directory held before, and until when it is good */
    int64_t left_ms;            /* with ROTATION_NOT_DUE: of the token's life */
    struct error left_out;      /* with ROTATION_DONE: as controller_parts_render tells it */
};

/*
 * Gives the guest a new token: the old one stays good for token.overlap, counted from when the
 * guest's directory holds the new one. only_due, which needs a token.max_age: only if less of that
 * is left than a third of it or two hours, whichever is longer (the timer that asks runs hourly),
 * or if an earlier rotation was cut short. ERROR_MISSING where the store does not know the guest.
 */
int rotation_run(const struct session *session, uint32_t vmid, bool only_due, struct rotation *ret,
                 struct error *error);

/* The end of a guest's tokens. */

/*
 * Takes the secrets out of GUESTS/VMID, then revokes all of the guest's tokens and notes how many
 * were good, in *ret_count too. Where the first fails the second is done all the same.
 */
int revocation_run(const struct session *session, uint32_t vmid, const char *reason,
                   struct steps *steps, int *ret_count, struct error *error);

#endif
