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

/* The names in the manager's descriptor store. */
#define NAME         "local_api"
#define NAME_WITNESS "witness"
#define NAME_NOTES   "witness_notes"
#define NAME_PACKETS "packet_socket"

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

/* Returns where the handover keeps a descriptor of this name; NULL if it keeps none. */
static int *handover_place(struct handover *handover, const char *name)
{
    if (strcmp(name, NAME) == 0)
        return &handover->socket;
    if (strcmp(name, NAME_WITNESS) == 0)
        return &handover->witness;
    if (strcmp(name, NAME_PACKETS) == 0)
        return &handover->packet_socket;
    return strcmp(name, NAME_NOTES) == 0 ? &handover->notes : NULL;
}

/* A socket opened by another version of felhomd may be a blocking one, and passed descriptors are
 * not close-on-exec. */
static void take_passed_fd(int *place, int fd)
{
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    *place = fd;
}

/* A descriptor of our own name is not dropped from the manager's store: the manager would drop the
 * one that we keep as well. */
static void handover_receive(struct handover *handover, int fd, const char *name)
{
    int *place = handover_place(handover, name);
    if (place && *place < 0) {
        take_passed_fd(place, fd);
        return;
    }
    (void)close(fd);
    if (*name && !place)
        notify_drop(name);
}

void handover_begin(struct handover *handover)
{
    const char *variable = getenv("LISTEN_FDNAMES");
    cleanup_free char *names = mem_copy_text(variable ? variable : "");
    char *rest = names;
    int end = FIRST_FD + passed_fd_count();
    *handover = (struct handover){-1, -1, -1, -1};
    for (int fd = FIRST_FD; fd < end; fd++) {
        const char *name = strsep(&rest, ":");
        handover_receive(handover, fd, name ? name : "");
    }
    remove_listen_variables();
}

void handover_end(struct handover *handover)
{
    int *const fds[] = {&handover->socket, &handover->witness, &handover->notes,
                        &handover->packet_socket};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (*fds[i] >= 0)
            (void)close(steal_fd(fds[i]));
}

static void handover_drop(int *fd, const char *name)
{
    if (*fd < 0)
        return;
    (void)close(steal_fd(fd));
    notify_drop(name);
}

void handover_leave_packet_socket(int fd)
{
    notify_keep(NAME_PACKETS, fd);
}

/* A descriptor that the manager has under another name is not kept under this one. */
void handover_keep_witness(struct handover *handover, int fd)
{
    handover_drop(&handover->witness, NAME_WITNESS);
    handover_drop(&handover->packet_socket, NAME_PACKETS);
    notify_drop(NAME_PACKETS);
    notify_keep(NAME_WITNESS, fd);
}

void handover_keep_notes(int fd)
{
    notify_keep(NAME_NOTES, fd);
}

void handover_drop_notes(struct handover *handover)
{
    handover_drop(&handover->notes, NAME_NOTES);
}

/* The manager may drop the socket later, but the socket must stop listening at once: the next
 * address may include this one (0.0.0.0). */
static void handover_drop_socket(struct handover *handover)
{
    if (handover->socket < 0)
        return;
    (void)shutdown(handover->socket, SHUT_RDWR);
    notify_drop(NAME);
    (void)close(steal_fd(&handover->socket));
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
