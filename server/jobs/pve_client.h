/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proxmox's REST API on this node, with the API token. A reply of 2xx does not mean that the work
 * is done: what takes time becomes a task, named by its UPID, and only the task's exit status tells
 * how it went. Errors carry what Proxmox said; their kinds are those of http_client_perform and
 * pve_reply_check.
 */
#ifndef FELHOM_PVE_CLIENT_H
#define FELHOM_PVE_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/pve/guest_config.h"
#include "schema/pve/reply.h"

struct call_counters;
struct pve_client; /* belongs to one thread at a time */

/* abort: as for http_client_new. */
struct pve_client *pve_client_new(const atomic_bool *abort);
void pve_client_free(struct pve_client *client);

/* Counts the outcome of each call in *calls from now on; borrowed. */
void pve_client_count(struct pve_client *client, struct call_counters *calls);

/* What a call is made with. All borrowed. */
struct pve_call {
    struct pve_client *client;
    const struct config *config; /* pve: the token file is read at each call, so that a new token
                                    counts at once */
    const char *node;            /* store/host/host.h */
    int64_t deadline_us;         /* by clock_steady_us */
};

/* A guest as the API's paths name it. */
struct pve_guest {
    enum guest_kind kind;
    uint32_t vmid;
};

/*
 * Checks that there is a token: one line USER@REALM!TOKENID=UUID. ERROR_MISSING where there is no
 * file, and the message says how to make one; ERROR_INVALID where the file holds no token;
 * ERROR_DENIED where it cannot be read. ret_user (may be NULL) becomes USER@REALM!TOKENID.
 */
#define PVE_USER_SIZE 128
int pve_token_check(const struct config *config, char ret_user[PVE_USER_SIZE], struct error *error);

/* Each begins a task and gives its UPID. */
int pve_snapshot_create(const struct pve_call *call, const struct pve_guest *guest,
                        const char *name, const char *description, char ret_upid[static UPID_SIZE],
                        struct error *error);
/* Proxmox stops a running container for it; start: it is started afterwards, whether it ran or not.
 */
int pve_snapshot_rollback(const struct pve_call *call, const struct pve_guest *guest,
                          const char *name, bool start, char ret_upid[static UPID_SIZE],
                          struct error *error);
/* By config->backup's storage, mode and compress. */
int pve_backup_begin(const struct pve_call *call, uint32_t vmid, char ret_upid[static UPID_SIZE],
                     struct error *error);

/*
 * After one of those three has failed: whether the task may have begun all the same. It certainly
 * has not where the request was never sent, and where Proxmox answered
 *   4xx  parameters and privileges are looked at before the worker is forked
 *   501  there is no such call, or the request is not taken at all
 *   595  its proxy had no connection to the daemon behind it
 *   200  "OK" in place of a UPID: vzdump, of a guest on another node.
 * Everything else leaves it open. So does 500: most of what fails that way fails before the worker
 * is forked, but the worker starts to run before its task is entered into the list of active ones,
 * and that may fail. With 596 and 599, Proxmox's proxy lost the daemon while the request was under
 * way.
 */
bool pve_may_have_begun(const struct pve_client *client);

/* Whether Proxmox has answered the last call at all, whatever the answer. */
bool pve_has_answered(const struct pve_client *client);

/* ERROR_MISSING where Proxmox knows no such task. */
int pve_task_status(const struct pve_call *call, const char *upid, struct pve_task_status *ret,
                    struct error *error);

/* The log's lines from line start (0: the first), at most limit. */
int pve_task_log(const struct pve_call *call, const char *upid, int64_t start, int limit,
                 void (*visit)(int64_t number, const char *line, void *context), void *context,
                 struct error *error);

/* Finds the oldest task of this type that our token began for the guest since that time (seconds);
 * ret_upid[0] is NUL where there is none. A task is listed a moment after it was begun, so finding
 * none proves nothing at once. */
int pve_task_find(const struct pve_call *call, const char *type, uint32_t vmid, int64_t since,
                  char ret_upid[static UPID_SIZE], struct error *error);

/* The caller frees *ret with pve_snapshots_free. */
int pve_snapshots(const struct pve_call *call, const struct pve_guest *guest,
                  struct pve_snapshots *ret, struct error *error);

/* On config->backup's storage. */
int pve_newest_backup(const struct pve_call *call, uint32_t vmid, struct pve_backup *ret,
                      struct error *error);

#endif
