/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault: runs a command, and lets its world end or break at one system call of its.
 *
 *   fault LOG list COMMAND...                     every call, one a line: TASK CALL NAME PATH
 *   fault LOG kill TASK/NAME/NTH COMMAND...       SIGKILL to all of it in place of that call
 *   fault LOG fail TASK/NAME/NTH ERRNO COMMAND... that call is not made, and fails with this errno
 *
 * TASK numbers the processes and threads by their making, from 0; CALL a task's calls, and NTH
 * those of one name, from 1. Of the name only what faults are chosen by is told: "openat:w" opens
 * for writing, "fcntl:lock" locks; what is none of these is "other". LOG also tells "signal TASK
 * NUMBER" of each task that a signal ended which is not ours, and "reached" once it was there.
 * Exits as the command does, or with 128 and the signal's number; with 126 when the machine does
 * not let it. SIGHUP and SIGTERM are passed on.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

#include "tests/faults/call.h"

#define TASKS_MAX    512
#define EXIT_REFUSED 126
#define PATH_SHOWN   128
#define OPTIONS \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
     PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

enum action { ACTION_LIST, ACTION_KILL, ACTION_FAIL };

struct task {
    pid_t pid; /* 0 once it is gone */
    int calls;
    bool started;       /* its first stop is over */
    bool failing;       /* the call that it is in was taken from it */
    uint64_t new_break; /* that it is refused; 0: none is */
};

static struct {
    FILE *log;
    enum action action;
    int task; /* where the fault is */
    char name[16];
    int nth;
    int seen; /* calls of that name by that task */
    int errnum;
    struct task tasks[TASKS_MAX];
    int task_count;
    bool killed;
} run;

static void refuse(const char *what)
{
    (void)fprintf(stderr, "fault: %s: %s\n", what, strerror(errno));
    exit(EXIT_REFUSED);
}

/* --- what is told of a call --- */

static void read_path(pid_t pid, uint64_t address, char *ret)
{
    size_t length = 0;
    while (length < PATH_SHOWN - 1) {
        struct iovec here = {ret + length, 1};
        struct iovec there = {(void *)(uintptr_t)(address + length), 1};
        if (process_vm_readv(pid, &here, 1, &there, 1, 0) != 1 || ret[length] == '\0')
            break;
        if (ret[length] < '!')
            ret[length] = '?';
        length++;
    }
    ret[length] = '\0';
}

static void tell_call(int number, const char *name, pid_t pid, uint64_t path)
{
    char text[PATH_SHOWN] = "";
    if (path)
        read_path(pid, path, text);
    (void)fprintf(run.log, "%d %d %s %s\n", number, run.tasks[number].calls, name, text);
}

/* --- the fault --- */

#ifndef __x86_64__
#error "calls can be taken away on x86_64 only, for which Proxmox VE is made"
#endif

static void set_register(pid_t pid, size_t offset, long value)
{
    if (ptrace(PTRACE_POKEUSER, pid, offset, value) < 0 && errno != ESRCH)
        refuse("cannot take a call away");
}

/* No call has the number -1: the kernel makes none. */
static void take_call_away(pid_t pid)
{
    set_register(pid, offsetof(struct user_regs_struct, orig_rax), -1);
}

static void answer_call(pid_t pid, int errnum)
{
    set_register(pid, offsetof(struct user_regs_struct, rax), -(long)errnum);
}

/* It tells of failure by the break that there is, as it does when it is asked for it. The caller
 * finds its argument again. */
static void refuse_break(pid_t pid)
{
    set_register(pid, offsetof(struct user_regs_struct, rdi), 0);
}

static void restore_argument(pid_t pid, uint64_t value)
{
    set_register(pid, offsetof(struct user_regs_struct, rdi), (long)value);
}

static void kill_all(void)
{
    run.killed = true;
    for (int i = 0; i < run.task_count; i++)
        if (run.tasks[i].pid)
            (void)kill(run.tasks[i].pid, SIGKILL);
}

static void strike(struct task *task, const struct ptrace_syscall_info *info)
{
    (void)fputs("reached\n", run.log);
    task->new_break = info->entry.nr == SYS_brk ? info->entry.args[0] : 0;
    task->failing = !task->new_break;
    if (task->failing)
        take_call_away(task->pid);
    else
        refuse_break(task->pid);
    if (run.action == ACTION_KILL)
        kill_all();
}

static void enter_call(int number, const struct ptrace_syscall_info *info)
{
    int path;
    struct task *task = &run.tasks[number];
    const char *name = call_name(task->pid, info, &path);
    task->calls++;
    if (run.action == ACTION_LIST)
        tell_call(number, name, task->pid, path < 0 ? 0 : info->entry.args[path]);
    else if (number == run.task && strcmp(name, run.name) == 0 && ++run.seen == run.nth)
        strike(task, info);
}

static void leave_call(struct task *task)
{
    if (task->failing)
        answer_call(task->pid, run.errnum);
    if (task->new_break)
        restore_argument(task->pid, task->new_break);
    task->failing = false;
    task->new_break = 0;
}

static void take_stop(int number)
{
    struct task *task = &run.tasks[number];
    struct ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, task->pid, sizeof info, &info) <= 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        enter_call(number, &info);
    else
        leave_call(task);
}

/* --- the tasks --- */

static int number_of(pid_t pid)
{
    for (int i = 0; i < run.task_count; i++)
        if (run.tasks[i].pid == pid)
            return i;
    if (run.task_count == TASKS_MAX) {
        errno = E2BIG;
        refuse("more tasks than can be followed");
    }
    run.tasks[run.task_count].pid = pid;
    return run.task_count++;
}

static void end_task(int number, int status, int *ret_status)
{
    if (WIFSIGNALED(status) && !run.killed)
        (void)fprintf(run.log, "signal %d %d\n", number, WTERMSIG(status));
    run.tasks[number].pid = 0;
    if (number == 0)
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Which signal it is to go on with. */
static int signal_for(int number, int status)
{
    struct task *task = &run.tasks[number];
    int signal = WSTOPSIG(status);
    unsigned long made;
    if (signal == (SIGTRAP | 0x80)) {
        take_stop(number);
        return 0;
    }
    if (status >> 16) {
        if (status >> 16 != PTRACE_EVENT_EXEC &&
            ptrace(PTRACE_GETEVENTMSG, task->pid, 0, &made) == 0)
            (void)number_of((pid_t)made);
        return 0;
    }
    if (signal == SIGSTOP && !task->started) {
        task->started = true;
        return 0;
    }
    return signal;
}

static int follow(void)
{
    int result = 0;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        if (pid < 0)
            continue;
        int number = number_of(pid);
        if (!WIFSTOPPED(status))
            end_task(number, status, &result);
        else
            (void)ptrace(PTRACE_SYSCALL, pid, 0, signal_for(number, status));
    }
    return result;
}

/* On one processor, whoever waits for the other need not wake one. */
static void stay_here(void)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    (void)sched_setaffinity(0, sizeof here, &here);
}

static void start(char **command)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)fclose(run.log);
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
            _exit(EXIT_REFUSED);
        (void)raise(SIGSTOP);
        (void)execv(command[0], command);
        _exit(EXIT_REFUSED);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid, 0, OPTIONS) < 0)
        refuse("cannot follow the command");
    run.tasks[number_of(pid)].started = true;
    if (ptrace(PTRACE_SYSCALL, pid, 0, 0) < 0)
        refuse("cannot follow the command");
}

static void pass_on(int signal)
{
    int saved = errno;
    if (run.tasks[0].pid)
        (void)kill(run.tasks[0].pid, signal);
    errno = saved;
}

static char **parse_arguments(char **arguments)
{
    static const char *const names[] = {"list", "kill", "fail"};
    int count = 0;
    while (arguments[count])
        count++;
    for (int action = ACTION_LIST; count > 2 && action <= ACTION_FAIL; action++) {
        if (strcmp(arguments[2], names[action]) != 0 || count <= 3 + action)
            continue;
        run.action = (enum action)action;
        if (action > ACTION_LIST &&
            sscanf(arguments[3], "%d/%15[^/]/%d", &run.task, run.name, &run.nth) != 3)
            break;
        run.errnum = action == ACTION_FAIL ? atoi(arguments[4]) : 0;
        return arguments + 3 + action;
    }
    (void)fputs("usage: fault LOG list|kill PLACE|fail PLACE ERRNO COMMAND...\n", stderr);
    exit(EXIT_REFUSED);
}

int main(int argc, char **argv)
{
    (void)argc;
    char **command = parse_arguments(argv);
    run.log = fopen(argv[1], "we");
    if (!run.log)
        refuse(argv[1]);
    const struct sigaction passing = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    (void)sigaction(SIGTERM, &passing, NULL);
    (void)sigaction(SIGHUP, &passing, NULL);
    stay_here();
    start(command);
    int result = follow();
    return fclose(run.log) == 0 ? result : EXIT_REFUSED;
}
