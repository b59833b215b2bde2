/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/documents.h"

#include <stdio.h>

#include "schema/bootstrap.h"
#include "schema/cleanup.h"
#include "schema/controller.h"
#include "schema/memory.h"
#include "store/endpoint.h"
#include "store/settings.h"

static int load_host(const struct config *config, struct store *store, struct sources *sources,
                     struct error *error)
{
    const struct pins *pins = &sources->identity.pins;
    if (endpoint_describe_host(config, pins, &sources->host, error) == 0)
        return 0;
    struct error ignored;
    if (error->kind != ERROR_MISSING || host_get(store, &sources->host, &ignored) < 0)
        return -1;
    sources->host.pins = *pins;
    return 0;
}

static int load_enrolment(const struct config *config, uint32_t vmid, struct sources *sources,
                          struct error *error)
{
    char name[32];
    if (settings_read_enrolment(config, vmid, &sources->enrolment_text, error) < 0)
        return -1;
    (void)snprintf(name, sizeof name, "%u.yaml", vmid);
    return enrolment_parse(name, buffer_text(&sources->enrolment_text),
                           sources->enrolment_text.length, &sources->enrolment, error);
}

int sources_load(const struct config *config, uint32_t vmid, struct store *store,
                 struct sources *ret, struct error *error)
{
    cleanup(sources_free) struct sources sources = {0};
    if (identity_load(config->paths.state, &sources.identity, error) < 0 ||
        load_host(config, store, &sources, error) < 0 ||
        load_enrolment(config, vmid, &sources, error) < 0 ||
        settings_read_template(config, &sources.template_text, error) < 0)
        return -1;
    *ret = sources;
    sources = (struct sources){0};
    return 0;
}

void sources_free(struct sources *sources)
{
    identity_free(&sources->identity);
    buffer_free(&sources->enrolment_text);
    enrolment_free(&sources->enrolment);
    buffer_free(&sources->template_text);
}

static const char *image_for(const struct config *config, const struct enrolment *enrolment)
{
    return *enrolment->image ? enrolment->image : config->controller.image;
}

static void render_bootstrap(const struct config *config, uint32_t vmid,
                             const struct sources *sources, const char *token, struct buffer *out)
{
    const struct bootstrap bootstrap = {
        .vmid = vmid,
        .host_id = sources->host.host_id,
        .endpoint = sources->host.endpoint,
        .pins = &sources->identity.pins,
        .token = token,
        .hub_url = config->hub.url,
        .hub_retrieval_password = sources->enrolment.hub_retrieval_password,
        .customer_id = sources->enrolment.customer_id,
        .registry_host = config->registry.host,
        .registry_username = config->registry.username,
        .controller_image = image_for(config, &sources->enrolment),
    };
    bootstrap_render(config->bootstrap.schema, &bootstrap, out);
}

static int render_controller(const struct config *config, uint32_t vmid,
                             const struct sources *sources, const char *token, struct buffer *out,
                             struct error *error)
{
    cleanup_free char *enrolment_name = mem_format("%s/%u.yaml", config->paths.enrolment, vmid);
    const struct buffer *template = &sources->template_text;
    const struct buffer *enrolment = &sources->enrolment_text;
    const struct controller controller = {
        .template = {config->controller.template_file, template->data, template->length},
        .enrolment = {enrolment_name, enrolment->data, enrolment->length},
        .customer_id = sources->enrolment.customer_id,
        .hub_url = config->hub.url,
        .endpoint = sources->host.endpoint,
        .fingerprint = sources->identity.pins.leaf,
        .token = token,
    };
    return controller_render(&controller, out, error);
}

/* Out of the cleanup scope that holds them. */
static struct guest_files hand_out(struct guest_files *files)
{
    struct guest_files value = *files;
    *files = (struct guest_files){0};
    return value;
}

int documents_render(const struct config *config, uint32_t vmid, const struct sources *sources,
                     const char *token, struct guest_files *ret, struct error *error)
{
    cleanup(guest_files_free) struct guest_files files = {0};
    const struct buffer *certificate = &sources->identity.certificate_pem;
    if (render_controller(config, vmid, sources, token, &files.controller_yaml, error) < 0)
        return -1;
    render_bootstrap(config, vmid, sources, token, &files.bootstrap_json);
    buffer_add_text(&files.token, token);
    buffer_add_text(&files.token, "\n");
    buffer_add(&files.agent_crt, certificate->data, certificate->length);
    *ret = hand_out(&files);
    return 0;
}
