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
    bool keep;                   /* the guest counts as the one that the enrolment is of */
    const char *quota_snapshots; /* this and the next two: "" takes the value out */
    const char *quota_snapshot_interval;
    const char *quota_backup_interval;
    const char *retrieval_password_file; /* its first line is the password */
};

struct enrolment_plan {
    bool exists;
    bool write;    /* the file has to change */
    bool replaces; /* the file was of a former guest with the same VMID: nothing of it is kept */
    struct buffer text; /* of the file, as it is or will be; wiped by enrolment_plan_free */
};

/*
 * Works out the file's new content without writing it: the given values replace those of the
 * existing file. ERROR_CONFLICT if a change would lose an existing file's controller keys; or if
 * the file is of another guest (guest_fingerprint_differs), and neither keep nor a customer's id is
 * given. With a customer's id, the content begins anew.
 */
int enrolment_plan_make(const struct config *config, uint32_t vmid,
                        const struct guest_config *guest, const struct enrolment_values *values,
                        struct enrolment_plan *ret, struct error *error);
void enrolment_plan_free(struct enrolment_plan *plan);

/* Writes the file (0600, in a 0700 directory) if plan->write. */
int enrolment_plan_apply(const struct config *config, uint32_t vmid,
                         const struct enrolment_plan *plan, struct error *error);

/* Returns the other hookscript that our hook calls according to the file, "" if there is none; the
 * caller frees it. A mistake elsewhere in the file makes no difference. */
int enrolment_file_chain(const struct config *config, uint32_t vmid, char **ret,
                         struct error *error);

/* The file as it was before a verb changed it. */
struct saved_enrolment {
    bool directory_existed;
    bool existed;
    struct buffer text; /* wiped by saved_enrolment_free */
};
int enrolment_file_save(const struct config *config, uint32_t vmid, struct saved_enrolment *ret,
                        struct error *error);
void saved_enrolment_free(struct saved_enrolment *saved);

/* Makes the file what it was. */
int enrolment_file_restore(const struct config *config, uint32_t vmid,
                           const struct saved_enrolment *saved, struct error *error);

/*
 * For a removal that may have to be taken back: renames the file to VMID.yaml.removed, renames it
 * back, or deletes it for good, also one that a run that was cut short has left. A missing file is
 * no failure.
 */
int enrolment_file_set_aside(const struct config *config, uint32_t vmid, bool *ret_removed,
                             struct error *error);
int enrolment_file_put_back(const struct config *config, uint32_t vmid, struct error *error);
int enrolment_file_drop(const struct config *config, uint32_t vmid, struct error *error);

/* --- the guest's configuration --- */

/* What was changed in a guest's configuration, so that it can be taken back. */
struct config_undo {
    enum guest_kind kind;
    uint32_t vmid;
    struct buffer before; /* the file's text */
    struct buffer edited; /* the text that was written; the same as before if a command did all */
    struct line_changes changes;
};
void config_undo_free(struct config_undo *undo);

/* Takes back what enrolment_change_config did, and keeps what others have changed since. */
int enrolment_undo_config(const struct config *config, const struct config_undo *undo,
                          struct error *error);

/*
 * Checks, without changing anything, that the guest's configuration can be changed as desired:
 * nobody holds Proxmox's lock, and the guest is not locked (backup, migration, ...). *ret, which
 * the caller frees with guest_config_free, is what the configuration would be.
 */
int enrolment_try_config(const struct config *config, enum guest_kind kind,
                         struct guest_lines_desired desired, struct guest_config *ret,
                         struct error *error);

/*
 * Changes the guest's configuration as desired and adds a step for each changed line. lxc.* lines
 * are edited in the file under Proxmox's lock, as no command sets them; all others are set by one
 * call of pct or qm on a Proxmox host, and edited on a scratch host. On failure what was changed is
 * taken back. The caller frees *ret_undo with config_undo_free.
 */
int enrolment_change_config(const struct config *config, enum guest_kind kind,
                            struct guest_lines_desired desired, struct steps *steps,
                            struct config_undo *ret_undo, struct error *error);

#endif
