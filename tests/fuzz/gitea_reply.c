/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a registry answers when it is asked for a token, and when the token is deleted: each answer
 * a status of three digits and a body, with NULs between them. A token that is taken is one plain
 * word, and limited to packages; a failure gives none away, and says why in one line.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "server/outbound/http_client.h"
#include "server/registry/gitea.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    const char *next; /* of the answers */
    size_t left;
    int first; /* status; 0: there was none */
    unsigned calls;
} registry;

static void demand(bool holds)
{
    if (!holds)
        abort();
}

/* --- in the place of server/outbound/http_client.c --- */

static int take_status(void)
{
    int status = 0;
    if (registry.left < 3)
        return 0;
    for (size_t i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)registry.next[i]))
            return 0;
        status = status * 10 + registry.next[i] - '0';
    }
    registry.next += 3;
    registry.left -= 3;
    return status;
}

static void take_body(struct buffer *out)
{
    const char *end = memchr(registry.next, '\0', registry.left);
    size_t length = end ? (size_t)(end - registry.next) : registry.left;
    size_t past = end ? length + 1 : length;
    buffer_add(out, registry.next, length);
    registry.next += past;
    registry.left -= past;
}

int http_client_perform(struct http_client *client, const struct http_request *request,
                        struct http_reply *ret, struct error *error)
{
    (void)client;
    int status = take_status();
    demand(strncmp(request->url, "https://gitea.example/api/v1/users/felhom/tokens", 48) == 0);
    if (registry.calls++ == 0)
        registry.first = status;
    if (status < 100)
        return fail(error, ERROR_BUSY, "no connection");
    ret->status = status;
    take_body(&ret->body);
    return 0;
}

bool http_client_may_have_sent(const struct http_client *client)
{
    (void)client;
    return false;
}

/* --- what is to be so --- */

static void check_failure(const struct error *error)
{
    demand(*error->message != '\0');
    for (const char *c = error->message; *c; c++)
        demand((unsigned char)*c >= ' ' && *c != 0x7F);
}

static void check_token(const struct buffer *token)
{
    demand(registry.first == 201 && registry.calls <= 2);
    demand(token->length > 0 && token->length <= 256);
    for (size_t i = 0; i < token->length; i++)
        demand(isgraph((unsigned char)token->data[i]));
}

static void check_mint(const struct gitea_call *call)
{
    struct error error = {.kind = ERROR_NONE};
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    bool may_exist = false;
    if (gitea_mint(call, "felhom-demo-8200", &token, &may_exist, &error) == 0) {
        check_token(&token);
        return;
    }
    check_failure(&error);
    demand(error.kind == ERROR_DENIED || error.kind == ERROR_BUSY);
    demand(token.length == 0);
    demand(registry.first != 201 || may_exist);
}

static void check_delete(const struct gitea_call *call)
{
    struct error error = {.kind = ERROR_NONE};
    registry.calls = 0;
    if (gitea_delete(call, "felhom-demo-8200", &error) == 0) {
        demand(registry.first == 204);
        return;
    }
    check_failure(&error);
    demand(registry.first != 204);
    demand(error.kind == ERROR_DENIED || error.kind == ERROR_BUSY || error.kind == ERROR_MISSING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    config.registry.host = "gitea.example";
    config.registry.username = "felhom";
    config.registry.ca_file = "";
    const struct gitea_call call = {.config = &config, .password = "secret"};
    registry.next = size ? (const char *)data : "";
    registry.left = size;
    registry.calls = 0;
    check_mint(&call);
    check_delete(&call);
    return 0;
}
