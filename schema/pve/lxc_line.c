/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/lxc_line.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

#define LINE_BLANKS " \t\r\n" /* what LXC drops around keys and values */

/* --- lines --- */

static struct slice slice_unquoted(struct slice value)
{
    bool quoted = value.length > 1 && text_is_one_of(value.text[0], "'\"") &&
                  value.text[value.length - 1] == value.text[0];
    return quoted ? (struct slice){value.text + 1, value.length - 2} : value;
}

char *lxc_value_unquoted(const char *value)
{
    struct slice unquoted = slice_unquoted(slice_of(value));
    return mem_copy_text_n(unquoted.text, unquoted.length);
}

bool lxc_line_read(char *line, char **ret_key, char **ret_value)
{
    char *key = line + strspn(line, LINE_BLANKS);
    char *equals = strchr(key, '=');
    if (!text_after(key, "lxc.") || !equals)
        return false;
    char *value = equals + 1 + strspn(equals + 1, LINE_BLANKS);
    struct slice name = slice_trim_end((struct slice){key, (size_t)(equals - key)}, LINE_BLANKS);
    struct slice content = slice_unquoted(slice_trim_end(slice_of(value), LINE_BLANKS));
    value += content.text - value;
    value[content.length] = '\0';
    key[name.length] = '\0';
    *ret_key = key;
    *ret_value = value;
    return true;
}

/* --- paths --- */

void lxc_paths_free(struct lxc_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        free(paths->items[i].path);
    free(paths->items);
    *paths = (struct lxc_paths){NULL, 0};
}

static void paths_add(struct lxc_paths *paths, const char *path, size_t length,
                      enum lxc_path_use use)
{
    if (length == 0)
        return;
    cleanup_free char *text = mem_copy_text_n(path, length);
    paths->items = mem_resize(paths->items, paths->count + 1, sizeof *paths->items);
    paths->items[paths->count++] =
        (struct lxc_path){mem_format("%s%s", *text == '/' ? "" : "/", text), use};
}

/* Adds each part of a list that ':' separates; '=' as well, before a layer's mode (/a=ro:/b). As in
 * the options of an overlay, a backslash stands before a character that counts as itself. */
static void paths_add_parts(struct lxc_paths *paths, const char *list, enum lxc_path_use use)
{
    cleanup_free char *part = mem_new_array(strlen(list) + 1, 1);
    size_t length = 0;
    for (const char *c = list;; c++) {
        bool escaped = *c == '\\' && c[1];
        c += escaped;
        if (*c && (escaped || !text_is_one_of(*c, ":="))) {
            part[length++] = *c;
            continue;
        }
        paths_add(paths, part, length, use);
        length = 0;
        if (!*c)
            return;
    }
}

/* Takes the next of the fields that blanks separate, and decodes \ooo: in an fstab blanks and some
 * other characters are written so. The caller frees it; "" if there is none. */
static char *take_field(const char **rest)
{
    const char *field = *rest + strspn(*rest, BLANKS);
    size_t length = strcspn(field, BLANKS "\n");
    char *text = mem_new_array(length + 1, 1);
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned int octal = 0;
        if (field[i] == '\\' && i + 3 < length && field[i + 1] >= '0' && field[i + 1] <= '3' &&
            strspn(field + i + 1, "01234567") >= 3) {
            for (int digit = 0; digit < 3; digit++)
                octal = octal * 8 + (unsigned int)(field[++i] - '0');
            text[out++] = (char)octal;
        } else if (field[i] == '\\' && i + 1 < length && field[i + 1] == '\\') {
            text[out++] = field[i++]; /* getmntent(3), by which LXC reads it, takes this, too */
        } else {
            text[out++] = field[i];
        }
    }
    *rest = field + length;
    return text;
}

static void skip_field(const char **rest)
{
    free(take_field(rest));
}

char *lxc_mount_entry_source(const char *value)
{
    cleanup_free char *line = lxc_value_unquoted(value);
    const char *rest = line;
    return take_field(&rest);
}

void lxc_fstab_paths(const char *line, struct lxc_paths *paths)
{
    const char *rest = line;
    cleanup_free char *source = take_field(&rest);
    skip_field(&rest); /* the target in the guest */
    skip_field(&rest); /* the type of the file system */
    cleanup_free char *options = take_field(&rest);
    char *left = options;
    if (*source == '#')
        return;
    paths_add(paths, source, strlen(source),
              strstr(line, "rbind") ? LXC_PATH_RECURSIVE : LXC_PATH_MOUNT);
    /* Some file systems unite several directories: /a:/b. */
    if (*source == '/' && strchr(source, ':'))
        paths_add_parts(paths, source, LXC_PATH_LAYER);
    for (char *option; (option = strsep(&left, ","));) {
        const char *equals = strchr(option, '=');
        if (equals)
            paths_add_parts(paths, equals + 1, LXC_PATH_LAYER);
    }
}

/* shmounts:PATH[:PATH_IN_THE_GUEST] */
static void add_auto_mounts(const char *value, struct lxc_paths *paths)
{
    for (const char *rest = value; *rest;) {
        cleanup_free char *word = take_field(&rest);
        const char *path = text_after(word, "shmounts:");
        if (path)
            paths_add(paths, path, strcspn(path, ":"), LXC_PATH_RECURSIVE);
        rest += strspn(rest, BLANKS "\n");
    }
}

static void add_words(const char *value, struct lxc_paths *paths)
{
    static const char separators[] = BLANKS "\"'`;&|<>()=,:";
    while (*(value += strspn(value, separators))) {
        size_t length = strcspn(value, separators);
        if (*value == '/')
            paths_add(paths, value, length, LXC_PATH_WORD);
        value += length;
    }
}

void lxc_line_paths(const char *key, const char *value, struct lxc_paths *paths)
{
    cleanup_free char *unquoted = lxc_value_unquoted(value);
    if (strcmp(key, LXC_MOUNT_ENTRY) == 0)
        lxc_fstab_paths(unquoted, paths);
    else if (strcmp(key, "lxc.mount.auto") == 0)
        add_auto_mounts(unquoted, paths);
    else if (strcmp(key, "lxc.rootfs.path") == 0)
        paths_add_parts(paths, unquoted, LXC_PATH_RECURSIVE);
    else if (text_after(key, "lxc.hook."))
        add_words(unquoted, paths);
}
