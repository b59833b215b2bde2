/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/guest_mount.h"

#include <dirent.h>
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
#include "schema/base/units.h"
#include "schema/base/vmid.h"
#include "schema/pve/lxc_line.h"
#include "store/base/cgroup.h"
#include "store/files/file.h"

const char *mount_form_name(enum mount_form form)
{
    static const char *const names[] = {"", "entry", "mp"};
    return names[form];
}

/* A path of the host in a line that is checked. */
struct line {
    const char *file; /* that has the line; NULL: the guest's configuration */
    size_t number;    /* of the line in its file; 0: its key is enough */
    const char *key;  /* "mp0" or "lxc.mount.entry" */
    const char *source;
    enum lxc_path_use use;
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

/* --- the check --- */

static bool is_same_file_system(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev;
}

/* Returns true if source is the block device that holds root. */
static bool is_device_of(const char *source, const char *root)
{
    struct stat of_source;
    struct stat of_root;
    return stat(source, &of_source) == 0 && S_ISBLK(of_source.st_mode) &&
           stat(root, &of_root) == 0 && of_source.st_rdev == of_root.st_dev;
}

/* Finds out whose directory the path would show. root: GUESTS or EXPORT. */
static enum belongs mount_belongs_to(const struct line *line, const char *path, const char *root,
                                     uint32_t *ret_vmid)
{
    const char *part = path_below(root, path);
    if (part)
        return path_owner(part, ret_vmid);
    if (line->use == LXC_PATH_WORD)
        return TO_NOBODY;
    bool above = strcmp(path, "/") == 0 || path_below(path, root);
    /* A plain bind mount shows a single file system: a mount of / does not show a tmpfs on /run. */
    if (above && (line->use == LXC_PATH_RECURSIVE || is_same_file_system(path, root)))
        return TO_ALL;
    return is_device_of(path, root) ? TO_ALL : TO_NOBODY;
}

/* "mp0", "lxc.mount.entry (line 12)" or "/etc/lxc.conf:3: lxc.mount.entry"; the caller frees it. */
static char *line_name(const struct line *line)
{
    if (line->file)
        return mem_format("%.200s:%zu: %.60s", line->file, line->number, line->key);
    return line->number > 0 ? mem_format("%.60s (line %zu)", line->key, line->number)
                            : mem_format("%.60s", line->key);
}

/* enroll removes a line that names a guest's directory literally; any other is the operator's to
 * change. The caller frees the command. */
static char *mount_remedy(const struct config *config, const struct line *line, uint32_t vmid)
{
    uint32_t owner;
    if (line->file)
        return mem_format("editor %.200s", line->file);
    if (line->number == 0)
        return mem_format("pct set %u --delete %s && felhomctl enroll %u", vmid, line->key, vmid);
    if (strcmp(line->key, LXC_MOUNT_ENTRY) == 0 && line->use != LXC_PATH_LAYER &&
        guest_mount_path_owner(config, line->source, &owner))
        return mem_format("felhomctl enroll %u", vmid);
    return mem_format("editor %s/lxc/%u.conf", config->paths.pve, vmid);
}

static int mount_fail_foreign(const struct config *config, const struct line *line,
                              enum belongs belongs, uint32_t owner, uint32_t vmid,
                              struct error *error)
{
    const char *verb =
        belongs == TO_ALL ? "the directories of all guests" : "the directory of guest";
    cleanup_free char *whose =
        belongs == TO_ALL ? mem_copy_text(verb) : mem_format("%s %u", verb, owner);
    cleanup_free char *name = line_name(line);
    cleanup_free char *remedy = mount_remedy(config, line, vmid);
    bool rbind = belongs == TO_ALL && line->use == LXC_PATH_RECURSIVE &&
                 strcmp(line->key, LXC_MOUNT_ENTRY) == 0 &&
                 !is_same_file_system(line->source, config->paths.guests);
    return fail(error, ERROR_FOREIGN,
                "%s mounts %s (%.150s): guest %u must not start with it%s" GUEST_MOUNT_REMEDY "%s",
                name, whose, line->source, vmid,
                rbind ? "; bind in place of rbind would not show them" : "", remedy);
}

/* A container whose mounts are checked. Zero-initialise all but the first two; free with
 * inclusion_free. */
struct inclusion {
    const struct config *config;
    uint32_t vmid;
    char *real_roots[2]; /* GUESTS and EXPORT without symbolic links, once a source was checked */
    unsigned int depth;  /* of files that include others */
    unsigned int files;
};

static void inclusion_free(struct inclusion *inclusion)
{
    for (size_t i = 0; i < ARRAY_SIZE(inclusion->real_roots); i++)
        free(inclusion->real_roots[i]);
}

static int mount_check_source_path(const struct config *config, const struct line *line,
                                   const char *path, const char *root, uint32_t vmid, bool *is_own,
                                   struct error *error)
{
    uint32_t owner = 0;
    enum belongs belongs = mount_belongs_to(line, path, root, &owner);
    if (belongs == TO_ALL || (belongs == TO_GUEST && owner != vmid))
        return mount_fail_foreign(config, line, belongs, owner, vmid, error);
    if (belongs == TO_GUEST)
        *is_own = true;
    return 0;
}

/* Checks a source against GUESTS and EXPORT, both as written and with symbolic links resolved. */
static int mount_check_source(struct inclusion *inclusion, const struct line *line, bool *ret_own,
                              struct error *error)
{
    const struct config *config = inclusion->config;
    const char *const roots[] = {config->paths.guests, config->paths.export};
    cleanup_free char *written = path_without_dots(line->source);
    cleanup_free char *real = path_resolve(line->source);
    bool is_own = false;
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        char **real_root = &inclusion->real_roots[i];
        if (!*real_root)
            *real_root = path_resolve(roots[i]);
        if (mount_check_source_path(config, line, written, roots[i], inclusion->vmid, &is_own,
                                    error) < 0 ||
            mount_check_source_path(config, line, real, *real_root, inclusion->vmid, &is_own,
                                    error) < 0)
            return -1;
    }
    *ret_own = is_own;
    return 0;
}

static int mount_check_paths(struct inclusion *inclusion, struct line line,
                             const struct lxc_paths *paths, bool *ret_own, struct error *error)
{
    bool own = false;
    for (size_t i = 0; i < paths->count; i++) {
        bool is_own;
        line.source = paths->items[i].path;
        line.use = paths->items[i].use;
        if (mount_check_source(inclusion, &line, &is_own, error) < 0)
            return -1;
        own = own || (is_own && line.use == LXC_PATH_MOUNT);
    }
    *ret_own = own && strcmp(line.key, LXC_MOUNT_ENTRY) == 0;
    return 0;
}

/* --- the files that lines name --- */

#define LXC_FILE_LIMIT MIB
#define LXC_DEPTH_MAX  8  /* of files that include others */
#define LXC_FILES_MAX  64 /* in all */

static int check_lxc_line(struct inclusion *inclusion, const struct line *line, const char *value,
                          bool *ret_own, struct error *error);

static int fail_unread(const struct inclusion *inclusion, const struct line *line, const char *file,
                       const char *why, struct error *error)
{
    cleanup_free char *name = line_name(line);
    cleanup_free char *remedy = mount_remedy(inclusion->config, line, inclusion->vmid);
    return fail(error, ERROR_FOREIGN,
                "%s names %.200s, which cannot be checked: %.200s; guest %u must not start with "
                "it" GUEST_MOUNT_REMEDY "%s",
                name, file, why, inclusion->vmid, remedy);
}

static int read_lxc_file(struct inclusion *inclusion, const struct line *line, const char *path,
                         struct buffer *text, struct error *error)
{
    struct error problem;
    if (++inclusion->files > LXC_FILES_MAX || inclusion->depth > LXC_DEPTH_MAX)
        return fail_unread(inclusion, line, path, "too many files include each other", error);
    if (file_read(path, LXC_FILE_LIMIT, text, &problem) < 0)
        return fail_unread(inclusion, line, path, problem.message, error);
    if (memchr(buffer_text(text), '\0', text->length))
        return fail_unread(inclusion, line, path, "there is a NUL byte in it", error);
    return 0;
}

/* named_by: the line that names the file. */
static int check_included_file(struct inclusion *inclusion, const struct line *named_by,
                               const char *path, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    struct line line = {.file = path};
    bool ignored;
    char *key;
    char *value;
    if (read_lxc_file(inclusion, named_by, path, &text, error) < 0)
        return -1;
    for (char *rest = text.data, *next; (next = strsep(&rest, "\n"));) {
        line.number++;
        if (!lxc_line_read(next, &key, &value))
            continue;
        line.key = key;
        if (check_lxc_line(inclusion, &line, value, &ignored, error) < 0)
            return -1;
    }
    return 0;
}

/* Of a directory, LXC reads the files *.conf. */
static int check_included_directory(struct inclusion *inclusion, const struct line *line,
                                    const char *path, struct error *error)
{
    const struct dirent *entry;
    cleanup_directory DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT ? 0 : fail_unread(inclusion, line, path, strerror(errno), error);
    while ((entry = readdir(directory))) {
        cleanup_free char *file = mem_format("%s/%s", path, entry->d_name);
        if (strlen(entry->d_name) > strlen(".conf") && text_ends_with(entry->d_name, ".conf") &&
            check_included_file(inclusion, line, file, error) < 0)
            return -1;
    }
    return 0;
}

static int check_include(struct inclusion *inclusion, const struct line *line, const char *path,
                         struct error *error)
{
    struct stat status;
    bool directory =
        text_ends_with(path, "/") || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
    inclusion->depth++;
    int result = directory ? check_included_directory(inclusion, line, path, error)
                           : check_included_file(inclusion, line, path, error);
    inclusion->depth--;
    return result;
}

static int check_fstab(struct inclusion *inclusion, const struct line *named_by, const char *path,
                       struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    struct line line = {.file = path, .key = LXC_MOUNT_ENTRY};
    bool ignored;
    if (read_lxc_file(inclusion, named_by, path, &text, error) < 0)
        return -1;
    for (char *rest = text.data, *next; (next = strsep(&rest, "\n"));) {
        cleanup_lxc_paths struct lxc_paths paths = {NULL, 0};
        line.number++;
        lxc_fstab_paths(next, &paths);
        if (mount_check_paths(inclusion, line, &paths, &ignored, error) < 0)
            return -1;
    }
    return 0;
}

/* Checks one lxc.* line, and the file that it names. */
static int check_lxc_line(struct inclusion *inclusion, const struct line *line, const char *value,
                          bool *ret_own, struct error *error)
{
    cleanup_lxc_paths struct lxc_paths paths = {NULL, 0};
    cleanup_free char *unquoted = lxc_value_unquoted(value);
    cleanup_free char *file = mem_format("%s%s", *unquoted == '/' ? "" : "/", unquoted);
    *ret_own = false;
    if (*unquoted && strcmp(line->key, LXC_INCLUDE) == 0)
        return check_include(inclusion, line, file, error);
    if (*unquoted && strcmp(line->key, LXC_MOUNT_FSTAB) == 0)
        return check_fstab(inclusion, line, file, error);
    lxc_line_paths(line->key, unquoted, &paths);
    return mount_check_paths(inclusion, *line, &paths, ret_own, error);
}

int guest_mount_check(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                      struct guest_mount *ret, struct error *error)
{
    struct guest_mount own = {MOUNT_FORM_NONE, NULL};
    cleanup(inclusion_free) struct inclusion inclusion = {.config = config, .vmid = vmid};
    bool is_own;
    for (size_t i = 0; i < guest->raw_count; i++) {
        const struct line line = {.number = guest->raw_lines[i], .key = guest->raw[i].key};
        if (check_lxc_line(&inclusion, &line, guest->raw[i].value, &is_own, error) < 0)
            return -1;
        if (is_own)
            own.form = MOUNT_FORM_ENTRY;
    }
    for (size_t i = 0; i < guest->volume_count; i++) {
        const struct volume *volume = &guest->volumes[i];
        const struct line line = {.key = volume->key, .source = volume->source};
        if (volume->kind == VOLUME_STORAGE)
            continue;
        if (mount_check_source(&inclusion, &line, &is_own, error) < 0)
            return -1;
        if (is_own)
            own = (struct guest_mount){MOUNT_FORM_MP, volume};
    }
    *ret = own;
    return 0;
}

/* --- the read-only export --- */

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

static int fail_strange_mount(const struct config *config, uint32_t vmid, struct error *error)
{
    return fail(error, ERROR_CONFLICT,
                "%s/%u is a mount, but not of %s/%u: look at it, then umount it",
                config->paths.export, vmid, config->paths.guests, vmid);
}

/* Detaches the mount, because the running guest may be using it; the guest's own copy lives until
 * the guest stops. */
static int export_unmount(const struct config *config, uint32_t vmid, int exports,
                          struct error *error)
{
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_free char *export = mem_format("%s/%u", config->paths.export, vmid);
    cleanup_free char *guest = mem_format("%s/%u", config->paths.guests, vmid);
    while (is_mount_point(exports, name)) {
        if (!export_shows(exports, name, guest))
            return fail_strange_mount(config, vmid, error);
        if (umount2(export, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return fail_errno(error, errno, "cannot unmount %s", export);
    }
    return 0;
}

int guest_mount_check_export(const struct config *config, uint32_t vmid, struct error *error)
{
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_free char *guest = mem_format("%s/%u", config->paths.guests, vmid);
    cleanup_close int exports = open(config->paths.export, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (exports < 0 || !is_mount_point(exports, name) || export_shows(exports, name, guest))
        return 0;
    return fail_strange_mount(config, vmid, error);
}

int guest_mount_unexport(const struct config *config, uint32_t vmid, bool *ret_removed,
                         struct error *error)
{
    cleanup_free char *name = mem_format("%u", vmid);
    cleanup_free char *export = mem_format("%s/%u", config->paths.export, vmid);
    cleanup_close int exports = open(config->paths.export, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (exports >= 0 && export_unmount(config, vmid, exports, error) < 0)
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
    if (fstat(fd, &seen) < 0)
        return VISIBILITY_UNKNOWN;
    if (seen.st_nlink == 0)
        return VISIBILITY_REMOVED;
    if (stat(own_path, &own) < 0)
        return VISIBILITY_MISSING;
    return is_same_inode(&own, &seen) ? VISIBILITY_SEEN : VISIBILITY_MISSING;
}
