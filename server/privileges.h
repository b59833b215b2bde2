/* SPDX-License-Identifier: Apache-2.0 */
/* What felhomd gives up before it serves anybody: core dumps, being traced, and the rights of
 * root. */
#ifndef FELHOM_PRIVILEGES_H
#define FELHOM_PRIVILEGES_H

#include "schema/base/error.h"

/* Forbids core dumps and tracing by other processes, because the process holds the private key
 * and sees tokens. */
void privileges_seal(void);

/* Gives up CAP_NET_RAW in every set of capabilities, for good: once the packet socket is open,
 * nothing needs it. Call it before the first thread is started. */
int privileges_drop_raw(struct error *error);

/* If the process is root, there is a user felhom-agent, and that user owns state_dir, it becomes
 * that user; otherwise nothing changes. On failure -1, and the process may still be root. */
int privileges_drop(const char *state_dir, struct error *error);

#endif
