/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done for each route, one file per family of paths. A handler is called for a request that
 * may be answered; it speaks of request->vmid alone.
 */
#ifndef FELHOM_HANDLERS_H
#define FELHOM_HANDLERS_H

struct agent;
struct request;
struct reply;

/* The guest's mounts as the last start found them. */
void storage_get(struct agent *agent, const struct request *request, struct reply *reply);

/* The guest's controller.yaml, with the token that it presented. */
void controller_yaml_get(struct agent *agent, const struct request *request, struct reply *reply);

/* Whether the daemon answers at all. */
void healthz_get(struct agent *agent, const struct request *request, struct reply *reply);

#endif
