/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/reply.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/vmid.h"
#include "schema/json/json.h"

#define DIGITS_MAX 18 /* 18 digits always fit into an int64_t */

/* --- UPIDs --- */

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
    return strlen(text) == 8 && text_is_all(text, HEX_DIGITS);
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

/* --- API tokens --- */

#define UUID_LENGTH 36

/* True for the name of a realm, or of a token within its user. */
static bool token_is_id(const char *text, size_t length)
{
    return length >= 2 && strchr(LETTERS, text[0]) && strspn(text, LETTERS DIGITS ".-_") >= length;
}

/* True for the name of a user: Proxmox forbids blanks, : and / in it; % and ; would change the
 * meaning of the header. */
static bool token_is_user(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7F || strchr(":/%;", text[i]))
            return false;
    return length > 0;
}

static bool token_is_uuid(const char *text)
{
    static const char shape[] = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
    if (strlen(text) != UUID_LENGTH)
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == '-' ? text[i] != '-' : !strchr(HEX_DIGITS, text[i]))
            return false;
    return true;
}

size_t api_token_user_length(const char *text)
{
    const char *secret = strrchr(text, '=');
    const char *id = secret ? memrchr(text, '!', (size_t)(secret - text)) : NULL;
    const char *realm = id ? memrchr(text, '@', (size_t)(id - text)) : NULL;
    if (!realm || !token_is_uuid(secret + 1) || secret - text >= API_TOKEN_USER_SIZE)
        return 0;
    bool is_token = token_is_user(text, (size_t)(realm - text)) &&
                    token_is_id(realm + 1, (size_t)(id - realm - 1)) &&
                    token_is_id(id + 1, (size_t)(secret - id - 1));
    return is_token ? (size_t)(secret - text) : 0;
}

/* --- the data of a reply --- */

/* Fails with ERROR_CORRUPT; what: how the reply differs from Proxmox's documentation. */
static int pve_data_fail(struct error *error, const char *what)
{
    return fail(error, ERROR_CORRUPT, "Proxmox: its reply is not as documented: %s", what);
}

/* Parses the reply and checks the type of its data member. *ret becomes that member; the caller
 * releases it with json_decref. Fails with ERROR_CORRUPT. */
static int pve_data_read(const struct pve_reply *reply, json_type type, json_t **ret,
                         struct error *error)
{
    cleanup_json json_t *document = NULL;
    struct error problem;
    char shown[sizeof problem.message / 2];
    if (json_read(reply->body, reply->length, &document, &problem) < 0) {
        text_show(shown, sizeof shown, problem.message);
        return pve_data_fail(error, shown);
    }
    json_t *data = json_object_get(document, "data");
    if (!data || json_typeof(data) != type)
        return pve_data_fail(error, data ? "data is of another type" : "there is no data");
    *ret = json_incref(data);
    return 0;
}

static bool read_digits(const char *text, int64_t *ret)
{
    size_t digits = strspn(text, DIGITS);
    if (digits == 0 || digits > DIGITS_MAX || text[digits])
        return false;
    *ret = strtoll(text, NULL, 10);
    return true;
}

/*
 * Reads the integer at a key of the object; Proxmox's Perl code sometimes sends numbers as text. If
 * the key is missing or null, *ret becomes otherwise. Returns false and leaves *ret untouched if
 * the value is anything else.
 */
static bool pve_data_int(const json_t *object, const char *key, int64_t otherwise, int64_t *ret)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_string(value))
        return read_digits(json_string_value(value), ret);
    if (value && !json_is_null(value) && !json_is_integer(value))
        return false;
    *ret = json_is_integer(value) ? json_integer_value(value) : otherwise;
    return true;
}

/* Returns the text at a key; otherwise (may be NULL) if the key is missing or null; NULL if the
 * value is no text. */
static const char *pve_data_text(const json_t *object, const char *key, const char *otherwise)
{
    const json_t *value = json_object_get(object, key);
    return !value || json_is_null(value) ? otherwise : json_string_value(value);
}

/* --- lists of tasks --- */

struct wanted_task {
    const char *type;
    uint32_t vmid;
    const char *user;
    int64_t since;
};

/* Only the UPID is compared: Proxmox formats the user member differently for running and for ended
 * tasks. */
static bool is_wanted_task(const struct upid *upid, const struct wanted_task *wanted)
{
    uint32_t vmid;
    return vmid_parse(upid->id, &vmid) && vmid == wanted->vmid &&
           strcmp(upid->type, wanted->type) == 0 && strcmp(upid->user, wanted->user) == 0 &&
           upid->started_at >= wanted->since;
}

/* Returns the UPID of the oldest task that matches; "" if there is none; NULL if the list is not as
 * documented. */
static const char *find_oldest_task(const json_t *tasks, const struct wanted_task *wanted)
{
    struct upid upid;
    int64_t oldest_at = 0;
    const char *oldest = "";
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const char *text = pve_data_text(json_array_get(tasks, i), "upid", NULL);
        if (!text)
            return NULL;
        if (!upid_parse(text, &upid) || !is_wanted_task(&upid, wanted) ||
            (*oldest && upid.started_at >= oldest_at))
            continue;
        oldest = text;
        oldest_at = upid.started_at;
    }
    return oldest;
}

int pve_reply_find_task(const struct pve_reply *reply, const char *type, uint32_t vmid,
                        const char *user, int64_t since, char ret[static UPID_SIZE],
                        struct error *error)
{
    const struct wanted_task wanted = {type, vmid, user, since};
    cleanup_json json_t *data = NULL;
    if (pve_data_read(reply, JSON_ARRAY, &data, error) < 0)
        return -1;
    const char *found = find_oldest_task(data, &wanted);
    if (!found)
        return pve_data_fail(error, "a task has no UPID");
    memcpy(ret, found, strlen(found) + 1);
    return 0;
}

/* --- snapshots --- */

void pve_snapshots_free(struct pve_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++)
        free(snapshots->items[i].description);
    free(snapshots->items);
    *snapshots = (struct pve_snapshots){0};
}

/* Leaves out "current" (the guest's present state), "vzdump" (used by a running backup), and
 * snapshots with a snapstate, which are still being created or deleted. */
static bool snapshot_is_usable(const json_t *item, const char *name)
{
    struct error ignored;
    return snapshot_name_check(name, &ignored) == 0 && !json_object_get(item, "snapstate");
}

static void copy_snapshot_name(const char *name, char ret[static SNAPSHOT_NAME_SIZE])
{
    size_t length = strlen(name);
    if (length < SNAPSHOT_NAME_SIZE)
        memcpy(ret, name, length + 1);
}

/* Proxmox keeps a description as comment lines, and ends each of them with a newline when it reads
 * them: the last one is not the guest's. */
static char *copy_description(const char *text)
{
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '\n')
        length--;
    return mem_copy_text_n(text, length);
}

static int add_snapshot(const json_t *item, struct pve_snapshots *snapshots, struct error *error)
{
    struct pve_snapshot snapshot = {0};
    const char *name = pve_data_text(item, "name", NULL);
    const char *description = pve_data_text(item, "description", "");
    const char *parent = pve_data_text(item, "parent", "");
    if (!name || !description || !parent || !pve_data_int(item, "snaptime", 0, &snapshot.at))
        return pve_data_fail(error, "a snapshot has no name, or what it has is of another type");
    if (!snapshot_is_usable(item, name))
        return 0;
    copy_snapshot_name(name, snapshot.name);
    copy_snapshot_name(parent, snapshot.parent);
    snapshot.description = copy_description(description);
    snapshots->items[snapshots->count++] = snapshot;
    return 0;
}

static int compare_snapshots(const void *a, const void *b)
{
    const struct pve_snapshot *one = a;
    const struct pve_snapshot *other = b;
    if (one->at != other->at)
        return one->at < other->at ? -1 : 1;
    return strcmp(one->name, other->name);
}

int pve_reply_snapshots(const struct pve_reply *reply, struct pve_snapshots *ret,
                        struct error *error)
{
    cleanup_json json_t *data = NULL;
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    if (pve_data_read(reply, JSON_ARRAY, &data, error) < 0)
        return -1;
    snapshots.items = mem_new_array(json_array_size(data) + 1, sizeof *snapshots.items);
    for (size_t i = 0; i < json_array_size(data); i++)
        if (add_snapshot(json_array_get(data, i), &snapshots, error) < 0)
            return -1;
    qsort(snapshots.items, snapshots.count, sizeof *snapshots.items, compare_snapshots);
    *ret = steal(snapshots);
    return 0;
}

/* --- backups --- */

struct backup_item {
    const char *archive;
    const char *content;
    int64_t vmid;
    int64_t size_bytes;
    int64_t at;
};

/* Returns false if the item has no volume id, or a member of the wrong type. Where the exact size
 * takes long to find out, Proxmox reports only an approximate one. */
static bool read_backup(const json_t *json, struct backup_item *ret)
{
    int64_t approximate_bytes;
    *ret = (struct backup_item){0};
    ret->archive = pve_data_text(json, "volid", NULL);
    ret->content = pve_data_text(json, "content", "backup");
    bool is_backup = ret->archive && ret->content &&
                     strlen(ret->archive) < sizeof((struct pve_backup *)NULL)->archive &&
                     pve_data_int(json, "vmid", 0, &ret->vmid) &&
                     pve_data_int(json, "ctime", 0, &ret->at) &&
                     pve_data_int(json, "approximate-size", -1, &approximate_bytes) &&
                     pve_data_int(json, "size", approximate_bytes, &ret->size_bytes);
    if (ret->size_bytes < 0)
        ret->size_bytes = -1;
    return is_backup;
}

static bool is_newer_backup(const struct backup_item *item, const struct backup_item *than)
{
    if (item->at != than->at)
        return item->at > than->at;
    return strcmp(item->archive, than->archive) > 0;
}

/* Finds the VMID's newest backup; ret->archive is "" if there is none. Returns false if the list is
 * not as documented. */
static bool find_newest_backup(const json_t *items, uint32_t vmid, struct backup_item *ret)
{
    *ret = (struct backup_item){.archive = "", .at = INT64_MIN};
    for (size_t i = 0; i < json_array_size(items); i++) {
        struct backup_item item;
        if (!read_backup(json_array_get(items, i), &item))
            return false;
        if (item.vmid == vmid && strcmp(item.content, "backup") == 0 && is_newer_backup(&item, ret))
            *ret = item;
    }
    return true;
}

int pve_reply_newest_backup(const struct pve_reply *reply, uint32_t vmid, struct pve_backup *ret,
                            struct error *error)
{
    cleanup_json json_t *data = NULL;
    struct backup_item newest;
    if (pve_data_read(reply, JSON_ARRAY, &data, error) < 0)
        return -1;
    if (!find_newest_backup(data, vmid, &newest))
        return pve_data_fail(error, "a backup has no volume id, or what it has is of another type");
    *ret = (struct pve_backup){.size_bytes = -1};
    if (!*newest.archive)
        return 0;
    ret->size_bytes = newest.size_bytes;
    ret->at = newest.at;
    memcpy(ret->archive, newest.archive, strlen(newest.archive) + 1);
    return 0;
}

/* --- names of snapshots --- */

static const char *const reserved[] = {"current", "pending", "vzdump"};

int snapshot_name_check(const char *name, struct error *error)
{
    size_t length = strlen(name);
    if (length < 2 || length >= SNAPSHOT_NAME_SIZE)
        return fail(error, ERROR_INVALID, "a snapshot's name has 2 to %d characters",
                    SNAPSHOT_NAME_SIZE - 1);
    if (!strchr(LETTERS, name[0]) || name[strspn(name, LETTERS DIGITS "_-")])
        return fail(error, ERROR_INVALID,
                    "a snapshot's name begins with a letter and goes on with letters, digits, _ "
                    "and -");
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (strcasecmp(name, reserved[i]) == 0)
            return fail(error, ERROR_INVALID, "a snapshot cannot be named %s: Proxmox uses that",
                        reserved[i]);
    return 0;
}

/* --- refusals --- */

/* 595, 596 and 599: Proxmox's proxy could not reach the daemon behind it. */
static const struct {
    int status;
    enum error_kind kind;
} kinds[] = {
    {400, ERROR_INVALID}, {401, ERROR_DENIED}, {403, ERROR_DENIED}, {404, ERROR_MISSING},
    {502, ERROR_BUSY},    {503, ERROR_BUSY},   {504, ERROR_BUSY},   {595, ERROR_BUSY},
    {596, ERROR_BUSY},    {599, ERROR_BUSY},
};

static enum error_kind kind_of_status(int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].status == status)
            return kinds[i].kind;
    return ERROR_CONFLICT;
}

/* Appends the error message of each parameter, separated by "; ". */
static void refusal_add_errors(json_t *errors, struct buffer *out)
{
    const char *separator = ": ";
    const char *name;
    const json_t *value;
    char shown[sizeof((struct error *)NULL)->message];
    json_object_foreach(errors, name, value)
    {
        text_show(shown, sizeof shown, json_is_string(value) ? json_string_value(value) : "?");
        buffer_add_format(out, "%s%s: %s", separator, name, shown);
        separator = "; ";
    }
}

/* Appends the reason without its final full stop. HTTP/2, which a proxy in front of Proxmox may
 * use, has no reason in its status line; the body's message is used instead. */
static void refusal_add_reason(const struct pve_reply *reply, const json_t *document,
                               struct buffer *out)
{
    const char *reason = reply->reason && *reply->reason
                             ? reply->reason
                             : json_get_text(document, "message", "no reason given");
    char shown[384];
    text_show(shown, sizeof shown, reason);
    size_t length = strlen(shown);
    buffer_add(out, shown, length - (length > 0 && shown[length - 1] == '.'));
}

int pve_reply_check(const struct pve_reply *reply, struct error *error)
{
    cleanup_json json_t *document = NULL;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    char shown[sizeof error->message];
    struct error no_document;
    if (reply->status >= 200 && reply->status < 300)
        return 0;
    /* The body is no JSON if Proxmox's HTTP server refuses the request before it reaches the
     * API. */
    (void)json_read(reply->body, reply->length, &document, &no_document);
    buffer_add_format(&text, "Proxmox: %d ", reply->status);
    refusal_add_reason(reply, document, &text);
    refusal_add_errors(json_object_get(document, "errors"), &text);
    text_show(shown, sizeof shown, buffer_text(&text));
    return fail(error, kind_of_status(reply->status), "%s", shown);
}

/* --- one task --- */

int pve_reply_upid(const struct pve_reply *reply, char ret[static UPID_SIZE], struct error *error)
{
    cleanup_json json_t *data = NULL;
    struct upid upid;
    if (pve_data_read(reply, JSON_STRING, &data, error) < 0)
        return -1;
    const char *text = json_string_value(data);
    if (strcmp(text, "OK") == 0)
        return fail(error, ERROR_MISSING,
                    "Proxmox: it has begun nothing, as the guest is not on this node");
    if (!upid_parse(text, &upid))
        return pve_data_fail(error, "the task has no UPID");
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

static bool task_succeeded(const char *exitstatus)
{
    const char *count = text_after(exitstatus, "WARNINGS: ");
    return count ? text_is_all(count, DIGITS) : strcmp(exitstatus, "OK") == 0;
}

int pve_reply_task_status(const struct pve_reply *reply, struct pve_task_status *ret,
                          struct error *error)
{
    cleanup_json json_t *data = NULL;
    if (pve_data_read(reply, JSON_OBJECT, &data, error) < 0)
        return -1;
    const char *status = json_get_text(data, "status", "");
    const char *exitstatus = json_get_text(data, "exitstatus", "");
    if (strcmp(status, "running") == 0) {
        *ret = (struct pve_task_status){.running = true};
        return 0;
    }
    if (strcmp(status, "stopped") != 0 || !*exitstatus)
        return pve_data_fail(error, "the task neither runs nor has it ended");
    *ret = (struct pve_task_status){.succeeded = task_succeeded(exitstatus)};
    text_show(ret->exitstatus, sizeof ret->exitstatus, exitstatus);
    return 0;
}

int pve_reply_guest_runs(const struct pve_reply *reply, bool *ret, struct error *error)
{
    cleanup_json json_t *data = NULL;
    if (pve_data_read(reply, JSON_OBJECT, &data, error) < 0)
        return -1;
    const char *status = json_get_text(data, "status", "");
    const bool runs = strcmp(status, "running") == 0;
    if (!runs && strcmp(status, "stopped") != 0)
        return pve_data_fail(error, "the guest neither runs nor is it stopped");
    *ret = runs;
    return 0;
}

struct log_line {
    int64_t number;
    const char *text;
};

static bool read_log_line(const json_t *item, struct log_line *ret)
{
    ret->text = pve_data_text(item, "t", NULL);
    return pve_data_int(item, "n", 0, &ret->number) && ret->number > 0 && ret->text;
}

/* Proxmox does not return an empty log: it returns this line until the first line is written. */
static bool is_empty_log(const json_t *lines)
{
    struct log_line line;
    return json_array_size(lines) == 1 && read_log_line(json_array_get(lines, 0), &line) &&
           line.number == 1 && strcmp(line.text, "no content") == 0;
}

static bool is_log(const json_t *lines)
{
    struct log_line line;
    size_t i = 0;
    while (i < json_array_size(lines) && read_log_line(json_array_get(lines, i), &line))
        i++;
    return i == json_array_size(lines);
}

int pve_reply_task_log(const struct pve_reply *reply,
                       void (*visit)(int64_t number, const char *line, void *context),
                       void *context, struct error *error)
{
    cleanup_json json_t *data = NULL;
    struct log_line line;
    if (pve_data_read(reply, JSON_ARRAY, &data, error) < 0)
        return -1;
    if (!is_log(data))
        return pve_data_fail(error, "the task's log has something else than lines");
    if (is_empty_log(data))
        return 0;
    for (size_t i = 0; i < json_array_size(data); i++)
        if (read_log_line(json_array_get(data, i), &line))
            visit(line.number, line.text, context);
    return 0;
}

/* --- the log of a backup task --- */

/* Returns what follows start in the line, ignoring case; NULL if the line begins otherwise. */
static const char *line_after(const char *line, const char *start)
{
    size_t length = strlen(start);
    return strncasecmp(line, start, length) == 0 ? line + length : NULL;
}

/* Returns the line without leading blanks and the level (INFO:, WARN:, ERROR:). */
static const char *skip_level(const char *line)
{
    static const char *const levels[] = {"INFO:", "WARN:", "ERROR:"};
    line += strspn(line, BLANKS);
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        const char *rest = line_after(line, levels[i]);
        if (rest)
            return rest + strspn(rest, BLANKS);
    }
    return line;
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
