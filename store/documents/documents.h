/* SPDX-License-Identifier: Apache-2.0 */
/* The four files that a guest reads, put together from what the agent, the operator and the host
 * know. */
#ifndef FELHOM_DOCUMENTS_H
#define FELHOM_DOCUMENTS_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/enrolment.h"
#include "schema/base/buffer.h"
#include "store/db/store.h"
#include "store/files/guest_directory.h"
#include "store/host/host.h"

/* --- controller.yaml, for the guest's directory and for GET /controller.yaml --- */

/* All but the token. Zero-initialise; ended by controller_parts_free. */
struct controller_parts {
    uint32_t vmid;
    struct host host;             /* the caller's to fill, with vmid: */
    struct pins coming;           /* those that the host's will be; texts of "" if it keeps them */
    struct buffer enrolment_text; /* empty where the guest has none */

    struct enrolment enrolment; /* by controller_parts_complete */
    struct buffer template_text;
    struct buffer hub_text;
};

/* Reads the enrolment, the operator's template and what the hub said. ERROR_INVALID where the
 * operator's document is at fault. */
int controller_parts_complete(const struct config *config, struct store *store,
                              struct controller_parts *parts, struct error *error);
void controller_parts_free(struct controller_parts *parts);

/*
 * Adds the document. What the hub said is left out where that alone is at fault: *ret_left_out then
 * says why, and is of kind ERROR_NONE otherwise.
 */
int controller_parts_render(const struct config *config, const struct controller_parts *parts,
                            const char *token, struct buffer *out, struct error *ret_left_out,
                            struct error *error);

/* --- all four --- */

/* All that goes into the documents but for the token; freed by document_sources_free. */
struct document_sources {
    struct buffer certificates; /* in PEM: the one that is shown, then what else may be */
    struct controller_parts controller;
};

/* Reads them. Where the bridge has no address just now, the host is as the store remembers it. */
int document_sources_load(const struct config *config, uint32_t vmid, struct store *store,
                          struct document_sources *ret, struct error *error);

void document_sources_free(struct document_sources *sources);

/* Writes the four documents for a guest and its token; *ret_left_out as controller_parts_render
 * tells it. The caller frees them with guest_files_free. */
int documents_render(const struct config *config, const struct document_sources *sources,
                     const char *token, struct guest_files *ret, struct error *ret_left_out,
                     struct error *error);

/* Puts them beside the names that they will have in the guest's directory, as guest_drafts_write
 * does. The caller publishes or frees the drafts. */
int documents_draft(const struct config *config, const struct document_sources *sources,
                    const char *token, uid_t uid, gid_t gid, struct guest_drafts *ret,
                    struct error *ret_left_out, struct error *error);

#endif
