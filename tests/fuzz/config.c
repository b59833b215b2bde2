/* SPDX-License-Identifier: Apache-2.0 */
/* agent.yaml: whatever the bytes, a configuration within bounds or a message that says where. */
#include <stdlib.h>
#include <string.h>

#include "schema/agent/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void inspect(const struct config *config)
{
    demand(config->limits.threads >= 4 && config->limits.threads <= 4096);
    demand(config->limits.connections_per_source >= 1);
    demand(config->limits.connections_per_source <= config->limits.threads);
    demand(config->hook.deadline_ms > 0 && config->hub.poll_ms > 0);
    demand(config->paths.state[0] == '/' && !strstr(config->paths.state, "/../"));
    demand(!config->local_api.has_listen || config->local_api.listen.sin_port != 0);
    for (size_t i = 0; i < config->local_api.allow_count; i++)
        demand(config->local_api.allow[i].family == AF_INET ||
               config->local_api.allow[i].family == AF_INET6);
    for (size_t i = 0; i < config->storage_class_count; i++)
        demand(!strcmp(config_storage_class(config, config->storage_classes[i].storage),
                       config->storage_classes[i].name));
}

static void salvage(const char *text, size_t size)
{
    struct config config;
    config_salvage(text, size, &config);
    demand(config.hook.deadline_ms > 0 && config.paths.enrolment[0] == '/');
    config_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config;
    struct error error = {.kind = ERROR_NONE};
    if (config_parse("agent.yaml", (const char *)data, size, &config, &error)) {
        demand(error.kind == ERROR_INVALID && !strncmp(error.message, "agent.yaml:", 11));
        salvage((const char *)data, size);
        return 0;
    }
    inspect(&config);
    config_free(&config);
    return 0;
}
