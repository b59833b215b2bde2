/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/guest_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pve/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/pve/guest_property.h"
#include "schema/pve/lxc_line.h"
#include "store/files/config_file.h"
#include "store/files/guest_mount.h"

#define MP_COUNT 256 /* mp0..mp255 */

/* --- the line that mounts a guest's directory --- */

static enum mount_form form_of_key(const char *key)
{
    if (strcmp(key, LXC_MOUNT_ENTRY) == 0)
        return MOUNT_FORM_ENTRY;
    const char *number = text_after(key, "mp");
    return number && text_is_all(number, DIGITS) ? MOUNT_FORM_MP : MOUNT_FORM_NONE;
}

/* Returns true if the line has the path of a guest's directory below GUESTS or EXPORT; sets
 * *ret_vmid only then. */
static bool mount_line_owner(const struct config *config, const char *key, const char *value,
                             uint32_t *ret_vmid)
{
    enum mount_form form = form_of_key(key);
    if (form == MOUNT_FORM_NONE)
        return false;
    cleanup_free char *source =
        form == MOUNT_FORM_MP ? property_source(value, false) : lxc_mount_entry_source(value);
    return guest_mount_path_owner(config, source, ret_vmid);
}

static bool has_part(const char *list, struct slice wanted)
{
    struct property_part part;
    while (property_part_next(&list, &part))
        if (part.whole.length == wanted.length &&
            memcmp(part.whole.text, wanted.text, wanted.length) == 0)
            return true;
    return false;
}

/* Returns true if the comma-separated list contains all these parts. Proxmox sorts the options of a
 * mount point when it writes one, and operators add their own. */
static bool has_all_parts(const char *list, const char *parts)
{
    struct property_part part;
    while (property_part_next(&parts, &part))
        if (!has_part(list, part.whole))
            return false;
    return true;
}

/* Returns the value of the guest's line; the caller frees it with free(). */
static char *mount_line_value(const struct config *config, enum mount_form form, uint32_t vmid)
{
    const char *target = config->bootstrap.guest_path;
    if (form == MOUNT_FORM_MP)
        return mem_format("%s/%u,mp=%s,ro=1,backup=0,replicate=0,shared=1", config->paths.guests,
                          vmid, target);
    return mem_format("%s/%u %s none bind,ro,create=dir,optional 0 0", config->paths.export, vmid,
                      target + strspn(target, "/"));
}

bool guest_lines_mount_is_right(const struct config *config, enum mount_form form, uint32_t vmid,
                                const char *key, const char *value)
{
    if (form == MOUNT_FORM_NONE || form_of_key(key) != form)
        return false;
    cleanup_free char *right = mount_line_value(config, form, vmid);
    return form == MOUNT_FORM_MP ? has_all_parts(value, right) : strcmp(value, right) == 0;
}

static bool names_own(const struct config *config, uint32_t vmid, const char *key,
                      const char *value)
{
    uint32_t owner;
    return mount_line_owner(config, key, value, &owner) && owner == vmid;
}

enum mount_form guest_lines_mount_form(const struct config *config, uint32_t vmid,
                                       const struct guest_config *guest)
{
    for (size_t i = 0; i < guest->volume_count; i++)
        if (!guest_config_pending(guest, guest->volumes[i].key) &&
            names_own(config, vmid, guest->volumes[i].key, guest->volumes[i].source))
            return MOUNT_FORM_MP;
    for (size_t i = 0; i < guest->raw_count; i++)
        if (names_own(config, vmid, guest->raw[i].key, guest->raw[i].value))
            return MOUNT_FORM_ENTRY;
    return MOUNT_FORM_NONE;
}

bool guest_lines_has_mp(const struct config *config, uint32_t vmid,
                        const struct guest_config *guest)
{
    for (size_t i = 0; i < guest->volume_count; i++)
        if (names_own(config, vmid, guest->volumes[i].key, guest->volumes[i].source))
            return true;
    return false;
}

/* --- what enroll and unenroll change --- */

void line_changes_free(struct line_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free(changes->items[i].key);
        free(changes->items[i].value);
    }
    free(changes->items);
    *changes = (struct line_changes){0};
}

/* Takes ownership of the change; returns true if it is made in the text and not by a command. */
static bool changes_add(const struct guest_lines_desired *desired, struct line_changes *changes,
                        struct line_change change)
{
    change.by_command = desired->by_command && strcmp(change.key, LXC_MOUNT_ENTRY) != 0;
    changes->items = mem_resize(changes->items, changes->count + 1, sizeof *changes->items);
    changes->items[changes->count++] = change;
    changes->edited = changes->edited || !change.by_command;
    return !change.by_command;
}

static void remove_line(const struct guest_lines_desired *desired, struct buffer *text,
                        struct config_line *line, struct line_changes *changes)
{
    struct line_change change = {
        .key = config_line_key(text, line),
        .value = config_line_value(text, line),
        .removed = true,
    };
    if (changes_add(desired, changes, change))
        config_text_remove(text, line);
}

static void add_line(const struct guest_lines_desired *desired, struct buffer *text, char *key,
                     char *value, struct line_changes *changes)
{
    struct line_change change = {.key = key, .value = value};
    if (changes_add(desired, changes, change))
        config_text_insert(text, key, value);
}

static bool is_key(const struct buffer *text, const struct config_line *line, const char *key)
{
    return line->key_length == strlen(key) &&
           memcmp(buffer_text(text) + line->start, key, line->key_length) == 0;
}

/* Returns the hookscript in force, which the caller frees with free(); NULL if there is none. The
 * last line counts. */
static char *find_hookscript(const struct buffer *text)
{
    char *found = NULL;
    for (struct config_line line = {0}; config_line_next(text, &line);) {
        if (!is_key(text, &line, "hookscript") || line.value_length == 0)
            continue;
        free(found);
        found = config_line_value(text, &line);
    }
    return found;
}

static void remove_hookscript(const struct guest_lines_desired *desired, struct buffer *text,
                              struct line_changes *changes)
{
    for (struct config_line line = {0}; config_line_next(text, &line);) {
        cleanup_free char *value = config_line_value(text, &line);
        if (is_key(text, &line, "hookscript") && strcmp(value, HOOKSCRIPT_VALUE) == 0)
            remove_line(desired, text, &line, changes);
    }
}

/* A command of Proxmox replaces the old value itself; in the text the old lines are removed
 * first. */
static void replace_hookscript(const struct guest_lines_desired *desired, struct buffer *text,
                               const char *value, struct line_changes *changes)
{
    for (struct config_line line = {0}; !desired->by_command && config_line_next(text, &line);)
        if (is_key(text, &line, "hookscript"))
            config_text_remove(text, &line);
    add_line(desired, text, mem_copy_text("hookscript"), mem_copy_text(value), changes);
}

int guest_lines_check_hookscript(uint32_t vmid, const char *hookscript, struct error *error)
{
    if (strcmp(hookscript, HOOKSCRIPT_VALUE) == 0)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "guest %u already has the hookscript %.200s, and Proxmox runs only one: remove it "
                "if it is not needed (--delete hookscript) and enroll again, or have ours call it: "
                "enroll --chain",
                vmid, hookscript);
}

int guest_lines_check_runnable(const struct config *config, const char *hookscript, char **ret_path,
                               struct error *error)
{
    struct stat status;
    *ret_path = NULL;
    if (config_file_hookscript_path(config, hookscript, ret_path, error) < 0)
        return -1;
    if (stat(*ret_path, &status) < 0)
        return fail_errno(error, errno, "%s", *ret_path);
    if (!S_ISREG(status.st_mode))
        return fail(error, ERROR_INVALID, "%s is not a file", *ret_path);
    if (access(*ret_path, X_OK) < 0)
        return fail(error, ERROR_DENIED, "%s is not executable", *ret_path);
    return 0;
}

static int apply_hookscript(const struct guest_lines_desired *desired, struct buffer *text,
                            struct line_changes *changes, struct error *error)
{
    cleanup_free char *found = find_hookscript(text);
    bool ours = found && strcmp(found, HOOKSCRIPT_VALUE) == 0;
    const char *gone = desired->hookscript ? desired->other : HOOKSCRIPT_VALUE;
    if (desired->other && found && strcmp(found, gone) == 0) {
        replace_hookscript(desired, text, desired->hookscript ? HOOKSCRIPT_VALUE : desired->other,
                           changes);
        return 0;
    }
    if (!desired->hookscript) {
        remove_hookscript(desired, text, changes);
        return 0;
    }
    if (found && !ours)
        return guest_lines_check_hookscript(desired->vmid, found, error);
    if (!ours)
        add_line(desired, text, mem_copy_text("hookscript"), mem_copy_text(HOOKSCRIPT_VALUE),
                 changes);
    return 0;
}

/* Has a key that the next start would change or remove stay as it is: for Proxmox's command, by
 * setting it to what it is. Takes ownership of the change. */
static void keep_line(const struct guest_lines_desired *desired, struct buffer *text,
                      struct line_change change, struct line_changes *changes)
{
    if (changes_add(desired, changes, change))
        config_text_unpend(text, change.key);
}

/* Removes every line with the path of a guest's directory, except one that is right; returns true
 * if there is one. */
static bool remove_wrong_mounts(const struct guest_lines_desired *desired,
                                const struct guest_config *guest, struct buffer *text,
                                struct line_changes *changes)
{
    bool found = false;
    uint32_t owner;
    for (struct config_line line = {0}; config_line_next(text, &line);) {
        cleanup_free char *key = config_line_key(text, &line);
        cleanup_free char *value = config_line_value(text, &line);
        if (!mount_line_owner(desired->config, key, value, &owner))
            continue;
        const char *pending = guest_config_pending(guest, key);
        bool right = !found && guest_lines_mount_is_right(desired->config, desired->form,
                                                          desired->vmid, key, value);
        found = found || right;
        if (right && pending)
            keep_line(desired, text, (struct line_change){steal(key), steal(value), false, false},
                      changes);
        else if (!right && !(pending && !*pending && desired->by_command))
            remove_line(desired, text, &line, changes);
    }
    return found;
}

/* Returns the first mpN that no section uses, which the caller frees with free(); NULL if there is
 * none. Snapshots and pending changes count as well. */
static char *free_mp_key(const struct buffer *text)
{
    for (unsigned int i = 0; i < MP_COUNT; i++) {
        cleanup_free char *key = mem_format("mp%u", i);
        if (!config_text_mentions(text, key))
            return steal(key);
    }
    return NULL;
}

static int apply_mount(const struct guest_lines_desired *desired, struct buffer *text,
                       struct line_changes *changes, struct error *error)
{
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (guest_config_parse(GUEST_LXC, buffer_text(text), text->length, &guest, error) < 0)
        return -1;
    bool found = remove_wrong_mounts(desired, &guest, text, changes);
    if (found || desired->form == MOUNT_FORM_NONE)
        return 0;
    char *key = desired->form == MOUNT_FORM_MP ? free_mp_key(text) : mem_copy_text(LXC_MOUNT_ENTRY);
    if (!key)
        return fail(error, ERROR_CONFLICT,
                    "guest %u has all of mp0 to mp%d in use: use --mount entry", desired->vmid,
                    MP_COUNT - 1);
    add_line(desired, text, key, mount_line_value(desired->config, desired->form, desired->vmid),
             changes);
    return 0;
}

int guest_lines_apply(const struct guest_lines_desired *desired, struct buffer *text,
                      struct line_changes *ret, struct error *error)
{
    cleanup(line_changes_free) struct line_changes changes = {0};
    cleanup_buffer struct buffer changed = BUFFER_EMPTY;
    buffer_add(&changed, buffer_text(text), text->length);
    if (apply_hookscript(desired, &changed, &changes, error) < 0 ||
        apply_mount(desired, &changed, &changes, error) < 0)
        return -1;
    struct buffer before = *text;
    *text = changed;
    changed = before;
    *ret = steal(changes);
    return 0;
}
