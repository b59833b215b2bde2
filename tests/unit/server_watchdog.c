/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's self-test: with a working listener, and with several that do not work. */
#include "server/systemd/watchdog.h"

#include <signal.h>
#include <sys/time.h>

#include "tests/unit/local_listener.h"

#define PATIENCE_MS 3600000

static struct pins pins;
static int refusals;

static int make_identity(void **state)
{
    int status;
    (void)signal(SIGPIPE, SIG_IGN);
    if (make_certificate(state) != 0)
        return -1;
    const char *line = run(&status, "openssl x509 -in %s -noout -fingerprint -sha256", local.pem);
    assert_int_equal(status, 0);
    const char *leaf = strchr(line, '=');
    assert_non_null(leaf);
    (void)snprintf(pins.leaf, sizeof pins.leaf, "%.95s", leaf + 1);
    return 0;
}

static void count_refused(const struct peer *peer, enum refusal_reason refusal, uint32_t count,
                          void *context)
{
    (void)peer;
    (void)refusal;
    (void)context;
    refusals += (int)count;
}

static const struct config strict = {
    .local_api.source_binding = BINDING_REQUIRE,
    .limits = {.connections_per_source = 1, .requests_per_source = 1, .failures_per_source = 1},
};

/* A listener that admits no client. */
static int start_strict(void **state)
{
    static const struct gate_callbacks callbacks = {test_identify, count_refused, NULL};
    struct error error;
    (void)state;
    refusals = 0;
    local.gate = gate_new(&strict, NULL, 0, &callbacks);
    choose_endpoint();
    const struct listener_options settings = local_options();
    return start_in_time(&settings, &local.listener, &error);
}

/* A server that answers as the test says. */
static void start_with(int (*handle)(struct mg_connection *connection, void *context))
{
    struct error error;
    choose_endpoint();
    local.gate = make_gate(THREADS);
    struct listener_options settings = local_options();
    settings.handle = handle;
    assert_int_equal(start_in_time(&settings, &local.listener, &error), 0);
}

/* A client that sends nothing. */
static int connect_silently(void)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (const struct sockaddr *)&local.address, sizeof local.address), 0);
    return fd;
}

static int ask(int patience_ms, struct error *error)
{
    *error = (struct error){0};
    return watchdog_self_test(&local.address, &pins, local.gate, (int64_t)patience_ms * 1000,
                              error);
}

static void assert_answers(void)
{
    struct error error;
    int result = ask(PATIENCE_MS, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(result, 0);
}

/* message: without the address in front. Returns how long the self-test took, by the test's
 * clock. */
static int64_t assert_dead(const char *message)
{
    char expected[256];
    struct error error;
    int64_t since_us = clock_steady_us();
    (void)snprintf(expected, sizeof expected, "%s: %s", local.endpoint, message);
    assert_int_equal(ask(PATIENCE_MS, &error), -1);
    assert_string_equal(error.message, expected);
    int64_t took_us = clock_steady_us() - since_us;
    clock_go();
    return took_us;
}

static void assert_dead_at_once(const char *message)
{
    assert_true(assert_dead(message) < (int64_t)PATIENCE_MS * 1000);
}

/* The self-test fails at its deadline, to which the clock jumps. */
static void assert_late(const char *message)
{
    assert_true(assert_dead(message) >= (int64_t)PATIENCE_MS * 1000);
}

static void test_a_live_one(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_answers();
}

/* Even the host itself is not allowed there; a second request would exceed the rate. */
static void test_the_rules_are_not_for_the_probe(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_answers();
    assert_int_equal(refusals, 0);
    char byte;
    int fd = connect_silently();
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    (void)close(fd);
    assert_int_equal(refusals, 1);
    assert_answers();
}

static void test_listening_everywhere(void **state)
{
    struct error error;
    (void)state;
    choose_endpoint();
    local.address.sin_addr.s_addr = htonl(INADDR_ANY);
    local.gate = make_gate(THREADS);
    const struct listener_options settings = local_options();
    assert_int_equal(start_in_time(&settings, &local.listener, &error), 0);
    assert_answers();
}

static void test_wrong_certificate(void **state)
{
    (void)state;
    char right = pins.leaf[0];
    pins.leaf[0] = right == 'A' ? 'B' : 'A';
    assert_dead_at_once("felhomd's certificate is not the one that guests pin");
    pins.leaf[0] = right;
    assert_answers();
}

static int answer_500(struct mg_connection *connection, void *context)
{
    (void)context;
    answer_text(connection, 500, "{}");
    return 500;
}

static int answer_503(struct mg_connection *connection, void *context)
{
    (void)context;
    answer_text(connection, 503, "{}");
    return 503;
}

static int answer_nothing(struct mg_connection *connection, void *context)
{
    (void)connection;
    (void)context;
    return 200;
}

static atomic_bool answer_is_held;

static int answer_never(struct mg_connection *connection, void *context)
{
    (void)connection;
    (void)context;
    clock_hurry();
    while (atomic_load(&answer_is_held))
        (void)usleep(1000);
    return 200;
}

static int answer_endlessly(struct mg_connection *connection, void *context)
{
    (void)context;
    while (mg_write(connection, "HTTP/1.1 999 x", 14) > 0)
        ;
    return 200;
}

static int answer_only_the_question(struct mg_connection *connection, void *context)
{
    (void)context;
    const struct mg_request_info *info = mg_get_request_info(connection);
    bool right = strcmp(info->local_uri, "/healthz") == 0 &&
                 strcmp(info->request_method, "GET") == 0 &&
                 strcmp(mg_get_header(connection, "Connection"), "close") == 0;
    answer_text(connection, right ? 200 : 400, "{}");
    return 200;
}

static void test_what_is_asked(void **state)
{
    (void)state;
    start_with(answer_only_the_question);
    assert_answers();
}

static void test_an_error_is_no_answer(void **state)
{
    (void)state;
    start_with(answer_500);
    assert_dead_at_once("felhomd answered \"HTTP/1.1 500 X\"");
}

/* felhomd lives, and no restart would give it a store that it can read. */
static void test_without_its_store_it_lives(void **state)
{
    (void)state;
    start_with(answer_503);
    assert_answers();
}

static void test_silence_is_no_answer(void **state)
{
    (void)state;
    start_with(answer_nothing);
    assert_dead_at_once("felhomd answered \"\"");
}

static void test_a_late_answer_is_none(void **state)
{
    (void)state;
    atomic_store(&answer_is_held, true);
    start_with(answer_never);
    assert_late("no answer: timed out");
    atomic_store(&answer_is_held, false);
}

static void test_an_endless_answer_is_cut(void **state)
{
    (void)state;
    struct error error;
    start_with(answer_endlessly);
    assert_int_equal(ask(PATIENCE_MS, &error), -1);
    assert_non_null(strstr(error.message, ": felhomd answered \"HTTP/1.1 999 x"));
}

static void test_nobody_listens(void **state)
{
    (void)state;
    choose_endpoint();
    local.gate = make_gate(THREADS);
    assert_dead_at_once("no connection: Connection refused");
}

static void test_the_address_is_gone(void **state)
{
    (void)state;
    local.gate = make_gate(THREADS);
    (void)strcpy(local.endpoint, "203.0.113.1:8443");
    local.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(8443)};
    (void)inet_pton(AF_INET, "203.0.113.1", &local.address.sin_addr);
    assert_dead_at_once(
        "cannot bind a socket to felhomd's address: Cannot assign requested address");
}

/* As with a dead accepting thread: only the kernel completes the connection. */
static void test_nobody_accepts(void **state)
{
    (void)state;
    choose_endpoint();
    local.gate = make_gate(THREADS);
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&local.address, sizeof local.address), 0);
    assert_int_equal(listen(fd, 8), 0);
    clock_hurry_at_read();
    assert_late("no TLS handshake: timed out");
    /* The peer of a probe that was given up is gone. */
    struct peer peer;
    cleanup_close int late = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(late >= 0);
    assert_int_equal(gate_enter(local.gate, late, &peer), REFUSAL_GONE);
}

static bool can_answer(void)
{
    struct error error;
    return ask(PATIENCE_MS, &error) == 0;
}

static void test_all_workers_are_busy(void **state)
{
    (void)state;
    static const struct gate_callbacks callbacks = {test_identify, count_refused, NULL};
    struct error error;
    struct cidr everybody = {.family = AF_INET};
    struct config lax = strict;
    int fds[THREADS];
    lax.local_api.source_binding = BINDING_OFF;
    lax.limits.connections_per_source = 2 * THREADS;
    lax.limits.requests_per_source = 2 * THREADS;
    refusals = 0;
    choose_endpoint();
    local.gate = gate_new(&lax, &everybody, 1, &callbacks);
    struct listener_options settings = local_options();
    settings.handshake_ms = (uint64_t)24 * 3600 * 1000;
    assert_int_equal(start_in_time(&settings, &local.listener, &error), 0);
    assert_answers();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = connect_silently();
    while (gate_connections(local.gate) < THREADS)
        (void)usleep(1000);
    gate_reconfigure(local.gate, &strict, NULL, 0);
    for (int i = 0; i < 2; i++) {
        clock_hurry_at_read();
        assert_late("no TLS handshake: timed out");
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        (void)close(fds[i]);
    assert_true(can_answer());
    assert_int_equal(refusals, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(test_a_live_one),
        LOCAL_TEST(test_wrong_certificate),
        cmocka_unit_test_setup_teardown(test_the_rules_are_not_for_the_probe, start_strict,
                                        stop_local),
        cmocka_unit_test_teardown(test_listening_everywhere, stop_local),
        cmocka_unit_test_teardown(test_what_is_asked, stop_local),
        cmocka_unit_test_teardown(test_an_error_is_no_answer, stop_local),
        cmocka_unit_test_teardown(test_without_its_store_it_lives, stop_local),
        cmocka_unit_test_teardown(test_silence_is_no_answer, stop_local),
        cmocka_unit_test_teardown(test_a_late_answer_is_none, stop_local),
        cmocka_unit_test_teardown(test_an_endless_answer_is_cut, stop_local),
        cmocka_unit_test_teardown(test_nobody_listens, stop_local),
        cmocka_unit_test_teardown(test_the_address_is_gone, stop_local),
        cmocka_unit_test_teardown(test_nobody_accepts, stop_local),
        cmocka_unit_test_teardown(test_all_workers_are_busy, stop_local),
    };
    return cmocka_run_group_tests(tests, make_identity, remove_certificate);
}
