/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/guest_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/vmid.h"
#include "store/base/cgroup.h"
#include "store/files/file.h"

const char *mount_form_name(enum mount_form form)
{
    static const char *const names[] = {"", "entry", "mp"};
    return names[form];
}

/* A line of the guest's configuration that mounts a path of the host. */
struct line {
    const char *key;    /* "mp0" or "lxc.mount.entry" */
    const char *source; /* the path as written in the line */
    bool recursive;     /* also shows what is mounted below the source */
};

enum belongs { TO_NOBODY, TO_GUEST, TO_ALL };

/* Returns the rest of path below root; "" for root itself; NULL if path is not below root. */
static const char *path_below(const char *root, const char *path)
{
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0)
        return NULL;
    if (path[length] == '/')
        return path + length + 1;
    return path[length] == '\0' ? "" : NULL;
}

/* Removes empty and "." components and resolves ".." textually, for sources that do not exist
 * yet. */
static char *path_without_dots(const char *path)
{
    char *clean = mem_new_array(strlen(path) + 2, 1);
    size_t length = 0;
    for (const char *part = path; *part;) {
        part += strspn(part, "/");
        size_t n = strcspn(part, "/");
        if (n == 2 && strncmp(part, "..", 2) == 0) {
            while (length > 0 && clean[--length] != '/')
                ;
            clean[length] = '\0';
        } else if (n > 0 && !(n == 1 && *part == '.')) {
            clean[length++] = '/';
            memcpy(clean + length, part, n);
            length += n;
            clean[length] = '\0';
        }
        part += n;
    }
    if (length == 0)
        clean[0] = '/';
    return clean;
}

static char *path_resolve(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? real : path_without_dots(path);
}

/* Finds out to which guest a path below GUESTS or EXPORT belongs. part: the path relative to that
 * directory. */
static enum belongs path_owner(const char *part, uint32_t *ret_vmid)
{
    if (*part == '\0')
        return TO_ALL;
    cleanup_free char *first = mem_copy_text_n(part, strcspn(part, "/"));
    return vmid_parse(first, ret_vmid) ? TO_GUEST : TO_NOBODY;
}

bool guest_mount_path_owner(const struct config *config, const char *path, uint32_t *ret_vmid)
{
    const char *const roots[] = {config->paths.guests, config->paths.export};
    cleanup_free char *clean = path_without_dots(path);
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        const char *part = path_below(roots[i], clean);
        if (part && path_owner(part, ret_vmid) == TO_GUEST)
            return true;
    }
    return false;
}

/* In a field of fstab, blanks and some other characters are written as \ooo. */
char *guest_mount_entry_source(const char *value)
{
    const char *field = value + strspn(value, BLANKS);
    size_t length = strcspn(field, BLANKS);
    char *text = mem_new_array(length + 1, 1);
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned int octal = 0;
        if (field[i] == '\\' && i + 3 < length && field[i + 1] >= '0' && field[i + 1] <= '3' &&
            strspn(field + i + 1, "01234567") >= 3) {
            for (int digit = 0; digit < 3; digit++)
                octal = octal * 8 + (unsigned int)(field[++i] - '0');
            text[out++] = (char)octal;
        } else {
            text[out++] = field[i];
        }
    }
    return text;
}

static bool is_same_file_system(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev;
}

/* Finds out whose directory a mount of path would show. root: GUESTS or EXPORT. */
static enum belongs mount_belongs_to(const struct line *line, const char *path, const char *root,
                                     uint32_t *ret_vmid)
{
    const char *part = path_below(root, path);
    if (part)
        return path_owner(part, ret_vmid);
    bool above = strcmp(path, "/") == 0 || path_below(path, root);
    /* A plain bind mount shows a single file system: a mount of / does not show a tmpfs on /run. */
    if (above && (line->recursive || is_same_file_system(path, root)))
        return TO_ALL;
    return TO_NOBODY;
}

static int mount_fail_foreign(const struct line *line, enum belongs belongs, uint32_t owner,
                              uint32_t vmid, struct error *error)
{
    const char *verb =
        belongs == TO_ALL ? "the directories of all guests" : "the directory of guest";
    cleanup_free char *whose =
        belongs == TO_ALL ? mem_copy_text(verb) : mem_format("%s %u", verb, owner);
    if (strcmp(line->key, MOUNT_ENTRY_KEY) == 0)
        return fail(
            error, ERROR_FOREIGN,
            "lxc.mount.entry mounts %s (%.150s): guest %u must not start with it" GUEST_MOUNT_REMEDY
            "felhomctl enroll %u",
            whose, line->source, vmid, vmid);
    return fail(error, ERROR_FOREIGN,
                "%s mounts %s (%.150s): guest %u must not start with it" GUEST_MOUNT_REMEDY
                "pct set %u --delete %s && felhomctl enroll %u",
                line->key, whose, line->source, vmid, vmid, line->key, vmid);
}

static int mount_check_source_path(const struct line *line, const char *path, const char *root,
                                   uint32_t vmid, bool *is_own, struct error *error)
{
    uint32_t owner = 0;
    enum belongs belongs = mount_belongs_to(line, path, root, &owner);
    if (belongs == TO_ALL || (belongs == TO_GUEST && owner != vmid))
        return mount_fail_foreign(line, belongs, owner, vmid, error);
    if (belongs == TO_GUEST)
        *is_own = true;
    return 0;
}

/* Checks a source against GUESTS and EXPORT, both as written and with symbolic links resolved. */
static int mount_check_source(const struct config *config, uint32_t vmid, const struct line *line,
                              bool *ret_own, struct error *error)
{
    const char *const roots[] = {config->paths.guests, config->paths.export};
    cleanup_free char *written = path_without_dots(line->source);
    cleanup_free char *real = path_resolve(line->source);
    bool is_own = false;
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        cleanup_free char *real_root = path_resolve(roots[i]);
        if (mount_check_source_path(line, written, roots[i], vmid, &is_own, error) < 0 ||
            mount_check_source_path(line, real, real_root, vmid, &is_own, error) < 0)
            return -1;
    }
    *ret_own = is_own;
    return 0;
}

static int mount_check_entry(const struct config *config, uint32_t vmid, const char *value,
                             bool *ret_own, struct error *error)
{
    /* Containers are started in /, where a relative source begins, too. Sources such as proc or
     * tmpfs are no paths; nobody's directory has their names. */
    cleanup_free char *source = guest_mount_entry_source(value);
    cleanup_free char *path = mem_format("%s%s", *source == '/' ? "" : "/", source);
    struct line line = {MOUNT_ENTRY_KEY, path, strstr(value, "rbind") != NULL};
    *ret_own = false;
    return *source ? mount_check_source(config, vmid, &line, ret_own, error) : 0;
}

int guest_mount_check(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                      struct guest_mount *ret, struct error *error)
{
    struct guest_mount own = {MOUNT_FORM_NONE, NULL};
    bool is_own;
    for (size_t i = 0; i < guest->raw_count; i++) {
        if (strcmp(guest->raw[i].key, MOUNT_ENTRY_KEY) != 0)
            continue;
        if (mount_check_entry(config, vmid, guest->raw[i].value, &is_own, error) < 0)
            return -1;
        if (is_own)
            own.form = MOUNT_FORM_ENTRY;
    }
    for (size_t i = 0; i < guest->volume_count; i++) {
        const struct volume *volume = &guest->volumes[i];
        const struct line line = {volume->key, volume->source, false};
        if (volume->kind != VOLUME_BIND)
            continue;
        if (mount_check_source(config, vmid, &line, &is_own, error) < 0)
            return -1;
        if (is_own)
            own = (struct guest_mount){MOUNT_FORM_MP, volume};
    }
    *ret = own;
    return 0;
}

static int export_make_target(int exports, const struct config *config, uint32_t vmid, int *ret_fd,
                              struct error *error)
{
    char name[VMID_TEXT_SIZE];
    (void)snprintf(name, sizeof name, "%u", vmid);
    if (mkdirat(exports, name, 0711) < 0 && errno != EEXIST)
        return fail_errno(error, errno, "%s/%s", config->paths.export, name);
    /* The owner of the mount point does not matter: what is mounted there belongs to the guest's
     * root. */
    int fd = openat(exports, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "%s/%s", config->paths.export, name);
    *ret_fd = fd;
    return 0;
}

/* With name "", checks the open file itself. */
static bool is_mount_point(int fd, const char *name)
{
    struct statx details;
    const int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    return statx(fd, name, flags, STATX_BASIC_STATS, &details) == 0 &&
           (details.stx_attributes_mask & details.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool mount_is_read_only(int fd)
{
    struct statvfs details;
    const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
    return fstatvfs(fd, &details) == 0 && (details.f_flag & wanted) == wanted;
}

static bool is_same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_same_directory(int a, int b)
{
    struct stat of_a;
    struct stat of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && is_same_inode(&of_a, &of_b);
}

static int mount_fail(const char *what, uint32_t vmid, struct error *error)
{
    int reason = errno;
    (void)fail_errno(error, reason, "%s for guest %u", what, vmid);
    error->kind = reason == EPERM || reason == ENOSYS ? ERROR_DENIED : ERROR_SYSTEM;
    return -1;
}

/* The mount gets its attributes before it is attached, so that it is never writable. */
static int export_attach(int source, int target, uint32_t vmid, struct error *error)
{
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
    };
    cleanup_close int tree =
        open_tree(source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return mount_fail("cannot make the read-only export", vmid, error);
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
        return mount_fail("cannot make the export read-only", vmid, error);
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return mount_fail("cannot attach the read-only export", vmid, error);
    return 0;
}

/* The mount shows a directory that has been replaced since. Guests that use the mount keep it; new
 * ones must not get it. */
static int export_detach(const struct config *config, uint32_t vmid, struct error *error)
{
    cleanup_free char *path = mem_format("%s/%u", config->paths.export, vmid);
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return mount_fail("cannot detach the stale export", vmid, error);
    return 0;
}

int guest_mount_export(const struct config *config, uint32_t vmid, int source, struct error *error)
{
    cleanup_close int exports = -1;
    if (directory_make(config->paths.export, 0711, (uid_t)-1, (gid_t)-1, &exports, error) < 0)
        return -1;
    for (;;) {
        cleanup_close int target = -1;
        if (export_make_target(exports, config, vmid, &target, error) < 0)
            return -1;
        if (!is_mount_point(target, ""))
            return export_attach(source, target, vmid, error);
        if (is_same_directory(source, target) && mount_is_read_only(target))
            return 0;
        if (export_detach(config, vmid, error) < 0)
            return -1;
    }
}

static bool export_shows(int exports, const char *name, const char *guest)
{
    struct stat shown;
    struct stat own;
    return fstatat(exports, name, &shown, AT_SYMLINK_NOFOLLOW) == 0 && lstat(guest, &own) == 0 &&
           is_same_inode(&shown, &own);
}

/* Detaches the mount, because the running guest may be using it; the guest's own copy lives until
 * the guest stops. */
static int export_unmount(const char *export, const char *guest, int exports, const char *name,
                          struct error *error)
{
    while (is_mount_point(exports, name)) {
        if (!export_shows(exports, name, guest))
            return fail(error, ERROR_CONFLICT,
                        "%s is a mount, but not of %s: look at it, then umount it", export, guest);
        if (umount2(export, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return fail_errno(error, errno, "cannot unmount %s", export);
    }
    return 0;
}

int guest_mount_unexport(const struct config *config, uint32_t vmid, bool *ret_removed,
                         struct error *error)
{
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_free char *export = mem_format("%s/%u", config->paths.export, vmid);
    cleanup_free char *guest = mem_format("%s/%u", config->paths.guests, vmid);
    cleanup_close int exports = open(config->paths.export, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (exports >= 0 && export_unmount(export, guest, exports, name, error) < 0)
        return -1;
    *ret_removed = exports >= 0 && unlinkat(exports, name, AT_REMOVEDIR) == 0;
    if (*ret_removed || errno == ENOENT)
        return 0;
    return fail_errno(error, errno, "cannot remove %s", export);
}

/* Opens a path in the guest's root directory. RESOLVE_IN_ROOT keeps the guest's symbolic links from
 * leading out of it. */
static int guest_open_in_root(int root, const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

enum visibility guest_mount_visibility(const struct config *config, uint32_t vmid)
{
    struct stat own;
    struct stat seen;
    pid_t pid = cgroup_container_pid(config->paths.cgroup, vmid);
    if (pid == 0)
        return VISIBILITY_UNKNOWN;
    cleanup_free char *root_path = mem_format("/proc/%d/root", pid);
    cleanup_free char *own_path = mem_format("%s/%u", config->paths.guests, vmid);
    cleanup_close int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return VISIBILITY_UNKNOWN;
    cleanup_close int fd = guest_open_in_root(root, config->bootstrap.guest_path);
    if (fd < 0)
        return errno == ENOENT ? VISIBILITY_MISSING : VISIBILITY_UNKNOWN;
    if (stat(own_path, &own) < 0)
        return VISIBILITY_MISSING;
    if (fstat(fd, &seen) < 0)
        return VISIBILITY_UNKNOWN;
    return is_same_inode(&own, &seen) ? VISIBILITY_SEEN : VISIBILITY_MISSING;
}
