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
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "store/base/clock.h"

#define CHUNK        4096
#define MESSAGES_MAX (64 * KIB)
#define OUTPUT_MAX   (4 * MIB)
#define GRACE_US     (2 * MINUTE_US) /* between SIGTERM and SIGKILL: Proxmox cleans up */

/* One of the program's outputs: the reading end of a pipe, and what was read from it. */
struct stream {
    int fd;              /* -1: at its end */
    size_t limit;        /* of what is kept, in bytes; the rest is read and dropped */
    struct buffer *kept; /* NULL: nothing is kept */
};

struct process {
    const struct pve_command *command;
    pid_t pid;
    int pidfd;
    struct stream output;
    struct stream messages;
    const char *stopped; /* why it was told to end; NULL: it was not */
    int64_t kill_at_us;
};

enum { POLL_PROCESS, POLL_OUTPUT, POLL_MESSAGES, POLL_INTERRUPT, POLL_COUNT };

const char *pve_command_of(enum guest_kind kind)
{
    return kind == GUEST_LXC ? "/usr/sbin/pct" : "/usr/sbin/qm";
}

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

static void set_actions(posix_spawn_file_actions_t *actions, int output, int messages)
{
    if (posix_spawn_file_actions_init(actions) != 0 ||
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO) != 0 ||
        posix_spawn_file_actions_adddup2(actions, messages, STDERR_FILENO) != 0)
        mem_exhausted();
}

static int process_spawn(const char *const *argv, int output, int messages, pid_t *ret_pid)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    static char locale[] = "LC_ALL=C";
    char *environment[] = {path, locale, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    set_attributes(&attributes);
    set_actions(&actions, output, messages);
    int errnum =
        posix_spawn(ret_pid, argv[0], &actions, &attributes, (char *const *)argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return errnum;
}

/* The reading end is non-blocking. Returns 0 or an errno value. */
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

/* Fills in the process and the pipes' reading ends. Returns 0 or an errno value. */
static int process_start(struct process *process)
{
    cleanup_close int output = -1;
    cleanup_close int messages = -1;
    int errnum = make_pipe(&process->output.fd, &output);
    if (errnum == 0)
        errnum = make_pipe(&process->messages.fd, &messages);
    if (errnum == 0)
        errnum = process_spawn(process->command->argv, output, messages, &process->pid);
    if (errnum != 0)
        return errnum;
    process->pidfd = pidfd_open(process->pid, 0);
    if (process->pidfd >= 0)
        return 0;
    errnum = errno;
    (void)kill(process->pid, SIGKILL);
    (void)waitpid(process->pid, NULL, 0);
    return errnum;
}

/* --- follow --- */

static void stream_keep(struct stream *stream, const char *bytes, size_t count)
{
    if (stream->kept && stream->kept->length < stream->limit)
        buffer_add(stream->kept, bytes, count);
}

/* Reads what is available without waiting. */
static void stream_drain(struct stream *stream)
{
    char chunk[CHUNK];
    ssize_t count;
    while ((count = TEMP_FAILURE_RETRY(read(stream->fd, chunk, sizeof chunk))) > 0)
        stream_keep(stream, chunk, (size_t)count);
    int errnum = errno;
    explicit_bzero(chunk, sizeof chunk); /* it may hold a secret */
    if (count < 0 && errnum == EAGAIN)
        return;
    cleanup_close_fn(&stream->fd);
    stream->fd = -1;
}

static void process_stop(struct process *process, const char *why)
{
    process->stopped = why;
    process->kill_at_us = clock_steady_us() + GRACE_US;
    (void)kill(process->pid, SIGTERM);
}

static int process_timeout(const struct process *process)
{
    int64_t until = process->stopped ? process->kill_at_us : process->command->limits.deadline_us;
    if (until == 0)
        return -1;
    int64_t left_ms = (until - clock_steady_us()) / US_PER_MS + 1;
    if (left_ms < 0)
        return 0;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static void process_check_clock(struct process *process)
{
    int64_t now_us = clock_steady_us();
    int64_t deadline_us = process->command->limits.deadline_us;
    if (process->stopped && now_us >= process->kill_at_us) {
        (void)kill(-process->pid, SIGKILL);
        process->kill_at_us = now_us + GRACE_US;
    } else if (!process->stopped && deadline_us != 0 && now_us >= deadline_us) {
        process_stop(process, "took too long and was stopped");
    }
}

/* Waits for the next event and handles it; returns false when the process has ended. */
static bool process_follow(struct process *process)
{
    struct pollfd polled[POLL_COUNT] = {
        [POLL_PROCESS] = {.fd = process->pidfd, .events = POLLIN},
        [POLL_OUTPUT] = {.fd = process->output.fd, .events = POLLIN},
        [POLL_MESSAGES] = {.fd = process->messages.fd, .events = POLLIN},
        [POLL_INTERRUPT] = {.fd = process->stopped ? -1 : process->command->limits.interrupt_fd,
                            .events = POLLIN},
    };
    (void)poll(polled, POLL_COUNT, process_timeout(process));
    if (polled[POLL_OUTPUT].revents)
        stream_drain(&process->output);
    if (polled[POLL_MESSAGES].revents)
        stream_drain(&process->messages);
    if (polled[POLL_INTERRUPT].revents)
        process_stop(process, "was interrupted");
    process_check_clock(process);
    return !polled[POLL_PROCESS].revents;
}

/* Reads what the process wrote before it ended. Does not wait for a child that still has the
 * pipe. */
static void process_drain(struct process *process)
{
    if (process->output.fd >= 0)
        stream_drain(&process->output);
    if (process->messages.fd >= 0)
        stream_drain(&process->messages);
}

/* --- result --- */

/* Returns the lines as one, without control characters; the caller frees it with free(). */
static char *one_line(const struct buffer *messages)
{
    char *line = mem_copy_text(buffer_text(messages));
    size_t length = strlen(line);
    while (length > 0 && strchr(" \n", line[length - 1]))
        line[--length] = '\0';
    for (char *end = line; (end = strchr(end, '\n'));)
        *end = ' ';
    text_mask(line);
    return line;
}

static int process_result(const struct process *process, int status, struct error *error)
{
    const char *program = process->command->argv[0];
    if (!process->stopped && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    cleanup_free char *said = one_line(process->messages.kept);
    cleanup_free char *how = process->stopped ? mem_copy_text(process->stopped)
                             : WIFSIGNALED(status)
                                 ? mem_format("was killed by signal %d", WTERMSIG(status))
                                 : mem_format("failed with %d", WEXITSTATUS(status));
    return fail(error, process->stopped ? ERROR_BUSY : ERROR_SYSTEM, "%s %s%s%s", program, how,
                *said ? ": " : "", said);
}

static void process_release(struct process *process)
{
    cleanup_close_fn(&process->pidfd);
    cleanup_close_fn(&process->output.fd);
    cleanup_close_fn(&process->messages.fd);
}

int pve_command_run_as(const struct pve_command *command, struct error *error)
{
    int status = 0;
    cleanup_buffer struct buffer messages = BUFFER_EMPTY;
    cleanup(process_release) struct process process = {
        .command = command,
        .pidfd = -1,
        .output = {-1, OUTPUT_MAX, command->output},
        .messages = {-1, MESSAGES_MAX, &messages},
    };
    int errnum = process_start(&process);
    if (errnum != 0)
        return fail_errno(error, errnum, "cannot run %s", command->argv[0]);
    while (process_follow(&process))
        ;
    process_drain(&process);
    if (TEMP_FAILURE_RETRY(waitpid(process.pid, &status, 0)) < 0)
        return fail_errno(error, errno, "cannot wait for %s", command->argv[0]);
    return process_result(&process, status, error);
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
