/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's own command-line tools. */
#ifndef FELHOM_PVE_COMMAND_H
#define FELHOM_PVE_COMMAND_H

#include "schema/buffer.h"
#include "schema/error.h"

#define PVE_COMMAND_LXC  "/usr/sbin/pct"
#define PVE_COMMAND_QEMU "/usr/sbin/qm"

/*
 * Runs a program by its absolute path (argv[0]; argv ends with NULL) without a shell, in a clean
 * environment and with empty input, and waits for it. Fails unless it ends with 0; the message then
 * carries what it wrote to standard error.
 */
int pve_command_run(const char *const *argv, struct error *error);

/* The same, and adds what it wrote to standard output to out. */
int pve_command_capture(const char *const *argv, struct buffer *out, struct error *error);

#endif
