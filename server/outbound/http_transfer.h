/* SPDX-License-Identifier: Apache-2.0 */
/* One request under way, as libcurl is told about it and as it tells of it. */
#ifndef FELHOM_HTTP_TRANSFER_H
#define FELHOM_HTTP_TRANSFER_H

#include "server/outbound/curl.h"
#include "server/outbound/http_client.h"

struct http_transfer {
    const struct curl *curl;
    CURLSH *share; /* connections and TLS sessions of transfers before */
    CURL *handle;
    const atomic_bool *abort; /* may be NULL */
    const struct http_request *request;
    struct curl_slist *headers;
    char problem[CURL_ERROR_SIZE]; /* libcurl's words for a failure; "": it has none */
    struct http_reply reply;
    size_t head_length;
    CURLcode refusal; /* why we ended it, in place of libcurl's reason; CURLE_OK: we did not */
    size_t limit;     /* that the reply went beyond */
};

/* Sets the handle's options for the request; the first five members are the caller's to set. The
 * transfer must stay where it is as long as the handle is. */
int http_transfer_prepare(struct http_transfer *transfer, struct error *error);

/* Frees the headers; the reply is the caller's. */
void http_transfer_end(struct http_transfer *transfer);

bool http_transfer_is_aborted(const struct http_transfer *transfer);

#endif
