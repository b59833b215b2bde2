/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/host_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pve/guest_lines.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

#define STATE_MODE    0755
#define SNIPPETS_MODE 0755
#define NOBODY        ((uid_t)-1)

/* --- the state directory --- */

int host_setup_owner(const char *user, struct owner *ret, bool *ret_known, struct error *error)
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

/* The store's files are not included: the store sets their owner whenever it is opened. */
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

int host_setup_state(const char *path, struct owner owner, bool *ret_changed, struct error *error)
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

/* --- the link to the hook --- */

static int check_hook(const char *hook, struct error *error)
{
    struct stat status;
    if (hook[0] != '/')
        return fail(error, ERROR_INVALID, "%s: the hook's path must be absolute", hook);
    if (stat(hook, &status) < 0 || !S_ISREG(status.st_mode) || access(hook, X_OK) < 0)
        return fail(error, ERROR_MISSING,
                    "%s is not a program that can be run, so no guest could start with it: install "
                    "felhom-agent, or name the hook with --hook",
                    hook);
    return 0;
}

static int check_link(int dirfd, const char *directory, const char *hook, struct error *error)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(dirfd, HOOKSCRIPT_NAME, target, sizeof target - 1);
    if (length < 0 && errno != EINVAL)
        return fail_errno(error, errno, "cannot read %s/" HOOKSCRIPT_NAME, directory);
    target[length < 0 ? 0 : length] = '\0';
    if (strcmp(target, hook) == 0)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "%s/" HOOKSCRIPT_NAME " is %s%.200s, not a link to %s: look at it, then move it "
                "away",
                directory, length < 0 ? "a file" : "a link to ", target, hook);
}

int host_setup_remove_snippet(const char *directory, const struct snippet_made *made,
                              struct error *error)
{
    cleanup_free char *link = mem_format("%s/%s", directory, HOOKSCRIPT_NAME);
    if (made->link && unlink(link) < 0 && errno != ENOENT)
        return fail_errno(error, errno, "cannot remove %s", link);
    if (made->directory && rmdir(directory) < 0 && errno != ENOENT && errno != ENOTEMPTY)
        return fail_errno(error, errno, "cannot remove %s", directory);
    return 0;
}

int host_setup_snippet(const char *directory, const char *hook, struct steps *steps,
                       struct snippet_made *ret_made, struct error *error)
{
    bool missing = access(directory, F_OK) < 0 && errno == ENOENT;
    cleanup_close int dirfd = -1;
    if (check_hook(hook, error) < 0)
        return -1;
    if (directory_make(directory, SNIPPETS_MODE, NOBODY, (gid_t)-1, &dirfd, error) < 0)
        return fail_context(error, "snippets directory (--snippets names another)");
    if (ret_made)
        *ret_made = (struct snippet_made){missing, false};
    bool made = symlinkat(hook, dirfd, HOOKSCRIPT_NAME) == 0;
    if (!made && errno != EEXIST)
        return fail_errno(error, errno, "cannot link %s/" HOOKSCRIPT_NAME, directory);
    if (!made && check_link(dirfd, directory, hook, error) < 0)
        return -1;
    steps_add(steps, made ? STEP_DONE : STEP_ALREADY, "snippet", "%s/%s -> %s", directory,
              HOOKSCRIPT_NAME, hook);
    if (ret_made)
        ret_made->link = made;
    return 0;
}
