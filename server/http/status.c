/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/status.h"

#include <stddef.h>

#include "schema/base/cleanup.h"

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
    {500, "Internal Server Error", "this host's configuration is faulty, its log says where"},
    {501, "Not Implemented", "the request asks for something that is not implemented"},
    {503, "Service Unavailable", "temporarily unavailable"},
    {505, "HTTP Version Not Supported", "only HTTP/1.0 and HTTP/1.1 are spoken here"},
};

static const struct status *find(int code)
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
    return find(status)->phrase;
}

const char *status_text(int status)
{
    return find(status)->text;
}
