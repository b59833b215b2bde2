/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LXC's own configuration: the lxc.* lines of a guest's configuration, and the files that they name
 * (lxc.include, lxc.mount.fstab). Which paths of the host does a line show to the guest? Contract:
 * LXC's confile.c and conf.c, getmntent(3), and for overlays the kernel's parser of their options.
 */
#ifndef FELHOM_LXC_LINE_H
#define FELHOM_LXC_LINE_H

#include <stdbool.h>
#include <stddef.h>

#define LXC_MOUNT_ENTRY "lxc.mount.entry"
#define LXC_MOUNT_FSTAB "lxc.mount.fstab"
#define LXC_INCLUDE     "lxc.include"

/* Returns a copy of a value without the quotes around it, which LXC drops. The caller frees it. */
char *lxc_value_unquoted(const char *value);

/*
 * Reads a line of a file that lxc.include names, in place. On return *ret_key and *ret_value point
 * into the line, the value without quotes. Returns false for a line that LXC skips.
 */
bool lxc_line_read(char *line, char **ret_key, char **ret_value);

enum lxc_path_use {
    LXC_PATH_MOUNT,     /* is mounted, without what is mounted below it */
    LXC_PATH_RECURSIVE, /* is mounted with what is mounted below it */
    LXC_PATH_LAYER,     /* an option of a mount names it, as lowerdir= of an overlay does */
    LXC_PATH_WORD,      /* a word in the command of a hook */
};

struct lxc_paths {
    struct lxc_path {
        char *path; /* absolute; containers are started in /, where a relative path begins */
        enum lxc_path_use use;
    } * items;
    size_t count;
};

/*
 * Adds the paths of the host that the line KEY = VALUE shows: those of lxc.mount.entry,
 * lxc.mount.auto, lxc.rootfs.path and lxc.hook.*; nothing for other keys. The value may be quoted.
 * The caller frees *paths with lxc_paths_free.
 */
void lxc_line_paths(const char *key, const char *value, struct lxc_paths *paths);

/* The same for a line of an fstab; a comment or a blank line shows nothing. */
void lxc_fstab_paths(const char *line, struct lxc_paths *paths);

void lxc_paths_free(struct lxc_paths *paths);
#define cleanup_lxc_paths cleanup(lxc_paths_free)

/* Returns the path of the host in the value of an lxc.mount.entry as it is written there: the first
 * field of an fstab line, with \ooo decoded. The caller frees it. */
char *lxc_mount_entry_source(const char *value);

#endif
