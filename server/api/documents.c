/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /controller.yaml and GET /openapi.yaml: YAML documents with an entity tag, by which a guest
 * that has the document already gets a 304. controller.yaml is rendered for each request, with the
 * token that the guest presented; openapi.yaml is linked into the program.
 */
#include "store/documents/documents.h"
#include "schema/base/cleanup.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "store/base/log.h"
#include "store/identity/rollover.h"
#include "store/tables/guest.h"

static bool guest_has_document(const struct request *request, const char *etag)
{
    const char *value;
    for (size_t i = 0; (value = request_header(request, "If-None-Match", i)); i++) {
        if (etag_matches(value, etag))
            return true;
    }
    return false;
}

/* Replies with the YAML document in reply->body and its entity tag, or with 304 if If-None-Match
 * says that the guest has this document already. */
static void document_reply(const struct request *request, struct reply *reply)
{
    char etag[ETAG_SIZE];
    etag_make(&reply->body, etag);
    reply_header(reply, "ETag", etag);
    reply->status = guest_has_document(request, etag) ? 304 : 200;
    reply->type = reply->status == 200 ? "application/yaml" : NULL;
}

static int controller_gather_parts(struct context *context, const struct request *request,
                                   struct controller_parts *parts, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, error) == 0 &&
        host_get(loan.store, &parts->host, error) == 0 &&
        rollover_coming_pins(request->config->paths.state, &parts->host.pins, &parts->coming,
                             error) == 0 &&
        guest_get_enrolment(loan.store, parts->vmid, &parts->enrolment_text, error) == 0 &&
        controller_parts_complete(request->config, loan.store, parts, error) == 0)
        return 0;
    /* ERROR_INVALID: a document of the operator is faulty, and the store is in order. */
    if (error->kind != ERROR_INVALID)
        store_loan_failed(&loan, error);
    return -1;
}

static int controller_render(struct context *context, const struct request *request,
                             struct buffer *out, struct error *error)
{
    struct error left_out;
    cleanup(controller_parts_free) struct controller_parts parts = {.vmid = request->vmid};
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    buffer_add(&token, request->token.text, request->token.length);
    if (controller_gather_parts(context, request, &parts, error) < 0 ||
        controller_parts_render(request->config, &parts, buffer_text(&token), out, &left_out,
                                error) < 0)
        return -1;
    if (left_out.kind != ERROR_NONE)
        throttled_log_guest(&context->log, LOG_WARNING, request->vmid, "hub",
                            "guest %u: controller.yaml is made without the hub: %s", request->vmid,
                            left_out.message);
    return 0;
}

void controller_yaml_get(struct context *context, const struct request *request,
                         struct reply *reply)
{
    struct error error;
    if (controller_render(context, request, &reply->body, &error) < 0) {
        reply_internal_failure(reply, context, NULL, &error);
        return;
    }
    document_reply(request, reply);
}

void openapi_yaml_get(struct context *context, const struct request *request, struct reply *reply)
{
    (void)context;
    buffer_add_text(&reply->body, openapi_document);
    document_reply(request, reply);
}
