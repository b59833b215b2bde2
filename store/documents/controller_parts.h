/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's controller.yaml is made of, and its making: the same for the guest's directory and
 * for GET /controller.yaml. */
#ifndef FELHOM_CONTROLLER_PARTS_H
#define FELHOM_CONTROLLER_PARTS_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/enrolment.h"
#include "schema/base/buffer.h"
#include "store/db/store.h"
#include "store/tables/host.h"

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

#endif
