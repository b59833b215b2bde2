/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints: which handler answers which method and path. answer.c looks a request up once,
 * with route_resolve, and keeps the result in request->destination. The number of the path
 * (endpoint) also selects the counters of the metrics. The table is constant, so any thread may
 * call these functions.
 */
#ifndef FELHOM_ROUTE_H
#define FELHOM_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "server/base/counters.h"
#include "server/http/request.h"

struct context;
struct error;
struct reply;
struct store;

struct route {
    const char *method; /* never HEAD: HEAD is answered as GET */
    const char *path;
    bool open;  /* needs no token */
    bool views; /* the handler reads from request->view and waits for nothing. Other handlers have
                   no view, and borrow a store themselves */
    void (*handle)(struct context *context, const struct request *request, struct reply *reply);
};

/* Finds the route of path and method. If path is NULL or unknown, the result has no route. path
 * is borrowed. */
struct destination route_resolve(const char *path, const char *method);

#define ROUTE_COUNT COUNTERS_ENDPOINTS

/* Returns the path of this endpoint number (struct destination); "other" for ROUTE_COUNT. */
const char *route_path(size_t endpoint);

/* Adds to out the methods that the path has, as the Allow header lists them; nothing if there is
 * no such path. */
void route_methods(const struct destination *destination, struct buffer *out);

/*
 * --- the handlers; there is one .c file for each family of paths ---
 *
 * A handler is called in a request thread, after the request was authenticated (unless its route is
 * open), and fills in the reply. It must only speak of the guest request->vmid.
 */

/* storage.c: the mounts of the guest, as its last start found them. */
void storage_get(struct context *context, const struct request *request, struct reply *reply);

/* documents.c: the guest's controller.yaml, with the token that the guest presented. */
void controller_yaml_get(struct context *context, const struct request *request,
                         struct reply *reply);

/* backup.c: record a job that Proxmox is asked to do for the guest. The reply, 202, does not
 * wait for the job. */
void snapshot_post(struct context *context, const struct request *request, struct reply *reply);
void rollback_post(struct context *context, const struct request *request, struct reply *reply);
void backup_post(struct context *context, const struct request *request, struct reply *reply);

/* backup.c: the guest's snapshots, as Proxmox lists them at the moment. */
void snapshots_get(struct context *context, const struct request *request, struct reply *reply);

/* backup.c: the state of the last backup; whether a backup is due; the result of the last
 * restore test. */
void backup_status_get(struct context *context, const struct request *request, struct reply *reply);
void backup_due_get(struct context *context, const struct request *request, struct reply *reply);
void restore_test_status_get(struct context *context, const struct request *request,
                             struct reply *reply);

/* registry_credential.c: a credential for the container registry. */
void registry_get(struct context *context, const struct request *request, struct reply *reply);

/* events.c: the guest's events. If there is none yet, the request may wait (reply->wait). */
void events_get(struct context *context, const struct request *request, struct reply *reply);

/*
 * Replies with the events of the guest whose number is above since, as many as fit into one reply.
 * Returns 1 if there is something new, so that the reply should be sent at once; 0 if not; -1 if
 * the store fails. server/events calls it for the requests that wait.
 */
int events_answer(struct store *store, uint32_t vmid, int64_t since, struct reply *reply,
                  struct error *error);

/* host.c: the figures of the host. */
void host_metrics_get(struct context *context, const struct request *request, struct reply *reply);

/* documents.c: the description of this API. */
extern const char openapi_document[]; /* the text of schema/openapi.yaml, linked into the program */
void openapi_yaml_get(struct context *context, const struct request *request, struct reply *reply);

/* host.c: tells that felhomd answers. */
void healthz_get(struct context *context, const struct request *request, struct reply *reply);

#endif
