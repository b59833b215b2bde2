/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done for each route, one file per family of paths. A handler is called for a request that
 * may be answered; it speaks of request->vmid alone.
 */
#ifndef FELHOM_HANDLERS_H
#define FELHOM_HANDLERS_H

#include <stdint.h>

struct context;
struct error;
struct request;
struct reply;
struct store;

/* The guest's mounts as the last start found them. */
void storage_get(struct context *context, const struct request *request, struct reply *reply);

/* The guest's controller.yaml, with the token that it presented. */
void controller_yaml_get(struct context *context, const struct request *request,
                         struct reply *reply);

/* What Proxmox is asked to do for the guest; all answer before it is done. */
void snapshot_post(struct context *context, const struct request *request, struct reply *reply);
void rollback_post(struct context *context, const struct request *request, struct reply *reply);
void backup_post(struct context *context, const struct request *request, struct reply *reply);

/* The guest's snapshots, as Proxmox lists them now. */
void snapshots_get(struct context *context, const struct request *request, struct reply *reply);

/* How the guest's last backup went or goes; whether one is due; how its last restore test went. */
void backup_status_get(struct context *context, const struct request *request, struct reply *reply);
void backup_due_get(struct context *context, const struct request *request, struct reply *reply);
void restore_test_status_get(struct context *context, const struct request *request,
                             struct reply *reply);

/* A credential for the container registry. */
void registry_get(struct context *context, const struct request *request, struct reply *reply);

/* The guest's events, waited for where there are none yet. */
void events_get(struct context *context, const struct request *request, struct reply *reply);

/*
 * Answers with the guest's events whose number is above since, as many as go into one answer. 1 if
 * there is something new, which is worth an answer at once; 0 if not; -1 on failure. server/events
 * calls it for those who wait.
 */
int events_answer(struct store *store, uint32_t vmid, int64_t since, struct reply *reply,
                  struct error *error);

/* The host's figures. */
void host_metrics_get(struct context *context, const struct request *request, struct reply *reply);

/* This API's own description. */
extern const char openapi_document[]; /* schema/openapi.yaml as built in */
void openapi_yaml_get(struct context *context, const struct request *request, struct reply *reply);

/* Whether the daemon answers at all. */
void healthz_get(struct context *context, const struct request *request, struct reply *reply);

#endif
