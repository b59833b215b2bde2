/* SPDX-License-Identifier: Apache-2.0 */
/* What clients that wait for an event are answered, and when. */
#include "tests/unit/waiters_world.h"

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
    clock_stand(); /* the second after which it would look by itself never passes */
    commit(VMID, "post-start");
    nudge();
    assert_got(&client, "HTTP/1.1 200 OK\r\n", "\"kind\":\"post-start\"");
}

static void test_without_a_nudge_it_takes_a_second(void **state)
{
    (void)state;
    struct client client;
    wait_with(&client, "?timeout=30");
    clock_stand();
    commit(VMID, "post-start");
    clock_skip_ms(1000);
    assert_got(&client, "HTTP/1.1 200 OK\r\n", "\"kind\":\"post-start\"");
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

/* Once the answer has been sent. */
static void assert_explained(const char *reason)
{
    for (int i = 0; i < 600000 && !world.refused_for; i++)
        (void)usleep(1000);
    assert_string_equal(refusal_reason_name(world.refused_for), reason);
}

static void test_a_token_that_ends_meanwhile(void **state)
{
    (void)state;
    struct client clients[2];
    int count;
    clock_stand();
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        wait_with(&clients[i], i == 0 ? "?timeout=30" : "?timeout=1");
    OK(token_revoke_before(world.store, VMID, INT64_MAX, clock_wall_ms(), "test", &count, &error));
    /* Without a wakeup the client gets the event when its timeout is over. */
    clock_go();
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

/* The store is missing for a while: clients go on waiting, and those whose timeout is over are
 * answered. */
static void test_trouble_with_the_store(void **state)
{
    (void)state;
    struct client clients[2];
    clock_stand();
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        wait_with(&clients[i], i == 0 ? "?timeout=30" : "?timeout=1");
    shell("mv state/db state/away");
    clock_go();
    nudge();
    assert_got(&clients[1], "HTTP/1.1 503 Service Unavailable\r\n", "\r\nRetry-After: 2\r\n");
    assert_int_equal(atomic_load(&world.failed), 1);
    shell("mv state/away state/db");
    commit(VMID, "post-start");
    nudge();
    assert_got(&clients[0], "HTTP/1.1 200 OK\r\n", "\"kind\":\"post-start\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAITERS_TEST(test_what_there_is_comes_at_once),
        WAITERS_TEST(test_a_nudge_wakes_at_once),
        WAITERS_TEST(test_without_a_nudge_it_takes_a_second),
        WAITERS_TEST(test_a_wait_in_vain),
        WAITERS_TEST(test_head_waits_too),
        WAITERS_TEST(test_a_token_that_ends_meanwhile),
        WAITERS_TEST(test_a_token_that_is_too_old),
        WAITERS_TEST(test_a_guest_that_is_forgotten),
        WAITERS_TEST(test_another_store),
        WAITERS_TEST(test_many_events_between_two_looks),
        WAITERS_TEST(test_trouble_with_the_store),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
