/* SPDX-License-Identifier: Apache-2.0 */
/* What can be seen of felhomd from beside it, without asking it anything: nothing of this shows in
 * its log or counts against its limits. */
#ifndef FELHOM_DAEMON_SIGHT_H
#define FELHOM_DAEMON_SIGHT_H

#include <stdbool.h>
#include <sys/types.h>

#include "schema/agent/config.h"

enum daemon_state {
    DAEMON_ABSENT,    /* nobody listens, nobody hears of changes */
    DAEMON_STARTING,  /* it hears, and does not listen (yet): its address may be missing */
    DAEMON_FOREIGN,   /* something listens there, and does not hear: it is not this store's */
    DAEMON_LISTENING, /* both */
};

struct daemon_sight {
    enum daemon_state state;
    pid_t pid;     /* of who listens; 0: not known */
    char unit[16]; /* systemd's word for felhomd.service: "active", ...; "" where there is none */
};

/* endpoint: A.B.C.D:PORT. */
struct daemon_sight daemon_look(const struct config *config, const char *endpoint);

/* "listens", "does not run", ...: in words. */
const char *daemon_state_text(enum daemon_state state);

#endif
