/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts together the four files that a guest reads: token, bootstrap.json, controller.yaml and
 * agent.crt. The content comes from agent.yaml, the guest's enrolment, the operator's template, the
 * hub's configuration, the host's names and address, and the TLS identity. First load the sources,
 * then render them with a token. GET /controller.yaml uses the part for controller.yaml alone.
 */
#ifndef FELHOM_DOCUMENTS_H
#define FELHOM_DOCUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/enrolment.h"
#include "schema/base/buffer.h"
#include "store/db/store.h"
#include "store/files/guest_directory.h"
#include "store/host/host.h"

/* --- controller.yaml, for the guest's directory and for GET /controller.yaml --- */

/* Everything that controller.yaml needs but the token. Zero-initialise; free with
 * controller_parts_free. */
struct controller_parts {
    uint32_t vmid;
    struct host host;   /* the caller fills host, vmid, coming and enrolment_text */
    struct pins coming; /* pins of the next certificate during a rollover; else empty texts */
    struct buffer enrolment_text; /* empty if the guest has no enrolment */

    struct enrolment enrolment; /* this and what follows: filled by controller_parts_complete */
    struct buffer template_text;
    struct buffer hub_text;
};

/* Parses the enrolment and reads the operator's template and the hub's configuration. ERROR_INVALID
 * if a document of the operator's is invalid. */
int controller_parts_complete(const struct config *config, struct store *store,
                              struct controller_parts *parts, struct error *error);
void controller_parts_free(struct controller_parts *parts);

/*
 * Appends controller.yaml. If the hub's configuration alone makes that fail, leaves it out, and
 * *ret_left_out says why; otherwise ret_left_out->kind is ERROR_NONE.
 */
int controller_parts_render(const struct config *config, const struct controller_parts *parts,
                            const char *token, struct buffer *out, struct error *ret_left_out,
                            struct error *error);

/* --- all four --- */

/* Everything that the four documents need but the token. Freed by document_sources_free. */
struct document_sources {
    struct buffer certificates; /* in PEM: first the certificate that felhomd shows now, then those
                                   of a rollover */
    struct controller_parts controller;
    struct error fault; /* what is wrong with the enrolment or the template, and what to do; of kind
                           ERROR_NONE if nothing is */
    bool lacks_controller; /* because of the fault, controller.yaml cannot be made */
};

/*
 * Reads all sources. A fault in the template or in the enrolment is no failure: no guest goes
 * without the other documents for it. For an enrolment at fault, the one that the store has
 * recorded is used; if there is none, what is valid in the file, but for controller.yaml. If the
 * bridge has no address at the moment, the host's names and address come from the store.
 */
int document_sources_load(const struct config *config, uint32_t vmid, struct store *store,
                          struct document_sources *ret, struct error *error);

void document_sources_free(struct document_sources *sources);

/* Renders the documents for a guest and its token; controller_yaml stays empty if it cannot be
 * made. *ret_fault says what is wrong with an operator's file or the hub's and what to do, else its
 * kind is ERROR_NONE. The caller frees *ret with guest_files_free. */
void documents_render(const struct config *config, const struct document_sources *sources,
                      const char *token, struct guest_files *ret, struct error *ret_fault);

/* Renders the documents and writes them as drafts into the guest's directory, as guest_drafts_write
 * does. The caller publishes or frees the drafts. */
int documents_draft(const struct config *config, const struct document_sources *sources,
                    const char *token, uid_t uid, gid_t gid, struct guest_drafts *ret,
                    struct error *ret_fault, struct error *error);

#endif
