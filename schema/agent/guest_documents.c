/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/guest_documents.h"

#include <jansson.h>

#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "schema/yaml/tree.h"

/* --- bootstrap.json --- */

static json_t *endpoint_url(const char *endpoint)
{
    cleanup_buffer struct buffer url = BUFFER_EMPTY;
    if (*endpoint)
        buffer_add_format(&url, "https://%s", endpoint);
    return json_text(buffer_text(&url));
}

/* Returns NULL for an empty text; json_pack then leaves out a key with the format "o*". */
static json_t *text_if_any(const char *text)
{
    return *text ? json_text(text) : NULL;
}

static const struct pins *bootstrap_coming_pins(const struct bootstrap *bootstrap)
{
    static const struct pins none = {.spki = ""};
    return bootstrap->coming ? bootstrap->coming : &none;
}

static json_t *bootstrap_make_spike(const struct bootstrap *bootstrap)
{
    const struct pins *coming = bootstrap_coming_pins(bootstrap);
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

static json_t *bootstrap_make_v2(const struct bootstrap *bootstrap)
{
    const struct pins *coming = bootstrap_coming_pins(bootstrap);
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

static void add_controller_options(json_t *document, const struct bootstrap *bootstrap)
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
    json_t *document =
        schema == BOOTSTRAP_V2 ? bootstrap_make_v2(bootstrap) : bootstrap_make_spike(bootstrap);
    if (!document)
        mem_exhausted();
    add_controller_options(document, bootstrap);
    json_write(document, JSON_INDENT(2), out);
    buffer_add_text(out, "\n");
    json_wipe(document);
}

/* --- controller.yaml --- */

/* Usually there is neither a template nor a document of the hub's; an empty source needs no YAML
 * parser. */
static int controller_load_source(const struct yaml_source *source, struct yaml_tree **ret,
                                  struct error *error)
{
    if (source->text && source->length > 0)
        return yaml_tree_load(source->name, source->text, source->length, ret, error);
    *ret = yaml_tree_new(YAML_TREE_MAP);
    return 0;
}

static int controller_merge_source(struct yaml_tree *root, const struct yaml_source *source,
                                   struct error *error)
{
    struct yaml_tree *document = NULL;
    if (controller_load_source(source, &document, error) != 0)
        return -1;
    yaml_tree_merge(root, document);
    return 0;
}

/* Takes the map at key out of the enrolment; an empty map if the enrolment does not have the
 * key. */
static int enrolment_take_map(struct yaml_tree *enrolment, const char *key, struct yaml_tree **ret,
                              struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *value = yaml_tree_take(enrolment, key);
    if (!value || yaml_tree_is_empty(value)) {
        *ret = yaml_tree_new(YAML_TREE_MAP);
        return 0;
    }
    if (value->kind != YAML_TREE_MAP) {
        (void)yaml_refuse(&value->place, NULL, error, "must be a map");
        return -1;
    }
    *ret = steal(value);
    return 0;
}

/* Merges only customer and controller: the rest of an enrolment, such as the hub password, is not
 * meant for the guest. */
static int controller_merge_enrolment(struct yaml_tree *root, const struct yaml_source *source,
                                      struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *enrolment = NULL;
    cleanup_yaml_tree struct yaml_tree *customer = NULL;
    cleanup_yaml_tree struct yaml_tree *controller = NULL;
    if (controller_load_source(source, &enrolment, error) != 0 ||
        enrolment_take_map(enrolment, "customer", &customer, error) != 0 ||
        enrolment_take_map(enrolment, "controller", &controller, error) != 0)
        return -1;
    if (customer->count > 0)
        yaml_tree_put(root, "customer", steal(customer));
    yaml_tree_merge(root, steal(controller));
    return 0;
}

/* Puts a quoted text at map.key unless the text is empty. Quotes are needed because many YAML
 * parsers would read a fingerprint such as 12:34 as a number. */
static void controller_put_text(struct yaml_tree *root, const char *map, const char *key,
                                const char *text)
{
    if (!*text)
        return;
    struct yaml_tree *value = yaml_tree_new(YAML_TREE_MAP);
    yaml_tree_put(value, key, yaml_tree_new_text(text));
    yaml_tree_put(root, map, value);
}

static void controller_put_own_keys(struct yaml_tree *root, const struct controller *controller)
{
    controller_put_text(root, "customer", "id", controller->customer_id);
    controller_put_text(root, "hub", "url", controller->hub_url);
    controller_put_text(root, "local_api", "endpoint", controller->endpoint);
    controller_put_text(root, "local_api", "fingerprint", controller->fingerprint);
    controller_put_text(root, "local_api", "fingerprint_next", controller->fingerprint_next);
    controller_put_text(root, "local_api", "token", controller->token);
}

int controller_render(const struct controller *controller, struct buffer *out, struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = yaml_tree_new(YAML_TREE_MAP);
    if (controller_merge_source(root, &controller->template, error) != 0 ||
        controller_merge_source(root, &controller->hub, error) != 0 ||
        controller_merge_enrolment(root, &controller->enrolment, error) != 0)
        return -1;
    controller_put_own_keys(root, controller);
    return yaml_tree_emit(root, out, error);
}
