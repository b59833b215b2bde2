/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/hub.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "server/base/context.h"
#include "server/base/worker.h"
#include "store/base/clock.h"

#define TIMEOUT_MS  20000
#define REPLY_LIMIT ((size_t)1 << 20)

int hub_request_perform(struct http_client *client, const struct config *config,
                        const struct hub_request *request, struct http_reply *ret,
                        struct error *error)
{
    const struct slice base = slice_trim_end(slice_of(config->hub.url), "/");
    cleanup_free char *url = mem_format("%.*s/%s", (int)base.length, base.text, request->path);
    cleanup_buffer struct buffer header = BUFFER_EMPTY;
    const struct buffer *body = request->body;
    buffer_add_text(&header, request->credential);
    buffer_add_text(&header, request->secret);
    const char *const headers[] = {buffer_text(&header), NULL};
    const struct http_request http = {
        .method = body ? "POST" : "GET",
        .url = url,
        .ca_file = config->hub.ca_file,
        .headers = headers,
        .body_type = body ? "application/json" : NULL,
        .body = body ? buffer_text(body) : NULL,
        .body_length = body ? body->length : 0,
        .timeout_ms = TIMEOUT_MS,
        .reply_limit = REPLY_LIMIT,
    };
    return http_client_perform(client, &http, ret, error);
}

struct hub {
    struct context *context;
    atomic_bool stopping;
    struct worker *worker;
    struct http_client *client; /* this and the members below are for the worker thread only */
    struct hub_puller puller;
    struct hub_heartbeat heartbeat;
    uint8_t config_digest[DIGEST_BYTES]; /* digest of the hub section that the last step found */
};

/* True if the hub section of the configuration has changed since the last step; true at the
 * first step. */
static bool hub_config_changed(struct hub *hub, const struct config *config)
{
    uint8_t digest[DIGEST_BYTES];
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add_format(&text, "%s\n%s\n%s\n%llu", config->hub.url, config->hub.ca_file,
                      config->hub.api_key_file, (unsigned long long)config->hub.poll_ms);
    digest_sha256(text.data, text.length, digest);
    const bool is_changed = memcmp(digest, hub->config_digest, sizeof digest) != 0;
    memcpy(hub->config_digest, digest, sizeof digest);
    return is_changed;
}

static int64_t hub_step(void *context)
{
    struct hub *hub = context;
    cleanup_server_config struct server_config *current = context_config(hub->context);
    const struct config *config = &current->config;
    const bool is_fresh = hub_config_changed(hub, config);
    if (*config->hub.url == '\0')
        return WORKER_IDLE;
    int64_t report_us = hub_heartbeat_turn(&hub->heartbeat, config, is_fresh);
    int64_t pull_us = hub_pull_turn(&hub->puller, config, is_fresh);
    int64_t wait_us = (report_us < pull_us ? report_us : pull_us) - clock_steady_us();
    return wait_us > 0 ? wait_us : 0;
}

struct hub *hub_start(struct context *context)
{
    struct hub *hub = mem_new(struct hub);
    hub->context = context;
    hub->client = http_client_new(&hub->stopping, &context->counters.hub);
    hub->puller = (struct hub_puller){
        .stores = context->stores,
        .client = hub->client,
        .stopping = &hub->stopping,
        .log = THROTTLED_LOG_NEW,
    };
    hub->heartbeat = (struct hub_heartbeat){
        .stores = context->stores,
        .client = hub->client,
        .figures = context->figures,
        .stopping = &hub->stopping,
    };
    hub->worker = worker_start("hub", hub_step, hub);
    return hub;
}

void hub_stop(struct hub *hub)
{
    if (!hub)
        return;
    atomic_store(&hub->stopping, true);
    worker_stop(hub->worker);
    http_client_free(hub->client);
    (void)pthread_mutex_destroy(&hub->puller.log.lock);
    free(hub);
}

void hub_wake(struct hub *hub)
{
    if (hub)
        worker_wake(hub->worker);
}
