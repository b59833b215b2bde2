/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that wait, behind a real listener, with an agent of the test's own: the linker takes
 * what is defined here before it looks into the archives.
 */
#include "server/watch.h"

#include <errno.h>

#include "server/agent.h"
#include "server/explain.h"
#include "server/handlers.h"
#include "server/parked.h"
#include "server/request.h"
#include "store/clock.h"
#include "store/event.h"
#include "store/nudge.h"
#include "store/token.h"
#include "tests/unit/local_listener.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/tls_client.h"

#define VMID  8200
#define OTHER 8300

static struct world {
    struct agent agent;
    struct setup setup;
    struct store *store; /* the hooks' */
    char token_id[TOKEN_ID_LENGTH + 1];
    atomic_int woken; /* how often the workers were */
    atomic_int failed;
    _Atomic(const char *) refused_for;
} world;

/* --- the agent --- */

struct setup *agent_setup(struct agent *agent)
{
    assert_ptr_equal(agent, &world.agent);
    return setup_hold(&world.setup);
}

void agent_fail(struct agent *agent, struct store_loan *loan, const struct error *problem,
                struct reply *reply)
{
    (void)agent;
    if (loan)
        store_loan_failed(loan, problem);
    atomic_fetch_add(&world.failed, 1);
    reply_later(reply, 503, 2);
}

void agent_wake_workers(const struct agent *agent)
{
    assert_ptr_equal(agent, &world.agent);
    atomic_fetch_add(&world.woken, 1);
}

void explain_waiter(struct agent *agent, const struct peer *peer, const struct waiter *waiter,
                    const struct reply *reply, const struct refusal *refusal)
{
    assert_ptr_equal(agent, &world.agent);
    assert_int_equal(peer->address.sin_family, AF_INET);
    assert_string_equal(waiter->token_id, world.token_id);
    assert_int_equal(strlen(reply->request_id), REQUEST_ID_LENGTH);
    if (reply->status == 401)
        world.refused_for = refusal->reason;
    else
        assert_null(refusal->reason);
}

/* What server/answer.c does, for a token that has been judged. */
static int handle(struct mg_connection *connection, const struct peer *peer, void *context)
{
    cleanup_reply struct reply reply = REPLY_EMPTY;
    cleanup_store_loan struct store_loan view = {0};
    OK(store_borrow_view(world.agent.stores, &view, &error));
    struct request request = {
        .info = mg_get_request_info(connection),
        .head = strcmp(mg_get_request_info(connection)->request_method, "HEAD") == 0,
        .vmid = VMID,
        .peer = peer,
        .view = &view,
    };
    (void)context;
    events_get(&world.agent, &request, &reply);
    struct waiter waiter = {.vmid = VMID, .wait = reply.wait, .head = request.head};
    memcpy(waiter.token_id, world.token_id, sizeof waiter.token_id);
    if (reply.wait.deadline_us == 0 ||
        !watch_take(world.agent.watch, mg_get_thread_pointer(connection), &waiter))
        return reply_send(connection, &reply, request.head, true);
    mg_disable_connection_keep_alive(connection);
    return 200;
}

/* --- set-up --- */

static void start_listening(void)
{
    struct listener_settings settings = local_settings();
    settings.handle = handle;
    OK(listener_start(&settings, &local.listener, &error));
}

static void mint(void)
{
    struct token token;
    OK(token_mint(world.store, VMID, clock_wall_ms(), 0, &token, &error));
    memcpy(world.token_id, token.text.id, sizeof world.token_id);
}

static int set_up(void **state)
{
    if (state_make(state) != 0)
        return -1;
    world = (struct world){.agent = {.log = THROTTLED_LOG_NEW}};
    atomic_init(&world.setup.holders, 1);
    world.setup.config.paths.state = mem_copy_text(in_scratch("state"));
    world.setup.config.limits.request_ms = REQUEST_MS;
    world.store = store_of_scratch();
    put_guest(world.store, VMID);
    put_guest(world.store, OTHER);
    mint();
    OK(store_pool_new(in_scratch("state"), &world.agent.stores, &error));
    local.gate = make_gate(THREADS);
    world.agent.gate = local.gate;
    OK(watch_start(&world.agent, &world.agent.watch, &error));
    choose_endpoint();
    start_listening();
    return 0;
}

static int tear_down(void **state)
{
    watch_dismiss(world.agent.watch);
    assert_int_equal(stop_local(state), 0);
    watch_stop(world.agent.watch);
    store_pool_free(world.agent.stores);
    store_close(world.store);
    assert_int_equal(atomic_load(&world.setup.holders), 1);
    free(world.setup.config.paths.state);
    return scratch_remove(state);
}

#define WATCH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* --- what tests do --- */

static int64_t now_ms(void)
{
    return clock_steady_us() / 1000;
}

static void commit(uint32_t vmid, const char *kind)
{
    struct event event = {.at_ms = 1700000000123, .vmid = vmid, .kind = kind, .outcome = "ok"};
    OK(event_add(world.store, &event, &error));
}

static void nudge(void)
{
    nudge_send(in_scratch("state"));
}

/* How many descriptors of sockets the process has open. */
static int count_sockets(void)
{
    char text[256];
    char command[64];
    (void)snprintf(command, sizeof command, "find /proc/%d/fd -lname 'socket:*' | wc -l", getpid());
    output_of(command, text);
    return atoi(text);
}

/* The gate's count goes down when a connection is parked, and a moment after one has ended. */
static void wait_parked(void)
{
    int64_t until_ms = now_ms() + 5000;
    while (gate_connections(local.gate) > 0 && now_ms() < until_ms)
        (void)usleep(2000);
    assert_int_equal(gate_connections(local.gate), 0);
}

static void ask(struct client *client, const char *method, const char *query)
{
    char request[256];
    client_connect(client, &local.address);
    (void)snprintf(request, sizeof request, "%s /events%s HTTP/1.1\r\nHost: x\r\n\r\n", method,
                   query);
    assert_int_equal(client_send_text(client, request), 0);
}

static void wait_with(struct client *client, const char *query)
{
    ask(client, "GET", query);
    wait_parked();
    (void)usleep(20000);
}

/* What the client got until the server closed. */
static void assert_got(struct client *client, const char *start, const char *part)
{
    const char *text = client_receive(client, NULL);
    client_close(client);
    if (strncmp(text, start, strlen(start)) != 0 || !strstr(text, part))
        fail_test("no \"%s\" with \"%s\": \"%s\"", start, part, text);
}

#define NOTHING_AFTER(seq) "{\"ok\":true,\"data\":{\"vmid\":8200,\"events\":[],\"next\":" seq "}}\n"

static void test_what_there_is_comes_at_once(void **state)
{
    (void)state;
    struct client client;
    commit(VMID, "mint");
    ask(&client, "GET", "?timeout=30");
    const char *text = client_receive(&client, "}}\n");
    assert_non_null(strstr(text, "\r\nConnection: keep-alive\r\n"));
    assert_non_null(strstr(text, "{\"ok\":true,\"data\":{\"vmid\":8200,\"events\":[{\"seq\":1,"
                                 "\"at\":\"2023-11-14T22:13:20.123Z\",\"kind\":\"mint\","
                                 "\"outcome\":\"ok\",\"detail\":\"\",\"duration_ms\":0.0}],"
                                 "\"next\":1}}\n"));
    client_close(&client);
}

static void test_a_nudge_wakes_at_once(void **state)
{
    (void)state;
    struct client client;
    wait_with(&client, "?timeout=30");
    int64_t since_ms = now_ms();
    commit(VMID, "post-start");
    nudge();
    assert_got(&client, "HTTP/1.1 200 OK\r\n", "\"kind\":\"post-start\"");
    assert_true(now_ms() - since_ms < 500);
}

static void test_without_a_nudge_it_takes_a_second(void **state)
{
    (void)state;
    struct client client;
    wait_with(&client, "?timeout=30");
    int64_t since_ms = now_ms();
    commit(VMID, "post-start");
    assert_got(&client, "HTTP/1.1 200 OK\r\n", "\"kind\":\"post-start\"");
    assert_true(now_ms() - since_ms < 1000 + SLACK_MS);
}

static void test_a_wait_in_vain(void **state)
{
    (void)state;
    struct client client;
    commit(VMID, "mint");
    int64_t since_ms = now_ms();
    wait_with(&client, "?since=1&timeout=1");
    commit(OTHER, "post-start");
    commit(VMID, "refused");
    nudge();
    assert_got(&client, "HTTP/1.1 200 OK\r\n", "\r\nConnection: close\r\n");
    assert_true(now_ms() - since_ms >= 1000);
    wait_with(&client, "?since=1&timeout=1");
    assert_got(&client, "HTTP/1.1 200 OK\r\n", NOTHING_AFTER("1"));
}

static void test_head_waits_too(void **state)
{
    (void)state;
    struct client client;
    ask(&client, "HEAD", "?timeout=30");
    wait_parked();
    commit(VMID, "post-start");
    nudge();
    const char *text = client_receive(&client, NULL);
    assert_non_null(strstr(text, "\r\nContent-Length: "));
    assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
    client_close(&client);
}

/* Once the answer is out. */
static void assert_explained(const char *reason)
{
    for (int i = 0; i < 10000 && !world.refused_for; i++)
        (void)usleep(1000);
    assert_string_equal(world.refused_for, reason);
}

static void test_a_token_that_ends_meanwhile(void **state)
{
    (void)state;
    struct client clients[2];
    int count;
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        wait_with(&clients[i], i == 0 ? "?timeout=30" : "?timeout=1");
    OK(token_revoke_before(world.store, VMID, INT64_MAX, clock_wall_ms(), "test", &count, &error));
    /* Told of nothing, one learns of it when its time is up. */
    assert_got(&clients[1], "HTTP/1.1 401 Unauthorized\r\n", "\r\nWWW-Authenticate: Bearer\r\n");
    commit(VMID, "revoke");
    nudge();
    assert_got(&clients[0], "HTTP/1.1 401 Unauthorized\r\n", "{\"ok\":false,");
    assert_explained("revoked token");
}

static void test_a_token_that_is_too_old(void **state)
{
    (void)state;
    struct client client;
    wait_with(&client, "?timeout=30");
    run_raw("UPDATE token SET expires_at_ms = 1");
    commit(VMID, "post-start");
    nudge();
    assert_got(&client, "HTTP/1.1 401 Unauthorized\r\n", "{\"ok\":false,");
    assert_explained("expired token");
}

static void test_a_guest_that_is_forgotten(void **state)
{
    (void)state;
    struct client client;
    wait_with(&client, "?timeout=30");
    OK(guest_remove(world.store, VMID, &error));
    commit(VMID, "unenroll");
    nudge();
    assert_got(&client, "HTTP/1.1 401 Unauthorized\r\n", "{\"ok\":false,");
    assert_explained("unknown token");
}

static void test_another_store(void **state)
{
    (void)state;
    struct client client;
    for (int i = 0; i < 5; i++)
        commit(VMID, "mint");
    ask(&client, "GET", "?since=6&timeout=30");
    const char *text = client_receive(&client, "}}\n");
    assert_non_null(strstr(text, "\"next\":5,\"reset\":true}}\n"));
    client_close(&client);
    wait_with(&client, "?since=5&timeout=30");
    run_raw("DELETE FROM event WHERE seq > 2; UPDATE sqlite_sequence SET seq = 2");
    assert_got(&client, "HTTP/1.1 200 OK\r\n", "\"next\":2,\"reset\":true}}\n");
}

static void test_many_events_between_two_looks(void **state)
{
    (void)state;
    struct client client;
    wait_with(&client, "?timeout=30");
    OK(store_begin(world.store, &error));
    for (int i = 0; i < 300; i++)
        commit(OTHER, "test");
    commit(VMID, "post-start");
    OK(store_commit(world.store, &error));
    nudge();
    assert_got(&client, "HTTP/1.1 200 OK\r\n", "\"kind\":\"post-start\"");
}

/* The store is away for a while: who may wait does, whose time is up is told. */
static void test_trouble_with_the_store(void **state)
{
    (void)state;
    struct client clients[2];
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        wait_with(&clients[i], i == 0 ? "?timeout=30" : "?timeout=1");
    shell("mv state/db state/away");
    nudge();
    assert_got(&clients[1], "HTTP/1.1 503 Service Unavailable\r\n", "\r\nRetry-After: 2\r\n");
    assert_int_equal(atomic_load(&world.failed), 1);
    shell("mv state/away state/db");
    commit(VMID, "post-start");
    nudge();
    assert_got(&clients[0], "HTTP/1.1 200 OK\r\n", "\"kind\":\"post-start\"");
}

/* Counts for its source, but not as one that holds a thread. */
static void test_the_gate_counts_it_for_its_source(void **state)
{
    (void)state;
    struct client clients[THREADS];
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        wait_with(&clients[i], "?timeout=30");
    assert_false(listener_crowded(local.listener));
    int fd = plain_connect(&local.address);
    char byte;
    assert_true(recv(fd, &byte, 1, 0) <= 0 && errno != EAGAIN);
    (void)close(fd);
    client_close(&clients[0]);
    (void)usleep(100000);
    wait_with(&clients[0], "?timeout=30");
    commit(VMID, "post-start");
    nudge();
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        assert_got(&clients[i], "HTTP/1.1 200 OK\r\n", "post-start");
}

static void assert_ends_by(void (*end)(struct client *client))
{
    int before = count_sockets();
    struct client client;
    wait_with(&client, "?timeout=30");
    end(&client);
    int64_t until_ms = now_ms() + 5000;
    while (count_sockets() > before && now_ms() < until_ms)
        (void)usleep(10000);
    assert_int_equal(count_sockets(), before);
}

static void end_rudely(struct client *client)
{
    const struct linger linger = {1, 0};
    (void)setsockopt(client->socket.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    client_close(client);
}

static void end_half(struct client *client)
{
    (void)shutdown(client->socket.fd, SHUT_WR);
    assert_string_equal(client_receive(client, NULL), "");
    client_close(client);
}

static void end_with_a_request(struct client *client)
{
    assert_int_equal(client_send_text(client, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    assert_string_equal(client_receive(client, NULL), "");
    client_close(client);
}

static void test_who_hangs_up_is_gone(void **state)
{
    (void)state;
    static void (*const ends[])(struct client *) = {client_close, end_rudely, end_half,
                                                    end_with_a_request};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
            assert_ends_by(ends[i]);
}

/* The answer says that the connection ends: what came behind its request may be asked anew. */
static void test_a_request_behind_it_is_not_answered(void **state)
{
    (void)state;
    struct client client;
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, "GET /events?timeout=30 HTTP/1.1\r\nHost: x\r\n\r\n"
                                               "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"),
                     0);
    wait_parked();
    (void)usleep(20000);
    commit(VMID, "post-start");
    nudge();
    const char *text = client_receive(&client, NULL);
    assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(text, "\"kind\":\"post-start\""));
    assert_null(strstr(text + 1, "HTTP/1.1"));
    client_close(&client);
}

/* One that does not read its answer: the others get theirs, and it is cut. */
static void test_who_does_not_read_holds_nobody_up(void **state)
{
    (void)state;
    struct client slow;
    struct client other;
    const int small = 4096;
    int before = count_sockets();
    wait_with(&slow, "?timeout=30");
    (void)setsockopt(slow.socket.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    wait_with(&other, "?timeout=1");
    run_raw("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
            " INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us)"
            " SELECT 1, 8200, 'test', 'ok', hex(zeroblob(32768)), '', -1 FROM n");
    int64_t since_ms = now_ms();
    nudge();
    assert_non_null(strstr(client_receive(&other, "\"seq\":1,"), "HTTP/1.1 200 OK\r\n"));
    assert_true(now_ms() - since_ms < REQUEST_MS + SLACK_MS);
    client_close(&other);
    while (count_sockets() > before + 1 && now_ms() - since_ms < 10000)
        (void)usleep(10000);
    assert_true(now_ms() - since_ms >= REQUEST_MS - 50);
    assert_int_equal(count_sockets(), before + 1);
    client_close(&slow);
}

static void test_a_long_answer_is_whole(void **state)
{
    (void)state;
    struct client client;
    wait_with(&client, "?timeout=30");
    run_raw("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
            " INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us)"
            " SELECT 1, 8200, 'test', 'ok', hex(zeroblob(16384)), '', -1 FROM n");
    nudge();
    size_t length = 0;
    char last[8] = "";
    unsigned char piece[4096];
    int count;
    while ((count = mbedtls_ssl_read(&client.ssl, piece, sizeof piece)) > 0) {
        length += (size_t)count;
        if (count >= 4)
            memcpy(last, piece + count - 4, 4);
        if (length < 200000)
            (void)usleep(1000);
    }
    assert_true(length > (size_t)100 * 32768);
    assert_string_equal(last, "00}}\n" + 1);
    client_close(&client);
}

static void test_dismissed(void **state)
{
    (void)state;
    struct client clients[4];
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        wait_with(&clients[i], "?timeout=30");
    watch_dismiss(world.agent.watch);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        assert_got(&clients[i], "HTTP/1.1 200 OK\r\n", NOTHING_AFTER("0"));
    ask(&clients[0], "GET", "?timeout=30");
    const char *text = client_receive(&clients[0], "}}\n");
    assert_non_null(strstr(text, "\r\nConnection: keep-alive\r\n"));
    assert_non_null(strstr(text, NOTHING_AFTER("0")));
    client_close(&clients[0]);
    listener_stop(local.listener);
    start_listening();
    watch_admit(world.agent.watch);
    wait_with(&clients[0], "?timeout=30");
    commit(VMID, "post-start");
    nudge();
    assert_got(&clients[0], "HTTP/1.1 200 OK\r\n", "post-start");
}

static void test_nudges_reach_the_workers(void **state)
{
    (void)state;
    nudge();
    (void)usleep(200000);
    assert_int_equal(atomic_load(&world.woken), 1);
    int64_t since_ms = now_ms();
    while (now_ms() - since_ms < 300)
        nudge();
    (void)usleep(200000);
    /* Once in 50 ms, and none is forgotten. */
    assert_in_range(atomic_load(&world.woken) - 1, 2, 8 + SLACK_MS / 50);
}

static void test_a_quiet_watch_sleeps(void **state)
{
    (void)state;
    char before[256];
    char after[256];
    static const char command[] = "for t in /proc/$PPID/task/*; do grep -qx watch $t/comm && "
                                  "awk '/^voluntary/ {print $2}' $t/status; done";
    output_of(command, before);
    (void)usleep(2200000);
    output_of(command, after);
    assert_string_not_equal(before, "");
    assert_string_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(test_what_there_is_comes_at_once),
        WATCH_TEST(test_a_nudge_wakes_at_once),
        WATCH_TEST(test_without_a_nudge_it_takes_a_second),
        WATCH_TEST(test_a_wait_in_vain),
        WATCH_TEST(test_head_waits_too),
        WATCH_TEST(test_a_token_that_ends_meanwhile),
        WATCH_TEST(test_a_token_that_is_too_old),
        WATCH_TEST(test_a_guest_that_is_forgotten),
        WATCH_TEST(test_another_store),
        WATCH_TEST(test_many_events_between_two_looks),
        WATCH_TEST(test_trouble_with_the_store),
        WATCH_TEST(test_the_gate_counts_it_for_its_source),
        WATCH_TEST(test_who_hangs_up_is_gone),
        WATCH_TEST(test_a_request_behind_it_is_not_answered),
        WATCH_TEST(test_who_does_not_read_holds_nobody_up),
        WATCH_TEST(test_a_long_answer_is_whole),
        WATCH_TEST(test_dismissed),
        WATCH_TEST(test_nudges_reach_the_workers),
        WATCH_TEST(test_a_quiet_watch_sleeps),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
