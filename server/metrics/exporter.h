/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the metrics to where agent.yaml wants them: a listener, a file, or nowhere. */
#ifndef FELHOM_EXPORTER_H
#define FELHOM_EXPORTER_H

#include "schema/agent/config.h"

struct context;
struct exporter;

/* Idle until exporter_apply. The agent's gate and watch must outlive it. Ends with exporter_free.
 */
struct exporter *exporter_new(struct context *context);

/* NULL is fine. */
void exporter_free(struct exporter *exporter);

/* Puts the settings in force. Guests are served whether that succeeds or not, so a failure goes to
 * the log, and no further. */
void exporter_apply(struct exporter *exporter, const struct config *config);

#endif
