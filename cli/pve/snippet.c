/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/snippet.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pve/guest_lines.h"
#include "schema/base/cleanup.h"
#include "store/files/file.h"

static int check_hook(const char *hook, struct error *error)
{
    struct stat status;
    if (hook[0] != '/')
        return fail(error, ERROR_INVALID, "%s: the hook's path must be absolute", hook);
    if (stat(hook, &status) < 0 || !S_ISREG(status.st_mode) || access(hook, X_OK) < 0)
        return fail(error, ERROR_MISSING,
                    "%s is no program that can be run, so no guest could start with it: install "
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
                directory, length < 0 ? "a file of its own" : "a link to ", target, hook);
}

int snippet_make(const char *directory, const char *hook, struct steps *steps, struct error *error)
{
    cleanup_close int dirfd = -1;
    if (check_hook(hook, error) < 0)
        return -1;
    if (directory_make(directory, 0755, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0)
        return fail_context(error, "snippets directory (--snippets names another)");
    bool made = symlinkat(hook, dirfd, HOOKSCRIPT_NAME) == 0;
    if (!made && errno != EEXIST)
        return fail_errno(error, errno, "cannot link %s/" HOOKSCRIPT_NAME, directory);
    if (!made && check_link(dirfd, directory, hook, error) < 0)
        return -1;
    steps_add(steps, made ? STEP_DONE : STEP_ALREADY, "snippet", "%s/%s -> %s", directory,
              HOOKSCRIPT_NAME, hook);
    return 0;
}
