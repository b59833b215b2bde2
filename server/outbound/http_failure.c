/* SPDX-License-Identifier: Apache-2.0 */
#include "server/outbound/http_failure.h"

#include <inttypes.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"

/* OpenSSL's numbers (X509_V_...), which CURLINFO_SSL_VERIFYRESULT hands on. */
enum verdict {
    VERDICT_OK = 0,
    VERDICT_UNSPECIFIED = 1, /* where libcurl did not come to ask for it */
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

/* What is wrong with a certificate whose issuer may well be known. */
static const struct {
    enum verdict verdict;
    const char *text;
} verdicts[] = {
    {VERDICT_OK, "its certificate is for another name"},
    {VERDICT_UNSPECIFIED, "its certificate is for another name"},
    {VERDICT_OTHER_HOST_NAME, "its certificate is for another name"},
    {VERDICT_OTHER_ADDRESS, "its certificate is for another name"},
    {VERDICT_NOT_YET_VALID, "its certificate is not valid yet"},
    {VERDICT_EXPIRED, "its certificate has expired"},
};

static const enum verdict verdicts_on_issuer[] = {
    VERDICT_NO_ISSUER,       VERDICT_OTHER_SIGNATURE,
    VERDICT_SELF_SIGNED,     VERDICT_SELF_SIGNED_IN_CHAIN,
    VERDICT_NO_LOCAL_ISSUER, VERDICT_NO_CHAIN,
};

static int fail_connect(const struct http_failure *failure, struct error *error)
{
    char reason[128];
    if (failure->os_errno == 0)
        return fail(error, ERROR_BUSY, "no connection");
    return fail(error, ERROR_BUSY, "no connection: %s",
                strerror_r((int)failure->os_errno, reason, sizeof reason));
}

static int fail_resolve(const struct http_failure *failure, struct error *error)
{
    (void)failure;
    return fail(error, ERROR_BUSY, "no connection: its name cannot be resolved");
}

static int fail_handshake(const struct http_failure *failure, struct error *error)
{
    char shown[CURL_ERROR_SIZE];
    shown_text(shown, sizeof shown, failure->problem);
    return fail(error, ERROR_BUSY, "no connection by TLS: %s", shown);
}

static int fail_time(const struct http_failure *failure, struct error *error)
{
    return fail(error, ERROR_BUSY, "no answer within %" PRIu64 " ms", failure->timeout_ms);
}

static int fail_aborted(const struct http_failure *failure, struct error *error)
{
    (void)failure;
    return fail(error, ERROR_BUSY, "given up, as felhomd ends");
}

static int fail_cut(const struct http_failure *failure, struct error *error)
{
    return fail(error, ERROR_BUSY, "%s",
                failure->answer_began ? "hung up in the middle of its answer"
                                      : "hung up without an answer");
}

static int fail_language(const struct http_failure *failure, struct error *error)
{
    (void)failure;
    return fail(error, ERROR_INVALID, "does not answer in HTTP");
}

static int fail_size(const struct http_failure *failure, struct error *error)
{
    return fail(error, ERROR_INVALID, "the reply is larger than %zu bytes", failure->reply_limit);
}

static bool is_on_issuer(long verdict)
{
    for (size_t i = 0; i < ARRAY_SIZE(verdicts_on_issuer); i++) {
        if ((long)verdicts_on_issuer[i] == verdict)
            return true;
    }
    return false;
}

static int fail_certificate(const struct http_failure *failure, struct error *error)
{
    char shown[CURL_ERROR_SIZE];
    const char *judge = *failure->ca_file ? failure->ca_file : "a CA that this system trusts";
    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
        if ((long)verdicts[i].verdict == failure->verify_result)
            return fail(error, ERROR_DENIED, "%s", verdicts[i].text);
    }
    if (is_on_issuer(failure->verify_result))
        return fail(error, ERROR_DENIED, "its certificate is not signed by %s", judge);
    shown_text(shown, sizeof shown, failure->problem);
    return fail(error, ERROR_DENIED, "its certificate does not hold before %s: %s", judge, shown);
}

static int fail_ca_file(const struct http_failure *failure, struct error *error)
{
    return fail(error, ERROR_SYSTEM, "%s: no CA certificate to be read in it",
                *failure->ca_file ? failure->ca_file : "the system's CA certificates");
}

static int fail_otherwise(const struct http_failure *failure, struct error *error)
{
    char shown[CURL_ERROR_SIZE];
    shown_text(shown, sizeof shown, failure->problem);
    return fail(error, ERROR_SYSTEM, "%s", shown);
}

static const struct {
    CURLcode code;
    int (*tell)(const struct http_failure *failure, struct error *error);
} tellers[] = {
    {CURLE_COULDNT_CONNECT, fail_connect},
    {CURLE_COULDNT_RESOLVE_HOST, fail_resolve},
    {CURLE_SSL_CONNECT_ERROR, fail_handshake},
    {CURLE_OPERATION_TIMEDOUT, fail_time},
    {CURLE_ABORTED_BY_CALLBACK, fail_aborted},
    {CURLE_GOT_NOTHING, fail_cut},
    {CURLE_PARTIAL_FILE, fail_cut},
    {CURLE_RECV_ERROR, fail_cut},
    {CURLE_SEND_ERROR, fail_cut},
    {CURLE_UNSUPPORTED_PROTOCOL, fail_language},
    {CURLE_WEIRD_SERVER_REPLY, fail_language},
    {CURLE_FILESIZE_EXCEEDED, fail_size},
    {CURLE_PEER_FAILED_VERIFICATION, fail_certificate},
    {CURLE_SSL_CACERT_BADFILE, fail_ca_file},
};

int http_failure_tell(const struct http_failure *failure, struct error *error)
{
    for (size_t i = 0; i < ARRAY_SIZE(tellers); i++) {
        if (tellers[i].code == failure->code)
            return tellers[i].tell(failure, error);
    }
    return fail_otherwise(failure, error);
}
