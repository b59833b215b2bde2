/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/state_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "store/files/file.h"

#define STATE_MODE 0755
#define NOBODY     ((uid_t)-1)

int state_owner_find(const char *user, struct owner *ret, bool *ret_known, struct error *error)
{
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    bool answered = errno == 0 || errno == ENOENT || errno == ESRCH;
    if (!entry && !answered)
        return fail_errno(error, errno, "cannot look up the user %s", user);
    *ret_known = entry != NULL;
    *ret = (struct owner){NOBODY, (gid_t)-1};
    if (entry && geteuid() == 0)
        *ret = (struct owner){entry->pw_uid, entry->pw_gid};
    return 0;
}

/* The store hands over its own files whenever it is opened. */
static int hand_over_identity(int state, struct owner owner)
{
    static const char *const names[] = {"agent.pem", "agent.crt",    "next.pem",
                                        "next.crt",  "previous.pem", "previous.crt"};
    cleanup_close int tls = openat(state, "tls", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tls < 0)
        return errno == ENOENT ? 0 : -1;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (fchownat(tls, names[i], owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) < 0 &&
            errno != ENOENT)
            return -1;
    return fchown(tls, owner.uid, owner.gid);
}

int state_directory_ready(const char *path, struct owner owner, bool *ret_changed,
                          struct error *error)
{
    struct stat status;
    bool missing = access(path, F_OK) < 0 && errno == ENOENT;
    cleanup_close int fd = -1;
    if (directory_make(path, STATE_MODE, owner.uid, owner.gid, &fd, error) < 0)
        return -1;
    if (fstat(fd, &status) < 0)
        return fail_errno(error, errno, "cannot look at %s", path);
    bool hand_over = owner.uid != NOBODY && owner.uid != 0 && status.st_uid == 0;
    if (hand_over && (hand_over_identity(fd, owner) < 0 || fchown(fd, owner.uid, owner.gid) < 0))
        return fail_errno(error, errno, "cannot hand %s over to uid %u", path, owner.uid);
    *ret_changed = missing || hand_over;
    return 0;
}
