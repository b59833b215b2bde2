/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/api_time.h"

#include <stdio.h>
#include <time.h>

#include "schema/json/json.h"

#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* The second as text, and what is to follow it. */
static json_t *tell(int64_t ms, const char *rest)
{
    char text[40];
    struct tm parts;
    const time_t seconds = ms / 1000;
    if (ms <= 0 || seconds > LAST_SECOND || !gmtime_r(&seconds, &parts))
        return json_null();
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text + length, sizeof text - length, "%s", rest);
    return json_text(text);
}

json_t *api_time(int64_t ms)
{
    return tell(ms, "Z");
}

json_t *api_time_exact(int64_t ms)
{
    char rest[8];
    (void)snprintf(rest, sizeof rest, ".%03dZ", ms > 0 ? (int)(ms % 1000) : 0);
    return tell(ms, rest);
}
