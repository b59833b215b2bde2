/* SPDX-License-Identifier: Apache-2.0 */
/* A guest as the store knows it, in JSON. */
#ifndef FELHOM_GUEST_REPORT_H
#define FELHOM_GUEST_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "store/db/store.h"
#include "store/tables/event.h"
#include "store/tables/guest.h"
#include "store/tables/host.h"

/* Its row in the list of guests: a new reference in *ret, the caller's to json_decref. */
int guest_report_row(struct store *store, const struct guest *guest, json_t **ret,
                     struct error *error);

/* All that is known, its mounts, NICs, tokens (never a secret) and last events included. */
int guest_report_whole(struct store *store, const struct guest *guest, json_t **ret,
                       struct error *error);

/* A refused request, as it is shown to the operator. */

/* What is remembered of it; null where nothing is. */
json_t *refusal_report(const struct explanation *explanation);

/* What the operator may do about it: one sentence. */
const char *refusal_advice(const struct explanation *explanation);

/* The host as init and identity show it: names, endpoint, pins, places. */

/* A new reference, the caller's to json_decref. */
json_t *host_report(const struct config *config, const struct host *host);

/* The same in lines; whatever else stands in it is left out. */
void host_report_print(FILE *out, const json_t *report);

/* An event of the audit trail, as it is shown to the operator. */

/* seq, at, vmid, kind, outcome, source, detail, duration_us; null where it has none. */
json_t *event_report(const struct event *event);

#endif
