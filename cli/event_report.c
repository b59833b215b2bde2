/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/event_report.h"

#include "cli/output.h"
#include "schema/json/json.h"

json_t *event_report(const struct event *event)
{
    json_t *row = json_object();
    output_put_int(row, "seq", event->seq);
    output_put_time(row, "at", event->at_ms);
    output_put_vmid(row, "vmid", event->vmid);
    output_put_text(row, "kind", event->kind);
    output_put_text(row, "outcome", event->outcome);
    output_put_text(row, "source", event->source);
    output_put_text(row, "detail", event->detail);
    json_set(row, "duration_us",
             event->duration_us < 0 ? json_null() : json_integer(event->duration_us));
    return row;
}
