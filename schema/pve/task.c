/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/task.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"

/* Returns the line without leading blanks and the level (INFO:, WARN:, ERROR:). */
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

/* Returns what follows start in the line, ignoring case; NULL if the line begins otherwise. */
static const char *line_after(const char *line, const char *start)
{
    size_t length = strlen(start);
    return strncasecmp(line, start, length) == 0 ? line + length : NULL;
}

static void log_take_mode(struct vzdump_log *log, const char *mode)
{
    log->is_snapshot_mode = strncasecmp(mode, "snapshot", 8) == 0 && strchr(" \t\r", mode[8]);
}

static void log_take_storage_snapshot(struct vzdump_log *log, const char *rest)
{
    (void)rest;
    log->began_snapshot = true;
}

/* Matches "creating vzdump archive 'FILE'" and "creating Proxmox Backup Server archive
 * 'ct/8200/TIME'". */
static void log_take_archive(struct vzdump_log *log, const char *rest)
{
    if (strstr(rest, " archive '"))
        log->snapshotted |= log->is_snapshot_mode && log->began_snapshot;
}

static void log_take_qemu_job(struct vzdump_log *log, const char *rest)
{
    (void)rest;
    log->snapshotted |= log->is_snapshot_mode;
}

/* Matches "VMID failed - WHY". The first such line counts. */
static void log_take_problem(struct vzdump_log *log, const char *rest)
{
    const char *why = line_after(rest + strspn(rest, DIGITS), " failed - ");
    if (why && !log->problem[0])
        text_show(log->problem, sizeof log->problem, why);
}

static const struct {
    const char *start;
    void (*take)(struct vzdump_log *log, const char *rest);
} lines[] = {
    {"backup mode: ", log_take_mode},
    {"create storage snapshot 'vzdump'", log_take_storage_snapshot},
    {"creating ", log_take_archive},
    {"started backup task '", log_take_qemu_job},
    {"starting NBD server", log_take_qemu_job},
    {"Backup of VM ", log_take_problem},
};

void vzdump_log_take(struct vzdump_log *log, const char *line)
{
    const char *text = skip_level(line);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        const char *rest = line_after(text, lines[i].start);
        if (rest)
            lines[i].take(log, rest);
    }
}

/* One piece of a UPID between two colons: where to copy it, and which texts are valid. */
struct upid_piece {
    char *copy;
    size_t size;
    bool (*is_valid)(const char *text);
};

static bool is_upid_keyword(const char *text)
{
    return strcmp(text, "UPID") == 0;
}

static bool is_upid_node(const char *text)
{
    size_t length = strlen(text);
    return text_is_all(text, ALNUM "-") && text[0] != '-' && text[length - 1] != '-';
}

static bool is_upid_number(const char *text)
{
    return strlen(text) == 8 && !text[strspn(text, HEX_DIGITS)];
}

/* The start time of a process needs a ninth digit once the host has been up for more than 497
 * days. */
static bool is_process_start(const char *text)
{
    return is_upid_number(text + (strlen(text) == 9));
}

/* A UPID is the name of the task's log file, so it must not contain a slash. */
static bool is_upid_plain(const char *text)
{
    const char *c = text;
    while ((unsigned char)*c > ' ' && *c != 0x7F && *c != '/')
        c++;
    return !*c;
}

static bool is_upid_word(const char *text)
{
    return *text && is_upid_plain(text);
}

/* Copies the piece at the start of text and returns what follows its colon; NULL if the text does
 * not begin with a valid piece. */
static const char *upid_take_piece(const char *text, const struct upid_piece *piece)
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
        {keyword, sizeof keyword, is_upid_keyword},
        {upid.node, sizeof upid.node, is_upid_node},
        {process, sizeof process, is_upid_number},
        {process_start, sizeof process_start, is_process_start},
        {started_at, sizeof started_at, is_upid_number},
        {upid.type, sizeof upid.type, is_upid_word},
        {upid.id, sizeof upid.id, is_upid_plain},
        {upid.user, sizeof upid.user, is_upid_word},
    };
    if (strnlen(text, UPID_SIZE) == UPID_SIZE)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        text = upid_take_piece(text, &pieces[i]);
        if (!text)
            return false;
    }
    upid.started_at = (int64_t)strtoul(started_at, NULL, 16);
    if (!*text)
        *ret = upid;
    return !*text;
}
