/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/agent.h"
#include "server/daemon.h"
#include "server/events/parked.h"
#include "server/http/refusal.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
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

/* Hears the nudges, passes them on to the workers that leave the host, and to the
 * main thread where there is another certificate, and minds that a flood of
 * them is no more trouble than a few. Times by clock_steady_us. */

struct agent;

#define HEARING_NEVER INT64_MAX

struct hearing {
    struct agent *agent;
    int epoll_fd;
    int nudge_fd;    /* what epoll tells of by the hearing's own address; -1: nobody can nudge us */
    int64_t hear_us; /* when to listen again; HEARING_NEVER: we do */
    int64_t
        wake_us; /* when to wake the workers; HEARING_NEVER: there is nothing to wake them for */
    int64_t woke_us; /* when they were */
    struct identity_mark identity;
};

static void hearing_end(struct hearing *hearing);

static int64_t hearing_next_us(const struct hearing *hearing);

#define HEAR_PAUSE_US ((int64_t)10000) /* however many nudges come, they are heard once in this */
#define WAKE_PAUSE_US ((int64_t)50000) /* and the workers are woken once in this */

/* Until told again, epoll says nothing more of it once it has. */
static void listen_again(struct hearing *hearing, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = hearing};
    (void)epoll_ctl(hearing->epoll_fd, operation, hearing->nudge_fd, &event);
}

/* Listens if it can; if not, the log says so. Ends with hearing_end. */
static void hearing_begin(struct hearing *hearing, struct agent *agent, int epoll_fd)
{
    struct error error;
    cleanup_setup struct setup *setup = agent_setup(agent);
    *hearing = (struct hearing){
        .agent = agent,
        .epoll_fd = epoll_fd,
        .nudge_fd = -1,
        .hear_us = HEARING_NEVER,
        .wake_us = HEARING_NEVER,
    };
    (void)identity_mark_moved(&hearing->identity, setup->config.paths.state);
    if (nudge_listen(setup->config.paths.state, &hearing->nudge_fd, &error) == 0)
        listen_again(hearing, EPOLL_CTL_ADD);
    else
        log_line(LOG_WARNING, "events will be noticed within a second only: %s", error.message);
}

static void hearing_end(struct hearing *hearing)
{
    cleanup_close_fn(&hearing->nudge_fd);
}

static void hear(struct hearing *hearing, int64_t now_us)
{
    (void)nudge_receive(hearing->nudge_fd);
    hearing->hear_us = now_us + HEAR_PAUSE_US;
    if (hearing->wake_us == HEARING_NEVER)
        hearing->wake_us = hearing->woke_us + WAKE_PAUSE_US;
}

/* The certificate is the main thread's to take up. */
static void tell_main(struct hearing *hearing)
{
    cleanup_setup struct setup *setup = agent_setup(hearing->agent);
    if (identity_mark_moved(&hearing->identity, setup->config.paths.state))
        (void)kill(getpid(), SIGNAL_NEW_IDENTITY);
}

/* To be called when epoll has told of it (nudged), and when hearing_next_us has come. */
static void hearing_heed(struct hearing *hearing, bool nudged, int64_t now_us)
{
    if (nudged)
        hear(hearing, now_us);
    if (now_us >= hearing->hear_us) {
        listen_again(hearing, EPOLL_CTL_MOD);
        hearing->hear_us = HEARING_NEVER;
    }
    if (now_us >= hearing->wake_us) {
        tell_main(hearing);
        agent_wake_workers(hearing->agent);
        hearing->woke_us = now_us;
        hearing->wake_us = HEARING_NEVER;
    }
}

static int64_t hearing_next_us(const struct hearing *hearing)
{
    return hearing->hear_us < hearing->wake_us ? hearing->hear_us : hearing->wake_us;
}

#define PARKED_MAX  1024
#define DESCRIPTORS 4096 /* enough for those, the threads' connections and the store */
#define SECOND_US   ((int64_t)1000000)
#define NEWS_MAX    256 /* events told apart; after more, all who wait are looked at */
#define READY_MAX   64

struct watch {
    struct agent *agent;
    struct lobby lobby;
    pthread_t thread;

    /* The thread's own. Times by clock_steady_us. */
    int epoll_fd; /* tells of the lobby, the hearing and the parked by their addresses */
    struct hearing hearing;
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

static int tell_of(const struct watch *watch, int operation, int fd, uint32_t events, void *whose)
{
    struct epoll_event event = {.events = events, .data.ptr = whose};
    return epoll_ctl(watch->epoll_fd, operation, fd, &event);
}

static void drop(struct watch *watch, size_t index)
{
    struct parked *parked = watch->parked[index];
    /* The close alone would not do while some other process has the socket open. */
    (void)tell_of(watch, EPOLL_CTL_DEL, parked->connection.socket, 0, NULL);
    parked_free(parked);
    watch->parked[index] = watch->parked[--watch->count];
    lobby_leave_place(&watch->lobby);
}

/* A guest that waits says nothing: whatever is heard of it is its end. */
static void keep(struct watch *watch, struct parked *parked)
{
    watch->parked[watch->count++] = parked;
    if (tell_of(watch, EPOLL_CTL_ADD, parked->connection.socket, EPOLLIN | EPOLLRDHUP, parked) < 0)
        drop(watch, watch->count - 1);
}

static void welcome_arrivals(struct watch *watch, struct round *round)
{
    bool open;
    struct parked *parked = lobby_collect(&watch->lobby, &open);
    round->dismissed = !open;
    while (parked) {
        struct parked *next = parked->next;
        keep(watch, parked);
        parked = next;
    }
}

/* --- answers --- */

static void note_failure(struct watch *watch, struct round *round)
{
    round->failed = true;
    store_loan_failed(&round->loan, &round->error);
    throttled_log_line(&watch->agent->log, LOG_ERR, "events could not be looked for: %s",
                       round->error.message);
}

static void send_on(struct watch *watch, size_t index)
{
    struct parked *parked = watch->parked[index];
    if (parked_send(parked) != 0 ||
        tell_of(watch, EPOLL_CTL_MOD, parked->connection.socket, EPOLLOUT, parked) < 0)
        drop(watch, index);
}

static int64_t send_deadline_us(struct watch *watch, const struct round *round)
{
    cleanup_setup struct setup *setup = agent_setup(watch->agent);
    return round->now_us + (int64_t)setup->config.limits.request_ms * 1000;
}

static int find_answer(struct watch *watch, struct round *round, const struct parked *parked,
                       bool final, struct reply *reply, struct refusal *refusal)
{
    int result = -1;
    if (round->failed)
        return -1;
    if (round->loan.store || store_borrow(watch->agent->stores, &round->loan, &round->error) == 0)
        result =
            parked_find_answer(parked, round->loan.store, final, reply, refusal, &round->error);
    if (result < 0)
        note_failure(watch, round);
    return result;
}

static void answer(struct watch *watch, const struct round *round, size_t index,
                   struct reply *reply, const struct refusal *refusal)
{
    struct parked *parked = watch->parked[index];
    const struct peer peer = parked->connection.peer;
    const struct waiter waiter = parked->waiter;
    reply_name(reply);
    tally_request(&watch->agent->tally, waiter.endpoint, reply->status);
    parked_answer(parked, reply, send_deadline_us(watch, round));
    send_on(watch, index);
    explain_waiter(watch->agent, &peer, &waiter, reply, refusal);
}

/* Where the store fails, who may wait on is looked at again in the next round. */
static void attend_waiting(struct watch *watch, struct round *round, size_t index)
{
    struct parked *parked = watch->parked[index];
    bool final = round->dismissed || round->now_us >= parked->deadline_us;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    struct refusal refusal = {0};
    if (!final && !parked->due)
        return;
    int found = find_answer(watch, round, parked, final, &reply, &refusal);
    parked->due = found < 0;
    if (found < 0 && final)
        agent_fail(watch->agent, &round->loan, &round->error, &reply);
    else if (found <= 0)
        return;
    answer(watch, round, index, &reply, &refusal);
}

static void attend(struct watch *watch, struct round *round, size_t index)
{
    const struct parked *parked = watch->parked[index];
    if (!parked_is_answered(parked))
        attend_waiting(watch, round, index);
    else if (round->now_us >= parked->deadline_us)
        drop(watch, index);
}

/* From the end, as dropping one puts the last in its place. */
static void attend_all(struct watch *watch, struct round *round)
{
    for (size_t i = watch->count; i-- > 0;)
        attend(watch, round, i);
}

/* --- news --- */

static int mark_guest(const struct event *event, void *context)
{
    const struct watch *watch = context;
    if (strcmp(event->kind, EVENT_REFUSED) == 0)
        return 0;
    for (size_t i = 0; i < watch->count; i++)
        watch->parked[i]->due |= watch->parked[i]->waiter.vmid == event->vmid;
    return 0;
}

static void mark_all(const struct watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        watch->parked[i]->due = true;
}

/* Finds out whose events are new. A number that went back means another store. */
static int read_news(struct watch *watch, struct store *store, struct error *error)
{
    int64_t newest;
    if (event_newest(store, &newest, error) < 0)
        return -1;
    if (newest < watch->seen || newest - watch->seen > NEWS_MAX)
        mark_all(watch);
    else if (newest > watch->seen &&
             event_each(store, 0, watch->seen, NEWS_MAX, mark_guest, watch, error) < 0)
        return -1;
    watch->seen = newest;
    return 0;
}

static void look_for_news(struct watch *watch, struct round *round)
{
    if (watch->count == 0 || (!round->nudged && round->now_us < watch->look_us))
        return;
    watch->look_us = round->now_us + SECOND_US;
    if (store_borrow(watch->agent->stores, &round->loan, &round->error) < 0 ||
        read_news(watch, round->loan.store, &round->error) < 0)
        note_failure(watch, round);
}

/* --- rounds --- */

/* How long until something has to be done unasked, rounded up; -1: for ever. */
static int wait_ms(const struct watch *watch)
{
    int64_t next_us = hearing_next_us(&watch->hearing);
    if (watch->count > 0 && watch->look_us < next_us)
        next_us = watch->look_us;
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->parked[i]->deadline_us < next_us)
            next_us = watch->parked[i]->deadline_us;
    }
    if (next_us == HEARING_NEVER)
        return -1;
    int64_t left_us = next_us - clock_steady_us();
    return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}

static void heed_socket(struct watch *watch, const struct parked *parked)
{
    size_t index = 0;
    while (watch->parked[index] != parked)
        index++;
    if (parked_is_answered(parked))
        send_on(watch, index);
    else
        drop(watch, index);
}

static void await(struct watch *watch, struct round *round)
{
    struct epoll_event ready[READY_MAX];
    int count = epoll_wait(watch->epoll_fd, ready, READY_MAX, wait_ms(watch));
    round->now_us = clock_steady_us();
    for (int i = 0; i < count; i++) {
        const void *whose = ready[i].data.ptr;
        if (whose == &watch->hearing)
            round->nudged = true;
        else if (whose != &watch->lobby)
            heed_socket(watch, whose);
    }
}

static void make_round(struct watch *watch)
{
    struct round round = {0};
    await(watch, &round);
    hearing_heed(&watch->hearing, round.nudged, round.now_us);
    look_for_news(watch, &round);
    welcome_arrivals(watch, &round);
    attend_all(watch, &round);
    store_return(&round.loan);
}

static void *run(void *context)
{
    struct watch *watch = context;
    while (!lobby_is_over(&watch->lobby))
        make_round(watch);
    return NULL;
}

/* --- for other threads --- */

bool watch_take(struct watch *watch, struct connection *connection, const struct waiter *waiter)
{
    struct detached detached;
    if (!watch || !lobby_take_place(&watch->lobby))
        return false;
    if (connection_detach(connection, &detached) < 0) {
        lobby_leave_place(&watch->lobby);
        return false;
    }
    lobby_arrive(&watch->lobby, parked_new(&detached, waiter));
    return true;
}

uint32_t watch_waiting(struct watch *watch)
{
    return watch ? lobby_taken(&watch->lobby) : 0;
}

void watch_dismiss(struct watch *watch)
{
    if (!watch)
        return;
    lobby_set_mode(&watch->lobby, LOBBY_CLOSED);
    lobby_wait_empty(&watch->lobby);
}

void watch_admit(struct watch *watch)
{
    if (watch)
        lobby_set_mode(&watch->lobby, LOBBY_OPEN);
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

static void watch_free(struct watch *watch)
{
    hearing_end(&watch->hearing);
    cleanup_close_fn(&watch->epoll_fd);
    lobby_destroy(&watch->lobby);
    free(watch->parked);
    free(watch);
}

int watch_start(struct agent *agent, struct watch **ret, struct error *error)
{
    struct watch *watch = mem_new(struct watch);
    watch->agent = agent;
    lobby_init(&watch->lobby, count_places());
    watch->parked = mem_new_array(watch->lobby.places, sizeof(struct parked *));
    watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    hearing_begin(&watch->hearing, agent, watch->epoll_fd);
    if (tell_of(watch, EPOLL_CTL_ADD, watch->lobby.bell_fd, EPOLLIN, &watch->lobby) < 0) {
        (void)fail_errno(error, errno, "cannot watch for events");
        watch_free(watch);
        return -1;
    }
    if (pthread_create(&watch->thread, NULL, run, watch) != 0)
        mem_exhausted();
    (void)pthread_setname_np(watch->thread, "watch");
    *ret = watch;
    return 0;
}

void watch_stop(struct watch *watch)
{
    if (!watch)
        return;
    lobby_set_mode(&watch->lobby, LOBBY_ENDING);
    (void)pthread_join(watch->thread, NULL);
    watch_free(watch);
}
