/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENROLMENT/VMID.yaml, the operator's file about one guest: whose guest it is, the password for the
 * hub, and what differs from agent.yaml for this guest. All keys are optional:
 *
 *     customer: {id: acme, name: ACME, domain: acme.example, email: it@acme.example}
 *     hub: {retrieval_password: ...}
 *     image: registry.example/controller:v1   # instead of controller.image
 *     quota: {snapshots: 3, snapshot_interval: 5m, backup_interval: 1h} # instead of agent.yaml's
 *     run: [--memory=512m, --publish=8080:80] # the controller container's options
 *     chain: local:snippets/other             # a hookscript that ours runs in each phase
 *     guest: {volume: local-lvm:vm-8200-disk-0, hwaddrs: "BC:24:11:00:00:01"} # what enroll saw
 *     controller: {...}                       # more keys for this guest's controller.yaml
 */
#ifndef FELHOM_ENROLMENT_H
#define FELHOM_ENROLMENT_H

#include <jansson.h>
#include <stddef.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/yaml/keys.h"
#include "schema/yaml/tree.h"

/* Texts are never NULL; "" if the file does not set them. */
struct enrolment {
    char *customer_id; /* letters, digits, - _ . */
    char *customer_name;
    char *customer_domain;
    char *customer_email;
    char *hub_retrieval_password; /* secret: wiped by enrolment_free */
    char *image;
    char *chain;           /* STORAGE:snippets/NAME */
    char *guest_volume;    /* the volume of the guest's root file system, or its first disk */
    char *guest_hwaddrs;   /* its hardware addresses, separated by commas */
    char *quota_snapshots; /* this and the next two as in agent.yaml; "": what that says */
    char *quota_snapshot_interval;
    char *quota_backup_interval;
    char *run; /* options, one on each line; see run_options below */
};

/*
 * Reads length bytes of YAML; an empty document gives an empty enrolment. Unknown keys, wrong types
 * and duplicate keys fail with ERROR_INVALID and "NAME:LINE:COLUMN: key: why". The caller frees
 * *ret with enrolment_free.
 */
int enrolment_parse(const char *name, const char *text, size_t length, struct enrolment *ret,
                    struct error *error);

/* Reads a text that enrolment_parse refuses: keeps each value that is valid on its own and leaves
 * the others empty. The caller frees *ret with enrolment_free. */
void enrolment_salvage(const char *text, size_t length, struct enrolment *ret);

/* The guest's quota: what the enrolment says of it, else what agent.yaml does. */
struct quota enrolment_quota(const struct enrolment *enrolment, const struct quota *standard);

void enrolment_free(struct enrolment *enrolment);

/*
 * Appends an enrolment (without the controller key) as YAML that enrolment_parse reads back
 * unchanged. A text that enrolment_parse would refuse fails with ERROR_INVALID and "key: why".
 */
int enrolment_render(const struct enrolment *enrolment, struct buffer *out, struct error *error);

/*
 * --- the run key: options for the guest's controller container, such as --memory=512m ---
 *
 * An enrolment has them as a YAML list and bootstrap.json as a JSON array. In memory they are one
 * text with one option on each line, "" for none.
 */

/*
 * The type of the run key; its field is a char * that is never NULL. Each option is --NAME or
 * --NAME=VALUE without control characters. Options that only the guest may decide (--name,
 * --detach, --rm, --interactive, --tty, --cidfile) are refused, and so are more than 64 options.
 */
extern const struct yaml_type run_options;

/* Returns the options as a JSON list, which the caller releases with json_decref. */
json_t *run_options_json(const char *options);

#endif
