/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/enrolment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pve/command.h"
#include "cli/pve/config.h"
#include "cli/pve/guests.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/yaml/tree.h"
#include "store/files/config_file.h"
#include "store/files/file.h"

#define PASSWORD_LIMIT ((size_t)4096)

/* --- ENROLMENT/VMID.yaml --- */

void enrolment_plan_free(struct enrolment_plan *plan)
{
    buffer_free(&plan->text);
}

static int check_loses_nothing(const char *path, const struct buffer *text, struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    if (yaml_tree_load(path, buffer_text(text), text->length, &root, error) < 0)
        return -1;
    cleanup_yaml_tree struct yaml_tree *keys = yaml_tree_take(root, "controller");
    if (!keys)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "%s has controller keys, which a change from here would lose: edit the file "
                "instead, then enroll without these options",
                path);
}

/* Sets the field unless text is NULL. Returns whether it changed. */
static bool replace_text(char **field, const char *text)
{
    if (!text || strcmp(*field, text) == 0)
        return false;
    explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = mem_copy_text(text);
    return true;
}

/* The first line of the file; *password stays empty if no file was given. */
static int read_password(const struct enrolment_values *values, struct buffer *password,
                         struct error *error)
{
    if (!values->retrieval_password_file)
        return 0;
    if (file_read(values->retrieval_password_file, PASSWORD_LIMIT, password, error) < 0)
        return -1;
    size_t length = strcspn(buffer_text(password), "\r\n");
    if (length == 0)
        return fail(error, ERROR_INVALID, "%s: no password in its first line",
                    values->retrieval_password_file);
    password->data[length] = '\0';
    return 0;
}

static int apply_values(const struct enrolment_values *values, struct enrolment *enrolment,
                        bool *ret_changed, struct error *error)
{
    cleanup_buffer struct buffer password = BUFFER_EMPTY;
    if (read_password(values, &password, error) < 0)
        return -1;
    const struct {
        char **field;
        const char *text;
    } fields[] = {
        {&enrolment->customer_id, values->customer_id},
        {&enrolment->customer_name, values->customer_name},
        {&enrolment->customer_domain, values->customer_domain},
        {&enrolment->customer_email, values->customer_email},
        {&enrolment->image, values->image},
        {&enrolment->chain, values->chain},
        {&enrolment->quota_snapshots, values->quota_snapshots},
        {&enrolment->quota_snapshot_interval, values->quota_snapshot_interval},
        {&enrolment->quota_backup_interval, values->quota_backup_interval},
        {&enrolment->hub_retrieval_password, password.data},
    };
    *ret_changed = false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (replace_text(fields[i].field, fields[i].text))
            *ret_changed = true;
    return 0;
}

static int enrolment_exists(const char *path, bool *ret, struct error *error)
{
    *ret = access(path, F_OK) == 0;
    if (*ret || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return fail_errno(error, errno, "cannot look at %s", path);
}

/* Returns true if writing the enrolment again loses nothing of the file: no comment, no key. */
static bool is_as_rendered(const struct enrolment *enrolment, const struct buffer *text)
{
    struct error ignored;
    cleanup_buffer struct buffer rendered = BUFFER_EMPTY;
    return enrolment_render(enrolment, &rendered, &ignored) == 0 && buffer_equals(&rendered, text);
}

/* Notes which guest it is. Returns whether the enrolment changed. */
static bool record_guest(struct enrolment *enrolment, const struct guest_config *guest)
{
    cleanup(guest_fingerprint_free) struct guest_fingerprint fingerprint =
        guest_fingerprint_of(guest);
    bool changed = replace_text(&enrolment->guest_volume, fingerprint.volume);
    return replace_text(&enrolment->guest_hwaddrs, fingerprint.hwaddrs) || changed;
}

/* Decides whose the existing file is. *enrolment becomes empty if a new customer's begins. */
static int check_owner(const struct config *config, uint32_t vmid, const char *path,
                       const struct guest_config *guest, const struct enrolment_values *values,
                       struct enrolment *enrolment, bool *ret_replaces, struct error *error)
{
    cleanup_free char *another = guest_fingerprint_differs(config, vmid, enrolment, guest);
    *ret_replaces = another && !values->keep && values->customer_id;
    if (!another || values->keep)
        return 0;
    if (!values->customer_id)
        return fail(error, ERROR_CONFLICT,
                    "%s is of %s: give --customer to begin a new enrolment, or --keep if it is the "
                    "same guest",
                    path, another);
    enrolment_free(enrolment);
    return enrolment_parse(path, "", 0, enrolment, error);
}

int enrolment_plan_make(const struct config *config, uint32_t vmid,
                        const struct guest_config *guest, const struct enrolment_values *values,
                        struct enrolment_plan *ret, struct error *error)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    cleanup(enrolment_plan_free) struct enrolment_plan plan = {0};
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    bool changed = false;
    if (enrolment_exists(path, &plan.exists, error) < 0 ||
        config_file_read_enrolment(config, vmid, &plan.text, error) < 0 ||
        enrolment_parse(path, buffer_text(&plan.text), plan.text.length, &enrolment, error) < 0)
        return -1;
    bool rendered = is_as_rendered(&enrolment, &plan.text);
    if (check_owner(config, vmid, path, guest, values, &enrolment, &plan.replaces, error) < 0 ||
        apply_values(values, &enrolment, &changed, error) < 0)
        return -1;
    if (changed && !plan.replaces && check_loses_nothing(path, &plan.text, error) < 0)
        return -1;
    plan.write = changed || !plan.exists || plan.replaces;
    if (plan.write || rendered)
        plan.write = record_guest(&enrolment, guest) || plan.write;
    if (plan.write) {
        buffer_free(&plan.text);
        if (enrolment_render(&enrolment, &plan.text, error) < 0)
            return -1;
    }
    *ret = steal(plan);
    return 0;
}

int enrolment_file_chain(const struct config *config, uint32_t vmid, char **ret,
                         struct error *error)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (config_file_read_enrolment(config, vmid, &text, error) < 0)
        return -1;
    if (enrolment_parse(path, buffer_text(&text), text.length, &enrolment, error) < 0) {
        enrolment_salvage(buffer_text(&text), text.length, &enrolment);
        if (!*enrolment.chain)
            return -1;
    }
    *ret = steal(enrolment.chain);
    return 0;
}

void saved_enrolment_free(struct saved_enrolment *saved)
{
    buffer_free(&saved->text);
}

int enrolment_file_save(const struct config *config, uint32_t vmid, struct saved_enrolment *ret,
                        struct error *error)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    cleanup(saved_enrolment_free) struct saved_enrolment saved = {0};
    if (enrolment_exists(config->paths.enrolment, &saved.directory_existed, error) < 0 ||
        enrolment_exists(path, &saved.existed, error) < 0 ||
        config_file_read_enrolment(config, vmid, &saved.text, error) < 0)
        return -1;
    *ret = steal(saved);
    return 0;
}

static int write_enrolment(const struct config *config, uint32_t vmid, const struct buffer *text,
                           struct error *error)
{
    cleanup_free char *name = mem_format("%u.yaml", vmid);
    cleanup_close int dirfd = -1;
    if (directory_make(config->paths.enrolment, 0700, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0 ||
        pve_file_replace(dirfd, name, 0600, text, error) < 0)
        return fail_context(error, "enrolment directory %s", config->paths.enrolment);
    return 0;
}

int enrolment_plan_apply(const struct config *config, uint32_t vmid,
                         const struct enrolment_plan *plan, struct error *error)
{
    return plan->write ? write_enrolment(config, vmid, &plan->text, error) : 0;
}

/* A read-only file system gives EROFS even for a file that is not there. */
static int remove_file(const char *path, struct error *error)
{
    bool exists;
    if (enrolment_exists(path, &exists, error) < 0)
        return -1;
    if (!exists || unlink(path) == 0)
        return 0;
    return fail_errno(error, errno, "cannot remove %s", path);
}

/* Where nothing can be written, the file is as it was. */
static bool enrolment_is_as_before(const struct config *config, uint32_t vmid,
                                   const struct saved_enrolment *saved)
{
    struct error ignored;
    cleanup(saved_enrolment_free) struct saved_enrolment now = {0};
    return enrolment_file_save(config, vmid, &now, &ignored) == 0 && now.existed &&
           buffer_equals(&now.text, &saved->text);
}

int enrolment_file_restore(const struct config *config, uint32_t vmid,
                           const struct saved_enrolment *saved, struct error *error)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    if (saved->existed && enrolment_is_as_before(config, vmid, saved))
        return 0;
    if (saved->existed)
        return write_enrolment(config, vmid, &saved->text, error);
    if (remove_file(path, error) < 0)
        return -1;
    if (!saved->directory_existed && access(config->paths.enrolment, F_OK) == 0 &&
        rmdir(config->paths.enrolment) < 0 && errno != ENOTEMPTY)
        return fail_errno(error, errno, "cannot remove %s", config->paths.enrolment);
    return 0;
}

static char *aside_path(const struct config *config, uint32_t vmid)
{
    return mem_format("%s/%u.yaml.removed", config->paths.enrolment, vmid);
}

int enrolment_file_set_aside(const struct config *config, uint32_t vmid, bool *ret_removed,
                             struct error *error)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    cleanup_free char *aside = aside_path(config, vmid);
    *ret_removed = rename(path, aside) == 0;
    if (*ret_removed || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return fail_errno(error, errno, "cannot remove %s", path);
}

int enrolment_file_put_back(const struct config *config, uint32_t vmid, struct error *error)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    cleanup_free char *aside = aside_path(config, vmid);
    if (rename(aside, path) == 0)
        return 0;
    return fail_errno(error, errno, "cannot rename %s", aside);
}

int enrolment_file_drop(const struct config *config, uint32_t vmid, struct error *error)
{
    cleanup_free char *aside = aside_path(config, vmid);
    return remove_file(aside, error);
}

/* --- the guest's configuration --- */

/* A call of `pct set` or `qm set`: one for all changes, as each takes most of a second. */
struct set_command {
    char **arguments; /* owns its texts; NULL ends it */
    size_t count;
    size_t fixed;           /* how many of them change nothing */
    struct buffer deleted;  /* keys separated by commas */
    struct buffer reverted; /* likewise: keys whose pending change is dropped */
};

static void set_command_free(struct set_command *command)
{
    for (size_t i = 0; i < command->count; i++)
        free(command->arguments[i]);
    free(command->arguments);
    buffer_free(&command->deleted);
    buffer_free(&command->reverted);
}

/* Takes ownership of the text. */
static void set_command_add(struct set_command *command, char *text)
{
    command->arguments =
        mem_resize(command->arguments, command->count + 2, sizeof *command->arguments);
    command->arguments[command->count++] = text;
    command->arguments[command->count] = NULL;
}

static struct set_command set_command_new(enum guest_kind kind, uint32_t vmid)
{
    struct set_command command = {0};
    set_command_add(&command, mem_copy_text(pve_command_of(kind)));
    set_command_add(&command, mem_copy_text("set"));
    set_command_add(&command, mem_format("%u", vmid));
    command.fixed = command.count;
    return command;
}

static void set_command_set(struct set_command *command, const char *key, const char *value)
{
    set_command_add(command, mem_format("--%s", key));
    set_command_add(command, mem_copy_text(value));
}

static void set_command_list(struct buffer *keys, const char *key)
{
    buffer_add_format(keys, "%s%s", keys->length ? "," : "", key);
}

static int set_command_run(struct set_command *command, struct error *error)
{
    if (command->deleted.length)
        set_command_set(command, "delete", buffer_text(&command->deleted));
    if (command->reverted.length)
        set_command_set(command, "revert", buffer_text(&command->reverted));
    if (command->count == command->fixed)
        return 0;
    return pve_command_run((const char *const *)command->arguments, error);
}

static int change_by_command(enum guest_kind kind, uint32_t vmid,
                             const struct line_changes *changes, struct error *error)
{
    cleanup(set_command_free) struct set_command command = set_command_new(kind, vmid);
    for (size_t i = 0; i < changes->count; i++) {
        const struct line_change *change = &changes->items[i];
        if (change->by_command && change->removed)
            set_command_list(&command.deleted, change->key);
        else if (change->by_command)
            set_command_set(&command, change->key, change->value);
    }
    return set_command_run(&command, error);
}

/* Releases Proxmox's lock at its end, as the command that follows takes it itself. */
static int change_by_edit(const struct config *config, const struct guest_lines_desired *desired,
                          struct config_undo *undo, struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    if (pve_config_open(config, undo->kind, undo->vmid, PVE_CONFIG_WAIT_MS, &file, error) < 0)
        return -1;
    buffer_add(&undo->before, buffer_text(&file.text), file.text.length);
    if (guest_lines_apply(desired, &file.text, &undo->changes, error) < 0 ||
        (undo->changes.edited && pve_config_write(&file, error) < 0))
        return -1;
    buffer_add(&undo->edited, buffer_text(&file.text), file.text.length);
    return 0;
}

static void add_changes(const struct line_changes *changes, struct steps *steps)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct line_change *change = &changes->items[i];
        steps_add(steps, STEP_DONE, change->key, "%s %s", change->removed ? "removed" : "set to",
                  change->value);
    }
}

int enrolment_change_config(const struct config *config, enum guest_kind kind,
                            struct guest_lines_desired desired, struct steps *steps,
                            struct config_undo *ret_undo, struct error *error)
{
    struct error problem;
    cleanup(config_undo_free) struct config_undo undo = {.kind = kind, .vmid = desired.vmid};
    desired.config = config;
    desired.by_command = pve_is_real(config);
    if (change_by_edit(config, &desired, &undo, error) < 0)
        return -1;
    if (change_by_command(kind, desired.vmid, &undo.changes, error) < 0) {
        if (enrolment_undo_config(config, &undo, &problem) < 0)
            steps_add_not_undone(steps, "configuration", &problem);
        return -1;
    }
    add_changes(&undo.changes, steps);
    *ret_undo = steal(undo);
    return 0;
}

int enrolment_try_config(const struct config *config, enum guest_kind kind,
                         struct guest_lines_desired desired, struct guest_config *ret,
                         struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup(line_changes_free) struct line_changes changes = {0};
    desired.config = config;
    desired.by_command = false;
    if (pve_config_open(config, kind, desired.vmid, PVE_CONFIG_WAIT_MS, &file, error) < 0 ||
        guest_lines_apply(&desired, &file.text, &changes, error) < 0)
        return -1;
    return guest_config_parse(kind, buffer_text(&file.text), file.text.length, ret, error);
}

/* --- taking it back --- */

void config_undo_free(struct config_undo *undo)
{
    buffer_free(&undo->before);
    buffer_free(&undo->edited);
    line_changes_free(&undo->changes);
}

/* Returns the value of a key in the live section, the last one if there are several; NULL if there
 * is none. The caller frees it. */
static char *live_value(const struct buffer *text, const char *key)
{
    char *found = NULL;
    for (struct config_line line = {0}; config_line_next(text, &line);) {
        cleanup_free char *name = config_line_key(text, &line);
        if (strcmp(name, key) != 0)
            continue;
        free(found);
        found = config_line_value(text, &line);
    }
    return found;
}

static bool is_same_value(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* value NULL or "": the key is removed. */
static void set_command_restore(struct set_command *command, const char *key, const char *value)
{
    if (value && *value)
        set_command_set(command, key, value);
    else
        set_command_list(&command->deleted, key);
}

/* Has Proxmox's command set each key back that its last call changed, or made pending. */
static int undo_by_command(const struct config_undo *undo, const struct buffer *now,
                           struct error *error)
{
    cleanup(guest_config_free) struct guest_config before = {0};
    cleanup(guest_config_free) struct guest_config after = {0};
    cleanup(set_command_free) struct set_command command = set_command_new(undo->kind, undo->vmid);
    if (guest_config_parse(undo->kind, buffer_text(&undo->before), undo->before.length, &before,
                           error) < 0 ||
        guest_config_parse(undo->kind, buffer_text(now), now->length, &after, error) < 0)
        return -1;
    for (size_t i = 0; i < undo->changes.count; i++) {
        const char *key = undo->changes.items[i].key;
        const char *old_pending = guest_config_pending(&before, key);
        cleanup_free char *old = live_value(&undo->before, key);
        cleanup_free char *new = live_value(now, key);
        if (!undo->changes.items[i].by_command)
            continue;
        if (!is_same_value(old, new))
            set_command_restore(&command, key, old);
        else if (is_same_value(old_pending, guest_config_pending(&after, key)))
            continue;
        else if (old_pending)
            set_command_restore(&command, key, old_pending);
        else
            set_command_list(&command.reverted, key);
    }
    return set_command_run(&command, error);
}

static bool remove_added(struct buffer *text, const struct line_change *change)
{
    for (struct config_line line = {0}; config_line_next(text, &line);) {
        cleanup_free char *key = config_line_key(text, &line);
        cleanup_free char *value = config_line_value(text, &line);
        if (strcmp(key, change->key) != 0 || strcmp(value, change->value) != 0)
            continue;
        config_text_remove(text, &line);
        return true;
    }
    return false;
}

/* Takes back each edited line by itself, in a text that somebody else has changed as well. */
static bool undo_lines(const struct config_undo *undo, struct buffer *text)
{
    bool changed = false;
    for (size_t i = undo->changes.count; i-- > 0;) {
        const struct line_change *change = &undo->changes.items[i];
        if (change->by_command)
            continue;
        if (change->removed)
            config_text_insert(text, change->key, change->value);
        changed = change->removed || remove_added(text, change) || changed;
    }
    return changed;
}

/* Takes back the edits. *ret_now gets the text that others have made of it, to be taken back by
 * command; nothing if there is no need. */
static int undo_by_edit(const struct config *config, const struct config_undo *undo,
                        struct buffer *ret_now, struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    if (pve_config_hold(config, undo->kind, undo->vmid, PVE_CONFIG_WAIT_MS, &file, error) < 0)
        return -1;
    if (buffer_equals(&file.text, &undo->edited)) {
        buffer_free(&file.text);
        buffer_add(&file.text, buffer_text(&undo->before), undo->before.length);
        return undo->changes.edited ? pve_config_write(&file, error) : 0;
    }
    if (undo_lines(undo, &file.text) && pve_config_write(&file, error) < 0)
        return -1;
    buffer_add(ret_now, buffer_text(&file.text), file.text.length);
    return 0;
}

int enrolment_undo_config(const struct config *config, const struct config_undo *undo,
                          struct error *error)
{
    cleanup_buffer struct buffer now = BUFFER_EMPTY;
    if (undo->changes.count == 0)
        return 0;
    if (undo_by_edit(config, undo, &now, error) < 0)
        return -1;
    return now.length ? undo_by_command(undo, &now, error) : 0;
}
