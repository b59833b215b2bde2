/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/reply.h"

#include <civetweb.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "schema/base/cleanup.h"
#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "server/base/context.h"
#include "store/base/log.h"

#define TAG_BYTES              16
#define RETRY_SECONDS          2
#define UPSTREAM_RETRY_SECONDS "30"

/* --- entity tags --- */

void etag_make(const struct buffer *content, char ret[static ETAG_SIZE])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(buffer_text(content), content->length, digest);
    char *end = ret;
    *end++ = '"';
    for (size_t i = 0; i < TAG_BYTES; i++, end += 2)
        (void)snprintf(end, 3, "%02x", digest[i]);
    memcpy(end, "\"", 2);
}

/* Returns the first character that is not a separator of a list. */
static const char *etag_next_member(const char *text)
{
    return text + strspn(text, " \t,");
}

/* Returns the end of the quoted tag that begins at text; NULL if none does. */
static const char *etag_end(const char *text)
{
    const char *closing = text[0] == '"' ? strchr(text + 1, '"') : NULL;
    return closing ? closing + 1 : NULL;
}

bool etag_matches(const char *if_none_match, const char *etag)
{
    const char *member = etag_next_member(if_none_match);
    if (member[0] == '*')
        return etag_next_member(member + 1)[0] == '\0';
    while (member[0]) {
        const char *tag = strncmp(member, "W/", 2) == 0 ? member + 2 : member;
        const char *end = etag_end(tag);
        if (!end)
            return false;
        if ((size_t)(end - tag) == strlen(etag) && memcmp(tag, etag, (size_t)(end - tag)) == 0)
            return true;
        member = etag_next_member(end);
    }
    return false;
}

/* --- statuses --- */

struct status {
    int code;
    const char *phrase;
    const char *text;
};

static const struct status statuses[] = {
    {200, "OK", ""},
    {202, "Accepted", ""},
    {304, "Not Modified", ""},
    {400, "Bad Request", "the request is malformed"},
    {401, "Unauthorized", "a valid bearer token is required"},
    {403, "Forbidden", "this token is not for this guest"},
    {404, "Not Found", "there is no such path"},
    {405, "Method Not Allowed", "this path does not know this method"},
    {408, "Request Timeout", "the request did not arrive in time"},
    {409, "Conflict", "the present state does not allow this"},
    {411, "Length Required", "the request needs a valid Content-Length"},
    {413, "Content Too Large", "the request is too large"},
    {414, "URI Too Long", "the request's path is too long"},
    {415, "Unsupported Media Type", "a body must be application/json"},
    {417, "Expectation Failed", "only 100-continue can be expected"},
    {429, "Too Many Requests", "too many requests, try again later"},
    {431, "Request Header Fields Too Large", "the request has too many headers"},
    {500, "Internal Server Error",
     "a file of the host's operator is faulty: felhomctl doctor on the host says which"},
    {501, "Not Implemented", "the request asks for something that is not implemented"},
    {503, "Service Unavailable", "temporarily unavailable"},
    {505, "HTTP Version Not Supported", "only HTTP/1.0 and HTTP/1.1 are spoken here"},
};

static const struct status *status_find(int code)
{
    static const struct status other = {0, "Unknown", "the request cannot be answered"};
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        if (statuses[i].code == code)
            return &statuses[i];
    }
    return &other;
}

const char *status_phrase(int status)
{
    return status_find(status)->phrase;
}

const char *status_text(int status)
{
    return status_find(status)->text;
}

/* --- filling in a reply --- */

#define REAL_DIGITS 15 /* all that a double holds exactly: 12.3 is not 12.300000000000001 */

void reply_free(struct reply *reply)
{
    buffer_free(&reply->headers);
    buffer_free(&reply->body);
}

/* Discards what the reply held before. */
static void reply_begin(struct reply *reply, int status)
{
    reply_free(reply);
    reply->status = status;
    reply->type = "application/json";
    reply->why[0] = '\0';
}

static void reply_write_envelope(struct reply *reply, json_t *envelope)
{
    if (!envelope)
        mem_exhausted();
    json_write(envelope, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS), &reply->body);
    buffer_add_text(&reply->body, "\n");
    json_decref(envelope);
}

void reply_data(struct reply *reply, int status, json_t *data)
{
    reply_begin(reply, status);
    reply_write_envelope(reply, json_pack("{s:b, s:o}", "ok", 1, "data", data));
}

struct buffer *reply_body(struct reply *reply, int status)
{
    reply_begin(reply, status);
    return &reply->body;
}

static void reply_set_why(struct reply *reply, const char *why)
{
    (void)snprintf(reply->why, sizeof reply->why, "%.*s", (int)sizeof reply->why - 1, why);
}

void reply_error(struct reply *reply, int status, const char *text)
{
    const char *said = text ? text : status_text(status);
    reply_begin(reply, status);
    reply_write_envelope(reply, json_pack("{s:b, s:o}", "ok", 0, "error", json_text(said)));
    reply_set_why(reply, said);
}

void reply_unauthorized(struct reply *reply)
{
    reply_error(reply, 401, NULL);
    reply_header(reply, "WWW-Authenticate", "Bearer");
}

static void reply_retry_after(struct reply *reply, uint32_t seconds)
{
    char value[16];
    (void)snprintf(value, sizeof value, "%" PRIu32, seconds);
    reply_header(reply, "Retry-After", value);
}

void reply_later(struct reply *reply, int status, uint32_t seconds)
{
    reply_error(reply, status, NULL);
    reply_retry_after(reply, seconds);
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
    buffer_add_format(&reply->headers, "%s: %s\r\n", name, value);
}

static void reply_add_date(time_t now, struct buffer *out)
{
    struct tm parts;
    char text[64];
    (void)gmtime_r(&now, &parts);
    (void)strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    buffer_add_format(out, "Date: %s\r\n", text);
}

void reply_render(const struct reply *reply, const struct reply_manner *manner, struct buffer *out)
{
    buffer_add_format(out, "HTTP/1.1 %d %s\r\n", reply->status, status_phrase(reply->status));
    reply_add_date(manner->now, out);
    if (reply->type)
        buffer_add_format(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", reply->type,
                          reply->body.length);
    buffer_add_format(out,
                      "Cache-Control: no-store\r\nConnection: %s\r\nX-Request-Id: %s\r\n%s\r\n",
                      manner->keep_alive ? "keep-alive" : "close", manner->request_id,
                      buffer_text(&reply->headers));
    if (reply->type && !manner->head && reply->body.length > 0)
        buffer_add(out, reply->body.data, reply->body.length);
}

/* --- sending it --- */

/* Takes 32 numbers from the kernel at once, as each getrandom is a system call. The number only
 * has to differ from others in the log, so a kernel without random numbers yet is no reason to
 * fail. */
static uint64_t random_number(void)
{
    static _Thread_local uint64_t numbers[32];
    static _Thread_local size_t left;
    if (left == 0) {
        (void)!getrandom(numbers, sizeof numbers, GRND_NONBLOCK);
        left = ARRAY_SIZE(numbers);
    }
    return numbers[--left];
}

static void request_id_make(char ret[static REQUEST_ID_LENGTH + 1])
{
    uint64_t number = random_number();
    (void)snprintf(ret, REQUEST_ID_LENGTH + 1, "%016" PRIx64, number);
}

void reply_assign_id(struct reply *reply)
{
    request_id_make(reply->request_id);
}

void reply_compose(const struct reply *reply, bool head, bool keep_alive, struct buffer *out)
{
    char fresh[REQUEST_ID_LENGTH + 1] = "";
    if (*reply->request_id == '\0')
        request_id_make(fresh);
    const struct reply_manner manner = {
        .head = head,
        .keep_alive = keep_alive,
        .now = time(NULL),
        .request_id = *reply->request_id ? reply->request_id : fresh,
    };
    reply_render(reply, &manner, out);
}

void reply_internal_failure(struct reply *reply, struct context *context, struct store_loan *loan,
                            const struct error *error)
{
    throttled_log_line(&context->log, LOG_ERR, "a request could not be answered: %s",
                       error->message);
    if (loan)
        store_loan_failed(loan, error);
    if (error->kind == ERROR_INVALID)
        reply_error(reply, 500, NULL);
    else
        reply_later(reply, 503, RETRY_SECONDS);
    reply_set_why(reply, error->message);
}

void reply_upstream_failure(struct reply *reply, struct context *context, const struct error *error)
{
    throttled_log_line(&context->log, LOG_WARNING, "a guest had to be told: %s", error->message);
    reply_error(reply, 503, error->message);
    reply_header(reply, "Retry-After", UPSTREAM_RETRY_SECONDS);
}

void reply_refuse(struct reply *reply, int status, uint32_t seconds, enum refusal_reason reason,
                  const char *text, const char *why)
{
    reply_error(reply, status, text);
    if (seconds > 0)
        reply_retry_after(reply, seconds);
    reply_set_why(reply, why);
    reply->refused = reason;
}

int reply_send(struct mg_connection *connection, const struct reply *reply, bool head,
               bool keep_alive)
{
    bool goes_on = keep_alive && !reply->close;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    reply_compose(reply, head, goes_on, &out);
    if (!goes_on)
        mg_disable_connection_keep_alive(connection);
    (void)mg_write(connection, out.data, out.length);
    return reply->status;
}
