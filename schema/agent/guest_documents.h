/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two documents that a guest finds in its directory.
 *
 * bootstrap.json: what the guest needs to find and trust its host, in one of two formats: the
 * platform's spike format (hub_url, host_id, local_api_endpoint, ...) with schema, vmid and the
 * leaf pin added, or felhom.bootstrap/v2.
 *
 * controller.yaml: the in-guest controller's configuration, merged from four sources. Maps merge
 * key by key and deep; anything else is replaced; later sources win; keys keep the place where they
 * first appeared. Comments are not kept.
 */
#ifndef FELHOM_GUEST_DOCUMENTS_H
#define FELHOM_GUEST_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/pin.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

/* All texts borrowed; "" for what is not known. */
struct bootstrap {
    uint32_t vmid;
    const char *host_id;
    const char *endpoint; /* HOST:PORT without a scheme */
    const struct pins *pins;
    const struct pins *coming; /* those of the certificate to come; NULL or texts of "": none */
    const char *token;
    const char *hub_url;
    const char *hub_retrieval_password;
    const char *customer_id;
    const char *registry_host;
    const char *registry_username;
    const char *controller_image;
    const char *controller_path; /* "" where it is the one that guests take by themselves */
    const char *controller_run;  /* options in lines, see run_options in enrolment.h */
};

/*
 * Adds the document, one line-broken JSON object and a newline. In the spike format
 * local_api_endpoint is https://HOST:PORT, and registry.token stays "" (a credential is fetched
 * from the API when it is needed). The pins to come, local_api_pin_..._next and in v2
 * fingerprint_next, are named only where there are any. Either format gets controller_path (a text)
 * and controller_run (a list of texts) where there is something to say, and no key else.
 */
void bootstrap_render(enum bootstrap_schema schema, const struct bootstrap *bootstrap,
                      struct buffer *out);

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
