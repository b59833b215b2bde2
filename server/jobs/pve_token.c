/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs/pve_token.h"

#include <stdbool.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "server/jobs/pve_client.h"
#include "store/files/file.h"

#define FILE_LIMIT  ((size_t)4096)
#define UUID_LENGTH ((size_t)36)

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Realms and the names of tokens within a user. */
static bool is_id(const char *text, size_t length)
{
    return length >= 2 && strchr(LETTERS, text[0]) && strspn(text, LETTERS DIGITS ".-_") >= length;
}

/* Proxmox forbids blanks, : and /; % and ; would be read as something else in the header. */
static bool is_user(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7F || strchr(":/%;", text[i]))
            return false;
    return length > 0;
}

static bool is_uuid(const char *text)
{
    static const char shape[] = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
    if (strlen(text) != UUID_LENGTH)
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == '-' ? text[i] != '-' : !strchr(DIGITS "abcdefABCDEF", text[i]))
            return false;
    return true;
}

/* The length of USER@REALM!TOKENID; 0 where the text is no token. */
static size_t user_length(const char *text)
{
    const char *secret = strrchr(text, '=');
    const char *id = secret ? memrchr(text, '!', (size_t)(secret - text)) : NULL;
    const char *realm = id ? memrchr(text, '@', (size_t)(id - text)) : NULL;
    if (!realm || !is_uuid(secret + 1) || secret - text >= PVE_USER_SIZE)
        return 0;
    bool is_token = is_user(text, (size_t)(realm - text)) &&
                    is_id(realm + 1, (size_t)(id - realm - 1)) &&
                    is_id(id + 1, (size_t)(secret - id - 1));
    return is_token ? (size_t)(secret - text) : 0;
}

static int read_line(const char *path, struct buffer *out, struct error *error)
{
    if (file_read(path, FILE_LIMIT, out, error) < 0) {
        if (error->kind == ERROR_MISSING)
            return fail(error, ERROR_MISSING,
                        "there is no Proxmox API token: felhomctl init --pve-token makes one");
        if (error->kind == ERROR_SYSTEM)
            error->kind = ERROR_DENIED;
        return -1;
    }
    if (out->length > 0 && out->data[out->length - 1] == '\n')
        out->data[--out->length] = '\0';
    return 0;
}

int pve_token_read(const struct config *config, struct buffer *out, struct error *error)
{
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    const char *path = config->pve.token_file;
    if (read_line(path, &line, error) < 0)
        return -1;
    /* A NUL in it would hide what follows. */
    if (strlen(buffer_text(&line)) != line.length || user_length(buffer_text(&line)) == 0)
        return fail(error, ERROR_INVALID, "%s: not one line USER@REALM!TOKENID=UUID", path);
    buffer_add(out, line.data, line.length);
    return 0;
}

int pve_token_check(const struct config *config, char ret_user[PVE_USER_SIZE], struct error *error)
{
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (pve_token_read(config, &token, error) < 0)
        return -1;
    size_t length = user_length(buffer_text(&token));
    if (ret_user) {
        memcpy(ret_user, buffer_text(&token), length);
        ret_user[length] = '\0';
    }
    return 0;
}
