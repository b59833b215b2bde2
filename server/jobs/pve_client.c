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
#include "store/files/config_file.h"

#define REPLY_LIMIT (4 * MIB) /* a list of backups has some 300 bytes for each backup */
#define TASKS_MAX   "1000"    /* of one type, for one guest, since the job was begun */

/* --- the API token --- */

/* Adds USER@REALM!TOKENID=UUID to out. Fails as pve_token_check does. */
static int pve_token_read(const struct config *config, struct buffer *out, struct error *error)
{
    const struct named_file file = {"pve.token_file", NAMED_API_TOKEN, config->pve.token_file};
    if (config_file_read_secret(&file, out, error) == 0)
        return 0;
    if (error->kind == ERROR_MISSING)
        return fail(error, ERROR_MISSING,
                    "there is no Proxmox API token: felhomctl init --pve-token makes one");
    if (error->kind == ERROR_SYSTEM)
        error->kind = ERROR_DENIED;
    return -1;
}

int pve_token_check(const struct config *config, char ret_user[API_TOKEN_USER_SIZE],
                    struct error *error)
{
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (pve_token_read(config, &token, error) < 0)
        return -1;
    size_t length = api_token_user_length(buffer_text(&token));
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
    char user[API_TOKEN_USER_SIZE];
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
