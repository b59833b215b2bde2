/* SPDX-License-Identifier: Apache-2.0 */
/* What nearly every verb begins with: the settings, and the store that they name. */
#ifndef FELHOM_SESSION_H
#define FELHOM_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "store/db/store.h"
#include "store/tables/guest.h"

#define SESSION_BUSY_MS 5000

struct session {
    struct config config;
    struct store *store;
};

/* Loads agent.yaml and opens the existing store; where there is none, the message says to run init.
 * The caller closes it; felhomd then hears of what was changed. */
int session_open(struct session *ret, struct error *error);
void session_close(struct session *session);

#define cleanup_session cleanup(session_close)

/* Notes in the audit trail what the operator did to a guest (vmid 0: to none). */
int session_event(const struct session *session, uint32_t vmid, const char *kind,
                  const char *detail, struct error *error);

/* guest_find; where the store does not know the guest the message says to enroll it. */
int session_find_guest(const struct session *session, uint32_t vmid, struct guest *ret,
                       struct error *error);

/* Being asked to end: a verb that has something to clean up does so first. */

/* From here on SIGINT, SIGTERM and SIGHUP end nothing by themselves: the descriptor, the caller's
 * to close, can be read once one has come. */
int interrupt_open(int *ret_fd, struct error *error);

/* Whether one has come, waiting for it as long as this. */
bool interrupt_wait(int fd, int timeout_ms);

/* The same, and true as well once nobody reads from out any more. */
bool interrupt_wait_or_closed(int fd, FILE *out, int timeout_ms);

#endif
