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

#define NAME     "local_api" /* the socket's name in the manager's descriptor store */
#define FIRST_FD 3
#define FDS_MAX  1024

/* Returns how many descriptors were passed to this process, from FIRST_FD on. */
static int passed_fd_count(void)
{
    const char *process = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (!process || !count || strtoll(process, NULL, 10) != getpid())
        return 0;
    long long passed = strtoll(count, NULL, 10);
    return passed > 0 && passed <= FDS_MAX ? (int)passed : 0;
}

static void remove_listen_variables(void)
{
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_PIDFDID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
}

static bool is_our_socket(const struct handover *handover, const char *name)
{
    return handover->socket < 0 && strcmp(name, NAME) == 0;
}

/* A descriptor of our own name is not dropped from the manager's store: the manager would drop the
 * socket that we keep as well. */
static void close_passed_fd(int fd, const char *name)
{
    (void)close(fd);
    if (*name && strcmp(name, NAME) != 0)
        notify_drop(name);
}

/* A socket opened by another version of felhomd may be a blocking one, and passed descriptors are
 * not close-on-exec. */
static void take_passed_socket(struct handover *handover, int fd)
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
    int end = FIRST_FD + passed_fd_count();
    handover->socket = -1;
    for (int fd = FIRST_FD; fd < end; fd++) {
        const char *name = strsep(&rest, ":");
        if (name && is_our_socket(handover, name))
            take_passed_socket(handover, fd);
        else
            close_passed_fd(fd, name ? name : "");
    }
    remove_listen_variables();
}

void handover_end(struct handover *handover)
{
    if (handover->socket >= 0)
        (void)close(steal_fd(&handover->socket));
}

/* The manager may drop the socket later, but the socket must stop listening at once: the next
 * address may include this one (0.0.0.0). */
static void handover_drop_socket(struct handover *handover)
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
        handover_drop_socket(handover);
        if (listening_open(address, &handover->socket, error) < 0)
            return -1;
        notify_keep(NAME, handover->socket);
    }
    *ret = handover->socket;
    return 0;
}
