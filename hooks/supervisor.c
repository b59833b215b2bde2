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
#include "schema/cleanup.h"
#include "schema/memory.h"
#include "store/clock.h"
#include "store/event.h"
#include "store/nudge.h"

/* How long a killed child may take to go; one that sleeps in the kernel is left to it. */
#define KILL_GRACE_MS 200

/* A child that outlived its killed parent would go on working unsupervised. */
static void die_with(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
}

/* Holding on to Proxmox's pipes would keep the guest's start waiting if the child got stuck. */
static void let_go_of_pipes(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            (void)close(fd);
}

/* The guest's configuration could be read, so the store may know of what became of it. */
static void record_failure(struct reaction *reaction, const struct error *cause)
{
    struct error ignored;
    store_rollback(reaction->store);
    if (store_begin(reaction->store, &ignored) < 0)
        return;
    if (reaction_event(reaction, reaction->phase, "error", cause->message, &ignored) < 0)
        store_rollback(reaction->store);
    else
        (void)store_commit(reaction->store, &ignored);
}

static void run(const struct phase *phase, struct reaction *reaction)
{
    struct error error;
    chain_find(reaction);
    if (phase->react(reaction, &error) == 0) {
        reaction->report->outcome = REPORT_DONE;
    } else {
        if (reaction->store && error.kind != ERROR_BUSY)
            record_failure(reaction, &error);
        report_failure(reaction->report, &error);
    }
    if (reaction->store && store_has_written(reaction->store))
        nudge_send(reaction->config->paths.state);
    reaction_end(reaction);
}

static bool ended_within(int pidfd, int64_t ms)
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

static int64_t left_ms(const struct reaction *reaction)
{
    int64_t spent = (clock_steady_us() - reaction->started_us) / 1000;
    return (int64_t)reaction->config->hook.deadline_ms - spent;
}

static void await(const struct reaction *reaction, pid_t child, int pidfd)
{
    struct error error;
    if (!ended_within(pidfd, left_ms(reaction))) {
        (void)kill(child, SIGKILL);
        (void)ended_within(pidfd, KILL_GRACE_MS);
        /* It may have come to its end in the very moment: then its word counts. */
        if (reaction->report->outcome == REPORT_UNFINISHED) {
            (void)fail(&error, ERROR_BUSY, "no result within the deadline of %llu ms; rolled back",
                       (unsigned long long)reaction->config->hook.deadline_ms);
            report_failure(reaction->report, &error);
        }
    } else if (reaction->report->outcome == REPORT_UNFINISHED) {
        explain_death(reaction->report, child);
    }
    (void)waitpid(child, NULL, WNOHANG);
}

void supervise(const struct phase *phase, struct reaction *reaction)
{
    struct error error;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        die_with(parent);
        let_go_of_pipes();
        run(phase, reaction);
        _exit(EXIT_SUCCESS);
    }
    cleanup_close int pidfd = child > 0 ? pidfd_open(child, 0) : -1;
    if (pidfd < 0) {
        (void)fail_errno(&error, errno, "cannot start the reaction");
        report_failure(reaction->report, &error);
        if (child > 0)
            (void)kill(child, SIGKILL);
        return;
    }
    await(reaction, child, pidfd);
}
