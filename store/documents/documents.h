/* SPDX-License-Identifier: Apache-2.0 */
/* The four files that a guest reads, put together from what the agent, the operator and the host
 * know. */
#ifndef FELHOM_DOCUMENTS_H
#define FELHOM_DOCUMENTS_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "store/documents/controller_parts.h"
#include "store/files/guest_directory.h"
#include "store/identity/rollover.h"

/* All that goes into the documents but for the token; freed by sources_free. */
struct sources {
    struct buffer certificates; /* in PEM: the one that is shown, then what else may be */
    struct controller_parts controller;
};

/* Reads them. Where the bridge has no address just now, the host is as the store remembers it. */
int sources_load(const struct config *config, uint32_t vmid, struct store *store,
                 struct sources *ret, struct error *error);

/* The same with the guest's enrolment document where the caller has read it. */
int sources_load_with(const struct config *config, uint32_t vmid, const struct buffer *enrolment,
                      struct store *store, struct sources *ret, struct error *error);
void sources_free(struct sources *sources);

/* Writes the four documents for a guest and its token; *ret_left_out as controller_parts_render
 * tells it. The caller frees them with guest_files_free. */
int documents_render(const struct config *config, const struct sources *sources, const char *token,
                     struct guest_files *ret, struct error *ret_left_out, struct error *error);

/* Puts them beside the names that they will have in the guest's directory, as guest_drafts_write
 * does. The caller publishes or frees the drafts. */
int documents_draft(const struct config *config, const struct sources *sources, const char *token,
                    uid_t uid, gid_t gid, struct guest_drafts *ret, struct error *ret_left_out,
                    struct error *error);

#endif
