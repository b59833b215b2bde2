/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry/gitea.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "schema/json/json.h"
#include "server/outbound/http_client.h"
#include "store/base/clock.h"

#define REPLY_LIMIT ((size_t)256 * 1024)
#define TOKEN_MAX   256 /* characters; today's have 40 */
#define SCOPE       "read:package"

/* The newest come first, so that the one just made is among them. */
#define NEWEST "?limit=50"

#define UNRESERVED "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

/* --- calls --- */

static void add_escaped(const char *text, struct buffer *out)
{
    for (; *text; text++) {
        if (strchr(UNRESERVED, *text))
            buffer_add(out, text, 1);
        else
            buffer_add_format(out, "%%%02X", (unsigned char)*text);
    }
}

/* The collection of the user's tokens, and what comes after. */
static void make_url(const struct config *config, const char *rest, struct buffer *out)
{
    buffer_add_format(out, "https://%s/api/v1/users/", config->registry.host);
    add_escaped(config->registry.username, out);
    buffer_add_format(out, "/tokens%s", rest);
}

static int perform(const struct gitea_call *call, const char *method, const char *rest,
                   const struct buffer *body, struct http_reply *ret, struct error *error)
{
    cleanup_buffer struct buffer url = BUFFER_EMPTY;
    int64_t left_us = call->deadline_us - clock_steady_us();
    make_url(call->config, rest, &url);
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
        .confidential = body != NULL, /* a token is made */
    };
    if (http_client_perform(call->client, &request, ret, error) == 0)
        return 0;
    /* What breaks the rules here is the registry. */
    if (error->kind == ERROR_INVALID)
        error->kind = ERROR_BUSY;
    return -1;
}

static int fail_registry(const struct gitea_call *call, const char *problem, struct error *error)
{
    return fail(error, ERROR_BUSY, "https://%s %s", call->config->registry.host, problem);
}

/* "" where it is not the registry's API that answers, but something on the way to it. */
static void read_message(const struct http_reply *reply, char *ret, size_t size)
{
    struct error no_json;
    cleanup_json json_t *body = NULL;
    (void)json_read(buffer_text(&reply->body), reply->body.length, &body, &no_json);
    shown_text(ret, size, json_get_text(body, "message", ""));
}

static enum error_kind kind_of(int status, const char *message)
{
    if (status == 404 && *message)
        return ERROR_MISSING;
    return status == 401 || status == 403 ? ERROR_DENIED : ERROR_BUSY;
}

static int fail_refused(const struct gitea_call *call, const struct http_reply *reply,
                        struct error *error)
{
    char message[200];
    read_message(reply, message, sizeof message);
    return fail(error, kind_of(reply->status, message), "https://%s answered %d %.100s%s%s",
                call->config->registry.host, reply->status, reply->reason, *message ? ": " : "",
                message);
}

/* --- making one --- */

enum scope_verdict { SCOPE_UNTOLD, SCOPE_RIGHT, SCOPE_WRONG };

static enum scope_verdict judge_scopes(const json_t *token)
{
    const json_t *scopes = json_object_get(token, "scopes");
    if (!json_is_array(scopes))
        return SCOPE_UNTOLD;
    const char *only = json_string_value(json_array_get(scopes, 0));
    bool is_right = json_array_size(scopes) == 1 && only && strcmp(only, SCOPE) == 0;
    return is_right ? SCOPE_RIGHT : SCOPE_WRONG;
}

static const json_t *find_token(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i);
        if (strcmp(json_get_text(token, "name", ""), name) == 0)
            return token;
    }
    return NULL;
}

static int list_scopes(const struct gitea_call *call, const char *name, enum scope_verdict *ret,
                       struct error *error)
{
    struct error no_json;
    cleanup_http_reply struct http_reply reply = {0};
    cleanup_json json_t *list = NULL;
    if (perform(call, "GET", NEWEST, NULL, &reply, error) < 0)
        return -1;
    if (reply.status != 200)
        return fail_refused(call, &reply, error);
    if (json_read(buffer_text(&reply.body), reply.body.length, &list, &no_json) < 0)
        return fail_registry(call, "answered with something that is no list of tokens", error);
    *ret = judge_scopes(find_token(list, name));
    return 0;
}

/* A registry that does not know scopes makes tokens that may do all that the user may. Some tell
 * them in the list of tokens alone. */
static int check_scopes(const struct gitea_call *call, const char *name, const json_t *token,
                        struct error *error)
{
    enum scope_verdict verdict = judge_scopes(token);
    if (verdict == SCOPE_UNTOLD && list_scopes(call, name, &verdict, error) < 0)
        return -1;
    if (verdict == SCOPE_RIGHT)
        return 0;
    return fail(error, ERROR_DENIED,
                "https://%s made a token that is not limited to " SCOPE
                ", and it is deleted: Gitea or Forgejo 1.19 or newer is needed",
                call->config->registry.host);
}

static bool is_token(const char *text)
{
    size_t length = 0;
    while (text[length] > ' ' && text[length] <= '~')
        length++;
    return length > 0 && length <= TOKEN_MAX && text[length] == '\0';
}

static void wipe_json(json_t **value)
{
    if (*value)
        json_wipe(*value);
}

static int take_token(const struct gitea_call *call, const char *name,
                      const struct http_reply *reply, struct buffer *ret_token, struct error *error)
{
    struct error no_json;
    cleanup(wipe_json) json_t *token = NULL;
    (void)json_read(buffer_text(&reply->body), reply->body.length, &token, &no_json);
    const char *text = json_get_text(token, "sha1", "");
    if (!is_token(text))
        return fail_registry(call, "answered with something that is no token", error);
    if (check_scopes(call, name, token, error) < 0)
        return -1;
    buffer_add_text(ret_token, text);
    return 0;
}

static int heed_answer(const struct gitea_call *call, const char *name,
                       const struct http_reply *reply, struct buffer *ret_token,
                       struct error *error)
{
    if (reply->status == 201)
        return take_token(call, name, reply, ret_token, error);
    if (reply->status < 300)
        return fail_registry(call, "answered with something that is no token", error);
    return fail_refused(call, reply, error);
}

/* Any other refusal may be the second answer to a request that something on the way has sent twice.
 */
static bool rules_out(int status)
{
    return status == 401 || status == 403 || status == 404;
}

static void describe_token(const char *name, struct buffer *out)
{
    cleanup_json json_t *body = json_pack("{s:o, s:[s]}", "name", json_text(name), "scopes", SCOPE);
    json_write(body, JSON_COMPACT, out);
}

int gitea_mint(const struct gitea_call *call, const char *name, struct buffer *ret_token,
               bool *ret_may_exist, struct error *error)
{
    cleanup_buffer struct buffer body = BUFFER_EMPTY;
    cleanup_http_reply struct http_reply reply = {0};
    describe_token(name, &body);
    if (perform(call, "POST", "", &body, &reply, error) < 0) {
        *ret_may_exist = http_client_may_have_sent(call->client);
        return -1;
    }
    if (heed_answer(call, name, &reply, ret_token, error) == 0)
        return 0;
    *ret_may_exist = !rules_out(reply.status);
    if (error->kind == ERROR_MISSING) /* the user, or all of the API */
        error->kind = ERROR_DENIED;
    return -1;
}

/* --- deleting one --- */

int gitea_delete(const struct gitea_call *call, const char *name, struct error *error)
{
    cleanup_buffer struct buffer rest = BUFFER_EMPTY;
    cleanup_http_reply struct http_reply reply = {0};
    buffer_add_text(&rest, "/");
    add_escaped(name, &rest);
    if (perform(call, "DELETE", buffer_text(&rest), NULL, &reply, error) < 0)
        return -1;
    if (reply.status == 204)
        return 0;
    return fail_refused(call, &reply, error);
}
