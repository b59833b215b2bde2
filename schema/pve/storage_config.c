/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/storage_config.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

#define SNIPPETS    ":snippets/"
#define LOCAL       "local"
#define LOCAL_PATH  "/var/lib/vz"
#define MOUNT_PLACE "/mnt/pve" /* of network storages, unless they say otherwise */

/* A piece of a text. */
struct piece {
    const char *text;
    size_t length;
};

/* What a section says of its storage; texts are "" where it doesn't. */
struct storage {
    bool found;
    struct piece type;
    struct piece path;
    struct piece content_dirs;
};

static bool piece_is(struct piece piece, const char *text)
{
    return piece.length == strlen(text) && memcmp(piece.text, text, piece.length) == 0;
}

bool snippet_volume_is_valid(const char *volume)
{
    const char *colon = strchr(volume, ':');
    if (!colon || colon == volume || strncmp(colon, SNIPPETS, strlen(SNIPPETS)) != 0)
        return false;
    const char *name = colon + strlen(SNIPPETS);
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static struct piece trimmed(const char *text, size_t length)
{
    while (length > 0 && strchr(BLANKS "\r", text[length - 1]))
        length--;
    return (struct piece){text, length};
}

/* "TYPE: ID" begins a section; whether it is this storage's. */
static bool read_header(struct piece line, const char *id, struct storage *storage)
{
    const char *colon = memchr(line.text, ':', line.length);
    if (!colon)
        return false;
    const char *end = line.text + line.length;
    const char *name = colon + 1;
    while (name < end && strchr(BLANKS, *name))
        name++;
    if (!piece_is(trimmed(name, (size_t)(end - name)), id))
        return false;
    *storage = (struct storage){.found = true, .type = {line.text, (size_t)(colon - line.text)}};
    return true;
}

/* "KEY VALUE" */
static void read_property(struct piece line, struct storage *storage)
{
    size_t indent = strspn(line.text, BLANKS);
    struct piece key = {line.text + indent, strcspn(line.text + indent, BLANKS "\n")};
    const char *value = key.text + key.length;
    value += strspn(value, BLANKS);
    if (value > line.text + line.length)
        return;
    struct piece rest = trimmed(value, (size_t)(line.text + line.length - value));
    if (piece_is(key, "path"))
        storage->path = rest;
    else if (piece_is(key, "content-dirs"))
        storage->content_dirs = rest;
}

static struct storage find_storage(const char *text, const char *id)
{
    struct storage storage = {.found = false};
    bool inside = false;
    for (const char *at = text; *at; at += *at == '\n') {
        struct piece line = {at, strcspn(at, "\n")};
        at += line.length;
        if (line.length == 0 || line.text[0] == '#')
            continue;
        if (!strchr(BLANKS, line.text[0]))
            inside = read_header(line, id, &storage);
        else if (inside)
            read_property(line, &storage);
    }
    return storage;
}

/* "snippets=DIR" of a list with commas; "snippets" where it isn't there. */
static struct piece snippets_directory(const struct storage *storage)
{
    static const char key[] = "snippets=";
    const char *at = storage->content_dirs.text;
    size_t left = storage->content_dirs.length;
    while (left > 0) {
        const char *comma = memchr(at, ',', left);
        size_t length = comma ? (size_t)(comma - at) : left;
        if (length >= sizeof key && memcmp(at, key, sizeof key - 1) == 0)
            return (struct piece){at + sizeof key - 1, length - (sizeof key - 1)};
        length += comma != NULL;
        at += length;
        left -= length;
    }
    return (struct piece){"snippets", strlen("snippets")};
}

static bool is_network_type(struct piece type)
{
    static const char *const types[] = {"nfs", "cifs", "cephfs", "glusterfs"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (piece_is(type, types[i]))
            return true;
    return false;
}

/* Where the storage is mounted or lies, NULL where it has no such place; the caller frees it. */
static char *base_of(const struct storage *storage, const char *id)
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
    cleanup_free char *base = base_of(&storage, id);
    if (!base)
        return fail(error, ERROR_MISSING, "%.200s: storage.cfg has no storage %s with a directory",
                    volume, id);
    struct piece directory = snippets_directory(&storage);
    *ret = mem_format("%s/%.*s/%s", base, (int)directory.length, directory.text,
                      colon + strlen(SNIPPETS));
    return 0;
}
