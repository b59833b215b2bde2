/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/restore/spare_guest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/pve/config.h"
#include "cli/pve/query.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/base/vmid.h"
#include "schema/json/json.h"
#include "schema/pve/guest_property.h"
#include "store/base/clock.h"

#define CHOICES_MAX    50
#define STEP_US        (10 * MINUTE_US) /* for each command that takes the copy away */
#define SHELL_SETTLE_S 3
#define STATUS_PREFIX  "status: "

/* --- the backup --- */

/* Proxmox reports the guest's kind only if the archive's name contains it. */
static bool is_backup_of(const json_t *item, enum guest_kind kind, uint32_t vmid)
{
    const char *name = guest_kind_names[kind];
    return strcmp(json_get_text(item, "content", ""), "backup") == 0 &&
           strcmp(json_get_text(item, "subtype", name), name) == 0 &&
           json_get_int(item, "vmid", 0) == (json_int_t)vmid && *json_get_text(item, "volid", "");
}

static bool is_newer(const json_t *item, const json_t *than)
{
    return !than || json_get_int(item, "ctime", 0) > json_get_int(than, "ctime", 0);
}

int spare_guest_find_archive(const char *storage, enum guest_kind kind, uint32_t vmid,
                             struct pve_limits limits, char **ret, struct error *error)
{
    cleanup_json json_t *content = NULL;
    const json_t *newest = NULL;
    if (pve_query_content(storage, "backup", vmid, limits, &content, error) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *item = json_array_get(content, i);
        if (is_backup_of(item, kind, vmid) && is_newer(item, newest))
            newest = item;
    }
    if (!newest)
        return fail(error, ERROR_MISSING, "there is no backup of guest %u on %s", vmid, storage);
    *ret = mem_copy_text(json_get_text(newest, "volid", ""));
    return 0;
}

/* --- the storages --- */

static void storages_add(struct spare_storages *storages, const char *name)
{
    for (size_t i = 0; i < storages->count; i++)
        if (strcmp(storages->names[i], name) == 0)
            return;
    storages->names = mem_resize(storages->names, storages->count + 1, sizeof *storages->names);
    storages->names[storages->count++] = mem_copy_text(name);
}

static void storages_add_of_volumes(struct spare_storages *storages,
                                    const struct guest_config *original)
{
    for (size_t i = 0; i < original->volume_count; i++)
        if (original->volumes[i].kind == VOLUME_STORAGE)
            storages_add(storages, original->volumes[i].storage);
}

static const char *storage_of_root(const struct guest_config *original)
{
    const struct volume *root = guest_config_volume(original, "rootfs");
    return root && root->kind == VOLUME_STORAGE ? root->storage : NULL;
}

void spare_storages_find(const struct config *config, const struct guest_config *original,
                         struct spare_storages *ret)
{
    *ret = (struct spare_storages){NULL, 0, NULL};
    const char *wanted = config->restore_test.storage;
    if (*wanted == '\0')
        wanted = original->kind == GUEST_LXC ? storage_of_root(original) : NULL;
    if (wanted)
        storages_add(ret, wanted);
    else
        storages_add_of_volumes(ret, original);
    ret->wanted = wanted ? ret->names[0] : NULL;
}

void spare_storages_free(struct spare_storages *storages)
{
    for (size_t i = 0; i < storages->count; i++)
        free(storages->names[i]);
    free(storages->names);
    *storages = (struct spare_storages){NULL, 0, NULL};
}

/* Backups are not disks: backups of an earlier guest with this VMID do not count. */
static bool is_disk(const json_t *item)
{
    const char *content = json_get_text(item, "content", "");
    return strcmp(content, "images") == 0 || strcmp(content, "rootdir") == 0;
}

/* Returns true if any of the storages has a disk of this VMID. */
static int storages_hold_disks(const struct spare_storages *storages, uint32_t vmid,
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

static int storage_clear(const char *storage, uint32_t vmid, int64_t since_ms, struct error *error)
{
    cleanup_json json_t *content = NULL;
    if (pve_query_content(storage, NULL, vmid, PVE_NO_LIMITS, &content, error) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(content); i++)
        if (free_disk(json_array_get(content, i), since_ms, error) < 0)
            return -1;
    return 0;
}

/* Deletes the VMID's disks that are in no configuration. Disks older than since_ms belong to
 * another user and stay; a disk without a date counts as new. */
static int storages_clear(const struct spare_storages *storages, uint32_t vmid, int64_t since_ms,
                          struct error *error)
{
    for (size_t i = 0; i < storages->count; i++)
        if (storage_clear(storages->names[i], vmid, since_ms, error) < 0)
            return -1;
    return 0;
}

/* --- a VMID that nobody has --- */

/* Proxmox writes the VMID as a JSON number or as a string. */
static int read_vmid(const json_t *answer, uint32_t *ret, struct error *error)
{
    cleanup_free char *number =
        json_is_integer(answer)
            ? mem_format("%" JSON_INTEGER_FORMAT, json_integer_value(answer))
            : mem_copy_text(json_is_string(answer) ? json_string_value(answer) : "");
    if (vmid_parse(number, ret))
        return 0;
    return fail(error, ERROR_INVALID, "Proxmox's next free VMID, '%.30s', is not a VMID", number);
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

int spare_guest_choose(const struct spare_storages *storages, struct pve_limits limits,
                       uint32_t *ret, struct error *error)
{
    uint32_t vmid;
    if (next_free(limits, &vmid, error) < 0)
        return -1;
    for (int i = 0; i < CHOICES_MAX; i++, vmid++) {
        bool used = false;
        if (i > 0 && !is_free(vmid, limits))
            continue;
        if (storages_hold_disks(storages, vmid, limits, &used, error) < 0)
            return -1;
        if (!used) {
            *ret = vmid;
            return 0;
        }
    }
    return fail(error, ERROR_CONFLICT,
                "no spare VMID: each of the %d from Proxmox's next free one on has a guest, or "
                "disks without a guest",
                CHOICES_MAX);
}

/* --- whose guest stands there --- */

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

/* Returns true if the configuration is one that Proxmox writes while it restores to a VMID or
 * removes it, without anything that a real guest would have. */
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

/* An empty configuration that is older than the test was not made by the test. */
static bool is_younger(const struct pve_config *file, const struct restore_test *test)
{
    struct stat status;
    return fstatat(file->dirfd, file->name, &status, 0) == 0 &&
           status.st_mtime >= test->started_at_ms / 1000;
}

static int look_at_claim(const struct config *config, enum guest_kind kind,
                         const struct restore_test *test, enum claim *ret, struct error *error)
{
    struct error problem;
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    *ret = CLAIM_NONE;
    if (pve_config_hold(config, kind, test->spare_vmid, PVE_CONFIG_WAIT_MS, &file, &problem) < 0)
        return fail_unless_missing(error, &problem);
    if (spare_guest_is_marked(&file.text, test))
        *ret = CLAIM_COPY;
    else if (test->finished_at_ms == 0 && is_shell(&file.text) && is_younger(&file, test))
        *ret = CLAIM_SHELL;
    return 0;
}

/* Between making the configuration and filling it Proxmox releases the flock for a moment, so this
 * looks twice. */
static int find_claim(const struct config *config, enum guest_kind kind,
                      const struct restore_test *test, enum claim *ret, struct error *error)
{
    const struct timespec pause = {.tv_sec = SHELL_SETTLE_S};
    if (look_at_claim(config, kind, test, ret, error) < 0)
        return -1;
    if (*ret != CLAIM_SHELL)
        return 0;
    (void)nanosleep(&pause, NULL);
    return look_at_claim(config, kind, test, ret, error);
}

/* --- removal --- */

static int run_removal(enum guest_kind kind, const char *verb, uint32_t vmid,
                       const char *const options[2], struct error *error)
{
    cleanup_free char *number = mem_format("%u", vmid);
    const char *const argv[] = {pve_command_of(kind), verb, number, options[0], options[1], NULL};
    const struct pve_limits limits = {clock_steady_us() + STEP_US, -1};
    const struct pve_command command = {argv, NULL, limits};
    return pve_command_run_as(&command, error);
}

static const char *const no_options[2];

/* Returns the word after "status: " in the output of "pct status"; "unknown" if there is none. */
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
    const char *const argv[] = {pve_command_of(kind), "status", number, NULL};
    const struct pve_command command = {argv, &output, limits};
    if (pve_command_run_as(&command, error) < 0)
        return -1;
    cleanup_free char *word = read_status(&output);
    *ret = strcmp(word, "running") == 0;
    if (ret_word)
        *ret_word = steal(word);
    return 0;
}

/* Destroys the guest and the disks in its configuration; other disks with its VMID are not the
 * guest's. */
static int destroy_spare(enum guest_kind kind, uint32_t vmid, struct error *error)
{
    static const char *const options[] = {"--destroy-unreferenced-disks", "0"};
    return run_removal(kind, "destroy", vmid, options, error);
}

/* A failure to stop the copy is ignored, as destroying it then fails as well and gives the
 * reason. */
static int remove_copy(enum guest_kind kind, uint32_t vmid, struct error *error)
{
    bool running;
    struct error ignored;
    if (spare_guest_running(kind, vmid, PVE_NO_LIMITS, &running, NULL, &ignored) < 0 || running)
        (void)run_removal(kind, "stop", vmid, no_options, &ignored);
    return destroy_spare(kind, vmid, error);
}

/* The disks are deleted first, while the empty configuration reserves the VMID and nobody else can
 * make disks for it. */
static int remove_shell(enum guest_kind kind, const struct spare_storages *storages,
                        const struct restore_test *test, struct error *error)
{
    struct error ignored;
    if (storages_clear(storages, test->spare_vmid, test->started_at_ms, error) < 0)
        return -1;
    (void)run_removal(kind, "unlock", test->spare_vmid, no_options, &ignored);
    return destroy_spare(kind, test->spare_vmid, error);
}

static int clear_kind(const struct config *config, enum guest_kind kind,
                      const struct spare_storages *storages, const struct restore_test *test,
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

int spare_guest_clear(const struct config *config, const struct spare_storages *storages,
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

/* --- making the copy harmless --- */

struct edit {
    uint32_t vmid;
    const struct guest_config *original;
    struct buffer *text;
    struct property_list added; /* lines in place of others */
    struct error *error;
    bool failed;
};

/* Returns the value that a line gets, for the caller to free, or NULL if the line is removed. */
typedef char *line_edit(struct edit *edit, const char *key, const char *value);

struct line_rule {
    const char *name; /* with a number behind it where it ends in '*' */
    line_edit *edit;
};

static void refuse_copy(struct edit *edit, const char *key, const char *why, const char *source)
{
    if (!edit->failed)
        (void)fail(edit->error, ERROR_CONFLICT, "the copy's %.20s %s: %.200s", key, why, source);
    edit->failed = true;
}

static bool is_cdrom(const char *value)
{
    struct property_part part;
    for (const char *rest = value; property_part_next(&rest, &part);)
        if (slice_equals(part.whole, "media=cdrom"))
            return true;
    return false;
}

static char *keep(struct edit *edit, const char *key, const char *value)
{
    (void)edit;
    (void)key;
    return mem_copy_text(value);
}

static char *unplug_nic(struct edit *edit, const char *key, const char *value)
{
    (void)edit;
    (void)key;
    struct property_part part;
    cleanup_buffer struct buffer unplugged = BUFFER_EMPTY;
    for (const char *rest = value; property_part_next(&rest, &part);)
        if (!slice_equals(part.key, "link_down"))
            buffer_add_format(&unplugged, "%.*s,", (int)part.whole.length, part.whole.text);
    buffer_add_text(&unplugged, "link_down=1");
    return mem_copy_text(buffer_text(&unplugged));
}

static bool is_volume_of_original(const struct edit *edit, const char *source)
{
    for (size_t i = 0; i < edit->original->volume_count; i++)
        if (strcmp(edit->original->volumes[i].source, source) == 0)
            return true;
    return false;
}

/* Keeps the copy's own volumes; refuses the original's; removes host paths. */
static char *keep_volume(struct edit *edit, const char *key, const char *value)
{
    cleanup_free char *source = property_source(value, true);
    bool foreign = source[0] == '/' || source[0] == '\0';
    if (!foreign && !is_volume_of_original(edit, source))
        return mem_copy_text(value);
    if (!foreign)
        refuse_copy(edit, key, "is the original's own volume", source);
    else if (strcmp(key, "rootfs") == 0)
        refuse_copy(edit, key, "is not a volume of Proxmox", source);
    return NULL;
}

/* The copy's own cloud-init disk stays. Any other CD drive is emptied and not removed, as the boot
 * order may contain it. */
static char *keep_drive(struct edit *edit, const char *key, const char *value)
{
    if (!is_cdrom(value))
        return keep_volume(edit, key, value);
    cleanup_free char *source = property_source(value, true);
    cleanup_free char *own = mem_format("vm-%u-cloudinit", edit->vmid);
    return strstr(source, own) ? mem_copy_text(value) : mem_copy_text("none,media=cdrom");
}

/* A port of the host is replaced by a socket: the line must stay, as the guest's display may need
 * it. */
static char *disconnect_port(struct edit *edit, const char *key, const char *value)
{
    (void)edit;
    (void)key;
    (void)value;
    return mem_copy_text("socket");
}

/* clang-format off */
static const struct line_rule lxc_rules[] = {
    {"arch", keep}, {"cmode", keep}, {"console", keep}, {"cores", keep}, {"cpulimit", keep},
    {"cpuunits", keep}, {"debug", keep}, {"description", keep}, {"entrypoint", keep},
    {"features", keep}, {"hostname", keep}, {"memory", keep}, {"nameserver", keep},
    {"ostype", keep}, {"searchdomain", keep}, {"swap", keep}, {"tags", keep}, {"template", keep},
    {"timezone", keep}, {"tty", keep}, {"unprivileged", keep},
    {"lxc.idmap", keep}, {"lxc.environment", keep}, {"lxc.environment.runtime", keep},
    {"net*", unplug_nic}, {"rootfs", keep_volume}, {"mp*", keep_volume},
};
static const struct line_rule qemu_rules[] = {
    {"acpi", keep}, {"affinity", keep}, {"agent", keep}, {"arch", keep}, {"balloon", keep},
    {"bios", keep}, {"boot", keep}, {"bootdisk", keep}, {"cicustom", keep}, {"cipassword", keep},
    {"citype", keep}, {"ciupgrade", keep}, {"ciuser", keep}, {"cores", keep}, {"cpu", keep},
    {"cpulimit", keep}, {"cpuunits", keep}, {"description", keep}, {"hugepages", keep},
    {"ipconfig*", keep}, {"keyboard", keep}, {"kvm", keep}, {"localtime", keep},
    {"machine", keep}, {"memory", keep}, {"meta", keep}, {"name", keep}, {"nameserver", keep},
    {"numa", keep}, {"numa*", keep}, {"ostype", keep}, {"rng*", keep}, {"scsihw", keep},
    {"searchdomain", keep}, {"shares", keep}, {"smbios*", keep}, {"smp", keep},
    {"sockets", keep}, {"sshkeys", keep}, {"startdate", keep}, {"tablet", keep}, {"tags", keep},
    {"tdf", keep}, {"template", keep}, {"vcpus", keep}, {"vga", keep}, {"vmgenid", keep},
    {"net*", unplug_nic}, {"serial*", disconnect_port},
    {"ide*", keep_drive}, {"sata*", keep_drive}, {"scsi*", keep_drive}, {"virtio*", keep_drive},
    {"efidisk*", keep_drive}, {"tpmstate*", keep_drive},
};
/* clang-format on */

static bool rule_matches(const char *name, const char *key)
{
    size_t length = strlen(name) - 1;
    if (name[length] != '*')
        return strcmp(name, key) == 0;
    const char *number = key + length;
    return strncmp(name, key, length) == 0 && *number && !number[strspn(number, DIGITS)];
}

static char *edit_value(struct edit *edit, const char *key, const char *value)
{
    bool lxc = edit->original->kind == GUEST_LXC;
    const struct line_rule *rules = lxc ? lxc_rules : qemu_rules;
    size_t count = lxc ? ARRAY_SIZE(lxc_rules) : ARRAY_SIZE(qemu_rules);
    for (size_t i = 0; i < count; i++)
        if (rule_matches(rules[i].name, key))
            return rules[i].edit(edit, key, value);
    return NULL;
}

/* Keeps blank lines and comments: the comments are the description, which contains the test's
 * mark. */
static bool is_inert(const struct buffer *text, const struct config_line *line)
{
    const char *start = buffer_text(text) + line->start;
    size_t blanks = strspn(start, " \t\r");
    return line->key_length == 0 &&
           (*start == '#' || blanks >= line->size || start[blanks] == '\n');
}

static void edit_line(struct edit *edit, struct config_line *line)
{
    if (is_inert(edit->text, line))
        return;
    cleanup_free char *key = config_line_key(edit->text, line);
    cleanup_free char *value = config_line_value(edit->text, line);
    cleanup_free char *better = edit_value(edit, key, value);
    if (better && strcmp(better, value) == 0)
        return;
    if (better)
        property_list_add(&edit->added, key, better);
    config_text_remove(edit->text, line);
}

/* Removes all sections after the live one: snapshots, and pending changes, which would take effect
 * at the start. */
static void cut_sections(struct buffer *text, size_t end)
{
    struct buffer live = BUFFER_EMPTY;
    buffer_add(&live, buffer_text(text), end);
    buffer_free(text);
    *text = live;
}

int spare_guest_make_harmless(uint32_t vmid, const struct guest_config *original,
                              struct buffer *text, struct error *error)
{
    struct edit edit = {.vmid = vmid, .original = original, .text = text, .error = error};
    struct config_line line = {0};
    while (config_line_next(text, &line))
        edit_line(&edit, &line);
    cut_sections(text, line.start + line.size);
    for (size_t i = 0; i < edit.added.count; i++)
        config_text_insert(text, edit.added.items[i].key, edit.added.items[i].value);
    property_list_free(&edit.added);
    return edit.failed ? -1 : 0;
}
