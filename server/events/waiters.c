/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/waiters.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/base/lock.h"
#include "server/events/wakeup.h"
#include "server/http/auth.h"
#include "server/http/refusal.h"
#include "server/net/connection.h"
#include "server/tls/session.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/event.h"

/* A connection that has no thread of its own while its guest waits for an event. */
struct waiter {
    struct waiter *next; /* the next arrival; see struct admission */
    struct detached_connection connection;
    struct wait_request request;
    int64_t deadline_us; /* of the wait; once there is an answer, of sending it */
    bool due;            /* its guest may have a new event */
    struct buffer answer;
    size_t sent;
};

/* --- one waiter --- */

static struct waiter *waiter_new(const struct detached_connection *connection,
                                 const struct wait_request *request)
{
    struct waiter *waiter = mem_new(struct waiter);
    waiter->connection = *connection;
    waiter->request = *request;
    waiter->deadline_us = request->wait.deadline_us;
    /* An event may have been committed since the handler looked. */
    waiter->due = true;
    return waiter;
}

static void waiter_free(struct waiter *waiter)
{
    detached_connection_close(&waiter->connection);
    buffer_free(&waiter->answer);
    free(waiter);
}

static int waiter_find_answer(const struct waiter *waiter, struct store *store, bool final,
                              struct reply *reply, struct refusal *refusal, struct error *error)
{
    const struct wait_request *request = &waiter->request;
    enum token_verdict verdict;
    if (token_recheck(store, request->token_id, clock_wall_ms(), &verdict, error) < 0)
        return -1;
    if (verdict != TOKEN_GOOD) {
        refusal->reason = auth_refusal_reason(verdict);
        reply_unauthorized(reply);
        return 1;
    }
    int found = events_answer(store, request->vmid, request->wait.since, reply, error);
    return found == 0 && final ? 1 : found;
}

static void waiter_set_answer(struct waiter *waiter, const struct reply *reply, int64_t deadline_us)
{
    reply_compose(reply, waiter->request.head, false, &waiter->answer);
    waiter->deadline_us = deadline_us;
}

static bool waiter_is_answered(const struct waiter *waiter)
{
    return waiter->answer.length > 0;
}

static int waiter_send(struct waiter *waiter)
{
    const struct buffer *answer = &waiter->answer;
    while (waiter->sent < answer->length) {
        int count = tls_try_write(waiter->connection.session, answer->data + waiter->sent,
                                  answer->length - waiter->sent);
        if (count <= 0)
            return count;
        waiter->sent += (size_t)count;
    }
    return 1;
}

/*
 * --- admission: how connections come to wait ---
 *
 *
 * CivetWeb's threads hand connections over here, and the waiters' thread collects them. Each
 * connection takes a place before it is handed over, and leaves it when it is closed. Any thread
 * may call these functions.
 */

enum waiters_mode {
    WAITERS_OPEN,
    WAITERS_PAUSED,   /* no request may wait */
    WAITERS_STOPPING, /* no request may wait any more; the thread ends once all are answered */
};

struct admission {
    uint32_t capacity;
    int wake_fd;          /* an eventfd: a connection arrived, or the mode changed */
    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t left;
    enum waiters_mode mode;
    uint32_t taken;
    struct waiter *arrivals;
};

/* Begins in the mode WAITERS_OPEN. Ends with admission_destroy. */
static void admission_init(struct admission *admission, uint32_t capacity)
{
    *admission = (struct admission){
        .capacity = capacity,
        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .mode = WAITERS_OPEN,
    };
    (void)pthread_mutex_init(&admission->lock, NULL);
    (void)pthread_cond_init(&admission->left, NULL);
}

static void admission_destroy(struct admission *admission)
{
    cleanup_close_fn(&admission->wake_fd);
    (void)pthread_cond_destroy(&admission->left);
    (void)pthread_mutex_destroy(&admission->lock);
}

/* False if all places are taken or the mode is not WAITERS_OPEN. The caller must leave the place
 * it took, once. */
static bool admission_take_place(struct admission *admission)
{
    lock_scope(&admission->lock);
    bool taken = admission->mode == WAITERS_OPEN && admission->taken < admission->capacity;
    admission->taken += taken;
    return taken;
}

static void admission_leave_place(struct admission *admission)
{
    lock_scope(&admission->lock);
    admission->taken--;
    (void)pthread_cond_signal(&admission->left);
}

/* Returns how many places are taken. */
static uint32_t admission_taken(struct admission *admission)
{
    lock_scope(&admission->lock);
    return admission->taken;
}

static void admission_wake(const struct admission *admission)
{
    (void)eventfd_write(admission->wake_fd, 1);
}

/* Hands a waiter, for which a place was taken, to the waiters' thread. */
static void admission_hand_over(struct admission *admission, struct waiter *waiter)
{
    (void)pthread_mutex_lock(&admission->lock);
    waiter->next = admission->arrivals;
    admission->arrivals = waiter;
    (void)pthread_mutex_unlock(&admission->lock);
    admission_wake(admission);
}

/* Returns all waiters that have arrived, linked by their next. */
static struct waiter *admission_collect(struct admission *admission, bool *ret_open)
{
    eventfd_t scrap;
    (void)eventfd_read(admission->wake_fd, &scrap);
    lock_scope(&admission->lock);
    *ret_open = admission->mode == WAITERS_OPEN;
    return steal(admission->arrivals);
}

static void admission_set_mode(struct admission *admission, enum waiters_mode mode)
{
    (void)pthread_mutex_lock(&admission->lock);
    admission->mode = mode;
    (void)pthread_mutex_unlock(&admission->lock);
    admission_wake(admission);
}

/* Waits until every place is free. */
static void admission_wait_empty(struct admission *admission)
{
    lock_scope(&admission->lock);
    while (admission->taken > 0)
        (void)pthread_cond_wait(&admission->left, &admission->lock);
}

/* True if the mode is WAITERS_STOPPING and no place is taken. */
static bool admission_is_over(struct admission *admission)
{
    lock_scope(&admission->lock);
    return admission->mode == WAITERS_STOPPING && admission->taken == 0;
}

#define WAITERS_MAX 1024
/* The limit of open files that felhomd asks for: enough for the waiters, the connections of the
 * threads and the store. */
#define DESCRIPTORS 4096

#define EVENTS_MAX 256 /* after more new events than these, all waiters are looked at */
#define READY_MAX  64

struct waiters {
    struct context *context;
    struct admission admission;
    pthread_t thread;

    /* For the waiters' thread only. Times by clock_steady_us. */
    int epoll_fd; /* reports the admission, the wakeup and each waiter by its address */
    struct wakeup wakeup;
    struct waiter **list;
    size_t count;
    int64_t seen;    /* the newest event when the thread last looked into the store */
    int64_t look_us; /* when to look again without a nudge, while a connection waits */
};

/* One round of the thread, with the store that it borrows if it needs one. */
struct round {
    int64_t now_us;
    bool nudged;
    bool paused; /* all requests must be answered now */
    struct store_loan loan;
    bool failed; /* borrowing or reading the store failed, and is not tried again in this round */
    struct error error;
};

/* --- the list of waiters --- */

static int waiters_epoll(const struct waiters *waiters, int operation, int fd, uint32_t events,
                         void *whose)
{
    struct epoll_event event = {.events = events, .data.ptr = whose};
    return epoll_ctl(waiters->epoll_fd, operation, fd, &event);
}

static void waiters_drop(struct waiters *waiters, size_t index)
{
    struct waiter *waiter = waiters->list[index];
    /* The socket is removed from epoll explicitly, because closing it is not enough while
     * another process has it open. */
    (void)waiters_epoll(waiters, EPOLL_CTL_DEL, waiter->connection.socket, 0, NULL);
    waiter_free(waiter);
    waiters->list[index] = waiters->list[--waiters->count];
    admission_leave_place(&waiters->admission);
}

/* A guest that waits sends nothing, so whatever epoll reports of its socket means that the guest
 * has gone. */
static void waiters_keep(struct waiters *waiters, struct waiter *waiter)
{
    waiters->list[waiters->count++] = waiter;
    if (waiters_epoll(waiters, EPOLL_CTL_ADD, waiter->connection.socket, EPOLLIN | EPOLLRDHUP,
                      waiter) < 0)
        waiters_drop(waiters, waiters->count - 1);
}

static void waiters_take_arrivals(struct waiters *waiters, struct round *round)
{
    bool open;
    struct waiter *waiter = admission_collect(&waiters->admission, &open);
    round->paused = !open;
    while (waiter) {
        struct waiter *next = waiter->next;
        waiters_keep(waiters, waiter);
        waiter = next;
    }
}

/* --- answers --- */

static void waiters_log_store_failure(struct waiters *waiters, struct round *round)
{
    round->failed = true;
    store_loan_failed(&round->loan, &round->error);
    throttled_log_line(&waiters->context->log, LOG_ERR, "events could not be looked for: %s",
                       round->error.message);
}

static void waiters_continue_sending(struct waiters *waiters, size_t index)
{
    struct waiter *waiter = waiters->list[index];
    if (waiter_send(waiter) != 0 ||
        waiters_epoll(waiters, EPOLL_CTL_MOD, waiter->connection.socket, EPOLLOUT, waiter) < 0)
        waiters_drop(waiters, index);
}

static int64_t waiters_send_deadline_us(struct waiters *waiters, const struct round *round)
{
    cleanup_server_config struct server_config *current = context_config(waiters->context);
    return round->now_us + (int64_t)current->config.limits.request_ms * 1000;
}

static int waiters_look_for_answer(struct waiters *waiters, struct round *round,
                                   const struct waiter *waiter, bool final, struct reply *reply,
                                   struct refusal *refusal)
{
    int result = -1;
    if (round->failed)
        return -1;
    if (round->loan.store ||
        store_borrow(waiters->context->stores, &round->loan, &round->error) == 0)
        result =
            waiter_find_answer(waiter, round->loan.store, final, reply, refusal, &round->error);
    if (result < 0)
        waiters_log_store_failure(waiters, round);
    return result;
}

static void waiters_send_answer(struct waiters *waiters, const struct round *round, size_t index,
                                struct reply *reply, const struct refusal *refusal)
{
    struct waiter *waiter = waiters->list[index];
    const struct peer peer = waiter->connection.peer;
    const struct wait_request request = waiter->request;
    reply_assign_id(reply);
    counters_add_request(&waiters->context->counters, request.endpoint, reply->status);
    waiter_set_answer(waiter, reply, waiters_send_deadline_us(waiters, round));
    waiters_continue_sending(waiters, index);
    const struct asked asked = {
        .method = request.head ? "HEAD" : "GET",
        .path = route_path(request.endpoint),
        .vmid = request.vmid,
        .token_id = request.token_id,
    };
    refusal_explain_waited(waiters->context, &peer, &asked, reply, refusal);
}

/* Answers the waiter if its guest has a new event or it may wait no longer. If the store fails,
 * a waiter that may still wait is looked at again in the next round. */
static void waiters_check(struct waiters *waiters, struct round *round, size_t index)
{
    struct waiter *waiter = waiters->list[index];
    bool final = round->paused || round->now_us >= waiter->deadline_us;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    struct refusal refusal = {0};
    if (!final && !waiter->due)
        return;
    int found = waiters_look_for_answer(waiters, round, waiter, final, &reply, &refusal);
    waiter->due = found < 0;
    if (found < 0 && final)
        reply_internal_failure(&reply, waiters->context, &round->loan, &round->error);
    else if (found <= 0)
        return;
    waiters_send_answer(waiters, round, index, &reply, &refusal);
}

static void waiters_serve(struct waiters *waiters, struct round *round, size_t index)
{
    const struct waiter *waiter = waiters->list[index];
    if (!waiter_is_answered(waiter))
        waiters_check(waiters, round, index);
    else if (round->now_us >= waiter->deadline_us)
        waiters_drop(waiters, index);
}

/* Goes from the end to the start, because dropping a waiter puts the last one in its place. */
static void waiters_serve_all(struct waiters *waiters, struct round *round)
{
    for (size_t i = waiters->count; i-- > 0;)
        waiters_serve(waiters, round, i);
}

/* --- looking for new events --- */

static int waiters_mark_guest(const struct event *event, void *data)
{
    const struct waiters *waiters = data;
    if (strcmp(event->kind, EVENT_REFUSED) == 0)
        return 0;
    for (size_t i = 0; i < waiters->count; i++)
        waiters->list[i]->due |= waiters->list[i]->request.vmid == event->vmid;
    return 0;
}

static void waiters_mark_all(const struct waiters *waiters)
{
    for (size_t i = 0; i < waiters->count; i++)
        waiters->list[i]->due = true;
}

/* Marks the waiters whose guests have new events as due. If the newest number is lower than
 * before, this is another store, and all are due. */
static int waiters_mark_due(struct waiters *waiters, struct store *store, struct error *error)
{
    int64_t newest;
    if (event_newest(store, &newest, error) < 0)
        return -1;
    if (newest < waiters->seen || newest - waiters->seen > EVENTS_MAX)
        waiters_mark_all(waiters);
    else if (newest > waiters->seen && event_each(store, 0, waiters->seen, EVENTS_MAX,
                                                  waiters_mark_guest, waiters, error) < 0)
        return -1;
    waiters->seen = newest;
    return 0;
}

static void waiters_check_for_events(struct waiters *waiters, struct round *round)
{
    if (waiters->count == 0 || (!round->nudged && round->now_us < waiters->look_us))
        return;
    waiters->look_us = round->now_us + SECOND_US;
    if (store_borrow(waiters->context->stores, &round->loan, &round->error) < 0 ||
        waiters_mark_due(waiters, round->loan.store, &round->error) < 0)
        waiters_log_store_failure(waiters, round);
}

/* --- rounds --- */

/* Returns for how many milliseconds epoll may wait, rounded up, until something is due without
 * being reported; -1: for ever. */
static int waiters_wait_ms(const struct waiters *waiters)
{
    int64_t next_us = wakeup_next_us(&waiters->wakeup);
    if (waiters->count > 0 && waiters->look_us < next_us)
        next_us = waiters->look_us;
    for (size_t i = 0; i < waiters->count; i++) {
        if (waiters->list[i]->deadline_us < next_us)
            next_us = waiters->list[i]->deadline_us;
    }
    if (next_us == WAKEUP_NEVER)
        return -1;
    int64_t left_us = next_us - clock_steady_us();
    return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}

static void waiters_handle_socket(struct waiters *waiters, const struct waiter *waiter)
{
    size_t index = 0;
    while (waiters->list[index] != waiter)
        index++;
    if (waiter_is_answered(waiter))
        waiters_continue_sending(waiters, index);
    else
        waiters_drop(waiters, index);
}

static void waiters_wait_for_work(struct waiters *waiters, struct round *round)
{
    struct epoll_event ready[READY_MAX];
    int count = epoll_wait(waiters->epoll_fd, ready, READY_MAX, waiters_wait_ms(waiters));
    round->now_us = clock_steady_us();
    for (int i = 0; i < count; i++) {
        const void *whose = ready[i].data.ptr;
        if (whose == &waiters->wakeup)
            round->nudged = true;
        else if (whose != &waiters->admission)
            waiters_handle_socket(waiters, whose);
    }
}

static void waiters_run_round(struct waiters *waiters)
{
    struct round round = {0};
    waiters_wait_for_work(waiters, &round);
    wakeup_handle(&waiters->wakeup, round.nudged, round.now_us);
    waiters_check_for_events(waiters, &round);
    waiters_take_arrivals(waiters, &round);
    waiters_serve_all(waiters, &round);
    store_return(&round.loan);
}

static void *waiters_thread(void *data)
{
    struct waiters *waiters = data;
    while (!admission_is_over(&waiters->admission))
        waiters_run_round(waiters);
    return NULL;
}

/* --- for other threads --- */

bool waiters_add(struct waiters *waiters, struct connection *connection,
                 const struct wait_request *request)
{
    struct detached_connection detached;
    if (!waiters || !admission_take_place(&waiters->admission))
        return false;
    if (connection_detach(connection, &detached) < 0) {
        admission_leave_place(&waiters->admission);
        return false;
    }
    admission_hand_over(&waiters->admission, waiter_new(&detached, request));
    return true;
}

uint32_t waiters_count(struct waiters *waiters)
{
    return waiters ? admission_taken(&waiters->admission) : 0;
}

void waiters_pause(struct waiters *waiters)
{
    if (!waiters)
        return;
    admission_set_mode(&waiters->admission, WAITERS_PAUSED);
    admission_wait_empty(&waiters->admission);
}

void waiters_resume(struct waiters *waiters)
{
    if (waiters)
        admission_set_mode(&waiters->admission, WAITERS_OPEN);
}

/* --- start and stop --- */

/* Raises the limit of open files as far as allowed. Returns how many connections may wait: half
 * the limit, but at most WAITERS_MAX. */
static uint32_t waiters_capacity(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return 0;
    if (files.rlim_cur < DESCRIPTORS) {
        files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return files.rlim_cur / 2 < WAITERS_MAX ? (uint32_t)files.rlim_cur / 2 : WAITERS_MAX;
}

static void waiters_free(struct waiters *waiters)
{
    wakeup_end(&waiters->wakeup);
    cleanup_close_fn(&waiters->epoll_fd);
    admission_destroy(&waiters->admission);
    free(waiters->list);
    free(waiters);
}

int waiters_start(struct context *context, struct waiters **ret, struct error *error)
{
    struct waiters *waiters = mem_new(struct waiters);
    waiters->context = context;
    admission_init(&waiters->admission, waiters_capacity());
    waiters->list = mem_new_array(waiters->admission.capacity, sizeof(struct waiter *));
    waiters->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    wakeup_begin(&waiters->wakeup, context, waiters->epoll_fd);
    if (waiters_epoll(waiters, EPOLL_CTL_ADD, waiters->admission.wake_fd, EPOLLIN,
                      &waiters->admission) < 0) {
        (void)fail_errno(error, errno, "cannot watch for events");
        waiters_free(waiters);
        return -1;
    }
    if (pthread_create(&waiters->thread, NULL, waiters_thread, waiters) != 0)
        mem_exhausted();
    (void)pthread_setname_np(waiters->thread, "waiters");
    *ret = waiters;
    return 0;
}

void waiters_stop(struct waiters *waiters)
{
    if (!waiters)
        return;
    admission_set_mode(&waiters->admission, WAITERS_STOPPING);
    (void)pthread_join(waiters->thread, NULL);
    waiters_free(waiters);
}
