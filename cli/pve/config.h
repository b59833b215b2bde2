/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's configuration file, held under Proxmox's own lock while it is changed. */
#ifndef FELHOM_PVE_CONFIG_H
#define FELHOM_PVE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "schema/pve/guest_config.h"

#define PVE_CONFIG_WAIT_MS 10000 /* as long as Proxmox itself waits */

struct pve_config {
    int lock_fd;
    int dirfd;
    char name[32];
    struct buffer text; /* the caller's to change before pve_config_write */
};

/* Whether this is a Proxmox host, and not a scratch one whose files stand in for its. */
bool pve_is_real(const struct config *config);

/* ERROR_CONFLICT where Proxmox has the guest locked (backup, migration, ...). */
int pve_config_check_unlocked(uint32_t vmid, const struct guest_config *guest, struct error *error);

/*
 * Locks and reads the guest's file. ERROR_BUSY where somebody holds the lock for wait_ms;
 * ERROR_CONFLICT where the guest itself is locked (backup, migration, ...); ERROR_MISSING where
 * there is no such guest on this node. The caller closes it with pve_config_close.
 */
int pve_config_open(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error);

/* The same, whether the guest itself is locked or not. */
int pve_config_hold(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error);

/* Replaces the file by text. */
int pve_config_write(const struct pve_config *file, struct error *error);

/* Gives the lock back. */
void pve_config_close(struct pve_config *file);

#define PVE_CONFIG_CLOSED  ((struct pve_config){.lock_fd = -1, .dirfd = -1})
#define cleanup_pve_config cleanup(pve_config_close)

/* Writing below PATHS.pve, where Proxmox's cluster file system sets owners and modes itself and
 * refuses every other. */

/*
 * Replaces NAME in an open directory by way of NAME.tmp.PID, in place of one that a dead process
 * left. Where the file system allows it the file gets this mode and, if there was such a file
 * before, its owner. Other writers are the caller's to lock out.
 */
int pve_file_replace(int dirfd, const char *name, mode_t mode, const struct buffer *content,
                     struct error *error);

#endif
