/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store_pool.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "schema/memory.h"

#define STORES_MIN    4 /* some of them may wait for the disk */
#define STORES_MAX    8
#define WAIT_SECONDS  1
#define STORE_BUSY_MS 1000

/* So many may have it at once. */
struct places {
    size_t free;
    pthread_cond_t left;
};

struct store_pool {
    char *state_dir;
    char *path;
    pthread_mutex_t lock; /* of what follows */
    struct places stores; /* that may still be lent, open or not */
    struct places pen;
    struct store *open[STORES_MAX];
    size_t open_count;
    struct stat file;    /* what they have open */
    uint64_t generation; /* grows whenever that changes */
};

static size_t stores_at_once(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (processors < STORES_MIN)
        return STORES_MIN;
    return processors > STORES_MAX ? STORES_MAX : (size_t)processors;
}

static void places_init(struct places *places, size_t count)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&places->left, &attributes);
    places->free = count;
}

int store_pool_new(const char *state_dir, struct store_pool **ret, struct error *error)
{
    struct store *first;
    if (store_open(state_dir, STORE_OPEN_CREATE, STORE_BUSY_MS, &first, error) < 0)
        return -1;
    struct store_pool *pool = mem_new(struct store_pool);
    (void)pthread_mutex_init(&pool->lock, NULL);
    places_init(&pool->stores, stores_at_once());
    places_init(&pool->pen, 1);
    pool->state_dir = mem_copy_text(state_dir);
    pool->path = mem_format("%s/db/agent.db", state_dir);
    (void)stat(pool->path, &pool->file);
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
    (void)pthread_cond_destroy(&pool->stores.left);
    (void)pthread_cond_destroy(&pool->pen.left);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->state_dir);
    free(pool->path);
    free(pool);
}

/* With the lock held; false when the wait is over. */
static bool places_take(struct places *places, pthread_mutex_t *lock)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += WAIT_SECONDS;
    int result = 0;
    while (places->free == 0 && result == 0)
        result = pthread_cond_timedwait(&places->left, lock, &end);
    bool taken = places->free > 0;
    places->free -= taken;
    return taken;
}

static void places_leave(struct places *places)
{
    places->free++;
    (void)pthread_cond_signal(&places->left);
}

/* A file that was removed or replaced would go on answering for whoever has it open. */
static void heed_replacement(struct store_pool *pool)
{
    struct stat file = {0};
    (void)stat(pool->path, &file);
    if (file.st_ino == pool->file.st_ino && file.st_dev == pool->file.st_dev)
        return;
    close_all(pool);
    pool->file = file;
    pool->generation++;
}

/* Takes a place and, if there is one, an open store; false when the wait is over. */
static bool take_store(struct store_pool *pool, struct store_loan *ret)
{
    if (!places_take(&pool->stores, &pool->lock))
        return false;
    heed_replacement(pool);
    ret->store = pool->open_count > 0 ? pool->open[--pool->open_count] : NULL;
    ret->generation = pool->generation;
    return true;
}

static bool take(struct store_pool *pool, bool pen, struct store_loan *ret)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct store_loan loan = {.pool = pool, .pen = pen};
    bool has_pen = !pen || places_take(&pool->pen, &pool->lock);
    bool taken = has_pen && take_store(pool, &loan);
    if (taken)
        *ret = loan;
    else if (pen && has_pen)
        places_leave(&pool->pen);
    (void)pthread_mutex_unlock(&pool->lock);
    return taken;
}

static int borrow(struct store_pool *pool, bool pen, struct store_loan *ret, struct error *error)
{
    if (!take(pool, pen, ret))
        return fail(error, ERROR_BUSY, "every store handle is in use");
    if (ret->store)
        return 0;
    return store_open(pool->state_dir, STORE_OPEN_EXISTING, STORE_BUSY_MS, &ret->store, error);
}

int store_borrow(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    return borrow(pool, false, ret, error);
}

int store_borrow_pen(struct store_pool *pool, struct store_loan *ret, struct error *error)
{
    return borrow(pool, true, ret, error);
}

void store_return(struct store_loan *loan)
{
    struct store_pool *pool = loan->pool;
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    if (loan->store && loan->generation == pool->generation)
        pool->open[pool->open_count++] = loan->store;
    else
        store_close(loan->store);
    places_leave(&pool->stores);
    if (loan->pen)
        places_leave(&pool->pen);
    (void)pthread_mutex_unlock(&pool->lock);
    *loan = (struct store_loan){0};
}

void store_loan_failed(struct store_loan *loan, const struct error *error)
{
    if (error->kind == ERROR_BUSY)
        return;
    store_close(loan->store);
    loan->store = NULL;
}
