/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/report.h"

#include "cli/base/output.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "store/files/config_file.h"

static void put_known(json_t *report, const char *key, const char *text)
{
    if (*text)
        output_put_text(report, key, text);
    else
        json_set(report, key, json_null());
}

json_t *refusal_report(const struct explanation *explanation)
{
    json_t *report = json_object();
    output_put_text(report, "request_id", explanation->request_id);
    output_put_time(report, "at", explanation->at_ms);
    output_put_int(report, "status", explanation->status);
    output_put_text(report, "reason", explanation->reason);
    put_known(report, "method", explanation->method);
    put_known(report, "path", explanation->path);
    output_put_text(report, "source", explanation->source);
    output_put_vmid(report, "vmid", explanation->vmid);
    put_known(report, "token_id", explanation->token_id);
    put_known(report, "detail", explanation->detail);
    return report;
}

static const struct output_column columns[] = {
    {"host id", "host_id", SHAPE_PLAIN},
    {"node", "node", SHAPE_PLAIN},
    {"endpoint", "endpoint", SHAPE_PLAIN},
    {"SPKI pin", "pin_spki_sha256", SHAPE_PLAIN},
    {"leaf pin", "pin_leaf_sha256", SHAPE_PLAIN},
    {"next SPKI pin", "next_pin_spki_sha256", SHAPE_PLAIN},
    {"next leaf pin", "next_pin_leaf_sha256", SHAPE_PLAIN},
    {"previous SPKI pin", "previous_pin_spki_sha256", SHAPE_PLAIN},
    {"previous leaf pin", "previous_pin_leaf_sha256", SHAPE_PLAIN},
    {"next step", "next_step", SHAPE_PLAIN},
    {"certificate", "certificate", SHAPE_PLAIN},
    {"valid from", "valid_from", SHAPE_PLAIN},
    {"valid to", "valid_to", SHAPE_PLAIN},
    {"settings", "settings", SHAPE_PLAIN},
    {"state", "state", SHAPE_PLAIN},
    {"guests", "guests", SHAPE_PLAIN},
    {"export", "export", SHAPE_PLAIN},
    {"enrolment", "enrolment", SHAPE_PLAIN},
};

json_t *host_report(const struct config *config, const struct host *host)
{
    json_t *report = json_object();
    cleanup_free char *certificate = mem_format("%s/tls/agent.crt", config->paths.state);
    const struct {
        const char *key;
        const char *text;
    } texts[] = {
        {"host_id", host->host_id},
        {"node", host->node},
        {"endpoint", host->endpoint},
        {"pin_spki_sha256", host->pins.spki},
        {"pin_leaf_sha256", host->pins.leaf},
        {"certificate", certificate},
        {"settings", config_file_path()},
        {"state", config->paths.state},
        {"guests", config->paths.guests},
        {"export", config->paths.export},
        {"enrolment", config->paths.enrolment},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        output_put_text(report, texts[i].key, texts[i].text);
    return report;
}

void host_report_print(FILE *out, const json_t *report)
{
    output_fields(out, columns, ARRAY_SIZE(columns), report);
}

json_t *event_report(const struct event *event)
{
    json_t *row = json_object();
    output_put_int(row, "seq", event->seq);
    output_put_time(row, "at", event->at_ms);
    output_put_vmid(row, "vmid", event->vmid);
    output_put_texts(row, "kind", event->kind, "outcome", event->outcome, "source", event->source,
                     "detail", event->detail);
    json_set(row, "duration_us", json_integer_or_null(event->duration_us));
    return row;
}
