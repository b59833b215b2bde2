/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reaction to one phase of one guest's life: what it works with, and the report that it fills.
 *
 * The reaction runs in a child process (hooks/supervisor.h). The report lies in memory that the
 * child shares with its supervisor, which prints it once the child has ended: so the child holds
 * none of Proxmox's descriptors, and what it has reported survives its death.
 */
#ifndef FELHOM_REACTION_H
#define FELHOM_REACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "hooks/queue.h"
#include "schema/agent/config.h"
#include "schema/base/error.h"
#include "store/db/store.h"
#include "store/documents/issue.h"

#define REPORT_PROBLEMS_MAX 4

enum report_outcome {
    REPORT_UNFINISHED = 0, /* the reaction has not come to its end */
    REPORT_DONE,
    REPORT_FAILED,  /* problems[0] says why; hook.on_error decides whether the guest starts */
    REPORT_BLOCKED, /* problems[0] says why; the guest must not start, whatever hook.on_error is */
};

struct report {
    enum report_outcome outcome;
    struct queue_wait queue; /* how long the reaction has waited for its turn */
    bool chained;            /* another's hookscript is to be called */
    char chain[1024]; /* the path of that hookscript; "" if it was not found: a problem says why */
    char line[256];   /* what was done, for the task log */
    int problem_count;
    char problems[REPORT_PROBLEMS_MAX][512];
};

/* Returns an empty report in shared memory, kept to the end of the process; NULL when memory is
 * out. */
struct report *report_new(void);

/* Sets the line that says what was done. */
void report_line(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds a problem that the operator should know of; those beyond REPORT_PROBLEMS_MAX are dropped. */
void report_problem(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Notes that the reaction has failed: the error becomes the first problem, and its kind the
 * outcome. */
void report_failure(struct report *report, const struct error *error);

struct reaction {
    const struct config *config; /* borrowed */
    uint32_t vmid;
    const char *phase;
    int64_t started_us; /* clock_steady_us() when the program began */
    struct report *report;
    struct store *store;      /* NULL until reaction_open_store */
    struct queue_place place; /* taken from reaction_begin on */
};

/* Opens the store unless it is open; waits for its lock until shortly before the deadline. */
int reaction_open_store(struct reaction *reaction, struct error *error);

/* Waits for the reaction's turn in the queue of hooks, unless it has its place. Without a usable
 * queue it goes on at once, and a problem is reported. */
void reaction_take_turn(struct reaction *reaction);

/* Takes the reaction's turn and begins a transaction in the store, which must be open. */
int reaction_begin(struct reaction *reaction, struct transaction *ret, struct error *error);

/* Commits the transaction. The place in the queue is kept: other hooks wait for it. */
int reaction_commit(struct reaction *reaction, struct transaction *transaction,
                    struct error *error);

/* Lets the next hook take its turn. */
void reaction_yield(struct reaction *reaction);

/* Adds an event about this phase within the open transaction. outcome: "ok", "warning" or "error".
 */
int reaction_event(struct reaction *reaction, const char *kind, const char *outcome,
                   const char *detail, struct error *error);

/* Adds the event of the phase itself: "warning" with the first problem reported so far, else "ok".
 */
int reaction_phase_event(struct reaction *reaction, struct error *error);

/*
 * The steps of store/documents/issue.h for the reaction's guest, as pre-start and post-start take
 * them. issue: from reaction_issue, inspected; the caller holds the guest's lock. Older tokens are
 * revoked. Adds the event of the phase and sets the report's line.
 */
struct issue reaction_issue(const struct reaction *reaction);
int reaction_give_identity(struct reaction *reaction, struct issue *issue, enum guest_state state,
                           struct error *error);

/* Milliseconds since the program began. */
double reaction_elapsed_ms(const struct reaction *reaction);

/* The reactions. Each is idempotent and right from any earlier state: phases are not paired. */
int react_pre_start(struct reaction *reaction, struct error *error);
int react_post_start(struct reaction *reaction, struct error *error);
int react_pre_stop(struct reaction *reaction, struct error *error);
int react_post_stop(struct reaction *reaction, struct error *error);

/* A phase of a guest's life that Proxmox tells a hookscript of. Contract:
 * PVE::GuestHelpers::exec_hookscript. */
struct phase {
    const char *name;
    int (*react)(struct reaction *reaction, struct error *error);
    bool can_block;      /* a non-zero exit keeps the guest from starting */
    bool says_what_done; /* one line on standard output, for the task log */
    bool says_problems;  /* problems on standard error */
    bool asks_again;     /* after a failure, running guests without an identity are looked for */
};

/* Returns NULL for a phase that we do not react to: Proxmox adds phases. */
const struct phase *phase_find(const char *name);

#endif
