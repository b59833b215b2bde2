/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve_command.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/buffer.h"
#include "schema/cleanup.h"
#include "schema/memory.h"

#define CHUNK    4096
#define KEPT_MAX 65536 /* of what the program complains; the rest is read and dropped */

static int spawn(const char *const *argv, int output, int complaints, pid_t *ret_pid)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    static char locale[] = "LC_ALL=C";
    char *environment[] = {path, locale, NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        mem_exhausted();
    if (posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO) != 0)
        mem_exhausted();
    int errnum = posix_spawn(ret_pid, argv[0], &actions, NULL, (char *const *)argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    return errnum;
}

static void read_complaints(int fd, struct buffer *out)
{
    char chunk[CHUNK];
    ssize_t count;
    while ((count = TEMP_FAILURE_RETRY(read(fd, chunk, sizeof chunk))) > 0)
        if (out->length < KEPT_MAX)
            buffer_add(out, chunk, (size_t)count);
}

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

static int judge(const char *program, int status, const struct buffer *complaints,
                 struct error *error)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    cleanup_free char *said = one_line(complaints);
    cleanup_free char *how = WIFSIGNALED(status)
                                 ? mem_format("was killed by signal %d", WTERMSIG(status))
                                 : mem_format("failed with %d", WEXITSTATUS(status));
    return fail(error, ERROR_SYSTEM, "%s %s%s%s", program, how, *said ? ": " : "", said);
}

/* Runs it with its standard output going to the descriptor. */
static int run(const char *const *argv, int output, struct error *error)
{
    int ends[2];
    int status = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno(error, errno, "cannot run %s", argv[0]);
    cleanup_close int from = ends[0];
    cleanup_close int to = ends[1];
    int errnum = spawn(argv, output, to, &pid);
    if (errnum != 0)
        return fail_errno(error, errnum, "cannot run %s", argv[0]);
    (void)close(steal_fd(&to));
    cleanup_buffer struct buffer complaints = BUFFER_EMPTY;
    read_complaints(from, &complaints);
    if (TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) < 0)
        return fail_errno(error, errno, "cannot wait for %s", argv[0]);
    return judge(argv[0], status, &complaints, error);
}

int pve_command_run(const char *const *argv, struct error *error)
{
    cleanup_close int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0)
        return fail_errno(error, errno, "cannot run %s", argv[0]);
    return run(argv, nowhere, error);
}

static int read_back(int fd, struct buffer *out)
{
    char chunk[CHUNK];
    ssize_t count;
    off_t offset = 0;
    while ((count = TEMP_FAILURE_RETRY(pread(fd, chunk, sizeof chunk, offset))) > 0) {
        buffer_add(out, chunk, (size_t)count);
        offset += count;
    }
    explicit_bzero(chunk, sizeof chunk);
    return count < 0 ? -1 : 0;
}

int pve_command_capture(const char *const *argv, struct buffer *out, struct error *error)
{
    /* In memory, as it may be a secret; and unlike a pipe it never makes the program wait. */
    cleanup_close int memory = memfd_create("output", MFD_CLOEXEC);
    if (memory < 0)
        return fail_errno(error, errno, "cannot run %s", argv[0]);
    if (run(argv, memory, error) < 0)
        return -1;
    if (read_back(memory, out) < 0)
        return fail_errno(error, errno, "cannot read the output of %s", argv[0]);
    return 0;
}
