/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controller.yaml: the in-guest controller's configuration, merged from four sources. Maps merge
 * key by key and deep; anything else is replaced; later sources win; keys keep the place where they
 * first appeared. Comments are not kept.
 */
#ifndef FELHOM_CONTROLLER_H
#define FELHOM_CONTROLLER_H

#include <stddef.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"

struct yaml_source {
    const char *name; /* for messages, e.g. the file's path */
    const char *text; /* borrowed; NULL or "": no such source */
    size_t length;
};

/* In the order of their weight, lightest first. Texts borrowed; "" for what is not known: such a
 * key is left out. */
struct controller {
    struct yaml_source template;
    struct yaml_source hub;
    struct yaml_source
        enrolment; /* ENROLMENT/VMID.yaml: its customer map and what is below its controller key */
    const char *customer_id;
    const char *hub_url;
    const char *endpoint;         /* HOST:PORT without a scheme */
    const char *fingerprint;      /* the leaf pin */
    const char *fingerprint_next; /* that of the certificate to come */
    const char *token;
};

/* Adds the document. Fails with ERROR_INVALID where a source is not YAML or not a map, naming
 * NAME:LINE:COLUMN. */
int controller_render(const struct controller *controller, struct buffer *out, struct error *error);

#endif
