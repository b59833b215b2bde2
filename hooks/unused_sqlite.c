/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of SQLite that no statement of ours uses: full-text search, R-trees, JSON and statistics as
 * tables. SQLite sets each of them up for each connection, which costs the hook, a connection for
 * each call, more than some of its statements do; and together they are a tenth of the program.
 *
 * The linker takes these functions in place of those in libsqlite3.a, and leaves the rest of each
 * part out. They are weak: a part that another version of SQLite needs after all is linked, and
 * these give way to it. Contract: sqlite3BuiltinExtensions in SQLite's main.c.
 */
#include <sqlite3.h>

#define UNUSED_PART(name) \
    __attribute__((weak)) int name(sqlite3 *connection); \
    int name(sqlite3 *connection) \
    { \
        (void)connection; \
        return SQLITE_OK; \
    }

UNUSED_PART(sqlite3Fts3Init)
UNUSED_PART(sqlite3Fts5Init)
UNUSED_PART(sqlite3RtreeInit)
UNUSED_PART(sqlite3DbstatRegister)
UNUSED_PART(sqlite3StmtVtabInit)
UNUSED_PART(sqlite3JsonTableFunctions)

/* The functions for JSON, which SQLite registers once for all connections. */
__attribute__((weak)) void sqlite3RegisterJsonFunctions(void);
void sqlite3RegisterJsonFunctions(void)
{
}
