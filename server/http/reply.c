/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/reply.h"

#include <civetweb.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "server/http/status.h"

#define REAL_DIGITS 15 /* what a double is sure of: 12.3 is not 12.300000000000001 */

void reply_free(struct reply *reply)
{
    buffer_free(&reply->headers);
    buffer_free(&reply->body);
}

/* An answer replaces whatever was said before. */
static void begin(struct reply *reply, int status)
{
    reply_free(reply);
    reply->status = status;
    reply->type = "application/json";
    reply->why[0] = '\0';
}

static void write_envelope(struct reply *reply, json_t *envelope)
{
    if (!envelope)
        mem_exhausted();
    json_write(envelope, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS), &reply->body);
    buffer_add_text(&reply->body, "\n");
    json_decref(envelope);
}

void reply_data(struct reply *reply, int status, json_t *data)
{
    begin(reply, status);
    write_envelope(reply, json_pack("{s:b, s:o}", "ok", 1, "data", data));
}

struct buffer *reply_body(struct reply *reply, int status)
{
    begin(reply, status);
    return &reply->body;
}

void reply_error(struct reply *reply, int status, const char *text)
{
    const char *said = text ? text : status_text(status);
    begin(reply, status);
    write_envelope(reply, json_pack("{s:b, s:o}", "ok", 0, "error", json_text(said)));
    reply_because(reply, said);
}

void reply_unauthorized(struct reply *reply)
{
    reply_error(reply, 401, NULL);
    reply_header(reply, "WWW-Authenticate", "Bearer");
}

void reply_later(struct reply *reply, int status, uint32_t seconds)
{
    char value[16];
    (void)snprintf(value, sizeof value, "%" PRIu32, seconds);
    reply_error(reply, status, NULL);
    reply_header(reply, "Retry-After", value);
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
    buffer_add_format(&reply->headers, "%s: %s\r\n", name, value);
}

static void add_date(time_t now, struct buffer *out)
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
    add_date(manner->now, out);
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

/* Asked for in advance, as each time is a call into the kernel. It has to differ from others in the
 * log, no more: no randomness is no reason to fail. */
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

static void make_request_id(char ret[static REQUEST_ID_LENGTH + 1])
{
    uint64_t number = random_number();
    (void)snprintf(ret, REQUEST_ID_LENGTH + 1, "%016" PRIx64, number);
}

void reply_name(struct reply *reply)
{
    make_request_id(reply->request_id);
}

void reply_because(struct reply *reply, const char *why)
{
    (void)snprintf(reply->why, sizeof reply->why, "%s", why);
}

void reply_compose(const struct reply *reply, bool head, bool keep_alive, struct buffer *out)
{
    char fresh[REQUEST_ID_LENGTH + 1] = "";
    if (*reply->request_id == '\0')
        make_request_id(fresh);
    const struct reply_manner manner = {
        .head = head,
        .keep_alive = keep_alive,
        .now = time(NULL),
        .request_id = *reply->request_id ? reply->request_id : fresh,
    };
    reply_render(reply, &manner, out);
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
