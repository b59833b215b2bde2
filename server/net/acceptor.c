/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/acceptor.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "server/base/limiter.h"
#include "server/net/arrival.h"
#include "store/base/log.h"

#define ACCEPTING_THREAD  0    /* CivetWeb's number for it */
#define SHORTAGE_PAUSE_MS 50   /* until accept is tried again after a lack of resources */
#define STOPPING_PAUSE_US 1000 /* between the wake-up and the stop flag */

void listening_name(const struct sockaddr_in *address, char ret[static LISTENING_NAME_SIZE])
{
    char host[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    (void)snprintf(ret, LISTENING_NAME_SIZE, "%s:%u", host, ntohs(address->sin_port));
}

/* SO_REUSEADDR: connections of a felhomd that has ended may still be in TIME_WAIT on the port.
 * TCP_SYNCNT: a SYN that nobody goes on with holds its place for three seconds, not for a minute,
 * so that a guest needs as many more of them to fill the queue. */
static bool bind_and_listen(int fd, const struct sockaddr_in *address)
{
    const int on = 1;
    const int one_more_try = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &one_more_try, sizeof one_more_try) == 0 &&
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

static bool socket_option_is(int fd, int option, int wanted)
{
    int value;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

bool listening_on(int fd, const struct sockaddr_in *address)
{
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;
    return socket_option_is(fd, SO_ACCEPTCONN, 1) &&
           socket_option_is(fd, SO_PROTOCOL, IPPROTO_TCP) &&
           getsockname(fd, (struct sockaddr *)&own, &size) == 0 && own.sin_family == AF_INET &&
           own.sin_port == address->sin_port && own.sin_addr.s_addr == address->sin_addr.s_addr;
}

static int acceptor_watch(const struct acceptor *acceptor, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int acceptor_init(struct acceptor *acceptor, int socket, struct throttled_log *log,
                  struct error *error)
{
    *acceptor = (struct acceptor){
        .socket = socket,
        .log = log,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .polled_fd = -1,
    };
    (void)pthread_mutex_init(&acceptor->lock, NULL);
    if (acceptor->epoll_fd >= 0 && acceptor->wake_fd >= 0 &&
        acceptor_watch(acceptor, socket) == 0 && acceptor_watch(acceptor, acceptor->wake_fd) == 0)
        return 0;
    (void)fail_errno(error, errno, "cannot wait for connections");
    acceptor_destroy(acceptor);
    return -1;
}

void acceptor_destroy(struct acceptor *acceptor)
{
    cleanup_close_fn(&acceptor->wake_fd);
    cleanup_close_fn(&acceptor->epoll_fd);
    (void)pthread_mutex_destroy(&acceptor->lock);
}

void acceptor_close(struct acceptor *acceptor)
{
    (void)pthread_mutex_lock(&acceptor->lock);
    acceptor->closed = true;
    (void)epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_DEL, acceptor->socket, NULL);
    (void)pthread_mutex_unlock(&acceptor->lock);
}

uint32_t acceptor_connections(const struct acceptor *acceptor)
{
    return atomic_load(&acceptor->connections);
}

void acceptor_stop(struct acceptor *acceptor)
{
    acceptor_close(acceptor);
    (void)eventfd_write(acceptor->wake_fd, 1);
}

static bool is_same_file(int fd, int other)
{
    struct stat status;
    struct stat other_status;
    return fstat(fd, &status) == 0 && fstat(other, &other_status) == 0 &&
           status.st_dev == other_status.st_dev && status.st_ino == other_status.st_ino;
}

/* In some cases CivetWeb has closed polled_fd itself, and its number may be another file's now. */
void acceptor_reclaim(struct acceptor *acceptor)
{
    if (acceptor->polled_fd >= 0 && is_same_file(acceptor->polled_fd, acceptor->socket))
        (void)close(steal_fd(&acceptor->polled_fd));
}

/* Before this, CivetWeb needs the listening socket itself, for getsockname(). From now on the same
 * descriptor is our epoll instance, and CivetWeb polls that. */
bool acceptor_begin_thread(const struct mg_context *server, int type)
{
    const struct acceptor *acceptor = mg_get_user_data(server);
    if (type != ACCEPTING_THREAD)
        return false;
    (void)dup3(acceptor->epoll_fd, acceptor->polled_fd, O_CLOEXEC);
    return true;
}

void acceptor_connection_closed(const struct mg_connection *connection)
{
    struct acceptor *acceptor = mg_get_user_data(mg_get_context(connection));
    (void)atomic_fetch_sub(&acceptor->connections, 1);
}

int acceptor_bind(struct acceptor *acceptor, int fd)
{
    acceptor->polled_fd = dup3(acceptor->socket, fd, O_CLOEXEC);
    return acceptor->polled_fd >= 0 ? 0 : -1;
}

static bool is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

/* The shortage may be over soon; until then the connection waits in the kernel. */
static void wait_out_shortage(const struct acceptor *acceptor, int errnum)
{
    struct pollfd wake = {.fd = acceptor->wake_fd, .events = POLLIN};
    throttled_log_line(acceptor->log, LOG_WARNING, "connections have to wait: %s",
                       strerror(errnum));
    (void)poll(&wake, 1, SHORTAGE_PAUSE_MS);
}

/* Call with the lock held. Returns a descriptor or -errno; -ECANCELED if the acceptor is closed. */
static int accept_unless_closed(struct acceptor *acceptor, struct sockaddr *address,
                                socklen_t *size)
{
    if (acceptor->closed)
        return -ECANCELED;
    int fd = accept4(acceptor->socket, address, size, SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (acceptor->arrivals)
        arrivals_note(acceptor->arrivals, fd);
    (void)atomic_fetch_add(&acceptor->connections, 1);
    return fd;
}

int acceptor_accept(struct acceptor *acceptor, struct sockaddr *address, socklen_t *size)
{
    (void)pthread_mutex_lock(&acceptor->lock);
    int fd = accept_unless_closed(acceptor, address, size);
    (void)pthread_mutex_unlock(&acceptor->lock);
    if (is_shortage(-fd))
        wait_out_shortage(acceptor, -fd);
    else if (fd == -ECANCELED)
        (void)usleep(STOPPING_PAUSE_US);
    return fd < 0 ? -1 : fd;
}
