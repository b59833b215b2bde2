/* SPDX-License-Identifier: Apache-2.0 */
#include "store/documents/controller_parts.h"

#include "schema/agent/controller.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/documents/settings.h"
#include "store/tables/hub_config.h"

void controller_parts_free(struct controller_parts *parts)
{
    buffer_free(&parts->enrolment_text);
    enrolment_free(&parts->enrolment);
    buffer_free(&parts->template_text);
    buffer_free(&parts->hub_text);
}

static char *enrolment_name(const struct config *config, const struct controller_parts *parts)
{
    return mem_format("%s/%u.yaml", config->paths.enrolment, parts->vmid);
}

static int read_hub(const struct config *config, struct store *store,
                    struct controller_parts *parts, struct error *error)
{
    uint8_t origin[DIGEST_BYTES];
    if (!hub_origin(config->hub.url, &parts->enrolment, origin))
        return 0;
    return hub_config_get(store, parts->vmid, origin, &parts->hub_text, error);
}

int controller_parts_complete(const struct config *config, struct store *store,
                              struct controller_parts *parts, struct error *error)
{
    const struct buffer *text = &parts->enrolment_text;
    cleanup_free char *name = enrolment_name(config, parts);
    if (enrolment_parse(name, buffer_text(text), text->length, &parts->enrolment, error) < 0 ||
        settings_read_template(config, &parts->template_text, error) < 0)
        return -1;
    return read_hub(config, store, parts, error);
}

static struct yaml_source yaml_source(const char *name, const struct buffer *text)
{
    return (struct yaml_source){name, buffer_text(text), text->length};
}

static int render(const struct config *config, const struct controller_parts *parts,
                  const struct buffer *hub_text, const char *token, struct buffer *out,
                  struct error *error)
{
    cleanup_free char *name = enrolment_name(config, parts);
    const struct controller controller = {
        .template = yaml_source(config->controller.template_file, &parts->template_text),
        .hub = yaml_source("the hub's configuration", hub_text),
        .enrolment = yaml_source(name, &parts->enrolment_text),
        .customer_id = parts->enrolment.customer_id,
        .hub_url = config->hub.url,
        .endpoint = parts->host.endpoint,
        .fingerprint = parts->host.pins.leaf,
        .fingerprint_next = parts->coming.leaf,
        .token = token,
    };
    return controller_render(&controller, out, error);
}

static bool is_hub_at_fault(const struct buffer *hub_text, struct error *ret)
{
    return hub_text->length > 0 &&
           hub_config_check(buffer_text(hub_text), hub_text->length, ret) < 0;
}

int controller_parts_render(const struct config *config, const struct controller_parts *parts,
                            const char *token, struct buffer *out, struct error *ret_left_out,
                            struct error *error)
{
    ret_left_out->kind = ERROR_NONE;
    if (render(config, parts, &parts->hub_text, token, out, error) == 0)
        return 0;
    if (!is_hub_at_fault(&parts->hub_text, ret_left_out))
        return -1;
    return render(config, parts, &BUFFER_EMPTY, token, out, error);
}
