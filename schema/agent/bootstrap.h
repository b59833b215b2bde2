/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bootstrap.json: what a guest needs to find and trust its host. Contract: the platform's spike
 * format (hub_url, host_id, local_api_endpoint, ...) with schema, vmid and the leaf pin added, and
 * felhom.bootstrap/v2.
 */
#ifndef FELHOM_BOOTSTRAP_H
#define FELHOM_BOOTSTRAP_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/pin.h"
#include "schema/base/buffer.h"

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
    const char *controller_run;  /* as in schema/agent/enrolment.h */
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

#endif
