/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting clients that disconnect, read slowly or are answered at a stop; and the watch thread's
 * other work. */
#include "tests/unit/waiters_world.h"

static void await_sockets(int count)
{
    int64_t until_us = clock_real_us() + PATIENCE_S * INT64_C(1000000);
    while (count_sockets() > count && clock_real_us() < until_us)
        (void)usleep(10000);
    assert_int_equal(count_sockets(), count);
}

/* Counts for its source, but not as a connection with a thread. */
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
    int sockets = count_sockets();
    client_close(&clients[0]);
    await_sockets(sockets - 2); /* the client's and the server's */
    (void)usleep(20000);
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
    await_sockets(before);
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

/* The answer says that the connection ends, so the client may repeat a request that came after
 * it. */
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

/* A client that does not read its answer is disconnected; the others get theirs. */
static void test_who_does_not_read_holds_nobody_up(void **state)
{
    (void)state;
    struct client slow;
    struct client other;
    const int small = 4096;
    int before = count_sockets();
    clock_stand();
    wait_with(&slow, "?timeout=30");
    (void)setsockopt(slow.socket.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    wait_with(&other, "?timeout=1");
    run_raw("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
            " INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us)"
            " SELECT 1, 8200, 'test', 'ok', hex(zeroblob(32768)), '', -1 FROM n");
    int64_t since_ms = now_ms();
    nudge();
    assert_non_null(strstr(client_receive(&other, "\"seq\":1,"), "HTTP/1.1 200 OK\r\n"));
    assert_true(now_ms() - since_ms < REQUEST_MS);
    client_close(&other);
    clock_hurry();
    await_sockets(before + 1);
    assert_true(now_ms() - since_ms >= REQUEST_MS - 50);
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
    waiters_pause(world.context.waiters);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        assert_got(&clients[i], "HTTP/1.1 200 OK\r\n", NOTHING_AFTER("0"));
    ask(&clients[0], "GET", "?timeout=30");
    const char *text = client_receive(&clients[0], "}}\n");
    assert_non_null(strstr(text, "\r\nConnection: keep-alive\r\n"));
    assert_non_null(strstr(text, NOTHING_AFTER("0")));
    client_close(&clients[0]);
    listener_stop(local.listener);
    start_listening();
    waiters_resume(world.context.waiters);
    wait_with(&clients[0], "?timeout=30");
    commit(VMID, "post-start");
    nudge();
    assert_got(&clients[0], "HTTP/1.1 200 OK\r\n", "post-start");
}

static void await_woken(int count)
{
    int64_t until_us = clock_real_us() + PATIENCE_S * INT64_C(1000000);
    while (atomic_load(&world.woken) < count && clock_real_us() < until_us)
        (void)usleep(1000);
    assert_int_equal(atomic_load(&world.woken), count);
}

static void test_nudges_reach_the_workers(void **state)
{
    (void)state;
    clock_stand();
    nudge();
    await_woken(1);
    clock_skip_ms(10); /* then it listens again */
    for (int i = 0; i < 100; i++) {
        nudge();
        (void)usleep(1000);
    }
    assert_int_equal(atomic_load(&world.woken), 1); /* once in 50 ms */
    clock_skip_ms(40);
    await_woken(2); /* and none is forgotten */
}

static void test_a_quiet_watch_sleeps(void **state)
{
    (void)state;
    char before[256] = "";
    char after[256] = "not yet";
    static const char command[] = "for t in /proc/$PPID/task/*; do grep -qx waiters $t/comm && "
                                  "awk '/^voluntary/ {print $2}' $t/status; done";
    /* Once the thread has gone to sleep. */
    for (int i = 0; i < 100 && strcmp(after, before) != 0; i++) {
        output_of(command, before);
        (void)usleep(2200000);
        output_of(command, after);
    }
    assert_string_not_equal(before, "");
    assert_string_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAITERS_TEST(test_the_gate_counts_it_for_its_source),
        WAITERS_TEST(test_who_hangs_up_is_gone),
        WAITERS_TEST(test_a_request_behind_it_is_not_answered),
        WAITERS_TEST(test_who_does_not_read_holds_nobody_up),
        WAITERS_TEST(test_a_long_answer_is_whole),
        WAITERS_TEST(test_dismissed),
        WAITERS_TEST(test_nudges_reach_the_workers),
        WAITERS_TEST(test_a_quiet_watch_sleeps),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
