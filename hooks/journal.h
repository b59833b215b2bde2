/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's log: one entry for each thing said, to the journal with fields (VMID, PHASE) or to
 * /dev/log where there is no journal. It never waits: a log daemon that hangs must not hold up a
 * guest. Contract: systemd's native journal protocol.
 */
#ifndef FELHOM_JOURNAL_H
#define FELHOM_JOURNAL_H

#include <stdint.h>

struct journal_entry {
    int priority; /* LOG_ERR ... LOG_INFO */
    uint32_t vmid;
    const char *phase;
    const char *text; /* one line */
};

/* Sends it; a host without a log is no error. */
void journal_send(const struct journal_entry *entry);

#endif
