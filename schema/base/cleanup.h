/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources that are released at the end of a scope, by the compiler's cleanup attribute: a
 * variable marked cleanup_free, cleanup_close and so on is freed or closed on every way out of its
 * scope. steal() and steal_fd() hand the resource to the caller instead.
 */
#ifndef FELHOM_CLEANUP_H
#define FELHOM_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Calls fn(&variable) when the variable goes out of scope. */
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

static inline void cleanup_directory_fn(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

#define cleanup_free      cleanup(cleanup_free_fn)
#define cleanup_close     cleanup(cleanup_close_fn)
#define cleanup_file      cleanup(cleanup_file_fn)
#define cleanup_directory cleanup(cleanup_directory_fn)

/* Yields the value of a pointer or of a struct that owns something, and zeroes the variable, so
 * that its cleanup frees nothing. Never use it on a struct that holds a file descriptor: that would
 * become 0, which the cleanup would close. */
#define steal(variable) \
    __extension__({ \
        __auto_type steal_value_ = (variable); \
        (variable) = (__typeof__(variable)){0}; \
        steal_value_; \
    })

/* Returns the file descriptor and sets the variable to -1, so that its cleanup closes nothing. */
static inline int steal_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
