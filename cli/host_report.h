/* SPDX-License-Identifier: Apache-2.0 */
/* The host as init and identity show it: names, endpoint, pins, places. */
#ifndef FELHOM_HOST_REPORT_H
#define FELHOM_HOST_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "schema/agent/config.h"
#include "store/tables/host.h"

/* A new reference, the caller's to json_decref. */
json_t *host_report(const struct config *config, const struct host *host);

/* The same in lines; whatever else stands in it is left out. */
void host_report_print(FILE *out, const json_t *report);

#endif
