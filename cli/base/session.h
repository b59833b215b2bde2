/* SPDX-License-Identifier: Apache-2.0 */
/* What nearly every verb needs first: agent.yaml, and the store whose path is in it. */
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

/* Loads agent.yaml and opens the existing store; if there is none, the message says to run init.
 * The caller closes the session, which wakes felhomd if the store was written. */
int session_open(struct session *ret, struct error *error);

/* Like session_open, but goes by the last good agent.yaml while agent.yaml is bad: for what guests
 * depend on and no operator attends. ret_fault->message then says what is wrong; else its kind is
 * ERROR_NONE. Fails if there is no such copy. */
int session_open_unattended(struct session *ret, struct error *ret_fault, struct error *error);

void session_close(struct session *session);

#define cleanup_session cleanup(session_close)

/* Adds an event to the audit trail: what the operator did to a guest (vmid 0: to the host). */
int session_event(const struct session *session, uint32_t vmid, const char *kind,
                  const char *detail, struct error *error);

/*
 * Adds an event that the operator's verb has failed and taken back what it did. This also keeps a
 * transaction from coming back whose commit failed once it was written: what is written next takes
 * its place in the store's log. That the event cannot be added is no failure.
 */
void session_event_failed(const struct session *session, uint32_t vmid, const char *kind,
                          const char *why);

/*
 * Deletes the secrets in GUESTS/VMID, then revokes all of the guest's tokens and dooms its registry
 * tokens, even if deleting failed. *ret_count is the number of good tokens that were revoked.
 */
int session_revoke(const struct session *session, uint32_t vmid, const char *reason, int *ret_count,
                   struct error *error);

/* Like guest_find, but the message of ERROR_MISSING says to enroll the guest. */
int session_find_guest(const struct session *session, uint32_t vmid, struct guest *ret,
                       struct error *error);

/* Signals: a verb that has something to clean up does so before it ends. */

/* From here on the terminal (Ctrl-Z) stops the process only while it waits in one of the functions
 * below. Elsewhere it may hold a lock that guests' starts wait for. */
void session_forbid_stops(void);

/* Blocks SIGINT, SIGTERM and SIGHUP from here on. The returned descriptor becomes readable when one
 * of them arrives; the caller closes it. */
int session_interrupt_open(int *ret_fd, struct error *error);

/* Waits at most timeout_ms for such a signal; returns true if one arrived. */
bool session_interrupt_wait(int fd, int timeout_ms);

/* Like session_interrupt_wait, but also returns true once out has no reader any more. */
bool session_interrupt_wait_or_closed(int fd, FILE *out, int timeout_ms);

#endif
