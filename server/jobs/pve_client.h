/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proxmox's REST API on this node, by token. A 2xx is not success: what takes time becomes a task,
 * named by its UPID, and only its exit status tells. Errors carry what Proxmox said; kinds are
 * those of http_client_perform and pve_reply_check.
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

/* Has each call's outcome counted there from now on; borrowed. */
void pve_client_count(struct pve_client *client, struct call_counters *calls);

/* By what a call is made. All borrowed. */
struct pve_call {
    struct pve_client *client;
    const struct config *config; /* endpoint, token_file, ca_file: read at each call, so that a new
                                    token counts at once */
    const char *node;            /* store/host/host.h   */
    int64_t deadline_us;         /* by clock_steady_us */
};

/* A guest as the API's paths name it. */
struct pve_guest {
    enum guest_kind kind;
    uint32_t vmid;
};

/*
 * Whether there is a token: one line USER@REALM!TOKENID=UUID. ERROR_MISSING where there is no file:
 * "there is no Proxmox API token: felhomctl init
 * --pve-token makes one"; ERROR_INVALID where it is no token; ERROR_DENIED where it cannot be read.
 * ret_user (may be NULL): USER@REALM!TOKENID.
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
 * After one of those three failed: whether the task may have been begun all the same. It certainly
 * was not where the request was never sent, and where Proxmox answered
 *   4xx  parameters and privileges are looked at before the worker is forked
 *   501  there is no such call, or the request is not taken at all
 *   595  its proxy had no connection to the daemon behind it
 *   200  "OK" in place of a UPID: vzdump, of a guest on another node.
 * Everything else leaves it open. 500 too: most of what fails that way fails before the worker is
 * forked, but the worker is let go before its task is entered into the list of active ones, and
 * that may fail; 596 and 599 are Proxmox's proxy that lost the daemon with the request under way.
 */
bool pve_may_have_begun(const struct pve_client *client);

/* Whether Proxmox itself has answered the last call, however. */
bool pve_has_answered(const struct pve_client *client);

/* ERROR_MISSING where Proxmox knows no such task. */
int pve_task_status(const struct pve_call *call, const char *upid, struct pve_task_status *ret,
                    struct error *error);

/* The log's lines from line start (0: the first), at most limit. */
int pve_task_log(const struct pve_call *call, const char *upid, int64_t start, int limit,
                 void (*visit)(int64_t number, const char *line, void *context), void *context,
                 struct error *error);

/* The oldest task of ours of this type for the guest since then (seconds); ret_upid[0] is NUL where
 * there is none. A task is listed a moment after it was begun, so that none is no proof at once. */
int pve_task_find(const struct pve_call *call, const char *type, uint32_t vmid, int64_t since,
                  char ret_upid[static UPID_SIZE], struct error *error);

/* The caller frees *ret with pve_snapshots_free. */
int pve_snapshots(const struct pve_call *call, const struct pve_guest *guest,
                  struct pve_snapshots *ret, struct error *error);

/* On config->backup's storage. */
int pve_newest_backup(const struct pve_call *call, uint32_t vmid, struct pve_backup *ret,
                      struct error *error);

#endif
