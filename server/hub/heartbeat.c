/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/heartbeat.h"

#include <inttypes.h>
#include <string.h>

#include "schema/json/json.h"
#include "server/base/worker.h"
#include "server/hub/hub.h"
#include "server/hub/hub_report.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/files/file.h"
#include "store/tables/host.h"

#define KEY_LIMIT 4096
#define BLANKS    " \t\r\n"

static int64_t poll_ms(const struct hub_heartbeat *heartbeat, const struct config *config)
{
    if (heartbeat->poll_seconds > 0)
        return (int64_t)heartbeat->poll_seconds * 1000;
    return (int64_t)config->hub.poll_ms;
}

/* One line of visible characters. */
static bool is_key(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    return *text != '\0';
}

static int read_key(const char *path, struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read(path, KEY_LIMIT, &text, error) < 0)
        return fail_context(error, "hub.api_key_file");
    const char *start = buffer_text(&text) + strspn(buffer_text(&text), BLANKS);
    size_t length = strlen(start);
    while (length > 0 && strchr(BLANKS, start[length - 1]))
        length--;
    buffer_add(out, start, length);
    if (!is_key(buffer_text(out)))
        return fail(error, ERROR_INVALID, "hub.api_key_file: %s does not hold one line with a key",
                    path);
    return 0;
}

static int read_host(struct store_pool *stores, struct host *ret, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(stores, &loan, error) == 0 && host_get(loan.store, ret, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

static int render(struct hub_heartbeat *heartbeat, const struct config *config, struct buffer *out,
                  struct error *error)
{
    struct host host;
    if (read_host(heartbeat->stores, &host, error) < 0)
        return -1;
    /* Without a loan: it may have to wait for a file system. */
    cleanup_json json_t *metrics = metrics_describe(heartbeat->metrics, config, host.node);
    cleanup_store_loan struct store_loan loan = {0};
    const struct hub_report_frame frame = {
        .config = config,
        .host = &host,
        .metrics = metrics,
        .poll_seconds = (uint32_t)(poll_ms(heartbeat, config) / 1000),
        .now_ms = clock_wall_ms(),
    };
    if (store_borrow(heartbeat->stores, &loan, error) == 0 &&
        hub_report_render(loan.store, &frame, out, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

static int send_report(struct hub_heartbeat *heartbeat, const struct config *config,
                       struct http_reply *reply, struct error *error)
{
    cleanup_buffer struct buffer key = BUFFER_EMPTY;
    cleanup_buffer struct buffer report = BUFFER_EMPTY;
    if (read_key(config->hub.api_key_file, &key, error) < 0 ||
        render(heartbeat, config, &report, error) < 0)
        return -1;
    const struct hub_request request = {
        .path = "api/v1/host-report",
        .credential = "Authorization: Bearer ",
        .secret = buffer_text(&key),
        .body = &report,
    };
    return hub_request_perform(heartbeat->client, config, &request, reply, error);
}

static int beat(struct hub_heartbeat *heartbeat, const struct config *config, struct hub_reply *ret,
                struct error *error)
{
    cleanup_http_reply struct http_reply reply = {0};
    if (send_report(heartbeat, config, &reply, error) < 0)
        return -1;
    if (reply.status < 200 || reply.status > 299)
        return fail(error, ERROR_SYSTEM, "the hub answered %d", reply.status);
    if (hub_reply_parse(buffer_text(&reply.body), reply.body.length, ret, error) < 0)
        return fail_context(error, "the hub's answer");
    return 0;
}

static const char *yes_or_no(bool value)
{
    return value ? "yes" : "no";
}

static void tell(const struct hub_reply *reply, int64_t wait_ms)
{
    char generation[24] = "none";
    if (reply->desired_generation != HUB_GENERATION_NONE)
        (void)snprintf(generation, sizeof generation, "%" PRId64, reply->desired_generation);
    log_line(LOG_NOTICE,
             "hub: this host was reported; next report in %" PRId64
             " s (blocked: %s, desired generation: %s, signed operations: %s)",
             wait_ms / 1000, yes_or_no(reply->blocked), generation,
             yes_or_no(reply->has_signed_ops));
}

/* Said when it is another answer than the last one, not each time. */
static int64_t succeeded(struct hub_heartbeat *heartbeat, const struct config *config,
                         const struct hub_reply *reply)
{
    bool is_news = !heartbeat->is_told || heartbeat->failures > 0 ||
                   !hub_reply_equals(&heartbeat->answered, reply);
    if (reply->poll_seconds > 0)
        heartbeat->poll_seconds = reply->poll_seconds;
    if (is_news)
        tell(reply, poll_ms(heartbeat, config));
    heartbeat->is_told = true;
    heartbeat->answered = *reply;
    heartbeat->failures = 0;
    return poll_ms(heartbeat, config);
}

static int64_t failed(struct hub_heartbeat *heartbeat, const struct config *config,
                      const struct error *error)
{
    heartbeat->failures++;
    if (heartbeat->failures == 1 || strcmp(heartbeat->problem, error->message) != 0)
        log_line(LOG_WARNING, "hub: this host could not be reported: %s", error->message);
    memcpy(heartbeat->problem, error->message, sizeof heartbeat->problem);
    return backoff_ms(heartbeat->failures, poll_ms(heartbeat, config));
}

/* Under other settings it may be another hub. */
static void begin_anew(struct hub_heartbeat *heartbeat)
{
    heartbeat->is_told = false;
    heartbeat->poll_seconds = 0;
    heartbeat->failures = 0;
    heartbeat->next_at_us = 0;
}

int64_t hub_heartbeat_turn(struct hub_heartbeat *heartbeat, const struct config *config, bool fresh)
{
    struct error error;
    struct hub_reply reply = {0};
    if (fresh)
        begin_anew(heartbeat);
    if (*config->hub.api_key_file == '\0')
        return INT64_MAX;
    if (clock_steady_us() < heartbeat->next_at_us)
        return heartbeat->next_at_us;
    int result = beat(heartbeat, config, &reply, &error);
    if (atomic_load(heartbeat->stopping))
        return INT64_MAX; /* a failure may be our own doing */
    int64_t wait_ms =
        result == 0 ? succeeded(heartbeat, config, &reply) : failed(heartbeat, config, &error);
    heartbeat->next_at_us = clock_steady_us() + wait_ms * 1000;
    return heartbeat->next_at_us;
}
