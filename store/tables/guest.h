/* SPDX-License-Identifier: Apache-2.0 */
/* The guests that the agent serves, with their NICs and mounts as last read from their
 * configuration. */
#ifndef FELHOM_STORE_GUEST_H
#define FELHOM_STORE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/pve/guest_config.h"
#include "store/db/store.h"

enum guest_state { GUEST_STARTING, GUEST_RUNNING, GUEST_STOPPING, GUEST_STOPPED };

/* "starting", "running", "stopping" or "stopped". */
const char *guest_state_name(enum guest_state state);

struct guest {
    uint32_t vmid;
    enum guest_kind kind;
    char name[256];
    enum guest_state state;
    uint32_t root_uid;
    uint32_t root_gid;
    char mount_form[8]; /* "entry", "mp" or "" where the guest's configuration names no directory of
                           ours */
    int64_t generation; /* of its newest token; 0 before the first */
    int64_t changed_at_ms; /* when state last changed */
};

/* Inserts or updates by vmid; generation is left alone (the tokens own it). A guest that is new to
 * the store has no part in events of before. */
int guest_put(struct store *store, const struct guest *guest, struct error *error);

/* ERROR_MISSING where the agent does not know it. */
int guest_find(struct store *store, uint32_t vmid, struct guest *ret, struct error *error);

/* Another whenever anything is recorded of the guest's configuration: each start mints a token. */
struct guest_version {
    int64_t generation;
    int64_t changed_at_ms;
};

/* ERROR_MISSING where the agent does not know it. */
int guest_version(struct store *store, uint32_t vmid, struct guest_version *ret,
                  struct error *error);

/* Sets state and changed_at_ms; no such guest is ERROR_MISSING. */
int guest_set_state(struct store *store, uint32_t vmid, enum guest_state state, int64_t now_ms,
                    struct error *error);

/* Forgets a guest with its NICs, mounts and tokens. Its events stay, as do the names of its
 * registry tokens until those are deleted. No such guest is no error. */
int guest_remove(struct store *store, uint32_t vmid, struct error *error);

/*
 * Whether events up to now belong to the guest, and having them belong to it no more: for one that
 * has left this node, as another may come with its VMID. No such guest has none.
 */
int guest_has_past(struct store *store, uint32_t vmid, bool *ret, struct error *error);
int guest_forget_past(struct store *store, uint32_t vmid, struct error *error);

/* Calls visit for every guest in VMID order until it returns non-zero; returns that, or -1 on
 * failure. */
int guest_each(struct store *store, int (*visit)(const struct guest *guest, void *context),
               void *context, struct error *error);

/* The operator's enrolment document for a guest (YAML text), kept for the daemon, which may not
 * read the enrolment directory. */
int guest_set_enrolment(struct store *store, uint32_t vmid, const char *text, size_t length,
                        struct error *error);
/* Adds it to out; nothing where there is none. */
int guest_get_enrolment(struct store *store, uint32_t vmid, struct buffer *out,
                        struct error *error);

/* Replaces all of the guest's NIC rows by those of its configuration. */
int nic_replace_all(struct store *store, uint32_t vmid, const struct nic *nics, size_t count,
                    struct error *error);

/*
 * The guest that owns this hardware address, in *ret_vmid; 0 where none does. Where several do (a
 * restored copy keeps its MAC), prefer is returned if it is among them, else the lowest.
 */
int nic_find_guest(struct store *store, const struct hwaddr *hwaddr, uint32_t prefer,
                   uint32_t *ret_vmid, struct error *error);

/* A NIC as the guest's last start left it. Texts are valid during the visit. */
struct nic_row {
    const char *key;
    const char *hwaddr; /* "" if none */
    const char *bridge;
    const char *ip;
};

/* Visits the guest's NICs, by number, until visit returns non-zero; returns that, or -1 on failure.
 */
int nic_each(struct store *store, uint32_t vmid,
             int (*visit)(const struct nic_row *nic, void *context), void *context,
             struct error *error);

/* A mount as served to the guest. Texts owned by the list. */
struct mount {
    char *key;
    enum volume_kind kind;
    char *storage;
    char *source;
    char *mount_point;
    bool read_only;
    bool backup;
    int64_t size_bytes; /* -1: unknown */
};

struct mount_list {
    struct mount *items; /* rootfs first, then by number */
    size_t count;
};

/* Replaces all of the guest's mount rows by the volumes of its configuration. */
int mount_replace_all(struct store *store, uint32_t vmid, const struct volume *volumes,
                      size_t count, struct error *error);

/* All of the guest's mounts, the caller's to free with mount_list_free. */
int mount_list(struct store *store, uint32_t vmid, struct mount_list *ret, struct error *error);
void mount_list_free(struct mount_list *list);

#endif
