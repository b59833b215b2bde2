/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon gives up before it serves anybody. */
#ifndef FELHOM_PRIVILEGES_H
#define FELHOM_PRIVILEGES_H

#include "schema/base/error.h"

/* No core dumps and no tracing by others: the process holds the private key and sees tokens. */
void privileges_seal(void);

/* Root becomes the user felhom-agent if there is one and the state directory is its own; anybody
 * else stays who they are. */
int privileges_drop(const char *state_dir, struct error *error);

#endif
