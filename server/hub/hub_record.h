/* SPDX-License-Identifier: Apache-2.0 */
/* What the hub answered goes into the store, the audit trail and the log. */
#ifndef FELHOM_HUB_RECORD_H
#define FELHOM_HUB_RECORD_H

#include "server/base/limiter.h"
#include "server/hub/hub_due.h"

struct hub_record {
    struct store *store;
    struct throttled_log *log;
    int64_t poll_ms;
    int64_t now_ms;
};

/* The next pull is due after poll_ms. The event tells of a body that is another one. */
int hub_record_success(const struct hub_record *record, const struct hub_errand *errand,
                       const struct buffer *body, struct error *error);

/* The next try is due by backoff_ms up to poll_ms; after a refusal there is none. The event tells
 * of the first failure in a row, and of a refusal; the log of each that differs from the one
 * before. */
int hub_record_failure(const struct hub_record *record, const struct hub_errand *errand,
                       const char *problem, bool is_refusal, struct error *error);

#endif
