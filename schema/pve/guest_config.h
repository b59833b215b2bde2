/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a guest's configuration file (/etc/pve/lxc/VMID.conf or /etc/pve/qemu-server/VMID.conf) as
 * Proxmox itself would read it: only the section for the running guest, not those of snapshots; the
 * pending changes are kept apart. Lines that Proxmox skips with a warning are skipped with a
 * warning here. Of a virtual machine only the name, NICs, disks and a few settings are read.
 * Contract: pve-container's PVE::LXC::Config::parse_pct_config and
 * PVE::JSONSchema::parse_property_string. guest_config_json.c writes the result as JSON, for
 * `felhomctl parse`.
 */
#ifndef FELHOM_GUEST_CONFIG_H
#define FELHOM_GUEST_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/pve/guest_line.h"
#include "schema/pve/guest_setting.h"

struct json_t;

struct guest_config {
    enum guest_kind kind;
    char *name;              /* the hostname (LXC) or name (QEMU) setting; "" if not set */
    char *hookscript;        /* NULL if not set */
    int unprivileged;        /* 1, 0, or -1 where the file does not say */
    char *unprivileged_text; /* the setting's text if it is no boolean, which Proxmox takes as 1;
                                else NULL */
    char *lock;              /* NULL if not set */
    bool template;
    uint32_t root_uid; /* with root_gid: the host's ids of the guest's root; 0 for QEMU */
    uint32_t root_gid;
    bool root_uid_mapped; /* an lxc.idmap line maps it */
    bool root_gid_mapped;
    struct volume *volumes; /* rootfs first, then sorted by number */
    size_t volume_count;
    struct nic *nics; /* netN, then those of lxc.net.N.* lines, each sorted by number */
    size_t nic_count;
    struct property *raw; /* the lxc.* lines, in the order of the file */
    size_t *raw_lines;    /* the number of each of these lines, from 1 */
    size_t raw_count;
    struct property *pending; /* the keys that the next start changes, or removes: "" */
    size_t pending_count;
    char **warnings; /* one line each, for everything that Proxmox skips with a warning */
    size_t warning_count;
};

/*
 * Reads length bytes. Lines that Proxmox skips are skipped, with a warning in ret->warnings. Fails
 * with ERROR_INVALID only for text that cannot be a guest's configuration (NUL bytes, more than 1
 * MiB). The caller frees *ret with guest_config_free.
 */
int guest_config_parse(enum guest_kind kind, const char *text, size_t length,
                       struct guest_config *ret, struct error *error);

void guest_config_free(struct guest_config *config);

/*
 * Returns the host's ids that the guest's root has in the file system of a mount point with this
 * idmap= property (NULL: none): a file there must belong to these ids for the guest to see it as
 * owned by root. Contract: pve-container 6.1.6 or newer.
 */
void guest_config_disk_ids(const struct guest_config *config, const char *idmap, uint32_t *ret_uid,
                           uint32_t *ret_gid);

/*
 * Returns what the guest's next start makes of a key: "" if it removes the key (as Proxmox does
 * with a mount point that was deleted while the guest ran), a value if it sets one; NULL if it
 * leaves the key as it is.
 */
const char *guest_config_pending(const struct guest_config *config, const char *key);

/* Returns the volume with this key ("rootfs", "mp0"); NULL if there is none. config owns it. */
const struct volume *guest_config_volume(const struct guest_config *config, const char *key);

/* Returns the configuration as JSON with the keys and types that Proxmox's own parser produces. The
 * caller releases it with json_decref. */
struct json_t *guest_config_to_json(const struct guest_config *config);

/* --- lxc.idmap lines: which ids of the host the guest's ids are --- */

enum idmap_type { IDMAP_UID = 'u', IDMAP_GID = 'g' };

/* Returns true if Proxmox can parse every lxc.idmap line. Otherwise Proxmox refuses to start the
 * guest. */
bool guest_config_idmap_is_good(const struct guest_config *config);

/*
 * Returns the host's id of the guest's root as text in the lxc.idmap lines; *ret_length gets the
 * text's length. NULL if the lines do not map root.
 */
const char *guest_config_root_id_text(const struct guest_config *config, enum idmap_type type,
                                      size_t *ret_length);

#endif
