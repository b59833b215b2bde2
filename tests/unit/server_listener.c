/* SPDX-License-Identifier: Apache-2.0 */
/* The listener with clients that stall, send slowly, send garbage or stay. */
#include <errno.h>
#include <pthread.h>

#include "tests/unit/local_listener.h"
#include "tests/unit/tls_client.h"

#define GET      "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define PAUSE_MS 15000 /* between two requests */
#define PIECES   100   /* of an endless body */
#define TRICKLED 9     /* bytes, each of which comes a tenth of the limit after the one before */

static int64_t now_ms(void)
{
    return clock_steady_us() / 1000;
}

/* Counts the server's waits; it waits once, however long that takes. */
static int waits(void)
{
    return atomic_load(&test_clock.waits);
}

/* Before any deadline. */
static void assert_at_once(int64_t since_ms)
{
    assert_true(now_ms() - since_ms < HANDSHAKE_MS);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_test("no \"%s\" in \"%s\"", part, text);
}

/* The gate's count decreases a moment after the client has seen the end. */
static void assert_all_gone(void)
{
    int64_t until_us = clock_real_us() + PATIENCE_S * INT64_C(1000000);
    while (gate_connections(local.gate) > 0 && clock_real_us() < until_us)
        (void)usleep(5000);
    assert_int_equal(gate_connections(local.gate), 0);
}

static void *stop_listener(void *unused)
{
    (void)unused;
    listener_stop(local.listener);
    return NULL;
}

static void wait_for(uint32_t inside)
{
    int64_t until_us = clock_real_us() + PATIENCE_S * INT64_C(1000000);
    while (gate_connections(local.gate) != inside && clock_real_us() < until_us)
        (void)usleep(1000);
    assert_int_equal(gate_connections(local.gate), inside);
}

static void start_anew(struct listener_options settings)
{
    struct error error;
    assert_int_equal(start_in_time(&settings, &local.listener, &error), 0);
}

/* Returns whether the server has closed a connection without sending anything; waits for that. */
static bool is_ended(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) <= 0 && errno != EAGAIN;
}

/* From the kernel's list of connections: bytes sent to the server and not received, and bytes
 * received and not read. */
static unsigned bytes_in(const char *line)
{
    unsigned own_port;
    unsigned peer_port;
    unsigned state;
    unsigned to_send;
    unsigned to_read;
    unsigned port = ntohs(local.address.sin_port);
    if (sscanf(line, " %*d: %*8x:%4x %*8x:%4x %2x %8x:%8x", &own_port, &peer_port, &state, &to_send,
               &to_read) != 5 ||
        state != 1)
        return 0;
    return (peer_port == port ? to_send : 0) + (own_port == port ? to_read : 0);
}

static unsigned bytes_on_their_way(void)
{
    char line[512];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/net/tcp", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        count += bytes_in(line);
    (void)fclose(file);
    return count;
}

/* Waits until the server has read everything that was sent. Counts twice: the kernel's list is no
 * snapshot, so bytes that move on while it is read may be missing. */
static void await_reading(void)
{
    while (bytes_on_their_way() > 0 || bytes_on_their_way() > 0)
        (void)usleep(1000);
}

/* Waits until the server waits for that many clients; fails if it cuts one of them. Call it while
 * the clock stands. */
static void assert_waiting(uint32_t count)
{
    int64_t until_us = clock_real_us() + PATIENCE_S * INT64_C(1000000);
    await_reading();
    while (clock_waiting() != (int)count && gate_connections(local.gate) == count &&
           clock_real_us() < until_us)
        (void)usleep(1000);
    assert_int_equal(gate_connections(local.gate), count);
    assert_int_equal(clock_waiting(), count);
}

/* Waits until all connections are closed; returns false if the server, having seen what the clock
 * shows now, goes on to wait for a client. */
static bool are_cut(void)
{
    int64_t until_us = clock_real_us() + PATIENCE_S * INT64_C(1000000);
    while (gate_connections(local.gate) > 0 && clock_waiting() == 0 && clock_real_us() < until_us)
        (void)usleep(1000);
    return gate_connections(local.gate) == 0;
}

/* Skips the deadline of that many connections, which is in left_ms; fails if it comes sooner. There
 * must be no other connection. */
static void skip_deadline(uint32_t count, int64_t left_ms)
{
    wait_for(count);
    assert_waiting(count);
    clock_skip_ms(left_ms - 1);
    assert_waiting(count);
    clock_skip_ms(2);
}

static void assert_cut_in(uint32_t count, int64_t left_ms)
{
    skip_deadline(count, left_ms);
    assert_true(are_cut());
}

static void test_stalled_handshakes_are_cut(void **state)
{
    (void)state;
    int fds[4];
    int waits_before = waits();
    clock_stand();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = plain_connect(&local.address);
    /* The header of the first record, without the body. */
    assert_int_equal(send(fds[0], "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL), 6);
    assert_cut_in(ARRAY_SIZE(fds), HANDSHAKE_MS);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_true(is_ended(fds[i]));
        (void)close(fds[i]);
    }
    assert_true(waits() - waits_before < 100);
}

static void test_trickled_handshake_is_cut(void **state)
{
    (void)state;
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    clock_stand();
    int fd = plain_connect(&local.address);
    wait_for(1);
    for (size_t sent = 0; sent < TRICKLED; sent++) {
        assert_int_equal(send(fd, &hello[sent], 1, MSG_NOSIGNAL), 1);
        assert_waiting(1);
        clock_skip_ms(HANDSHAKE_MS / 10);
    }
    assert_cut_in(1, HANDSHAKE_MS - HANDSHAKE_MS / 10 * TRICKLED);
    (void)close(fd);
}

static void test_other_protocols_are_cut_at_once(void **state)
{
    (void)state;
    int64_t since_ms = now_ms();
    int fd = plain_connect(&local.address);
    assert_int_equal(send(fd, GET, strlen(GET), MSG_NOSIGNAL), (ssize_t)strlen(GET));
    char bytes[64];
    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        ;
    assert_at_once(since_ms);
    (void)close(fd);
    assert_all_gone();
}

static void test_half_a_header_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    int waits_before = waits();
    assert_int_equal(client_send_text(&client, "GET / HTTP/1.1\r\nHost"), 0);
    assert_cut_in(1, REQUEST_MS);
    assert_contains(client_receive(&client, NULL), "{\"refused\":408}");
    assert_true(waits() - waits_before < 100);
    client_close(&client);
}

/* Bytes keep coming, so no single wait is long. */
static void assert_trickle_is_cut(struct client *client)
{
    for (int i = 0; i < TRICKLED; i++) {
        assert_int_equal(client_send_text(client, "a"), 0);
        assert_waiting(1);
        clock_skip_ms(REQUEST_MS / 10);
    }
    assert_cut_in(1, REQUEST_MS - REQUEST_MS / 10 * TRICKLED);
}

static void test_a_trickled_header_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, "GET / HTTP/1.1\r\nX-Long: "), 0);
    assert_trickle_is_cut(&client);
    client_close(&client);
}

static void test_a_trickled_second_request_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, GET), 0);
    assert_contains(client_receive(&client, "}"), "200");
    assert_int_equal(client_send_text(&client, "GET / HTTP/1.1\r\nX-Long: "), 0);
    assert_trickle_is_cut(&client);
    client_close(&client);
}

static void test_silence_before_a_further_request_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, GET), 0);
    assert_contains(client_receive(&client, "}"), "200");
    assert_cut_in(1, PAUSE_MS);
    assert_string_equal(client_receive(&client, NULL), "");
    client_close(&client);
}

/* Only the reading of the body ends at the deadline: the handler then answers, and the connection
 * stays. */
static void assert_body_is_cut(struct client *client, int64_t left_ms)
{
    skip_deadline(1, left_ms);
    while (!atomic_load(&body_is_over) && clock_waiting() == 0)
        (void)usleep(1000);
    assert_true(atomic_load(&body_is_over));
    assert_contains(client_receive(client, "}"), "{\"body\":3}");
}

static void test_a_stalled_body_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    atomic_store(&body_is_over, false);
    client_connect(&client, &local.address);
    assert_int_equal(
        client_send_text(&client, "POST /body HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc"), 0);
    assert_body_is_cut(&client, REQUEST_MS);
    client_close(&client);
}

static void test_a_stalled_body_is_cut_after_100_continue(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    atomic_store(&body_is_over, false);
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, "POST /continue HTTP/1.1\r\n"), 0);
    assert_waiting(1);
    clock_skip_ms(REQUEST_MS / 2);
    assert_int_equal(client_send_text(&client, "Content-Length: 100\r\n\r\n"), 0);
    assert_contains(client_receive(&client, "\r\n\r\n"), " 100 ");
    assert_int_equal(client_send_text(&client, "abc"), 0);
    assert_body_is_cut(&client, REQUEST_MS);
    client_close(&client);
}

/* Sends up to PIECES pieces of a body, each when the server has read the one before; returns how
 * many it took before it cut the connection. */
static int send_pieces(struct client *client)
{
    static const char bytes[16000];
    int sent = 0;
    while (sent < PIECES && client_send(client, bytes, sizeof bytes) == 0) {
        await_reading();
        sent++;
    }
    return sent;
}

/* There are always more bytes, so the server never waits for long. */
static void test_an_endless_body_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    assert_int_equal(
        client_send_text(&client, "POST /body HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"), 0);
    assert_waiting(1);
    clock_skip_ms(REQUEST_MS - 1);
    assert_int_equal(send_pieces(&client), PIECES);
    clock_skip_ms(2);
    assert_true(send_pieces(&client) < PIECES);
    client_close(&client);
    assert_all_gone();
}

static void test_a_body_in_pieces_is_read(void **state)
{
    (void)state;
    struct client client;
    client_connect(&client, &local.address);
    assert_int_equal(
        client_send_text(&client, "POST /body HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc"), 0);
    (void)usleep(100000);
    assert_int_equal(client_send_text(&client, "def"), 0);
    assert_contains(client_receive(&client, "}"), "{\"body\":6}");
    client_close(&client);
}

/* The sum of the chunks' lengths overflows CivetWeb's variable. */
static void test_a_chunk_longer_than_any_number_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client,
                                      "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "3\r\nabc\r\n7fffffffffffffff\r\ndef"),
                     0);
    assert_cut_in(1, REQUEST_MS);
    assert_contains(client_receive(&client, "}"), "{\"body\":");
    client_close(&client);
}

static void test_silence_before_the_first_request_is_cut(void **state)
{
    (void)state;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    assert_cut_in(1, REQUEST_MS);
    assert_string_equal(client_receive(&client, NULL), "");
    client_close(&client);
}

static void test_who_does_not_read_the_answer_is_cut(void **state)
{
    (void)state;
    struct client client;
    char first;
    clock_stand();
    client_connect(&client, &local.address);
    int waits_before = waits();
    assert_int_equal(client_send_text(&client, "GET /big HTTP/1.1\r\n\r\n"), 0);
    assert_int_equal(client_read(&client, &first, 1), 1);
    assert_cut_in(1, REQUEST_MS);
    assert_true(waits() - waits_before < 1000);
    client_close(&client);
}

static void test_a_connection_serves_many_requests(void **state)
{
    (void)state;
    struct client client;
    struct listener_options settings = local_options();
    listener_stop(local.listener);
    settings.request_ms = 5000;
    start_anew(settings);
    clock_stand();
    client_connect(&client, &local.address);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(client_send_text(&client, GET), 0);
        assert_contains(client_receive(&client, "}"), "{\"peer\":\"127.0.0.1\"}");
        assert_int_equal(gate_connections(local.gate), 1);
        /* Longer than a request may take: the pause between two requests has its own limit. */
        if (i == 2)
            clock_skip_ms(6000);
    }
    client_close(&client);
    assert_all_gone();
}

static void test_curl_keeps_its_connection(void **state)
{
    (void)state;
    const char *output =
        run(NULL, "curl -sk -o /dev/null -o /dev/null -w '%%{num_connects} ' %s/ %s/", local.url,
            local.url);
    assert_string_equal(output, "1 0 ");
}

static void assert_answer_to(const char *request, const char *expected)
{
    struct client client;
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, request), 0);
    assert_contains(client_receive(&client, NULL), expected);
    client_close(&client);
}

static void test_malformed_requests_get_our_error(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        const char *answer;
    } cases[] = {
        {"nonsense\r\n\r\n", "{\"refused\":400}"},
        {"GET / HTTP/3.7\r\n\r\n", "{\"refused\":505}"},
        {"GET ../etc HTTP/1.1\r\n\r\n", "{\"refused\":400}"},
        {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "{\"refused\":411}"},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "{\"refused\":400}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_answer_to(cases[i].request, cases[i].answer);
    assert_all_gone();
}

/* CivetWeb reads beyond an empty line, in a buffer that served other clients before. */
static void test_nobody_gets_what_others_sent(void **state)
{
    (void)state;
    static char blanks[] = GET;
    struct client clients[THREADS];
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        client_connect(&clients[i], &local.address);
        assert_int_equal(client_send_text(&clients[i], GET GET), 0);
        assert_contains(client_receive(&clients[i], "}"), "200");
    }
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        client_close(&clients[i]);
    assert_all_gone();
    memset(blanks, '\n', strlen(GET));
    struct client client;
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, blanks), 0);
    await_reading();
    clock_hurry();
    assert_string_equal(client_receive(&client, NULL), "");
    client_close(&client);
    assert_all_gone();
}

static void test_oversize_headers_get_our_error(void **state)
{
    (void)state;
    static char request[20000] = "GET / HTTP/1.1\r\nX-Long: ";
    size_t start = strlen(request);
    memset(request + start, 'a', sizeof(request) - start);
    struct client client;
    client_connect(&client, &local.address);
    assert_int_equal(client_send(&client, request, 16000), 0);
    assert_int_equal(client_send(&client, request + start, 2000), 0);
    assert_contains(client_receive(&client, NULL), "{\"refused\":413}");
    client_close(&client);
    assert_all_gone();
}

static void test_who_is_refused_is_closed_at_once(void **state)
{
    struct error error = {0};
    assert_int_equal(stop_local(state), 0);
    local.gate = make_gate(1);
    const struct listener_options settings = local_options();
    assert_int_equal(start_in_time(&settings, &local.listener, &error), 0);
    struct client client;
    client_connect(&client, &local.address);
    int64_t since_ms = now_ms();
    int fd = plain_connect(&local.address);
    assert_true(is_ended(fd));
    assert_at_once(since_ms);
    (void)close(fd);
    assert_int_equal(gate_connections(local.gate), 1);
    client_close(&client);
    assert_all_gone();
}

static void test_crowded_at_three_quarters(void **state)
{
    (void)state;
    struct client clients[THREADS * 3 / 4];
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        assert_false(listener_crowded(local.listener));
        client_connect(&clients[i], &local.address);
    }
    assert_true(listener_crowded(local.listener));
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        client_close(&clients[i]);
    assert_all_gone();
    assert_false(listener_crowded(local.listener));
}

static void assert_goodbye(struct client *client)
{
    assert_string_equal(client_receive(client, NULL), "");
    assert_int_equal(client->ended, MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
}

static void test_stop_does_not_wait_for_idle_clients(void **state)
{
    struct client client;
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, GET), 0);
    assert_contains(client_receive(&client, "}"), "200");
    int64_t since_ms = now_ms();
    assert_int_equal(stop_local(state), 0);
    assert_at_once(since_ms);
    assert_goodbye(&client);
    client_close(&client);
    assert_int_equal(start_local(state), 0);
}

static void test_stop_waits_for_the_silent_as_long_as_a_handshake_may_take(void **state)
{
    (void)state;
    pthread_t stopping;
    struct client client;
    clock_stand();
    client_connect(&client, &local.address);
    int fd = plain_connect(&local.address);
    wait_for(2);
    assert_waiting(2);
    int waits_before = waits();
    assert_int_equal(pthread_create(&stopping, NULL, stop_listener, NULL), 0);
    /* The wait for the client, which was for longer, begins anew. */
    while (waits() == waits_before)
        (void)usleep(1000);
    skip_deadline(2, HANDSHAKE_MS);
    bool all_cut = are_cut();
    clock_hurry(); /* a connection that is not cut yet would keep the listener from ending */
    assert_int_equal(pthread_join(stopping, NULL), 0);
    start_anew(local_options());
    assert_true(all_cut);
    assert_true(is_ended(fd));
    (void)close(fd);
    assert_goodbye(&client);
    client_close(&client);
}

static void test_stop_serves_who_was_let_in_and_leaves_the_others(void **state)
{
    (void)state;
    pthread_t stopping;
    struct client shaken;
    struct client inside;
    struct client outside;
    int fd = plain_connect(&local.address);
    client_connect(&shaken, &local.address);
    wait_for(2);
    assert_int_equal(pthread_create(&stopping, NULL, stop_listener, NULL), 0);
    while (!listener_crowded(local.listener))
        (void)usleep(1000);
    int late = plain_connect(&local.address);
    client_shake_hands(&inside, fd);
    assert_int_equal(client_send_text(&inside, GET), 0);
    assert_contains(client_receive(&inside, NULL), "{\"peer\":\"127.0.0.1\"}");
    assert_int_equal(client_send_text(&shaken, GET), 0);
    assert_contains(client_receive(&shaken, NULL), "{\"peer\":\"127.0.0.1\"}");
    assert_int_equal(pthread_join(stopping, NULL), 0);
    start_anew(local_options());
    client_shake_hands(&outside, late);
    assert_int_equal(client_send_text(&outside, GET), 0);
    assert_contains(client_receive(&outside, "}"), "{\"peer\":\"127.0.0.1\"}");
    client_close(&inside);
    client_close(&shaken);
    client_close(&outside);
    assert_all_gone();
}

static void test_stop_lets_an_answer_finish(void **state)
{
    struct client client;
    atomic_store(&answering, false);
    client_connect(&client, &local.address);
    assert_int_equal(client_send_text(&client, "GET /slow HTTP/1.1\r\n\r\n"), 0);
    while (!atomic_load(&answering))
        (void)usleep(1000);
    assert_int_equal(stop_local(state), 0);
    assert_contains(client_receive(&client, NULL), "\r\n\r\nslow");
    client_close(&client);
    assert_int_equal(start_local(state), 0);
}

static void assert_cannot_start(const struct listener_options *settings, const char *message)
{
    struct listener *listener = NULL;
    struct error error = {0};
    assert_int_equal(listener_start(settings, &listener, &error), -1);
    assert_null(listener);
    assert_string_equal(error.message, message);
}

/* As if there were no descriptor for epoll. */
static void test_no_socket(void **state)
{
    (void)state;
    struct listener_options settings = local_options();
    settings.socket = -1;
    assert_cannot_start(&settings, "cannot wait for connections: Bad file descriptor");
}

static void test_no_certificate(void **state)
{
    (void)state;
    struct listener_options settings = local_options();
    settings.pem_file = "/nonexistent/agent.pem";
    assert_cannot_start(&settings, "/nonexistent/agent.pem: no such file");
}

/* CivetWeb would report the end of each connection on standard error. */
static void test_nothing_is_said_of_a_normal_close(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/stderr", local.directory);
    int saved = dup(STDERR_FILENO);
    cleanup_close int file = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    assert_answer_to("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "200");
    struct client client;
    client_connect(&client, &local.address);
    client_close(&client);
    assert_all_gone();
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    assert_int_equal(lseek(file, 0, SEEK_END), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(test_stalled_handshakes_are_cut),
        LOCAL_TEST(test_trickled_handshake_is_cut),
        LOCAL_TEST(test_other_protocols_are_cut_at_once),
        LOCAL_TEST(test_half_a_header_is_cut),
        LOCAL_TEST(test_a_trickled_header_is_cut),
        LOCAL_TEST(test_a_trickled_second_request_is_cut),
        LOCAL_TEST(test_silence_before_a_further_request_is_cut),
        LOCAL_TEST(test_a_stalled_body_is_cut),
        LOCAL_TEST(test_a_stalled_body_is_cut_after_100_continue),
        LOCAL_TEST(test_an_endless_body_is_cut),
        LOCAL_TEST(test_a_body_in_pieces_is_read),
        LOCAL_TEST(test_a_chunk_longer_than_any_number_is_cut),
        LOCAL_TEST(test_silence_before_the_first_request_is_cut),
        LOCAL_TEST(test_who_does_not_read_the_answer_is_cut),
        LOCAL_TEST(test_a_connection_serves_many_requests),
        LOCAL_TEST(test_curl_keeps_its_connection),
        LOCAL_TEST(test_malformed_requests_get_our_error),
        LOCAL_TEST(test_nobody_gets_what_others_sent),
        LOCAL_TEST(test_oversize_headers_get_our_error),
        LOCAL_TEST(test_who_is_refused_is_closed_at_once),
        LOCAL_TEST(test_crowded_at_three_quarters),
        LOCAL_TEST(test_stop_does_not_wait_for_idle_clients),
        LOCAL_TEST(test_stop_waits_for_the_silent_as_long_as_a_handshake_may_take),
        LOCAL_TEST(test_stop_serves_who_was_let_in_and_leaves_the_others),
        LOCAL_TEST(test_stop_lets_an_answer_finish),
        LOCAL_TEST(test_no_socket),
        LOCAL_TEST(test_no_certificate),
        LOCAL_TEST(test_nothing_is_said_of_a_normal_close),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
