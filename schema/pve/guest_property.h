/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property strings, "local:8,mp=/data,ro=1": a list of KEY=VALUE between commas, of which one may
 * be a bare VALUE. A schema says what is allowed; Proxmox refuses the whole string for one bad
 * property, and so does property_string_parse. Contract: PVE::JSONSchema::parse_property_string
 * and the formats registered there.
 */
#ifndef FELHOM_GUEST_PROPERTY_H
#define FELHOM_GUEST_PROPERTY_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/text.h"

/* A property of a property string as it stood there, booleans as "0" or "1". */
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
    bool bare;                          /* a value without a key is this one's */
    const char *alias;                  /* it is another name of this property */
    const char *name_of;                /* an alias: the property whose value the alias's name is */
    bool (*accepts)(const char *value); /* NULL: anything */
    const char *const *values; /* the only ones there are, NULL at the end; NULL: anything */
    const struct property_range *range; /* NULL: any number */
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

/* One part of a property string as it stands there: KEY=VALUE, or a bare VALUE. */
struct property_part {
    struct slice whole;
    struct slice key; /* "" for a bare value */
    struct slice value;
    bool bare;
};

/* Takes the next part off *rest, which is the string at first; false when none is left. */
bool property_part_next(const char **rest, struct property_part *ret);

/* The volume that a mount point's or drive's string names: its bare value, or that of "volume" or
 * "file"; "" if there is none. To be freed with free(). */
char *property_source(const char *text);

/* Reads a property string. The list is the caller's to free with property_list_free. */
int property_string_parse(const struct property_schema *schema, const char *text,
                          struct property_list *ret, struct error *error);

/* Adds a property at the end; copies both texts. */
void property_list_add(struct property_list *list, const char *key, const char *value);

/* The property's value, NULL if there is none. */
const char *property_list_get(const struct property_list *list, const char *key);

void property_list_free(struct property_list *list);
#define cleanup_property_list cleanup(property_list_free)

/* The rule for a property, NULL if the schema has none. */
const struct property_rule *property_schema_find(const struct property_schema *schema,
                                                 const char *name);

/* "1" for 1, on, yes and true, "0" for 0, off, no and false in either case, NULL for anything else.
 */
const char *property_boolean(const char *text);

/* The formats that values have to have, as strict as Proxmox's. */

bool format_integer(const char *text); /* 7, +7, -7 */
bool format_number(const char *text);  /* an integer, 1.5, .5, 5., 1e3 */

bool format_word(const char *text);           /* letters, digits and "-_." */
bool format_url_encoded(const char *text);    /* what needs no further encoding in a URL */
bool format_dns_name(const char *text);       /* a host's name, with or without a domain */
bool format_unicast_hwaddr(const char *text); /* XX:XX:XX:XX:XX:XX, not of a group */
bool format_ipv4(const char *text);           /* 192.0.2.1 */
bool format_ipv6(const char *text);           /* 2001:db8::1 */
bool format_ipv4_config(const char *text);    /* dhcp, manual or 192.0.2.1/8 to /32 */
bool format_ipv6_config(const char *text);    /* auto, dhcp, manual or 2001:db8::1/8 to /128 */
bool format_disk_size(const char *text);      /* what guest_size_parse reads */
bool format_volume_id(const char *text);      /* STORAGE:VOLUME */
bool format_mount_path(const char *text);     /* a path that does not climb: no /./ or /../ in it */
bool format_mount_options(const char *text);  /* noatime;nodev;... */
bool format_mount_idmap(const char *text);    /* passthrough or u:0:100000:1;g:... */
bool format_vlan_ids(const char *text);       /* 1;2;3 */
bool format_vlan_ranges(const char *text);    /* 1;2-4;5 */
bool format_drive_source(const char *text);   /* STORAGE:VOLUME, a path, "none" or "cdrom" */
bool format_drive_serial(const char *text);   /* URL-encoded, at most 20 bytes before that */
bool format_drive_model(const char *text);    /* URL-encoded, at most 40 bytes before that */
bool format_drive_product(const char *text);  /* at most 16 bytes */
bool format_drive_vendor(const char *text);   /* at most 8 bytes */
bool format_drive_wwn(const char *text);      /* 0x and 16 hexadecimal digits */

/*
 * Reads the size of a disk as a guest's configuration has it, 8G, 1.5T, 512M, 4194304: digits, an
 * optional fraction and an optional K, M, G or T (or KiB, MiB, GiB, TiB). *ret becomes the number
 * of whole bytes, as far as a double is exact above 2^64. False for anything else, *ret untouched.
 */
bool guest_size_parse(const char *text, long double *ret);

#endif
