/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Proxmox makes of a guest's configuration file (/etc/pve/lxc/VMID.conf,
 * /etc/pve/qemu-server/VMID.conf): the live section only, with Proxmox's own grammar. Contract:
 * pve-container's PVE::LXC::Config::parse_pct_config and PVE::JSONSchema::parse_property_string;
 * for QEMU guests the NICs, the disks and the name.
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
    char *name;              /* hostname (LXC) or name (QEMU); "" if none */
    char *hookscript;        /* NULL if none */
    int unprivileged;        /* 1, 0, or -1 where the file does not say */
    char *unprivileged_text; /* what the file says where that is no boolean: Proxmox takes it for 1;
                                else NULL */
    char *lock;              /* NULL if none */
    bool template;
    uint32_t root_uid; /* the host's ids of the guest's root; 0 for QEMU guests */
    uint32_t root_gid;
    bool root_uid_mapped; /* taken from an lxc.idmap line */
    bool root_gid_mapped;
    struct volume *volumes; /* rootfs first, then by number */
    size_t volume_count;
    struct nic *nics; /* by number */
    size_t nic_count;
    struct property *raw; /* the lxc.* lines in order */
    size_t raw_count;
    char **warnings; /* one line each, for what Proxmox skips with a warning too */
    size_t warning_count;
};

/*
 * Reads the length bytes of text. What Proxmox skips is skipped, with a warning in ret->warnings.
 * Fails with ERROR_INVALID only for what is no guest configuration at all (a NUL byte, over 1 MiB).
 * The result is the caller's to free with guest_config_free.
 */
int guest_config_parse(enum guest_kind kind, const char *text, size_t length,
                       struct guest_config *ret, struct error *error);

void guest_config_free(struct guest_config *config);

/*
 * The host's ids that the guest's root has on the file system behind a mount point with this idmap=
 * (NULL: none): what the owner of a file there must be for the guest to see root:root. Contract:
 * pve-container >= 6.1.6.
 */
void guest_config_disk_ids(const struct guest_config *config, const char *idmap, uint32_t *ret_uid,
                           uint32_t *ret_gid);

/* The volume with this key, NULL if there is none. */
const struct volume *guest_config_volume(const struct guest_config *config, const char *key);

/* The guest's configuration in JSON: the keys and types that Proxmox's own parser gives. A new
 * reference, the caller's to json_decref. */
struct json_t *guest_config_to_json(const struct guest_config *config);

/* Which ids of the host the guest's ids are, by its lxc.idmap lines. */

enum idmap_type { IDMAP_UID = 'u', IDMAP_GID = 'g' };

/* Whether Proxmox can read every lxc.idmap line; if not, it doesn't start the guest. */
bool guest_config_idmap_is_good(const struct guest_config *config);

/*
 * The host's id of the guest's root as it stands in the lxc.idmap lines, its length in *ret_length;
 * NULL if they do not map root.
 */
const char *guest_config_root_id_text(const struct guest_config *config, enum idmap_type type,
                                      size_t *ret_length);

#endif
