/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps what the store knows of the guests' NICs and mounts up to date while they run. An operator
 * can add, change and remove both on a running guest, and Proxmox calls no hook then: a guest whose
 * Ethernet address was changed would be a stranger until its next start.
 *
 * Proxmox's file system numbers the changes (/etc/pve/.version, .vmlist), so a look at it costs one
 * small file unless a guest's configuration has changed, and then the changed ones are read. On a
 * host without these files nothing is ever read. The main thread looks every ten seconds; who is
 * about to refuse a connection because of its Ethernet address has it looked once more, which
 * happens no more often than every GUEST_REFRESH_PAUSE_US, whoever asks for it. Any thread may call
 * these functions.
 */
#ifndef FELHOM_GUEST_REFRESH_H
#define FELHOM_GUEST_REFRESH_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "server/base/limiter.h"
#include "server/base/store_pool.h"

#define GUEST_REFRESH_PAUSE_US 100000

struct guest_refresh;

struct guest_refresh *guest_refresh_new(void);
void guest_refresh_free(struct guest_refresh *refresh);

/*
 * Records the NICs and mounts of each guest of the store whose configuration has changed since the
 * last look, with an event for the guest; the first look is at all guests. Failures are logged; a
 * configuration that cannot be read leaves the guest as it was. /etc/pve can hang: one thread at a
 * time reads it. The others go by what is known, after they have waited until that look is 50 ms
 * old at most; if it is older, or an eighth of limits.threads wait, they do so at once.
 */
void guest_refresh_look(struct guest_refresh *refresh, struct store_pool *stores,
                        const struct config *config, struct throttled_log *log);

/* A number that grows whenever a look has changed the store; what was read from the store after the
 * number is at least as new as it says. */
uint64_t guest_refresh_serial(const struct guest_refresh *refresh);

#endif
