/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/vzdump_log.h"

#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"

/* What the line is about, without blanks and the level in front. */
static const char *skip_level(const char *line)
{
    static const char *const levels[] = {"INFO:", "WARN:", "ERROR:"};
    line += strspn(line, " \t");
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        size_t length = strlen(levels[i]);
        if (strncasecmp(line, levels[i], length) == 0)
            return line + length + strspn(line + length, " \t");
    }
    return line;
}

/* What follows start; NULL where the line begins otherwise. */
static const char *after(const char *line, const char *start)
{
    size_t length = strlen(start);
    return strncasecmp(line, start, length) == 0 ? line + length : NULL;
}

static void take_mode(struct vzdump_log *log, const char *mode)
{
    log->is_snapshot_mode = strncasecmp(mode, "snapshot", 8) == 0 && strchr(" \t\r", mode[8]);
}

static void take_storage_snapshot(struct vzdump_log *log, const char *rest)
{
    (void)rest;
    log->began_snapshot = true;
}

/* "creating vzdump archive 'FILE'", "creating Proxmox Backup Server archive 'ct/8200/TIME'" */
static void take_archive(struct vzdump_log *log, const char *rest)
{
    if (strstr(rest, " archive '"))
        log->snapshotted |= log->is_snapshot_mode && log->began_snapshot;
}

static void take_qemu_job(struct vzdump_log *log, const char *rest)
{
    (void)rest;
    log->snapshotted |= log->is_snapshot_mode;
}

/* "VMID failed - WHY"; the first of them counts. */
static void take_problem(struct vzdump_log *log, const char *rest)
{
    const char *why = after(rest + strspn(rest, "0123456789"), " failed - ");
    if (why && !log->problem[0])
        shown_text(log->problem, sizeof log->problem, why);
}

static const struct {
    const char *start;
    void (*take)(struct vzdump_log *log, const char *rest);
} lines[] = {
    {"backup mode: ", take_mode},
    {"create storage snapshot 'vzdump'", take_storage_snapshot},
    {"creating ", take_archive},
    {"started backup task '", take_qemu_job},
    {"starting NBD server", take_qemu_job},
    {"Backup of VM ", take_problem},
};

void vzdump_log_take(struct vzdump_log *log, const char *line)
{
    const char *text = skip_level(line);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        const char *rest = after(text, lines[i].start);
        if (rest)
            lines[i].take(log, rest);
    }
}
