/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/task.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"

/* What the line is about, without blanks and the level in front. */
static const char *skip_level(const char *line)
{
    static const char *const levels[] = {"INFO:", "WARN:", "ERROR:"};
    line += strspn(line, BLANKS);
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        size_t length = strlen(levels[i]);
        if (strncasecmp(line, levels[i], length) == 0)
            return line + length + strspn(line + length, BLANKS);
    }
    return line;
}

/* What follows start, in either case; NULL where the line begins otherwise. */
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
    const char *why = after(rest + strspn(rest, DIGITS), " failed - ");
    if (why && !log->problem[0])
        text_show(log->problem, sizeof log->problem, why);
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

/* What stands between two colons: where it goes, and what it may be. */
struct upid_piece {
    char *copy;
    size_t size;
    bool (*is_valid)(const char *text);
};

static bool is_keyword(const char *text)
{
    return strcmp(text, "UPID") == 0;
}

static bool is_node(const char *text)
{
    size_t length = strlen(text);
    return text_is_all(text, ALNUM "-") && text[0] != '-' && text[length - 1] != '-';
}

static bool is_number(const char *text)
{
    return strlen(text) == 8 && !text[strspn(text, HEX_DIGITS)];
}

/* A host that is up for more than 497 days needs a ninth digit. */
static bool is_process_start(const char *text)
{
    return is_number(text + (strlen(text) == 9));
}

/* Proxmox keeps a task's log under its name: no slash. */
static bool is_plain(const char *text)
{
    const char *c = text;
    while ((unsigned char)*c > ' ' && *c != 0x7F && *c != '/')
        c++;
    return !*c;
}

static bool is_word(const char *text)
{
    return *text && is_plain(text);
}

/* Returns what follows the piece's colon; NULL where text does not begin with such a piece. */
static const char *take_upid_piece(const char *text, const struct upid_piece *piece)
{
    size_t length = strcspn(text, ":");
    if (text[length] != ':' || length >= piece->size)
        return NULL;
    memcpy(piece->copy, text, length);
    piece->copy[length] = '\0';
    return piece->is_valid(piece->copy) ? text + length + 1 : NULL;
}

bool upid_parse(const char *text, struct upid *ret)
{
    struct upid upid = {0};
    char keyword[5];
    char process[9];
    char process_start[10];
    char started_at[9];
    const struct upid_piece pieces[] = {
        {keyword, sizeof keyword, is_keyword},
        {upid.node, sizeof upid.node, is_node},
        {process, sizeof process, is_number},
        {process_start, sizeof process_start, is_process_start},
        {started_at, sizeof started_at, is_number},
        {upid.type, sizeof upid.type, is_word},
        {upid.id, sizeof upid.id, is_plain},
        {upid.user, sizeof upid.user, is_word},
    };
    if (strnlen(text, UPID_SIZE) == UPID_SIZE)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        text = take_upid_piece(text, &pieces[i]);
        if (!text)
            return false;
    }
    upid.started_at = (int64_t)strtoul(started_at, NULL, 16);
    if (!*text)
        *ret = upid;
    return !*text;
}
