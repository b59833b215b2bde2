/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a check of felhomctl doctor is given, how it reports what it found, and all the checks.
 * doctor.c has the table that gives each its id and runs them. No check changes anything.
 */
#ifndef FELHOM_DOCTOR_H
#define FELHOM_DOCTOR_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/pve/guest_reach.h"
#include "cli/pve/guests.h"
#include "schema/agent/config.h"
#include "schema/base/vmid.h"
#include "schema/pve/guest_config.h"
#include "store/db/store.h"
#include "store/files/guest_mount.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

enum grade { GRADE_OK, GRADE_WARNING, GRADE_ERROR, GRADE_MAX };

#define DOCTOR_INIT         "felhomctl init"
#define DOCTOR_COMMAND_SIZE 32 /* "felhomctl enroll VMID" */

/* The guest that is checked. */
struct doctor_guest {
    uint32_t vmid;
    bool here;                  /* its configuration is on this node and can be read */
    struct error problem;       /* why not; set only unless here */
    struct guest_config config; /* all zero unless here */
    bool running;
    bool known;               /* the store has a row of it */
    bool foreign;             /* a container that mounts another guest's directory */
    struct token_life ended;  /* its newest token, if that has been ended on purpose; else zero */
    struct guest_mount mount; /* how a container mounts its own directory */
    enum visibility sight;    /* whether a running container sees its directory */
    /* The commands that most remedies are. What is written for a guest that does not see its
     * directory does not reach it: then rotate is the reboot. */
    char enroll[DOCTOR_COMMAND_SIZE];
    char rotate[DOCTOR_COMMAND_SIZE];
    char reboot[DOCTOR_COMMAND_SIZE];
};

struct doctor {
    struct config config;
    const char *snippets;             /* where Proxmox looks for hookscripts; NULL: not checked */
    struct store *store;              /* opened read-only by doctor_check_store; NULL: not usable */
    const struct doctor_guest *guest; /* NULL while the host is checked */
    const char *check;                /* the id of the running check */
    struct node_nics nics;            /* of all guests here; only while guests are checked */
    struct node_reach reach;          /* likewise */
    bool probes;                      /* connect to felhomd from inside each guest */
    bool reached;                     /* so done, the guest has reached felhomd */
    json_t *findings;                 /* array of {id, vmid, result, reason, remedy} */
    size_t counts[GRADE_MAX];         /* findings of each grade */
    struct vmids lost;                /* running guests whose remedy is a new token */
    struct vmids unpinned;            /* running guests that lack a certificate they need */
};

/* Reports a finding of the running check: the reason as a text, and the command that fixes it or
 * NULL. A check that reports nothing found nothing to check, or left the fault to the check that is
 * about it. */
void doctor_note(struct doctor *doctor, enum grade grade, const char *remedy, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

#define doctor_ok(doctor, ...)           doctor_note(doctor, GRADE_OK, NULL, __VA_ARGS__)
#define doctor_warn(doctor, remedy, ...) doctor_note(doctor, GRADE_WARNING, remedy, __VA_ARGS__)
#define doctor_fail(doctor, remedy, ...) doctor_note(doctor, GRADE_ERROR, remedy, __VA_ARGS__)

/* state.c: the agent's state directory, and the clock. */
void doctor_check_state(struct doctor *doctor);
void doctor_check_store(struct doctor *doctor);
void doctor_check_store_privacy(struct doctor *doctor);
void doctor_check_store_log(struct doctor *doctor);
void doctor_check_store_record(struct doctor *doctor);
void doctor_check_identity(struct doctor *doctor);
void doctor_check_identity_privacy(struct doctor *doctor);
void doctor_check_host_record(struct doctor *doctor);
void doctor_check_clock(struct doctor *doctor);

/* host.c: what the host provides, and what its guests mount. */
void doctor_check_endpoint(struct doctor *doctor);
void doctor_check_directories(struct doctor *doctor);
void doctor_check_cluster(struct doctor *doctor);
void doctor_check_snippet(struct doctor *doctor);
void doctor_check_foreign(struct doctor *doctor);
void doctor_check_former(struct doctor *doctor);

/* network.c: how guests are told apart, and how they get through. */
void doctor_check_neighbours(struct doctor *doctor);
void doctor_check_rp_filter(struct doctor *doctor);
void doctor_check_ports(struct doctor *doctor);
void doctor_check_guest_port(struct doctor *doctor);

/* reach.c: whether the guest reaches felhomd, by what the host knows and by trying. */
void doctor_check_guest_reach(struct doctor *doctor);
void doctor_check_guest_probe(struct doctor *doctor);

/* daemon.c: felhomd, Proxmox's firewall, felhomd's files and its API token. */
void doctor_check_unit(struct doctor *doctor);
void doctor_check_answer(struct doctor *doctor);
void doctor_check_firewall(struct doctor *doctor);
void doctor_check_files(struct doctor *doctor);
void doctor_check_kept(struct doctor *doctor);
void doctor_check_pve_token(struct doctor *doctor);
void doctor_check_pve_privileges(struct doctor *doctor);
void doctor_check_pve_secret(struct doctor *doctor);

/* guest.c: one guest; doctor->guest is set. */
void doctor_check_guest(struct doctor *doctor);
void doctor_check_guest_enrolment(struct doctor *doctor);
void doctor_check_guest_hook(struct doctor *doctor);
void doctor_check_guest_mount(struct doctor *doctor);
void doctor_check_guest_nic(struct doctor *doctor);
void doctor_check_guest_directory(struct doctor *doctor);
void doctor_check_guest_export(struct doctor *doctor);
void doctor_check_guest_token(struct doctor *doctor);
void doctor_check_guest_pin(struct doctor *doctor);
void doctor_check_guest_sight(struct doctor *doctor);

#endif
