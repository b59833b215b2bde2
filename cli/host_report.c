/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/host_report.h"

#include "cli/output.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/documents/settings.h"

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
        {"settings", settings_path()},
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
