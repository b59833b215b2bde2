/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/door.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <errno.h>
#include <fcntl.h>
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
#include "store/base/log.h"

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

#define ACCEPTING_THREAD  0    /* CivetWeb's name for it */
#define SHORTAGE_PAUSE_MS 50   /* until descriptors or memory are asked for again */
#define ENDING_PAUSE_US   1000 /* between the bell and the stop flag */

static int watch_fd(const struct door *door, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int door_init(struct door *door, int socket, struct throttled_log *log, struct error *error)
{
    *door = (struct door){
        .socket = socket,
        .log = log,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .polled_fd = -1,
    };
    (void)pthread_mutex_init(&door->lock, NULL);
    if (door->epoll_fd >= 0 && door->bell_fd >= 0 && watch_fd(door, socket) == 0 &&
        watch_fd(door, door->bell_fd) == 0)
        return 0;
    (void)fail_errno(error, errno, "connections cannot be waited for");
    door_destroy(door);
    return -1;
}

void door_destroy(struct door *door)
{
    cleanup_close_fn(&door->bell_fd);
    cleanup_close_fn(&door->epoll_fd);
    (void)pthread_mutex_destroy(&door->lock);
}

void door_close(struct door *door)
{
    (void)pthread_mutex_lock(&door->lock);
    door->closed = true;
    (void)epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, door->socket, NULL);
    (void)pthread_mutex_unlock(&door->lock);
}

uint32_t door_inside(const struct door *door)
{
    return atomic_load(&door->inside);
}

void door_end(struct door *door, struct mg_context *server)
{
    door_close(door);
    (void)eventfd_write(door->bell_fd, 1);
    mg_stop(server);
}

static bool is_same_file(int fd, int other)
{
    struct stat status;
    struct stat other_status;
    return fstat(fd, &status) == 0 && fstat(other, &other_status) == 0 &&
           status.st_dev == other_status.st_dev && status.st_ino == other_status.st_ino;
}

/* CivetWeb closes it in some cases; the number may be another file's by then. */
void door_take_back(struct door *door)
{
    if (door->polled_fd >= 0 && is_same_file(door->polled_fd, door->socket))
        (void)close(steal_fd(&door->polled_fd));
}

/* CivetWeb needed the socket itself until here, to ask for its name. */
void *door_begin_thread(const struct mg_context *server, int type)
{
    const struct door *door = mg_get_user_data(server);
    if (type == ACCEPTING_THREAD)
        (void)dup3(door->epoll_fd, door->polled_fd, O_CLOEXEC);
    return NULL;
}

void door_leave(const struct mg_connection *connection)
{
    struct door *door = mg_get_user_data(mg_get_context(connection));
    (void)atomic_fetch_sub(&door->inside, 1);
}

int door_bind(struct door *door, int fd)
{
    door->polled_fd = dup3(door->socket, fd, O_CLOEXEC);
    return door->polled_fd >= 0 ? 0 : -1;
}

static bool is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

/* What is missing may be there in a moment; until then the connection waits in the kernel. */
static void sit_out(const struct door *door, int errnum)
{
    struct pollfd bell = {.fd = door->bell_fd, .events = POLLIN};
    throttled_log_line(door->log, LOG_WARNING, "connections have to wait: %s", strerror(errnum));
    (void)poll(&bell, 1, SHORTAGE_PAUSE_MS);
}

/* With the lock held. ECANCELED: it is closed. */
static int accept_if_open(struct door *door, struct sockaddr *address, socklen_t *size)
{
    if (door->closed)
        return -ECANCELED;
    int fd = accept4(door->socket, address, size, SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)atomic_fetch_add(&door->inside, 1);
    return fd;
}

int door_accept(struct door *door, struct sockaddr *address, socklen_t *size)
{
    (void)pthread_mutex_lock(&door->lock);
    int fd = accept_if_open(door, address, size);
    (void)pthread_mutex_unlock(&door->lock);
    if (is_shortage(-fd))
        sit_out(door, -fd);
    else if (fd == -ECANCELED)
        (void)usleep(ENDING_PAUSE_US);
    return fd < 0 ? -1 : fd;
}
