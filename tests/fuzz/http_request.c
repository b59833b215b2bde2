/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes out of TLS on one connection, through CivetWeb's own reader and ours, as often as the
 * connection is kept. Each request that is taken begins where the one before ended, is within its
 * limits and free of contradictions; each is answered once, and what is said of the connection
 * holds.
 */
#include <civetweb.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/units.h"
#include "server/api/route.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/net/connection.h"
#include "server/tls/session.c"
#include "tests/fuzz/civetweb_talk.h"

#define HEADER_LIMIT 16384 /* as server/net/listener.c has it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One connection: the bytes that come out of TLS, and what was said so far. */
struct talk {
    const char *bytes;
    size_t size;
    size_t read;
    size_t begin; /* of the request that comes next */
    size_t requests;
    bool goes_on; /* what the last answer said of the connection, with nothing read since */
    bool over;    /* an answer has said that */
    struct buffer written;
};

static struct talk talk;

static void demand(bool holds)
{
    if (!holds)
        abort();
}

/* --- in the place of mbedTLS, and of server/net/connection.c --- */

/* All that is left, or, where the input's length is odd, no more than to the next empty line, as if
 * the peer waited for a 100 Continue. */
static size_t length_of_record(void)
{
    const char *text = talk.bytes + talk.read;
    const char *end = talk.size % 2 == 1 ? strstr(text, "\r\n\r\n") : NULL;
    return end ? (size_t)(end - text) + 4 : talk.size - talk.read;
}

int mbedtls_ssl_read(mbedtls_ssl_context *ssl, unsigned char *bytes, size_t size)
{
    (void)ssl;
    size_t length = length_of_record();
    size_t count = size < length ? size : length;
    talk.goes_on = false;
    memcpy(bytes, talk.bytes + talk.read, count);
    talk.read += count;
    return (int)count;
}

/* What comes, or the end of it, is there. */
int mbedtls_ssl_check_pending(const mbedtls_ssl_context *ssl)
{
    (void)ssl;
    return 1;
}

int mbedtls_ssl_write(mbedtls_ssl_context *ssl, const unsigned char *bytes, size_t size)
{
    (void)ssl;
    buffer_add(&talk.written, bytes, size);
    return (int)size;
}

void connection_close(struct connection *connection)
{
    (void)connection;
    talk.over = true;
}

/* --- what a request must be --- */

/* Behind the blanks that count for nothing. */
static const char *begin_of_request(void)
{
    const char *text = talk.bytes + talk.begin;
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

static const char *end_of_head(void)
{
    const char *end = strstr(begin_of_request(), "\r\n\r\n");
    demand(end != NULL);
    return end + 4;
}

static void check_is_next(const struct mg_request_info *info)
{
    size_t length = strlen(info->request_method);
    const char *begin = begin_of_request();
    demand(length > 0 && strncmp(begin, info->request_method, length) == 0);
    demand(begin[length] == ' ');
}

/* No header of that name stands in the head but is hidden from us. */
static void check_is_seen(const struct request *request, const char *name)
{
    const char *end = request->info->num_headers > 0 ? end_of_head() : begin_of_request();
    size_t length = strlen(name);
    size_t count = 0;
    for (const char *line = begin_of_request(); line < end; line = strchr(line, '\n') + 1)
        count += strncasecmp(line, name, length) == 0 && line[length] == ':';
    demand(count == 0 || request_header(request, name, count - 1));
}

static void check_token(const struct request *request)
{
    const struct presented_token *token = &request->token;
    const char *value = request_header(request, "Authorization", 0);
    demand(token->text != NULL);
    if (token->length == 0)
        return;
    demand(value && token->text > value && token->length < strlen(value));
    demand(token->text + token->length <= value + strlen(value));
    demand(!memchr(token->text, '\0', token->length));
    demand(!isblank((unsigned char)token->text[0]));
    demand(!isblank((unsigned char)token->text[token->length - 1]));
}

static void check_path(const char *path)
{
    demand(path[0] == '/' && !strchr(path, '?'));
    demand(!strstr(path, "/../") && !strstr(path, "/./"));
    for (const char *c = path; *c; c++)
        demand((unsigned char)*c > ' ');
}

static void check_framing(const struct request *request)
{
    const char *length = request_header(request, "Content-Length", 0);
    const char *encoding = request_header(request, "Transfer-Encoding", 0);
    demand(!request_header(request, "Content-Length", 1));
    demand(!request_header(request, "Transfer-Encoding", 1));
    demand(!length || !encoding);
    demand(request->chunked == (encoding != NULL));
    demand(!request->chunked || request->length == 0);
    demand(length || request->length == 0);
    demand(!request->expects_continue || request->chunked || request->length > 0);
    demand(!request->chunked || !request->keep_alive);
}

static void check_same(const struct request *a, const struct request *b)
{
    demand(strcmp(a->method, b->method) == 0 && a->path == b->path && a->head == b->head);
    demand(a->keep_alive == b->keep_alive && a->chunked == b->chunked);
    demand(a->length == b->length && a->expects_continue == b->expects_continue);
    demand(a->token.text == b->token.text && a->token.length == b->token.length);
}

static void check_accepted(const struct request *request)
{
    check_path(request->path);
    check_token(request);
    check_framing(request);
    check_is_seen(request, "Authorization");
    check_is_seen(request, "Content-Length");
    check_is_seen(request, "Transfer-Encoding");
    demand(strcmp(request->method, "HEAD") != 0);
    demand(!request_header(request, "Authorization", 1) && !request_header(request, "Host", 1));
}

/* The very bytes that follow the head; those of chunks are CivetWeb's to gather. */
static void check_body(const struct request *request)
{
    demand(request->body.length <= REQUEST_BODY_LIMIT);
    if (request->chunked || request->info->num_headers == 0) {
        demand(!request->keep_alive);
        return;
    }
    const char *body = end_of_head();
    demand(request->body.length == request->length);
    demand(request->length == 0 || memcmp(request->body.data, body, request->length) == 0);
    talk.begin = (size_t)(body - talk.bytes) + request->length;
    demand(talk.begin <= talk.read && (!request->keep_alive || talk.begin == talk.read));
}

/* --- what is made of it --- */

static void check_route(const struct request *request)
{
    cleanup_buffer struct buffer methods = BUFFER_EMPTY;
    const struct destination destination = route_resolve(request->path, request->method);
    const struct route *route = destination.route;
    size_t index = destination.endpoint;
    demand(destination.path >= request->path);
    demand(destination.path <= request->path + strlen(request->path));
    demand(destination.has_vmid == (destination.path != request->path));
    demand(!destination.has_vmid || (destination.vmid >= 100 && destination.vmid <= 999999999));
    demand(!destination.open || !destination.has_vmid);
    route_methods(&destination, &methods);
    demand((index < ROUTE_COUNT) == (methods.length > 0));
    demand(!route || (strstr(buffer_text(&methods), request->method) &&
                      strcmp(route->path, route_path(index)) == 0));
}

static void check_query(const struct request *request)
{
    struct error error = {.kind = ERROR_NONE};
    struct query_number numbers[] = {
        {.name = "since", .max = INT64_MAX, .value = 0},
        {.name = "timeout", .max = 60, .value = 7},
    };
    if (query_parse(request->info->query_string, numbers, 2, &error) < 0) {
        demand(error.kind == ERROR_INVALID && *error.message);
        return;
    }
    for (size_t i = 0; i < 2; i++)
        demand(numbers[i].value >= 0 && numbers[i].value <= numbers[i].max);
    demand(numbers[0].given || numbers[0].value == 0);
    demand(numbers[1].given || numbers[1].value == 7);
}

/* A tag that matches is spelled out in the header, or the header is an asterisk. */
static void check_etags(const struct request *request)
{
    static const char tag[] = "\"0123456789abcdef\"";
    const char *value;
    for (size_t i = 0; (value = request_header(request, "If-None-Match", i)); i++) {
        if (etag_matches(value, tag))
            demand(strstr(value, tag) || strchr(value, '*'));
    }
}

/* --- what CivetWeb calls --- */

/* It comes after all that was answered. */
static void begin_request(void)
{
    demand(!talk.over);
    talk.goes_on = false;
    talk.requests++;
}

static int judge(struct mg_connection *connection, struct request *request)
{
    const struct connection *ours = mg_get_thread_pointer(connection);
    int status = request_parse(request->info, request);
    struct request again;
    demand(request_parse(request->info, &again) == status);
    check_same(request, &again);
    if (status == 0)
        status = request_measure(request, tls_request_size(ours->session));
    return status;
}

static int read_request(struct mg_connection *connection, struct request *request)
{
    check_is_next(request->info);
    int status = judge(connection, request);
    if (status != 0)
        return status;
    check_accepted(request);
    status = request_read_body(connection, request);
    if (status != 0)
        return status;
    check_body(request);
    check_route(request);
    check_query(request);
    check_etags(request);
    return 0;
}

static int take_request(struct mg_connection *connection)
{
    begin_request();
    cleanup_reply struct reply reply = REPLY_EMPTY;
    cleanup_request struct request request = {.info = mg_get_request_info(connection)};
    int status = read_request(connection, &request);
    demand(status == 0 || status == 400 || status == 413 || status == 417 || status == 431);
    reply_error(&reply, status ? status : 200, NULL);
    reply.close = status != 0;
    talk.goes_on = request.keep_alive && status == 0;
    talk.over = !talk.goes_on;
    return reply_send(connection, &reply, request.head, request.keep_alive);
}

static int take_error(struct mg_connection *connection, int status, const char *message)
{
    (void)message;
    begin_request();
    cleanup_reply struct reply reply = REPLY_EMPTY;
    demand(status >= 400 && status < 600);
    reply_error(&reply, status, NULL);
    talk.over = true;
    (void)reply_send(connection, &reply, false, false);
    return 0;
}

static int take_message(const struct mg_connection *connection, const char *message)
{
    (void)connection;
    demand(message != NULL);
    return 1;
}

/* --- what was answered --- */

static size_t count_answers(void)
{
    static const char mark[] = "\r\nX-Request-Id: ";
    size_t count = 0;
    const char *text = buffer_text(&talk.written);
    demand(strlen(text) == talk.written.length);
    while ((text = strstr(text, mark))) {
        text += sizeof mark - 1;
        count++;
    }
    return count;
}

static void serve(void)
{
    static const struct mg_callbacks callbacks = {
        .begin_request = take_request,
        .http_error = take_error,
        .log_message = take_message,
    };
    struct tls_context context = {.limits = {.request_ms = HOUR_MS, .idle_ms = HOUR_MS}};
    struct tls_session session = {.context = &context};
    struct connection connection = {.session = &session};
    session_enter_phase(&session, PHASE_FIRST, HOUR_MS);
    civetweb_talk(&callbacks, HEADER_LIMIT, &connection);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer input = BUFFER_EMPTY;
    buffer_add(&input, data, size);
    talk = (struct talk){.bytes = buffer_text(&input), .size = size};
    serve();
    demand(talk.over && !talk.goes_on);
    demand(count_answers() == talk.requests);
    buffer_free(&talk.written);
    return 0;
}
