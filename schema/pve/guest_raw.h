/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of raw lines (lxc.KEY: VALUE) in a container's configuration. */
#ifndef FELHOM_GUEST_RAW_H
#define FELHOM_GUEST_RAW_H

enum raw_key_verdict {
    RAW_KEY_GOOD,
    RAW_KEY_OUTDATED,    /* good, but Proxmox warns */
    RAW_KEY_ENVIRONMENT, /* good, but kept apart from the raw lines */
    RAW_KEY_FORBIDDEN,   /* Proxmox makes it itself, or has a setting for it */
    RAW_KEY_UNKNOWN,
};

enum raw_key_verdict raw_key_judge(const char *key);

#endif
