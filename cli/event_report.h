/* SPDX-License-Identifier: Apache-2.0 */
/* An event of the audit trail, as it is shown to the operator. */
#ifndef FELHOM_EVENT_REPORT_H
#define FELHOM_EVENT_REPORT_H

#include <jansson.h>

#include "store/tables/event.h"

/* seq, at, vmid, kind, outcome, source, detail, duration_us; null where it has none. */
json_t *event_report(const struct event *event);

#endif
