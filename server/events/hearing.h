/* SPDX-License-Identifier: Apache-2.0 */
/* Hears the nudges, passes them on to the workers that leave the host, and to the
 * main thread where there is another certificate, and minds that a flood of
 * them is no more trouble than a few. Times by clock_steady_us. */
#ifndef FELHOM_HEARING_H
#define FELHOM_HEARING_H

#include <stdbool.h>
#include <stdint.h>

#include "server/identity_mark.h"

struct agent;

#define HEARING_NEVER INT64_MAX

struct hearing {
    struct agent *agent;
    int epoll_fd;
    int nudge_fd;    /* what epoll tells of by the hearing's own address; -1: nobody can nudge us */
    int64_t hear_us; /* when to listen again; HEARING_NEVER: we do */
    int64_t
        wake_us; /* when to wake the workers; HEARING_NEVER: there is nothing to wake them for */
    int64_t woke_us; /* when they were */
    struct identity_mark identity;
};

/* Listens if it can; if not, the log says so. Ends with hearing_end. */
void hearing_begin(struct hearing *hearing, struct agent *agent, int epoll_fd);
void hearing_end(struct hearing *hearing);

/* To be called when epoll has told of it (nudged), and when hearing_next_us has come. */
void hearing_heed(struct hearing *hearing, bool nudged, int64_t now_us);
int64_t hearing_next_us(const struct hearing *hearing);

#endif
