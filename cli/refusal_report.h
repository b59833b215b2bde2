/* SPDX-License-Identifier: Apache-2.0 */
/* A refused request, as it is shown to the operator. */
#ifndef FELHOM_REFUSAL_REPORT_H
#define FELHOM_REFUSAL_REPORT_H

#include <jansson.h>

#include "store/tables/event.h"

/* What is remembered of it; null where nothing is. */
json_t *refusal_report(const struct explanation *explanation);

/* What the operator may do about it: one sentence. */
const char *refusal_advice(const struct explanation *explanation);

#endif
