/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/route.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/vmid.h"

/* Each path also exists as /guests/VMID/PATH, and then always needs a token. */
static const struct route routes[] = {
    {"GET", "/storage", false, true, storage_get},
    {"POST", "/snapshot", false, false, snapshot_post},
    {"GET", "/snapshots", false, false, snapshots_get},
    {"POST", "/rollback", false, false, rollback_post},
    {"POST", "/backup", false, false, backup_post},
    {"GET", "/backup/status", false, true, backup_status_get},
    {"GET", "/backup/due", false, true, backup_due_get},
    {"GET", "/restore-test/status", false, true, restore_test_status_get},
    {"GET", "/controller.yaml", false, false, controller_yaml_get},
    {"GET", "/registry-credential", false, false, registry_get},
    {"GET", "/events", false, true, events_get},
    {"GET", "/host/metrics", false, false, host_metrics_get},
    {"GET", "/healthz", true, false, healthz_get},
    {"GET", "/openapi.yaml", true, false, openapi_yaml_get},
};

_Static_assert(ARRAY_SIZE(routes) == ROUTE_COUNT, "a number for each");

static const char guests[] = "/guests/";

/* Splits VMID/PATH. False if the text is something else. */
static bool split_vmid(const char *text, struct destination *destination)
{
    char digits[16];
    size_t length = strcspn(text, "/");
    if (length >= sizeof digits || text[length] != '/')
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (!vmid_parse(digits, &destination->vmid))
        return false;
    destination->path = text + length;
    return true;
}

struct destination route_resolve(const char *path, const char *method)
{
    struct destination ret = {.path = path, .endpoint = ROUTE_COUNT};
    if (!path)
        return ret;
    if (strncmp(path, guests, sizeof guests - 1) == 0)
        ret.has_vmid = split_vmid(path + sizeof guests - 1, &ret);
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (strcmp(routes[i].path, ret.path) != 0)
            continue;
        ret.endpoint = i;
        ret.open = routes[i].open && !ret.has_vmid;
        if (strcmp(routes[i].method, method) == 0)
            ret.route = &routes[i];
    }
    return ret;
}

const char *route_path(size_t endpoint)
{
    return endpoint < ROUTE_COUNT ? routes[endpoint].path : "other";
}

void route_methods(const struct destination *destination, struct buffer *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (strcmp(routes[i].path, destination->path) != 0)
            continue;
        if (out->length > 0)
            buffer_add_text(out, ", ");
        buffer_add_text(out, routes[i].method);
        if (strcmp(routes[i].method, "GET") == 0)
            buffer_add_text(out, ", HEAD");
    }
}
