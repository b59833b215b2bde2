/* SPDX-License-Identifier: Apache-2.0 */
/* The four files that a guest reads, put together from what the agent, the operator and the host
 * know. */
#ifndef FELHOM_DOCUMENTS_H
#define FELHOM_DOCUMENTS_H

#include <stdint.h>

#include "schema/config.h"
#include "schema/enrolment.h"
#include "store/directory.h"
#include "store/host.h"
#include "store/identity.h"

/* All that goes into the documents but for the token; freed by sources_free. */
struct sources {
    struct identity identity;
    struct host host;
    struct buffer enrolment_text; /* empty where the guest has none */
    struct enrolment enrolment;
    struct buffer template_text;
};

/* Reads them. Where the bridge has no address just now, the host is as the store remembers it. */
int sources_load(const struct config *config, uint32_t vmid, struct store *store,
                 struct sources *ret, struct error *error);
void sources_free(struct sources *sources);

/* Writes the four documents for a guest and its token. The caller frees them with guest_files_free.
 */
int documents_render(const struct config *config, uint32_t vmid, const struct sources *sources,
                     const char *token, struct guest_files *ret, struct error *error);

#endif
