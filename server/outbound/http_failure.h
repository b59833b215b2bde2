/* SPDX-License-Identifier: Apache-2.0 */
/* Why a request to the world beyond the host failed, in words for an operator. */
#ifndef FELHOM_HTTP_FAILURE_H
#define FELHOM_HTTP_FAILURE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"

/* What is known when libcurl gave up. */
struct http_failure {
    CURLcode code;
    const char *problem; /* in libcurl's words */
    long verify_result;  /* OpenSSL's verdict on the certificate */
    long os_errno;       /* of the connection; 0: none */
    bool answer_began;
    const char *ca_file; /* as in struct http_request */
    uint64_t timeout_ms;
    size_t reply_limit;
};

/* Fills *error by the kinds of http_client_perform; returns -1. */
int http_failure_tell(const struct http_failure *failure, struct error *error);

#endif
