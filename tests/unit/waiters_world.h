/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting connections behind a real listener, with a context of the test's own: the linker takes
 * what is defined here before it searches the archives. */
#ifndef FELHOM_TEST_WAITERS_WORLD_H
#define FELHOM_TEST_WAITERS_WORLD_H

#include "server/events/waiters.h"

#include <errno.h>

#include "server/api/route.h"
#include "server/base/context.h"
#include "server/http/refusal.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/jobs/jobs.h"
#include "server/net/gate.h"
#include "server/net/listener.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/tables/event.h"
#include "store/tables/token.h"
#include "tests/unit/local_listener.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/tls_client.h"

#define VMID  8200
#define OTHER 8300

static struct world {
    struct context context;
    struct server_config config;
    struct store *store; /* the hooks' */
    char token_id[TOKEN_ID_LENGTH + 1];
    atomic_int woken; /* how often the workers were */
    atomic_int failed;
    _Atomic(enum refusal_reason) refused_for;
} world;

/* --- in place of what it stands on --- */

void reply_internal_failure(struct reply *reply, struct context *context, struct store_loan *loan,
                            const struct error *problem)
{
    (void)context;
    if (loan)
        store_loan_failed(loan, problem);
    atomic_fetch_add(&world.failed, 1);
    reply_later(reply, 503, 2);
}

void jobs_wake(struct jobs *jobs)
{
    assert_ptr_equal(jobs, &world);
    atomic_fetch_add(&world.woken, 1);
}

void refusal_explain_waited(struct context *context, const struct peer *peer,
                            const struct asked *asked, const struct reply *reply,
                            const struct refusal *refusal)
{
    assert_ptr_equal(context, &world.context);
    assert_int_equal(peer->address.sin_family, AF_INET);
    assert_string_equal(asked->token_id, world.token_id);
    assert_int_equal(strlen(reply->request_id), REQUEST_ID_LENGTH);
    if (reply->status == 401)
        world.refused_for = refusal->reason;
    else
        assert_int_equal(refusal->reason, REFUSAL_NONE);
}

/* Does what server/answer.c does, for a token that has been checked. */
static inline int handle(struct mg_connection *connection, void *context)
{
    cleanup_reply struct reply reply = REPLY_EMPTY;
    cleanup_store_loan struct store_loan view = {0};
    OK(store_borrow_view(world.context.stores, &view, &error));
    struct request request = {
        .info = mg_get_request_info(connection),
        .head = strcmp(mg_get_request_info(connection)->request_method, "HEAD") == 0,
        .vmid = VMID,
        .peer = &((const struct connection *)mg_get_thread_pointer(connection))->peer,
        .view = &view,
    };
    (void)context;
    events_get(&world.context, &request, &reply);
    struct wait_request wait = {.vmid = VMID, .wait = reply.wait, .head = request.head};
    memcpy(wait.token_id, world.token_id, sizeof wait.token_id);
    if (reply.wait.deadline_us == 0 ||
        !waiters_add(world.context.waiters, mg_get_thread_pointer(connection), &wait))
        return reply_send(connection, &reply, request.head, true);
    mg_disable_connection_keep_alive(connection);
    return 200;
}

/* --- set-up --- */

static inline void start_listening(void)
{
    struct listener_options settings = local_options();
    settings.handle = handle;
    OK(start_in_time(&settings, &local.listener, &error));
}

static inline void mint(void)
{
    struct token token;
    OK(token_mint(world.store, VMID, clock_wall_ms(), 0, &token, &error));
    memcpy(world.token_id, token.text.id, sizeof world.token_id);
}

static inline int set_up(void **state)
{
    if (state_make(state) != 0)
        return -1;
    world = (struct world){0};
    context_init(&world.context);
    atomic_init(&world.config.references, 1);
    context_set_config(&world.context, server_config_ref(&world.config));
    world.context.jobs = (struct jobs *)&world;
    world.config.config.paths.state = mem_copy_text(in_scratch("state"));
    world.config.config.limits.request_ms = REQUEST_MS;
    world.store = store_of_scratch();
    put_guest(world.store, VMID);
    put_guest(world.store, OTHER);
    mint();
    OK(store_pool_new(in_scratch("state"), &world.context.stores, &error));
    local.gate = make_gate(THREADS);
    world.context.gate = local.gate;
    OK(waiters_start(&world.context, &world.context.waiters, &error));
    choose_endpoint();
    start_listening();
    return 0;
}

static inline int tear_down(void **state)
{
    waiters_pause(world.context.waiters);
    assert_int_equal(stop_local(state), 0);
    waiters_stop(world.context.waiters);
    store_pool_free(world.context.stores);
    store_close(world.store);
    assert_int_equal(atomic_load(&world.config.references), 2);
    free(world.config.config.paths.state);
    return scratch_remove(state);
}

#define WAITERS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* --- what tests do --- */

static inline int64_t now_ms(void)
{
    return clock_steady_us() / 1000;
}

static inline void commit(uint32_t vmid, const char *kind)
{
    struct event event = {.at_ms = 1700000000123, .vmid = vmid, .kind = kind, .outcome = "ok"};
    OK(event_add(world.store, &event, &error));
}

static inline void nudge(void)
{
    nudge_send(in_scratch("state"));
}

/* Returns how many descriptors of sockets the process has open. */
static inline int count_sockets(void)
{
    char text[256];
    char command[64];
    (void)snprintf(command, sizeof command, "find /proc/%d/fd -lname 'socket:*' | wc -l", getpid());
    output_of(command, text);
    return atoi(text);
}

/* The gate's count decreases when a connection is detached, and a moment after one has ended. */
static inline void wait_parked(void)
{
    int64_t until_us = clock_real_us() + PATIENCE_S * INT64_C(1000000);
    while (gate_connections(local.gate) > 0 && clock_real_us() < until_us)
        (void)usleep(2000);
    assert_int_equal(gate_connections(local.gate), 0);
}

static inline void ask(struct client *client, const char *method, const char *query)
{
    char request[256];
    client_connect(client, &local.address);
    (void)snprintf(request, sizeof request, "%s /events%s HTTP/1.1\r\nHost: x\r\n\r\n", method,
                   query);
    assert_int_equal(client_send_text(client, request), 0);
}

static inline void wait_with(struct client *client, const char *query)
{
    ask(client, "GET", query);
    wait_parked();
    (void)usleep(20000);
}

/* Returns what the client got until the server closed. */
static inline void assert_got(struct client *client, const char *start, const char *part)
{
    const char *text = client_receive(client, NULL);
    client_close(client);
    if (strncmp(text, start, strlen(start)) != 0 || !strstr(text, part))
        fail_test("no \"%s\" with \"%s\": \"%s\"", start, part, text);
}

#define NOTHING_AFTER(seq) "{\"ok\":true,\"data\":{\"vmid\":8200,\"events\":[],\"next\":" seq "}}\n"

#endif
