/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses property strings such as "local:8,mp=/data,ro=1", the values of a guest's rootfs, mpN,
 * netN and disk settings: KEY=VALUE pairs separated by commas, one of which may be a bare VALUE. A
 * schema lists the allowed properties with their types and formats. Like Proxmox,
 * property_string_parse refuses the whole string if one property is bad. Contract:
 * PVE::JSONSchema::parse_property_string and the formats registered there.
 */
#ifndef FELHOM_GUEST_PROPERTY_H
#define FELHOM_GUEST_PROPERTY_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/text.h"

/* One property of a property string, with its text unchanged, except that booleans are "0" or
 * "1". */
struct property {
    char *key;
    char *value;
};

enum property_type { PROPERTY_TEXT, PROPERTY_BOOLEAN, PROPERTY_INTEGER, PROPERTY_NUMBER };

struct property_range {
    double minimum;
    double maximum;
};

struct property_rule {
    const char *name;
    enum property_type type;
    bool required;
    bool bare;           /* a value without a key belongs to this property */
    const char *alias;   /* name is only another name of this property; NULL: it is not */
    const char *name_of; /* of an alias: which property gets the alias's name as its value */
    bool (*accepts)(const char *value); /* checks the format; NULL: any text */
    const char *const *values;          /* the allowed values, ended by NULL; NULL: any value */
    const struct property_range *range; /* allowed range; NULL: any number */
};

struct property_schema {
    const struct property_rule *rules;
    size_t count;
};

#define PROPERTY_SCHEMA(rules) ((struct property_schema){rules, ARRAY_SIZE(rules)})

struct property_list {
    struct property *items;
    size_t count;
};

/* One part of a property string, unchanged: KEY=VALUE or a bare VALUE. */
struct property_part {
    struct slice whole;
    struct slice key; /* "" for a bare value */
    struct slice value;
    bool bare;
};

/* Takes the next part off *rest, which initially is the whole string. Returns false when no part is
 * left. */
bool property_part_next(const char **rest, struct property_part *ret);

/* Returns the volume that a mount point's or drive's string names: the bare value, or the value of
 * "volume" or, for a drive, of "file"; "" if there is none. The caller frees it with free(). */
char *property_source(const char *text, bool is_drive);

/* Parses a property string. Any violation of the schema fails with ERROR_INVALID. The caller frees
 * *ret with property_list_free. */
int property_string_parse(const struct property_schema *schema, const char *text,
                          struct property_list *ret, struct error *error);

/* Appends a property. Both texts are copied. */
void property_list_add(struct property_list *list, const char *key, const char *value);

/* Returns the property's value; NULL if the list does not have it. */
const char *property_list_get(const struct property_list *list, const char *key);

void property_list_free(struct property_list *list);
#define cleanup_property_list cleanup(property_list_free)

/* Returns the rule for a property; NULL if the schema does not have it. */
const struct property_rule *property_schema_find(const struct property_schema *schema,
                                                 const char *name);

/* Returns "1" for 1, on, yes and true, "0" for 0, off, no and false (in any case), and NULL for
 * anything else. */
const char *property_boolean(const char *text);

/* --- formats of values: each returns true if the text has the format, as strict as Proxmox --- */

bool format_word(const char *text);           /* letters, digits and "-_." */
bool format_dns_name(const char *text);       /* a host's name, with or without a domain */
bool format_unicast_hwaddr(const char *text); /* XX:XX:XX:XX:XX:XX, not a multicast address */
bool format_ipv4(const char *text);           /* 192.0.2.1 */
bool format_ipv6(const char *text);           /* 2001:db8::1 */
bool format_ipv4_config(const char *text);    /* dhcp, manual or 192.0.2.1/8 to /32 */
bool format_ipv6_config(const char *text);    /* auto, dhcp, manual or 2001:db8::1/8 to /128 */
bool format_disk_size(const char *text);      /* what guest_size_parse reads */
bool format_volume_id(const char *text);      /* STORAGE:VOLUME */
bool format_mount_path(const char *text);     /* a path without /./ and /../ */
bool format_mount_options(const char *text);  /* noatime;nodev;... */
bool format_mount_idmap(const char *text);    /* passthrough or u:0:100000:1;g:... */
bool format_vlan_ids(const char *text);       /* 1;2;3 */
bool format_vlan_ranges(const char *text);    /* 1;2-4;5 */
bool format_drive_source(const char *text);   /* STORAGE:VOLUME, a path, "none" or "cdrom" */
bool format_drive_serial(const char *text);   /* URL-encoded, up to 20 characters when decoded */
bool format_drive_model(const char *text);    /* URL-encoded, up to 40 characters when decoded */
bool format_drive_product(const char *text);  /* up to 16 bytes */
bool format_drive_vendor(const char *text);   /* up to 8 bytes */
bool format_drive_wwn(const char *text);      /* 0x and 16 hexadecimal digits */

/*
 * Reads the size of a disk, such as 8G, 1.5T, 512M or 4194304: digits, an optional fraction and an
 * optional K, M, G or T (or KiB, MiB, GiB, TiB). *ret becomes the number of whole bytes; above 2^64
 * with the precision of a double. Returns false for anything else and leaves *ret untouched.
 */
bool guest_size_parse(const char *text, long double *ret);

#endif
