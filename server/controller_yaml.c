/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/cleanup.h"
#include "schema/controller.h"
#include "schema/enrolment.h"
#include "server/agent.h"
#include "server/etag.h"
#include "server/handlers.h"
#include "server/request.h"
#include "store/guest.h"
#include "store/host.h"
#include "store/settings.h"

/* What the document is made of. Zero-initialise; ended by parts_free. */
struct parts {
    struct host host;
    struct buffer template;
    struct buffer enrolment_text;
    struct enrolment enrolment;
    struct buffer token;
};

static void parts_free(struct parts *parts)
{
    buffer_free(&parts->template);
    buffer_free(&parts->enrolment_text);
    buffer_free(&parts->token);
    enrolment_free(&parts->enrolment);
}

static int read_store(struct agent *agent, uint32_t vmid, struct parts *parts, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(agent->stores, &loan, error) == 0 &&
        host_get(loan.store, &parts->host, error) == 0 &&
        guest_get_enrolment(loan.store, vmid, &parts->enrolment_text, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

static int gather(struct agent *agent, const struct request *request, struct parts *parts,
                  struct error *error)
{
    const struct buffer *text = &parts->enrolment_text;
    if (read_store(agent, request->vmid, parts, error) < 0 ||
        settings_read_template(&request->setup->config, &parts->template, error) < 0 ||
        enrolment_parse("enrolment", buffer_text(text), text->length, &parts->enrolment, error) < 0)
        return -1;
    buffer_add(&parts->token, request->token.text, request->token.length);
    return 0;
}

static struct yaml_source yaml_source(const char *name, const struct buffer *text)
{
    return (struct yaml_source){name, buffer_text(text), text->length};
}

static int render(struct agent *agent, const struct request *request, struct buffer *out,
                  struct error *error)
{
    const struct config *config = &request->setup->config;
    cleanup(parts_free) struct parts parts = {0};
    if (gather(agent, request, &parts, error) < 0)
        return -1;
    const struct controller controller = {
        .template = yaml_source(config->controller.template_file, &parts.template),
        .enrolment = yaml_source("enrolment", &parts.enrolment_text),
        .customer_id = parts.enrolment.customer_id,
        .hub_url = config->hub.url,
        .endpoint = parts.host.endpoint,
        .fingerprint = parts.host.pins.leaf,
        .token = buffer_text(&parts.token),
    };
    return controller_render(&controller, out, error);
}

static bool is_known(const struct request *request, const char *etag)
{
    const char *value;
    for (size_t i = 0; (value = request_header(request, "If-None-Match", i)); i++) {
        if (etag_matches(value, etag))
            return true;
    }
    return false;
}

void controller_yaml_get(struct agent *agent, const struct request *request, struct reply *reply)
{
    struct error error;
    char etag[ETAG_SIZE];
    if (render(agent, request, &reply->body, &error) < 0) {
        agent_fail(agent, NULL, &error, reply);
        return;
    }
    etag_make(&reply->body, etag);
    reply_header(reply, "ETag", etag);
    reply->status = is_known(request, etag) ? 304 : 200;
    reply->type = reply->status == 200 ? "application/yaml" : NULL;
}
