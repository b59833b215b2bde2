/* SPDX-License-Identifier: Apache-2.0 */
#include "server/civetweb_end.h"

#include <civetweb.h>
#include <stdbool.h>
#include <sys/socket.h>

#define FIRST_FD         3
#define LISTENING_FD_MAX 1024 /* it is opened early in the daemon's life */

static bool is_listening_on(int fd, const struct sockaddr_in *address)
{
    int listening = 0;
    struct sockaddr_in own = {0};
    socklen_t size = sizeof(listening);
    socklen_t own_size = sizeof(own);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening &&
           getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 && own.sin_family == AF_INET &&
           own.sin_port == address->sin_port && own.sin_addr.s_addr == address->sin_addr.s_addr;
}

void civetweb_wake(const struct sockaddr_in *address)
{
    for (int fd = FIRST_FD; fd < LISTENING_FD_MAX; fd++) {
        if (is_listening_on(fd, address))
            (void)shutdown(fd, SHUT_RDWR);
    }
}

void civetweb_end(struct mg_context *server, const struct sockaddr_in *address)
{
    civetweb_wake(address);
    mg_stop(server);
}
