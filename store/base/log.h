/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to the host's log: entries with fields over systemd's native journal protocol, or plain
 * lines over syslog's socket on hosts without a journal. No function here ever waits, because a
 * hanging log daemon must not delay a guest's start. Callers must never pass a secret. felhom-hook
 * uses journal_send and syslog_send directly; felhomd uses log_line and log_guest.
 */
#ifndef FELHOM_LOG_H
#define FELHOM_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET  "/dev/log"

struct journal_entry {
    int priority;           /* LOG_ERR to LOG_DEBUG */
    const char *identifier; /* the program's name */
    uint32_t vmid;          /* field VMID; 0: not about a guest */
    const char *phase;      /* field PHASE, such as "pre-start"; NULL: none */
    const char *event;      /* field EVENT, such as "mint", as in the audit trail; NULL: none */
    const char *text;       /* control characters become '?'; cut if very long */
};

/* Send an entry to the log daemon's socket at this path. Return false if the entry was not
 * delivered. */
bool journal_send(const char *socket_path, const struct journal_entry *entry);
bool syslog_send(const char *socket_path, const struct journal_entry *entry);

/* Returns true if the journal reads what is written to fd (JOURNAL_STREAM in systemd.exec(5)). */
bool journal_reads(int fd);

/* --- felhomd's log --- */

/* Logs one line of felhomd's. priority: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG.
 * Control characters become '?'. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like log_line, about a guest (vmid 0: none). event: the kind of event, as named in the audit
 * trail. */
void log_guest(int priority, uint32_t vmid, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
