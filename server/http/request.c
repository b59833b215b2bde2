/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/request.h"

#include <civetweb.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "server/http/reply.h"
#include "server/net/connection.h"
#include "server/tls/session.h"
#include "store/base/clock.h"

#define SHOWN_MAX 64 /* bytes of an unknown name that a reply quotes */

/* --- the query --- */

static struct query_number *query_find_number(const struct slice *name,
                                              struct query_number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equals(*name, numbers[i].name))
            return &numbers[i];
    }
    return NULL;
}

static int query_fail_unknown(const struct slice *name, struct error *error)
{
    int shown = name->length < SHOWN_MAX ? (int)name->length : SHOWN_MAX;
    if (shown == 0)
        return fail(error, ERROR_INVALID, "the query has a parameter without a name");
    return fail(error, ERROR_INVALID, "%.*s: unknown parameter", shown, name->text);
}

/* strtoll stops at the end of the parameter: an ampersand or the end of the query. */
static bool query_read_number(const struct slice *digits, int64_t *ret)
{
    char *end;
    if (digits->length == 0 || strspn(digits->text, DIGITS) < digits->length)
        return false;
    errno = 0;
    *ret = strtoll(digits->text, &end, 10);
    return errno == 0;
}

static int query_take(const struct slice *name, const struct slice *value,
                      struct query_number *numbers, size_t count, struct error *error)
{
    struct query_number *number = query_find_number(name, numbers, count);
    int64_t read;
    if (!number)
        return query_fail_unknown(name, error);
    if (number->given)
        return fail(error, ERROR_INVALID, "%s: is given twice", number->name);
    if (!query_read_number(value, &read) || read > number->max)
        return fail(error, ERROR_INVALID, "%s: must be a whole number from 0 to %" PRId64,
                    number->name, number->max);
    number->value = read;
    number->given = true;
    return 0;
}

int query_parse(const char *query, struct query_number *numbers, size_t count, struct error *error)
{
    while (query && *query) {
        struct slice name = {query, strcspn(query, "=&")};
        const char *rest = query + name.length;
        struct slice value = {rest + (*rest == '='), strcspn(rest + (*rest == '='), "&")};
        if (query_take(&name, &value, numbers, count, error) < 0)
            return -1;
        query = value.text + value.length;
        query += *query == '&';
    }
    return 0;
}

/* --- the JSON body --- */

/* True if the next piece of a header, up to its end or a semicolon, is this word. Moves *text
 * behind the piece. */
static bool header_take_piece(const char **text, const char *word)
{
    struct slice rest = slice_of(*text);
    struct slice piece = slice_trim(slice_take(&rest, ';'), BLANKS);
    *text = rest.text;
    return piece.length == strlen(word) && strncasecmp(piece.text, word, piece.length) == 0;
}

static bool header_is_json_type(const char *type)
{
    if (!header_take_piece(&type, "application/json"))
        return false;
    const char *charset = type;
    const char *quoted = type;
    return *type == '\0' || (header_take_piece(&charset, "charset=utf-8") && *charset == '\0') ||
           (header_take_piece(&quoted, "charset=\"utf-8\"") && *quoted == '\0');
}

static bool body_is_json(const struct request *request)
{
    const char *type = request_header(request, "Content-Type", 0);
    return type && header_is_json_type(type) && !request_header(request, "Content-Type", 1);
}

bool body_read(const struct request *request, const struct json_body_key *keys, size_t count,
               char **ret_values, struct reply *reply)
{
    struct error error;
    const struct buffer *body = &request->body;
    if (body->length > 0 && !body_is_json(request)) {
        reply_error(reply, 415, "the body must be sent as Content-Type: application/json");
        return false;
    }
    if (json_body_parse(buffer_text(body), body->length, keys, count, ret_values, &error) == 0)
        return true;
    reply_error(reply, 400, error.message);
    return false;
}

/* --- the request line and the headers --- */

/* Bytes read of a body that is too long, so that its sender gets to see the reply. */
#define DRAIN_LIMIT   ((size_t)1 << 20)
#define CONTINUE      "HTTP/1.1 100 Continue\r\n\r\n"
#define LENGTH_DIGITS 18
#define END_OF_HEAD   4 /* bytes */

/* A request may have only one of each: two contradict each other even if they are equal. */
static const char *const single_headers[] = {
    "Authorization", "Content-Length", "Expect", "Host", "Transfer-Encoding",
};

static const char *find_header(const struct mg_request_info *info, const char *name, size_t index)
{
    for (int i = 0; i < info->num_headers; i++) {
        if (strcasecmp(info->http_headers[i].name, name) == 0 && index-- == 0)
            return info->http_headers[i].value;
    }
    return NULL;
}

const char *request_header(const struct request *request, const char *name, size_t index)
{
    return find_header(request->info, name, index);
}

static bool has_doubled_header(const struct mg_request_info *info)
{
    for (size_t i = 0; i < ARRAY_SIZE(single_headers); i++) {
        if (find_header(info, single_headers[i], 1))
            return true;
    }
    return false;
}

/* Returns the length of the text without the blanks at its end. */
static size_t trimmed_length(const char *text)
{
    return slice_trim_end(slice_of(text), BLANKS).length;
}

static bool header_is_word(const char *value, const char *word)
{
    return trimmed_length(value) == strlen(word) && strncasecmp(value, word, strlen(word)) == 0;
}

/* CivetWeb would keep the connection in more cases than these; then it is told to close it. */
static bool wants_keep_alive(const struct mg_request_info *info)
{
    const char *value = find_header(info, "Connection", 0);
    if (!value)
        return info->http_version && strcmp(info->http_version, "1.1") == 0;
    return strcasecmp(value, "keep-alive") == 0 && !find_header(info, "Connection", 1);
}

/* Finds the token in "Bearer TOKEN". Any other value has no token. */
static struct presented_token bearer_token(const char *value)
{
    static const char scheme[] = "Bearer";
    const size_t scheme_length = sizeof scheme - 1;
    if (!value || strncasecmp(value, scheme, scheme_length) != 0)
        return (struct presented_token){"", 0};
    const char *text = value + scheme_length;
    size_t blanks = strspn(text, BLANKS);
    if (blanks == 0)
        return (struct presented_token){"", 0};
    return (struct presented_token){text + blanks, trimmed_length(text + blanks)};
}

/* Accepts digits only. CivetWeb would take "12abc" for a length. */
static int parse_length(const char *value, size_t *ret)
{
    size_t length = trimmed_length(value);
    if (length == 0 || strspn(value, "0123456789") != length)
        return 400;
    *ret = length > LENGTH_DIGITS ? SIZE_MAX : (size_t)strtoull(value, NULL, 10);
    return 0;
}

static int parse_framing(struct request *request)
{
    const char *encoding = request_header(request, "Transfer-Encoding", 0);
    const char *length = request_header(request, "Content-Length", 0);
    if (encoding && (length || !header_is_word(encoding, "chunked")))
        return 400;
    request->chunked = encoding != NULL;
    /* CivetWeb does not say what follows the last chunk. */
    if (request->chunked)
        request->keep_alive = false;
    return length ? parse_length(length, &request->length) : 0;
}

static int parse_expectation(struct request *request)
{
    const char *expectation = request_header(request, "Expect", 0);
    if (expectation && !header_is_word(expectation, "100-continue"))
        return 417;
    request->expects_continue = expectation && (request->chunked || request->length > 0);
    return 0;
}

int request_parse(const struct mg_request_info *info, struct request *ret)
{
    *ret = (struct request){
        .info = info,
        .head = strcmp(info->request_method, "HEAD") == 0,
        .path = info->local_uri,
        .keep_alive = wants_keep_alive(info),
        .token = bearer_token(find_header(info, "Authorization", 0)),
    };
    ret->method = ret->head ? "GET" : info->request_method;
    if (info->num_headers >= MG_MAX_HEADERS)
        return 431; /* CivetWeb silently drops the headers beyond this number */
    if (has_doubled_header(info))
        return 400;
    int status = parse_framing(ret);
    return status ? status : parse_expectation(ret);
}

/* Returns the end of the last line that CivetWeb has read. */
static const char *end_of_lines(const struct mg_request_info *info)
{
    const char *last = info->num_headers > 0 ? info->http_headers[info->num_headers - 1].value
                                             : info->http_version;
    return last + strlen(last);
}

int request_measure(struct request *request, size_t received)
{
    /* What CivetWeb leaves of "\r\n\r\n". It takes a line that it cannot read, such as a folded
     * one, for the end of the head; then the bytes here are others. */
    const char *mark = request->info->num_headers > 0 ? "\0\0\r" : "\0\0\0";
    const char *end = end_of_lines(request->info);
    size_t head = (size_t)(end - request->info->request_method) + END_OF_HEAD;
    if (head > received || memcmp(end, mark, END_OF_HEAD) != 0)
        return 400;
    /* CivetWeb does not report blank lines after the request line either. */
    if (received - head > request->length || request->info->num_headers == 0)
        request->keep_alive = false;
    return 0;
}

/* --- reading the body --- */

static struct tls_session *connection_session(struct mg_connection *connection)
{
    const struct connection *ours = mg_get_thread_pointer(connection);
    return ours->session;
}

/* Returns the status for a body that was cut short: 408 if the time was up, else 400. */
static int body_cut_status(struct mg_connection *connection)
{
    return tls_timed_out(connection_session(connection)) ? 408 : 400;
}

/* True if the body is too long, and the sender will see the reply without our reading the body. */
static bool body_is_refused_unread(const struct request *request)
{
    return request->length > (request->expects_continue ? REQUEST_BODY_LIMIT : DRAIN_LIMIT);
}

static bool body_is_unfinished(const struct request *request, size_t total)
{
    return request->chunked ? total <= DRAIN_LIMIT : total < request->length;
}

static void body_send_continue(struct mg_connection *connection)
{
    (void)mg_write(connection, CONTINUE, strlen(CONTINUE));
    tls_expect_rest(connection_session(connection));
}

int request_read_body(struct mg_connection *connection, struct request *request)
{
    char piece[4096];
    size_t total = 0;
    if (body_is_refused_unread(request))
        return 413;
    if (request->expects_continue)
        body_send_continue(connection);
    while (body_is_unfinished(request, total)) {
        int count = mg_read(connection, piece, sizeof piece);
        if (count == 0 && request->chunked)
            break;
        if (count <= 0)
            return body_cut_status(connection);
        total += (size_t)count;
        if (total <= REQUEST_BODY_LIMIT)
            buffer_add(&request->body, piece, (size_t)count);
    }
    return total > REQUEST_BODY_LIMIT ? 413 : 0;
}

int64_t request_deadline_us(const struct request *request)
{
    return clock_steady_us() + (int64_t)request->config->limits.request_ms * 1000;
}

void request_end(struct request *request)
{
    /* CivetWeb's buffer is writable, although its interface says const, and nobody reads the
     * header after this. */
    if (request->token.length > 0)
        explicit_bzero((char *)request->token.text, request->token.length);
    buffer_free(&request->body);
}
