/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests that the agent serves: their state, their NICs and mounts as last read from their
 * configuration, and their enrolments. A guest's start records everything here; felhomd answers
 * requests from here, because it may not read the guest's configuration or the enrolment files.
 */
#ifndef FELHOM_STORE_GUEST_H
#define FELHOM_STORE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/vmid.h"
#include "schema/pve/guest_config.h"
#include "store/db/store.h"

enum guest_state { GUEST_STARTING, GUEST_RUNNING, GUEST_STOPPING, GUEST_STOPPED };

/* "starting", "running", "stopping" and "stopped", ended by NULL. */
extern const char *const guest_state_names[];

struct guest {
    uint32_t vmid;
    enum guest_kind kind;
    char name[256];
    enum guest_state state;
    uint32_t root_uid;
    uint32_t root_gid;
    char mount_form[8];    /* "entry" or "mp"; "" if the guest's directory is not mounted */
    int64_t generation;    /* of the guest's newest token; 0: no token yet */
    int64_t changed_at_ms; /* time of the last change of state */
};

/* Inserts or updates a guest. generation is not written; token_mint alone changes it. A guest that
 * is new to the store does not own events from before this moment. */
int guest_put(struct store *store, const struct guest *guest, struct error *error);

/* The same, and records the operator's enrolment of the guest (YAML, empty if there is none) for
 * felhomd, which may not read the enrolment directory. enrolment NULL: it stays as it is. */
int guest_put_enrolled(struct store *store, const struct guest *guest,
                       const struct buffer *enrolment, struct error *error);

/* Finds a guest. ERROR_MISSING if the store does not know it. */
int guest_find(struct store *store, uint32_t vmid, struct guest *ret, struct error *error);

/* Changes whenever the guest's configuration is recorded anew, because each start mints a token. */
struct guest_version {
    int64_t generation;
    int64_t changed_at_ms;
};

/* Reads a guest's version. ERROR_MISSING if the store does not know the guest. */
int guest_version(struct store *store, uint32_t vmid, struct guest_version *ret,
                  struct error *error);

/* Sets state and changed_at_ms. ERROR_MISSING if the store does not know the guest. */
int guest_set_state(struct store *store, uint32_t vmid, enum guest_state state, int64_t now_ms,
                    struct error *error);

/* Forgets a guest with its NICs, mounts and tokens. Its events remain, and so do the names of its
 * registry tokens until those are deleted. An unknown guest is no failure. */
int guest_remove(struct store *store, uint32_t vmid, struct error *error);

/*
 * guest_has_past: whether the guest has events so far. guest_forget_past: from now on, these events
 * do not belong to the guest, and its recorded enrolment is gone. Called for a guest that has left
 * this node, because another guest may get its VMID. An unknown guest has no events.
 */
int guest_has_past(struct store *store, uint32_t vmid, bool *ret, struct error *error);
int guest_forget_past(struct store *store, uint32_t vmid, struct error *error);

/* Visits all guests in order of VMID until visit returns non-zero; returns that value, or -1 on
 * failure. */
int guest_each(struct store *store, int (*visit)(const struct guest *guest, void *context),
               void *context, struct error *error);

/* Adds the VMIDs of all guests to *vmids, in ascending order. */
int guest_list(struct store *store, struct vmids *vmids, struct error *error);

/* Appends the recorded enrolment to out; nothing if there is none. */
int guest_get_enrolment(struct store *store, uint32_t vmid, struct buffer *out,
                        struct error *error);

/* Replaces all NICs of the guest by those of its configuration. */
int nic_replace_all(struct store *store, uint32_t vmid, const struct nic *nics, size_t count,
                    struct error *error);

/* The same; *ret_shared is the first of the NICs whose hardware address another guest has, too, by
 * the store; NULL if there is none. */
int nic_replace_all_and_look(struct store *store, uint32_t vmid, const struct nic *nics,
                             size_t count, const struct nic **ret_shared, struct error *error);

/*
 * Finds the guest that owns this hardware address; *ret_vmid is 0 if none does. If several do (a
 * restored copy keeps its MAC), returns prefer if it is among them, else the lowest VMID.
 */
int nic_find_guest(struct store *store, const struct hwaddr *hwaddr, uint32_t prefer,
                   uint32_t *ret_vmid, struct error *error);

/* The guests that have a NIC with the same hardware address; more than one if a restored copy kept
 * its own. */
#define HWADDR_OWNERS_MAX 4
struct hwaddr_owners {
    size_t count; /* at most HWADDR_OWNERS_MAX; there may be more guests */
    uint32_t vmids[HWADDR_OWNERS_MAX];
};
int nic_find_owners(struct store *store, const struct hwaddr *hwaddr, struct hwaddr_owners *ret,
                    struct error *error);

/* A NIC as it was at the guest's last start. Texts are valid during the visit. */
struct nic_row {
    const char *key;
    const char *hwaddr; /* "" if not set */
    const char *bridge;
    const char *ip;
};

/* Visits the guest's NICs, sorted by number, until visit returns non-zero; returns that value, or
 * -1 on failure. */
int nic_each(struct store *store, uint32_t vmid,
             int (*visit)(const struct nic_row *nic, void *context), void *context,
             struct error *error);

/* A mount as it was at the guest's last start. The list owns the texts. */
struct mount {
    char *key;
    enum volume_kind kind;
    char *storage;
    char *source;
    char *mount_point;
    bool read_only;
    bool backup;
    int64_t size_bytes; /* -1: not known */
};

struct mount_list {
    struct mount *items; /* rootfs first, then sorted by number */
    size_t count;
};

/* Replaces all mounts of the guest by the volumes of its configuration. */
int mount_replace_all(struct store *store, uint32_t vmid, const struct volume *volumes,
                      size_t count, struct error *error);

/* Reads all mounts of the guest. The caller frees *ret with mount_list_free. */
int mount_list(struct store *store, uint32_t vmid, struct mount_list *ret, struct error *error);
void mount_list_free(struct mount_list *list);

#endif
