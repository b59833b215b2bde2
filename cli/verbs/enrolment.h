/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What enroll makes for one guest and unenroll takes back: the enrolment file ENROLMENT/VMID.yaml
 * and the lines in the guest's configuration. (store/files has the guest's directory and export.)
 */
#ifndef FELHOM_VERBS_ENROLMENT_H
#define FELHOM_VERBS_ENROLMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/base/steps.h"
#include "cli/pve/guest_lines.h"
#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

/* The values for the enrolment file from the command line; NULL: not given. */
struct enrolment_values {
    const char *customer_id;
    const char *customer_name;
    const char *customer_domain;
    const char *customer_email;
    const char *image;
    const char *chain;
    const char *retrieval_password_file; /* its first line is the password */
};

struct enrolment_plan {
    bool exists;
    bool write;         /* the file has to change */
    struct buffer text; /* of the file, as it is or will be; wiped by enrolment_plan_free */
};

/*
 * Works out the file's new content without writing it: the given values replace those of the
 * existing file. ERROR_CONFLICT if a change would lose an existing file's controller keys.
 */
int enrolment_plan_make(const struct config *config, uint32_t vmid,
                        const struct enrolment_values *values, struct enrolment_plan *ret,
                        struct error *error);
void enrolment_plan_free(struct enrolment_plan *plan);

/* Writes the file (0600, in a 0700 directory) if plan->write. */
int enrolment_plan_apply(const struct config *config, uint32_t vmid,
                         const struct enrolment_plan *plan, struct error *error);

/* Returns the other hookscript that our hook calls according to the file, "" if there is none; the
 * caller frees it. */
int enrolment_file_chain(const struct config *config, uint32_t vmid, char **ret,
                         struct error *error);

/* Deletes the file; succeeds if there is none. */
int enrolment_file_remove(const struct config *config, uint32_t vmid, bool *ret_removed,
                          struct error *error);

/*
 * Changes the guest's configuration as desired and adds a step for each changed line. lxc.* lines
 * are edited in the file under Proxmox's lock, as no command sets them; all others are set by one
 * call of pct or qm on a Proxmox host, and edited on a scratch host.
 */
int enrolment_change_config(const struct config *config, enum guest_kind kind,
                            struct guest_lines_desired desired, struct steps *steps,
                            struct error *error);

#endif
