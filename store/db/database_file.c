/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/database_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

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
    if (place->only_looks || geteuid() != 0 ||
        (now->st_uid == place->uid && now->st_gid == place->gid))
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
                 off_t *ret_size, struct error *error)
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
    *ret_size = now.st_size;
    return 0;
}

static int adopt_file(const struct place *place, const char *name, off_t *ret_size,
                      struct error *error)
{
    cleanup_close int fd = -1;
    return adopt(place, name, S_IFREG, &fd, ret_size, error);
}

/* One that is not there is as good as empty. */
static int adopt_companion(const struct place *place, const char *name, off_t *ret_size,
                           struct error *error)
{
    struct error failure;
    *ret_size = 0;
    if (adopt_file(place, name, ret_size, &failure) == 0 || failure.kind == ERROR_MISSING)
        return 0;
    *error = failure;
    return -1;
}

/* SQLite would take the log for a stale one, and throw it away. No death leaves it so: a log begins
 * once the database has. */
static int check_beginning(const char *path, off_t size, off_t log_size, struct error *error)
{
    if (size > 0 || log_size == 0)
        return 0;
    return database_file_damaged(path, "it is empty beside its log", error);
}

static int adopt_files(const struct place *db, const char *path, struct error *error)
{
    off_t size;
    off_t log_size;
    off_t index_size;
    if (adopt_file(db, "agent.db", &size, error) < 0 ||
        adopt_companion(db, "agent.db-wal", &log_size, error) < 0 ||
        adopt_companion(db, "agent.db-shm", &index_size, error) < 0)
        return -1;
    return check_beginning(path, size, log_size, error);
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
    off_t ignored;
    if (create && make(state, "db", S_IFDIR, error) < 0)
        return -1;
    ret->path = mem_format("%s/db", state->path);
    ret->uid = state->uid;
    ret->gid = state->gid;
    ret->only_looks = state->only_looks;
    return adopt(state, "db", S_IFDIR, &ret->fd, &ignored, error);
}

static int find(const char *state_dir, struct place *state, bool create, char **ret_path,
                struct error *error)
{
    cleanup_place struct place db = {.fd = -1};
    cleanup_free char *path = NULL;
    if (open_state(state_dir, state, error) < 0 || open_db(state, create, &db, error) < 0 ||
        (create && make(&db, "agent.db", S_IFREG, error) < 0))
        return -1;
    path = mem_format("%s/agent.db", db.path);
    if (adopt_files(&db, path, error) < 0)
        return -1;
    *ret_path = steal(path);
    return 0;
}

int database_file_ready(const char *state_dir, bool create, char **ret_path, struct error *error)
{
    cleanup_place struct place state = {.fd = -1};
    return find(state_dir, &state, create, ret_path, error);
}

int database_file_find(const char *state_dir, char **ret_path, struct error *error)
{
    cleanup_place struct place state = {.fd = -1, .only_looks = true};
    return find(state_dir, &state, false, ret_path, error);
}

int database_file_damaged(const char *path, const char *why, struct error *error)
{
    int folder = (int)(strrchr(path, '/') - path);
    return fail(error, ERROR_CORRUPT,
                "the store %s is damaged (%s): move the directory %.*s away and run `felhomctl "
                "init`; each guest gets a new token at its next start",
                path, why, folder, path);
}
