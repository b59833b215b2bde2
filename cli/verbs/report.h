/* SPDX-License-Identifier: Apache-2.0 */
/* Reports that several verbs print: the host, an event of the audit trail, a refused request. Each
 * is a new JSON object, which the caller releases with json_decref. */
#ifndef FELHOM_REPORT_H
#define FELHOM_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "schema/agent/config.h"
#include "store/host/host.h"
#include "store/tables/event.h"

/* Everything that is recorded about a refused request; null for what is not known. */
json_t *refusal_report(const struct explanation *explanation);

/* seq, at, vmid, kind, outcome, source, detail, duration_us; null if the event does not have it. */
json_t *event_report(const struct event *event);

/* The host as init and identity show it: names, endpoint, pins, paths. */
json_t *host_report(const struct config *config, const struct host *host);

/* Prints the host's report as lines; unknown members are left out. */
void host_report_print(FILE *out, const json_t *report);

#endif
