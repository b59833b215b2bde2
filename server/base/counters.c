/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/counters.h"

#include <string.h>

#include "schema/base/cleanup.h"

/* The first of each is for all that is no other. */
static const struct {
    int status;
    const char *name;
} codes[] = {
    {0, "other"}, {200, "200"}, {202, "202"}, {304, "304"}, {400, "400"}, {401, "401"},
    {403, "403"}, {404, "404"}, {405, "405"}, {408, "408"}, {409, "409"}, {411, "411"},
    {413, "413"}, {414, "414"}, {415, "415"}, {417, "417"}, {429, "429"}, {431, "431"},
    {500, "500"}, {501, "501"}, {503, "503"}, {505, "505"},
};
_Static_assert(ARRAY_SIZE(codes) == COUNTERS_STATUSES, "a count for each");

/* As struct refusal and gate_refusal_name have them. */
static const char *const reasons[] = {
    "other",
    "too many requests",
    "too many bad tokens",
    "no token",
    "malformed token",
    "unknown token",
    "revoked token",
    "expired token",
    "path of another guest",
    "token of another guest",
    "not allowed",
    "stranger",
    "unresolvable",
    "too many connections",
    "connections too often",
};
_Static_assert(ARRAY_SIZE(reasons) == REFUSAL_REASONS, "a count for each");

static void add_one(counter *count)
{
    (void)atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

static size_t code_of(int status)
{
    size_t code = COUNTERS_STATUSES - 1;
    while (code > 0 && codes[code].status != status)
        code--;
    return code;
}

static size_t reason_of(const char *text)
{
    size_t reason = REFUSAL_REASONS - 1;
    while (reason > 0 && strcmp(reasons[reason], text) != 0)
        reason--;
    return reason;
}

void counters_add_request(struct counters *counters, size_t endpoint, int status)
{
    if (counters)
        add_one(&counters->requests[endpoint][code_of(status)]);
}

void counters_add_refusal(struct counters *counters, const char *reason)
{
    if (counters)
        add_one(&counters->refusals[reason_of(reason)]);
}

void counters_add_handshake(struct counters *counters, enum handshake_failure failure)
{
    if (counters)
        add_one(&counters->handshakes[failure]);
}

void counters_add_call(struct call_counters *calls, enum call_outcome outcome)
{
    if (calls)
        add_one(&calls->count[outcome]);
}

const char *counters_status_name(size_t code)
{
    return codes[code].name;
}

const char *refusal_reason_name(size_t reason)
{
    return reasons[reason];
}

const char *handshake_failure_name(enum handshake_failure failure)
{
    static const char *const names[] = {
        [HANDSHAKE_FAILED] = "failed",
        [HANDSHAKE_LATE] = "late",
    };
    return names[failure];
}

const char *call_outcome_name(enum call_outcome outcome)
{
    static const char *const names[] = {
        [CALL_ANSWERED] = "answered",
        [CALL_REFUSED] = "refused",
        [CALL_FAILED] = "failed",
    };
    return names[outcome];
}
