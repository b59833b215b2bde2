/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/stack.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* For the frames of the calls below, which are in use. */
#define KEEP_BYTES 4096

void *stack_lowest(void)
{
    pthread_attr_t attributes;
    void *lowest = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return NULL;
    if (pthread_attr_getstack(&attributes, &lowest, &size) != 0)
        lowest = NULL;
    (void)pthread_attr_destroy(&attributes);
    return lowest;
}

void stack_give_back(void *lowest)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (here - KEEP_BYTES) & ~(page - 1);
    if (lowest && end > (uintptr_t)lowest)
        (void)madvise(lowest, end - (uintptr_t)lowest, MADV_DONTNEED);
}
