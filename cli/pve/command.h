/* SPDX-License-Identifier: Apache-2.0 */
/* Runs programs, above all Proxmox's own command-line tools. */
#ifndef FELHOM_PVE_COMMAND_H
#define FELHOM_PVE_COMMAND_H

#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

#define PVE_COMMAND_API     "/usr/bin/pvesh"
#define PVE_COMMAND_STORAGE "/usr/sbin/pvesm"

/* The path of pct or qm. */
const char *pve_command_of(enum guest_kind kind);

/* What stops a command that has not ended by itself. */
struct pve_limits {
    int64_t deadline_us; /* by clock_steady_us; 0: none */
    int interrupt_fd;    /* the command is stopped once this can be read; -1: none */
};
#define PVE_NO_LIMITS ((struct pve_limits){0, -1})

/* A program by its absolute path (argv[0]; argv ends with NULL), and how to run it. */
struct pve_command {
    const char *const *argv;
    struct buffer *output; /* standard output is added to it, some 4 MiB at most; NULL: dropped */
    struct pve_limits limits;
};

/*
 * Runs the program without a shell, in a clean environment, with empty standard input and in a
 * process group of its own (Ctrl-C in the terminal does not reach it), and waits for it. Unless it
 * exits with 0, fails with ERROR_SYSTEM and a message that quotes what the program wrote to
 * standard error. A command that a limit stops gets SIGTERM and time to clean up after itself, then
 * SIGKILL, and fails with ERROR_BUSY.
 */
int pve_command_run_as(const struct pve_command *command, struct error *error);

/* Like pve_command_run_as, without output and without limits. */
int pve_command_run(const char *const *argv, struct error *error);

/* Like pve_command_run_as, without limits; standard output is added to out. */
int pve_command_capture(const char *const *argv, struct buffer *out, struct error *error);

#endif
