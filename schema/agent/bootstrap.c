/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/bootstrap.h"

#include <jansson.h>

#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"

static json_t *endpoint_url(const char *endpoint)
{
    cleanup_buffer struct buffer url = BUFFER_EMPTY;
    if (*endpoint)
        buffer_add_format(&url, "https://%s", endpoint);
    return json_text(buffer_text(&url));
}

/* NULL, for json_pack to leave the key out, where there is nothing to say. */
static json_t *text_if_any(const char *text)
{
    return *text ? json_text(text) : NULL;
}

static const struct pins *coming_of(const struct bootstrap *bootstrap)
{
    static const struct pins none = {.spki = ""};
    return bootstrap->coming ? bootstrap->coming : &none;
}

static json_t *make_spike(const struct bootstrap *bootstrap)
{
    const struct pins *coming = coming_of(bootstrap);
    /* clang-format off */
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o*, s:o*, s:o, s:{s:o, s:o, s:s}, s:o}",
        "schema", "spike",
        "vmid", (json_int_t)bootstrap->vmid,
        "hub_url", json_text(bootstrap->hub_url),
        "host_id", json_text(bootstrap->host_id),
        "local_api_endpoint", endpoint_url(bootstrap->endpoint),
        "local_api_pin_spki_sha256", json_text(bootstrap->pins->spki),
        "local_api_pin_leaf_sha256", json_text(bootstrap->pins->leaf),
        "local_api_pin_spki_sha256_next", text_if_any(coming->spki),
        "local_api_pin_leaf_sha256_next", text_if_any(coming->leaf),
        "local_api_token", json_text(bootstrap->token),
        "registry",
            "host", json_text(bootstrap->registry_host),
            "username", json_text(bootstrap->registry_username),
            "token", "",
        "controller_image", json_text(bootstrap->controller_image));
    /* clang-format on */
}

static json_t *make_v2(const struct bootstrap *bootstrap)
{
    const struct pins *coming = coming_of(bootstrap);
    /* clang-format off */
    return json_pack("{s:s, s:{s:o}, s:{s:o, s:o}, s:{s:o, s:o, s:o*, s:o}}",
        "schema", "felhom.bootstrap/v2",
        "customer",
            "id", json_text(bootstrap->customer_id),
        "hub",
            "url", json_text(bootstrap->hub_url),
            "retrieval_password", json_text(bootstrap->hub_retrieval_password),
        "local_api",
            "endpoint", json_text(bootstrap->endpoint),
            "fingerprint", json_text(bootstrap->pins->leaf),
            "fingerprint_next", text_if_any(coming->leaf),
            "token", json_text(bootstrap->token));
    /* clang-format on */
}

static void add_wishes(json_t *document, const struct bootstrap *bootstrap)
{
    const char *path = bootstrap->controller_path;
    const char *run = bootstrap->controller_run;
    if (*path)
        json_set(document, "controller_path", json_text(path));
    if (*run)
        json_set(document, "controller_run", run_options_json(run));
}

void bootstrap_render(enum bootstrap_schema schema, const struct bootstrap *bootstrap,
                      struct buffer *out)
{
    json_t *document = schema == BOOTSTRAP_V2 ? make_v2(bootstrap) : make_spike(bootstrap);
    if (!document)
        mem_exhausted();
    add_wishes(document, bootstrap);
    json_write(document, JSON_INDENT(2), out);
    buffer_add_text(out, "\n");
    json_wipe(document);
}
