/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhom-hook is linked statically: it starts in two thirds of the time, and no LD_ variable that
 * leaks from the caller's environment can put anything into it. What SQLite would load as an
 * extension is refused here, in place of the C library's loader.
 */
#include <dlfcn.h>
#include <stddef.h>

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
