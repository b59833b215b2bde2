/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allocations.so, to be preloaded: counts the allocations of each process, and lets one of them
 * fail. They are known by the path of calls that leads to them, which is the same in each run
 * whatever threads do in the meantime, and by how often it was taken before. The file that
 * FAULT_ALLOCATIONS names is shared with whoever looks on: a struct plan.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TASKS_MAX 16
#define PATHS_MAX 32768
#define DEPTH_MAX 64

struct path {
    _Atomic uint64_t name; /* in its lowest digit the process, by their making, from 0 */
    _Atomic int64_t taken;
};

struct plan {
    uint64_t path; /* which is to fail */
    int64_t nth;   /* time, from 1; 0: none is */
    _Atomic int64_t reached;
    _Atomic int64_t tasks; /* how many there were after the first */
    struct path paths[PATHS_MAX];
};

static struct plan *plan;
static uint64_t task;
static _Thread_local bool spared;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void become_task(void)
{
    if (plan)
        task = (uint64_t)atomic_fetch_add(&plan->tasks, 1) + 1;
}

/* Where a program lies in memory differs from run to run. */
static uint64_t place_in_file(void *address)
{
    struct dl_find_object found;
    if (_dl_find_object(address, &found) < 0)
        return 0;
    return (uint64_t)((char *)address - (char *)found.dlfo_map_start);
}

static uint64_t path_taken(void)
{
    void *frames[DEPTH_MAX];
    uint64_t name = 14695981039346656037U;
    int depth = backtrace(frames, DEPTH_MAX);
    for (int i = 0; i < depth; i++)
        name = (name ^ place_in_file(frames[i])) * 1099511628211U;
    return (name & ~(uint64_t)(TASKS_MAX - 1)) | task;
}

static struct path *path_named(uint64_t name)
{
    for (uint64_t i = 0; i < PATHS_MAX; i++) {
        struct path *path = &plan->paths[(name / TASKS_MAX + i) % PATHS_MAX];
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(&path->name, &there, name) || there == name)
            return path;
    }
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    void *frame;
    const char *name = getenv("FAULT_ALLOCATIONS");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    (void)pthread_atfork(NULL, NULL, become_task);
    (void)backtrace(&frame, 1); /* allocates, the first time */
    if (memory != MAP_FAILED)
        plan = memory;
}

static int must_fail(void)
{
    if (!plan || spared || task >= TASKS_MAX)
        return 0;
    struct path *path = path_named(path_taken());
    int64_t nth = atomic_fetch_add(&path->taken, 1) + 1;
    if (path->name != plan->path || nth != plan->nth)
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

/* The C library itself dies where it has no memory to look for a user (glibc 2.36, nss_database.c).
 */
struct passwd *getpwnam(const char *name)
{
    struct passwd *(*real)(const char *) = dlsym(RTLD_NEXT, "getpwnam");
    spared = true;
    struct passwd *user = real(name);
    spared = false;
    return user;
}
