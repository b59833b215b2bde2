/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/enrolment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pve/command.h"
#include "cli/pve/config.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/yaml/tree.h"
#include "store/files/config_file.h"
#include "store/files/file.h"

#define PASSWORD_LIMIT ((size_t)4096)
#define UNCHANGED      ((uid_t)-1)

/* --- ENROLMENT/VMID.yaml --- */

static char *enrolment_path(const struct config *config, uint32_t vmid)
{
    return mem_format("%s/%u.yaml", config->paths.enrolment, vmid);
}

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

int enrolment_plan_make(const struct config *config, uint32_t vmid,
                        const struct enrolment_values *values, struct enrolment_plan *ret,
                        struct error *error)
{
    cleanup_free char *path = enrolment_path(config, vmid);
    cleanup(enrolment_plan_free) struct enrolment_plan plan = {0};
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    bool changed = false;
    if (enrolment_exists(path, &plan.exists, error) < 0 ||
        config_file_read_enrolment(config, vmid, &plan.text, error) < 0 ||
        enrolment_parse(path, buffer_text(&plan.text), plan.text.length, &enrolment, error) < 0 ||
        apply_values(values, &enrolment, &changed, error) < 0)
        return -1;
    if (changed && check_loses_nothing(path, &plan.text, error) < 0)
        return -1;
    plan.write = changed || !plan.exists;
    if (plan.write) {
        buffer_free(&plan.text);
        if (enrolment_render(&enrolment, &plan.text, error) < 0)
            return -1;
    }
    *ret = steal(plan);
    return 0;
}

int enrolment_plan_apply(const struct config *config, uint32_t vmid,
                         const struct enrolment_plan *plan, struct error *error)
{
    cleanup_free char *name = mem_format("%u.yaml", vmid);
    cleanup_close int dirfd = -1;
    if (!plan->write)
        return 0;
    if (directory_make(config->paths.enrolment, 0700, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0 ||
        pve_file_replace(dirfd, name, 0600, &plan->text, error) < 0)
        return fail_context(error, "enrolment directory %s", config->paths.enrolment);
    return 0;
}

int enrolment_file_chain(const struct config *config, uint32_t vmid, char **ret,
                         struct error *error)
{
    cleanup_free char *path = enrolment_path(config, vmid);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (config_file_read_enrolment(config, vmid, &text, error) < 0 ||
        enrolment_parse(path, buffer_text(&text), text.length, &enrolment, error) < 0)
        return -1;
    *ret = steal(enrolment.chain);
    return 0;
}

int enrolment_file_remove(const struct config *config, uint32_t vmid, bool *ret_removed,
                          struct error *error)
{
    cleanup_free char *path = enrolment_path(config, vmid);
    *ret_removed = unlink(path) == 0;
    if (*ret_removed || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return fail_errno(error, errno, "cannot remove %s", path);
}

/* --- the guest's configuration --- */

/* An argument list for pve_command_run that owns its texts. */
struct command {
    char **items; /* ends with NULL */
    size_t count;
};

static void command_free(struct command *command)
{
    for (size_t i = 0; i < command->count; i++)
        free(command->items[i]);
    free(command->items);
}

/* Takes ownership of the text. */
static void command_add(struct command *command, char *text)
{
    command->items = mem_resize(command->items, command->count + 2, sizeof *command->items);
    command->items[command->count++] = text;
    command->items[command->count] = NULL;
}

static void command_add_change(struct command *command, struct buffer *removed,
                               const struct line_change *change)
{
    if (change->removed) {
        buffer_add_format(removed, "%s%s", removed->length ? "," : "", change->key);
        return;
    }
    command_add(command, mem_format("--%s", change->key));
    command_add(command, mem_copy_text(change->value));
}

/* One call for all changes, as each call of pct takes most of a second. */
static int change_by_command(enum guest_kind kind, uint32_t vmid,
                             const struct line_changes *changes, struct error *error)
{
    cleanup(command_free) struct command command = {0};
    cleanup_buffer struct buffer removed = BUFFER_EMPTY;
    command_add(&command, mem_copy_text(pve_command_of(kind)));
    command_add(&command, mem_copy_text("set"));
    command_add(&command, mem_format("%u", vmid));
    size_t fixed = command.count;
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].by_command)
            command_add_change(&command, &removed, &changes->items[i]);
    if (removed.length) {
        command_add(&command, mem_copy_text("--delete"));
        command_add(&command, mem_copy_text(buffer_text(&removed)));
    }
    return command.count == fixed ? 0 : pve_command_run((const char *const *)command.items, error);
}

/* Releases Proxmox's lock at its end, as the command that follows takes it itself. */
static int change_by_edit(const struct config *config, enum guest_kind kind,
                          const struct guest_lines_desired *desired, struct line_changes *ret,
                          struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup(line_changes_free) struct line_changes changes = {0};
    if (pve_config_open(config, kind, desired->vmid, PVE_CONFIG_WAIT_MS, &file, error) < 0 ||
        guest_lines_apply(desired, &file.text, &changes, error) < 0)
        return -1;
    if (changes.edited && pve_config_write(&file, error) < 0)
        return -1;
    *ret = steal(changes);
    return 0;
}

static void add_changes(const struct line_changes *changes, bool by_command, struct steps *steps)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct line_change *change = &changes->items[i];
        if (change->by_command == by_command)
            steps_add(steps, STEP_DONE, change->key, "%s %s",
                      change->removed ? "removed" : "set to", change->value);
    }
}

int enrolment_change_config(const struct config *config, enum guest_kind kind,
                            struct guest_lines_desired desired, struct steps *steps,
                            struct error *error)
{
    cleanup(line_changes_free) struct line_changes changes = {0};
    desired.config = config;
    desired.by_command = pve_is_real(config);
    if (change_by_edit(config, kind, &desired, &changes, error) < 0)
        return -1;
    add_changes(&changes, false, steps);
    if (change_by_command(kind, desired.vmid, &changes, error) < 0)
        return -1;
    add_changes(&changes, true, steps);
    return 0;
}
