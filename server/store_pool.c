/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store_pool.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "schema/memory.h"

/* More than run at the same time on most hosts: a worker that is put to sleep while it holds a
 * store keeps no other from going on. */
#define STORES        16
#define WAIT_SECONDS  1
#define STORE_BUSY_MS 1000

struct open_store {
    struct store *store;
    struct file_identity file; /* that it has open */
};

struct store_pool {
    char *state_dir;
    char *path;
    pthread_mutex_t lock; /* of what follows; held for some instructions only */
    pthread_cond_t returned;
    size_t free_places; /* stores that may still be lent, open or not */
    struct open_store open[STORES];
    size_t open_count;
};

/* The file that is there now; asked for before a store is opened, never after, so that a
 * replacement in between is noticed at the next loan. */
static struct file_identity identify(const char *path)
{
    struct stat file = {0};
    (void)stat(path, &file);
    return (struct file_identity){.device = file.st_dev, .inode = file.st_ino};
}

static bool is_same(const struct file_identity *one, const struct file_identity *other)
{
    return one->device == other->device && one->inode == other->inode;
}

int store_pool_new(const char *state_dir, struct store_pool **ret, struct error *error)
{
    cleanup_free char *path = mem_format("%s/db/agent.db", state_dir);
    struct open_store first = {.file = identify(path)};
    if (store_open(state_dir, STORE_OPEN_CREATE, STORE_BUSY_MS, &first.store, error) < 0)
        return -1;
    struct store_pool *pool = mem_new(struct store_pool);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->returned, &attributes);
    (void)pthread_mutex_init(&pool->lock, NULL);
    pool->state_dir = mem_copy_text(state_dir);
    pool->path = steal(path);
    pool->free_places = STORES;
    pool->open[pool->open_count++] = first;
    *ret = pool;
    return 0;
}

void store_pool_free(struct store_pool *pool)
{
    if (!pool)
        return;
    while (pool->open_count > 0)
        store_close(pool->open[--pool->open_count].store);
    (void)pthread_cond_destroy(&pool->returned);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->state_dir);
    free(pool->path);
    free(pool);
}

/* Waits, holding the lock, until a place is free. */
static bool wait_for_place(struct store_pool *pool)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += WAIT_SECONDS;
    int result = 0;
    while (pool->free_places == 0 && result == 0)
        result = pthread_cond_timedwait(&pool->returned, &pool->lock, &end);
    return pool->free_places > 0;
}

/* Takes a place and, if there is one, an open store; false when the wait is over. */
static bool take_place(struct store_pool *pool, struct open_store *ret)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool taken = pool->free_places > 0 || wait_for_place(pool);
    if (taken) {
        pool->free_places--;
        *ret = pool->open_count > 0 ? pool->open[--pool->open_count] : (struct open_store){0};
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return taken;
}

int store_borrow(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    struct open_store taken;
    struct file_identity file = identify(pool->path);
    if (!take_place(pool, &taken))
        return fail(error, ERROR_BUSY, "every store handle is in use");
    /* A file that was removed or replaced would go on answering for whoever has it open. */
    if (taken.store && !is_same(&taken.file, &file))
        store_close(steal(taken.store));
    *ret = (struct store_loan){pool, taken.store, file};
    if (ret->store)
        return 0;
    return store_open(pool->state_dir, STORE_OPEN_EXISTING, STORE_BUSY_MS, &ret->store, error);
}

int store_borrow_view(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    return store_borrow(pool, ret, error) < 0 ? -1 : store_begin_view(ret->store, error);
}

void store_return(struct store_loan *loan)
{
    struct store_pool *pool = loan->pool;
    if (!pool)
        return;
    if (loan->store)
        store_rollback(loan->store);
    (void)pthread_mutex_lock(&pool->lock);
    if (loan->store)
        pool->open[pool->open_count++] = (struct open_store){loan->store, loan->file};
    pool->free_places++;
    (void)pthread_mutex_unlock(&pool->lock);
    (void)pthread_cond_signal(&pool->returned);
    *loan = (struct store_loan){0};
}

void store_loan_failed(struct store_loan *loan, const struct error *error)
{
    if (error->kind == ERROR_BUSY)
        return;
    store_close(loan->store);
    loan->store = NULL;
}
