/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/hub_reply.h"

#include "schema/json/json.h"

static uint32_t poll_seconds(const json_t *value)
{
    if (!json_is_number(value))
        return 0;
    double seconds = json_number_value(value);
    if (seconds > HUB_POLL_SECONDS_MAX)
        return HUB_POLL_SECONDS_MAX;
    return seconds < HUB_POLL_SECONDS_MIN ? HUB_POLL_SECONDS_MIN : (uint32_t)seconds;
}

int hub_reply_parse(const char *text, size_t length, struct hub_reply *ret, struct error *error)
{
    cleanup_json json_t *root = NULL;
    /* The parser's message is not passed on: it may quote the reply, and the reply may quote our
     * request, which contains the host's key. */
    if (length > 0 && (json_read(text, length, &root, error) < 0 || !json_is_object(root)))
        return fail(error, ERROR_INVALID, "not a JSON object");
    *ret = (struct hub_reply){
        .poll_seconds = poll_seconds(json_object_get(root, "poll_interval_seconds")),
        .blocked = json_is_true(json_object_get(root, "blocked")),
        .desired_generation = json_get_int(root, "desired_generation", HUB_GENERATION_NONE),
        .has_signed_ops = json_is_true(json_object_get(root, "has_signed_ops")),
    };
    return 0;
}

bool hub_reply_equals(const struct hub_reply *a, const struct hub_reply *b)
{
    return a->poll_seconds == b->poll_seconds && a->blocked == b->blocked &&
           a->desired_generation == b->desired_generation && a->has_signed_ops == b->has_signed_ops;
}
