/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/foreign.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"

/* A line of the guest's configuration that mounts something of the host's. */
struct line {
    const char *key;    /* "mp0" or "lxc.mount.entry" */
    const char *source; /* the path as it stands there */
    bool recursive;     /* brings along what is mounted below the source */
};

enum belongs { TO_NOBODY, TO_GUEST, TO_ALL };

/* What stands in path after root: "" for root itself, NULL where path is not below it. */
static const char *below(const char *root, const char *path)
{
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0)
        return NULL;
    if (path[length] == '/')
        return path + length + 1;
    return path[length] == '\0' ? "" : NULL;
}

/* Drops empty and "." components and follows ".." by text alone, for sources that do not exist yet.
 */
static char *without_dots(const char *path)
{
    char *clean = mem_new_array(strlen(path) + 2, 1);
    size_t length = 0;
    for (const char *part = path; *part;) {
        part += strspn(part, "/");
        size_t n = strcspn(part, "/");
        if (n == 2 && strncmp(part, "..", 2) == 0) {
            while (length > 0 && clean[--length] != '/')
                ;
            clean[length] = '\0';
        } else if (n > 0 && !(n == 1 && *part == '.')) {
            clean[length++] = '/';
            memcpy(clean + length, part, n);
            length += n;
            clean[length] = '\0';
        }
        part += n;
    }
    if (length == 0)
        clean[0] = '/';
    return clean;
}

static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? real : without_dots(path);
}

/* The guest in whose directory (or in whose place for one) this part of a path lies. */
static enum belongs owner_of_part(const char *part, uint32_t *ret_vmid)
{
    if (*part == '\0')
        return TO_ALL;
    cleanup_free char *first = mem_copy_text_n(part, strcspn(part, "/"));
    return vmid_parse(first, ret_vmid) ? TO_GUEST : TO_NOBODY;
}

static bool same_file_system(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev;
}

/* Whom the path's content belongs to, as far as root (GUESTS or EXPORT) is concerned. */
static enum belongs belongs_to(const struct line *line, const char *path, const char *root,
                               uint32_t *ret_vmid)
{
    const char *part = below(root, path);
    if (part)
        return owner_of_part(part, ret_vmid);
    bool above = strcmp(path, "/") == 0 || below(path, root);
    /* A plain bind shows only its own file system: mounting / does not show what is in a tmpfs on
     * /run. */
    if (above && (line->recursive || same_file_system(path, root)))
        return TO_ALL;
    return TO_NOBODY;
}

static int refuse(const struct line *line, enum belongs belongs, uint32_t owner, uint32_t vmid,
                  struct error *error)
{
    const char *verb =
        belongs == TO_ALL ? "the directories of all guests" : "the directory of guest";
    cleanup_free char *whose =
        belongs == TO_ALL ? mem_copy_text(verb) : mem_format("%s %u", verb, owner);
    if (strcmp(line->key, MOUNT_ENTRY_KEY) == 0)
        return fail(
            error, ERROR_FOREIGN,
            "lxc.mount.entry mounts %s (%.150s): guest %u must not start with it" FOREIGN_REMEDY
            "felhomctl enroll %u",
            whose, line->source, vmid, vmid);
    return fail(error, ERROR_FOREIGN,
                "%s mounts %s (%.150s): guest %u must not start with it" FOREIGN_REMEDY
                "pct set %u --delete %s && felhomctl enroll %u",
                line->key, whose, line->source, vmid, vmid, line->key, vmid);
}

static int check_path(const struct line *line, const char *path, const char *root, uint32_t vmid,
                      bool *is_own, struct error *error)
{
    uint32_t owner = 0;
    enum belongs belongs = belongs_to(line, path, root, &owner);
    if (belongs == TO_ALL || (belongs == TO_GUEST && owner != vmid))
        return refuse(line, belongs, owner, vmid, error);
    if (belongs == TO_GUEST)
        *is_own = true;
    return 0;
}

/* Checks one source against both places, as written and with links resolved. */
static int check_line(const struct config *config, uint32_t vmid, const struct line *line,
                      bool *ret_own, struct error *error)
{
    const char *const roots[] = {config->paths.guests, config->paths.export};
    cleanup_free char *written = without_dots(line->source);
    cleanup_free char *real = real_path(line->source);
    bool is_own = false;
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        cleanup_free char *real_root = real_path(roots[i]);
        if (check_path(line, written, roots[i], vmid, &is_own, error) < 0 ||
            check_path(line, real, real_root, vmid, &is_own, error) < 0)
            return -1;
    }
    *ret_own = is_own;
    return 0;
}

/* fstab fields write blanks and the like as \ooo. */
static char *field_unescaped(const char *field, size_t length)
{
    char *text = mem_new_array(length + 1, 1);
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned int octal = 0;
        if (field[i] == '\\' && i + 3 < length && field[i + 1] >= '0' && field[i + 1] <= '3' &&
            strspn(field + i + 1, "01234567") >= 3) {
            for (int digit = 0; digit < 3; digit++)
                octal = octal * 8 + (unsigned int)(field[++i] - '0');
            text[out++] = (char)octal;
        } else {
            text[out++] = field[i];
        }
    }
    return text;
}

static int check_entry(const struct config *config, uint32_t vmid, const char *value, bool *ret_own,
                       struct error *error)
{
    value += strspn(value, " \t");
    cleanup_free char *source = field_unescaped(value, strcspn(value, " \t"));
    struct line line = {MOUNT_ENTRY_KEY, source, strstr(value, "rbind") != NULL};
    *ret_own = false;
    /* Sources such as proc or tmpfs name no path of the host. */
    return *source == '/' ? check_line(config, vmid, &line, ret_own, error) : 0;
}

int foreign_check(const struct config *config, uint32_t vmid, const struct guest_config *guest,
                  struct own_mount *ret, struct error *error)
{
    struct own_mount own = {MOUNT_FORM_NONE, NULL};
    bool is_own;
    for (size_t i = 0; i < guest->raw_count; i++) {
        if (strcmp(guest->raw[i].key, MOUNT_ENTRY_KEY) != 0)
            continue;
        if (check_entry(config, vmid, guest->raw[i].value, &is_own, error) < 0)
            return -1;
        if (is_own)
            own.form = MOUNT_FORM_ENTRY;
    }
    for (size_t i = 0; i < guest->volume_count; i++) {
        const struct volume *volume = &guest->volumes[i];
        const struct line line = {volume->key, volume->source, false};
        if (volume->kind != VOLUME_BIND)
            continue;
        if (check_line(config, vmid, &line, &is_own, error) < 0)
            return -1;
        if (is_own)
            own = (struct own_mount){MOUNT_FORM_MP, volume};
    }
    *ret = own;
    return 0;
}
