/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/guest_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define PARENT_MODE      0711 /* the guest's mapped root must get through to its directory */
#define DIRECTORY_MODE   0700
#define UNCHANGED        ((uid_t)-1)
#define FILE_LIMIT       ((size_t)16 << 20)
#define TOKEN_FILE_LIMIT 4096

int guest_directory_lock(const struct config *config, uint32_t vmid, int *ret_fd,
                         struct error *error)
{
    char name[32];
    cleanup_close int fd = -1;
    (void)snprintf(name, sizeof name, "hook-%u.lock", vmid);
    if (file_open_lock(config->paths.run, name, &fd, error) < 0)
        return -1;
    if (TEMP_FAILURE_RETRY(flock(fd, LOCK_EX)) < 0)
        return fail_errno(error, errno, "%s/%s", config->paths.run, name);
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* A guest's directory and its parent. Descriptors are -1 while not open. */
struct opening {
    int parent;
    int fd;
    char name[sizeof "4294967295"];
    char *path; /* for messages */
};

static void opening_close(struct opening *opening)
{
    cleanup_close_fn(&opening->parent);
    cleanup_close_fn(&opening->fd);
    free(opening->path);
}
#define cleanup_opening cleanup(opening_close)

static struct opening opening_new(const char *guests_dir, uint32_t vmid)
{
    struct opening opening = {.parent = -1, .fd = -1};
    (void)snprintf(opening.name, sizeof opening.name, "%u", vmid);
    opening.path = mem_format("%s/%u", guests_dir, vmid);
    return opening;
}

/* Opens the directory and creates it if missing. An existing directory is never replaced, because
 * the guest's mount refers to its inode. */
static int opening_make(struct opening *opening, const char *guests_dir, bool *ret_made,
                        struct error *error)
{
    if (directory_make(guests_dir, PARENT_MODE, UNCHANGED, UNCHANGED, &opening->parent, error) < 0)
        return -1;
    *ret_made = mkdirat(opening->parent, opening->name, DIRECTORY_MODE) == 0;
    if (!*ret_made && errno != EEXIST)
        return fail_errno(error, errno, "cannot make %s", opening->path);
    return directory_open_at(opening->parent, opening->name, opening->path, &opening->fd, error);
}

static int opening_settle(const struct opening *opening, uid_t uid, gid_t gid, struct error *error)
{
    if (file_settle(opening->fd, DIRECTORY_MODE, uid, gid) < 0)
        return fail_errno(error, errno, "cannot set owner and mode of %s", opening->path);
    return 0;
}

/* Opens the directory if it exists; otherwise leaves opening->fd at -1. */
static int opening_find(struct opening *opening, const char *guests_dir, struct error *error)
{
    struct error problem;
    if (directory_open(guests_dir, &opening->parent, &problem) == 0 &&
        directory_open_at(opening->parent, opening->name, opening->path, &opening->fd, &problem) ==
            0)
        return 0;
    return fail_unless_missing(error, &problem);
}

/* The four files, in the order in which they are published. */
static const struct guest_file {
    const char *name;
    size_t content; /* offset of its buffer in struct guest_files */
    mode_t mode;
    bool secret;   /* deleted when the guest stops */
    bool optional; /* missing where its content is empty */
} contents[GUEST_FILE_COUNT] = {
    {"agent.crt", offsetof(struct guest_files, agent_crt), 0644, false, false},
    {"controller.yaml", offsetof(struct guest_files, controller_yaml), 0600, true, true},
    {"bootstrap.json", offsetof(struct guest_files, bootstrap_json), 0600, true, false},
    {"token", offsetof(struct guest_files, token), 0600, true, false},
};

void guest_files_free(struct guest_files *files)
{
    buffer_free(&files->token);
    buffer_free(&files->bootstrap_json);
    buffer_free(&files->controller_yaml);
    buffer_free(&files->agent_crt);
}

static const struct buffer *content_of(const struct guest_files *files,
                                       const struct guest_file *file)
{
    return (const struct buffer *)(const void *)((const char *)files + file->content);
}

static int guest_draft_write(const struct guest_file *file, const struct buffer *content, uid_t uid,
                             gid_t gid, int dirfd, struct file_draft *ret, struct error *error)
{
    return file_draft_write(dirfd, file->name, file->mode, uid, gid, content->data, content->length,
                            false, ret, error);
}

int guest_directory_open(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid, int *ret_fd,
                         struct error *error)
{
    cleanup_opening struct opening directory = opening_new(guests_dir, vmid);
    bool made;
    if (opening_make(&directory, guests_dir, &made, error) < 0 ||
        opening_settle(&directory, uid, gid, error) < 0)
        return -1;
    *ret_fd = steal_fd(&directory.fd);
    return 0;
}

int guest_drafts_write(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                       const struct guest_files *files, struct guest_drafts *ret,
                       struct error *error)
{
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = steal_fd(&ret->dirfd)};
    if (drafts.dirfd < 0 &&
        guest_directory_open(guests_dir, vmid, uid, gid, &drafts.dirfd, error) < 0)
        return -1;
    if (file_drafts_clear(drafts.dirfd, error) < 0)
        return fail_context(error, "%s/%u", guests_dir, vmid);
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        const struct buffer *content = content_of(files, &contents[i]);
        if (contents[i].optional && content->length == 0)
            continue;
        if (guest_draft_write(&contents[i], content, uid, gid, drafts.dirfd, &drafts.drafts[i],
                              error) < 0)
            return fail_context(error, "%s/%u", guests_dir, vmid);
        drafts.count++;
    }
    *ret = drafts;
    drafts.dirfd = -1;
    return 0;
}

int guest_drafts_publish(struct guest_drafts *drafts, struct error *error)
{
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        const char *name = contents[i].name;
        if (!drafts->drafts[i].name[0]) {
            if (unlinkat(drafts->dirfd, name, 0) < 0 && errno != ENOENT)
                return fail_errno(error, errno, "cannot remove %s", name);
        } else if (file_draft_publish(&drafts->drafts[i], name, false, error) < 0) {
            return -1;
        }
    }
    return 0;
}

void guest_drafts_free(struct guest_drafts *drafts)
{
    if (drafts->dirfd < 0)
        return;
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++)
        file_draft_drop(&drafts->drafts[i]);
    (void)close(drafts->dirfd);
    drafts->dirfd = -1;
}

int guest_directory_make(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                         bool *ret_made, struct error *error)
{
    cleanup_opening struct opening directory = opening_new(guests_dir, vmid);
    bool made;
    if (opening_make(&directory, guests_dir, &made, error) < 0 ||
        (made && opening_settle(&directory, uid, gid, error) < 0))
        return -1;
    *ret_made = made;
    return 0;
}

static int opening_remove_file(const struct opening *directory, const char *name,
                               struct error *error)
{
    if (unlinkat(directory->fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    return fail_errno(error, errno, "cannot remove %s/%s", directory->path, name);
}

/* If one file cannot be removed, the others are removed nevertheless. The token goes first: without
 * it, the directory does not pass for that of a running guest. */
static int opening_remove_files(const struct opening *directory, bool only_secrets,
                                struct error *error)
{
    int result = file_drafts_clear(directory->fd, error);
    if (result < 0)
        (void)fail_context(error, "%s", directory->path);
    for (size_t i = GUEST_FILE_COUNT; i > 0; i--) {
        const struct guest_file *file = &contents[i - 1];
        bool goes = file->secret || !only_secrets;
        if (goes && opening_remove_file(directory, file->name, error) < 0)
            result = -1;
    }
    return result;
}

int guest_directory_scrub(const char *guests_dir, uint32_t vmid, struct error *error)
{
    cleanup_opening struct opening directory = opening_new(guests_dir, vmid);
    if (opening_find(&directory, guests_dir, error) < 0)
        return -1;
    return directory.fd < 0 ? 0 : opening_remove_files(&directory, true, error);
}

static int opening_fail_others(const struct opening *directory, struct error *error)
{
    return fail(error, ERROR_CONFLICT,
                "%s holds files that are not the agent's: look at them, then remove it",
                directory->path);
}

static bool is_agents_file(const char *name)
{
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++)
        if (strcmp(name, contents[i].name) == 0)
            return true;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || file_is_draft(name);
}

int guest_directory_check_removable(const char *guests_dir, uint32_t vmid, struct error *error)
{
    const struct dirent *entry;
    cleanup_opening struct opening directory = opening_new(guests_dir, vmid);
    if (opening_find(&directory, guests_dir, error) < 0)
        return -1;
    if (directory.fd < 0)
        return 0;
    cleanup_directory DIR *listing = opendir(directory.path);
    if (!listing)
        return fail_errno(error, errno, "cannot list %s", directory.path);
    while ((entry = readdir(listing)))
        if (!is_agents_file(entry->d_name))
            return opening_fail_others(&directory, error);
    return 0;
}

int guest_directory_remove(const char *guests_dir, uint32_t vmid, struct error *error)
{
    cleanup_opening struct opening directory = opening_new(guests_dir, vmid);
    if (opening_find(&directory, guests_dir, error) < 0)
        return -1;
    if (directory.fd < 0)
        return 0;
    if (opening_remove_files(&directory, false, error) < 0)
        return -1;
    if (unlinkat(directory.parent, directory.name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY)
        return opening_fail_others(&directory, error);
    return fail_errno(error, errno, "cannot remove %s", directory.path);
}

static int directory_has_secrets(int fd, bool *ret, struct error *error)
{
    struct stat status;
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        const char *name = contents[i].name;
        bool needed = contents[i].secret && !contents[i].optional;
        if (!needed || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        *ret = false;
        return errno == ENOENT ? 0 : fail_errno(error, errno, "cannot look at %s", name);
    }
    *ret = true;
    return 0;
}

/* Parses the content of the file token: the token and a newline. */
static bool token_file_parse(const struct buffer *content, struct token_text *ret)
{
    size_t length = content->length > 0 ? content->length - 1 : 0;
    return token_text_parse(buffer_text(content), length, ret);
}

static int directory_read_token(int fd, struct guest_directory *ret, struct token_text *ret_token,
                                struct error *error)
{
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    if (file_read_at(fd, "token", TOKEN_FILE_LIMIT, &content, error) < 0)
        return -1;
    if (token_file_parse(&content, ret_token))
        (void)snprintf(ret->token_id, sizeof ret->token_id, "%s", ret_token->id);
    return 0;
}

static int directory_inspect(int fd, struct guest_directory *ret, struct token_text *ret_token,
                             struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return fail_errno(error, errno, "cannot look at it");
    ret->exists = true;
    ret->uid = status.st_uid;
    ret->gid = status.st_gid;
    if (directory_has_secrets(fd, &ret->live, error) < 0)
        return -1;
    return ret->live ? directory_read_token(fd, ret, ret_token, error) : 0;
}

int guest_directory_inspect(const char *guests_dir, uint32_t vmid, struct guest_directory *ret,
                            struct error *error)
{
    cleanup_token_text struct token_text token = {0};
    return guest_directory_inspect_token(guests_dir, vmid, ret, &token, error);
}

int guest_directory_inspect_token(const char *guests_dir, uint32_t vmid,
                                  struct guest_directory *ret, struct token_text *ret_token,
                                  struct error *error)
{
    struct guest_directory found = {.live = false};
    cleanup_opening struct opening directory = opening_new(guests_dir, vmid);
    if (opening_find(&directory, guests_dir, error) < 0)
        return -1;
    if (directory.fd >= 0 && directory_inspect(directory.fd, &found, ret_token, error) < 0)
        return fail_context(error, "%s", directory.path);
    *ret = found;
    return 0;
}

int guest_directory_read(const char *guests_dir, uint32_t vmid, const char *name,
                         struct buffer *out, struct error *error)
{
    cleanup_opening struct opening directory = opening_new(guests_dir, vmid);
    if (opening_find(&directory, guests_dir, error) < 0)
        return -1;
    if (directory.fd < 0)
        return fail(error, ERROR_MISSING, "%s: no such directory", directory.path);
    if (file_read_at(directory.fd, name, FILE_LIMIT, out, error) < 0)
        return fail_context(error, "%s", directory.path);
    return 0;
}

int guest_directory_read_token(const char *guests_dir, uint32_t vmid, struct token_text *ret,
                               struct error *error)
{
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    if (guest_directory_read(guests_dir, vmid, "token", &content, error) < 0)
        return -1;
    if (token_file_parse(&content, ret))
        return 0;
    return fail(error, ERROR_INVALID, "%s/%u: token: holds no token", guests_dir, vmid);
}
