/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of a guest's configuration (KEY: VALUE): which there are, what they may hold, what
 * was set, and the volumes and network interfaces that some of them describe.
 */
#ifndef FELHOM_GUEST_SETTING_H
#define FELHOM_GUEST_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/address.h"
#include "schema/base/error.h"
#include "schema/pve/guest_line.h"
#include "schema/pve/guest_property.h"

enum guest_setting_type { SETTING_TEXT, SETTING_BOOLEAN, SETTING_INTEGER, SETTING_NUMBER };

struct guest_setting_rule {
    const char *name;
    unsigned family; /* 0: the name is the key; else the keys are NAME0 ... NAME(family - 1) */
    enum guest_setting_type type;
    bool (*accepts)(const char *value);   /* of a text; NULL: anything */
    const struct property_schema *schema; /* of a property string; NULL: it is none */
    const char *stands_for;               /* the key that it is kept under, NULL: its own */
};

/* The rule for a key, NULL if Proxmox has no such setting (for QEMU guests: none that is read
 * here). */
const struct guest_setting_rule *guest_setting_find(enum guest_kind kind, const char *key);

/*
 * Checks a value against its rule. *ret becomes the value as Proxmox keeps it, "0" or "1" for
 * booleans; it is part of value or constant.
 */
int guest_setting_check(const struct guest_setting_rule *rule, const char *value, const char **ret,
                        struct error *error);

/* Settings as they were read. Keys and values belong to somebody else and outlive this. */
struct guest_settings {
    struct guest_setting {
        const char *key;
        const char *value;
        size_t order;
    } * items;
    size_t count;
    size_t capacity;
};

void guest_settings_add(struct guest_settings *settings, const char *key, const char *value);

/* To be called after the last guest_settings_add: sorts by key and lets the last of equal keys win.
 */
void guest_settings_finish(struct guest_settings *settings);

/* A setting's value, NULL if it is not set. Only after guest_settings_finish. */
const char *guest_settings_get(const struct guest_settings *settings, const char *key);

void guest_settings_free(struct guest_settings *settings);
#define cleanup_settings cleanup(guest_settings_free)

enum volume_kind {
    VOLUME_STORAGE, /* STORAGE:VOLUME, managed by Proxmox */
    VOLUME_BIND,    /* a directory of the host */
    VOLUME_DEVICE,  /* a device of the host, /dev/... */
};

/* One rootfs or mpN of a container, one disk of a QEMU guest. */
struct volume {
    char *key; /* "rootfs", "mp0", "scsi0", ... */
    enum volume_kind kind;
    char *source;      /* STORAGE:VOLUME, directory or device */
    char *storage;     /* what stands before the colon; "" unless kind is VOLUME_STORAGE */
    char *mount_point; /* "/" for rootfs; "" for a QEMU disk */
    bool read_only;
    bool backup; /* whether vzdump includes it: rootfs always, mpN only with backup=1, never a bind
                    or device */
    int64_t size_bytes;          /* -1 where the configuration does not say */
    char *idmap;                 /* of the mount point, NULL if none */
    struct property *properties; /* all of them, in Proxmox's names */
    size_t property_count;
};

struct nic {
    char *key; /* "net0" ... */
    bool has_hwaddr;
    struct hwaddr hwaddr;
    char *bridge; /* "" if none */
    char *ip;     /* "A.B.C.D/N", "dhcp", "manual" or "" */
    struct property *properties;
    size_t property_count;
};

/* Fills *ret from a rootfs or mpN; takes the properties over, *list is empty afterwards. */
void volume_from_lxc(const char *key, struct property_list *list, struct volume *ret);

/* The same for a disk of a QEMU guest. */
void volume_from_qemu(const char *key, struct property_list *list, struct volume *ret);

void volume_free(struct volume *volume);

/* Whether a drive's properties name a disk of the guest's own: no CD, no empty drive. */
bool drive_is_disk(const struct property_list *list);

extern const struct property_schema lxc_nic_schema;
extern const struct property_schema qemu_nic_schema;

/* Fills *ret from a netN; takes the properties over, *list is empty afterwards. */
void nic_from_properties(const char *key, struct property_list *list, struct nic *ret);

void nic_free(struct nic *nic);

#endif
