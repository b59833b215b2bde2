/* SPDX-License-Identifier: Apache-2.0 */
/* Plain HTTP: connections that break, and timeouts. */
#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/http_rig.h"

/* On a connection that the peer closes when it gets the second request. */
static const struct peer_answer stale[] = {
    {.text = OK_TEXT}, {.then = THEN_CLOSE}, {.text = OK_TEXT}, {.text = OK_TEXT}};

static void test_get_is_repeated_on_a_stale_connection(void **state)
{
    (void)state;
    start(stale, ARRAY_SIZE(stale));
    assert_int_equal(perform("GET"), 0);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(peer->request_count, 3);
    assert_int_equal(peer->requests[1].connection, 0);
    assert_int_equal(peer->requests[2].connection, 1);
}

static void assert_never_sent_twice(const char *method)
{
    start(stale, ARRAY_SIZE(stale));
    assert_int_equal(perform("GET"), 0);
    assert_failed(perform(method), ERROR_BUSY, "hung up without an answer");
    assert_true(http_client_may_have_sent(client));
    peer_end(peer);
    assert_int_equal(peer->request_count, 2);
    assert_sent(1, method);
}

static void test_post_is_never_sent_twice(void **state)
{
    (void)state;
    assert_never_sent_twice("POST");
}

static void test_delete_is_never_sent_twice(void **state)
{
    (void)state;
    assert_never_sent_twice("DELETE");
}

/* A POST is not repeated, even if the broken connection was opened for a POST. */
static void test_post_after_post_is_never_sent_twice(void **state)
{
    (void)state;
    start(stale, ARRAY_SIZE(stale));
    assert_int_equal(perform("POST"), 0);
    assert_failed(perform("POST"), ERROR_BUSY, "hung up without an answer");
    peer_end(peer);
    assert_int_equal(peer->request_count, 2);
}

static void test_connection_is_used_again(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {
        {.text = OK_TEXT}, {.text = OK_TEXT}, {.text = OK_TEXT}};
    start(answers, ARRAY_SIZE(answers));
    assert_int_equal(perform("POST"), 0);
    assert_int_equal(perform("GET"), 0);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(peer->connection_count, 1);
    assert_not_sent(1, "\r\nContent-");
}

static void test_no_answer_in_time(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {
        {.text = NULL},
        {"HTTP/1.1 200 OK\r\n", THEN_KEEP, NULL, 0},
        {"HTTP/1.1 200 OK\r\n\r\n", THEN_TRICKLE, NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        int result;
        start(&answers[i], 1);
        int64_t took_ms = time_of(peer->url, 2000, &result);
        peer_end(peer);
        assert_failed(result, ERROR_BUSY, "no answer within 2000 ms");
        assert_true(took_ms >= 1990);
        assert_true(http_client_may_have_sent(client));
        free(steal(peer));
    }
}

static void test_no_time_at_all(void **state)
{
    (void)state;
    int result;
    const struct peer_answer silence = {.text = NULL};
    start(&silence, 1);
    (void)time_of(peer->url, 0, &result);
    peer_end(peer);
    assert_failed(result, ERROR_BUSY, "no answer within 0 ms");
}

static void test_abort(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {
        {.text = NULL}, {"HTTP/1.1 200 OK\r\n\r\n", THEN_TRICKLE, NULL, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        int result;
        pthread_t thread;
        atomic_store(&aborted, false);
        start(&answers[i], 1);
        assert_int_equal(pthread_create(&thread, NULL, abort_soon, NULL), 0);
        int64_t took_ms = time_of(peer->url, PATIENCE_MS, &result);
        assert_int_equal(pthread_join(thread, NULL), 0);
        peer_end(peer);
        assert_failed(result, ERROR_BUSY, "given up because felhomd is stopping");
        assert_true(took_ms < PATIENCE_MS / 2);
        assert_true(http_client_may_have_sent(client));
        free(steal(peer));
    }
}

static void test_nothing_is_sent_once_aborted(void **state)
{
    (void)state;
    const struct peer_answer answer = {.text = OK_TEXT};
    atomic_store(&aborted, true);
    start(&answer, 1);
    int result = perform("GET");
    peer_end(peer);
    assert_failed(result, ERROR_BUSY, "given up because felhomd is stopping");
    assert_false(http_client_may_have_sent(client));
    assert_int_equal(peer->connection_count, 0);
}

static void test_without_abort_flag(void **state)
{
    (void)state;
    const struct peer_answer answer = {.text = OK_TEXT};
    http_client_free(client);
    client = http_client_new(NULL, NULL);
    start(&answer, 1);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
}

static void test_connection_refused(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST"};
    uint16_t port;
    assert_int_equal(close(peer_listen(&port)), 0);
    (void)snprintf(origin, sizeof origin, "http://127.0.0.1:%u", port);
    cleanup_free char *url =
        mem_format("http://user:" SECRET "@127.0.0.1:%u/" SECRET "?q=" SECRET "#" SECRET, port);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        const struct http_request request = request_for(methods[i], url);
        int result = http_client_perform(client, &request, &reply, &error);
        assert_failed(result, ERROR_BUSY, "no connection: Connection refused");
        assert_false(http_client_may_have_sent(client));
    }
}

/* After a request that was sent: the error is that of the last one. */
static void test_may_have_sent_is_of_the_last_request(void **state)
{
    (void)state;
    const struct peer_answer answer = {.then = THEN_CLOSE};
    start(&answer, 1);
    assert_int_equal(perform("POST"), -1);
    peer_end(peer);
    assert_true(http_client_may_have_sent(client));
    assert_int_equal(perform("POST"), -1);
    assert_false(http_client_may_have_sent(client));
}

/* --- name servers, in a network namespace whose only one never answers --- */

static int write_text(const char *path, const char *text)
{
    cleanup_file FILE *file = fopen(path, "we");
    return file && fputs(text, file) >= 0 && fflush(file) == 0 ? 0 : -1;
}

/* Becomes root in a user namespace if necessary, to be able to make namespaces. */
static int enter_namespaces(void)
{
    char map[64];
    bool is_root = geteuid() == 0;
    (void)snprintf(map, sizeof map, "0 %u 1", geteuid());
    if (unshare((is_root ? 0 : CLONE_NEWUSER) | CLONE_NEWNET | CLONE_NEWNS) < 0)
        return -1;
    if (!is_root && write_text("/proc/self/uid_map", map) < 0)
        return -1;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* Mounts over the existing file, for this process only. */
static int replace_file(const char *path, const char *text)
{
    char draft[] = "/tmp/felhom-resolve.XXXXXX";
    cleanup_close int fd = mkstemp(draft);
    if (fd < 0 || write_text(draft, text) < 0)
        return -1;
    int result = mount(draft, path, NULL, MS_BIND, NULL);
    (void)unlink(draft);
    return result;
}

static int silent_name_server(void)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -1 : fd;
}

static int check_unresolvable_name(void)
{
    EXPECT(enter_namespaces() == 0);
    EXPECT(replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\n") == 0);
    const struct http_request request = request_for("POST", "http://hub.example/secret");
    EXPECT(http_client_perform(client, &request, &reply, &error) < 0);
    EXPECT(error.kind == ERROR_BUSY);
    EXPECT(strcmp(error.message, "http://hub.example:80: no connection: its name cannot be "
                                 "resolved") == 0);
    EXPECT(!http_client_may_have_sent(client));
    return 0;
}

#define RESOLVER_MS 150000

/* Neither timeout nor abort waits for the resolver, which takes two and a half minutes. */
static int check_silent_name_server(void)
{
    int result;
    pthread_t thread;
    EXPECT(enter_namespaces() == 0);
    EXPECT(replace_file("/etc/resolv.conf",
                        "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n") == 0);
    EXPECT(system("ip link set lo up") == 0);
    EXPECT(silent_name_server() >= 0);
    int64_t took_ms = time_of("http://hub.example/secret", 300, &result);
    EXPECT(result < 0 && took_ms < RESOLVER_MS / 2);
    EXPECT(strcmp(error.message, "http://hub.example:80: no answer within 300 ms") == 0);
    EXPECT(pthread_create(&thread, NULL, abort_soon, NULL) == 0);
    took_ms = time_of("http://hub.example/secret", PATIENCE_MS, &result);
    EXPECT(result < 0 && took_ms < RESOLVER_MS / 2);
    EXPECT(strcmp(error.message, "http://hub.example:80: given up because felhomd is stopping") ==
           0);
    EXPECT(pthread_join(thread, NULL) == 0);
    int64_t begin_us = clock_steady_us();
    http_client_free(client);
    EXPECT(clock_steady_us() - begin_us < (int64_t)RESOLVER_MS * 1000 / 2);
    return 0;
}

static void test_unresolvable_name(void **state)
{
    (void)state;
    in_child(check_unresolvable_name);
}

static void test_silent_name_server(void **state)
{
    (void)state;
    in_child(check_silent_name_server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(test_get_is_repeated_on_a_stale_connection),
        HTTP_TEST(test_post_is_never_sent_twice),
        HTTP_TEST(test_delete_is_never_sent_twice),
        HTTP_TEST(test_post_after_post_is_never_sent_twice),
        HTTP_TEST(test_connection_is_used_again),
        HTTP_TEST(test_no_answer_in_time),
        HTTP_TEST(test_no_time_at_all),
        HTTP_TEST(test_abort),
        HTTP_TEST(test_nothing_is_sent_once_aborted),
        HTTP_TEST(test_without_abort_flag),
        HTTP_TEST(test_connection_refused),
        HTTP_TEST(test_may_have_sent_is_of_the_last_request),
        HTTP_TEST(test_unresolvable_name),
        HTTP_TEST(test_silent_name_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
