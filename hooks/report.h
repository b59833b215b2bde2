/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reaction has to say. It lies in memory shared with the supervisor, which prints it once
 * the reaction has ended: so the reaction itself holds no descriptor of Proxmox's, and its words
 * survive its death.
 */
#ifndef FELHOM_REPORT_H
#define FELHOM_REPORT_H

#include <stdbool.h>

#include "schema/base/error.h"

#define REPORT_PROBLEMS_MAX 4

enum report_outcome {
    REPORT_UNFINISHED = 0, /* the reaction has not come to its end */
    REPORT_DONE,
    REPORT_FAILED,  /* problems[0] says why; the operator's policy decides */
    REPORT_BLOCKED, /* problems[0] says why; the guest must not start, whatever the policy */
};

struct report {
    enum report_outcome outcome;
    bool chained;     /* another's hookscript is to be called */
    char chain[1024]; /* its path; "" if that was not found: a problem says why */
    char line[256];   /* what was done, for the task log */
    int problem_count;
    char problems[REPORT_PROBLEMS_MAX][512];
};

/* A report in shared memory, kept to the end of the process; NULL when memory is out. */
struct report *report_new(void);

/* Says what was done. */
void report_line(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds something that the operator should know; those that do not fit are dropped. */
void report_problem(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The reaction has failed. */
void report_failure(struct report *report, const struct error *error);

#endif
