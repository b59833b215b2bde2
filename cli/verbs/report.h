/* SPDX-License-Identifier: Apache-2.0 */
/* What more than one verb shows: the host, an event of the audit trail, a refused request, each as
 * a JSON object that is a new reference, the caller's to json_decref. */
#ifndef FELHOM_REPORT_H
#define FELHOM_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "schema/agent/config.h"
#include "store/host/host.h"
#include "store/tables/event.h"

/* Everything that is recorded about a refused request; null for what is not known. */
json_t *refusal_report(const struct explanation *explanation);

/* seq, at, vmid, kind, outcome, source, detail, duration_us; null where the event has none. */
json_t *event_report(const struct event *event);

/* The host as init and identity show it: names, endpoint, pins, paths. */
json_t *host_report(const struct config *config, const struct host *host);

/* The host's report in lines; members that it does not know are left out. */
void host_report_print(FILE *out, const json_t *report);

#endif
