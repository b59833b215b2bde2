/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/counters.h"

#include "schema/base/cleanup.h"

/* The first entry counts every status that is not in this table. */
static const struct {
    int status;
    const char *name;
} statuses[] = {
    {0, "other"}, {200, "200"}, {202, "202"}, {304, "304"}, {400, "400"}, {401, "401"},
    {403, "403"}, {404, "404"}, {405, "405"}, {408, "408"}, {409, "409"}, {411, "411"},
    {413, "413"}, {414, "414"}, {415, "415"}, {417, "417"}, {429, "429"}, {431, "431"},
    {500, "500"}, {501, "501"}, {503, "503"}, {505, "505"},
};
_Static_assert(ARRAY_SIZE(statuses) == COUNTERS_STATUSES, "a count for each");

static void counter_increment(counter *count)
{
    (void)atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

static size_t status_index(int status)
{
    size_t index = COUNTERS_STATUSES - 1;
    while (index > 0 && statuses[index].status != status)
        index--;
    return index;
}

void counters_add_request(struct counters *counters, size_t endpoint, int status)
{
    if (counters)
        counter_increment(&counters->requests[endpoint][status_index(status)]);
}

void counters_add_refusal(struct counters *counters, enum refusal_reason reason)
{
    if (counters)
        counter_increment(&counters->refusals[reason]);
}

void counters_add_handshake(struct counters *counters, enum handshake_failure failure)
{
    if (counters)
        counter_increment(&counters->handshakes[failure]);
}

void counters_add_call(struct call_counters *calls, enum call_outcome outcome)
{
    if (calls)
        counter_increment(&calls->count[outcome]);
}

const char *counters_status_name(size_t index)
{
    return statuses[index].name;
}

const char *refusal_reason_name(enum refusal_reason reason)
{
    static const char *const names[] = {
        [REFUSAL_NONE] = "other",
        [REFUSAL_GONE] = "gone",
        [REFUSAL_NOT_ALLOWED] = "not allowed",
        [REFUSAL_STRANGER] = "stranger",
        [REFUSAL_UNRESOLVABLE] = "unresolvable",
        [REFUSAL_FOREIGN_HWADDR] = "address of another guest",
        [REFUSAL_UNWITNESSED] = "unwitnessed",
        [REFUSAL_TOO_MANY_CONNECTIONS] = "too many connections",
        [REFUSAL_CONNECTIONS_TOO_OFTEN] = "connections too often",
        [REFUSAL_TOO_MANY_REQUESTS] = "too many requests",
        [REFUSAL_TOO_MANY_BAD_TOKENS] = "too many bad tokens",
        [REFUSAL_NO_TOKEN] = "no token",
        [REFUSAL_MALFORMED_TOKEN] = "malformed token",
        [REFUSAL_UNKNOWN_TOKEN] = "unknown token",
        [REFUSAL_REVOKED_TOKEN] = "revoked token",
        [REFUSAL_EXPIRED_TOKEN] = "expired token",
        [REFUSAL_UNRECORDED_TOKEN] = "unrecorded token",
        [REFUSAL_FOREIGN_PATH] = "path of another guest",
        [REFUSAL_LOOKUP_FAILED] = "lookup failed",
        [REFUSAL_FOREIGN_TOKEN] = "token of another guest",
        [REFUSAL_TOO_MANY_SNAPSHOTS] = "too many snapshots",
        [REFUSAL_SNAPSHOTS_TOO_OFTEN] = "snapshots too often",
        [REFUSAL_BACKUPS_TOO_OFTEN] = "backups too often",
    };
    return names[reason];
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
