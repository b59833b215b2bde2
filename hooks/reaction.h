/* SPDX-License-Identifier: Apache-2.0 */
/* A reaction to one phase of one guest's life, and what it works with. */
#ifndef FELHOM_REACTION_H
#define FELHOM_REACTION_H

#include <stdint.h>

#include "hooks/report.h"
#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "store/db/store.h"

struct reaction {
    const struct config *config; /* borrowed */
    uint32_t vmid;
    const char *phase;
    const struct error *obstacle; /* why it cannot be begun; NULL: nothing is in the way */
    int64_t started_us;           /* clock_steady_us() when the program began */
    struct report *report;
    struct store *store;     /* NULL until reaction_open_store */
    struct buffer enrolment; /* the guest's document, by reaction_read_enrolment */
};

/* Opens the store unless it is open; waits for its lock until shortly before the deadline. */
int reaction_open_store(struct reaction *reaction, struct error *error);

/* Reads the guest's enrolment unless it was read; nothing where there is none. */
int reaction_read_enrolment(struct reaction *reaction, struct error *error);

/* Closes and frees what a reaction has opened and read. */
void reaction_end(struct reaction *reaction);

/* Adds an event about this phase within the open transaction. outcome: "ok", "warning" or "error".
 */
int reaction_event(struct reaction *reaction, const char *kind, const char *outcome,
                   const char *detail, struct error *error);

/* Adds the event of the phase itself: "warning" with the first problem reported so far, else "ok".
 */
int reaction_phase_event(struct reaction *reaction, struct error *error);

/* Milliseconds since the program began. */
double reaction_elapsed_ms(const struct reaction *reaction);

/* The reactions. Each is idempotent and right from any earlier state: phases are not paired. */
int react_pre_start(struct reaction *reaction, struct error *error);
int react_post_start(struct reaction *reaction, struct error *error);
int react_pre_stop(struct reaction *reaction, struct error *error);
int react_post_stop(struct reaction *reaction, struct error *error);

#endif
