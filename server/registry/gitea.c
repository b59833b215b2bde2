/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/gitea.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "schema/json/json.h"
#include "server/outbound/http_client.h"
#include "store/base/clock.h"

#define REPLY_LIMIT ((size_t)256 * 1024)
#define TOKEN_MAX   256 /* characters; the tokens of today have 40 */
#define SCOPE       "read:package"

/* The registry lists the newest tokens first, so the one that was just made is among them. */
#define NEWEST "?limit=50"

/* --- calls --- */

/* Adds the URL of the user's tokens, followed by rest. */
static void gitea_add_url(const struct config *config, const char *rest, struct buffer *out)
{
    buffer_add_format(out, "https://%s/api/v1/users/", config->registry.host);
    http_escape(config->registry.username, out);
    buffer_add_format(out, "/tokens%s", rest);
}

static int gitea_perform(const struct gitea_call *call, const char *method, const char *rest,
                         const struct buffer *body, struct http_reply *ret, struct error *error)
{
    cleanup_buffer struct buffer url = BUFFER_EMPTY;
    int64_t left_us = call->deadline_us - clock_steady_us();
    gitea_add_url(call->config, rest, &url);
    const struct http_request request = {
        .method = method,
        .url = buffer_text(&url),
        .ca_file = call->config->registry.ca_file,
        .username = call->config->registry.username,
        .password = call->password,
        .body_type = body ? "application/json" : NULL,
        .body = body ? body->data : NULL,
        .body_length = body ? body->length : 0,
        .timeout_ms = left_us > 0 ? (uint64_t)left_us / 1000 : 0,
        .reply_limit = REPLY_LIMIT,
        .confidential = body != NULL, /* a token is made, and the reply holds it */
    };
    if (http_client_perform(call->client, &request, ret, error) == 0)
        return 0;
    /* ERROR_INVALID: the reply is not HTTP, or too long, which is the registry's fault. */
    if (error->kind == ERROR_INVALID)
        error->kind = ERROR_BUSY;
    return -1;
}

static int gitea_fail_reply(const struct gitea_call *call, const char *problem, struct error *error)
{
    return fail(error, ERROR_BUSY, "https://%s %s", call->config->registry.host, problem);
}

/* Reads the message of the registry's API; "" if a proxy in between has answered. */
static void gitea_read_message(const struct http_reply *reply, char *ret, size_t size)
{
    struct error no_json;
    cleanup_json json_t *body = NULL;
    (void)json_read(buffer_text(&reply->body), reply->body.length, &body, &no_json);
    text_show(ret, size, json_get_text(body, "message", ""));
}

static enum error_kind gitea_error_kind(int status, const char *message)
{
    if (status == 404 && *message)
        return ERROR_MISSING;
    return status == 401 || status == 403 ? ERROR_DENIED : ERROR_BUSY;
}

static int gitea_fail_refused(const struct gitea_call *call, const struct http_reply *reply,
                              struct error *error)
{
    char message[200];
    gitea_read_message(reply, message, sizeof message);
    return fail(error, gitea_error_kind(reply->status, message),
                "https://%s answered %d %.100s%s%s", call->config->registry.host, reply->status,
                reply->reason, *message ? ": " : "", message);
}

/* --- making a token --- */

enum scope_verdict { SCOPE_UNKNOWN, SCOPE_RIGHT, SCOPE_WRONG };

static enum scope_verdict gitea_judge_scopes(const json_t *token)
{
    const json_t *scopes = json_object_get(token, "scopes");
    if (!json_is_array(scopes))
        return SCOPE_UNKNOWN;
    const char *only = json_string_value(json_array_get(scopes, 0));
    bool is_right = json_array_size(scopes) == 1 && only && strcmp(only, SCOPE) == 0;
    return is_right ? SCOPE_RIGHT : SCOPE_WRONG;
}

static const json_t *gitea_find_token(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i);
        if (strcmp(json_get_text(token, "name", ""), name) == 0)
            return token;
    }
    return NULL;
}

static int gitea_list_scopes(const struct gitea_call *call, const char *name,
                             enum scope_verdict *ret, struct error *error)
{
    struct error no_json;
    cleanup_http_reply struct http_reply reply = {0};
    cleanup_json json_t *list = NULL;
    if (gitea_perform(call, "GET", NEWEST, NULL, &reply, error) < 0)
        return -1;
    if (reply.status != 200)
        return gitea_fail_refused(call, &reply, error);
    if (json_read(buffer_text(&reply.body), reply.body.length, &list, &no_json) < 0)
        return gitea_fail_reply(call, "answered with something other than a list of tokens", error);
    *ret = gitea_judge_scopes(gitea_find_token(list, name));
    return 0;
}

/* Checks that the token may only read packages. A registry that does not know scopes makes
 * tokens that may do all that the user may. Some registries show the scopes of a token only in the
 * list of tokens. */
static int gitea_check_scopes(const struct gitea_call *call, const char *name, const json_t *token,
                              struct error *error)
{
    enum scope_verdict verdict = gitea_judge_scopes(token);
    if (verdict == SCOPE_UNKNOWN && gitea_list_scopes(call, name, &verdict, error) < 0)
        return -1;
    if (verdict == SCOPE_RIGHT)
        return 0;
    return fail(error, ERROR_DENIED,
                "https://%s made a token that is not limited to " SCOPE
                ", and it is deleted: Gitea or Forgejo 1.19 or newer is needed",
                call->config->registry.host);
}

static bool gitea_is_token(const char *text)
{
    size_t length = 0;
    while (text[length] > ' ' && text[length] <= '~')
        length++;
    return length > 0 && length <= TOKEN_MAX && text[length] == '\0';
}

static void gitea_wipe_json(json_t **value)
{
    if (*value)
        json_wipe(*value);
}

static int gitea_take_token(const struct gitea_call *call, const char *name,
                            const struct http_reply *reply, struct buffer *ret_token,
                            struct error *error)
{
    struct error no_json;
    cleanup(gitea_wipe_json) json_t *token = NULL;
    (void)json_read(buffer_text(&reply->body), reply->body.length, &token, &no_json);
    const char *text = json_get_text(token, "sha1", "");
    if (!gitea_is_token(text))
        return gitea_fail_reply(call, "answered with something other than a token", error);
    if (gitea_check_scopes(call, name, token, error) < 0)
        return -1;
    buffer_add_text(ret_token, text);
    return 0;
}

static int gitea_take_answer(const struct gitea_call *call, const char *name,
                             const struct http_reply *reply, struct buffer *ret_token,
                             struct error *error)
{
    if (reply->status == 201)
        return gitea_take_token(call, name, reply, ret_token, error);
    if (reply->status < 300)
        return gitea_fail_reply(call, "answered with something other than a token", error);
    return gitea_fail_refused(call, reply, error);
}

/* True if this status proves that no token was made. With any other status the reply may belong
 * to the second of two equal requests, if a proxy has repeated ours. */
static bool gitea_rules_out(int status)
{
    return status == 401 || status == 403 || status == 404;
}

static void gitea_describe_token(const char *name, struct buffer *out)
{
    cleanup_json json_t *body = json_pack("{s:o, s:[s]}", "name", json_text(name), "scopes", SCOPE);
    json_write(body, JSON_COMPACT, out);
}

int gitea_mint(const struct gitea_call *call, const char *name, struct buffer *ret_token,
               bool *ret_may_exist, struct error *error)
{
    cleanup_buffer struct buffer body = BUFFER_EMPTY;
    cleanup_http_reply struct http_reply reply = {0};
    gitea_describe_token(name, &body);
    if (gitea_perform(call, "POST", "", &body, &reply, error) < 0) {
        *ret_may_exist = http_client_may_have_sent(call->client);
        return -1;
    }
    if (gitea_take_answer(call, name, &reply, ret_token, error) == 0)
        return 0;
    *ret_may_exist = !gitea_rules_out(reply.status);
    if (error->kind == ERROR_MISSING) /* the user, or the whole API, is missing */
        error->kind = ERROR_DENIED;
    return -1;
}

/* --- deleting a token --- */

int gitea_delete(const struct gitea_call *call, const char *name, struct error *error)
{
    cleanup_buffer struct buffer rest = BUFFER_EMPTY;
    cleanup_http_reply struct http_reply reply = {0};
    buffer_add_text(&rest, "/");
    http_escape(name, &rest);
    if (gitea_perform(call, "DELETE", buffer_text(&rest), NULL, &reply, error) < 0)
        return -1;
    if (reply.status == 204)
        return 0;
    return gitea_fail_refused(call, &reply, error);
}
