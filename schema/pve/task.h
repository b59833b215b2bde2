/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UPID: what Proxmox calls a task. UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER: with hexadecimal
 * numbers (libpve-common-perl, PVE::UPID).
 */
#ifndef FELHOM_UPID_H
#define FELHOM_UPID_H

#include <stdbool.h>
#include <stdint.h>

#define UPID_SIZE 256 /* with its NUL; longer ones are refused */

struct upid {
    char node[64];
    int64_t started_at; /* seconds since 1970 */
    char type[32];      /* vzdump, vzsnapshot, vzrollback, qmsnapshot, qmrollback, ... */
    char id[64];        /* the VMID for a guest's tasks */
    char user[128];     /* USER@REALM or USER@REALM!TOKENID */
};

/* False, with *ret untouched, for anything that is no UPID. */
bool upid_parse(const char *text, struct upid *ret);

#endif
