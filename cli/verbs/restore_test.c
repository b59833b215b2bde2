/* SPDX-License-Identifier: Apache-2.0 */
/* restore-test: proves that a guest's newest backup can be restored. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/base/vmids.h"
#include "cli/restore/trial.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/documents/settings.h"
#include "store/files/file.h"
#include "store/tables/guest.h"

#define LOCK_NAME "restore-test.lock"

enum { OPTION_DUE };

static const struct verb_option options[] = {
    {"due", NULL, "each guest whose last test is older than restore_test.every"},
};

/* The whole run. */
struct work {
    struct session session;
    int lock_fd;
    int interrupt_fd;
    struct steps steps;
    json_t *tests;
    struct vmids failed;
};

static void work_free(struct work *work)
{
    session_close(&work->session);
    cleanup_close_fn(&work->lock_fd);
    cleanup_close_fn(&work->interrupt_fd);
    steps_free(&work->steps);
    json_decref(work->tests);
    vmids_free(&work->failed);
}

static void note_failure(struct work *work, uint32_t vmid, const char *what)
{
    steps_add_guest(&work->steps, STEP_WARNING, vmid, "%s", what);
    vmids_add(&work->failed, vmid);
}

/* Held until the end: two runs would take each other's copies for what a killed one left. */
static int take_lock(struct work *work, struct error *error)
{
    const char *path = work->session.config.paths.run;
    cleanup_close int dirfd = -1;
    if (directory_make(path, 0755, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0)
        return -1;
    cleanup_close int fd =
        openat(dirfd, LOCK_NAME, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s/" LOCK_NAME, path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return fail(error, ERROR_BUSY, "a restore test is running already");
    work->lock_fd = steal_fd(&fd);
    return 0;
}

/* --- what killed runs left --- */

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

/* A copy that stays is told of and tried again next time. */
static void clear(struct work *work, const struct restore_test *test)
{
    bool found;
    struct error problem;
    if (restore_trial_clear(&work->session, test, &found, &problem) < 0)
        note_failure(work, test->vmid, problem.message);
    else if (found)
        steps_add_guest(&work->steps, STEP_DONE, test->vmid,
                        "destroyed guest %u, which an earlier test has left", test->spare_vmid);
}

static int clear_all(struct work *work, struct error *error)
{
    cleanup(leftovers_free) struct leftovers leftovers = {NULL, 0};
    if (restore_test_each(work->session.store, visit_leftover, &leftovers, error) < 0)
        return -1;
    for (size_t i = 0; i < leftovers.count; i++)
        clear(work, &leftovers.items[i]);
    return 0;
}

/* --- one guest --- */

static void report(struct work *work, const struct restore_test *test)
{
    json_t *row = json_object();
    if (!row)
        mem_exhausted();
    output_put_int(row, "vmid", test->vmid);
    output_put_text(row, "archive", test->archive);
    output_put_int(row, "spare_vmid", test->spare_vmid);
    output_put_bool(row, "passed", test->passed);
    json_set(row, "error", test->passed ? json_null() : json_text(test->error));
    output_put_int(row, "seconds", (test->finished_at_ms - test->started_at_ms) / 1000);
    json_append(work->tests, row);
}

static int test_guest(struct work *work, uint32_t vmid, struct error *error)
{
    struct restore_test test;
    if (restore_trial_run(&work->session, vmid, work->interrupt_fd, &test, error) < 0)
        return -1;
    report(work, &test);
    if (!test.passed)
        return fail(error, ERROR_CONFLICT, "the restore test of guest %u failed: %s: %s", vmid,
                    test.archive, test.error);
    steps_add_guest(&work->steps, STEP_DONE, vmid,
                    "%s was restored as guest %u, ran, and is gone again", test.archive,
                    test.spare_vmid);
    return 0;
}

static bool was_left(const struct work *work, uint32_t vmid)
{
    for (size_t i = 0; i < work->failed.count; i++)
        if (work->failed.items[i] == vmid)
            return true;
    return false;
}

static int test_one(struct work *work, uint32_t vmid, struct error *error)
{
    struct guest guest;
    if (guest_find(work->session.store, vmid, &guest, error) < 0)
        return fail(error, ERROR_MISSING, "guest %u is not known here: felhomctl enroll %u", vmid,
                    vmid);
    if (was_left(work, vmid))
        return fail(error, ERROR_CONFLICT,
                    "guest %u is not tested while the copy of its last test is still there", vmid);
    return test_guest(work, vmid, error);
}

/* --- all that are due --- */

static bool is_old(const struct restore_test *test, const struct config *config)
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
    return settings_load_guest(&session->config, vmid, &guest, &problem) == 0 ||
           problem.kind != ERROR_MISSING;
}

/* Says why where it is not. */
static int is_due(struct work *work, uint32_t vmid, bool *ret, struct error *error)
{
    struct restore_test last;
    *ret = false;
    if (!is_here(&work->session, vmid) || was_left(work, vmid))
        return 0;
    if (restore_test_get(work->session.store, vmid, &last, error) < 0)
        return -1;
    *ret = is_old(&last, &work->session.config);
    if (!*ret)
        steps_add_guest(&work->steps, STEP_ALREADY, vmid, "was tested, and is not due yet");
    return 0;
}

/* A guest without a backup is not one whose backup is bad. */
static int test_if_due(struct work *work, uint32_t vmid, struct error *error)
{
    bool due;
    struct error problem;
    if (is_due(work, vmid, &due, error) < 0)
        return -1;
    if (!due || test_guest(work, vmid, &problem) == 0)
        return 0;
    if (problem.kind == ERROR_MISSING)
        steps_add_guest(&work->steps, STEP_ALREADY, vmid, "%s", problem.message);
    else
        note_failure(work, vmid, problem.message);
    return 0;
}

static int test_due(struct work *work, struct error *error)
{
    cleanup(vmids_free) struct vmids guests = {NULL, 0};
    if (guest_each(work->session.store, vmids_keep, &guests, error) < 0)
        return -1;
    for (size_t i = 0; i < guests.count; i++) {
        if (interrupt_wait(work->interrupt_fd, 0))
            return fail(error, ERROR_BUSY, RESTORE_TEST_INTERRUPTED);
        if (test_if_due(work, guests.items[i], error) < 0)
            return -1;
    }
    return 0;
}

static int do_work(struct work *work, const struct invocation *invocation, struct error *error)
{
    bool due = invocation->values[OPTION_DUE];
    if (due == (invocation->vmid != 0))
        return fail(error, ERROR_INVALID, "restore-test: one of VMID and --due, please");
    if (session_open(&work->session, error) < 0 || take_lock(work, error) < 0 ||
        interrupt_open(&work->interrupt_fd, error) < 0 || clear_all(work, error) < 0)
        return -1;
    if ((due ? test_due(work, error) : test_one(work, invocation->vmid, error)) < 0)
        return -1;
    return vmids_fail(&work->failed, "not all went well", error);
}

static int run(const struct invocation *invocation, struct error *error)
{
    cleanup(work_free) struct work work = {
        .lock_fd = -1,
        .interrupt_fd = -1,
        .steps = steps_new(),
        .tests = json_array(),
    };
    cleanup_json json_t *rest = json_object();
    int result = do_work(&work, invocation, error);
    json_set(rest, "tests", json_incref(work.tests));
    steps_print(&work.steps, invocation, rest);
    return result;
}

const struct verb verb_restore_test = {
    .name = "restore-test",
    .operand = OPERAND_VMID_OR_NONE,
    .help = "Restore a guest's newest backup to a spare VMID, start it unplugged, destroy it",
    .run = run,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
