/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of Proxmox's REST API on this node; requests carry the API token of pve.token_file. A
 * reply of 2xx does not mean that the work is done: what takes time becomes a task, which is named
 * by its UPID, and only the exit status of the task tells how it went. Errors carry what Proxmox
 * said; their kinds are those of http_client_perform and pve_reply_check.
 *
 * A client belongs to one thread at a time: the jobs thread has one, and the request threads share
 * one under pve_lock of struct context.
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

/* abort, calls: as for http_client_new. Ends with pve_client_free, which accepts NULL. */
struct pve_client *pve_client_new(const atomic_bool *abort, struct call_counters *calls);
void pve_client_free(struct pve_client *client);

/* What a call needs. All members are borrowed. */
struct pve_call {
    struct pve_client *client;
    const struct config *config; /* the pve section counts; the token file is read at each call, so
                                    that a new token is used at once */
    const char *node;            /* this node's name, see store/host/host.h */
    int64_t deadline_us;         /* by clock_steady_us */
};

/* A guest, as the paths of the API name it. */
struct pve_guest {
    enum guest_kind kind;
    uint32_t vmid;
};

/*
 * Checks that the token file holds one line USER@REALM!TOKENID=UUID. ERROR_MISSING if there is no
 * file, with a message that says how to make one; ERROR_INVALID if the file holds something else;
 * ERROR_DENIED if it cannot be read. ret_user (may be NULL) becomes USER@REALM!TOKENID.
 */
int pve_token_check(const struct config *config, char ret_user[API_TOKEN_USER_SIZE],
                    struct error *error);

/* The next three functions have Proxmox begin a task; ret_upid becomes its UPID. */
int pve_snapshot_create(const struct pve_call *call, const struct pve_guest *guest,
                        const char *name, const char *description, char ret_upid[static UPID_SIZE],
                        struct error *error);
/* Proxmox stops a running container for a rollback. start: have it started afterwards, whether
 * it ran or not. The rollback's task then begins the start as a task of its own (vzstart, qmstart;
 * hastart for a guest under high availability) and does not wait for it. */
int pve_snapshot_rollback(const struct pve_call *call, const struct pve_guest *guest,
                          const char *name, bool start, char ret_upid[static UPID_SIZE],
                          struct error *error);
/* Backs up the guest with the storage, mode and compress of config->backup. */
int pve_backup_begin(const struct pve_call *call, uint32_t vmid, char ret_upid[static UPID_SIZE],
                     struct error *error);

/*
 * After one of these three has failed: true if Proxmox may have begun the task all the same. It
 * certainly has not if the request was never sent, nor if Proxmox answered
 *
 *   4xx  parameters and privileges are checked before the worker is forked
 *   501  there is no such call, or the request was not accepted at all
 *   595  Proxmox's proxy had no connection to the daemon behind it
 *   200  "OK" in place of a UPID: vzdump, for a guest on another node.
 *
 * Every other failure leaves it open. So does 500: most failures with 500 happen before the worker
 * is forked, but the worker starts to run before its task is entered into the list of active tasks,
 * and that entry may fail. With 596 and 599, Proxmox's proxy lost the daemon while the request was
 * under way.
 */
bool pve_may_have_begun(const struct pve_client *client);

/* True if Proxmox answered the last call at all, whatever the answer. */
bool pve_has_answered(const struct pve_client *client);

/* Reads the status of the task. ERROR_MISSING if Proxmox knows no such task. */
int pve_task_status(const struct pve_call *call, const char *upid, struct pve_task_status *ret,
                    struct error *error);

/* Calls visit for the lines of the task's log from line start on (0: the first), at most limit
 * lines. */
int pve_task_log(const struct pve_call *call, const char *upid, int64_t start, int limit,
                 void (*visit)(int64_t number, const char *line, void *context), void *context,
                 struct error *error);

/* Finds the oldest task of this type that our token began for the guest since that time (in
 * seconds since 1970); ret_upid becomes "" if there is none. A task is listed a moment after it
 * began, so finding none at first proves nothing. */
int pve_task_find(const struct pve_call *call, const char *type, uint32_t vmid, int64_t since,
                  char ret_upid[static UPID_SIZE], struct error *error);

/* Finds out whether the guest is running. ("Running" begins early in its start.) */
int pve_guest_runs(const struct pve_call *call, const struct pve_guest *guest, bool *ret,
                   struct error *error);

/* Lists the snapshots of the guest. The caller frees *ret with pve_snapshots_free. */
int pve_snapshots(const struct pve_call *call, const struct pve_guest *guest,
                  struct pve_snapshots *ret, struct error *error);

/* Finds the guest's newest backup on the storage of config->backup; ret->archive is "" if there
 * is none. */
int pve_newest_backup(const struct pve_call *call, uint32_t vmid, struct pve_backup *ret,
                      struct error *error);

#endif
