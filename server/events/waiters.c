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
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/events/parked.h"
#include "server/events/wakeup.h"
#include "server/http/refusal.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/tables/event.h"

/* Where connections that are to wait are handed from their workers to the watch's thread. Counts
 * those that wait, from their coming to their end. Safe to use from many threads. */

enum lobby_mode {
    LOBBY_OPEN,
    LOBBY_CLOSED, /* nobody may wait */
    LOBBY_ENDING, /* and nobody ever will again */
};

struct lobby {
    uint32_t places;
    int bell_fd;          /* an eventfd: somebody arrived, or the mode is another */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t left;
    enum lobby_mode mode;
    uint32_t taken;
    struct parked *arrivals;
};

static void lobby_destroy(struct lobby *lobby);

/* An open one. Ends with lobby_destroy. */
static void lobby_init(struct lobby *lobby, uint32_t places)
{
    *lobby = (struct lobby){
        .places = places,
        .bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .mode = LOBBY_OPEN,
    };
    (void)pthread_mutex_init(&lobby->lock, NULL);
    (void)pthread_cond_init(&lobby->left, NULL);
}

static void lobby_destroy(struct lobby *lobby)
{
    cleanup_close_fn(&lobby->bell_fd);
    (void)pthread_cond_destroy(&lobby->left);
    (void)pthread_mutex_destroy(&lobby->lock);
}

/* False where it is full or not open. Every place taken is left once. */
static bool lobby_take_place(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    bool taken = lobby->mode == LOBBY_OPEN && lobby->taken < lobby->places;
    lobby->taken += taken;
    (void)pthread_mutex_unlock(&lobby->lock);
    return taken;
}

static void lobby_leave_place(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    lobby->taken--;
    (void)pthread_cond_signal(&lobby->left);
    (void)pthread_mutex_unlock(&lobby->lock);
}

/* How many places are taken now. */
static uint32_t lobby_taken(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    uint32_t taken = lobby->taken;
    (void)pthread_mutex_unlock(&lobby->lock);
    return taken;
}

static void ring(const struct lobby *lobby)
{
    (void)eventfd_write(lobby->bell_fd, 1);
}

/* Hands one over who has taken a place. */
static void lobby_arrive(struct lobby *lobby, struct parked *parked)
{
    (void)pthread_mutex_lock(&lobby->lock);
    parked->next = lobby->arrivals;
    lobby->arrivals = parked;
    (void)pthread_mutex_unlock(&lobby->lock);
    ring(lobby);
}

/* Takes all that have arrived, linked by their next. */
static struct parked *lobby_collect(struct lobby *lobby, bool *ret_open)
{
    eventfd_t scrap;
    (void)eventfd_read(lobby->bell_fd, &scrap);
    (void)pthread_mutex_lock(&lobby->lock);
    struct parked *arrivals = steal(lobby->arrivals);
    *ret_open = lobby->mode == LOBBY_OPEN;
    (void)pthread_mutex_unlock(&lobby->lock);
    return arrivals;
}

static void lobby_set_mode(struct lobby *lobby, enum lobby_mode mode)
{
    (void)pthread_mutex_lock(&lobby->lock);
    lobby->mode = mode;
    (void)pthread_mutex_unlock(&lobby->lock);
    ring(lobby);
}

/* Waits until every place is free. */
static void lobby_wait_empty(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    while (lobby->taken > 0)
        (void)pthread_cond_wait(&lobby->left, &lobby->lock);
    (void)pthread_mutex_unlock(&lobby->lock);
}

/* Whether it is ending, and empty. */
static bool lobby_is_over(struct lobby *lobby)
{
    (void)pthread_mutex_lock(&lobby->lock);
    bool over = lobby->mode == LOBBY_ENDING && lobby->taken == 0;
    (void)pthread_mutex_unlock(&lobby->lock);
    return over;
}

#define PARKED_MAX  1024
#define DESCRIPTORS 4096 /* enough for those, the threads' connections and the store */
#define SECOND_US   ((int64_t)1000000)
#define NEWS_MAX    256 /* events told apart; after more, all who wait are looked at */
#define READY_MAX   64

struct waiters {
    struct context *context;
    struct lobby lobby;
    pthread_t thread;

    /* The thread's own. Times by clock_steady_us. */
    int epoll_fd; /* tells of the lobby, the wakeup and the parked by their addresses */
    struct wakeup wakeup;
    struct parked **parked;
    size_t count;
    int64_t seen;    /* the newest event when the store was last looked into */
    int64_t look_us; /* when to do that again unasked, while somebody waits */
};

/* One round of the thread, and the store that it borrowed if it needed one. */
struct round {
    int64_t now_us;
    bool nudged;
    bool dismissed; /* nobody may wait on */
    struct store_loan loan;
    bool failed; /* to borrow, or to read: it is not tried again in this round */
    struct error error;
};

/* --- who waits --- */

static int tell_of(const struct waiters *waiters, int operation, int fd, uint32_t events,
                   void *whose)
{
    struct epoll_event event = {.events = events, .data.ptr = whose};
    return epoll_ctl(waiters->epoll_fd, operation, fd, &event);
}

static void drop(struct waiters *waiters, size_t index)
{
    struct parked *parked = waiters->parked[index];
    /* The close alone would not do while some other process has the socket open. */
    (void)tell_of(waiters, EPOLL_CTL_DEL, parked->connection.socket, 0, NULL);
    parked_free(parked);
    waiters->parked[index] = waiters->parked[--waiters->count];
    lobby_leave_place(&waiters->lobby);
}

/* A guest that waits says nothing: whatever is heard of it is its end. */
static void keep(struct waiters *waiters, struct parked *parked)
{
    waiters->parked[waiters->count++] = parked;
    if (tell_of(waiters, EPOLL_CTL_ADD, parked->connection.socket, EPOLLIN | EPOLLRDHUP, parked) <
        0)
        drop(waiters, waiters->count - 1);
}

static void welcome_arrivals(struct waiters *waiters, struct round *round)
{
    bool open;
    struct parked *parked = lobby_collect(&waiters->lobby, &open);
    round->dismissed = !open;
    while (parked) {
        struct parked *next = parked->next;
        keep(waiters, parked);
        parked = next;
    }
}

/* --- answers --- */

static void note_failure(struct waiters *waiters, struct round *round)
{
    round->failed = true;
    store_loan_failed(&round->loan, &round->error);
    throttled_log_line(&waiters->context->log, LOG_ERR, "events could not be looked for: %s",
                       round->error.message);
}

static void send_on(struct waiters *waiters, size_t index)
{
    struct parked *parked = waiters->parked[index];
    if (parked_send(parked) != 0 ||
        tell_of(waiters, EPOLL_CTL_MOD, parked->connection.socket, EPOLLOUT, parked) < 0)
        drop(waiters, index);
}

static int64_t send_deadline_us(struct waiters *waiters, const struct round *round)
{
    cleanup_server_config struct server_config *current = context_config(waiters->context);
    return round->now_us + (int64_t)current->config.limits.request_ms * 1000;
}

static int find_answer(struct waiters *waiters, struct round *round, const struct parked *parked,
                       bool final, struct reply *reply, struct refusal *refusal)
{
    int result = -1;
    if (round->failed)
        return -1;
    if (round->loan.store ||
        store_borrow(waiters->context->stores, &round->loan, &round->error) == 0)
        result =
            parked_find_answer(parked, round->loan.store, final, reply, refusal, &round->error);
    if (result < 0)
        note_failure(waiters, round);
    return result;
}

static void answer(struct waiters *waiters, const struct round *round, size_t index,
                   struct reply *reply, const struct refusal *refusal)
{
    struct parked *parked = waiters->parked[index];
    const struct peer peer = parked->connection.peer;
    const struct waiter waiter = parked->waiter;
    reply_name(reply);
    counters_add_request(&waiters->context->counters, waiter.endpoint, reply->status);
    parked_answer(parked, reply, send_deadline_us(waiters, round));
    send_on(waiters, index);
    const struct asked asked = {
        .method = waiter.head ? "HEAD" : "GET",
        .path = route_path(waiter.endpoint),
        .vmid = waiter.vmid,
        .token_id = waiter.token_id,
    };
    refusal_explain_waited(waiters->context, &peer, &asked, reply, refusal);
}

/* Where the store fails, who may wait on is looked at again in the next round. */
static void attend_waiting(struct waiters *waiters, struct round *round, size_t index)
{
    struct parked *parked = waiters->parked[index];
    bool final = round->dismissed || round->now_us >= parked->deadline_us;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    struct refusal refusal = {0};
    if (!final && !parked->due)
        return;
    int found = find_answer(waiters, round, parked, final, &reply, &refusal);
    parked->due = found < 0;
    if (found < 0 && final)
        reply_internal_failure(&reply, waiters->context, &round->loan, &round->error);
    else if (found <= 0)
        return;
    answer(waiters, round, index, &reply, &refusal);
}

static void attend(struct waiters *waiters, struct round *round, size_t index)
{
    const struct parked *parked = waiters->parked[index];
    if (!parked_is_answered(parked))
        attend_waiting(waiters, round, index);
    else if (round->now_us >= parked->deadline_us)
        drop(waiters, index);
}

/* From the end, as dropping one puts the last in its place. */
static void attend_all(struct waiters *waiters, struct round *round)
{
    for (size_t i = waiters->count; i-- > 0;)
        attend(waiters, round, i);
}

/* --- news --- */

static int mark_guest(const struct event *event, void *context)
{
    const struct waiters *waiters = context;
    if (strcmp(event->kind, EVENT_REFUSED) == 0)
        return 0;
    for (size_t i = 0; i < waiters->count; i++)
        waiters->parked[i]->due |= waiters->parked[i]->waiter.vmid == event->vmid;
    return 0;
}

static void mark_all(const struct waiters *waiters)
{
    for (size_t i = 0; i < waiters->count; i++)
        waiters->parked[i]->due = true;
}

/* Finds out whose events are new. A number that went back means another store. */
static int read_news(struct waiters *waiters, struct store *store, struct error *error)
{
    int64_t newest;
    if (event_newest(store, &newest, error) < 0)
        return -1;
    if (newest < waiters->seen || newest - waiters->seen > NEWS_MAX)
        mark_all(waiters);
    else if (newest > waiters->seen &&
             event_each(store, 0, waiters->seen, NEWS_MAX, mark_guest, waiters, error) < 0)
        return -1;
    waiters->seen = newest;
    return 0;
}

static void look_for_news(struct waiters *waiters, struct round *round)
{
    if (waiters->count == 0 || (!round->nudged && round->now_us < waiters->look_us))
        return;
    waiters->look_us = round->now_us + SECOND_US;
    if (store_borrow(waiters->context->stores, &round->loan, &round->error) < 0 ||
        read_news(waiters, round->loan.store, &round->error) < 0)
        note_failure(waiters, round);
}

/* --- rounds --- */

/* How long until something has to be done unasked, rounded up; -1: for ever. */
static int wait_ms(const struct waiters *waiters)
{
    int64_t next_us = wakeup_next_us(&waiters->wakeup);
    if (waiters->count > 0 && waiters->look_us < next_us)
        next_us = waiters->look_us;
    for (size_t i = 0; i < waiters->count; i++) {
        if (waiters->parked[i]->deadline_us < next_us)
            next_us = waiters->parked[i]->deadline_us;
    }
    if (next_us == WAKEUP_NEVER)
        return -1;
    int64_t left_us = next_us - clock_steady_us();
    return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}

static void heed_socket(struct waiters *waiters, const struct parked *parked)
{
    size_t index = 0;
    while (waiters->parked[index] != parked)
        index++;
    if (parked_is_answered(parked))
        send_on(waiters, index);
    else
        drop(waiters, index);
}

static void await(struct waiters *waiters, struct round *round)
{
    struct epoll_event ready[READY_MAX];
    int count = epoll_wait(waiters->epoll_fd, ready, READY_MAX, wait_ms(waiters));
    round->now_us = clock_steady_us();
    for (int i = 0; i < count; i++) {
        const void *whose = ready[i].data.ptr;
        if (whose == &waiters->wakeup)
            round->nudged = true;
        else if (whose != &waiters->lobby)
            heed_socket(waiters, whose);
    }
}

static void make_round(struct waiters *waiters)
{
    struct round round = {0};
    await(waiters, &round);
    wakeup_handle(&waiters->wakeup, round.nudged, round.now_us);
    look_for_news(waiters, &round);
    welcome_arrivals(waiters, &round);
    attend_all(waiters, &round);
    store_return(&round.loan);
}

static void *run(void *context)
{
    struct waiters *waiters = context;
    while (!lobby_is_over(&waiters->lobby))
        make_round(waiters);
    return NULL;
}

/* --- for other threads --- */

bool waiters_add(struct waiters *waiters, struct connection *connection,
                 const struct waiter *waiter)
{
    struct detached detached;
    if (!waiters || !lobby_take_place(&waiters->lobby))
        return false;
    if (connection_detach(connection, &detached) < 0) {
        lobby_leave_place(&waiters->lobby);
        return false;
    }
    lobby_arrive(&waiters->lobby, parked_new(&detached, waiter));
    return true;
}

uint32_t waiters_count(struct waiters *waiters)
{
    return waiters ? lobby_taken(&waiters->lobby) : 0;
}

void waiters_pause(struct waiters *waiters)
{
    if (!waiters)
        return;
    lobby_set_mode(&waiters->lobby, LOBBY_CLOSED);
    lobby_wait_empty(&waiters->lobby);
}

void waiters_resume(struct waiters *waiters)
{
    if (waiters)
        lobby_set_mode(&waiters->lobby, LOBBY_OPEN);
}

/* --- beginning and end --- */

/* Raises the limit of open files where that is possible, and takes half of what there is. */
static uint32_t count_places(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return 0;
    if (files.rlim_cur < DESCRIPTORS) {
        files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return files.rlim_cur / 2 < PARKED_MAX ? (uint32_t)files.rlim_cur / 2 : PARKED_MAX;
}

static void waiters_free(struct waiters *waiters)
{
    wakeup_end(&waiters->wakeup);
    cleanup_close_fn(&waiters->epoll_fd);
    lobby_destroy(&waiters->lobby);
    free(waiters->parked);
    free(waiters);
}

int waiters_start(struct context *context, struct waiters **ret, struct error *error)
{
    struct waiters *waiters = mem_new(struct waiters);
    waiters->context = context;
    lobby_init(&waiters->lobby, count_places());
    waiters->parked = mem_new_array(waiters->lobby.places, sizeof(struct parked *));
    waiters->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    wakeup_begin(&waiters->wakeup, context, waiters->epoll_fd);
    if (tell_of(waiters, EPOLL_CTL_ADD, waiters->lobby.bell_fd, EPOLLIN, &waiters->lobby) < 0) {
        (void)fail_errno(error, errno, "cannot watch for events");
        waiters_free(waiters);
        return -1;
    }
    if (pthread_create(&waiters->thread, NULL, run, waiters) != 0)
        mem_exhausted();
    (void)pthread_setname_np(waiters->thread, "waiters");
    *ret = waiters;
    return 0;
}

void waiters_stop(struct waiters *waiters)
{
    if (!waiters)
        return;
    lobby_set_mode(&waiters->lobby, LOBBY_ENDING);
    (void)pthread_join(waiters->thread, NULL);
    waiters_free(waiters);
}
