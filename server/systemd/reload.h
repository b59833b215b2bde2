/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reloads felhomd and tells how that ended, for ExecReload= of felhomd.service: `felhomd --reload`
 * connects to a socket of the running felhomd, sends it SIGHUP, and waits for its reply. Who sends
 * SIGHUP without that is told nothing but by the log.
 */
#ifndef FELHOM_RELOAD_H
#define FELHOM_RELOAD_H

#include <stddef.h>

#include "schema/base/error.h"
#include "store/base/nudge.h"

/* The longest reply, a message of struct error with a word in front. */
#define RELOAD_REPLY_SIZE (sizeof((struct error *)NULL)->message + 16)

/* In felhomd's main thread: who waits for the end of a reload. */
struct reload {
    int socket; /* -1: nobody can ask */
    int askers[NUDGE_RELOAD_MAX];
    size_t asker_count;
};

/* Begins to listen in the state directory; if that fails, the log says so. Ends with reload_end. */
void reload_begin(struct reload *reload, const char *state_dir);
void reload_end(struct reload *reload);

/* To be called before agent.yaml is read: from now on until reload_finish, those who have asked so
 * far wait. Who asks later is told of the next reload, for which it sends another signal. */
void reload_accept(struct reload *reload);

/* Tells them how it ended. error: NULL if the configuration was taken up. */
void reload_finish(struct reload *reload, const struct error *error);

/* In another process: has the felhomd of that state directory reload, and waits at most timeout_ms
 * until it has. On failure the error is felhomd's, or says why it cannot be had. */
int reload_request(const char *state_dir, int timeout_ms, struct error *error);

#endif
