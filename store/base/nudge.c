/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/nudge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "schema/base/cleanup.h"

#define NAME         "nudge"
#define RELOAD       "reload"
#define MODE         0600
#define RECEIVED_MAX 1024 /* per call; more than the socket's queue holds */

/* Builds an address by way of /proc/self/fd, because the state directory's path may be longer than
 * a socket address can be. */
static struct sockaddr_un socket_address(int fd, const char *below)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d%s", fd, below);
    return address;
}

static int state_open_directory(const char *state_dir)
{
    return open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Opens the socket itself without following a symbolic link, by which the directory's owner could
 * lead root elsewhere. Returns -1 if there is none, or with errno 0 if the file is not a socket. */
static int open_socket_file(int directory, const char *name)
{
    struct stat status;
    int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode)))
        return fd;
    (void)close(fd);
    errno = 0;
    return -1;
}

static int new_socket(int type)
{
    return socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void nudge_send(const char *state_dir)
{
    cleanup_close int directory = state_open_directory(state_dir);
    cleanup_close int file = directory < 0 ? -1 : open_socket_file(directory, NAME);
    cleanup_close int sender = file < 0 ? -1 : new_socket(SOCK_DGRAM);
    if (sender < 0)
        return;
    const struct sockaddr_un address = socket_address(file, "");
    (void)sendto(sender, "", 0, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address);
}

/* Returns a socket of that type that is connected to whoever listens on the file; -1 with errno if
 * nobody does. */
static int connect_socket(int file, int type)
{
    cleanup_close int caller = new_socket(type);
    const struct sockaddr_un address = socket_address(file, "");
    if (caller < 0 || connect(caller, (const struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return steal_fd(&caller);
}

static bool socket_has_listener(int file, int type)
{
    cleanup_close int caller = connect_socket(file, type);
    return caller >= 0 || errno == EAGAIN; /* so many wait to be accepted */
}

bool nudge_has_listener(const char *state_dir)
{
    cleanup_close int directory = state_open_directory(state_dir);
    cleanup_close int file = directory < 0 ? -1 : open_socket_file(directory, NAME);
    return file >= 0 && socket_has_listener(file, SOCK_DGRAM);
}

static int remove_stale_socket(int directory, const char *state_dir, const char *name, int type,
                               struct error *error)
{
    cleanup_close int file = open_socket_file(directory, name);
    if (file < 0 && errno == ENOENT)
        return 0;
    if (file < 0 && errno != 0)
        return fail_errno(error, errno, "cannot look at %s/%s", state_dir, name);
    if (file < 0)
        return fail(error, ERROR_CONFLICT, "%s/%s is not a socket: move it out of the way",
                    state_dir, name);
    if (socket_has_listener(file, type))
        return fail(error, ERROR_CONFLICT, "another felhomd listens on %s/%s", state_dir, name);
    if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
        return fail_errno(error, errno, "cannot remove the stale %s/%s", state_dir, name);
    return 0;
}

/* Binds a socket of that type to STATE/NAME. */
static int bind_socket(const char *state_dir, const char *name, int type, int *ret_fd,
                       struct error *error)
{
    char below[16];
    cleanup_close int directory = state_open_directory(state_dir);
    if (directory < 0)
        return fail_errno(error, errno, "cannot open %s", state_dir);
    if (remove_stale_socket(directory, state_dir, name, type, error) < 0)
        return -1;
    (void)snprintf(below, sizeof below, "/%s", name);
    cleanup_close int fd = new_socket(type);
    const struct sockaddr_un address = socket_address(directory, below);
    /* bind() gives the file the mode that the socket has now, so the file is never accessible to
     * more users. */
    if (fd < 0 || fchmod(fd, MODE) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return fail_errno(error, errno, "cannot listen on %s/%s", state_dir, name);
    *ret_fd = steal_fd(&fd);
    return 0;
}

int nudge_listen(const char *state_dir, int *ret_fd, struct error *error)
{
    return bind_socket(state_dir, NAME, SOCK_DGRAM, ret_fd, error);
}

int nudge_listen_reload(const char *state_dir, int *ret_fd, struct error *error)
{
    cleanup_close int fd = -1;
    if (bind_socket(state_dir, RELOAD, SOCK_SEQPACKET, &fd, error) < 0)
        return -1;
    if (listen(fd, NUDGE_RELOAD_MAX - 1) < 0)
        return fail_errno(error, errno, "cannot listen on %s/" RELOAD, state_dir);
    *ret_fd = steal_fd(&fd);
    return 0;
}

int nudge_connect_reload(const char *state_dir, int *ret_fd, pid_t *ret_pid, struct error *error)
{
    struct ucred listener;
    socklen_t size = sizeof listener;
    cleanup_close int directory = state_open_directory(state_dir);
    cleanup_close int file = directory < 0 ? -1 : open_socket_file(directory, RELOAD);
    cleanup_close int fd = file < 0 ? -1 : connect_socket(file, SOCK_SEQPACKET);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &size) < 0)
        return fail_errno(error, errno ? errno : ENOTSOCK, "no felhomd listens on %s/" RELOAD,
                          state_dir);
    *ret_fd = steal_fd(&fd);
    *ret_pid = listener.pid;
    return 0;
}

bool nudge_receive(int fd)
{
    int count = 0;
    char scrap;
    while (count < RECEIVED_MAX && recv(fd, &scrap, sizeof scrap, MSG_DONTWAIT) >= 0)
        count++;
    return count > 0;
}
