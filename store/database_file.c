/* SPDX-License-Identifier: Apache-2.0 */
#include "store/database_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "schema/cleanup.h"
#include "schema/memory.h"
#include "store/place.h"

/* What SQLite adds beside the database; it makes them itself, with the database's owner and mode.
 */
static const char *const companions[] = {"agent.db-wal", "agent.db-shm"};

static int make(const struct place *place, const char *name, mode_t type, struct error *error)
{
    int r = type == S_IFDIR ? mkdirat(place->fd, name, 0700)
                            : mknodat(place->fd, name, S_IFREG | 0600, 0);
    if (r < 0 && errno != EEXIST)
        return fail_errno(error, errno, "cannot make %s/%s", place->path, name);
    return 0;
}

/* A run that was killed between making a file and giving it away leaves root's behind. */
static int give_away(int fd, const struct place *place, const char *name, const struct stat *now,
                     struct error *error)
{
    if (geteuid() != 0 || (now->st_uid == place->uid && now->st_gid == place->gid))
        return 0;
    if (S_ISREG(now->st_mode) && now->st_nlink != 1)
        return fail(error, ERROR_DENIED,
                    "%s/%s has a wrong owner and a second name elsewhere: remove one of them",
                    place->path, name);
    if (fchownat(fd, "", place->uid, place->gid, AT_EMPTY_PATH) < 0)
        return fail_errno(error, errno, "cannot give %s/%s to its owner", place->path, name);
    return 0;
}

/*
 * Opens an entry as a mere handle: closing a real descriptor of the database would drop the locks
 * that this process's other connections hold on it.
 */
static int adopt(const struct place *place, const char *name, mode_t type, int *ret_fd,
                 struct error *error)
{
    cleanup_close int fd = openat(place->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat now;
    if (fd < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no store at %s/%s: run `felhomctl init`",
                    place->path, name);
    if (fd < 0 || fstat(fd, &now) < 0)
        return fail_errno(error, errno, "cannot open %s/%s", place->path, name);
    if ((now.st_mode & S_IFMT) != type)
        return fail(error, ERROR_DENIED, "%s/%s is not a %s: move it away", place->path, name,
                    type == S_IFDIR ? "directory" : "regular file");
    if (give_away(fd, place, name, &now, error) < 0)
        return -1;
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int adopt_file(const struct place *place, const char *name, struct error *error)
{
    cleanup_close int fd = -1;
    return adopt(place, name, S_IFREG, &fd, error);
}

static int adopt_companions(const struct place *place, struct error *error)
{
    for (size_t i = 0; i < ARRAY_SIZE(companions); i++) {
        struct error failure;
        if (adopt_file(place, companions[i], &failure) < 0 && failure.kind != ERROR_MISSING) {
            *error = failure;
            return -1;
        }
    }
    return 0;
}

/* The state directory as the operator named it: links on the way there are the operator's. */
static int open_state(const char *state_dir, struct place *ret, struct error *error)
{
    struct stat state;
    ret->path = realpath(state_dir, NULL);
    if (!ret->path && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no state directory %s: run `felhomctl init`",
                    state_dir);
    if (ret->path)
        ret->fd = open(ret->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ret->fd < 0 || fstat(ret->fd, &state) < 0)
        return fail_errno(error, errno, "cannot open the state directory %s", state_dir);
    ret->uid = state.st_uid;
    ret->gid = state.st_gid;
    return 0;
}

static int open_db(const struct place *state, bool create, struct place *ret, struct error *error)
{
    if (create && make(state, "db", S_IFDIR, error) < 0)
        return -1;
    ret->path = mem_format("%s/db", state->path);
    ret->uid = state->uid;
    ret->gid = state->gid;
    return adopt(state, "db", S_IFDIR, &ret->fd, error);
}

int database_file_ready(const char *state_dir, bool create, char **ret_path, struct error *error)
{
    cleanup_place struct place state = {.fd = -1};
    cleanup_place struct place db = {.fd = -1};
    if (open_state(state_dir, &state, error) < 0 || open_db(&state, create, &db, error) < 0 ||
        (create && make(&db, "agent.db", S_IFREG, error) < 0) ||
        adopt_file(&db, "agent.db", error) < 0 || adopt_companions(&db, error) < 0)
        return -1;
    *ret_path = mem_format("%s/agent.db", db.path);
    return 0;
}
