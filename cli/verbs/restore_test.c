/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore-test: tests that a guest's newest backup can be restored. One trial restores it to a
 * spare VMID, makes the copy harmless, starts it, watches it run for a while and in any case
 * destroys it again; the original is only read. A run makes one trial for the given guest, or one
 * for each guest whose last test is too old, after it has destroyed what killed runs left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/pve/config.h"
#include "cli/restore/spare_guest.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/files/config_file.h"
#include "store/files/file.h"
#include "store/tables/guest.h"
#include "store/tables/job.h"

#define LOCK_NAME     "restore-test.lock"
#define LOOK_EVERY_MS 500
#define START_MS      10000 /* until a copy that was started shows as running */

/* --- one trial --- */

struct trial {
    const struct session *session;
    struct pve_limits limits;
    int64_t hold_ms; /* how long the copy has to go on running */
    struct guest_config original;
    struct spare_storages storages;
    struct restore_test test;
};

static void trial_free(struct trial *trial)
{
    guest_config_free(&trial->original);
    spare_storages_free(&trial->storages);
}

static int64_t steady_ms(void)
{
    return clock_steady_us() / US_PER_MS;
}

static int trial_find_archive(struct trial *trial, struct error *error)
{
    cleanup_free char *archive = NULL;
    if (spare_guest_find_archive(trial->session->config.backup.storage, trial->original.kind,
                                 trial->test.vmid, trial->limits, &archive, error) < 0)
        return -1;
    (void)snprintf(trial->test.archive, sizeof trial->test.archive, "%s", archive);
    return 0;
}

static int trial_prepare(const struct session *session, uint32_t vmid, int interrupt_fd,
                         struct trial *trial, struct error *error)
{
    const struct config *config = &session->config;
    int64_t deadline_us = clock_steady_us() + (int64_t)config->restore_test.deadline_ms * US_PER_MS;
    trial->session = session;
    trial->limits = (struct pve_limits){deadline_us, interrupt_fd};
    trial->hold_ms = (int64_t)config->restore_test.hold_ms;
    trial->test = (struct restore_test){.vmid = vmid};
    if (config_file_load_guest(config, vmid, &trial->original, error) < 0 ||
        trial_find_archive(trial, error) < 0)
        return -1;
    spare_storages_find(config, &trial->original, &trial->storages);
    return 0;
}

/* Records the VMID before anything is made there, so that the next run can clean up after a crash.
 */
static int trial_begin(struct trial *trial, struct error *error)
{
    if (spare_guest_choose(&trial->storages, trial->limits, &trial->test.spare_vmid, error) < 0)
        return -1;
    trial->test.started_at_ms = clock_wall_ms();
    return restore_test_begin(trial->session->store, &trial->test, error);
}

static int trial_command(const struct trial *trial, const char *const *argv, struct error *error)
{
    const struct pve_command command = {argv, NULL, trial->limits};
    return pve_command_run_as(&command, error);
}

/* onboot 0: nothing else may start the copy, even if the host dies before it is made harmless.
 * protection 0: it must be possible to destroy it. qm create rather than qmrestore, which takes no
 * description. */
static int trial_restore(const struct trial *trial, struct error *error)
{
    bool lxc = trial->original.kind == GUEST_LXC;
    cleanup_free char *spare = mem_format("%u", trial->test.spare_vmid);
    cleanup_free char *mark = spare_guest_mark(&trial->test);
    const char *const options[] = {
        "--unique",
        "1",
        "--description",
        mark,
        "--onboot",
        "0",
        "--protection",
        "0",
        trial->storages.wanted ? "--storage" : NULL,
        trial->storages.wanted,
    };
    const char *argv[5 + ARRAY_SIZE(options) + 1] = {pve_command_of(trial->original.kind),
                                                     lxc ? "restore" : "create", spare};
    size_t count = 3;
    if (!lxc)
        argv[count++] = "--archive";
    argv[count++] = trial->test.archive;
    memcpy(argv + count, options, sizeof options);
    if (trial_command(trial, argv, error) < 0)
        return fail_context(error, "the backup could not be restored");
    return 0;
}

/* The file is written even if the copy must not be started, so that it no longer names what belongs
 * to the original when the copy is destroyed. */
static int trial_make_harmless(const struct trial *trial, struct error *error)
{
    struct error refusal;
    uint32_t spare = trial->test.spare_vmid;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    if (pve_config_open(&trial->session->config, trial->original.kind, spare, PVE_CONFIG_WAIT_MS,
                        &file, error) < 0)
        return fail_context(error, "the copy could not be made harmless");
    if (!spare_guest_is_marked(&file.text, &trial->test))
        return fail(error, ERROR_CONFLICT, "guest %u is not the copy that was to be made there",
                    spare);
    int refused = spare_guest_make_harmless(spare, &trial->original, &file.text, &refusal);
    if (pve_config_write(&file, error) < 0)
        return -1;
    if (refused < 0)
        *error = refusal;
    return refused;
}

static int trial_start(const struct trial *trial, struct error *error)
{
    cleanup_free char *spare = mem_format("%u", trial->test.spare_vmid);
    const char *const argv[] = {pve_command_of(trial->original.kind), "start", spare, NULL};
    if (trial_command(trial, argv, error) < 0)
        return fail_context(error, "the copy does not start");
    return 0;
}

/* Polls the copy's status for at most for_ms; returns early once it differs from running. */
static int trial_wait(const struct trial *trial, bool running, int64_t for_ms, bool *ret_running,
                      char **ret_word, struct error *error)
{
    int64_t until_ms = steady_ms() + for_ms;
    do {
        cleanup_free char *word = NULL;
        if (spare_guest_running(trial->original.kind, trial->test.spare_vmid, trial->limits,
                                ret_running, &word, error) < 0)
            return -1;
        if (*ret_running != running || steady_ms() >= until_ms) {
            *ret_word = steal(word);
            return 0;
        }
    } while (!session_interrupt_wait(trial->limits.interrupt_fd, LOOK_EVERY_MS));
    return fail(error, ERROR_BUSY, RESTORE_TEST_INTERRUPTED);
}

static int trial_watch(const struct trial *trial, struct error *error)
{
    bool running;
    cleanup_free char *first = NULL;
    cleanup_free char *last = NULL;
    if (trial_wait(trial, false, START_MS, &running, &first, error) < 0)
        return -1;
    if (!running)
        return fail(error, ERROR_CONFLICT, "the copy was started, but does not run: it is %.20s",
                    first);
    if (trial_wait(trial, true, trial->hold_ms, &running, &last, error) < 0)
        return -1;
    if (!running)
        return fail(error, ERROR_CONFLICT, "the copy ran, but not for %g seconds: it is %.20s",
                    (double)trial->hold_ms / 1000, last);
    return 0;
}

static int trial_attempt(const struct trial *trial, struct error *error)
{
    if (trial_restore(trial, error) < 0 || trial_make_harmless(trial, error) < 0 ||
        trial_start(trial, error) < 0)
        return -1;
    return trial_watch(trial, error);
}

static int trial_finish(struct trial *trial, const char *problem, struct error *error)
{
    const struct session *session = trial->session;
    if (restore_test_finish(session->store, trial->test.vmid, problem, clock_wall_ms(), error) < 0)
        return -1;
    nudge_send(session->config.paths.state);
    return restore_test_get(session->store, trial->test.vmid, &trial->test, error);
}

/* Removes the copy and records the result. If the copy cannot be removed, the problem says so
 * before the first failure. */
static int trial_conclude(struct trial *trial, int result, struct error *problem,
                          struct error *error)
{
    bool found;
    struct error left;
    bool interrupted = session_interrupt_wait(trial->limits.interrupt_fd, 0);
    if (spare_guest_clear(&trial->session->config, &trial->storages, &trial->test, &found, &left) <
        0) {
        if (result == 0)
            *problem = left;
        else
            (void)fail_context(problem, "%.240s; before that", left.message);
        result = -1;
    } else if (result < 0 && interrupted) {
        (void)fail(problem, ERROR_BUSY, RESTORE_TEST_INTERRUPTED);
    }
    return trial_finish(trial, result < 0 ? problem->message : NULL, error);
}

/* Tests one guest's newest backup. *ret is the test as the store has it in the end, whether it
 * passed or not. Fails where none could be begun: ERROR_MISSING where there is no backup. */
static int trial_run(const struct session *session, uint32_t vmid, int interrupt_fd,
                     struct restore_test *ret, struct error *error)
{
    struct error problem;
    cleanup(trial_free) struct trial trial = {0};
    if (trial_prepare(session, vmid, interrupt_fd, &trial, error) < 0 ||
        trial_begin(&trial, error) < 0)
        return -1;
    nudge_send(session->config.paths.state);
    if (trial_conclude(&trial, trial_attempt(&trial, &problem), &problem, error) < 0)
        return -1;
    *ret = trial.test;
    return 0;
}

/* Without its guest, which may be gone by now, only restore_test.storage is known. */
static int trial_storages(const struct config *config, uint32_t vmid, struct spare_storages *ret,
                          struct error *error)
{
    struct error problem;
    cleanup(guest_config_free) struct guest_config original = {0};
    if (config_file_load_guest(config, vmid, &original, &problem) < 0 &&
        fail_unless_missing(error, &problem) < 0)
        return -1;
    spare_storages_find(config, &original, ret);
    return 0;
}

/* Destroys what a test that was killed has left. *ret_found tells whether there was anything. */
static int trial_clear(const struct session *session, const struct restore_test *test,
                       bool *ret_found, struct error *error)
{
    cleanup(spare_storages_free) struct spare_storages storages = {NULL, 0, NULL};
    if (trial_storages(&session->config, test->vmid, &storages, error) < 0 ||
        spare_guest_clear(&session->config, &storages, test, ret_found, error) < 0)
        return -1;
    bool settled = *ret_found || test->finished_at_ms == 0;
    return settled ? restore_test_forget_spare(session->store, test->vmid, error) : 0;
}

/* --- the run --- */

enum { OPTION_DUE };

static const struct verb_option options[] = {
    {"due", NULL, "each guest whose last test is older than restore_test.every"},
};

struct test_run {
    struct session session;
    int lock_fd;
    int interrupt_fd;
    struct steps steps;
    json_t *tests; /* a row for each trial */
};

static void test_run_free(struct test_run *run)
{
    session_close(&run->session);
    cleanup_close_fn(&run->lock_fd);
    cleanup_close_fn(&run->interrupt_fd);
    steps_free(&run->steps);
    json_decref(run->tests);
}

/* Held until the end: of two runs each would take the other's copy for a killed run's. */
static int take_lock(struct test_run *run, struct error *error)
{
    const char *path = run->session.config.paths.run;
    cleanup_close int dirfd = -1;
    if (directory_make(path, 0755, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0)
        return -1;
    cleanup_close int fd =
        openat(dirfd, LOCK_NAME, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s/" LOCK_NAME, path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return fail(error, ERROR_BUSY, "a restore test is running already");
    run->lock_fd = steal_fd(&fd);
    return 0;
}

struct leftovers {
    struct restore_test *items;
    size_t count;
};

static void leftovers_free(struct leftovers *leftovers)
{
    free(leftovers->items);
}

static int visit_leftover(const struct restore_test *test, void *context)
{
    struct leftovers *leftovers = context;
    if (test->spare_vmid == 0)
        return 0;
    leftovers->items = mem_resize(leftovers->items, leftovers->count + 1, sizeof *leftovers->items);
    leftovers->items[leftovers->count++] = *test;
    return 0;
}

/* A copy that cannot be removed is reported, and tried again at the next run. */
static void clear_leftover(struct test_run *run, const struct restore_test *test)
{
    bool found;
    struct error problem;
    if (trial_clear(&run->session, test, &found, &problem) < 0)
        steps_add_failure(&run->steps, test->vmid, problem.message);
    else if (found)
        steps_add_guest(&run->steps, STEP_DONE, test->vmid,
                        "destroyed guest %u, which an earlier test left", test->spare_vmid);
}

static int clear_leftovers(struct test_run *run, struct error *error)
{
    cleanup(leftovers_free) struct leftovers leftovers = {NULL, 0};
    if (restore_test_each(run->session.store, visit_leftover, &leftovers, error) < 0)
        return -1;
    for (size_t i = 0; i < leftovers.count; i++)
        clear_leftover(run, &leftovers.items[i]);
    return 0;
}

static void add_test(struct test_run *run, const struct restore_test *test)
{
    json_t *row = json_object();
    output_put_int(row, "vmid", test->vmid);
    output_put_text(row, "archive", test->archive);
    output_put_int(row, "spare_vmid", test->spare_vmid);
    output_put_bool(row, "passed", test->passed);
    json_set(row, "error", test->passed ? json_null() : json_text(test->error));
    output_put_int(row, "seconds", (test->finished_at_ms - test->started_at_ms) / 1000);
    json_append(run->tests, row);
}

static int test_guest(struct test_run *run, uint32_t vmid, struct error *error)
{
    struct restore_test test;
    if (trial_run(&run->session, vmid, run->interrupt_fd, &test, error) < 0)
        return -1;
    add_test(run, &test);
    if (!test.passed)
        return fail(error, ERROR_CONFLICT, "the restore test of guest %u failed: %s: %s", vmid,
                    test.archive, test.error);
    steps_add_guest(&run->steps, STEP_DONE, vmid,
                    "%s was restored as guest %u, ran, and is gone again", test.archive,
                    test.spare_vmid);
    return 0;
}

static int test_named(struct test_run *run, uint32_t vmid, struct error *error)
{
    struct guest guest;
    if (session_find_guest(&run->session, vmid, &guest, error) < 0)
        return -1;
    if (vmids_has(&run->steps.failed, vmid))
        return fail(error, ERROR_CONFLICT,
                    "guest %u is not tested while the copy of its last test is still there", vmid);
    return test_guest(run, vmid, error);
}

static bool is_test_due(const struct restore_test *test, const struct config *config)
{
    int64_t age_ms = clock_wall_ms() - test->finished_at_ms;
    int64_t every_ms = (int64_t)config->restore_test.every_ms;
    bool tested = test->finished_at_ms != 0 && strcmp(test->error, RESTORE_TEST_INTERRUPTED) != 0;
    return !tested || age_ms > every_ms || age_ms < -every_ms;
}

static bool is_here(const struct session *session, uint32_t vmid)
{
    struct error problem;
    cleanup(guest_config_free) struct guest_config guest = {0};
    return config_file_load_guest(&session->config, vmid, &guest, &problem) == 0 ||
           problem.kind != ERROR_MISSING;
}

/* Adds a step if the guest is not due, unless it is not here or its last copy is still there. */
static int find_due(struct test_run *run, uint32_t vmid, bool *ret, struct error *error)
{
    struct restore_test last;
    *ret = false;
    if (!is_here(&run->session, vmid) || vmids_has(&run->steps.failed, vmid))
        return 0;
    if (restore_test_get(run->session.store, vmid, &last, error) < 0)
        return -1;
    *ret = is_test_due(&last, &run->session.config);
    if (!*ret)
        steps_add_guest(&run->steps, STEP_ALREADY, vmid, "was tested, and is not due yet");
    return 0;
}

/* A guest that has no backup is a step, not a failure: no backup was found to be bad. */
static int test_if_due(struct test_run *run, uint32_t vmid, struct error *error)
{
    bool due;
    struct error problem;
    if (find_due(run, vmid, &due, error) < 0)
        return -1;
    if (!due || test_guest(run, vmid, &problem) == 0)
        return 0;
    if (problem.kind == ERROR_MISSING)
        steps_add_guest(&run->steps, STEP_ALREADY, vmid, "%s", problem.message);
    else
        steps_add_failure(&run->steps, vmid, problem.message);
    return 0;
}

static int test_due(struct test_run *run, struct error *error)
{
    cleanup(vmids_free) struct vmids guests = {NULL, 0};
    if (guest_list(run->session.store, &guests, error) < 0)
        return -1;
    for (size_t i = 0; i < guests.count; i++) {
        if (session_interrupt_wait(run->interrupt_fd, 0))
            return fail(error, ERROR_BUSY, RESTORE_TEST_INTERRUPTED);
        if (test_if_due(run, guests.items[i], error) < 0)
            return -1;
    }
    return 0;
}

static int restore_test(struct test_run *run, const struct invocation *invocation,
                        struct error *error)
{
    bool due = invocation->values[OPTION_DUE];
    if (due == (invocation->vmid != 0))
        return fail(error, ERROR_INVALID, "restore-test: give VMID or --due");
    if (session_open(&run->session, error) < 0 || take_lock(run, error) < 0 ||
        session_interrupt_open(&run->interrupt_fd, error) < 0 || clear_leftovers(run, error) < 0)
        return -1;
    if ((due ? test_due(run, error) : test_named(run, invocation->vmid, error)) < 0)
        return -1;
    return steps_check_failures(&run->steps, "not all restore tests succeeded", error);
}

static int run_restore_test(const struct invocation *invocation, struct error *error)
{
    cleanup(test_run_free) struct test_run run = {
        .lock_fd = -1,
        .interrupt_fd = -1,
        .steps = steps_new(),
        .tests = json_array(),
    };
    cleanup_json json_t *rest = json_object();
    int result = restore_test(&run, invocation, error);
    json_set(rest, "tests", json_incref(run.tests));
    steps_print(&run.steps, invocation, rest);
    return result;
}

const struct verb verb_restore_test = {
    .name = "restore-test",
    .operand = OPERAND_VMID_OR_NONE,
    .instead = "--due",
    .help = "Restore a guest's newest backup to a spare VMID, start it unplugged, destroy it",
    .run = run_restore_test,
    VERB_OPTIONS(options),
};
