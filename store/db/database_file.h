/* SPDX-License-Identifier: Apache-2.0 */
/* Where the database lies, and whose it is: root's hook and the unprivileged daemon open the same
 * files. */
#ifndef FELHOM_STORE_DATABASE_FILE_H
#define FELHOM_STORE_DATABASE_FILE_H

#include <stdbool.h>

#include "schema/base/error.h"

/*
 * Finds STATE_DIR/db/agent.db; create makes what is missing below STATE_DIR, the directory 0700,
 * the (empty) file 0600. As root it also sees to it that all of the database's files belong to
 * STATE_DIR's owner. A symbolic link in the place of any is ERROR_DENIED, a missing file
 * ERROR_MISSING, an empty database beside a log that is not ERROR_CORRUPT. *ret_path is absolute,
 * without links, and the caller's to free.
 */
int database_file_ready(const char *state_dir, bool create, char **ret_path, struct error *error);

/* The same for one who only looks: no matter whose they are. */
int database_file_find(const char *state_dir, char **ret_path, struct error *error);

/* Says that the database at this path is damaged, why, and the way out; returns -1. */
int database_file_damaged(const char *path, const char *why, struct error *error);

#endif
