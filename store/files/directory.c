/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define PARENT_MODE    0711 /* the mount is made by the guest's own user, who must get through */
#define DIRECTORY_MODE 0700
#define NOBODY         ((uid_t)-1)

/* In the order in which they are published. */
static const struct guest_file {
    const char *name;
    size_t content; /* where its buffer stands in struct guest_files */
    mode_t mode;
    bool secret; /* goes when the guest stops */
} contents[GUEST_FILE_COUNT] = {
    {"agent.crt", offsetof(struct guest_files, agent_crt), 0644, false},
    {"controller.yaml", offsetof(struct guest_files, controller_yaml), 0600, true},
    {"bootstrap.json", offsetof(struct guest_files, bootstrap_json), 0600, true},
    {"token", offsetof(struct guest_files, token), 0600, true},
};

/* A guest's directory and the one it stands in, both open, or -1. */
struct guest_place {
    int parent;
    int fd;
    char name[sizeof "4294967295"];
    char *path; /* for messages */
};

static void guest_place_free(struct guest_place *place)
{
    cleanup_close_fn(&place->parent);
    cleanup_close_fn(&place->fd);
    free(place->path);
}
#define cleanup_guest_place cleanup(guest_place_free)

static struct guest_place guest_place_of(const char *guests_dir, uint32_t vmid)
{
    struct guest_place place = {.parent = -1, .fd = -1};
    (void)snprintf(place.name, sizeof place.name, "%u", vmid);
    place.path = mem_format("%s/%u", guests_dir, vmid);
    return place;
}

void guest_files_free(struct guest_files *files)
{
    buffer_free(&files->token);
    buffer_free(&files->bootstrap_json);
    buffer_free(&files->controller_yaml);
    buffer_free(&files->agent_crt);
}

/* Makes what is missing; what is there stays the same inode, as the guest's mount holds it. */
static int guest_place_make(struct guest_place *place, const char *guests_dir, uid_t uid, gid_t gid,
                            struct error *error)
{
    if (directory_make(guests_dir, PARENT_MODE, NOBODY, NOBODY, &place->parent, error) < 0)
        return -1;
    if (mkdirat(place->parent, place->name, DIRECTORY_MODE) < 0 && errno != EEXIST)
        return fail_errno(error, errno, "cannot make %s", place->path);
    if (directory_open_at(place->parent, place->name, place->path, &place->fd, error) < 0)
        return -1;
    if (file_settle(place->fd, DIRECTORY_MODE, uid, gid) < 0)
        return fail_errno(error, errno, "cannot set owner and mode of %s", place->path);
    return 0;
}

/* Leaves place->fd at -1 where there is no directory. */
static int guest_place_find(struct guest_place *place, const char *guests_dir, struct error *error)
{
    struct error problem;
    if (directory_open(guests_dir, &place->parent, &problem) == 0 &&
        directory_open_at(place->parent, place->name, place->path, &place->fd, &problem) == 0)
        return 0;
    if (problem.kind == ERROR_MISSING)
        return 0;
    *error = problem;
    return -1;
}

static int draft_write(const struct guest_file *file, const struct guest_files *files, uid_t uid,
                       gid_t gid, int dirfd, struct file_draft *ret, struct error *error)
{
    const struct buffer *content =
        (const struct buffer *)(const void *)((const char *)files + file->content);
    return file_draft_write(dirfd, file->name, file->mode, uid, gid, content->data, content->length,
                            false, ret, error);
}

int guest_drafts_write(const char *guests_dir, uint32_t vmid, uid_t uid, gid_t gid,
                       const struct guest_files *files, struct guest_drafts *ret,
                       struct error *error)
{
    cleanup_guest_place struct guest_place place = guest_place_of(guests_dir, vmid);
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    if (guest_place_make(&place, guests_dir, uid, gid, error) < 0)
        return -1;
    drafts.dirfd = steal_fd(&place.fd);
    if (file_drafts_clear(drafts.dirfd, error) < 0)
        return fail_context(error, "%s", place.path);
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        if (draft_write(&contents[i], files, uid, gid, drafts.dirfd, &drafts.drafts[i], error) < 0)
            return fail_context(error, "%s", place.path);
    }
    *ret = drafts;
    drafts.dirfd = -1;
    return 0;
}

int guest_drafts_publish(struct guest_drafts *drafts, struct error *error)
{
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        if (file_draft_publish(&drafts->drafts[i], contents[i].name, false, error) < 0)
            return -1;
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

static int remove_file(const struct guest_place *place, const char *name, struct error *error)
{
    if (unlinkat(place->fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    return fail_errno(error, errno, "cannot remove %s/%s", place->path, name);
}

/* One that cannot be removed does not keep the others from going. */
static int remove_files(const struct guest_place *place, bool only_secrets, struct error *error)
{
    int result = file_drafts_clear(place->fd, error);
    if (result < 0)
        (void)fail_context(error, "%s", place->path);
    for (size_t i = 0; i < GUEST_FILE_COUNT; i++) {
        bool goes = contents[i].secret || !only_secrets;
        if (goes && remove_file(place, contents[i].name, error) < 0)
            result = -1;
    }
    return result;
}

int guest_directory_scrub(const char *guests_dir, uint32_t vmid, struct error *error)
{
    cleanup_guest_place struct guest_place place = guest_place_of(guests_dir, vmid);
    if (guest_place_find(&place, guests_dir, error) < 0)
        return -1;
    return place.fd < 0 ? 0 : remove_files(&place, true, error);
}

int guest_directory_remove(const char *guests_dir, uint32_t vmid, struct error *error)
{
    cleanup_guest_place struct guest_place place = guest_place_of(guests_dir, vmid);
    if (guest_place_find(&place, guests_dir, error) < 0)
        return -1;
    if (place.fd < 0)
        return 0;
    if (remove_files(&place, false, error) < 0)
        return -1;
    if (unlinkat(place.parent, place.name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY)
        return fail(error, ERROR_CONFLICT,
                    "%s holds files that are not the agent's: look at them, then remove it",
                    place.path);
    return fail_errno(error, errno, "cannot remove %s", place.path);
}
