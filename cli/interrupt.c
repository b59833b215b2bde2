/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

int interrupt_open(int *ret_fd, struct error *error)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return fail_errno(error, errno, "cannot wait for signals");
    *ret_fd = fd;
    return 0;
}

bool interrupt_wait(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, timeout_ms) > 0;
}

/* A pipe without a reader is an error to poll, whatever is asked for. */
bool interrupt_wait_or_closed(int fd, FILE *out, int timeout_ms)
{
    struct pollfd polled[] = {{.fd = fd, .events = POLLIN}, {.fd = fileno(out)}};
    return poll(polled, 2, timeout_ms) > 0;
}
