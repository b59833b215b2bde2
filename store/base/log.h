/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's log: entries with fields, by systemd's native journal protocol, or without them by
 * syslog's where there is no journal. Nothing here ever waits: a log daemon that hangs must not
 * hold up a guest. Never given a secret.
 */
#ifndef FELHOM_LOG_H
#define FELHOM_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET  "/dev/log"

struct journal_entry {
    int priority;           /* LOG_ERR ... LOG_DEBUG */
    const char *identifier; /* the program */
    uint32_t vmid;          /* field VMID; 0: of no guest */
    const char *phase;      /* field PHASE: "pre-start", ...; NULL: in none */
    const char *event;      /* field EVENT: "mint", "revoke", ... as in the audit trail; NULL */
    const char *text;       /* control characters are shown as '?'; cut when very long */
};

/* Sends it to the socket of that path; false if it did not get there. */
bool journal_send(const char *socket_path, const struct journal_entry *entry);
bool syslog_send(const char *socket_path, const struct journal_entry *entry);

/* Whether the journal reads what is written to fd (JOURNAL_STREAM in systemd.exec(5)). */
bool journal_reads(int fd);

/* --- felhomd's log --- */

/* priority: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG. One line; control characters
 * are shown as '?'. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same about a guest (0: none). event: what happened to it, by the names of the audit trail. */
void log_guest(int priority, uint32_t vmid, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
