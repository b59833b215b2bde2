/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/reply.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "schema/json/json.h"
#include "schema/pve/pve_data.h"

#define WARNINGS "WARNINGS: "

/* --- refusals --- */

/* 595, 596 and 599: Proxmox's proxy did not reach the daemon behind it. */
static const struct {
    int status;
    enum error_kind kind;
} kinds[] = {
    {400, ERROR_INVALID}, {401, ERROR_DENIED}, {403, ERROR_DENIED}, {404, ERROR_MISSING},
    {502, ERROR_BUSY},    {503, ERROR_BUSY},   {504, ERROR_BUSY},   {595, ERROR_BUSY},
    {596, ERROR_BUSY},    {599, ERROR_BUSY},
};

static enum error_kind kind_of(int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].status == status)
            return kinds[i].kind;
    return ERROR_CONFLICT;
}

/* "; "-separated lines of what the map says of each parameter. */
static void add_errors(json_t *errors, struct buffer *out)
{
    const char *separator = ": ";
    const char *name;
    const json_t *value;
    char shown[sizeof((struct error *)NULL)->message];
    json_object_foreach(errors, name, value)
    {
        shown_text(shown, sizeof shown, json_is_string(value) ? json_string_value(value) : "?");
        buffer_add_format(out, "%s%s: %s", separator, name, shown);
        separator = "; ";
    }
}

/* The reason without the full stop at its end. HTTP/2, which a proxy in front may speak, has none:
 * then what the body says. */
static void add_reason(const struct pve_reply *reply, const json_t *document, struct buffer *out)
{
    const char *reason = reply->reason && *reply->reason
                             ? reply->reason
                             : json_get_text(document, "message", "no reason given");
    char shown[384];
    shown_text(shown, sizeof shown, reason);
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
    /* Where Proxmox's server refuses before the API is asked, the body is none. */
    (void)json_read(reply->body, reply->length, &document, &no_document);
    buffer_add_format(&text, "Proxmox: %d ", reply->status);
    add_reason(reply, document, &text);
    add_errors(json_object_get(document, "errors"), &text);
    shown_text(shown, sizeof shown, buffer_text(&text));
    return fail(error, kind_of(reply->status), "%s", shown);
}

/* --- tasks --- */

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

static bool is_success(const char *exitstatus)
{
    if (strncmp(exitstatus, WARNINGS, strlen(WARNINGS)) != 0)
        return strcmp(exitstatus, "OK") == 0;
    const char *count = exitstatus + strlen(WARNINGS);
    return *count && !count[strspn(count, "0123456789")];
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
    *ret = (struct pve_task_status){.succeeded = is_success(exitstatus)};
    shown_text(ret->exitstatus, sizeof ret->exitstatus, exitstatus);
    return 0;
}

struct log_line {
    int64_t number;
    const char *text;
};

static bool read_line(const json_t *item, struct log_line *ret)
{
    ret->text = pve_data_text(item, "t", NULL);
    return pve_data_int(item, "n", 0, &ret->number) && ret->number > 0 && ret->text;
}

/* Proxmox never shows an empty log: this stands in it until the first line is written. */
static bool is_placeholder(const json_t *lines)
{
    struct log_line line;
    return json_array_size(lines) == 1 && read_line(json_array_get(lines, 0), &line) &&
           line.number == 1 && strcmp(line.text, "no content") == 0;
}

static bool are_lines(const json_t *lines)
{
    struct log_line line;
    size_t i = 0;
    while (i < json_array_size(lines) && read_line(json_array_get(lines, i), &line))
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
    if (!are_lines(data))
        return pve_data_fail(error, "the task's log has something else than lines");
    if (is_placeholder(data))
        return 0;
    for (size_t i = 0; i < json_array_size(data); i++)
        if (read_line(json_array_get(data, i), &line))
            visit(line.number, line.text, context);
    return 0;
}
