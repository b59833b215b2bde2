/* SPDX-License-Identifier: Apache-2.0 */
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
#include "server/outbound/http_client.h"
#include "store/base/clock.h"
#include "store/files/file.h"

/* The API token by which Proxmox is called (pve_token_check is in server/jobs/pve_client.h). */

#define FILE_LIMIT  ((size_t)4096)
#define UUID_LENGTH ((size_t)36)

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Realms and the names of tokens within a user. */
static bool is_id(const char *text, size_t length)
{
    return length >= 2 && strchr(LETTERS, text[0]) && strspn(text, LETTERS DIGITS ".-_") >= length;
}

/* Proxmox forbids blanks, : and /; % and ; would be read as something else in the header. */
static bool is_user(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7F || strchr(":/%;", text[i]))
            return false;
    return length > 0;
}

static bool is_uuid(const char *text)
{
    static const char shape[] = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
    if (strlen(text) != UUID_LENGTH)
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == '-' ? text[i] != '-' : !strchr(DIGITS "abcdefABCDEF", text[i]))
            return false;
    return true;
}

/* The length of USER@REALM!TOKENID; 0 where the text is no token. */
static size_t user_length(const char *text)
{
    const char *secret = strrchr(text, '=');
    const char *id = secret ? memrchr(text, '!', (size_t)(secret - text)) : NULL;
    const char *realm = id ? memrchr(text, '@', (size_t)(id - text)) : NULL;
    if (!realm || !is_uuid(secret + 1) || secret - text >= PVE_USER_SIZE)
        return 0;
    bool is_token = is_user(text, (size_t)(realm - text)) &&
                    is_id(realm + 1, (size_t)(id - realm - 1)) &&
                    is_id(id + 1, (size_t)(secret - id - 1));
    return is_token ? (size_t)(secret - text) : 0;
}

static int read_line(const char *path, struct buffer *out, struct error *error)
{
    if (file_read(path, FILE_LIMIT, out, error) < 0) {
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
    if (read_line(path, &line, error) < 0)
        return -1;
    /* A NUL in it would hide what follows. */
    if (strlen(buffer_text(&line)) != line.length || user_length(buffer_text(&line)) == 0)
        return fail(error, ERROR_INVALID, "%s: not one line USER@REALM!TOKENID=UUID", path);
    buffer_add(out, line.data, line.length);
    return 0;
}

int pve_token_check(const struct config *config, char ret_user[PVE_USER_SIZE], struct error *error)
{
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (pve_token_read(config, &token, error) < 0)
        return -1;
    size_t length = user_length(buffer_text(&token));
    if (ret_user) {
        memcpy(ret_user, buffer_text(&token), length);
        ret_user[length] = '\0';
    }
    return 0;
}

/* A list of backups has some 300 bytes for each. */
#define REPLY_LIMIT ((size_t)4 * 1024 * 1024)
#define TASKS_MAX   "1000" /* of one type for one guest since a moment ago */

struct pve_client {
    struct http_client *http;
    int status; /* of the last answer; 0: there was none */
    bool may_have_begun;
};

/* --- one call --- */

/* A call below /nodes/NODE. */
struct question {
    const char *method;
    struct buffer path;
    struct buffer parameters; /* form-encoded: in the URL of a GET, in the body of a POST */
};

static void question_free(struct question *question)
{
    buffer_free(&question->path);
    buffer_free(&question->parameters);
}
#define cleanup_question cleanup(question_free)

struct pve_client *pve_client_new(const atomic_bool *abort)
{
    struct pve_client *client = mem_new(struct pve_client);
    client->http = http_client_new(abort);
    return client;
}

void pve_client_count(struct pve_client *client, struct call_counters *calls)
{
    http_client_count(client->http, calls);
}

void pve_client_free(struct pve_client *client)
{
    if (!client)
        return;
    http_client_free(client->http);
    free(client);
}

static void add_step(struct question *question, const char *step)
{
    buffer_add_text(&question->path, "/");
    http_escape(step, &question->path);
}

static void add_parameter(struct question *question, const char *name, const char *value)
{
    if (question->parameters.length > 0)
        buffer_add_text(&question->parameters, "&");
    buffer_add_format(&question->parameters, "%s=", name);
    http_escape(value, &question->parameters);
}

static void add_number(struct question *question, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    add_parameter(question, name, text);
}

static void add_guest(struct question *question, const struct pve_guest *guest)
{
    buffer_add_format(&question->path, "/%s/%" PRIu32, guest_kind_name(guest->kind), guest->vmid);
}

static void make_url(const struct pve_call *call, const struct question *question,
                     struct buffer *out)
{
    buffer_add_format(out, "%s/api2/json/nodes/", call->config->pve.endpoint);
    http_escape(call->node, out);
    buffer_add_text(out, buffer_text(&question->path));
    if (strcmp(question->method, "GET") == 0 && question->parameters.length > 0)
        buffer_add_format(out, "?%s", buffer_text(&question->parameters));
}

static void add_body(const struct question *question, struct http_request *request)
{
    if (strcmp(question->method, "POST") != 0)
        return;
    request->body_type = "application/x-www-form-urlencoded";
    request->body = buffer_text(&question->parameters);
    request->body_length = question->parameters.length;
}

static int perform(const struct pve_call *call, const struct question *question,
                   const char *authorization, struct http_reply *ret, struct error *error)
{
    cleanup_buffer struct buffer url = BUFFER_EMPTY;
    const char *const headers[] = {authorization, NULL};
    const int64_t left_us = call->deadline_us - clock_steady_us();
    if (left_us < 1000)
        return fail(error, ERROR_BUSY, "no time was left to ask Proxmox");
    make_url(call, question, &url);
    struct http_request request = {
        .method = question->method,
        .url = buffer_text(&url),
        .ca_file = call->config->pve.ca_file,
        .headers = headers,
        .timeout_ms = (uint64_t)left_us / 1000,
        .reply_limit = REPLY_LIMIT,
    };
    add_body(question, &request);
    if (http_client_perform(call->client->http, &request, ret, error) == 0)
        return 0;
    call->client->may_have_begun = http_client_may_have_sent(call->client->http);
    return -1;
}

/* What Proxmox answers of itself before it forks a worker; server/jobs/pve_client.h says why. */
static bool is_refusal(int status)
{
    return (status >= 400 && status < 500) || status == 501 || status == 595;
}

static struct pve_reply view(const struct http_reply *reply)
{
    return (struct pve_reply){
        .status = reply->status,
        .reason = reply->reason,
        .body = buffer_text(&reply->body),
        .length = reply->body.length,
    };
}

/* Success means an answer of 2xx. */
static int ask(const struct pve_call *call, const struct question *question, struct http_reply *ret,
               struct error *error)
{
    cleanup_buffer struct buffer authorization = BUFFER_EMPTY;
    cleanup_http_reply struct http_reply reply = {0};
    struct pve_client *client = call->client;
    client->status = 0;
    client->may_have_begun = false;
    buffer_add_text(&authorization, "Authorization: PVEAPIToken=");
    if (pve_token_read(call->config, &authorization, error) < 0 ||
        perform(call, question, buffer_text(&authorization), &reply, error) < 0)
        return -1;
    const struct pve_reply answer = view(&reply);
    client->status = reply.status;
    client->may_have_begun = !is_refusal(reply.status);
    if (pve_reply_check(&answer, error) < 0)
        return -1;
    *ret = reply;
    reply = (struct http_reply){0};
    return 0;
}

/* --- what begins a task --- */

bool pve_may_have_begun(const struct pve_client *client)
{
    return client->may_have_begun;
}

bool pve_has_answered(const struct pve_client *client)
{
    return client->status != 0;
}

static int begin(const struct pve_call *call, const struct question *question,
                 char ret_upid[static UPID_SIZE], struct error *error)
{
    cleanup_http_reply struct http_reply reply = {0};
    if (ask(call, question, &reply, error) < 0)
        return -1;
    const struct pve_reply answer = view(&reply);
    if (pve_reply_upid(&answer, ret_upid, error) == 0)
        return 0;
    if (error->kind == ERROR_MISSING)
        call->client->may_have_begun = false;
    return -1;
}

int pve_snapshot_create(const struct pve_call *call, const struct pve_guest *guest,
                        const char *name, const char *description, char ret_upid[static UPID_SIZE],
                        struct error *error)
{
    cleanup_question struct question question = {.method = "POST"};
    add_guest(&question, guest);
    add_step(&question, "snapshot");
    add_parameter(&question, "snapname", name);
    if (description && *description)
        add_parameter(&question, "description", description);
    return begin(call, &question, ret_upid, error);
}

int pve_snapshot_rollback(const struct pve_call *call, const struct pve_guest *guest,
                          const char *name, bool start, char ret_upid[static UPID_SIZE],
                          struct error *error)
{
    cleanup_question struct question question = {.method = "POST"};
    add_guest(&question, guest);
    add_step(&question, "snapshot");
    add_step(&question, name);
    add_step(&question, "rollback");
    if (start)
        add_parameter(&question, "start", "1");
    return begin(call, &question, ret_upid, error);
}

/* Nothing more than this is asked for, as a token may not have it: bwlimit, ionice and performance
 * need Sys.Modify on /, prune-backups Datastore.Allocate on the storage, tmpdir, dumpdir, script
 * and job-id root itself. How many backups are kept is set at the storage, and holds here too. */
int pve_backup_begin(const struct pve_call *call, uint32_t vmid, char ret_upid[static UPID_SIZE],
                     struct error *error)
{
    cleanup_question struct question question = {.method = "POST"};
    add_step(&question, "vzdump");
    add_number(&question, "vmid", vmid);
    add_parameter(&question, "storage", call->config->backup.storage);
    add_parameter(&question, "mode", call->config->backup.mode);
    add_parameter(&question, "compress", call->config->backup.compress);
    return begin(call, &question, ret_upid, error);
}

/* --- what only asks --- */

int pve_task_status(const struct pve_call *call, const char *upid, struct pve_task_status *ret,
                    struct error *error)
{
    cleanup_question struct question question = {.method = "GET"};
    cleanup_http_reply struct http_reply reply = {0};
    add_step(&question, "tasks");
    add_step(&question, upid);
    add_step(&question, "status");
    if (ask(call, &question, &reply, error) < 0) {
        /* "no such task" is to Proxmox an invalid parameter, and there is no other one. */
        if (call->client->status == 400)
            error->kind = ERROR_MISSING;
        return -1;
    }
    const struct pve_reply answer = view(&reply);
    return pve_reply_task_status(&answer, ret, error);
}

int pve_task_log(const struct pve_call *call, const char *upid, int64_t start, int limit,
                 void (*visit)(int64_t number, const char *line, void *context), void *context,
                 struct error *error)
{
    cleanup_question struct question question = {.method = "GET"};
    cleanup_http_reply struct http_reply reply = {0};
    add_step(&question, "tasks");
    add_step(&question, upid);
    add_step(&question, "log");
    add_number(&question, "start", start);
    add_number(&question, "limit", limit);
    if (ask(call, &question, &reply, error) < 0)
        return -1;
    const struct pve_reply answer = view(&reply);
    return pve_reply_task_log(&answer, visit, context, error);
}

/* Proxmox is not asked to filter by user: of a task that has ended it would compare the name
 * without the token's. */
int pve_task_find(const struct pve_call *call, const char *type, uint32_t vmid, int64_t since,
                  char ret_upid[static UPID_SIZE], struct error *error)
{
    char user[PVE_USER_SIZE];
    cleanup_question struct question question = {.method = "GET"};
    cleanup_http_reply struct http_reply reply = {0};
    if (pve_token_check(call->config, user, error) < 0)
        return -1;
    add_step(&question, "tasks");
    add_parameter(&question, "source", "all");
    add_parameter(&question, "typefilter", type);
    add_number(&question, "vmid", vmid);
    add_number(&question, "since", since);
    add_parameter(&question, "limit", TASKS_MAX);
    if (ask(call, &question, &reply, error) < 0)
        return -1;
    const struct pve_reply answer = view(&reply);
    return pve_reply_find_task(&answer, type, vmid, user, since, ret_upid, error);
}

int pve_snapshots(const struct pve_call *call, const struct pve_guest *guest,
                  struct pve_snapshots *ret, struct error *error)
{
    cleanup_question struct question question = {.method = "GET"};
    cleanup_http_reply struct http_reply reply = {0};
    add_guest(&question, guest);
    add_step(&question, "snapshot");
    if (ask(call, &question, &reply, error) < 0)
        return -1;
    const struct pve_reply answer = view(&reply);
    return pve_reply_snapshots(&answer, ret, error);
}

int pve_newest_backup(const struct pve_call *call, uint32_t vmid, struct pve_backup *ret,
                      struct error *error)
{
    cleanup_question struct question question = {.method = "GET"};
    cleanup_http_reply struct http_reply reply = {0};
    add_step(&question, "storage");
    add_step(&question, call->config->backup.storage);
    add_step(&question, "content");
    add_parameter(&question, "content", "backup");
    add_number(&question, "vmid", vmid);
    if (ask(call, &question, &reply, error) < 0)
        return -1;
    const struct pve_reply answer = view(&reply);
    return pve_reply_newest_backup(&answer, vmid, ret, error);
}
