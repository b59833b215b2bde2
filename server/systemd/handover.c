/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/handover.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/net/acceptor.h"
#include "server/systemd/notify.h"

#define NAME     "local_api" /* of the socket, in the manager's descriptor store */
#define FIRST_FD 3
#define FDS_MAX  1024

/* How many descriptors were passed to this process, from FIRST_FD on. */
static int passed_count(void)
{
    const char *process = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (!process || !count || strtoll(process, NULL, 10) != getpid())
        return 0;
    long long passed = strtoll(count, NULL, 10);
    return passed > 0 && passed <= FDS_MAX ? (int)passed : 0;
}

static void clear_environment(void)
{
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_PIDFDID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
}

static bool is_wanted(const struct handover *handover, const char *name)
{
    return handover->socket < 0 && strcmp(name, NAME) == 0;
}

/* Under our own name nothing is dropped: the manager would drop the socket that we take as well. */
static void decline_passed(int fd, const char *name)
{
    (void)close(fd);
    if (*name && strcmp(name, NAME) != 0)
        notify_drop(name);
}

/* A socket that another version of felhomd made may block, and all passed descriptors are inherited
 * across an exec. */
static void accept_passed(struct handover *handover, int fd)
{
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    handover->socket = fd;
}

void handover_begin(struct handover *handover)
{
    const char *variable = getenv("LISTEN_FDNAMES");
    cleanup_free char *names = mem_copy_text(variable ? variable : "");
    char *rest = names;
    int end = FIRST_FD + passed_count();
    handover->socket = -1;
    for (int fd = FIRST_FD; fd < end; fd++) {
        const char *name = strsep(&rest, ":");
        if (name && is_wanted(handover, name))
            accept_passed(handover, fd);
        else
            decline_passed(fd, name ? name : "");
    }
    clear_environment();
}

void handover_end(struct handover *handover)
{
    if (handover->socket >= 0)
        (void)close(steal_fd(&handover->socket));
}

/* The manager drops the socket in its own time, but the socket must stop listening at once: the
 * next address may be one that includes this one (0.0.0.0). */
static void give_socket_up(struct handover *handover)
{
    if (handover->socket < 0)
        return;
    (void)shutdown(handover->socket, SHUT_RDWR);
    notify_drop(NAME);
    handover_end(handover);
}

int handover_socket(struct handover *handover, const struct sockaddr_in *address, int *ret,
                    struct error *error)
{
    if (handover->socket < 0 || !listening_on(handover->socket, address)) {
        give_socket_up(handover);
        if (listening_open(address, &handover->socket, error) < 0)
            return -1;
        notify_keep(NAME, handover->socket);
    }
    *ret = handover->socket;
    return 0;
}
