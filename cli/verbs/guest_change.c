/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/guest_change.h"

#include <stdlib.h>

#include "cli/pve/command.h"
#include "cli/pve/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

/* An argument list as posix_spawn wants it, with what it owns. */
struct arguments_list {
    char **items; /* ends with NULL */
    size_t count;
};

static void list_free(struct arguments_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

/* Takes the text over. */
static void list_add(struct arguments_list *list, char *text)
{
    list->items = mem_resize(list->items, list->count + 2, sizeof *list->items);
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
}

static void list_add_change(struct arguments_list *list, struct buffer *removed,
                            const struct line_change *change)
{
    if (change->removed) {
        buffer_add_format(removed, "%s%s", removed->length ? "," : "", change->key);
        return;
    }
    list_add(list, mem_format("--%s", change->key));
    list_add(list, mem_copy_text(change->value));
}

/* All changes by one call, as each takes Proxmox the better part of a second. */
static int run_command(enum guest_kind kind, uint32_t vmid, const struct line_changes *changes,
                       struct error *error)
{
    cleanup(list_free) struct arguments_list list = {0};
    cleanup_buffer struct buffer removed = BUFFER_EMPTY;
    list_add(&list, mem_copy_text(kind == GUEST_LXC ? PVE_COMMAND_LXC : PVE_COMMAND_QEMU));
    list_add(&list, mem_copy_text("set"));
    list_add(&list, mem_format("%u", vmid));
    size_t fixed = list.count;
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].by_command)
            list_add_change(&list, &removed, &changes->items[i]);
    if (removed.length) {
        list_add(&list, mem_copy_text("--delete"));
        list_add(&list, mem_copy_text(buffer_text(&removed)));
    }
    return list.count == fixed ? 0 : pve_command_run((const char *const *)list.items, error);
}

/* Locks, edits and unlocks: the command that follows wants the lock for itself. */
static int edit_file(const struct config *config, enum guest_kind kind,
                     const struct guest_lines_wish *wish, struct line_changes *ret,
                     struct error *error)
{
    cleanup_pve_config struct pve_config file = PVE_CONFIG_CLOSED;
    cleanup(line_changes_free) struct line_changes changes = {0};
    if (pve_config_open(config, kind, wish->vmid, PVE_CONFIG_WAIT_MS, &file, error) < 0 ||
        guest_lines_apply(wish, &file.text, &changes, error) < 0)
        return -1;
    if (changes.edited && pve_config_write(&file, error) < 0)
        return -1;
    *ret = changes;
    changes = (struct line_changes){0};
    return 0;
}

static void note(const struct line_changes *changes, bool by_command, struct steps *steps)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct line_change *change = &changes->items[i];
        if (change->by_command == by_command)
            steps_add(steps, STEP_DONE, change->key, "%s %s",
                      change->removed ? "removed" : "set to", change->value);
    }
}

int guest_change(const struct config *config, enum guest_kind kind, struct guest_lines_wish wish,
                 struct steps *steps, struct error *error)
{
    cleanup(line_changes_free) struct line_changes changes = {0};
    wish.config = config;
    wish.by_command = pve_is_real(config);
    if (edit_file(config, kind, &wish, &changes, error) < 0)
        return -1;
    note(&changes, false, steps);
    if (run_command(kind, wish.vmid, &changes, error) < 0)
        return -1;
    note(&changes, true, steps);
    return 0;
}
