/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/store_pool.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "schema/base/memory.h"
#include "store/base/clock.h"

/* More than run at the same time on most hosts: a worker that is put to sleep while it holds a
 * store keeps no other from going on. */
#define STORES        16
#define WAIT_SECONDS  1
#define STORE_BUSY_MS 1000

/* Which files make up the database: itself, its log and the log's index; zeros where one is not. */
struct files {
    dev_t devices[3];
    ino_t inodes[3];
};

struct store_pool {
    char *state_dir;
    pthread_mutex_t pen;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t returned;
    size_t free_places; /* stores that may still be lent, open or not */
    struct store *open[STORES];
    size_t open_count;
    struct files files;  /* what they have open */
    int64_t looked_us;   /* when that was made sure of */
    uint64_t generation; /* grows whenever it changes */
};

static struct files look_at_files(const char *state_dir)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct files files = {0};
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
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->returned, &attributes);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_mutex_init(&pool->pen, NULL);
    pool->state_dir = mem_copy_text(state_dir);
    pool->files = look_at_files(state_dir);
    pool->free_places = STORES;
    pool->open[pool->open_count++] = first;
    *ret = pool;
    return 0;
}

static void close_all(struct store_pool *pool)
{
    while (pool->open_count > 0)
        store_close(pool->open[--pool->open_count]);
}

void store_pool_free(struct store_pool *pool)
{
    if (!pool)
        return;
    close_all(pool);
    (void)pthread_cond_destroy(&pool->returned);
    (void)pthread_mutex_destroy(&pool->lock);
    (void)pthread_mutex_destroy(&pool->pen);
    free(pool->state_dir);
    free(pool);
}

static struct timespec end_of_wait(void)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += WAIT_SECONDS;
    return end;
}

/* Waits, holding the lock, until a place is free. */
static bool wait_for_place(struct store_pool *pool)
{
    const struct timespec end = end_of_wait();
    int result = 0;
    while (pool->free_places == 0 && result == 0)
        result = pthread_cond_timedwait(&pool->returned, &pool->lock, &end);
    return pool->free_places > 0;
}

/*
 * A file that was removed or replaced would go on answering for whoever has it open; without their
 * log or its index the others' writes would go unseen. To look at each loan would be a tenth of a
 * request's work.
 */
static void heed_replacement(struct store_pool *pool)
{
    int64_t now_us = clock_steady_us();
    if (now_us < pool->looked_us + STORE_POOL_LOOK_US)
        return;
    pool->looked_us = now_us;
    const struct files files = look_at_files(pool->state_dir);
    if (memcmp(&files, &pool->files, sizeof files) == 0)
        return;
    close_all(pool);
    pool->files = files;
    pool->generation++;
}

/* Takes a place and, if there is one, an open store; false when the wait is over. */
static bool take_place(struct store_pool *pool, struct store_loan *ret)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool taken = pool->free_places > 0 || wait_for_place(pool);
    if (taken) {
        pool->free_places--;
        heed_replacement(pool);
        struct store *store = pool->open_count > 0 ? pool->open[--pool->open_count] : NULL;
        *ret = (struct store_loan){.pool = pool, .store = store, .generation = pool->generation};
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return taken;
}

int store_borrow(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    if (!take_place(pool, ret))
        return fail(error, ERROR_BUSY, "every store handle is in use");
    if (ret->store)
        return 0;
    return store_open(pool->state_dir, STORE_OPEN_EXISTING, STORE_BUSY_MS, &ret->store, error);
}

int store_borrow_view(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    return store_borrow(pool, ret, error) < 0 ? -1 : store_begin_view(ret->store, error);
}

int store_borrow_pen(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    const struct timespec end = end_of_wait();
    if (pthread_mutex_clocklock(&pool->pen, CLOCK_MONOTONIC, &end) != 0)
        return fail(error, ERROR_BUSY,
                    "the disk is slow: others have waited to write for too long");
    int result = store_borrow(pool, ret, error);
    if (ret->pool)
        ret->pen = true;
    else
        (void)pthread_mutex_unlock(&pool->pen);
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
    if (loan->pen)
        (void)pthread_mutex_unlock(&pool->pen);
    *loan = (struct store_loan){0};
}

void store_loan_failed(struct store_loan *loan, const struct error *error)
{
    if (error->kind == ERROR_BUSY)
        return;
    store_close(loan->store);
    loan->store = NULL;
}
