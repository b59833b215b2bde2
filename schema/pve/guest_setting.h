/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings (KEY: VALUE) of a guest's configuration: a table of the settings that Proxmox knows
 * with the format of each, a sorted collection for the settings of one guest, and the volumes and
 * NICs that the rootfs, mpN, netN and disk settings describe.
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
    unsigned family; /* 0: the key is name; else name followed by 0 to family - 1 */
    enum guest_setting_type type;
    bool (*accepts)(const char *value);   /* format of a text; NULL: any text */
    const struct property_schema *schema; /* for a property string; NULL: the setting is not one */
    const char *stands_for; /* the key under which the setting is stored; NULL: its own */
};

/* Returns the rule for a key; NULL if Proxmox has no such setting. For QEMU guests only the
 * settings that the agent reads have rules. */
const struct guest_setting_rule *guest_setting_find(enum guest_kind kind, const char *key);

/*
 * Checks a value against its rule. *ret becomes the value as Proxmox stores it ("0" or "1" for
 * booleans); it points into value or to a constant. ERROR_INVALID if the value is bad.
 */
int guest_setting_check(const struct guest_setting_rule *rule, const char *value, const char **ret,
                        struct error *error);

/* The settings of one guest. Keys and values are borrowed and must outlive the collection. */
struct guest_settings {
    struct guest_setting {
        const char *key;
        const char *value;
        size_t order;
    } * items;
    size_t count;
    size_t capacity;
};

/* Adds a setting in the order of the file. The same key may be added again. */
void guest_settings_add(struct guest_settings *settings, const char *key, const char *value);

/* Sorts the settings by key and keeps the last of several with the same key, as Proxmox does. Call
 * it once, after the last guest_settings_add. */
void guest_settings_finish(struct guest_settings *settings);

/* Returns a setting's value; NULL if it is not set. Valid only after guest_settings_finish. */
const char *guest_settings_get(const struct guest_settings *settings, const char *key);

void guest_settings_free(struct guest_settings *settings);
#define cleanup_settings cleanup(guest_settings_free)

enum volume_kind {
    VOLUME_STORAGE, /* STORAGE:VOLUME, managed by Proxmox */
    VOLUME_BIND,    /* a directory of the host */
    VOLUME_DEVICE,  /* a device of the host, /dev/... */
};

/* The rootfs or one mpN of a container, or one disk of a QEMU guest. */
struct volume {
    char *key; /* "rootfs", "mp0", "scsi0", ... */
    enum volume_kind kind;
    char *source;      /* STORAGE:VOLUME, or a path of the host */
    char *storage;     /* STORAGE if kind is VOLUME_STORAGE, else "" */
    char *mount_point; /* "/" for rootfs; "" for a QEMU disk */
    bool read_only;
    bool backup; /* vzdump includes it: rootfs always, mpN with backup=1 unless it is a bind mount
                    or a device */
    int64_t size_bytes;          /* -1 if the configuration does not give a size */
    char *idmap;                 /* the mount point's idmap property; NULL if not set */
    struct property *properties; /* all properties, under Proxmox's names */
    size_t property_count;
};

struct nic {
    char *key; /* "net0" ...; "lxc.net.0" ... if raw */
    bool raw;  /* known by lxc.net.N.* lines only, which are LXC's and not Proxmox's */
    bool has_hwaddr;
    struct hwaddr hwaddr;
    char *bridge; /* "" if none */
    char *ip;     /* "A.B.C.D/N", "dhcp", "manual" or "" */
    struct property *properties;
    size_t property_count;
};

/* Fills *ret from a container's rootfs or mpN. Takes over the properties and leaves *list empty.
 * The caller frees *ret with volume_free. */
void volume_from_lxc(const char *key, struct property_list *list, struct volume *ret);

/* Like volume_from_lxc, for a disk of a QEMU guest. */
void volume_from_qemu(const char *key, struct property_list *list, struct volume *ret);

void volume_free(struct volume *volume);

/* Returns true if a drive is a disk of the guest: not a CD drive and not empty. */
bool drive_is_disk(const struct property_list *list);

extern const struct property_schema lxc_nic_schema;
extern const struct property_schema qemu_nic_schema;

/* Fills *ret from a netN. Takes over the properties and leaves *list empty. The caller frees *ret
 * with nic_free. */
void nic_from_properties(const char *key, struct property_list *list, struct nic *ret);

/* Returns the NIC's property, under Proxmox's name, or LXC's if it is raw; NULL if it has none. */
const char *nic_property(const struct nic *nic, const char *key);

/* Returns the NIC's property string with another value of one property, or without it (value NULL).
 * Without its hardware address, Proxmox makes a NIC with a new one. The caller frees it with
 * free(). NULL for a raw NIC. */
char *nic_changed(const struct nic *nic, enum guest_kind kind, const char *key, const char *value);

/* Like nic_from_properties, for the properties of lxc.net.N.* lines under LXC's names. */
void nic_from_raw(const char *key, struct property_list *list, struct nic *ret);

void nic_free(struct nic *nic);

#endif
