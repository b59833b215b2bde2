/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/surroundings.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/documents/settings.h"

static int clean_descriptors(struct error *error)
{
    int fd;
    /* A missing 0, 1 or 2 would be handed out as the store's descriptor, and messages written into
     * it. */
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return fail_errno(error, errno, "/dev/null");
    if (close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
        return fail_errno(error, errno, "closing inherited descriptors");
    return 0;
}

static int clean_environment(struct error *error)
{
    const char *path = getenv(SETTINGS_VARIABLE);
    cleanup_free char *kept = path ? mem_copy_text(path) : NULL;
    if (clearenv() != 0)
        return fail(error, ERROR_SYSTEM, "cannot clear the environment");
    if (kept && setenv(SETTINGS_VARIABLE, kept, 1) < 0)
        return fail_errno(error, errno, "setenv");
    return 0;
}

static void forbid_core_dumps(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0);
}

int surroundings_clean(struct error *error)
{
    if (clean_descriptors(error) < 0 || clean_environment(error) < 0)
        return -1;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077);
    if (chdir("/") < 0)
        return fail_errno(error, errno, "/");
    forbid_core_dumps();
    return 0;
}
