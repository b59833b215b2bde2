/* SPDX-License-Identifier: Apache-2.0 */
#include "store/documents/documents.h"

#include <string.h>

#include "schema/agent/guest_documents.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/config_file.h"
#include "store/identity/rollover.h"
#include "store/tables/guest.h"
#include "store/tables/hub_config.h"

void controller_parts_free(struct controller_parts *parts)
{
    buffer_free(&parts->enrolment_text);
    enrolment_free(&parts->enrolment);
    buffer_free(&parts->template_text);
    buffer_free(&parts->hub_text);
}

/* A template that cannot be read is at fault like one that cannot be parsed: the store is not. */
static int controller_read_template(const struct config *config, struct controller_parts *parts,
                                    struct error *error)
{
    if (config_file_read_template(config, &parts->template_text, error) == 0)
        return 0;
    error->kind = ERROR_INVALID;
    return -1;
}

static int controller_read_hub(const struct config *config, struct store *store,
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
    cleanup_free char *name = config_file_enrolment_path(config, parts->vmid);
    if (enrolment_parse(name, buffer_text(text), text->length, &parts->enrolment, error) < 0 ||
        controller_read_template(config, parts, error) < 0)
        return -1;
    return controller_read_hub(config, store, parts, error);
}

static struct yaml_source yaml_source(const char *name, const struct buffer *text)
{
    return (struct yaml_source){name, buffer_text(text), text->length};
}

static int controller_render_parts(const struct config *config,
                                   const struct controller_parts *parts,
                                   const struct buffer *hub_text, const char *token,
                                   struct buffer *out, struct error *error)
{
    cleanup_free char *name = config_file_enrolment_path(config, parts->vmid);
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
    if (controller_render_parts(config, parts, &parts->hub_text, token, out, error) == 0)
        return 0;
    if (!is_hub_at_fault(&parts->hub_text, ret_left_out))
        return -1;
    return controller_render_parts(config, parts, &BUFFER_EMPTY, token, out, error);
}

/* The pins that felhomd has recorded in the store matter only while felhomd may still be showing
 * the previous certificate. */
static void sources_take_identity(const struct rollover *rollover, struct store *store,
                                  struct pins *shown, struct document_sources *sources)
{
    struct host host;
    struct error ignored;
    bool asked = rollover_has(&rollover->previous) && host_get(store, &host, &ignored) == 0;
    const struct pins *recorded = asked ? &host.pins : NULL;
    const struct identity *coming = rollover_coming(rollover, recorded);
    *shown = rollover_shown(rollover, recorded)->pins;
    if (coming)
        sources->controller.coming = coming->pins;
    rollover_certificates(rollover, recorded, &sources->certificates);
}

static int sources_load_identity(const struct config *config, struct store *store,
                                 struct pins *shown, struct document_sources *sources,
                                 struct error *error)
{
    cleanup(rollover_free) struct rollover rollover = {0};
    if (rollover_load(config->paths.state, &rollover, error) < 0)
        return -1;
    sources_take_identity(&rollover, store, shown, sources);
    return 0;
}

static int sources_load_host(const struct config *config, struct store *store,
                             struct document_sources *sources, struct error *error)
{
    struct pins shown;
    struct error ignored;
    struct host *host = &sources->controller.host;
    if (sources_load_identity(config, store, &shown, sources, error) < 0)
        return -1;
    if (host_describe(config, &shown, host, error) == 0)
        return 0;
    if (error->kind != ERROR_MISSING || host_get(store, host, &ignored) < 0)
        return -1;
    host->pins = shown;
    return 0;
}

/* Recorded in place of an enrolment that cannot be read. It is refused as what cannot be parsed:
 * without it, felhomd would serve the guest's controller.yaml as that of nobody. */
#define UNREADABLE "unreadable: true\n"

/* Takes the enrolment that was recorded when the guest was enrolled or last started. False if there
 * is none that can be used. */
static bool sources_recall_enrolment(const char *name, struct store *store,
                                     struct controller_parts *parts)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (guest_get_enrolment(store, parts->vmid, &text, &ignored) < 0 || text.length == 0 ||
        enrolment_parse(name, buffer_text(&text), text.length, &parts->enrolment, &ignored) < 0)
        return false;
    buffer_free(&parts->enrolment_text);
    parts->enrolment_text = steal(text);
    return true;
}

/* Reads the enrolment, or makes up for one that is at fault. */
static void sources_load_enrolment(const struct config *config, struct store *store,
                                   struct document_sources *sources)
{
    struct error fault;
    struct controller_parts *parts = &sources->controller;
    struct buffer *text = &parts->enrolment_text;
    cleanup_free char *name = config_file_enrolment_path(config, parts->vmid);
    if (config_file_read_enrolment(config, parts->vmid, text, &fault) < 0)
        buffer_add_text(text, UNREADABLE);
    else if (enrolment_parse(name, buffer_text(text), text->length, &parts->enrolment, &fault) == 0)
        return;
    bool recalled = sources_recall_enrolment(name, store, parts);
    if (!recalled)
        enrolment_salvage(buffer_text(text), text->length, &parts->enrolment);
    sources->lacks_controller = !recalled;
    (void)fail(&sources->fault, ERROR_INVALID,
               "%s: %.300s: correct the file, then run felhomctl enroll %u && felhomctl rotate %u",
               recalled ? "the enrolment as it was before stays in force"
                        : "there is no controller.yaml",
               fault.message, parts->vmid, parts->vmid);
}

static void sources_fail_controller(const struct error *fault, uint32_t vmid, struct error *ret)
{
    (void)fail(ret, ERROR_INVALID,
               "there is no controller.yaml: %.300s: correct the file, then run felhomctl rotate "
               "%u",
               fault->message, vmid);
}

static int sources_load_controller(const struct config *config, struct store *store,
                                   struct document_sources *sources, struct error *error)
{
    struct error fault;
    struct controller_parts *parts = &sources->controller;
    sources_load_enrolment(config, store, sources);
    if (controller_read_template(config, parts, &fault) < 0) {
        sources_fail_controller(&fault, parts->vmid, &sources->fault);
        sources->lacks_controller = true;
    }
    return controller_read_hub(config, store, parts, error);
}

int document_sources_load(const struct config *config, uint32_t vmid, struct store *store,
                          struct document_sources *ret, struct error *error)
{
    cleanup(document_sources_free) struct document_sources sources = {.controller.vmid = vmid};
    if (sources_load_host(config, store, &sources, error) < 0 ||
        sources_load_controller(config, store, &sources, error) < 0)
        return -1;
    *ret = steal(sources);
    return 0;
}

void document_sources_free(struct document_sources *sources)
{
    buffer_free(&sources->certificates);
    controller_parts_free(&sources->controller);
}

static const char *bootstrap_image(const struct config *config, const struct enrolment *enrolment)
{
    return *enrolment->image ? enrolment->image : config->controller.image;
}

/* Guests know the default path, so it need not be in the document. */
static const char *bootstrap_controller_path(const struct config *config)
{
    return strcmp(config->controller.guest_path, CONFIG_CONTROLLER_PATH) == 0
               ? ""
               : config->controller.guest_path;
}

static void bootstrap_render_sources(const struct config *config,
                                     const struct document_sources *sources, const char *token,
                                     struct buffer *out)
{
    const struct controller_parts *controller = &sources->controller;
    const struct bootstrap bootstrap = {
        .vmid = controller->vmid,
        .host_id = controller->host.host_id,
        .endpoint = controller->host.endpoint,
        .pins = &controller->host.pins,
        .coming = &controller->coming,
        .token = token,
        .hub_url = config->hub.url,
        .hub_retrieval_password = controller->enrolment.hub_retrieval_password,
        .customer_id = controller->enrolment.customer_id,
        .registry_host = config->registry.host,
        .registry_username = config->registry.username,
        .controller_image = bootstrap_image(config, &controller->enrolment),
        .controller_path = bootstrap_controller_path(config),
        .controller_run = controller->enrolment.run,
    };
    bootstrap_render(config->bootstrap.schema, &bootstrap, out);
}

/* Leaves out empty where a file of the operator's keeps controller.yaml from being made. */
static void documents_render_controller(const struct config *config,
                                        const struct document_sources *sources, const char *token,
                                        struct buffer *out, struct error *ret_fault)
{
    struct error fault;
    struct error hub;
    *ret_fault = sources->fault;
    if (sources->lacks_controller)
        return;
    if (controller_parts_render(config, &sources->controller, token, out, &hub, &fault) < 0)
        sources_fail_controller(&fault, sources->controller.vmid, ret_fault);
    else if (hub.kind != ERROR_NONE)
        (void)fail(ret_fault, hub.kind, "controller.yaml is made without the hub: %.400s",
                   hub.message);
}

void documents_render(const struct config *config, const struct document_sources *sources,
                      const char *token, struct guest_files *ret, struct error *ret_fault)
{
    *ret = (struct guest_files){0};
    documents_render_controller(config, sources, token, &ret->controller_yaml, ret_fault);
    bootstrap_render_sources(config, sources, token, &ret->bootstrap_json);
    buffer_add_text(&ret->token, token);
    buffer_add_text(&ret->token, "\n");
    buffer_add(&ret->agent_crt, sources->certificates.data, sources->certificates.length);
}

int documents_draft(const struct config *config, const struct document_sources *sources,
                    const char *token, uid_t uid, gid_t gid, struct guest_drafts *ret,
                    struct error *ret_fault, struct error *error)
{
    cleanup(guest_files_free) struct guest_files files = {0};
    documents_render(config, sources, token, &files, ret_fault);
    return guest_drafts_write(config->paths.guests, sources->controller.vmid, uid, gid, &files, ret,
                              error);
}
