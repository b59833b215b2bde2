/* SPDX-License-Identifier: Apache-2.0 */
/* The numbered files schema/NNNN_*.sql, embedded at build time: migrations[i] brings user_version i
 * to i + 1. */
#ifndef FELHOM_MIGRATIONS_H
#define FELHOM_MIGRATIONS_H

extern const char *const migrations[];
extern const int migration_count;

#endif
