/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/store_pool.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/lock.h"
#include "store/base/clock.h"
#include "store/tables/token.h"

/* More than the threads that run at the same time on most hosts: a worker that is suspended
 * while it holds a store does not keep the others from working. */
#define STORES        16
#define WAIT_US       SECOND_US
#define STORE_BUSY_MS 1000

/* The device and inode of each file of the database: the database, its write-ahead log and the
 * log's index. Zeros for a file that does not exist. */
struct store_files {
    dev_t devices[3];
    ino_t inodes[3];
};

struct store_pool {
    char *state_dir;
    pthread_mutex_t writer_lock;
    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t returned;
    size_t free_places; /* how many more stores may be lent, open or not */
    struct store *open[STORES];
    size_t open_count;
    struct store_files files;   /* the files that the stores in open[] have open */
    int64_t looked_us;          /* when files was last compared with the disk */
    uint64_t generation;        /* incremented whenever files changes */
    struct error checked;       /* what the last check has found; ERROR_NONE: nothing wrong */
    pthread_mutex_t check_lock; /* held by who checks; guards the next member */
    int64_t checked_us;         /* when that was; 0: never */
};

static struct store_files store_files_stat(const char *state_dir)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct store_files files = {0};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        char path[PATH_MAX];
        struct stat status = {0};
        (void)snprintf(path, sizeof path, "%s/db/agent.db%s", state_dir, suffixes[i]);
        (void)stat(path, &status);
        files.devices[i] = status.st_dev;
        files.inodes[i] = status.st_ino;
    }
    return files;
}

int store_pool_new(const char *state_dir, struct store_pool **ret, struct error *error)
{
    struct store *first;
    if (store_open(state_dir, STORE_OPEN_CREATE, STORE_BUSY_MS, &first, error) < 0)
        return -1;
    struct store_pool *pool = mem_new(struct store_pool);
    lock_condition_init(&pool->returned);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_mutex_init(&pool->writer_lock, NULL);
    (void)pthread_mutex_init(&pool->check_lock, NULL);
    pool->state_dir = mem_copy_text(state_dir);
    pool->files = store_files_stat(state_dir);
    pool->free_places = STORES;
    pool->open[pool->open_count++] = first;
    *ret = pool;
    return 0;
}

static void pool_close_all(struct store_pool *pool)
{
    while (pool->open_count > 0)
        store_close(pool->open[--pool->open_count]);
}

void store_pool_free(struct store_pool *pool)
{
    if (!pool)
        return;
    pool_close_all(pool);
    (void)pthread_cond_destroy(&pool->returned);
    (void)pthread_mutex_destroy(&pool->lock);
    (void)pthread_mutex_destroy(&pool->writer_lock);
    (void)pthread_mutex_destroy(&pool->check_lock);
    free(pool->state_dir);
    free(pool);
}

/* The caller holds the lock. Waits until a place is free; false if none became free in time. */
static bool pool_wait_for_place(struct store_pool *pool)
{
    const struct timespec end = lock_time_in(WAIT_US);
    int result = 0;
    while (pool->free_places == 0 && result == 0)
        result = pthread_cond_timedwait(&pool->returned, &pool->lock, &end);
    return pool->free_places > 0;
}

/*
 * Closes all stores if a file of the database was replaced. A process that has a removed database
 * open would go on reading from it; without the log or its index it would not see what others
 * write. Looking at the files for each loan would cost a tenth of a request, so they are looked at
 * once in STORE_POOL_LOOK_US.
 */
static void pool_check_files(struct store_pool *pool)
{
    int64_t now_us = clock_steady_us();
    if (now_us < pool->looked_us + STORE_POOL_LOOK_US)
        return;
    pool->looked_us = now_us;
    const struct store_files files = store_files_stat(pool->state_dir);
    if (memcmp(&files, &pool->files, sizeof files) == 0)
        return;
    pool_close_all(pool);
    pool->files = files;
    pool->generation++;
}

/* Takes a place and, if there is one, an open store. False if no place became free in time. */
static bool pool_take_place(struct store_pool *pool, struct store_loan *ret)
{
    lock_scope(&pool->lock);
    if (pool->free_places == 0 && !pool_wait_for_place(pool))
        return false;
    pool->free_places--;
    pool_check_files(pool);
    struct store *store = pool->open_count > 0 ? pool->open[--pool->open_count] : NULL;
    *ret = (struct store_loan){.pool = pool, .store = store, .generation = pool->generation};
    return true;
}

int store_borrow(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    if (!pool_take_place(pool, ret))
        return fail(error, ERROR_BUSY, "every store handle is in use");
    if (ret->store)
        return 0;
    return store_open(pool->state_dir, STORE_OPEN_EXISTING, STORE_BUSY_MS, &ret->store, error);
}

int store_borrow_view(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    return store_borrow(pool, ret, error) < 0 ? -1 : store_begin_view(ret->store, error);
}

int store_borrow_writer(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    const struct timespec end = lock_time_in(WAIT_US);
    if (pthread_mutex_clocklock(&pool->writer_lock, CLOCK_MONOTONIC, &end) != 0)
        return fail(error, ERROR_BUSY,
                    "the disk is slow: others have waited to write for too long");
    int result = store_borrow(pool, ret, error);
    if (ret->pool)
        ret->is_writer = true;
    else
        (void)pthread_mutex_unlock(&pool->writer_lock);
    return result;
}

void store_return(struct store_loan *loan)
{
    struct store_pool *pool = loan->pool;
    if (!pool)
        return;
    if (loan->store)
        store_rollback(loan->store);
    (void)pthread_mutex_lock(&pool->lock);
    if (loan->store && loan->generation == pool->generation)
        pool->open[pool->open_count++] = loan->store;
    else
        store_close(loan->store);
    pool->free_places++;
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_cond_signal(&pool->returned);
    if (loan->is_writer)
        (void)pthread_mutex_unlock(&pool->writer_lock);
    *loan = (struct store_loan){0};
}

void store_pool_look(struct store_pool *pool)
{
    lock_scope(&pool->lock);
    pool->looked_us = -STORE_POOL_LOOK_US;
}

/* No token has this id. */
static int pool_read_token(struct store_pool *pool, struct error *error)
{
    enum token_verdict verdict;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(pool, &loan, error) == 0 &&
        token_recheck(loan.store, "--------", clock_wall_ms(), &verdict, error) == 0)
        return 0;
    return store_loan_failed(&loan, error);
}

/* The caller holds check_lock. */
static void pool_check_if_due(struct store_pool *pool)
{
    struct error found = {.kind = ERROR_NONE};
    if (pool->checked_us && clock_steady_us() < pool->checked_us + STORE_POOL_CHECK_US)
        return;
    if (pool_read_token(pool, &found) == 0)
        found.kind = ERROR_NONE;
    pool->checked_us = clock_steady_us();
    lock_scope(&pool->lock);
    pool->checked = found;
}

int store_pool_check(struct store_pool *pool, struct error *error)
{
    if (pthread_mutex_trylock(&pool->check_lock) == 0) {
        pool_check_if_due(pool);
        (void)pthread_mutex_unlock(&pool->check_lock);
    }
    lock_scope(&pool->lock);
    if (pool->checked.kind == ERROR_NONE)
        return 0;
    *error = pool->checked;
    return -1;
}

int store_pool_read_host(struct store_pool *pool, struct host *ret, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(pool, &loan, error) == 0 && host_get(loan.store, ret, error) == 0)
        return 0;
    return store_loan_failed(&loan, error);
}
