/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/restore/spare_guest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/pve/config.h"
#include "cli/pve/config_text.h"
#include "cli/pve/query.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"
#include "schema/json/json.h"
#include "store/base/clock.h"

static void add(struct copy_storages *storages, const char *name)
{
    for (size_t i = 0; i < storages->count; i++)
        if (strcmp(storages->names[i], name) == 0)
            return;
    storages->names = mem_resize(storages->names, storages->count + 1, sizeof *storages->names);
    storages->names[storages->count++] = mem_copy_text(name);
}

static void add_of_volumes(struct copy_storages *storages, const struct guest_config *original)
{
    for (size_t i = 0; i < original->volume_count; i++)
        if (original->volumes[i].kind == VOLUME_STORAGE)
            add(storages, original->volumes[i].storage);
}

static const char *storage_of_root(const struct guest_config *original)
{
    const struct volume *root = guest_config_volume(original, "rootfs");
    return root && root->kind == VOLUME_STORAGE ? root->storage : NULL;
}

void copy_storages_find(const struct config *config, const struct guest_config *original,
                        struct copy_storages *ret)
{
    *ret = (struct copy_storages){NULL, 0, NULL};
    const char *wanted = config->restore_test.storage;
    if (*wanted == '\0')
        wanted = original->kind == GUEST_LXC ? storage_of_root(original) : NULL;
    if (wanted)
        add(ret, wanted);
    else
        add_of_volumes(ret, original);
    ret->wanted = wanted ? ret->names[0] : NULL;
}

void copy_storages_free(struct copy_storages *storages)
{
    for (size_t i = 0; i < storages->count; i++)
        free(storages->names[i]);
    free(storages->names);
    *storages = (struct copy_storages){NULL, 0, NULL};
}

/* Backups of a guest that had the VMID once are none of it. */
static bool is_disk(const json_t *item)
{
    const char *content = json_get_text(item, "content", "");
    return strcmp(content, "images") == 0 || strcmp(content, "rootdir") == 0;
}

int copy_storages_used(const struct copy_storages *storages, uint32_t vmid,
                       struct pve_limits limits, bool *ret, struct error *error)
{
    bool used = false;
    for (size_t i = 0; i < storages->count; i++) {
        cleanup_json json_t *content = NULL;
        if (pve_query_content(storages->names[i], NULL, vmid, limits, &content, error) < 0)
            return -1;
        for (size_t j = 0; j < json_array_size(content); j++)
            used = used || is_disk(json_array_get(content, j));
    }
    *ret = used;
    return 0;
}

static int free_disk(const json_t *item, int64_t since_ms, struct error *error)
{
    json_int_t since = since_ms / 1000;
    const char *const argv[] = {
        PVE_COMMAND_STORAGE,
        "free",
        json_get_text(item, "volid", ""),
        NULL,
    };
    if (!is_disk(item) || json_get_int(item, "ctime", since) < since)
        return 0;
    return pve_command_run(argv, error);
}

static int clear_storage(const char *storage, uint32_t vmid, int64_t since_ms, struct error *error)
{
    cleanup_json json_t *content = NULL;
    if (pve_query_content(storage, NULL, vmid, PVE_NO_LIMITS, &content, error) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(content); i++)
        if (free_disk(json_array_get(content, i), since_ms, error) < 0)
            return -1;
    return 0;
}

int copy_storages_clear(const struct copy_storages *storages, uint32_t vmid, int64_t since_ms,
                        struct error *error)
{
    for (size_t i = 0; i < storages->count; i++)
        if (clear_storage(storages->names[i], vmid, since_ms, error) < 0)
            return -1;
    return 0;
}

#define CHOICES_MAX    50
#define STEP_US        (INT64_C(600) * 1000000) /* for each command that takes the copy away */
#define SHELL_SETTLE_S 3
#define STATUS_PREFIX  "status: "

/* --- choice --- */

/* Proxmox writes the number as one or as a text. */
static int read_vmid(const json_t *answer, uint32_t *ret, struct error *error)
{
    cleanup_free char *number =
        json_is_integer(answer)
            ? mem_format("%" JSON_INTEGER_FORMAT, json_integer_value(answer))
            : mem_copy_text(json_is_string(answer) ? json_string_value(answer) : "");
    if (vmid_parse(number, ret))
        return 0;
    return fail(error, ERROR_INVALID, "Proxmox's next free VMID, '%.30s', is none", number);
}

static int next_free(struct pve_limits limits, uint32_t *ret, struct error *error)
{
    static const char *const none[] = {NULL};
    cleanup_json json_t *answer = NULL;
    if (pve_query("/cluster/nextid", none, limits, &answer, error) < 0)
        return -1;
    return read_vmid(answer, ret, error);
}

static bool is_free(uint32_t vmid, struct pve_limits limits)
{
    struct error taken;
    cleanup_json json_t *answer = NULL;
    cleanup_free char *number = mem_format("%u", vmid);
    const char *const options[] = {"--vmid", number, NULL};
    return pve_query("/cluster/nextid", options, limits, &answer, &taken) == 0;
}

int spare_guest_choose(const struct copy_storages *storages, struct pve_limits limits,
                       uint32_t *ret, struct error *error)
{
    uint32_t vmid;
    if (next_free(limits, &vmid, error) < 0)
        return -1;
    for (int i = 0; i < CHOICES_MAX; i++, vmid++) {
        bool used = false;
        if (i > 0 && !is_free(vmid, limits))
            continue;
        if (copy_storages_used(storages, vmid, limits, &used, error) < 0)
            return -1;
        if (!used) {
            *ret = vmid;
            return 0;
        }
    }
    return fail(error, ERROR_CONFLICT,
                "no spare VMID: %d from Proxmox's next free one on have guests or disks that "
                "belong to none",
                CHOICES_MAX);
}

/* --- whose it is --- */

char *spare_guest_mark(const struct restore_test *test)
{
    return mem_format("felhom-agent restore test of guest %u begun %" PRId64, test->vmid,
                      test->started_at_ms);
}

static bool is_line(const struct buffer *text, const struct config_line *line, const char *wanted)
{
    size_t length = strlen(wanted);
    const char *start = buffer_text(text) + line->start;
    return line->size >= length && memcmp(start, wanted, length) == 0 &&
           strspn(start + length, "\r\n") == line->size - length;
}

bool spare_guest_is_marked(const struct buffer *text, const struct restore_test *test)
{
    cleanup_free char *mark = spare_guest_mark(test);
    cleanup_free char *comment = mem_format("#%s", mark);
    for (struct config_line line = {0}; config_line_next(text, &line);)
        if (is_line(text, &line, comment))
            return true;
    return false;
}

/* What Proxmox has in a configuration while it restores to it or removes it, and no guest has. */
static bool is_shell(const struct buffer *text)
{
    static const char *const lines[] = {
        "", "lock: create", "lock: restore", "lock: destroyed", "memory: 128",
    };
    struct config_line line = {0};
    while (config_line_next(text, &line)) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
            known = known || is_line(text, &line, lines[i]);
        if (!known)
            return false;
    }
    return line.start + line.size == text->length;
}

enum claim { CLAIM_NONE, CLAIM_COPY, CLAIM_SHELL };

/* Older than the test it is of something else. */
static bool is_younger(const struct pve_config *file, const struct restore_test *test)
{
    struct stat status;
    return fstatat(file->dirfd, file->name, &status, 0) == 0 &&
           status.st_mtime >= test->started_at_ms / 1000;
}

static int look(const struct config *config, enum guest_kind kind, const struct restore_test *test,
                enum claim *ret, struct error *error)
{
    struct error problem;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    *ret = CLAIM_NONE;
    if (pve_config_hold(config, kind, test->spare_vmid, PVE_CONFIG_WAIT_MS, &file, &problem) < 0) {
        if (problem.kind == ERROR_MISSING)
            return 0;
        *error = problem;
        return -1;
    }
    if (spare_guest_is_marked(&file.text, test))
        *ret = CLAIM_COPY;
    else if (test->finished_at_ms == 0 && is_shell(&file.text) && is_younger(&file, test))
        *ret = CLAIM_SHELL;
    return 0;
}

/* Proxmox lets go of the flock for a moment between making a shell and filling it. */
static int find_claim(const struct config *config, enum guest_kind kind,
                      const struct restore_test *test, enum claim *ret, struct error *error)
{
    const struct timespec pause = {.tv_sec = SHELL_SETTLE_S};
    if (look(config, kind, test, ret, error) < 0)
        return -1;
    if (*ret != CLAIM_SHELL)
        return 0;
    (void)nanosleep(&pause, NULL);
    return look(config, kind, test, ret, error);
}

/* --- removal --- */

static const char *tool_of(enum guest_kind kind)
{
    return kind == GUEST_LXC ? PVE_COMMAND_LXC : PVE_COMMAND_QEMU;
}

static int run_step(enum guest_kind kind, const char *verb, uint32_t vmid,
                    const char *const options[2], struct error *error)
{
    cleanup_free char *number = mem_format("%u", vmid);
    const char *const argv[] = {tool_of(kind), verb, number, options[0], options[1], NULL};
    const struct pve_limits limits = {clock_steady_us() + STEP_US, -1};
    const struct pve_command command = {argv, NULL, limits};
    return pve_command_run_as(&command, error);
}

static const char *const no_options[2];

/* The first word of what "status" writes, behind its name. */
static char *read_status(const struct buffer *output)
{
    const char *text = buffer_text(output);
    if (strncmp(text, STATUS_PREFIX, sizeof STATUS_PREFIX - 1) != 0)
        return mem_copy_text("unknown");
    text += sizeof STATUS_PREFIX - 1;
    return mem_copy_text_n(text, strcspn(text, " \r\n"));
}

int spare_guest_running(enum guest_kind kind, uint32_t vmid, struct pve_limits limits, bool *ret,
                        char **ret_word, struct error *error)
{
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    cleanup_free char *number = mem_format("%u", vmid);
    const char *const argv[] = {tool_of(kind), "status", number, NULL};
    const struct pve_command command = {argv, &output, limits};
    if (pve_command_run_as(&command, error) < 0)
        return -1;
    cleanup_free char *word = read_status(&output);
    *ret = strcmp(word, "running") == 0;
    if (ret_word)
        *ret_word = steal(word);
    return 0;
}

/* Only disks that its configuration names go with it: others with its VMID are not its own. */
static int destroy(enum guest_kind kind, uint32_t vmid, struct error *error)
{
    static const char *const options[] = {"--destroy-unreferenced-disks", "0"};
    return run_step(kind, "destroy", vmid, options, error);
}

/* Where it cannot be stopped, it cannot be destroyed either, and that tells why. */
static int remove_copy(enum guest_kind kind, uint32_t vmid, struct error *error)
{
    bool running;
    struct error ignored;
    if (spare_guest_running(kind, vmid, PVE_NO_LIMITS, &running, NULL, &ignored) < 0 || running)
        (void)run_step(kind, "stop", vmid, no_options, &ignored);
    return destroy(kind, vmid, error);
}

/* Its disks while it has the VMID still: nobody else can make any then. */
static int remove_shell(enum guest_kind kind, const struct copy_storages *storages,
                        const struct restore_test *test, struct error *error)
{
    struct error ignored;
    if (copy_storages_clear(storages, test->spare_vmid, test->started_at_ms, error) < 0)
        return -1;
    (void)run_step(kind, "unlock", test->spare_vmid, no_options, &ignored);
    return destroy(kind, test->spare_vmid, error);
}

static int clear_kind(const struct config *config, enum guest_kind kind,
                      const struct copy_storages *storages, const struct restore_test *test,
                      bool *ret_found, struct error *error)
{
    enum claim claim;
    if (find_claim(config, kind, test, &claim, error) < 0)
        return -1;
    *ret_found = *ret_found || claim != CLAIM_NONE;
    if (claim == CLAIM_COPY)
        return remove_copy(kind, test->spare_vmid, error);
    return claim == CLAIM_SHELL ? remove_shell(kind, storages, test, error) : 0;
}

int spare_guest_clear(const struct config *config, const struct copy_storages *storages,
                      const struct restore_test *test, bool *ret_found, struct error *error)
{
    *ret_found = false;
    if (test->spare_vmid == 0)
        return 0;
    if (clear_kind(config, GUEST_LXC, storages, test, ret_found, error) == 0 &&
        clear_kind(config, GUEST_QEMU, storages, test, ret_found, error) == 0)
        return 0;
    return fail_context(error, "guest %u, the copy of a restore test, is still there",
                        test->spare_vmid);
}
