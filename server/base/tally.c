/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/tally.h"

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
_Static_assert(ARRAY_SIZE(codes) == TALLY_CODES, "a count for each");

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
_Static_assert(ARRAY_SIZE(reasons) == TALLY_REASONS, "a count for each");

static void add_one(tally_count *count)
{
    (void)atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

static size_t code_of(int status)
{
    size_t code = TALLY_CODES - 1;
    while (code > 0 && codes[code].status != status)
        code--;
    return code;
}

static size_t reason_of(const char *text)
{
    size_t reason = TALLY_REASONS - 1;
    while (reason > 0 && strcmp(reasons[reason], text) != 0)
        reason--;
    return reason;
}

void tally_request(struct tally *tally, size_t endpoint, int status)
{
    if (tally)
        add_one(&tally->requests[endpoint][code_of(status)]);
}

void tally_refusal(struct tally *tally, const char *reason)
{
    if (tally)
        add_one(&tally->refusals[reason_of(reason)]);
}

void tally_handshake(struct tally *tally, enum tally_handshake failure)
{
    if (tally)
        add_one(&tally->handshakes[failure]);
}

void tally_call(struct tally_calls *calls, enum tally_outcome outcome)
{
    if (calls)
        add_one(&calls->count[outcome]);
}

const char *tally_code_name(size_t code)
{
    return codes[code].name;
}

const char *tally_reason_name(size_t reason)
{
    return reasons[reason];
}

const char *tally_handshake_name(enum tally_handshake failure)
{
    static const char *const names[] = {
        [TALLY_HANDSHAKE_FAILED] = "failed",
        [TALLY_HANDSHAKE_LATE] = "late",
    };
    return names[failure];
}

const char *tally_outcome_name(enum tally_outcome outcome)
{
    static const char *const names[] = {
        [TALLY_ANSWERED] = "answered",
        [TALLY_REFUSED] = "refused",
        [TALLY_FAILED] = "failed",
    };
    return names[outcome];
}
