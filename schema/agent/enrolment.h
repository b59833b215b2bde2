/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENROLMENT/VMID.yaml: what the operator wishes for one guest.
 *
 *     customer: {id: acme, name: ACME, domain: acme.example, email: it@acme.example}
 *     hub: {retrieval_password: ...}
 *     image: registry.example/controller:v1   # instead of controller.image
 *     run: [--memory=512m, --publish=8080:80] # the controller container's options
 *     chain: local:snippets/other             # a hookscript that ours calls in each phase
 *     controller: {...}                       # more keys for this guest's controller.yaml
 */
#ifndef FELHOM_ENROLMENT_H
#define FELHOM_ENROLMENT_H

#include <jansson.h>
#include <stddef.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/yaml/keys.h"
#include "schema/yaml/tree.h"

/* Texts are never NULL: "" where the file does not say. */
struct enrolment {
    char *customer_id; /* letters, digits, - _ . */
    char *customer_name;
    char *customer_domain;
    char *customer_email;
    char *hub_retrieval_password; /* secret: wiped by enrolment_free */
    char *image;
    char *chain; /* STORAGE:snippets/NAME */
    char *run;   /* see run_options below */
};

/*
 * Reads length bytes of YAML; an empty document is an empty enrolment. name stands in front of each
 * message (NAME:LINE:COLUMN: key: why). Unknown keys, wrong types and duplicates fail with
 * ERROR_INVALID.
 */
int enrolment_parse(const char *name, const char *text, size_t length, struct enrolment *ret,
                    struct error *error);

/* Reads of a text that enrolment_parse refuses what is good. Freed in the same way. */
void enrolment_salvage(const char *text, size_t length, struct enrolment *ret);

void enrolment_free(struct enrolment *enrolment);

/*
 * Adds an enrolment (without controller keys) as YAML that enrolment_parse reads as the same. A
 * text that it would refuse fails with ERROR_INVALID and "key: why".
 */
int enrolment_render(const struct enrolment *enrolment, struct buffer *out, struct error *error);

/*
 * The options that a guest's controller container is run with, such as --memory=512m, as the
 * operator wishes them in an enrolment: a YAML list there, a JSON array in bootstrap.json. Held as
 * one text with an option in each line, "" for none.
 */

/*
 * A char * field, never NULL. Each option is --NAME or --NAME=VALUE without control characters;
 * those that are the guest's own business (--name, --detach, --rm, --interactive, --tty, --cidfile)
 * are refused, and so are more than 64 of them.
 */
extern const struct yaml_type run_options;

/* The options as a list; the caller's to free. */
struct yaml_tree *run_options_yaml(const char *options);
json_t *run_options_json(const char *options);

#endif
