/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb that changes something did, step by step. */
#ifndef FELHOM_STEPS_H
#define FELHOM_STEPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/base/verb.h"

/* STEP_UNDONE: was done, and taken back because a later step failed. */
enum step_outcome { STEP_DONE, STEP_ALREADY, STEP_WARNING, STEP_UNDONE };

struct steps {
    json_t *list;
    bool changed;        /* whether any step was done */
    struct vmids failed; /* the guests of steps_add_failure */
};

/* Returns an empty list, which the caller frees with steps_free. */
struct steps steps_new(void);
void steps_free(struct steps *steps);

/* Adds a step: its subject, and a text that says what happened. */
void steps_add(struct steps *steps, enum step_outcome outcome, const char *about,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Adds the step that so many of a guest's tokens were revoked. */
void steps_add_revoked(struct steps *steps, int count);

/* Turns the steps that were done into ones that were taken back. */
void steps_undo(struct steps *steps);

/* Adds a warning that something which a later step's failure had to take back is still there. */
void steps_add_not_undone(struct steps *steps, const char *about, const struct error *problem);

/* Adds a step whose subject is a guest's VMID. */
void steps_add_guest(struct steps *steps, enum step_outcome outcome, uint32_t vmid,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Adds a warning that says why the verb failed for a guest, and keeps the VMID for
 * steps_check_failures; the verb goes on with the others. */
void steps_add_failure(struct steps *steps, uint32_t vmid, const char *why);

/* Returns 0 if the list is empty, else -1 with ERROR_CONFLICT "WHAT: guests 100, 101". */
int steps_fail_guests(const struct vmids *failed, const char *what, struct error *error);

/* The same for the guests of steps_add_failure. */
int steps_check_failures(const struct steps *steps, const char *what, struct error *error);

/* Puts "changed" and "steps" into the object. */
void steps_report(const struct steps *steps, json_t *object);

/*
 * Prints the steps, a line each, and the "next" of rest if it has one; in the other formats, an
 * object of rest's members, "changed" and "steps". rest may be NULL. A verb that failed prints its
 * steps too, so that the operator sees how far it got.
 */
void steps_print(const struct steps *steps, const struct invocation *invocation, json_t *rest);

#endif
