/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/pve/guest_line.h"
#include "store/base/clock.h"
#include "store/files/file.h"

#define PVE_REAL   "/etc/pve"
#define FILE_MODE  0640
#define FILE_LIMIT MIB
#define RETRY_NS   50000000L

bool pve_is_real(const struct config *config)
{
    return strcmp(config->paths.pve, PVE_REAL) == 0;
}

/* --- writing below /etc/pve --- */

/* The cluster file system refuses to set any mode or owner with EPERM: it sets the right ones
 * itself. */
static bool is_failure(int result)
{
    return result < 0 && errno != EPERM;
}

/* Sets the file's mode, and the owner of the file that it replaces. */
static int settle_file(int fd, int dirfd, const char *name, mode_t mode)
{
    struct stat before;
    if (is_failure(fchmod(fd, mode)))
        return -1;
    if (fstatat(dirfd, name, &before, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -1;
    return is_failure(fchown(fd, before.st_uid, before.st_gid)) ? -1 : 0;
}

static int write_temporary(int dirfd, const char *temporary, const char *name, mode_t mode,
                           const struct buffer *content)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    cleanup_close int fd = openat(dirfd, temporary, flags, mode);
    /* The name contains this process's id, so the process that left the file is dead. */
    if (fd < 0 && errno == EEXIST) {
        if (unlinkat(dirfd, temporary, 0) < 0)
            errno = EEXIST;
        else
            fd = openat(dirfd, temporary, flags, mode);
    }
    if (fd < 0)
        return -1;
    if (settle_file(fd, dirfd, name, mode) < 0 ||
        file_write_all(fd, buffer_text(content), content->length) < 0)
        return -1;
    return fsync(fd);
}

int pve_file_replace(int dirfd, const char *name, mode_t mode, const struct buffer *content,
                     struct error *error)
{
    cleanup_free char *temporary = mem_format("%s.tmp.%d", name, getpid());
    if (write_temporary(dirfd, temporary, name, mode, content) < 0 ||
        renameat(dirfd, temporary, dirfd, name) < 0) {
        int errnum = errno;
        if (errnum != EEXIST)
            (void)unlinkat(dirfd, temporary, 0);
        return fail_errno(error, errnum, "cannot write %s", name);
    }
    return 0;
}

/* --- the file, under Proxmox's lock --- */

static char *lock_directory(const struct config *config, enum guest_kind kind)
{
    if (!pve_is_real(config))
        return mem_format("%s/lock", config->paths.run);
    return mem_copy_text(kind == GUEST_LXC ? "/run/lock/lxc" : "/run/lock/qemu-server");
}

static char *lock_name(const struct config *config, enum guest_kind kind, uint32_t vmid)
{
    bool of_qemu = pve_is_real(config) && kind == GUEST_QEMU;
    return of_qemu ? mem_format("lock-%u.conf", vmid) : mem_format("pve-config-%u.lock", vmid);
}

static int wait_for_lock(int fd, uint32_t vmid, uint32_t wait_ms, struct error *error)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    int64_t deadline = clock_steady_us() + (int64_t)wait_ms * US_PER_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(error, errno, "cannot lock the configuration of guest %u", vmid);
        if (clock_steady_us() >= deadline)
            return fail(error, ERROR_BUSY,
                        "guest %u: its configuration is in use by another task: try again when "
                        "that is done",
                        vmid);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int take_lock(const struct config *config, enum guest_kind kind, uint32_t vmid,
                     uint32_t wait_ms, int *ret_fd, struct error *error)
{
    cleanup_free char *path = lock_directory(config, kind);
    cleanup_free char *name = lock_name(config, kind, vmid);
    cleanup_close int dirfd = -1;
    if (directory_make(path, 0755, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0)
        return -1;
    cleanup_close int fd =
        openat(dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open the lock file %s/%s", path, name);
    if (wait_for_lock(fd, vmid, wait_ms, error) < 0)
        return -1;
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* PVE/lxc is a symbolic link on a Proxmox host, so links are followed. */
static int open_directory(const struct config *config, enum guest_kind kind, int *ret_fd,
                          struct error *error)
{
    cleanup_free char *path =
        mem_format("%s/%s", config->paths.pve, kind == GUEST_LXC ? "lxc" : "qemu-server");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", path);
    *ret_fd = fd;
    return 0;
}

int pve_config_check_unlocked(uint32_t vmid, const struct guest_config *guest, struct error *error)
{
    if (!guest->lock)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "guest %u is locked (%s): wait until that is done, or unlock it if nothing is "
                "running",
                vmid, guest->lock);
}

static int check_text_unlocked(const struct pve_config *file, enum guest_kind kind, uint32_t vmid,
                               struct error *error)
{
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (guest_config_parse(kind, buffer_text(&file->text), file->text.length, &guest, error) < 0)
        return -1;
    return pve_config_check_unlocked(vmid, &guest, error);
}

static int open_and_lock(const struct config *config, enum guest_kind kind, uint32_t vmid,
                         uint32_t wait_ms, bool even_locked, struct pve_config *ret,
                         struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    (void)snprintf(file.name, sizeof file.name, "%u.conf", vmid);
    if (open_directory(config, kind, &file.dirfd, error) < 0 ||
        take_lock(config, kind, vmid, wait_ms, &file.lock_fd, error) < 0 ||
        file_read_at(file.dirfd, file.name, FILE_LIMIT, &file.text, error) < 0 ||
        (!even_locked && check_text_unlocked(&file, kind, vmid, error) < 0))
        return -1;
    *ret = file;
    file = PVE_CONFIG_CLOSED;
    return 0;
}

int pve_config_open(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error)
{
    return open_and_lock(config, kind, vmid, wait_ms, false, ret, error);
}

int pve_config_hold(const struct config *config, enum guest_kind kind, uint32_t vmid,
                    uint32_t wait_ms, struct pve_config *ret, struct error *error)
{
    return open_and_lock(config, kind, vmid, wait_ms, true, ret, error);
}

int pve_config_write(const struct pve_config *file, struct error *error)
{
    return pve_file_replace(file->dirfd, file->name, FILE_MODE, &file->text, error);
}

void pve_config_close(struct pve_config *file)
{
    cleanup_close_fn(&file->lock_fd);
    cleanup_close_fn(&file->dirfd);
    buffer_free(&file->text);
    *file = PVE_CONFIG_CLOSED;
}

/* --- the lines of its text --- */

/* Returns the line at an offset, with its line end. */
static struct slice line_at(const struct buffer *text, size_t start)
{
    const char *bytes = buffer_text(text) + start;
    size_t left = text->length - start;
    const char *end = memchr(bytes, '\n', left);
    return (struct slice){bytes, end ? (size_t)(end - bytes) + 1 : left};
}

/* Sections that Proxmox itself makes, besides those that guest_line knows; no snapshot can have
 * such a name. */
static bool is_special_section(struct slice name)
{
    static const char *const names[] = {"special:cloudinit", "special:fleecing"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (name.length == strlen(names[i]) && strncasecmp(name.text, names[i], name.length) == 0)
            return true;
    return false;
}

static bool is_section(struct slice line)
{
    struct slice trimmed = slice_trim_end(line, SPACES);
    bool bracketed =
        trimmed.length > 2 && trimmed.text[0] == '[' && trimmed.text[trimmed.length - 1] == ']';
    return guest_line_is_section(GUEST_LXC, line) ||
           (bracketed && is_special_section((struct slice){trimmed.text + 1, trimmed.length - 2}));
}

bool config_line_next(const struct buffer *text, struct config_line *line)
{
    size_t start = line->start + line->size;
    if (start >= text->length)
        return false;
    struct slice found = line_at(text, start);
    if (is_section(found))
        return false;
    size_t separator = 0;
    size_t key_length = guest_line_key(GUEST_LXC, found, &separator);
    struct slice value = slice_trim_end(slice_skip(found, key_length + separator), SPACES);
    size_t space = slice_span(value, SPACES);
    *line = (struct config_line){start, found.length, key_length,
                                 start + key_length + separator + space, value.length - space};
    return true;
}

char *config_line_key(const struct buffer *text, const struct config_line *line)
{
    return mem_copy_text_n(buffer_text(text) + line->start, line->key_length);
}

char *config_line_value(const struct buffer *text, const struct config_line *line)
{
    return mem_copy_text_n(buffer_text(text) + line->value_start,
                           line->key_length ? line->value_length : 0);
}

bool config_text_mentions(const struct buffer *text, const char *key)
{
    cleanup_free char *prefix = mem_format("%s:", key);
    for (size_t start = 0; start < text->length;) {
        struct slice line = line_at(text, start);
        if (slice_starts(line, prefix))
            return true;
        start += line.length;
    }
    return false;
}

/* Replaces the size bytes at start with length bytes. */
static void text_splice(struct buffer *text, size_t start, size_t size, const char *bytes,
                        size_t length)
{
    struct buffer spliced = BUFFER_EMPTY;
    buffer_add(&spliced, buffer_text(text), start);
    buffer_add(&spliced, bytes, length);
    buffer_add(&spliced, buffer_text(text) + start + size, text->length - start - size);
    buffer_free(text);
    *text = spliced;
}

static bool is_blank_line(const struct buffer *text, const struct config_line *line)
{
    struct slice content = {buffer_text(text) + line->start, line->size};
    return slice_span(content, SPACES) == content.length;
}

/* Returns the end of the last non-blank line of the live section. */
static size_t insertion_point(const struct buffer *text)
{
    size_t point = 0;
    for (struct config_line line = {0}; config_line_next(text, &line);)
        if (!is_blank_line(text, &line))
            point = line.start + line.size;
    return point;
}

/* Returns the line end that the text uses. A text that ends in a bare CR also gets CRLF, so that
 * removing the line again leaves that CR. */
static const char *line_end(const struct buffer *text)
{
    struct slice first = line_at(text, 0);
    const char *bytes = buffer_text(text);
    bool ends_in_cr = text->length > 0 && bytes[text->length - 1] == '\r';
    bool crlf = first.length >= 2 && first.text[first.length - 1] == '\n' &&
                first.text[first.length - 2] == '\r';
    return crlf || ends_in_cr ? "\r\n" : "\n";
}

void config_text_insert(struct buffer *text, const char *key, const char *value)
{
    size_t point = insertion_point(text);
    bool unended = point > 0 && buffer_text(text)[point - 1] != '\n';
    const char *end = line_end(text);
    cleanup_free char *line =
        mem_format("%s%s: %s%s", unended ? end : "", key, value, unended ? "" : end);
    text_splice(text, point, 0, line, strlen(line));
}

/* Returns the size of the line end before an offset. */
static size_t end_before(const struct buffer *text, size_t start)
{
    const char *bytes = buffer_text(text);
    if (start == 0 || bytes[start - 1] != '\n')
        return 0;
    return start >= 2 && bytes[start - 2] == '\r' ? 2 : 1;
}

void config_text_remove(struct buffer *text, struct config_line *line)
{
    bool ended = line->size > 0 && buffer_text(text)[line->start + line->size - 1] == '\n';
    size_t before = ended ? 0 : end_before(text, line->start);
    text_splice(text, line->start - before, line->size + before, "", 0);
    *line = (struct config_line){.start = line->start - before};
}

/* --- pending changes --- */

/* Returns "delete: KEY,..." without the key, "" if no other is left; NULL if the line is no such
 * list, or has not the key. The caller frees it. */
static char *deleted_without(struct slice line, const char *key)
{
    static const char separators[] = ",;" SPACES;
    cleanup_buffer struct buffer others = BUFFER_EMPTY;
    bool found = false;
    if (!slice_starts(line, "delete:"))
        return NULL;
    struct slice rest = slice_skip(line, strlen("delete:"));
    while ((rest = slice_skip(rest, slice_span(rest, separators))).length > 0) {
        size_t length = 0;
        while (length < rest.length && !text_is_one_of(rest.text[length], separators))
            length++;
        struct slice name = {rest.text, length};
        rest = slice_skip(rest, length);
        if (slice_equals(slice_skip(name, slice_starts(name, "!")), key))
            found = true;
        else
            buffer_add_format(&others, "%s%.*s", others.length ? "," : "delete: ", (int)length,
                              name.text);
    }
    if (!found)
        return NULL;
    if (others.length)
        buffer_add_text(&others, "\n");
    return mem_copy_text(buffer_text(&others));
}

void config_text_unpend(struct buffer *text, const char *key)
{
    cleanup_free char *prefix = mem_format("%s:", key);
    bool pending = false;
    for (size_t start = 0; start < text->length;) {
        struct slice line = line_at(text, start);
        if (guest_line_is_section(GUEST_LXC, line))
            pending = guest_line_is_pending(GUEST_LXC, line);
        cleanup_free char *rest = !pending                     ? NULL
                                  : slice_starts(line, prefix) ? mem_copy_text("")
                                                               : deleted_without(line, key);
        if (rest)
            text_splice(text, start, line.length, rest, strlen(rest));
        start += rest ? strlen(rest) : line.length;
    }
}
