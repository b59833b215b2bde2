/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhom-hook is linked statically: it starts in two thirds of the time, and no LD_ variable that
 * leaks from the caller's environment can put anything into it. The linker takes the functions here
 * in place of those in the libraries.
 */
#include <dlfcn.h>
#include <sqlite3.h>
#include <stddef.h>

/* --- in place of the C library's loader: what SQLite would load as an extension is refused --- */

void *dlopen(const char *file, int mode)
{
    (void)file;
    (void)mode;
    return NULL;
}

void *dlsym(void *restrict handle, const char *restrict name)
{
    (void)handle;
    (void)name;
    return NULL;
}

char *dlerror(void)
{
    static char reason[] = "this program loads no plug-ins";
    return reason;
}

int dlclose(void *handle)
{
    (void)handle;
    return -1;
}

/*
 * --- parts of SQLite that no statement of ours uses ---
 *
 * Full-text search, R-trees, JSON and statistics as tables. SQLite sets each of them up for each
 * connection, which costs the hook, a connection for each call, more than some of its statements
 * do; and together they are a tenth of the program. With these functions the linker leaves the rest
 * of each part out. They are weak: a part that another version of SQLite needs after all is linked,
 * and these give way to it. Contract: sqlite3BuiltinExtensions in SQLite's main.c.
 */
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
