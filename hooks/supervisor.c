/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/chain.h"
#include "hooks/queue.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/db/token_record.h"
#include "store/tables/event.h"

/* How long to wait for a killed child to end; one that sleeps in the kernel is left behind. */
#define KILL_GRACE_MS 200

/* How long recording the failure of a reaction that did not come to its end may take. */
#define RECORD_MS 1000

struct child {
    pid_t pid;
    int pidfd;
};

static void child_forget(struct child *child)
{
    if (child->pid > 0)
        (void)waitpid(child->pid, NULL, WNOHANG);
    cleanup_close_fn(&child->pidfd);
}

/* A child that outlived its killed parent would go on working unsupervised. */
static void die_with(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
}

/* Holding on to Proxmox's pipes would keep the guest's start waiting if the child got stuck. */
static void release_pipes(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            (void)close(fd);
}

/* Makes the report's first problem an event, if the store can be had in time. */
static void record_failure(const struct phase *phase, struct reaction *reaction)
{
    struct error ignored;
    cleanup_transaction struct transaction transaction = {0};
    token_record_use(reaction->config->paths.run);
    if (!reaction->store && store_open(reaction->config->paths.state, STORE_OPEN_EXISTING,
                                       RECORD_MS, &reaction->store, &ignored) < 0)
        return;
    store_rollback(reaction->store); /* what the reaction has left open */
    if (transaction_begin(reaction->store, &transaction, &ignored) == 0 &&
        reaction_event(reaction, phase->name, "error", reaction->report->problems[0], &ignored) ==
            0)
        (void)transaction_commit(&transaction, &ignored);
}

static void react_and_report(const struct phase *phase, struct reaction *reaction)
{
    struct error error;
    chain_find(reaction);
    if (phase->react(reaction, &error) == 0) {
        reaction->report->outcome = REPORT_DONE;
        return;
    }
    report_failure(reaction->report, &error);
    if (error.kind == ERROR_BUSY)
        return;
    reaction_take_turn(reaction);
    record_failure(phase, reaction);
}

static bool pid_ends_within(int pidfd, int64_t ms)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    int64_t until = clock_steady_us() + ms * 1000;
    for (;;) {
        int64_t left = (until - clock_steady_us() + 999) / 1000;
        int n = poll(&ended, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

static void explain_death(struct report *report, pid_t child)
{
    int status = 0;
    struct error error;
    if (waitpid(child, &status, WNOHANG) == child && WIFSIGNALED(status))
        (void)fail(&error, ERROR_SYSTEM, "the reaction was ended by signal %d (%s)",
                   WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MEMORY)
        (void)fail(&error, ERROR_SYSTEM, "out of memory");
    else
        (void)fail(&error, ERROR_SYSTEM, "the reaction ended without a result (status %d)",
                   WEXITSTATUS(status));
    report_failure(report, &error);
}

/* What a child does. */
typedef void child_fn(const struct phase *phase, struct reaction *reaction);

static void run_and_exit(child_fn *run, const struct phase *phase, struct reaction *reaction)
{
    release_pipes();
    mem_exit_with(EXIT_MEMORY);
    run(phase, reaction);
    reaction_yield(reaction);
    if (reaction->store && store_has_written(reaction->store))
        nudge_send(reaction->config->paths.state);
    mem_wipe_heap(); /* the store is closed with the process, without a last look at it */
    _exit(EXIT_SUCCESS);
}

static int start_child(child_fn *run, const struct phase *phase, struct reaction *reaction,
                       struct child *ret, struct error *error)
{
    pid_t parent = getpid();
    ret->pid = fork();
    if (ret->pid == 0) {
        die_with(parent);
        run_and_exit(run, phase, reaction);
    }
    ret->pidfd = ret->pid > 0 ? pidfd_open(ret->pid, 0) : -1;
    if (ret->pidfd >= 0)
        return 0;
    (void)fail_errno(error, errno, "cannot start the reaction");
    if (ret->pid > 0)
        (void)kill(ret->pid, SIGKILL);
    return -1;
}

static void child_kill(const struct child *child)
{
    (void)kill(child->pid, SIGKILL);
    (void)pid_ends_within(child->pidfd, KILL_GRACE_MS);
}

/* Waits for the child until the reaction's time is up, and then kills it. True if it ended by
 * itself. */
static bool reaction_await(const struct reaction *reaction, const struct child *child)
{
    int64_t left_us;
    do {
        left_us =
            queue_time_is_up_us(reaction->config, &reaction->report->queue, reaction->started_us) -
            clock_steady_us();
        if (pid_ends_within(child->pidfd, (left_us + 999) / 1000))
            return true;
    } while (left_us > 0);
    child_kill(child);
    return false;
}

static void explain_silence(const struct reaction *reaction, const struct child *child, bool ended)
{
    struct error error;
    const struct config *config = reaction->config;
    if (ended) {
        explain_death(reaction->report, child->pid);
        return;
    }
    if (queue_is_waiting(&reaction->report->queue))
        (void)fail(&error, ERROR_BUSY,
                   "waited in vain for the hooks that are before it: `fuser -v %s/" QUEUE_LOCK_FILE
                   "` shows them",
                   config->paths.run);
    else
        (void)fail(&error, ERROR_BUSY, "no result within the deadline of %llu ms; rolled back",
                   (unsigned long long)config->hook.deadline_ms);
    report_failure(reaction->report, &error);
}

/* In a child as well: whatever held up the reaction may hold up this one. */
static void record_for_dead_child(const struct phase *phase, struct reaction *reaction)
{
    struct error ignored;
    cleanup(child_forget) struct child child = {.pidfd = -1};
    if (start_child(record_failure, phase, reaction, &child, &ignored) == 0 &&
        !pid_ends_within(child.pidfd, RECORD_MS))
        child_kill(&child);
}

void supervisor_run(const struct phase *phase, struct reaction *reaction)
{
    struct error error;
    cleanup(child_forget) struct child child = {.pidfd = -1};
    if (start_child(react_and_report, phase, reaction, &child, &error) < 0) {
        report_failure(reaction->report, &error);
        return;
    }
    bool ended = reaction_await(reaction, &child);
    /* It may have ended at that very moment: then its report counts. */
    if (reaction->report->outcome != REPORT_UNFINISHED)
        return;
    explain_silence(reaction, &child, ended);
    record_for_dead_child(phase, reaction);
}
