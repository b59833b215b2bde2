/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/storage_config.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

#define SNIPPETS    ":snippets/"
#define LOCAL       "local"
#define LOCAL_PATH  "/var/lib/vz"
#define MOUNT_PLACE "/mnt/pve" /* where Proxmox mounts network storages that set no path */

/* The properties of one storage; a text is "" if the storage does not set it. */
struct storage {
    bool found;
    struct slice type;
    struct slice path;
    struct slice content_dirs;
};

bool snippet_volume_is_valid(const char *volume)
{
    const char *colon = strchr(volume, ':');
    if (!colon || colon == volume || strncmp(colon, SNIPPETS, strlen(SNIPPETS)) != 0)
        return false;
    const char *name = colon + strlen(SNIPPETS);
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Reads "TYPE: ID", which begins a section. Returns true if the section is that of this storage. */
static bool storage_read_header(struct slice line, const char *id, struct storage *storage)
{
    struct slice name = line;
    struct slice type = slice_take(&name, ':');
    name = slice_trim_end(slice_skip(name, slice_span(name, BLANKS)), BLANKS "\r");
    if (type.length == line.length || !slice_equals(name, id))
        return false;
    *storage = (struct storage){.found = true, .type = type};
    return true;
}

/* Reads "KEY VALUE". */
static void storage_read_property(struct slice line, struct storage *storage)
{
    struct slice rest = slice_skip(line, slice_span(line, BLANKS));
    struct slice key = {rest.text, strcspn(rest.text, BLANKS "\n")};
    rest = slice_skip(rest, key.length);
    struct slice value = slice_trim_end(slice_skip(rest, slice_span(rest, BLANKS)), BLANKS "\r");
    if (slice_equals(key, "path"))
        storage->path = value;
    else if (slice_equals(key, "content-dirs"))
        storage->content_dirs = value;
}

static struct storage find_storage(const char *text, const char *id)
{
    struct storage storage = {.found = false};
    bool inside = false;
    for (const char *at = text; *at; at += *at == '\n') {
        struct slice line = {at, strcspn(at, "\n")};
        at += line.length;
        if (line.length == 0 || line.text[0] == '#')
            continue;
        if (!strchr(BLANKS, line.text[0]))
            inside = storage_read_header(line, id, &storage);
        else if (inside)
            storage_read_property(line, &storage);
    }
    return storage;
}

/* Returns DIR of "snippets=DIR" in content-dirs, a list separated by commas; "snippets" if it is
 * not there. */
static struct slice snippets_directory(const struct storage *storage)
{
    struct slice rest = storage->content_dirs;
    while (rest.length > 0) {
        struct slice directory = slice_take(&rest, ',');
        struct slice key = slice_take(&directory, '=');
        if (slice_equals(key, "snippets") && directory.length > 0)
            return directory;
    }
    return slice_of("snippets");
}

static bool is_network_type(struct slice type)
{
    static const char *const types[] = {"nfs", "cifs", "cephfs", "glusterfs"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (slice_equals(type, types[i]))
            return true;
    return false;
}

/* Returns the directory of the storage; NULL if it has none. The caller frees it. */
static char *storage_base(const struct storage *storage, const char *id)
{
    if (strcmp(id, LOCAL) == 0)
        return mem_copy_text(LOCAL_PATH);
    if (storage->path.length > 0 && storage->path.text[0] == '/')
        return mem_copy_text_n(storage->path.text, storage->path.length);
    return is_network_type(storage->type) ? mem_format(MOUNT_PLACE "/%s", id) : NULL;
}

int snippet_path(const char *storage_cfg, const char *volume, char **ret, struct error *error)
{
    if (!snippet_volume_is_valid(volume))
        return fail(error, ERROR_INVALID, "'%.200s' is not STORAGE:snippets/NAME", volume);
    const char *colon = strchr(volume, ':');
    cleanup_free char *id = mem_copy_text_n(volume, (size_t)(colon - volume));
    const struct storage storage = find_storage(storage_cfg, id);
    cleanup_free char *base = storage_base(&storage, id);
    if (!base)
        return fail(error, ERROR_MISSING, "%.200s: storage.cfg has no storage %s with a directory",
                    volume, id);
    struct slice directory = snippets_directory(&storage);
    *ret = mem_format("%s/%.*s/%s", base, (int)directory.length, directory.text,
                      colon + strlen(SNIPPETS));
    return 0;
}
