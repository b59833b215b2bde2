/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound ownership: a variable marked with one of these is released when it goes out of scope.
 */
#ifndef FELHOM_CLEANUP_H
#define FELHOM_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Calls fn(&variable) at the end of the variable's scope. */
#define cleanup(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free_fn(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

static inline void cleanup_close_fn(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void cleanup_file_fn(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

#define cleanup_free  cleanup(cleanup_free_fn)
#define cleanup_close cleanup(cleanup_close_fn)
#define cleanup_file  cleanup(cleanup_file_fn)

/* Hands a pointer out of a cleanup scope: yields its value and leaves NULL behind. */
#define steal(pointer) \
    __extension__({ \
        __auto_type steal_value_ = (pointer); \
        (pointer) = NULL; \
        steal_value_; \
    })

/* The same for a file descriptor: leaves -1 behind. */
static inline int steal_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
