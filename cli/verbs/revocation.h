/* SPDX-License-Identifier: Apache-2.0 */
/* Revoking all of a guest's tokens, for revoke and unenroll. */
#ifndef FELHOM_REVOCATION_H
#define FELHOM_REVOCATION_H

#include <stdint.h>

#include "cli/base/session.h"
#include "cli/base/steps.h"

/* Revokes all good tokens of the guest, and the registry credentials that it got by them, within
 * the caller's transaction; *ret_count is their number. */
int revocation_in_transaction(struct store *store, uint32_t vmid, const char *reason,
                              int *ret_count, struct error *error);

/*
 * Deletes the secrets in GUESTS/VMID, then revokes all of the guest's tokens, even if deleting
 * failed. Adds a step; *ret_count is the number of good tokens that were revoked.
 */
int revocation_run(const struct session *session, uint32_t vmid, const char *reason,
                   struct steps *steps, int *ret_count, struct error *error);

#endif
