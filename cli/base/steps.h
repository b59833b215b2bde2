/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb that changes things has done, step by step. */
#ifndef FELHOM_STEPS_H
#define FELHOM_STEPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/base/verb.h"
#include "cli/base/vmids.h"

enum step_outcome { STEP_DONE, STEP_ALREADY, STEP_WARNING };

struct steps {
    json_t *list;
    bool changed;        /* whether any step was done */
    struct vmids failed; /* the guests of steps_add_failure */
};

/* An empty list, the caller's to free with steps_free. */
struct steps steps_new(void);
void steps_free(struct steps *steps);

/* Notes a step: what it was about, and how it went in words. */
void steps_add(struct steps *steps, enum step_outcome outcome, const char *about,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same about a guest. */
void steps_add_guest(struct steps *steps, enum step_outcome outcome, uint32_t vmid,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Notes as a warning why the verb failed for a guest, without keeping the verb from the others. */
void steps_add_failure(struct steps *steps, uint32_t vmid, const char *why);

/* 0 unless some guest failed; else -1 with WHAT and their VMIDs as the error. */
int steps_check_failures(const struct steps *steps, const char *what, struct error *error);

/* Puts "changed" and "steps" into the object. */
void steps_report(const struct steps *steps, json_t *object);

/*
 * Prints the steps line by line and, if rest has one, the text of its "next"; as JSON, they and
 * changed join the members of rest. rest may be NULL. A verb that failed prints its steps too, so
 * that the operator sees how far it came.
 */
void steps_print(const struct steps *steps, const struct invocation *invocation, json_t *rest);

#endif
