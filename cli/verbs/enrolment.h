/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What enroll makes for one guest and unenroll takes back: the enrolment file ENROLMENT/VMID.yaml,
 * the guest's directory GUESTS/VMID with its read-only mount EXPORT/VMID, and the lines in the
 * guest's configuration. The order is the verbs'.
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

/* What the operator gave; NULL: nothing. */
struct enrolment_wish {
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
    struct buffer text; /* as it is or will be; wiped by enrolment_plan_free */
};

/*
 * Works out the file without touching it: what is there with what is wished put over it.
 * ERROR_CONFLICT where a change would lose the controller keys of an existing file.
 */
int enrolment_plan_make(const struct config *config, uint32_t vmid,
                        const struct enrolment_wish *wish, struct enrolment_plan *ret,
                        struct error *error);
void enrolment_plan_free(struct enrolment_plan *plan);

/* Writes it (0600, below a 0700 directory), if there is anything to write. */
int enrolment_plan_apply(const struct config *config, uint32_t vmid,
                         const struct enrolment_plan *plan, struct error *error);

/* The hookscript that the file has chained, "" for none; the caller frees it. */
int enrolment_file_chain(const struct config *config, uint32_t vmid, char **ret,
                         struct error *error);

/* Deletes the file; none is no failure. */
int enrolment_file_remove(const struct config *config, uint32_t vmid, bool *ret_removed,
                          struct error *error);

/*
 * lxc.* lines are edited, under Proxmox's lock, as no command sets them. The rest is pct's or qm's
 * on a Proxmox host, and edited on a scratch one. Notes what was done; adds nothing where all was
 * as wished.
 */
int enrolment_change_config(const struct config *config, enum guest_kind kind,
                            struct guest_lines_wish wish, struct steps *steps, struct error *error);

#endif
