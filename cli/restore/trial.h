/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One restore test: a guest's newest backup is restored to a spare VMID, made harmless, started,
 * and destroyed again, whatever happened. The original is only read.
 */
#ifndef FELHOM_RESTORE_TRIAL_H
#define FELHOM_RESTORE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/base/session.h"
#include "cli/pve/command.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"
#include "store/tables/restore_test.h"

/* *ret is the test as the store has it in the end, whether it passed or not. Fails where none
 * could be begun: ERROR_MISSING where there is no backup. */
int restore_trial_run(const struct session *session, uint32_t vmid, int interrupt_fd,
                      struct restore_test *ret, struct error *error);

/* Destroys what a test that was killed has left. *ret_found tells whether there was anything. */
int restore_trial_clear(const struct session *session, const struct restore_test *test,
                        bool *ret_found, struct error *error);

/* The backups of a guest that Proxmox has. */

/*
 * The volume id of the newest one on the storage, the caller's to free with free(). Those of
 * another kind of guest, which had the VMID before, do not count. ERROR_MISSING where there is
 * none.
 */
int backup_archive_newest(const char *storage, enum guest_kind kind, uint32_t vmid,
                          struct pve_limits limits, char **ret, struct error *error);

#endif
