/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"

/* Fills in the address of the manager's socket and returns its length; 0 if there is none. */
static socklen_t manager_address(struct sockaddr_un *ret)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    if (length < 2 || length >= sizeof ret->sun_path || (path[0] != '/' && path[0] != '@'))
        return 0;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, length);
    if (path[0] == '@')
        ret->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* control: a control message that passes a descriptor; NULL: none. */
static void notify_with(const char *text, void *control, size_t size)
{
    struct sockaddr_un address;
    struct iovec bytes = {(char *)text, strlen(text)};
    const struct msghdr message = {
        .msg_name = &address,
        .msg_namelen = manager_address(&address),
        .msg_iov = &bytes,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = size,
    };
    cleanup_close int fd =
        message.msg_namelen > 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0)
        (void)sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void notify(const char *text)
{
    notify_with(text, NULL, 0);
}

void notify_ready(void)
{
    notify("READY=1\nSTATUS=serving");
}

void notify_reloading(void)
{
    cleanup_free char *message =
        mem_format("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_steady_us());
    notify(message);
}

void notify_stopping(void)
{
    notify("STOPPING=1");
}

void notify_watchdog(void)
{
    notify("WATCHDOG=1");
}

void notify_waiting(const char *reason, bool ready)
{
    cleanup_free char *message =
        mem_format("%sSTATUS=waiting: %s", ready ? "READY=1\n" : "", reason);
    notify(message);
}

void notify_keep(const char *name, int fd)
{
    cleanup_free char *message = mem_format("FDSTORE=1\nFDNAME=%s", name);
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof fd)];
    } control = {.bytes = {0}};
    control.header = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    notify_with(message, &control, sizeof control);
}

void notify_drop(const char *name)
{
    cleanup_free char *message = mem_format("FDSTOREREMOVE=1\nFDNAME=%s", name);
    notify(message);
}

uint64_t notify_watchdog_us(void)
{
    const char *interval = getenv("WATCHDOG_USEC");
    const char *process = getenv("WATCHDOG_PID");
    if (!interval || (process && strtoll(process, NULL, 10) != getpid()))
        return 0;
    return strtoull(interval, NULL, 10);
}
