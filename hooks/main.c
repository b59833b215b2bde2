/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhom-hook VMID PHASE: the hookscript that Proxmox VE runs, as root, when a guest starts and
 * stops.
 *
 * main() finds the phase, cleans what the program inherits, reads agent.yaml and has the supervisor
 * run the phase's reaction in a child. It then prints and logs the child's report, decides by
 * hook.on_error whether the guest may start, and at last becomes the chained hookscript, if any.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooks/chain.h"
#include "hooks/supervisor.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/version.h"
#include "schema/base/vmid.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/db/token_record.h"
#include "store/files/config_file.h"

#define EXIT_USAGE 2

/* The heap grows by that much at a time: about what a reaction needs in all. */
#define HEAP_STEP (384 * 1024)

struct call {
    uint32_t vmid;
    const char *phase_name;
};

static const char usage[] = "usage: felhom-hook VMID PHASE\n"
                            "\n"
                            "Reacts to one phase (pre-start, post-start, pre-stop, post-stop) of "
                            "guest VMID (100..999999999), as\n"
                            "Proxmox VE calls a hookscript. Other phases are ignored.\n"
                            "\n"
                            "  --help     this text\n"
                            "  --version  the version\n";

static int usage_error(const char *why)
{
    (void)fprintf(stderr, "felhom-hook: %s\n%s", why, usage);
    return EXIT_USAGE;
}

/* Returns -1 where *ret is filled, else the exit status. */
static int parse_arguments(int argc, char **argv, struct call *ret)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'}, {0}};
    opterr = 0;
    switch (getopt_long(argc, argv, "+", options, NULL)) {
    case 'h':
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    case 'v':
        (void)puts("felhom-hook " FELHOM_VERSION);
        return EXIT_SUCCESS;
    case -1:
        break;
    default:
        return usage_error("unknown option");
    }
    if (argc - optind != 2)
        return usage_error("wants a VMID and a phase");
    if (!vmid_parse(argv[optind], &ret->vmid))
        return usage_error("not a VMID");
    if (*argv[optind + 1] == '\0')
        return usage_error("the phase is empty");
    ret->phase_name = argv[optind + 1];
    return -1;
}

static void ignore_phase(const struct call *call)
{
    char name[32] = "";
    for (size_t i = 0; i < sizeof name - 1 && call->phase_name[i]; i++)
        name[i] = isgraph((unsigned char)call->phase_name[i]) ? call->phase_name[i] : '?';
    (void)printf("felhom: %u %s: not a phase that needs a reaction\n", call->vmid, name);
}

/* A host without a log is no error. */
static void log_entry(const struct journal_entry *entry)
{
    if (!journal_send(JOURNAL_SOCKET, entry))
        (void)syslog_send(SYSLOG_SOCKET, entry);
}

static void print_and_log(const struct phase *phase, const struct call *call,
                          const struct report *report)
{
    struct journal_entry entry = {
        .priority = LOG_INFO,
        .identifier = "felhom-hook",
        .vmid = call->vmid,
        .phase = phase->name,
        .event = "phase",
        .text = report->line,
    };
    if (phase->says_what_done && *report->line)
        (void)puts(report->line);
    if (*report->line)
        log_entry(&entry);
    entry.event = "problem";
    entry.priority = report->outcome == REPORT_DONE ? LOG_WARNING : LOG_ERR;
    for (int i = 0; i < report->problem_count; i++) {
        entry.text = report->problems[i];
        log_entry(&entry);
        if (phase->says_problems)
            (void)fprintf(stderr, "felhom-hook: %s\n", report->problems[i]);
    }
    (void)fflush(stdout);
}

/* The exit status by which Proxmox learns of a failure. */
static int failure_status(const struct phase *phase, enum on_error policy)
{
    return phase->can_block && policy == ON_ERROR_BLOCK ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* True if Proxmox must keep the guest from starting. */
static bool must_block(const struct phase *phase, const struct report *report, enum on_error policy)
{
    if (report->outcome == REPORT_BLOCKED)
        return phase->can_block;
    return report->outcome != REPORT_DONE && failure_status(phase, policy) != EXIT_SUCCESS;
}

static int conclude(const struct phase *phase, const struct call *call, struct report *report,
                    enum on_error policy)
{
    bool blocked = must_block(phase, report, policy);
    if (phase->can_block && report->outcome != REPORT_DONE && !blocked)
        report_problem(
            report,
            "guest %u starts all the same, without a fresh identity (hook.on_error: continue)",
            call->vmid);
    if (report->outcome == REPORT_DONE && !*report->line)
        report_line(report, "felhom: %u %s: done", call->vmid, phase->name);
    print_and_log(phase, call, report);
    return blocked ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int clean_descriptors(struct error *error)
{
    int fd;
    /* A missing 0, 1 or 2 would be handed out as the store's descriptor, and messages written into
     * it. */
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return fail_errno(error, errno, "/dev/null");
    if (close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
        return fail_errno(error, errno, "closing inherited descriptors");
    return 0;
}

static int clean_environment(struct error *error)
{
    const char *path = getenv(CONFIG_FILE_VARIABLE);
    cleanup_free char *kept = path ? mem_copy_text(path) : NULL;
    if (clearenv() != 0)
        return fail(error, ERROR_SYSTEM, "cannot clear the environment");
    if (kept && setenv(CONFIG_FILE_VARIABLE, kept, 1) < 0)
        return fail_errno(error, errno, "setenv");
    /* Nothing here depends on the host's time zone, which the C library would read from a file. */
    if (setenv("TZ", "UTC0", 1) < 0)
        return fail_errno(error, errno, "setenv");
    return 0;
}

static void forbid_core_dumps(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0);
}

/* Ctrl-Z at `pct start` must not stop a reaction that holds a lock, or its deadline. */
static void forbid_stops(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTSTP);
    (void)sigaddset(&signals, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
}

/*
 * Proxmox leaks descriptors, a shell its whole environment: closes stray descriptors, makes sure
 * that 0, 1 and 2 are open, drops the environment but for FELHOM_AGENT_CONFIG, works from / under
 * umask 077, and forbids core dumps and being stopped by the terminal.
 */
static int clean_surroundings(struct error *error)
{
    if (clean_descriptors(error) < 0 || clean_environment(error) < 0)
        return -1;
    (void)signal(SIGPIPE, SIG_IGN);
    forbid_stops();
    (void)umask(077);
    if (chdir("/") < 0)
        return fail_errno(error, errno, "/");
    forbid_core_dumps();
    return 0;
}

/* A mistake in agent.yaml keeps no guest from its identity, and no stopped guest's token good. */
static void recover_config(struct config *ret, const struct error *error, struct report *report)
{
    const char *path = config_file_path();
    if (config_file_recover(ret))
        report_problem(report,
                       "%.300s: until that is corrected, the last good one is in force: "
                       "%s" CONFIG_FILE_KEPT,
                       error->message, path);
    else
        report_problem(report,
                       "%.300s: until that is corrected, only what is valid in %s is in force, and "
                       "defaults for the rest",
                       error->message, path);
}

/* The guest runs, perhaps without an identity: felhom-token-age.path tries again, without a
 * deadline. */
static void ask_for_identity(const struct config *config)
{
    token_record_use(config->paths.run);
    token_record_ask_renewal();
    token_record_use(NULL);
}

static int react_to_phase(const struct phase *phase, const struct call *call, int64_t started_us,
                          struct report *report)
{
    struct error error;
    cleanup(config_free) struct config config = {0};
    if (clean_surroundings(&error) < 0) {
        report_failure(report, &error);
        return conclude(phase, call, report, ON_ERROR_CONTINUE);
    }
    if (config_file_load(&config, &error) < 0)
        recover_config(&config, &error, report);
    mem_exit_with(failure_status(phase, config.hook.on_error));
    struct reaction reaction = {
        .config = &config,
        .vmid = call->vmid,
        .phase = phase->name,
        .started_us = started_us,
        .report = report,
    };
    store_use_little_memory();
    supervisor_run(phase, &reaction);
    if (phase->asks_again && report->outcome != REPORT_DONE)
        ask_for_identity(&config);
    return conclude(phase, call, report, config.hook.on_error);
}

int main(int argc, char **argv)
{
    int64_t started_us = clock_steady_us();
    struct call call;
    int status = parse_arguments(argc, argv, &call);
    if (status >= 0)
        return status;
    const struct phase *phase = phase_find(call.phase_name);
    if (!phase) {
        ignore_phase(&call);
        return EXIT_SUCCESS;
    }
    (void)mallopt(M_TOP_PAD, HEAP_STEP);
    mem_exit_with(EXIT_SUCCESS); /* until the operator's policy is known */
    mem_mark_heap();
    struct report *report = report_new();
    if (!report) {
        (void)fputs("felhom-hook: out of memory\n", stderr);
        return EXIT_SUCCESS;
    }
    status = react_to_phase(phase, &call, started_us, report);
    return status == EXIT_SUCCESS ? chain_run(report, call.vmid, phase->name) : status;
}
