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
static int nudge_open_socket_file(int directory)
{
    struct stat status;
    int fd = openat(directory, NAME, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode)))
        return fd;
    (void)close(fd);
    errno = 0;
    return -1;
}

static int nudge_new_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void nudge_send(const char *state_dir)
{
    cleanup_close int directory = state_open_directory(state_dir);
    cleanup_close int file = directory < 0 ? -1 : nudge_open_socket_file(directory);
    cleanup_close int sender = file < 0 ? -1 : nudge_new_socket();
    if (sender < 0)
        return;
    const struct sockaddr_un address = socket_address(file, "");
    (void)sendto(sender, "", 0, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address);
}

static bool socket_has_listener(int file)
{
    cleanup_close int caller = nudge_new_socket();
    const struct sockaddr_un address = socket_address(file, "");
    return caller >= 0 && connect(caller, (const struct sockaddr *)&address, sizeof address) == 0;
}

bool nudge_has_listener(const char *state_dir)
{
    cleanup_close int directory = state_open_directory(state_dir);
    cleanup_close int file = directory < 0 ? -1 : nudge_open_socket_file(directory);
    return file >= 0 && socket_has_listener(file);
}

static int nudge_remove_stale_socket(int directory, const char *state_dir, struct error *error)
{
    cleanup_close int file = nudge_open_socket_file(directory);
    if (file < 0 && errno == ENOENT)
        return 0;
    if (file < 0 && errno != 0)
        return fail_errno(error, errno, "cannot look at %s/" NAME, state_dir);
    if (file < 0)
        return fail(error, ERROR_CONFLICT, "%s/" NAME " is not a socket: move it out of the way",
                    state_dir);
    if (socket_has_listener(file))
        return fail(error, ERROR_CONFLICT, "another felhomd listens on %s/" NAME, state_dir);
    if (unlinkat(directory, NAME, 0) < 0 && errno != ENOENT)
        return fail_errno(error, errno, "cannot remove the stale %s/" NAME, state_dir);
    return 0;
}

int nudge_listen(const char *state_dir, int *ret_fd, struct error *error)
{
    cleanup_close int directory = state_open_directory(state_dir);
    if (directory < 0)
        return fail_errno(error, errno, "cannot open %s", state_dir);
    if (nudge_remove_stale_socket(directory, state_dir, error) < 0)
        return -1;
    cleanup_close int fd = nudge_new_socket();
    const struct sockaddr_un address = socket_address(directory, "/" NAME);
    /* bind() gives the file the mode that the socket has now, so the file is never accessible to
     * more users. */
    if (fd < 0 || fchmod(fd, MODE) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return fail_errno(error, errno, "cannot listen on %s/" NAME, state_dir);
    *ret_fd = steal_fd(&fd);
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
