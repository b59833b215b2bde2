/* SPDX-License-Identifier: Apache-2.0 */
/* A request's body, and the hub's reply, which are JSON from beyond the host: what is taken is
 * within its bounds, and what is refused leaves nothing behind. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/hub_reply.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check_failure(const struct error *error)
{
    demand(error->kind == ERROR_INVALID && *error->message);
    for (const char *c = error->message; *c; c++)
        demand((unsigned char)*c >= ' ' && *c != 0x7F);
}

static void check_value(char *value, const struct json_body_key *key)
{
    demand(value || !key->required);
    demand(!value || strlen(value) <= key->length_max);
    free(value);
}

static void check_body(const char *text, size_t size)
{
    static const struct json_body_key keys[] = {{"name", true, 40}, {"description", false, 8}};
    char *values[ARRAY_SIZE(keys)];
    struct error error;
    if (json_body_parse(text, size, keys, ARRAY_SIZE(keys), values, &error) == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
            check_value(values[i], &keys[i]);
        return;
    }
    check_failure(&error);
    demand(!values[0] && !values[1]);
}

static void check_hub_reply(const char *text, size_t size)
{
    struct error error;
    struct hub_reply reply;
    if (hub_reply_parse(text, size, &reply, &error) < 0) {
        check_failure(&error);
        return;
    }
    demand(reply.poll_seconds == 0 || (reply.poll_seconds >= HUB_POLL_SECONDS_MIN &&
                                       reply.poll_seconds <= HUB_POLL_SECONDS_MAX));
    demand(hub_reply_equals(&reply, &reply));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size ? (const char *)data : "";
    check_body(text, size);
    check_hub_reply(text, size);
    return 0;
}
