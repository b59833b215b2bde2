/* SPDX-License-Identifier: Apache-2.0 */
/* ENROLMENT/VMID.yaml as enroll writes it from the command line. */
#ifndef FELHOM_ENROLMENT_FILE_H
#define FELHOM_ENROLMENT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"

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

#endif
