/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Issues an identity to a guest: makes its directory, mints a token and writes the documents with
 * it. pre-start does this for a guest that is about to start, post-start for one whose pre-start
 * could not, and felhomctl rotate for a guest that runs.
 *
 * The caller holds the guest's lock (guest_directory_lock) throughout, and calls, in this order:
 *
 *     issue_inspect          what the guest is; before the lock, if that is to work without it
 *     issue_make_directory   as early as possible: the guest mounts the directory as it starts, and
 *                            sees what is put into it later
 *     issue_load_sources     what the documents are made of
 *     issue_draft            makes a token, and drafts of the documents with it; before the
 *                            transaction where many processes want to write to the store
 *     issue_record, issue_mint   in one transaction
 *     issue_publish          after its commit
 *
 * This order makes a death at any instruction harmless. The drafts of the files are complete and
 * the new token becomes good before any file that the guest reads changes. Older tokens are the
 * caller's to end, after issue_publish. So at no moment does a file hold a token that the server
 * refuses.
 */
#ifndef FELHOM_ISSUE_H
#define FELHOM_ISSUE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/pve/guest_config.h"
#include "store/db/store.h"
#include "store/documents/documents.h"
#include "store/files/guest_directory.h"
#include "store/files/guest_mount.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

struct issue {
    const struct config *config; /* this and what follows: set by the caller, borrowed */
    struct store *store;         /* may be NULL for issue_inspect and issue_make_directory */
    uint32_t vmid;
    const char *source; /* of the event of the mint; NULL: the host itself */
    int64_t started_us; /* clock_steady_us() when the caller began; 0: the event has no duration */

    struct guest_config guest; /* set by issue_inspect */
    struct guest_mount own;
    uint32_t uid; /* the owner of the directory, set by issue_inspect; the caller may correct it */
    uint32_t gid;

    const struct nic *shared; /* set by issue_record: a NIC whose address is also another guest's */
    uint32_t shared_with;     /* that guest */
    struct error unexported;  /* why issue_make_directory has made no export; else ERROR_NONE */
    struct document_sources sources;
    struct token token;
    struct guest_drafts drafts;
    struct error fault; /* as documents_render tells it */
};

/* Returns an issue without anything done. issue_free frees it. */
struct issue issue_new(const struct config *config, struct store *store, uint32_t vmid);
void issue_free(struct issue *issue);
#define cleanup_issue cleanup(issue_free)

/* Reads the guest's configuration. ERROR_FOREIGN if it mounts another guest's directory. */
int issue_inspect(struct issue *issue, struct error *error);

/*
 * Makes GUESTS/VMID if it is missing, and for a container that mounts it by an lxc.mount.entry the
 * read-only export. That the export cannot be made does not keep the guest from its identity:
 * issue->unexported says why, with ERROR_DENIED if this process may not mount.
 */
int issue_make_directory(struct issue *issue, struct error *error);

/* Reads what the documents are made of. */
int issue_load_sources(struct issue *issue, struct error *error);

/* Records the guest, its enrolment, NICs and mounts, in the caller's transaction. */
int issue_record(struct issue *issue, enum guest_state state, int64_t now_ms, struct error *error);

/* Makes a token, which is not good yet, and writes the drafts of the documents. */
int issue_draft(struct issue *issue, struct error *error);

/* Mints that token and adds the event, in the caller's transaction. */
int issue_mint(struct issue *issue, int64_t now_ms, struct error *error);

/* Puts the documents into place. */
int issue_publish(struct issue *issue, struct error *error);

/*
 * Checks what the guest has now: *ret_directory is what is in its directory, *ret the verdict on
 * the token in its directory, TOKEN_MALFORMED if there is none or bootstrap.json is missing,
 * TOKEN_UNKNOWN if it is another guest's.
 */
int issue_check(const struct config *config, struct store *store, uint32_t vmid,
                struct guest_directory *ret_directory, enum token_verdict *ret,
                struct error *error);

/* Returns true if the guest runs: by its control groups, or, where the host has none of Proxmox's,
 * by its row in the store. row: NULL if the store does not know it. */
bool issue_guest_runs(const struct config *config, enum guest_kind kind, uint32_t vmid,
                      const struct guest *row);

#endif
