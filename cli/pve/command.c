/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"

#define CHUNK          4096
#define COMPLAINTS_MAX ((size_t)64 << 10) /* of what is kept; the rest is read and dropped */
#define OUTPUT_MAX     ((size_t)4 << 20)
#define US_PER_MS      1000
#define GRACE_US       (INT64_C(120) * 1000000) /* Proxmox removes what it made by then */

/* A pipe's reading end and what came out of it. */
struct stream {
    int fd; /* -1: at its end */
    size_t limit;
    struct buffer *kept; /* NULL: nothing */
};

struct running {
    const struct pve_command *command;
    pid_t pid;
    int pidfd;
    struct stream output;
    struct stream complaints;
    const char *stopped; /* why; NULL: it was not */
    int64_t kill_at_us;
};

enum { POLL_PROCESS, POLL_OUTPUT, POLL_COMPLAINTS, POLL_INTERRUPT, POLL_COUNT };

/* --- start --- */

static void set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if (posix_spawnattr_init(attributes) != 0)
        mem_exhausted();
    (void)posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                   POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setpgroup(attributes, 0);
    (void)posix_spawnattr_setsigmask(attributes, &none);
    (void)posix_spawnattr_setsigdefault(attributes, &all);
}

static void set_actions(posix_spawn_file_actions_t *actions, int output, int complaints)
{
    if (posix_spawn_file_actions_init(actions) != 0 ||
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO) != 0 ||
        posix_spawn_file_actions_adddup2(actions, complaints, STDERR_FILENO) != 0)
        mem_exhausted();
}

static int spawn(const char *const *argv, int output, int complaints, pid_t *ret_pid)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    static char locale[] = "LC_ALL=C";
    char *environment[] = {path, locale, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    set_attributes(&attributes);
    set_actions(&actions, output, complaints);
    int errnum =
        posix_spawn(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return errnum;
}

/* The reading end does not block. 0, or an errno value. */
static int make_pipe(int *ret_from, int *ret_to)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *ret_from = ends[0];
    *ret_to = ends[1];
    return 0;
}

/* Fills in the process and the pipes' reading ends. 0, or an errno value. */
static int start(struct running *running)
{
    cleanup_close int output = -1;
    cleanup_close int complaints = -1;
    int errnum = make_pipe(&running->output.fd, &output);
    if (errnum == 0)
        errnum = make_pipe(&running->complaints.fd, &complaints);
    if (errnum == 0)
        errnum = spawn(running->command->argv, output, complaints, &running->pid);
    if (errnum != 0)
        return errnum;
    running->pidfd = pidfd_open(running->pid, 0);
    if (running->pidfd >= 0)
        return 0;
    errnum = errno;
    (void)kill(running->pid, SIGKILL);
    (void)waitpid(running->pid, NULL, 0);
    return errnum;
}

/* --- follow --- */

static void take(struct stream *stream, const char *bytes, size_t count)
{
    if (stream->kept && stream->kept->length < stream->limit)
        buffer_add(stream->kept, bytes, count);
}

/* Reads what is there. */
static void drain(struct stream *stream)
{
    char chunk[CHUNK];
    ssize_t count;
    while ((count = TEMP_FAILURE_RETRY(read(stream->fd, chunk, sizeof chunk))) > 0)
        take(stream, chunk, (size_t)count);
    int errnum = errno;
    explicit_bzero(chunk, sizeof chunk); /* it may be a secret */
    if (count < 0 && errnum == EAGAIN)
        return;
    cleanup_close_fn(&stream->fd);
    stream->fd = -1;
}

static void stop(struct running *running, const char *why)
{
    running->stopped = why;
    running->kill_at_us = clock_steady_us() + GRACE_US;
    (void)kill(running->pid, SIGTERM);
}

static int poll_timeout(const struct running *running)
{
    int64_t until = running->stopped ? running->kill_at_us : running->command->limits.deadline_us;
    if (until == 0)
        return -1;
    int64_t left_ms = (until - clock_steady_us()) / US_PER_MS + 1;
    if (left_ms < 0)
        return 0;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static void look_at_clock(struct running *running)
{
    int64_t now_us = clock_steady_us();
    int64_t deadline_us = running->command->limits.deadline_us;
    if (running->stopped && now_us >= running->kill_at_us) {
        (void)kill(-running->pid, SIGKILL);
        running->kill_at_us = now_us + GRACE_US;
    } else if (!running->stopped && deadline_us != 0 && now_us >= deadline_us) {
        stop(running, "took too long and was stopped");
    }
}

/* One round; false when the process has ended. */
static bool follow(struct running *running)
{
    struct pollfd polled[POLL_COUNT] = {
        [POLL_PROCESS] = {.fd = running->pidfd, .events = POLLIN},
        [POLL_OUTPUT] = {.fd = running->output.fd, .events = POLLIN},
        [POLL_COMPLAINTS] = {.fd = running->complaints.fd, .events = POLLIN},
        [POLL_INTERRUPT] = {.fd = running->stopped ? -1 : running->command->limits.interrupt_fd,
                            .events = POLLIN},
    };
    (void)poll(polled, POLL_COUNT, poll_timeout(running));
    if (polled[POLL_OUTPUT].revents)
        drain(&running->output);
    if (polled[POLL_COMPLAINTS].revents)
        drain(&running->complaints);
    if (polled[POLL_INTERRUPT].revents)
        stop(running, "was interrupted");
    look_at_clock(running);
    return !polled[POLL_PROCESS].revents;
}

/* What it wrote last may come after its end is known. A program of its own that it left behind
 * with the pipe is not waited for. */
static void finish(struct running *running)
{
    if (running->output.fd >= 0)
        drain(&running->output);
    if (running->complaints.fd >= 0)
        drain(&running->complaints);
}

/* --- result --- */

/* Several lines as one; whatever a terminal could take for a command goes. */
static char *one_line(const struct buffer *complaints)
{
    char *line = mem_copy_text(buffer_text(complaints));
    size_t length = strlen(line);
    while (length > 0 && strchr(" \n", line[length - 1]))
        line[--length] = '\0';
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = *c == '\n' ? ' ' : '?';
    return line;
}

static int judge(const struct running *running, int status, struct error *error)
{
    const char *program = running->command->argv[0];
    if (!running->stopped && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    cleanup_free char *said = one_line(running->complaints.kept);
    cleanup_free char *how = running->stopped ? mem_copy_text(running->stopped)
                             : WIFSIGNALED(status)
                                 ? mem_format("was killed by signal %d", WTERMSIG(status))
                                 : mem_format("failed with %d", WEXITSTATUS(status));
    return fail(error, running->stopped ? ERROR_BUSY : ERROR_SYSTEM, "%s %s%s%s", program, how,
                *said ? ": " : "", said);
}

static void release(struct running *running)
{
    cleanup_close_fn(&running->pidfd);
    cleanup_close_fn(&running->output.fd);
    cleanup_close_fn(&running->complaints.fd);
}

int pve_command_run_as(const struct pve_command *command, struct error *error)
{
    int status = 0;
    cleanup_buffer struct buffer complaints = BUFFER_EMPTY;
    cleanup(release) struct running running = {
        .command = command,
        .pidfd = -1,
        .output = {-1, OUTPUT_MAX, command->output},
        .complaints = {-1, COMPLAINTS_MAX, &complaints},
    };
    int errnum = start(&running);
    if (errnum != 0)
        return fail_errno(error, errnum, "cannot run %s", command->argv[0]);
    while (follow(&running))
        ;
    finish(&running);
    if (TEMP_FAILURE_RETRY(waitpid(running.pid, &status, 0)) < 0)
        return fail_errno(error, errno, "cannot wait for %s", command->argv[0]);
    return judge(&running, status, error);
}

int pve_command_run(const char *const *argv, struct error *error)
{
    const struct pve_command command = {argv, NULL, PVE_NO_LIMITS};
    return pve_command_run_as(&command, error);
}

int pve_command_capture(const char *const *argv, struct buffer *out, struct error *error)
{
    const struct pve_command command = {argv, out, PVE_NO_LIMITS};
    return pve_command_run_as(&command, error);
}
