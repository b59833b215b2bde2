/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that put a guest's directory into it, in either form: how they are recognised and how
 * they read. */
#ifndef FELHOM_DIRECTORY_LINE_H
#define FELHOM_DIRECTORY_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/mount_form.h"
#include "schema/pve/guest_config.h"

struct directory_line {
    enum mount_form form;
    uint32_t vmid; /* whose directory it names */
};

/* Whether the line names a guest's directory below GUESTS or EXPORT; *ret is set only then. */
bool directory_line_read(const struct config *config, const char *key, const char *value,
                         struct directory_line *ret);

/* Whether the line mounts the guest's directory as enroll would have it; an mp may carry more
 * options. */
bool directory_line_is_right(const struct config *config, enum mount_form form, uint32_t vmid,
                             const char *key, const char *value);

/* How the guest's configuration mounts its own directory. */
enum mount_form directory_line_find(const struct config *config, uint32_t vmid,
                                    const struct guest_config *guest);

/* The value of the guest's line, to be freed with free(). */
char *directory_line_value(const struct config *config, enum mount_form form, uint32_t vmid);

#endif
