/* SPDX-License-Identifier: Apache-2.0 */
/* The files schema/sql/NNNN_*.sql, embedded at build time by tools/embed-migrations: migrations[i]
 * takes the database from user_version i to i + 1. */
#ifndef FELHOM_MIGRATIONS_H
#define FELHOM_MIGRATIONS_H

extern const char *const migrations[];
extern const int migration_count;

#endif
