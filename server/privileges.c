/* SPDX-License-Identifier: Apache-2.0 */
#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENT_USER "felhom-agent"

void privileges_seal(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static bool user_owns(const struct passwd *user, const char *directory)
{
    struct stat status;
    return stat(directory, &status) == 0 && status.st_uid == user->pw_uid;
}

int privileges_drop(const char *state_dir, struct error *error)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(AGENT_USER) : NULL;
    if (!user || !user_owns(user, state_dir))
        return 0;
    if (initgroups(user->pw_name, user->pw_gid) < 0 ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
        return fail_errno(error, errno, "cannot become the user " AGENT_USER);
    /* Linux makes a process dumpable again when it changes its user. */
    privileges_seal();
    return 0;
}
