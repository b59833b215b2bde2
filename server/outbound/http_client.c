/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each request is a struct http_transfer with a libcurl handle of its own. http_client_perform puts
 * the request into headers and options, and runs the transfer; libcurl calls back with what
 * arrives, and is told to stop if a limit is exceeded; a failure is put into words for an operator.
 * Only connections, TLS sessions and host names are kept from one request to the next, in the share
 * of the client.
 */
#include "server/outbound/http_client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <mbedtls/base64.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/version.h"
#include "server/base/counters.h"

#define HEAD_LIMIT 65536 /* bytes of status lines and headers */

/* --- libcurl --- */

/* libcurl is loaded when it is first needed, because it brings thirty libraries into memory, and a
 * host without a Proxmox token, a hub and a registry should not have to carry them. curl->easy_init
 * is curl_easy_init. */
#define CURL_FUNCTIONS(F) \
    F(global_init) \
    F(easy_init) \
    F(easy_cleanup) \
    F(easy_setopt) \
    F(easy_perform) \
    F(easy_getinfo) \
    F(easy_strerror) \
    F(share_init) \
    F(share_setopt) \
    F(share_cleanup) \
    F(slist_append) \
    F(slist_free_all) \
    F(url) \
    F(url_cleanup) \
    F(url_get) \
    F(url_set) \
    F(url_strerror) \
    F(free)

struct curl {
#define CURL_MEMBER(name) __typeof__((curl_##name)) *(name);
    CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};

static const struct {
    const char *symbol;
    size_t member; /* offset of the member in struct curl */
} curl_functions[] = {
#define CURL_SYMBOL(name) {"curl_" #name, offsetof(struct curl, name)},
    CURL_FUNCTIONS(CURL_SYMBOL)
#undef CURL_SYMBOL
};

/* The one libcurl of the process; it stays loaded. Written only in curl_load_once, which
 * pthread_once calls. */
static struct {
    pthread_once_t once;
    int result;
    struct error error;
    struct curl curl;
} loaded = {.once = PTHREAD_ONCE_INIT};

static int curl_find_functions(void *library)
{
    for (size_t i = 0; i < ARRAY_SIZE(curl_functions); i++) {
        void *function = dlsym(library, curl_functions[i].symbol);
        if (!function)
            return fail(&loaded.error, ERROR_SYSTEM, "the installed libcurl has no %s: update it",
                        curl_functions[i].symbol);
        memcpy((char *)&loaded.curl + curl_functions[i].member, &function, sizeof function);
    }
    return 0;
}

static int curl_open_library(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail(&loaded.error, ERROR_SYSTEM,
                    "libcurl is not installed: apt-get install libcurl4 (libcurl4t64 on Debian "
                    "13), then restart felhomd");
    if (curl_find_functions(library) < 0)
        return -1;
    if (loaded.curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(&loaded.error, ERROR_SYSTEM, "libcurl does not start");
    return 0;
}

static void curl_load_once(void)
{
    loaded.result = curl_open_library();
}

/* Returns the functions, the same for all threads; NULL if libcurl cannot be used. */
static const struct curl *curl_load(struct error *error)
{
    (void)pthread_once(&loaded.once, curl_load_once);
    if (loaded.result == 0)
        return &loaded.curl;
    *error = loaded.error;
    return NULL;
}

/* --- a transfer --- */

/* One request, while it is made. */
struct http_transfer {
    const struct curl *curl;
    CURLSH *share; /* connections and TLS sessions of earlier transfers */
    CURL *handle;
    const atomic_bool *abort; /* may be NULL */
    const struct http_request *request;
    struct curl_slist *headers;
    char problem[CURL_ERROR_SIZE]; /* a failure as libcurl describes it; "": it does not */
    struct http_reply reply;
    size_t head_length;
    CURLcode refusal; /* why a callback has ended the transfer; CURLE_OK: none has */
    size_t limit;     /* the limit that the reply exceeded, in bytes */
};

/* --- what libcurl calls --- */

static bool transfer_is_aborted(const struct http_transfer *transfer)
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
    return transfer_is_aborted(context);
}

/* Notes why the transfer is to end, and returns 0: a callback ends the transfer by returning
 * less than it was given. */
static size_t transfer_refuse(struct http_transfer *transfer, CURLcode refusal, size_t limit)
{
    transfer->refusal = refusal;
    transfer->limit = limit;
    return 0;
}

/* Copies the reason from "HTTP/1.1 500 REASON\r\n"; if several status lines come, the last one
 * counts. */
static void transfer_take_reason(struct http_reply *reply, const char *line, size_t length)
{
    const size_t before = strlen("HTTP/1.1 500");
    cleanup_free char *reason = mem_copy_text_n(line + before, length - before);
    text_show(reply->reason, sizeof reply->reason, reason);
}

/* Checks the whole form, because libcurl accepts anything that begins like a status line, even
 * as status 200. */
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
        return transfer_refuse(transfer, CURLE_FILESIZE_EXCEEDED, HEAD_LIMIT);
    if (begins_answer && !is_status_line(line, length))
        return transfer_refuse(transfer, CURLE_WEIRD_SERVER_REPLY, 0);
    if (begins_answer)
        transfer_take_reason(&transfer->reply, line, length);
    return length;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct http_transfer *transfer = context;
    size_t length = size * count;
    if (length > transfer->request->reply_limit - transfer->reply.body.length)
        return transfer_refuse(transfer, CURLE_FILESIZE_EXCEEDED, transfer->request->reply_limit);
    buffer_add(&transfer->reply.body, bytes, length);
    return length;
}

/* --- headers --- */

static void transfer_add_header(struct http_transfer *transfer, const char *header)
{
    struct curl_slist *headers = transfer->curl->slist_append(transfer->headers, header);
    if (!headers)
        mem_exhausted();
    transfer->headers = headers;
}

/* Adds the header for basic authentication. This is not left to libcurl, which keeps the
 * password with each connection. */
static void transfer_add_basic(struct http_transfer *transfer)
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
    transfer_add_header(transfer, buffer_text(&header));
}

static int transfer_add_headers(struct http_transfer *transfer, struct error *error)
{
    const struct http_request *request = transfer->request;
    for (const char *const *header = request->headers; header && *header; header++) {
        if (text_has_control(*header))
            return fail(error, ERROR_INVALID, "a header has a control character");
        transfer_add_header(transfer, *header);
    }
    if (request->username)
        transfer_add_basic(transfer);
    cleanup_free char *type = mem_format("Content-Type:%s%s", request->body_type ? " " : "",
                                         request->body_type ? request->body_type : "");
    transfer_add_header(transfer, type);
    /* Without this libcurl would wait for a "100 Continue" that few servers send. */
    transfer_add_header(transfer, "Expect:");
    return 0;
}

/* --- options --- */

/* A long or a pointer, as the option takes. */
struct curl_setting {
    CURLoption option;
    long number;
    const void *pointer;
};

static CURLcode transfer_set(const struct http_transfer *transfer,
                             const struct curl_setting *settings, size_t count)
{
    CURLcode code = CURLE_OK;
    for (const struct curl_setting *at = settings; at < settings + count && code == CURLE_OK; at++)
        code = at->option < CURLOPTTYPE_OBJECTPOINT
                   ? transfer->curl->easy_setopt(transfer->handle, at->option, at->number)
                   : transfer->curl->easy_setopt(transfer->handle, at->option, at->pointer);
    return code;
}

/* The options that every request has. */
static CURLcode transfer_set_request(struct http_transfer *transfer)
{
    const struct http_request *request = transfer->request;
    /* libcurl takes the time as an int. */
    const long timeout_ms = request->timeout_ms > INT_MAX ? INT_MAX : (long)request->timeout_ms;
    const struct curl_setting settings[] = {
        {CURLOPT_NOSIGNAL, .number = 1},
        {CURLOPT_FOLLOWLOCATION, .number = 0},
        {CURLOPT_NETRC, .number = CURL_NETRC_IGNORED},
        /* HTTP/2 has no reason in its status */
        {CURLOPT_HTTP_VERSION, .number = CURL_HTTP_VERSION_1_1},
        {CURLOPT_HTTP09_ALLOWED, .number = 0},
        {CURLOPT_SSLVERSION, .number = CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_SSL_VERIFYPEER, .number = 1},
        {CURLOPT_SSL_VERIFYHOST, .number = 2},
        {CURLOPT_CA_CACHE_TIMEOUT, .number = 0}, /* a CA file's new content is used at once */
        {CURLOPT_NOPROGRESS, .number = 0},       /* on_progress is called */
        {CURLOPT_QUICK_EXIT, .number = 1}, /* does not wait for a name server when the time is up */
        {CURLOPT_TIMEOUT_MS, .number = timeout_ms},
        {CURLOPT_CONNECTTIMEOUT_MS, .number = timeout_ms},
        /* On a reused connection that has died, libcurl sends the request again. A request that
         * changes something must not be sent twice, so it gets a new connection. */
        {CURLOPT_FRESH_CONNECT, .number = strcmp(request->method, "GET") != 0},
        {CURLOPT_FORBID_REUSE, .number = request->confidential},
        {CURLOPT_SHARE, .pointer = transfer->share},
        {CURLOPT_URL, .pointer = request->url},
        {CURLOPT_PROTOCOLS_STR, .pointer = "http,https"},
        {CURLOPT_PROXY, .pointer = ""}, /* no proxy, whatever the environment says */
        {CURLOPT_USERAGENT, .pointer = "felhom-agent/" FELHOM_VERSION},
        {CURLOPT_CUSTOMREQUEST, .pointer = request->method},
        {CURLOPT_HTTPHEADER, .pointer = transfer->headers},
        {CURLOPT_ERRORBUFFER, .pointer = transfer->problem},
        {CURLOPT_XFERINFOFUNCTION, .pointer = (const void *)on_progress},
        {CURLOPT_XFERINFODATA, .pointer = transfer},
        {CURLOPT_HEADERFUNCTION, .pointer = (const void *)on_header},
        {CURLOPT_HEADERDATA, .pointer = transfer},
        {CURLOPT_WRITEFUNCTION, .pointer = (const void *)on_body},
        {CURLOPT_WRITEDATA, .pointer = transfer},
    };
    return transfer_set(transfer, settings, ARRAY_SIZE(settings));
}

static int transfer_set_options(struct http_transfer *transfer, struct error *error)
{
    const struct http_request *request = transfer->request;
    const size_t length = request->body_type ? request->body_length : 0;
    /* With a CA file, the peer's certificate is verified with that file alone. */
    const struct curl_setting ca_file[] = {
        {CURLOPT_CAINFO, .pointer = request->ca_file},
        {CURLOPT_CAPATH, .pointer = NULL},
    };
    /* libcurl makes no copy of the body. */
    const struct curl_setting body[] = {
        {CURLOPT_POSTFIELDSIZE, .number = (long)length},
        {CURLOPT_POSTFIELDS, .pointer = length > 0 ? request->body : ""},
    };
    /* A POST always has a body, if only an empty one. */
    bool has_body = request->body_type || strcmp(request->method, "POST") == 0;
    CURLcode code = transfer_set_request(transfer);
    if (code == CURLE_OK && *request->ca_file)
        code = transfer_set(transfer, ca_file, ARRAY_SIZE(ca_file));
    if (code == CURLE_OK && has_body)
        code = transfer_set(transfer, body, ARRAY_SIZE(body));
    if (code == CURLE_OUT_OF_MEMORY)
        mem_exhausted();
    return code == CURLE_OK ? 0
                            : fail(error, ERROR_SYSTEM, "libcurl refuses an option: %s",
                                   transfer->curl->easy_strerror(code));
}

/* --- why a request failed, in words for an operator --- */

/* Results of OpenSSL's verification (X509_V_...), as CURLINFO_SSL_VERIFYRESULT returns them. */
enum verdict {
    VERDICT_OK = 0,
    VERDICT_UNSPECIFIED = 1, /* libcurl has not asked OpenSSL */
    VERDICT_NO_ISSUER = 2,
    VERDICT_OTHER_SIGNATURE = 7,
    VERDICT_NOT_YET_VALID = 9,
    VERDICT_EXPIRED = 10,
    VERDICT_SELF_SIGNED = 18,
    VERDICT_SELF_SIGNED_IN_CHAIN = 19,
    VERDICT_NO_LOCAL_ISSUER = 20,
    VERDICT_NO_CHAIN = 21,
    VERDICT_OTHER_HOST_NAME = 62,
    VERDICT_OTHER_ADDRESS = 64,
};

static long transfer_info(const struct http_transfer *transfer, CURLINFO info)
{
    long value = 0;
    (void)transfer->curl->easy_getinfo(transfer->handle, info, &value);
    return value;
}

static int transfer_fail_connection(const struct http_transfer *transfer, struct error *error)
{
    char reason[128];
    const long os_errno = transfer_info(transfer, CURLINFO_OS_ERRNO);
    if (os_errno == 0)
        return fail(error, ERROR_BUSY, "no connection");
    return fail(error, ERROR_BUSY, "no connection: %s",
                strerror_r((int)os_errno, reason, sizeof reason));
}

static int transfer_fail_certificate(const struct http_transfer *transfer, const char *problem,
                                     struct error *error)
{
    const char *ca_file = transfer->request->ca_file;
    const char *judge = *ca_file ? ca_file : "a CA that this system trusts";
    switch ((enum verdict)transfer_info(transfer, CURLINFO_SSL_VERIFYRESULT)) {
    case VERDICT_OK:
    case VERDICT_UNSPECIFIED:
    case VERDICT_OTHER_HOST_NAME:
    case VERDICT_OTHER_ADDRESS:
        return fail(error, ERROR_DENIED, "its certificate is for another name");
    case VERDICT_NOT_YET_VALID:
        return fail(error, ERROR_DENIED, "its certificate is not valid yet");
    case VERDICT_EXPIRED:
        return fail(error, ERROR_DENIED, "its certificate has expired");
    case VERDICT_NO_ISSUER:
    case VERDICT_OTHER_SIGNATURE:
    case VERDICT_SELF_SIGNED:
    case VERDICT_SELF_SIGNED_IN_CHAIN:
    case VERDICT_NO_LOCAL_ISSUER:
    case VERDICT_NO_CHAIN:
        return fail(error, ERROR_DENIED, "its certificate is not signed by %s", judge);
    default:
        return fail(error, ERROR_DENIED, "its certificate cannot be verified with %s: %s", judge,
                    problem);
    }
}

/* Fills in *error as http_client_perform documents it; returns -1. */
static int transfer_fail(const struct http_transfer *transfer, CURLcode code, struct error *error)
{
    char problem[CURL_ERROR_SIZE];
    const char *ca_file = transfer->request->ca_file;
    text_show(problem, sizeof problem,
              *transfer->problem ? transfer->problem : transfer->curl->easy_strerror(code));
    switch (transfer->refusal != CURLE_OK ? transfer->refusal : code) {
    case CURLE_COULDNT_CONNECT:
        return transfer_fail_connection(transfer, error);
    case CURLE_COULDNT_RESOLVE_HOST:
        return fail(error, ERROR_BUSY, "no connection: its name cannot be resolved");
    case CURLE_SSL_CONNECT_ERROR:
        return fail(error, ERROR_BUSY, "no connection by TLS: %s", problem);
    case CURLE_OPERATION_TIMEDOUT:
        return fail(error, ERROR_BUSY, "no answer within %" PRIu64 " ms",
                    transfer->request->timeout_ms);
    case CURLE_ABORTED_BY_CALLBACK:
        return fail(error, ERROR_BUSY, "given up because felhomd is stopping");
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return fail(error, ERROR_BUSY, "%s",
                    transfer->head_length > 0 ? "hung up in the middle of its answer"
                                              : "hung up without an answer");
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return fail(error, ERROR_INVALID, "does not answer in HTTP");
    case CURLE_FILESIZE_EXCEEDED:
        return fail(error, ERROR_INVALID, "the reply is larger than %zu bytes", transfer->limit);
    case CURLE_PEER_FAILED_VERIFICATION:
        return transfer_fail_certificate(transfer, problem, error);
    case CURLE_SSL_CACERT_BADFILE:
        return fail(error, ERROR_SYSTEM, "%s: no CA certificate to be read in it",
                    *ca_file ? ca_file : "the system's CA certificates");
    default:
        return fail(error, ERROR_SYSTEM, "%s", problem);
    }
}

/* --- the client --- */

#define ORIGIN_SIZE 384 /* a host name has 253 bytes at most */

struct http_client {
    const atomic_bool *abort;
    struct call_counters *calls; /* NULL: outcomes are not counted */
    const struct curl *curl;     /* NULL before the first request */
    CURLSH *share;               /* connections, TLS sessions and host names of earlier requests */
    bool may_have_sent;
};

struct http_client *http_client_new(const atomic_bool *abort, struct call_counters *calls)
{
    struct http_client *client = mem_new(struct http_client);
    client->abort = abort;
    client->calls = calls;
    return client;
}

void http_client_free(struct http_client *client)
{
    if (client && client->share)
        (void)client->curl->share_cleanup(client->share);
    free(client);
}

/* Not left to curl_easy_escape, because that would need libcurl to be loaded. */
void http_escape(const char *text, struct buffer *out)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    while (*text) {
        const size_t length = strspn(text, plain);
        buffer_add(out, text, length);
        text += length;
        if (*text)
            buffer_add_format(out, "%%%02X", (unsigned char)*text++);
    }
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

static void http_client_share(const struct http_client *client)
{
    static const curl_lock_data shared[] = {CURL_LOCK_DATA_CONNECT, CURL_LOCK_DATA_SSL_SESSION,
                                            CURL_LOCK_DATA_DNS};
    for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
        (void)client->curl->share_setopt(client->share, CURLSHOPT_SHARE, shared[i]);
}

static int http_client_prepare(struct http_client *client, struct error *error)
{
    if (client->share)
        return 0;
    client->curl = curl_load(error);
    if (!client->curl)
        return -1;
    client->share = client->curl->share_init();
    if (!client->share)
        mem_exhausted();
    http_client_share(client);
    return 0;
}

static CURLUcode url_read_origin(const struct curl *curl, CURLU *parts, const char *url,
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
    /* libcurl puts a slash in place of the path that was removed. */
    (void)snprintf(ret, ORIGIN_SIZE, "%.*s", (int)strlen(text) - 1, text);
    curl->free(text);
    return CURLUE_OK;
}

/* Reads scheme://host:port from the URL, which is all that a message may name of it. */
static int url_origin(const struct curl *curl, const char *url, char ret[static ORIGIN_SIZE],
                      struct error *error)
{
    CURLU *parts = curl->url();
    if (!parts)
        mem_exhausted();
    CURLUcode code = url_read_origin(curl, parts, url, ret);
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

static int transfer_perform(struct http_client *client, struct http_transfer *transfer,
                            struct error *error)
{
    if (transfer_is_aborted(transfer))
        return transfer_fail(transfer, CURLE_ABORTED_BY_CALLBACK, error);
    if (transfer->request->timeout_ms == 0)
        return transfer_fail(transfer, CURLE_OPERATION_TIMEDOUT, error);
    if (check_ca_file(transfer->request->ca_file, error) < 0 ||
        transfer_add_headers(transfer, error) < 0 || transfer_set_options(transfer, error) < 0)
        return -1;
    CURLcode code = transfer->curl->easy_perform(transfer->handle);
    client->may_have_sent = transfer_info(transfer, CURLINFO_REQUEST_SIZE) > 0;
    if (code != CURLE_OK)
        return transfer_fail(transfer, code, error);
    transfer->reply.status = (int)transfer_info(transfer, CURLINFO_RESPONSE_CODE);
    return 0;
}

static enum call_outcome http_outcome(int result, const struct http_reply *reply)
{
    if (result < 0)
        return CALL_FAILED;
    return reply->status < 400 ? CALL_ANSWERED : CALL_REFUSED;
}

/* Uses a new handle for each request, because the buffers of a reused one would keep what went
 * through them. */
static int http_client_transfer(struct http_client *client, const struct http_request *request,
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
    int result = transfer_perform(client, &transfer, error);
    client->curl->easy_cleanup(transfer.handle);
    client->curl->slist_free_all(transfer.headers);
    *ret = transfer.reply;
    return result;
}

int http_client_perform(struct http_client *client, const struct http_request *request,
                        struct http_reply *ret, struct error *error)
{
    char origin[ORIGIN_SIZE];
    struct http_reply reply = {0};
    client->may_have_sent = false;
    if (http_client_prepare(client, error) < 0 ||
        url_origin(client->curl, request->url, origin, error) < 0)
        return -1;
    int result = http_client_transfer(client, request, &reply, error);
    counters_add_call(client->calls, http_outcome(result, &reply));
    if (result < 0) {
        http_reply_free(&reply);
        return fail_context(error, "%s", origin);
    }
    *ret = reply;
    return 0;
}
