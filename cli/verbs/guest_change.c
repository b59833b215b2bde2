/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/guest_change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pve/command.h"
#include "cli/pve/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

#define PARENT_MODE 0711
#define MODE        0700
#define UNCHANGED   ((uid_t)-1)

int guest_place_make(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                     bool *ret_made, struct error *error)
{
    uint32_t uid;
    uint32_t gid;
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_close int guests = -1;
    cleanup_close int fd = -1;
    guest_config_disk_ids(guest, NULL, &uid, &gid);
    if (directory_make(config->paths.guests, PARENT_MODE, UNCHANGED, UNCHANGED, &guests, error) < 0)
        return -1;
    bool made = mkdirat(guests, name, MODE) == 0;
    if (!made && errno != EEXIST)
        return fail_errno(error, errno, "cannot make %s/%s", config->paths.guests, name);
    if (directory_open_at(guests, name, name, &fd, error) < 0)
        return -1;
    if (made && file_settle(fd, MODE, uid, gid) < 0)
        return fail_errno(error, errno, "cannot set the owner of %s/%s", config->paths.guests,
                          name);
    *ret_made = made;
    return 0;
}

static bool is_mount_point(int dirfd, const char *name)
{
    struct statx details;
    return statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &details) == 0 &&
           (details.stx_attributes_mask & details.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool is_same(int dirfd, const char *name, const char *path)
{
    struct stat a;
    struct stat b;
    return fstatat(dirfd, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && lstat(path, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Detached, as the running guest may hold it; its own copy lives on until it stops. */
static int unmount(const char *export, const char *guest, int dirfd, const char *name,
                   struct error *error)
{
    while (is_mount_point(dirfd, name)) {
        if (!is_same(dirfd, name, guest))
            return fail(error, ERROR_CONFLICT,
                        "%s is a mount, but not of %s: look at it, then umount it", export, guest);
        if (umount2(export, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return fail_errno(error, errno, "cannot unmount %s", export);
    }
    return 0;
}

int guest_place_unexport(const struct config *config, uint32_t vmid, bool *ret_removed,
                         struct error *error)
{
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_free char *export = mem_format("%s/%u", config->paths.export, vmid);
    cleanup_free char *guest = mem_format("%s/%u", config->paths.guests, vmid);
    cleanup_close int dirfd = open(config->paths.export, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd >= 0 && unmount(export, guest, dirfd, name, error) < 0)
        return -1;
    *ret_removed = dirfd >= 0 && unlinkat(dirfd, name, AT_REMOVEDIR) == 0;
    if (*ret_removed || errno == ENOENT)
        return 0;
    return fail_errno(error, errno, "cannot remove %s", export);
}

/* An argument list as posix_spawn wants it, with what it owns. */
struct arguments_list {
    char **items; /* ends with NULL */
    size_t count;
};

static void list_free(struct arguments_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

/* Takes the text over. */
static void list_add(struct arguments_list *list, char *text)
{
    list->items = mem_resize(list->items, list->count + 2, sizeof *list->items);
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
}

static void list_add_change(struct arguments_list *list, struct buffer *removed,
                            const struct line_change *change)
{
    if (change->removed) {
        buffer_add_format(removed, "%s%s", removed->length ? "," : "", change->key);
        return;
    }
    list_add(list, mem_format("--%s", change->key));
    list_add(list, mem_copy_text(change->value));
}

/* All changes by one call, as each takes Proxmox the better part of a second. */
static int run_command(enum guest_kind kind, uint32_t vmid, const struct line_changes *changes,
                       struct error *error)
{
    cleanup(list_free) struct arguments_list list = {0};
    cleanup_buffer struct buffer removed = BUFFER_EMPTY;
    list_add(&list, mem_copy_text(kind == GUEST_LXC ? PVE_COMMAND_LXC : PVE_COMMAND_QEMU));
    list_add(&list, mem_copy_text("set"));
    list_add(&list, mem_format("%u", vmid));
    size_t fixed = list.count;
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].by_command)
            list_add_change(&list, &removed, &changes->items[i]);
    if (removed.length) {
        list_add(&list, mem_copy_text("--delete"));
        list_add(&list, mem_copy_text(buffer_text(&removed)));
    }
    return list.count == fixed ? 0 : pve_command_run((const char *const *)list.items, error);
}

/* Locks, edits and unlocks: the command that follows wants the lock for itself. */
static int edit_file(const struct config *config, enum guest_kind kind,
                     const struct guest_lines_wish *wish, struct line_changes *ret,
                     struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup(line_changes_free) struct line_changes changes = {0};
    if (pve_config_open(config, kind, wish->vmid, PVE_CONFIG_WAIT_MS, &file, error) < 0 ||
        guest_lines_apply(wish, &file.text, &changes, error) < 0)
        return -1;
    if (changes.edited && pve_config_write(&file, error) < 0)
        return -1;
    *ret = changes;
    changes = (struct line_changes){0};
    return 0;
}

static void note(const struct line_changes *changes, bool by_command, struct steps *steps)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct line_change *change = &changes->items[i];
        if (change->by_command == by_command)
            steps_add(steps, STEP_DONE, change->key, "%s %s",
                      change->removed ? "removed" : "set to", change->value);
    }
}

int guest_change(const struct config *config, enum guest_kind kind, struct guest_lines_wish wish,
                 struct steps *steps, struct error *error)
{
    cleanup(line_changes_free) struct line_changes changes = {0};
    wish.config = config;
    wish.by_command = pve_is_real(config);
    if (edit_file(config, kind, &wish, &changes, error) < 0)
        return -1;
    note(&changes, false, steps);
    if (run_command(kind, wish.vmid, &changes, error) < 0)
        return -1;
    note(&changes, true, steps);
    return 0;
}
