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
#define RECEIVED_MAX 1024 /* at a time, whoever sends them; more than a socket's queue holds */

/* The state directory's path may be longer than a socket's address can be, a descriptor's is not.
 */
static struct sockaddr_un address_of(int fd, const char *below)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d%s", fd, below);
    return address;
}

static int open_directory(const char *state_dir)
{
    return open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The socket itself: a symbolic link that its owner put there leads root nowhere. -1 where there is
 * none; errno is 0 where it is something else. */
static int open_socket_file(int directory)
{
    struct stat status;
    int fd = openat(directory, NAME, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode)))
        return fd;
    (void)close(fd);
    errno = 0;
    return -1;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void nudge_send(const char *state_dir)
{
    cleanup_close int directory = open_directory(state_dir);
    cleanup_close int file = directory < 0 ? -1 : open_socket_file(directory);
    cleanup_close int sender = file < 0 ? -1 : new_socket();
    if (sender < 0)
        return;
    const struct sockaddr_un address = address_of(file, "");
    (void)sendto(sender, "", 0, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address);
}

static bool socket_has_listener(int file)
{
    cleanup_close int caller = new_socket();
    const struct sockaddr_un address = address_of(file, "");
    return caller >= 0 && connect(caller, (const struct sockaddr *)&address, sizeof address) == 0;
}

bool nudge_has_listener(const char *state_dir)
{
    cleanup_close int directory = open_directory(state_dir);
    cleanup_close int file = directory < 0 ? -1 : open_socket_file(directory);
    return file >= 0 && socket_has_listener(file);
}

static int remove_stale_socket(int directory, const char *state_dir, struct error *error)
{
    cleanup_close int file = open_socket_file(directory);
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
    cleanup_close int directory = open_directory(state_dir);
    if (directory < 0)
        return fail_errno(error, errno, "cannot open %s", state_dir);
    if (remove_stale_socket(directory, state_dir, error) < 0)
        return -1;
    cleanup_close int fd = new_socket();
    const struct sockaddr_un address = address_of(directory, "/" NAME);
    /* The file gets the mode that the socket has when it is bound: nobody ever sees a wider one. */
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
