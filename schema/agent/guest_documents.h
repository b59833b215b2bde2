/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes two of the files that a guest finds in its directory.
 *
 * bootstrap.json tells the guest how to find and trust its host. It has one of two formats: the
 * platform's spike format (hub_url, host_id, local_api_endpoint and so on; schema, vmid and the
 * leaf pin are our additions), or felhom.bootstrap/v2.
 *
 * controller.yaml is the configuration of the controller in the guest, merged from four sources.
 * Maps are merged key by key at all levels; any other value of a later source replaces the earlier
 * one; keys keep the position where they first appeared. Comments are lost.
 */
#ifndef FELHOM_GUEST_DOCUMENTS_H
#define FELHOM_GUEST_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/pin.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

/* All texts are borrowed; "" for what is not known. */
struct bootstrap {
    uint32_t vmid;
    const char *host_id;
    const char *endpoint; /* HOST:PORT without a scheme */
    const struct pins *pins;
    const struct pins *coming; /* of the next certificate in a rollover; NULL or "": none */
    const char *token;
    const char *hub_url;
    const char *hub_retrieval_password;
    const char *customer_id;
    const char *registry_host;
    const char *registry_username;
    const char *controller_image;
    const char *controller_path; /* "" for the default path, which guests know */
    const char *controller_run;  /* options, one on each line; see run_options in enrolment.h */
};

/*
 * Appends bootstrap.json: one indented JSON object and a newline. In the spike format
 * local_api_endpoint is https://HOST:PORT, and registry.token is always "" (the guest fetches
 * credentials from the API). The pins of the next certificate (local_api_pin_..._next;
 * fingerprint_next in v2) are present only during a rollover. Both formats get controller_path (a
 * text) and controller_run (a list of texts) only if they are not empty.
 */
void bootstrap_render(enum bootstrap_schema schema, const struct bootstrap *bootstrap,
                      struct buffer *out);

struct yaml_source {
    const char *name; /* for messages, e.g. the file's path */
    const char *text; /* borrowed; NULL or "": the source does not exist */
    size_t length;
};

/* The sources of controller.yaml, lowest precedence first. All texts are borrowed; a text of ""
 * means not known, and its key is left out. */
struct controller {
    struct yaml_source template;
    struct yaml_source hub;
    struct yaml_source enrolment; /* ENROLMENT/VMID.yaml: its customer map, and everything below its
                                     controller key */
    const char *customer_id;
    const char *hub_url;
    const char *endpoint;         /* HOST:PORT without a scheme */
    const char *fingerprint;      /* the leaf pin */
    const char *fingerprint_next; /* the leaf pin of the next certificate */
    const char *token;
};

/* Appends controller.yaml. A source that is not YAML or not a map fails with ERROR_INVALID and
 * NAME:LINE:COLUMN. */
int controller_render(const struct controller *controller, struct buffer *out, struct error *error);

#endif
