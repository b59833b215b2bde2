/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call builds a struct pve_request; pve_request_perform reads the token from its file, sends
 * the request with it, and keeps the reply in the request. After that client->status and
 * client->may_have_begun tell how far the request got.
 */
#include "server/jobs/pve_client.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/base/vmid.h"
#include "server/outbound/http_client.h"
#include "store/base/clock.h"
#include "store/files/file.h"

#define TOKEN_FILE_LIMIT ((size_t)4096)
#define UUID_LENGTH      ((size_t)36)
#define REPLY_LIMIT      (4 * MIB) /* a list of backups has some 300 bytes for each backup */
#define TASKS_MAX        "1000"    /* of one type, for one guest, since the job was begun */

/* --- the API token --- */

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
        if (shape[i] == '-' ? text[i] != '-' : !strchr(DIGITS "abcdefABCDEF", text[i]))
            return false;
    return true;
}

/* Returns the length of USER@REALM!TOKENID; 0 if the text is not a token. */
static size_t token_user_length(const char *text)
{
    const char *secret = strrchr(text, '=');
    const char *id = secret ? memrchr(text, '!', (size_t)(secret - text)) : NULL;
    const char *realm = id ? memrchr(text, '@', (size_t)(id - text)) : NULL;
    if (!realm || !token_is_uuid(secret + 1) || secret - text >= PVE_USER_SIZE)
        return 0;
    bool is_token = token_is_user(text, (size_t)(realm - text)) &&
                    token_is_id(realm + 1, (size_t)(id - realm - 1)) &&
                    token_is_id(id + 1, (size_t)(secret - id - 1));
    return is_token ? (size_t)(secret - text) : 0;
}

static int token_read_line(const char *path, struct buffer *out, struct error *error)
{
    if (file_read(path, TOKEN_FILE_LIMIT, out, error) < 0) {
        if (error->kind == ERROR_MISSING)
            return fail(error, ERROR_MISSING,
                        "there is no Proxmox API token: felhomctl init --pve-token makes one");
        if (error->kind == ERROR_SYSTEM)
            error->kind = ERROR_DENIED;
        return -1;
    }
    if (out->length > 0 && out->data[out->length - 1] == '\n')
        out->data[--out->length] = '\0';
    return 0;
}

/* Adds USER@REALM!TOKENID=UUID to out. Fails as pve_token_check does. */
static int pve_token_read(const struct config *config, struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    const char *path = config->pve.token_file;
    if (token_read_line(path, &line, error) < 0)
        return -1;
    /* A NUL byte would hide what follows it. */
    if (strlen(buffer_text(&line)) != line.length || token_user_length(buffer_text(&line)) == 0)
        return fail(error, ERROR_INVALID, "%s: not one line USER@REALM!TOKENID=UUID", path);
    buffer_add(out, line.data, line.length);
    return 0;
}

int pve_token_check(const struct config *config, char ret_user[PVE_USER_SIZE], struct error *error)
{
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (pve_token_read(config, &token, error) < 0)
        return -1;
    size_t length = token_user_length(buffer_text(&token));
    if (ret_user) {
        memcpy(ret_user, buffer_text(&token), length);
        ret_user[length] = '\0';
    }
    return 0;
}

/* --- a request --- */

struct pve_client {
    struct http_client *http;
    int status; /* HTTP status of the last reply; 0: there was none */
    bool may_have_begun;
};

/* A request for a path below /nodes/NODE. */
struct pve_request {
    const char *method;
    struct buffer path;
    struct buffer parameters; /* form-encoded: in the URL of a GET, in the body of a POST */
    struct http_reply received;
    struct pve_reply reply; /* a view of what was received */
};

static void pve_request_free(struct pve_request *request)
{
    buffer_free(&request->path);
    buffer_free(&request->parameters);
    http_reply_free(&request->received);
}
#define cleanup_pve_request cleanup(pve_request_free)

struct pve_client *pve_client_new(const atomic_bool *abort, struct call_counters *calls)
{
    struct pve_client *client = mem_new(struct pve_client);
    client->http = http_client_new(abort, calls);
    return client;
}

void pve_client_free(struct pve_client *client)
{
    if (!client)
        return;
    http_client_free(client->http);
    free(client);
}

/* steps ends with NULL. */
static struct pve_request pve_request_new(const char *method, const char *const *steps)
{
    struct pve_request request = {.method = method};
    for (; *steps; steps++) {
        buffer_add_text(&request.path, "/");
        http_escape(*steps, &request.path);
    }
    return request;
}

#define pve_request_to(method, ...) \
    pve_request_new(method, (const char *const[]){__VA_ARGS__, NULL})

/* Of the guest's snapshots, or, unless NULL, of one of them and of an action on that. */
static struct pve_request pve_snapshot_request(const char *method, const struct pve_guest *guest,
                                               const char *snapshot, const char *action)
{
    char vmid[VMID_TEXT_SIZE];
    (void)snprintf(vmid, sizeof vmid, "%" PRIu32, guest->vmid);
    return pve_request_to(method, guest_kind_names[guest->kind], vmid, "snapshot", snapshot,
                          action);
}

static void pve_request_add_parameter(struct pve_request *request, const char *name,
                                      const char *value)
{
    if (request->parameters.length > 0)
        buffer_add_text(&request->parameters, "&");
    buffer_add_format(&request->parameters, "%s=", name);
    http_escape(value, &request->parameters);
}

static void pve_request_add_number(struct pve_request *request, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    pve_request_add_parameter(request, name, text);
}

static void pve_request_add_url(const struct pve_call *call, const struct pve_request *request,
                                struct buffer *out)
{
    buffer_add_format(out, "%s/api2/json/nodes/", call->config->pve.endpoint);
    http_escape(call->node, out);
    buffer_add_text(out, buffer_text(&request->path));
    if (strcmp(request->method, "GET") == 0 && request->parameters.length > 0)
        buffer_add_format(out, "?%s", buffer_text(&request->parameters));
}

static int pve_request_send(const struct pve_call *call, const struct pve_request *request,
                            const char *authorization, struct http_reply *ret, struct error *error)
{
    cleanup_buffer struct buffer url = BUFFER_EMPTY;
    const char *const headers[] = {authorization, NULL};
    const bool is_post = strcmp(request->method, "POST") == 0;
    const int64_t left_us = call->deadline_us - clock_steady_us();
    if (left_us < 1000)
        return fail(error, ERROR_BUSY, "no time was left to ask Proxmox");
    pve_request_add_url(call, request, &url);
    const struct http_request http = {
        .method = request->method,
        .url = buffer_text(&url),
        .ca_file = call->config->pve.ca_file,
        .headers = headers,
        .body_type = is_post ? "application/x-www-form-urlencoded" : NULL,
        .body = is_post ? buffer_text(&request->parameters) : NULL,
        .body_length = is_post ? request->parameters.length : 0,
        .timeout_ms = (uint64_t)left_us / 1000,
        .reply_limit = REPLY_LIMIT,
    };
    if (http_client_perform(call->client->http, &http, ret, error) == 0)
        return 0;
    call->client->may_have_begun = http_client_may_have_sent(call->client->http);
    return -1;
}

/* True for the statuses that Proxmox answers before it forks a worker; see pve_may_have_begun in
 * pve_client.h. */
static bool pve_status_is_refusal(int status)
{
    return (status >= 400 && status < 500) || status == 501 || status == 595;
}

/* Sends the request with the token and sets request->reply. Succeeds only if Proxmox answers 2xx.
 */
static int pve_request_perform(const struct pve_call *call, struct pve_request *request,
                               struct error *error)
{
    cleanup_buffer struct buffer authorization = BUFFER_EMPTY;
    struct pve_client *client = call->client;
    struct http_reply *received = &request->received;
    client->status = 0;
    client->may_have_begun = false;
    buffer_add_text(&authorization, "Authorization: PVEAPIToken=");
    if (pve_token_read(call->config, &authorization, error) < 0 ||
        pve_request_send(call, request, buffer_text(&authorization), received, error) < 0)
        return -1;
    request->reply = (struct pve_reply){
        .status = received->status,
        .reason = received->reason,
        .body = buffer_text(&received->body),
        .length = received->body.length,
    };
    client->status = received->status;
    client->may_have_begun = !pve_status_is_refusal(received->status);
    return pve_reply_check(&request->reply, error);
}

/* --- calls that begin a task --- */

bool pve_may_have_begun(const struct pve_client *client)
{
    return client->may_have_begun;
}

bool pve_has_answered(const struct pve_client *client)
{
    return client->status != 0;
}

static int pve_begin_task(const struct pve_call *call, struct pve_request *request,
                          char ret_upid[static UPID_SIZE], struct error *error)
{
    if (pve_request_perform(call, request, error) < 0)
        return -1;
    if (pve_reply_upid(&request->reply, ret_upid, error) == 0)
        return 0;
    if (error->kind == ERROR_MISSING)
        call->client->may_have_begun = false;
    return -1;
}

int pve_snapshot_create(const struct pve_call *call, const struct pve_guest *guest,
                        const char *name, const char *description, char ret_upid[static UPID_SIZE],
                        struct error *error)
{
    cleanup_pve_request struct pve_request request =
        pve_snapshot_request("POST", guest, NULL, NULL);
    pve_request_add_parameter(&request, "snapname", name);
    if (description && *description)
        pve_request_add_parameter(&request, "description", description);
    return pve_begin_task(call, &request, ret_upid, error);
}

int pve_snapshot_rollback(const struct pve_call *call, const struct pve_guest *guest,
                          const char *name, bool start, char ret_upid[static UPID_SIZE],
                          struct error *error)
{
    cleanup_pve_request struct pve_request request =
        pve_snapshot_request("POST", guest, name, "rollback");
    if (start)
        pve_request_add_parameter(&request, "start", "1");
    return pve_begin_task(call, &request, ret_upid, error);
}

/* No other parameter is set, because the token may lack the privilege: bwlimit, ionice and
 * performance need Sys.Modify on /; stop, which ends other backups and has nothing to do with the
 * mode of that name, needs it on the node; prune-backups needs Datastore.Allocate on the storage;
 * tmpdir, dumpdir, script and job-id need root itself. How many backups are kept is set at the
 * storage, and applies to these backups too. */
int pve_backup_begin(const struct pve_call *call, uint32_t vmid, char ret_upid[static UPID_SIZE],
                     struct error *error)
{
    cleanup_pve_request struct pve_request request = pve_request_to("POST", "vzdump");
    pve_request_add_number(&request, "vmid", vmid);
    pve_request_add_parameter(&request, "storage", call->config->backup.storage);
    pve_request_add_parameter(&request, "mode", call->config->backup.mode);
    pve_request_add_parameter(&request, "compress", call->config->backup.compress);
    return pve_begin_task(call, &request, ret_upid, error);
}

/* --- calls that only read --- */

int pve_task_status(const struct pve_call *call, const char *upid, struct pve_task_status *ret,
                    struct error *error)
{
    cleanup_pve_request struct pve_request request = pve_request_to("GET", "tasks", upid, "status");
    if (pve_request_perform(call, &request, error) < 0) {
        /* 400: Proxmox reports "no such task" as an invalid parameter, and no other parameter
         * here can be invalid. */
        if (call->client->status == 400)
            error->kind = ERROR_MISSING;
        return -1;
    }
    return pve_reply_task_status(&request.reply, ret, error);
}

int pve_task_log(const struct pve_call *call, const char *upid, int64_t start, int limit,
                 void (*visit)(int64_t number, const char *line, void *context), void *context,
                 struct error *error)
{
    cleanup_pve_request struct pve_request request = pve_request_to("GET", "tasks", upid, "log");
    pve_request_add_number(&request, "start", start);
    pve_request_add_number(&request, "limit", limit);
    if (pve_request_perform(call, &request, error) < 0)
        return -1;
    return pve_reply_task_log(&request.reply, visit, context, error);
}

/* Proxmox is not asked to filter by user, because for a task that has ended it would compare the
 * name of the user without that of the token. */
int pve_task_find(const struct pve_call *call, const char *type, uint32_t vmid, int64_t since,
                  char ret_upid[static UPID_SIZE], struct error *error)
{
    char user[PVE_USER_SIZE];
    cleanup_pve_request struct pve_request request = pve_request_to("GET", "tasks");
    if (pve_token_check(call->config, user, error) < 0)
        return -1;
    pve_request_add_parameter(&request, "source", "all");
    pve_request_add_parameter(&request, "typefilter", type);
    pve_request_add_number(&request, "vmid", vmid);
    pve_request_add_number(&request, "since", since);
    pve_request_add_parameter(&request, "limit", TASKS_MAX);
    if (pve_request_perform(call, &request, error) < 0)
        return -1;
    return pve_reply_find_task(&request.reply, type, vmid, user, since, ret_upid, error);
}

int pve_guest_runs(const struct pve_call *call, const struct pve_guest *guest, bool *ret,
                   struct error *error)
{
    char vmid[VMID_TEXT_SIZE];
    (void)snprintf(vmid, sizeof vmid, "%" PRIu32, guest->vmid);
    cleanup_pve_request struct pve_request request =
        pve_request_to("GET", guest_kind_names[guest->kind], vmid, "status", "current");
    if (pve_request_perform(call, &request, error) < 0)
        return -1;
    return pve_reply_guest_runs(&request.reply, ret, error);
}

int pve_snapshots(const struct pve_call *call, const struct pve_guest *guest,
                  struct pve_snapshots *ret, struct error *error)
{
    cleanup_pve_request struct pve_request request = pve_snapshot_request("GET", guest, NULL, NULL);
    if (pve_request_perform(call, &request, error) < 0)
        return -1;
    return pve_reply_snapshots(&request.reply, ret, error);
}

int pve_newest_backup(const struct pve_call *call, uint32_t vmid, struct pve_backup *ret,
                      struct error *error)
{
    cleanup_pve_request struct pve_request request =
        pve_request_to("GET", "storage", call->config->backup.storage, "content");
    pve_request_add_parameter(&request, "content", "backup");
    pve_request_add_number(&request, "vmid", vmid);
    if (pve_request_perform(call, &request, error) < 0)
        return -1;
    return pve_reply_newest_backup(&request.reply, vmid, ret, error);
}
