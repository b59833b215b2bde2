/* SPDX-License-Identifier: Apache-2.0 */
/* The formats that values in a guest's configuration have to have, as strict as Proxmox's. */
#ifndef FELHOM_GUEST_FORMAT_H
#define FELHOM_GUEST_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

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

/* The size of a disk as a guest's configuration has it: 8G, 1.5T, 512M, 4194304. */

/*
 * Reads digits, an optional fraction and an optional K, M, G or T (or KiB, MiB, GiB, TiB). *ret
 * becomes the number of whole bytes, as far as a double is exact above 2^64. False for anything
 * else, *ret untouched.
 */
bool guest_size_parse(const char *text, long double *ret);

#endif
