/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's own command-line tools. */
#ifndef FELHOM_PVE_COMMAND_H
#define FELHOM_PVE_COMMAND_H

#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"

#define PVE_COMMAND_LXC     "/usr/sbin/pct"
#define PVE_COMMAND_QEMU    "/usr/sbin/qm"
#define PVE_COMMAND_API     "/usr/bin/pvesh"
#define PVE_COMMAND_STORAGE "/usr/sbin/pvesm"

/* What ends a command before its own end. */
struct pve_limits {
    int64_t deadline_us; /* by clock_steady_us; 0: it may take as long as it likes */
    int interrupt_fd;    /* it is stopped when this can be read; -1: it is not */
};
#define PVE_NO_LIMITS ((struct pve_limits){0, -1})

/* A program by its absolute path (argv[0]; argv ends with NULL), and how it is run. */
struct pve_command {
    const char *const *argv;
    struct buffer *output; /* gets what it writes to standard output; NULL: nobody does */
    struct pve_limits limits;
};

/*
 * Runs the program without a shell, in a clean environment, with empty input and in a process
 * group of its own (a terminal's Ctrl-C is not its business), and waits for it. Fails unless it
 * ends with 0; the message then carries what it wrote to standard error. One that is to be stopped
 * gets SIGTERM, and time to clean up after itself: ERROR_BUSY.
 */
int pve_command_run_as(const struct pve_command *command, struct error *error);

/* The same without output and without limits. */
int pve_command_run(const char *const *argv, struct error *error);

/* The same, and adds what it wrote to standard output to out. */
int pve_command_capture(const char *const *argv, struct buffer *out, struct error *error);

#endif
