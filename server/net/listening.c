/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/listening.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"

void listening_name(const struct sockaddr_in *address, char ret[static LISTENING_NAME_SIZE])
{
    char host[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    (void)snprintf(ret, LISTENING_NAME_SIZE, "%s:%u", host, ntohs(address->sin_port));
}

/* Connections of a felhomd that has ended may linger there. */
static bool bind_and_listen(int fd, const struct sockaddr_in *address)
{
    const int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
           listen(fd, LISTENING_BACKLOG) == 0;
}

int listening_open(const struct sockaddr_in *address, int *ret, struct error *error)
{
    char name[LISTENING_NAME_SIZE];
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind_and_listen(fd, address)) {
        *ret = steal_fd(&fd);
        return 0;
    }
    int errnum = errno;
    listening_name(address, name);
    return fail_errno(error, errnum, "cannot listen on %s", name);
}

static bool option_is(int fd, int option, int wanted)
{
    int value;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

bool listening_on(int fd, const struct sockaddr_in *address)
{
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;
    return option_is(fd, SO_ACCEPTCONN, 1) && option_is(fd, SO_PROTOCOL, IPPROTO_TCP) &&
           getsockname(fd, (struct sockaddr *)&own, &size) == 0 && own.sin_family == AF_INET &&
           own.sin_port == address->sin_port && own.sin_addr.s_addr == address->sin_addr.s_addr;
}
