/* SPDX-License-Identifier: Apache-2.0 */
#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* Takes CAP_NET_RAW out of this process's bounding and ambient set; the kernel takes it out of the
 * ambient set whenever it leaves the inheritable one. A set that lacks it is left alone, because a
 * sandbox may forbid even that. */
static int drop_raw_from_bounds(void)
{
    if (prctl(PR_CAPBSET_READ, CAP_NET_RAW, 0, 0, 0) != 1)
        return 0;
    return prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0);
}

static int drop_raw_from_sets(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    const uint32_t raw = UINT32_C(1) << CAP_NET_RAW;
    if (syscall(SYS_capget, &header, sets) < 0)
        return -1;
    struct __user_cap_data_struct *set = &sets[CAP_NET_RAW / 32];
    if (((set->effective | set->permitted | set->inheritable) & raw) == 0)
        return 0;
    set->effective &= ~raw;
    set->permitted &= ~raw;
    set->inheritable &= ~raw;
    return (int)syscall(SYS_capset, &header, sets);
}

int privileges_drop_raw(struct error *error)
{
    if (drop_raw_from_bounds() == 0 && drop_raw_from_sets() == 0)
        return 0;
    return fail_errno(error, errno, "cannot give up CAP_NET_RAW");
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
