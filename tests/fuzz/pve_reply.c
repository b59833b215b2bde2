/* SPDX-License-Identifier: Apache-2.0 */
/* A body read as every kind of reply, and as a refusal, a task's name and a task's log: whatever
 * comes back is within its bounds, and a failure has a kind and one line that says why. */
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/pve/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void inspect_message(const struct error *error, enum error_kind kind)
{
    demand(error->kind == kind);
    demand(memchr(error->message, '\0', sizeof error->message));
    demand(!strncmp(error->message, "Proxmox: ", 9) && !strpbrk(error->message, "\r\n\t\x1B"));
}

static void try_refusal(struct pve_reply reply)
{
    struct error error;
    char *reason = mem_copy_text_n(reply.body, reply.length < 100 ? reply.length : 100);
    reply.status = 400;
    reply.reason = reason;
    demand(pve_reply_check(&reply, &error) == -1);
    inspect_message(&error, ERROR_INVALID);
    reply.reason = "";
    demand(pve_reply_check(&reply, &error) == -1);
    inspect_message(&error, ERROR_INVALID);
    free(reason);
}

static void try_upid(const struct pve_reply *reply)
{
    struct error error;
    struct upid upid;
    char text[UPID_SIZE];
    if (pve_reply_upid(reply, text, &error) == 0)
        demand(upid_parse(text, &upid) && *upid.node && *upid.type && *upid.user);
    else
        inspect_message(&error, error.kind == ERROR_MISSING ? ERROR_MISSING : ERROR_CORRUPT);
}

static void try_status(const struct pve_reply *reply)
{
    struct error error;
    struct pve_task_status status;
    if (pve_reply_task_status(reply, &status, &error) == 0)
        demand(!status.running || (!status.succeeded && !*status.exitstatus));
    else
        inspect_message(&error, ERROR_CORRUPT);
}

static void try_runs(const struct pve_reply *reply)
{
    struct error error;
    bool runs;
    if (pve_reply_guest_runs(reply, &runs, &error) < 0)
        inspect_message(&error, ERROR_CORRUPT);
}

static void take_line(int64_t number, const char *line, void *log)
{
    demand(number > 0);
    vzdump_log_take(log, line);
}

static void try_log(const struct pve_reply *reply)
{
    struct error error;
    struct vzdump_log log = {0};
    if (pve_reply_task_log(reply, take_line, &log, &error) < 0)
        inspect_message(&error, ERROR_CORRUPT);
    demand(memchr(log.problem, '\0', sizeof log.problem));
}

static void try_tasks(const struct pve_reply *reply)
{
    struct error error;
    struct upid upid;
    char text[UPID_SIZE];
    if (pve_reply_find_task(reply, "vzdump", 8200, "a@b!cc", 17, text, &error) < 0)
        inspect_message(&error, ERROR_CORRUPT);
    else if (*text)
        demand(upid_parse(text, &upid) && upid.started_at >= 17 && !strcmp(upid.id, "8200") &&
               !strcmp(upid.type, "vzdump") && !strcmp(upid.user, "a@b!cc"));
}

static void try_snapshots(const struct pve_reply *reply)
{
    struct error error;
    struct pve_snapshots snapshots = {0};
    if (pve_reply_snapshots(reply, &snapshots, &error) < 0)
        inspect_message(&error, ERROR_CORRUPT);
    for (size_t i = 0; i < snapshots.count; i++) {
        demand(snapshot_name_check(snapshots.items[i].name, &error) == 0);
        demand(snapshots.items[i].description);
        demand(i == 0 || snapshots.items[i - 1].at <= snapshots.items[i].at);
    }
    pve_snapshots_free(&snapshots);
}

static void try_backups(const struct pve_reply *reply)
{
    struct error error;
    struct pve_backup backup;
    if (pve_reply_newest_backup(reply, 8200, &backup, &error) == 0)
        demand(memchr(backup.archive, '\0', sizeof backup.archive) && backup.size_bytes >= -1);
    else
        inspect_message(&error, ERROR_CORRUPT);
}

static void try_text(const char *text)
{
    struct error error;
    struct upid upid;
    struct vzdump_log log = {0};
    vzdump_log_take(&log, text);
    (void)upid_parse(text, &upid);
    demand(snapshot_name_check(text, &error) == 0 || error.kind == ERROR_INVALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pve_reply reply = {200, "OK", (const char *)data, size};
    char *text = mem_copy_text_n((const char *)data, size);
    try_text(text);
    free(text);
    try_refusal(reply);
    try_upid(&reply);
    try_status(&reply);
    try_runs(&reply);
    try_log(&reply);
    try_tasks(&reply);
    try_snapshots(&reply);
    try_backups(&reply);
    return 0;
}
