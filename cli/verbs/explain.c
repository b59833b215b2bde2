/* SPDX-License-Identifier: Apache-2.0 */
/* explain: why a request was refused. */
#include <string.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/verb.h"
#include "cli/verbs/report.h"
#include "schema/base/address.h"
#include "schema/base/cleanup.h"
#include "store/tables/guest.h"

static const struct output_column fields[] = {
    {"request", "request_id", SHAPE_PLAIN},
    {"at", "at", SHAPE_PLAIN},
    {"answer", "status", SHAPE_PLAIN},
    {"refused for", "reason", SHAPE_PLAIN},
    {"detail", "detail", SHAPE_PLAIN},
    {"method", "method", SHAPE_PLAIN},
    {"path", "path", SHAPE_PLAIN},
    {"source", "source", SHAPE_PLAIN},
    {"source is guest", "source_vmid", SHAPE_PLAIN},
    {"token", "token_id", SHAPE_PLAIN},
    {"token of guest", "vmid", SHAPE_PLAIN},
    {"what to do", "advice", SHAPE_PLAIN},
};

static int find(struct store *store, const char *request_id, struct explanation *ret,
                struct error *error)
{
    if (explanation_find(store, request_id, ret, error) == 0)
        return 0;
    if (error->kind != ERROR_MISSING)
        return -1;
    return fail(error, ERROR_MISSING,
                "no refused request %s is remembered: it was not refused, or %d others were after "
                "it, or its source was refused so often that only some were kept; felhomctl events "
                "counts them",
                request_id, EXPLANATIONS_KEPT);
}

/* The guest whose card has the source's hardware address now, where that is known. */
static int put_source_guest(struct store *store, const struct explanation *explanation,
                            json_t *report, struct error *error)
{
    char text[HWADDR_TEXT_SIZE];
    struct hwaddr hwaddr;
    uint32_t vmid = 0;
    memcpy(text, explanation->source, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    if (hwaddr_parse(text, &hwaddr) &&
        nic_find_guest(store, &hwaddr, explanation->vmid, &vmid, error) < 0)
        return -1;
    output_put_vmid(report, "source_vmid", vmid);
    return 0;
}

static int run(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    struct explanation explanation;
    if (session_open(&session, error) < 0 ||
        find(session.store, invocation->request_id, &explanation, error) < 0)
        return -1;
    cleanup_json json_t *report = refusal_report(&explanation);
    if (put_source_guest(session.store, &explanation, report, error) < 0)
        return -1;
    output_put_text(report, "advice", refusal_advice(&explanation));
    if (invocation->format != OUTPUT_TEXT)
        output_value(invocation, report);
    else
        output_fields(invocation->out, fields, ARRAY_SIZE(fields), report);
    return 0;
}

const struct verb verb_explain = {
    .name = "explain",
    .operand = OPERAND_REQUEST_ID,
    .help = "Tell why a request was refused, by its X-Request-Id",
    .run = run,
};
