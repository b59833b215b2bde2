/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allocations.so, to be preloaded: counts the allocations of each process, and lets one of them
 * fail. The file that FAULT_ALLOCATIONS names is shared with whoever looks on: a struct plan.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TASKS_MAX 16

struct plan {
    int64_t task; /* processes by their making, from 0 */
    int64_t nth;  /* its allocation that is to fail, from 1; 0: none is */
    _Atomic int64_t reached;
    _Atomic int64_t tasks; /* how many there were after the first */
    _Atomic int64_t counts[TASKS_MAX];
};

static struct plan *plan;
static int64_t task;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void become_task(void)
{
    if (plan)
        task = atomic_fetch_add(&plan->tasks, 1) + 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULT_ALLOCATIONS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    (void)pthread_atfork(NULL, NULL, become_task);
    if (memory != MAP_FAILED)
        plan = memory;
}

static int must_fail(void)
{
    if (!plan || task >= TASKS_MAX)
        return 0;
    int64_t nth = atomic_fetch_add(&plan->counts[task], 1) + 1;
    if (task != plan->task || nth != plan->nth)
        return 0;
    atomic_store(&plan->reached, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return must_fail() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return must_fail() ? NULL : __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    return must_fail() ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *memory = memalign(alignment, size);
    if (!memory)
        return ENOMEM;
    *ret = memory;
    return 0;
}
