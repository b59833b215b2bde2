/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/snapshot_name.h"

#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const char *const reserved[] = {"current", "pending", "vzdump"};

int snapshot_name_check(const char *name, struct error *error)
{
    size_t length = strlen(name);
    if (length < 2 || length >= SNAPSHOT_NAME_SIZE)
        return fail(error, ERROR_INVALID, "a snapshot's name has 2 to %d characters",
                    SNAPSHOT_NAME_SIZE - 1);
    if (!strchr(LETTERS, name[0]) || name[strspn(name, LETTERS "0123456789_-")])
        return fail(error, ERROR_INVALID,
                    "a snapshot's name begins with a letter and goes on with letters, digits, _ "
                    "and -");
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (strcasecmp(name, reserved[i]) == 0)
            return fail(error, ERROR_INVALID, "a snapshot cannot be named %s: Proxmox uses that",
                        reserved[i]);
    return 0;
}
