/* SPDX-License-Identifier: Apache-2.0 */
#include "server/outbound/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/memory.h"
#include "server/base/tally.h"
#include "server/outbound/http_failure.h"
#include "server/outbound/http_transfer.h"

#define ORIGIN_SIZE 384 /* a host name has 253 bytes at most */

struct http_client {
    const atomic_bool *abort;
    struct tally_calls *calls; /* NULL: nobody counts */
    const struct curl *curl;   /* NULL before the first request */
    CURLSH *share;             /* what stays from one request to the next */
    bool may_have_sent;
};

struct http_client *http_client_new(const atomic_bool *abort)
{
    struct http_client *client = mem_new(struct http_client);
    client->abort = abort;
    return client;
}

void http_client_count(struct http_client *client, struct tally_calls *calls)
{
    client->calls = calls;
}

void http_client_free(struct http_client *client)
{
    if (client && client->share)
        (void)client->curl->share_cleanup(client->share);
    free(client);
}

void http_reply_free(struct http_reply *reply)
{
    buffer_free(&reply->body);
    *reply = (struct http_reply){0};
}

bool http_client_may_have_sent(const struct http_client *client)
{
    return client->may_have_sent;
}

static void share_connections(const struct http_client *client)
{
    static const curl_lock_data shared[] = {CURL_LOCK_DATA_CONNECT, CURL_LOCK_DATA_SSL_SESSION,
                                            CURL_LOCK_DATA_DNS};
    for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
        (void)client->curl->share_setopt(client->share, CURLSHOPT_SHARE, shared[i]);
}

static int prepare(struct http_client *client, struct error *error)
{
    if (client->share)
        return 0;
    client->curl = curl_load(error);
    if (!client->curl)
        return -1;
    client->share = client->curl->share_init();
    if (!client->share)
        mem_exhausted();
    share_connections(client);
    return 0;
}

static CURLUcode read_origin(const struct curl *curl, CURLU *parts, const char *url,
                             char ret[static ORIGIN_SIZE])
{
    static const CURLUPart unsaid[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                       CURLUPART_PATH, CURLUPART_QUERY,    CURLUPART_FRAGMENT};
    char *text;
    CURLUcode code = curl->url_set(parts, CURLUPART_URL, url, 0);
    for (size_t i = 0; i < ARRAY_SIZE(unsaid) && code == CURLUE_OK; i++)
        code = curl->url_set(parts, unsaid[i], NULL, 0);
    if (code == CURLUE_OK)
        code = curl->url_get(parts, CURLUPART_URL, &text, CURLU_DEFAULT_PORT);
    if (code != CURLUE_OK)
        return code;
    /* A path that was taken out comes back as a slash. */
    (void)snprintf(ret, ORIGIN_SIZE, "%.*s", (int)strlen(text) - 1, text);
    curl->free(text);
    return CURLUE_OK;
}

/* scheme://host:port, which is all of a URL that may be said. */
static int find_origin(const struct curl *curl, const char *url, char ret[static ORIGIN_SIZE],
                       struct error *error)
{
    CURLU *parts = curl->url();
    if (!parts)
        mem_exhausted();
    CURLUcode code = read_origin(curl, parts, url, ret);
    curl->url_cleanup(parts);
    if (code != CURLUE_OK)
        return fail(error, ERROR_INVALID, "the URL cannot be used: %s", curl->url_strerror(code));
    if (strncmp(ret, "http://", 7) != 0 && strncmp(ret, "https://", 8) != 0)
        return fail(error, ERROR_INVALID, "the URL is neither http:// nor https://");
    return 0;
}

static int check_ca_file(const char *ca_file, struct error *error)
{
    if (*ca_file && access(ca_file, R_OK) < 0)
        return fail_errno(error, errno, "%s", ca_file);
    return 0;
}

static long ask(const struct http_transfer *transfer, CURLINFO info)
{
    long value = 0;
    (void)transfer->curl->easy_getinfo(transfer->handle, info, &value);
    return value;
}

static int tell(const struct http_transfer *transfer, CURLcode code, struct error *error)
{
    const struct http_failure failure = {
        .code = transfer->refusal != CURLE_OK ? transfer->refusal : code,
        .problem = *transfer->problem ? transfer->problem : transfer->curl->easy_strerror(code),
        .verify_result = ask(transfer, CURLINFO_SSL_VERIFYRESULT),
        .os_errno = ask(transfer, CURLINFO_OS_ERRNO),
        .answer_began = transfer->head_length > 0,
        .ca_file = transfer->request->ca_file,
        .timeout_ms = transfer->request->timeout_ms,
        .reply_limit = transfer->limit,
    };
    return http_failure_tell(&failure, error);
}

static int perform(struct http_client *client, struct http_transfer *transfer, struct error *error)
{
    if (http_transfer_is_aborted(transfer))
        return tell(transfer, CURLE_ABORTED_BY_CALLBACK, error);
    if (transfer->request->timeout_ms == 0)
        return tell(transfer, CURLE_OPERATION_TIMEDOUT, error);
    if (check_ca_file(transfer->request->ca_file, error) < 0 ||
        http_transfer_prepare(transfer, error) < 0)
        return -1;
    CURLcode code = transfer->curl->easy_perform(transfer->handle);
    client->may_have_sent = ask(transfer, CURLINFO_REQUEST_SIZE) > 0;
    if (code != CURLE_OK)
        return tell(transfer, code, error);
    transfer->reply.status = (int)ask(transfer, CURLINFO_RESPONSE_CODE);
    return 0;
}

static enum tally_outcome outcome_of(int result, const struct http_reply *reply)
{
    if (result < 0)
        return TALLY_FAILED;
    return reply->status < 400 ? TALLY_ANSWERED : TALLY_REFUSED;
}

/* With a handle of its own: of one that is used again, buffers would keep what went through them.
 */
static int transfer(struct http_client *client, const struct http_request *request,
                    struct http_reply *ret, struct error *error)
{
    struct http_transfer transfer = {
        .curl = client->curl,
        .share = client->share,
        .handle = client->curl->easy_init(),
        .abort = client->abort,
        .request = request,
    };
    if (!transfer.handle)
        mem_exhausted();
    int result = perform(client, &transfer, error);
    client->curl->easy_cleanup(transfer.handle);
    http_transfer_end(&transfer);
    *ret = transfer.reply;
    return result;
}

int http_client_perform(struct http_client *client, const struct http_request *request,
                        struct http_reply *ret, struct error *error)
{
    char origin[ORIGIN_SIZE];
    struct http_reply reply = {0};
    client->may_have_sent = false;
    if (prepare(client, error) < 0 || find_origin(client->curl, request->url, origin, error) < 0)
        return -1;
    int result = transfer(client, request, &reply, error);
    tally_call(client->calls, outcome_of(result, &reply));
    if (result < 0) {
        http_reply_free(&reply);
        return fail_context(error, "%s", origin);
    }
    *ret = reply;
    return 0;
}
