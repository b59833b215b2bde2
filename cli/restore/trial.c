/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/restore/trial.h"

#include <stdio.h>
#include <string.h>

#include "cli/base/session.h"
#include "cli/pve/config.h"
#include "cli/pve/query.h"
#include "cli/restore/harmless_copy.h"
#include "cli/restore/spare_guest.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/documents/settings.h"

/* Proxmox says the kind only where the archive's name does. */
static bool is_of(const json_t *item, enum guest_kind kind, uint32_t vmid)
{
    const char *name = guest_kind_name(kind);
    return strcmp(json_get_text(item, "content", ""), "backup") == 0 &&
           strcmp(json_get_text(item, "subtype", name), name) == 0 &&
           json_get_int(item, "vmid", 0) == (json_int_t)vmid && *json_get_text(item, "volid", "");
}

static bool is_newer(const json_t *item, const json_t *than)
{
    return !than || json_get_int(item, "ctime", 0) > json_get_int(than, "ctime", 0);
}

int backup_archive_newest(const char *storage, enum guest_kind kind, uint32_t vmid,
                          struct pve_limits limits, char **ret, struct error *error)
{
    cleanup_json json_t *content = NULL;
    const json_t *newest = NULL;
    if (pve_query_content(storage, "backup", vmid, limits, &content, error) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *item = json_array_get(content, i);
        if (is_of(item, kind, vmid) && is_newer(item, newest))
            newest = item;
    }
    if (!newest)
        return fail(error, ERROR_MISSING, "there is no backup of guest %u on %s", vmid, storage);
    *ret = mem_copy_text(json_get_text(newest, "volid", ""));
    return 0;
}

#define US_PER_MS     INT64_C(1000)
#define LOOK_EVERY_MS 500
#define START_MS      10000 /* until a copy that was started shows as running */

struct trial {
    const struct session *session;
    struct pve_limits limits;
    int64_t hold_ms; /* how long the copy has to go on running */
    struct guest_config original;
    struct copy_storages storages;
    struct restore_test test;
};

static void trial_free(struct trial *trial)
{
    guest_config_free(&trial->original);
    copy_storages_free(&trial->storages);
}

/* --- preparation --- */

static int64_t now_ms(void)
{
    return clock_steady_us() / US_PER_MS;
}

static int find_archive(struct trial *trial, struct error *error)
{
    cleanup_free char *archive = NULL;
    if (backup_archive_newest(trial->session->config.backup.storage, trial->original.kind,
                              trial->test.vmid, trial->limits, &archive, error) < 0)
        return -1;
    (void)snprintf(trial->test.archive, sizeof trial->test.archive, "%s", archive);
    return 0;
}

static int prepare(const struct session *session, uint32_t vmid, int interrupt_fd,
                   struct trial *trial, struct error *error)
{
    const struct config *config = &session->config;
    int64_t deadline_us = clock_steady_us() + (int64_t)config->restore_test.deadline_ms * US_PER_MS;
    trial->session = session;
    trial->limits = (struct pve_limits){deadline_us, interrupt_fd};
    trial->hold_ms = (int64_t)config->restore_test.hold_ms;
    trial->test = (struct restore_test){.vmid = vmid};
    if (settings_load_guest(config, vmid, &trial->original, error) < 0 ||
        find_archive(trial, error) < 0)
        return -1;
    copy_storages_find(config, &trial->original, &trial->storages);
    return 0;
}

/* On record before anything is made, so that whoever comes after a crash knows where to look. */
static int begin(struct trial *trial, struct error *error)
{
    if (spare_guest_choose(&trial->storages, trial->limits, &trial->test.spare_vmid, error) < 0)
        return -1;
    trial->test.started_at_ms = clock_wall_ms();
    return restore_test_begin(trial->session->store, &trial->test, error);
}

/* --- the test itself --- */

static int run(const struct trial *trial, const char *const *argv, struct error *error)
{
    const struct pve_command command = {argv, NULL, trial->limits};
    return pve_command_run_as(&command, error);
}

static const char *tool_of(const struct trial *trial)
{
    return trial->original.kind == GUEST_LXC ? PVE_COMMAND_LXC : PVE_COMMAND_QEMU;
}

/* Nothing starts the copy but this test, even if the host dies before it is made harmless; and
 * nothing keeps it from being destroyed. qmrestore would take no description. */
static int restore(const struct trial *trial, struct error *error)
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
    const char *argv[5 + ARRAY_SIZE(options) + 1] = {tool_of(trial), lxc ? "restore" : "create",
                                                     spare};
    size_t count = 3;
    if (!lxc)
        argv[count++] = "--archive";
    argv[count++] = trial->test.archive;
    memcpy(argv + count, options, sizeof options);
    if (run(trial, argv, error) < 0)
        return fail_context(error, "it could not be restored");
    return 0;
}

/* Written even where the copy must not be started: what it shares with the original goes. */
static int make_harmless(const struct trial *trial, struct error *error)
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
    int refused = harmless_copy_make(spare, &trial->original, &file.text, &refusal);
    if (pve_config_write(&file, error) < 0)
        return -1;
    if (refused < 0)
        *error = refusal;
    return refused;
}

static int start(const struct trial *trial, struct error *error)
{
    cleanup_free char *spare = mem_format("%u", trial->test.spare_vmid);
    const char *const argv[] = {tool_of(trial), "start", spare, NULL};
    if (run(trial, argv, error) < 0)
        return fail_context(error, "the copy does not start");
    return 0;
}

/* Looks at the copy again and again for that time; returns at once when it is seen to (not) run. */
static int wait_while(const struct trial *trial, bool running, int64_t for_ms, bool *ret_running,
                      char **ret_word, struct error *error)
{
    int64_t until_ms = now_ms() + for_ms;
    do {
        cleanup_free char *word = NULL;
        if (spare_guest_running(trial->original.kind, trial->test.spare_vmid, trial->limits,
                                ret_running, &word, error) < 0)
            return -1;
        if (*ret_running != running || now_ms() >= until_ms) {
            *ret_word = steal(word);
            return 0;
        }
    } while (!interrupt_wait(trial->limits.interrupt_fd, LOOK_EVERY_MS));
    return fail(error, ERROR_BUSY, RESTORE_TEST_INTERRUPTED);
}

static int watch(const struct trial *trial, struct error *error)
{
    bool running;
    cleanup_free char *first = NULL;
    cleanup_free char *last = NULL;
    if (wait_while(trial, false, START_MS, &running, &first, error) < 0)
        return -1;
    if (!running)
        return fail(error, ERROR_CONFLICT, "the copy was started, but does not run: it is %.20s",
                    first);
    if (wait_while(trial, true, trial->hold_ms, &running, &last, error) < 0)
        return -1;
    if (!running)
        return fail(error, ERROR_CONFLICT, "the copy ran, but not for %g seconds: it is %.20s",
                    (double)trial->hold_ms / 1000, last);
    return 0;
}

static int attempt(const struct trial *trial, struct error *error)
{
    if (restore(trial, error) < 0 || make_harmless(trial, error) < 0 || start(trial, error) < 0)
        return -1;
    return watch(trial, error);
}

/* --- the end --- */

static int finish(struct trial *trial, const char *problem, struct error *error)
{
    const struct session *session = trial->session;
    if (restore_test_finish(session->store, trial->test.vmid, problem, clock_wall_ms(), error) < 0)
        return -1;
    nudge_send(session->config.paths.state);
    return restore_test_get(session->store, trial->test.vmid, &trial->test, error);
}

/* What went wrong first is the reason; that the copy could not be destroyed has to be told too. */
static int conclude(struct trial *trial, int result, struct error *problem, struct error *error)
{
    bool found;
    struct error left;
    bool interrupted = interrupt_wait(trial->limits.interrupt_fd, 0);
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
    return finish(trial, result < 0 ? problem->message : NULL, error);
}

int restore_trial_run(const struct session *session, uint32_t vmid, int interrupt_fd,
                      struct restore_test *ret, struct error *error)
{
    struct error problem;
    cleanup(trial_free) struct trial trial = {0};
    if (prepare(session, vmid, interrupt_fd, &trial, error) < 0 || begin(&trial, error) < 0)
        return -1;
    nudge_send(session->config.paths.state);
    if (conclude(&trial, attempt(&trial, &problem), &problem, error) < 0)
        return -1;
    *ret = trial.test;
    return 0;
}

/* Its guest may be gone by now, and what it had with it. */
static int storages_of(const struct config *config, uint32_t vmid, struct copy_storages *ret,
                       struct error *error)
{
    struct error problem;
    cleanup(guest_config_free) struct guest_config original = {0};
    if (settings_load_guest(config, vmid, &original, &problem) < 0 &&
        problem.kind != ERROR_MISSING) {
        *error = problem;
        return -1;
    }
    copy_storages_find(config, &original, ret);
    return 0;
}

int restore_trial_clear(const struct session *session, const struct restore_test *test,
                        bool *ret_found, struct error *error)
{
    cleanup(copy_storages_free) struct copy_storages storages = {NULL, 0, NULL};
    if (storages_of(&session->config, test->vmid, &storages, error) < 0 ||
        spare_guest_clear(&session->config, &storages, test, ret_found, error) < 0)
        return -1;
    bool settled = *ret_found || test->finished_at_ms == 0;
    return settled ? restore_test_forget_spare(session->store, test->vmid, error) : 0;
}
