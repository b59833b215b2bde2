/* SPDX-License-Identifier: Apache-2.0 */
#include "server/outbound/http_transfer.h"

#include <ctype.h>
#include <limits.h>
#include <mbedtls/base64.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/version.h"

#define HEAD_LIMIT 65536 /* bytes of status lines and headers */

/* --- what libcurl calls --- */

bool http_transfer_is_aborted(const struct http_transfer *transfer)
{
    return transfer->abort && atomic_load(transfer->abort);
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return http_transfer_is_aborted(context);
}

/* What the callbacks return to end the transfer: less than they were given. */
static size_t refuse(struct http_transfer *transfer, CURLcode refusal, size_t limit)
{
    transfer->refusal = refusal;
    transfer->limit = limit;
    return 0;
}

/* "HTTP/1.1 500 REASON\r\n"; of several status lines the last one counts. */
static void take_reason(struct http_reply *reply, const char *line, size_t length)
{
    const size_t before = strlen("HTTP/1.1 500");
    cleanup_free char *reason = mem_copy_text_n(line + before, length - before);
    shown_text(reply->reason, sizeof reply->reason, reason);
}

/* libcurl takes whatever begins like one for a status line, and for status 200 if need be. */
static bool is_status_line(const char *line, size_t length)
{
    static const char form[] = "HTTP/1.d ddd";
    for (size_t i = 0; i < strlen(form); i++) {
        if (i == length || (form[i] == 'd' ? !isdigit((unsigned char)line[i]) : line[i] != form[i]))
            return false;
    }
    return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct http_transfer *transfer = context;
    size_t length = size * count;
    bool begins_answer =
        transfer->head_length == 0 || (length >= 5 && memcmp(line, "HTTP/", 5) == 0);
    transfer->head_length += length;
    if (transfer->head_length > HEAD_LIMIT)
        return refuse(transfer, CURLE_FILESIZE_EXCEEDED, HEAD_LIMIT);
    if (begins_answer && !is_status_line(line, length))
        return refuse(transfer, CURLE_WEIRD_SERVER_REPLY, 0);
    if (begins_answer)
        take_reason(&transfer->reply, line, length);
    return length;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct http_transfer *transfer = context;
    size_t length = size * count;
    if (length > transfer->request->reply_limit - transfer->reply.body.length)
        return refuse(transfer, CURLE_FILESIZE_EXCEEDED, transfer->request->reply_limit);
    buffer_add(&transfer->reply.body, bytes, length);
    return length;
}

/* --- headers --- */

static void add_header(struct http_transfer *transfer, const char *header)
{
    struct curl_slist *headers = transfer->curl->slist_append(transfer->headers, header);
    if (!headers)
        mem_exhausted();
    transfer->headers = headers;
}

/* Not by libcurl, which keeps the password with each connection. */
static void add_basic(struct http_transfer *transfer)
{
    const struct http_request *request = transfer->request;
    cleanup_buffer struct buffer pair = BUFFER_EMPTY;
    cleanup_buffer struct buffer header = BUFFER_EMPTY;
    size_t length = 0;
    buffer_add_format(&pair, "%s:%s", request->username, request->password);
    buffer_add_text(&header, "Authorization: Basic ");
    const size_t room = (pair.length + 2) / 3 * 4 + 1;
    char *text = buffer_reserve(&header, room);
    (void)mbedtls_base64_encode((unsigned char *)text, room, &length,
                                (const unsigned char *)pair.data, pair.length);
    add_header(transfer, buffer_text(&header));
}

static int add_headers(struct http_transfer *transfer, struct error *error)
{
    const struct http_request *request = transfer->request;
    for (const char *const *header = request->headers; header && *header; header++) {
        for (const char *c = *header; *c; c++) {
            if (iscntrl((unsigned char)*c))
                return fail(error, ERROR_INVALID, "a header has a control character");
        }
        add_header(transfer, *header);
    }
    if (request->username)
        add_basic(transfer);
    cleanup_free char *type = mem_format("Content-Type:%s%s", request->body_type ? " " : "",
                                         request->body_type ? request->body_type : "");
    add_header(transfer, type);
    /* libcurl would wait for a "100 Continue" that few servers send. */
    add_header(transfer, "Expect:");
    return 0;
}

/* --- options --- */

struct number_option {
    CURLoption option;
    long value;
};

struct pointer_option {
    CURLoption option;
    const void *value;
};

static CURLcode set_numbers(const struct http_transfer *transfer,
                            const struct number_option *options, size_t count)
{
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < count && code == CURLE_OK; i++)
        code = transfer->curl->easy_setopt(transfer->handle, options[i].option, options[i].value);
    return code;
}

static CURLcode set_pointers(const struct http_transfer *transfer,
                             const struct pointer_option *options, size_t count)
{
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < count && code == CURLE_OK; i++)
        code = transfer->curl->easy_setopt(transfer->handle, options[i].option, options[i].value);
    return code;
}

/* The same for every request. */
static CURLcode set_rules(const struct http_transfer *transfer)
{
    static const struct number_option rules[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1}, /* version 2 has no reason */
        {CURLOPT_HTTP09_ALLOWED, 0},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_CA_CACHE_TIMEOUT, 0}, /* a CA file's new content counts at once */
        {CURLOPT_NOPROGRESS, 0},       /* on_progress is called */
        {CURLOPT_QUICK_EXIT, 1},       /* waits for no name server when time is up */
    };
    return set_numbers(transfer, rules, ARRAY_SIZE(rules));
}

static CURLcode set_callbacks(struct http_transfer *transfer)
{
    const struct curl *curl = transfer->curl;
    CURL *handle = transfer->handle;
    CURLcode code = curl->easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
    if (code == CURLE_OK)
        code = curl->easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    if (code == CURLE_OK)
        code = curl->easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    return code;
}

/* libcurl takes no more than an int. */
static long milliseconds(uint64_t timeout_ms)
{
    return timeout_ms > INT_MAX ? INT_MAX : (long)timeout_ms;
}

static CURLcode set_request(struct http_transfer *transfer)
{
    const struct http_request *request = transfer->request;
    const long timeout_ms = milliseconds(request->timeout_ms);
    const struct number_option numbers[] = {
        {CURLOPT_TIMEOUT_MS, timeout_ms},
        {CURLOPT_CONNECTTIMEOUT_MS, timeout_ms},
        /* On a connection that was used before, and that died, libcurl sends a request again: what
         * changes something must never go there. */
        {CURLOPT_FRESH_CONNECT, strcmp(request->method, "GET") != 0},
        {CURLOPT_FORBID_REUSE, request->confidential},
    };
    const struct pointer_option pointers[] = {
        {CURLOPT_SHARE, transfer->share},
        {CURLOPT_URL, request->url},
        {CURLOPT_PROTOCOLS_STR, "http,https"},
        {CURLOPT_PROXY, ""}, /* none, whatever the environment says */
        {CURLOPT_USERAGENT, "felhom-agent/" FELHOM_VERSION},
        {CURLOPT_CUSTOMREQUEST, request->method},
        {CURLOPT_HTTPHEADER, transfer->headers},
        {CURLOPT_ERRORBUFFER, transfer->problem},
        {CURLOPT_XFERINFODATA, transfer},
        {CURLOPT_HEADERDATA, transfer},
        {CURLOPT_WRITEDATA, transfer},
    };
    CURLcode code = set_numbers(transfer, numbers, ARRAY_SIZE(numbers));
    return code != CURLE_OK ? code : set_pointers(transfer, pointers, ARRAY_SIZE(pointers));
}

/* The peer's certificate is measured by that file alone. */
static CURLcode set_ca_file(const struct http_transfer *transfer)
{
    const struct pointer_option options[] = {
        {CURLOPT_CAINFO, transfer->request->ca_file},
        {CURLOPT_CAPATH, NULL},
    };
    return *transfer->request->ca_file ? set_pointers(transfer, options, ARRAY_SIZE(options))
                                       : CURLE_OK;
}

/* A POST has a body, if an empty one; libcurl keeps no copy of it. */
static CURLcode set_body(const struct http_transfer *transfer)
{
    const struct http_request *request = transfer->request;
    const curl_off_t length = request->body_type ? (curl_off_t)request->body_length : 0;
    if (!request->body_type && strcmp(request->method, "POST") != 0)
        return CURLE_OK;
    CURLcode code =
        transfer->curl->easy_setopt(transfer->handle, CURLOPT_POSTFIELDSIZE_LARGE, length);
    if (code != CURLE_OK)
        return code;
    return transfer->curl->easy_setopt(transfer->handle, CURLOPT_POSTFIELDS,
                                       length > 0 ? request->body : "");
}

static int set_options(struct http_transfer *transfer, struct error *error)
{
    CURLcode code = set_rules(transfer);
    if (code == CURLE_OK)
        code = set_callbacks(transfer);
    if (code == CURLE_OK)
        code = set_request(transfer);
    if (code == CURLE_OK)
        code = set_ca_file(transfer);
    if (code == CURLE_OK)
        code = set_body(transfer);
    if (code == CURLE_OUT_OF_MEMORY)
        mem_exhausted();
    return code == CURLE_OK ? 0
                            : fail(error, ERROR_SYSTEM, "libcurl refuses an option: %s",
                                   transfer->curl->easy_strerror(code));
}

int http_transfer_prepare(struct http_transfer *transfer, struct error *error)
{
    return add_headers(transfer, error) < 0 ? -1 : set_options(transfer, error);
}

void http_transfer_end(struct http_transfer *transfer)
{
    transfer->curl->slist_free_all(transfer->headers);
}
