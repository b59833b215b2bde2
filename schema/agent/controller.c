/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/controller.h"

#include "schema/yaml/tree.h"

/* Mostly there is neither a template nor anything of the hub's: nothing is set up for that. */
static int load(const struct yaml_source *source, struct yaml_tree **ret, struct error *error)
{
    if (source->text && source->length > 0)
        return yaml_tree_load(source->name, source->text, source->length, ret, error);
    *ret = yaml_tree_new(YAML_TREE_MAP);
    return 0;
}

static int merge_source(struct yaml_tree *root, const struct yaml_source *source,
                        struct error *error)
{
    struct yaml_tree *document = NULL;
    if (load(source, &document, error) != 0)
        return -1;
    yaml_tree_merge(root, document);
    return 0;
}

/* Takes the map at key out of the enrolment; an empty one where the enrolment does not say. */
static int take_map(const char *name, struct yaml_tree *enrolment, const char *key,
                    struct yaml_tree **ret, struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *value = yaml_tree_take(enrolment, key);
    bool is_map = value && value->kind == YAML_TREE_MAP;
    if (value && !is_map && !yaml_tree_is_empty(value)) {
        (void)yaml_tree_fail(name, value, "must be a map", error);
        return -1;
    }
    *ret = is_map ? steal(value) : yaml_tree_new(YAML_TREE_MAP);
    return 0;
}

/* Only these two parts: the rest of an enrolment is between operator and agent, a password among
 * it. */
static int merge_enrolment(struct yaml_tree *root, const struct yaml_source *source,
                           struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *enrolment = NULL;
    cleanup_yaml_tree struct yaml_tree *customer = NULL;
    cleanup_yaml_tree struct yaml_tree *controller = NULL;
    if (load(source, &enrolment, error) != 0 ||
        take_map(source->name, enrolment, "customer", &customer, error) != 0 ||
        take_map(source->name, enrolment, "controller", &controller, error) != 0)
        return -1;
    if (customer->count > 0)
        yaml_tree_put(root, "customer", steal(customer));
    yaml_tree_merge(root, steal(controller));
    return 0;
}

/* Quoted, as a fingerprint like 12:34 is a number to many a YAML parser. */
static void put_text(struct yaml_tree *root, const char *map, const char *key, const char *text)
{
    if (!*text)
        return;
    struct yaml_tree *value = yaml_tree_new(YAML_TREE_MAP);
    yaml_tree_put(value, key, yaml_tree_new_text(text));
    yaml_tree_put(root, map, value);
}

static void put_own_keys(struct yaml_tree *root, const struct controller *controller)
{
    put_text(root, "customer", "id", controller->customer_id);
    put_text(root, "hub", "url", controller->hub_url);
    put_text(root, "local_api", "endpoint", controller->endpoint);
    put_text(root, "local_api", "fingerprint", controller->fingerprint);
    put_text(root, "local_api", "fingerprint_next", controller->fingerprint_next);
    put_text(root, "local_api", "token", controller->token);
}

int controller_render(const struct controller *controller, struct buffer *out, struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = yaml_tree_new(YAML_TREE_MAP);
    if (merge_source(root, &controller->template, error) != 0 ||
        merge_source(root, &controller->hub, error) != 0 ||
        merge_enrolment(root, &controller->enrolment, error) != 0)
        return -1;
    put_own_keys(root, controller);
    return yaml_tree_emit(root, out, error);
}
