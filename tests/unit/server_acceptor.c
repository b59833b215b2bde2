/* SPDX-License-Identifier: Apache-2.0 */
/* A CivetWeb server, without TLS, behind an acceptor. */
#include "server/net/acceptor.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "server/base/limiter.h"
#include "server/net/web_server.h"
#include "store/base/clock.h"
#include "tests/unit/test.h"

#define REQUEST    "GET / HTTP/1.1\r\n\r\n"
#define ANSWER     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define PATIENCE_S 600
#define THREADS    4 /* beside the one that accepts connections */

static struct {
    struct sockaddr_in address;
    int socket;
    struct throttled_log log;
    struct web_server server;
} world;

/* How many threads may still be created; -1: any number. */
static atomic_int threads_left = -1;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                   void *argument)
{
    static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!create)
        *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_load(&threads_left) == 0)
        return EAGAIN;
    if (atomic_load(&threads_left) > 0)
        atomic_fetch_sub(&threads_left, 1);
    return create(thread, attributes, function, argument);
}

/* The linker takes the clock that is defined here. Each look at it may skip some time. */
static atomic_llong skip_us;

int64_t clock_steady_us(void)
{
    static atomic_llong skipped_us;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_fetch_add(&skipped_us, atomic_load(&skip_us));
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + atomic_load(&skipped_us);
}

static int answer(struct mg_connection *connection, void *context)
{
    (void)context;
    (void)mg_write(connection, ANSWER, strlen(ANSWER));
    return 200;
}

static void answer_error(struct mg_connection *connection, int status, void *context)
{
    (void)connection;
    (void)status;
    (void)context;
}

static struct web_server_options server_options(void)
{
    return (struct web_server_options){
        .address = world.address,
        .socket = world.socket,
        .log = &world.log,
        .log_prefix = "CivetWeb",
        .threads = THREADS,
        .queue = 4,
        .backlog = 16,
        .header_limit = 4096,
        .timeout_ms = PATIENCE_S * 1000,
        .handle = answer,
        .handle_error = answer_error,
    };
}

static void start_server(void)
{
    struct error error;
    const struct web_server_options options = server_options();
    assert_int_equal(web_server_start(&world.server, &options, &error), 0);
}

static void stop_server(void)
{
    web_server_stop(&world.server);
}

static int set_up(void **state)
{
    (void)state;
    struct error error;
    socklen_t size = sizeof world.address;
    world.log = THROTTLED_LOG_NEW;
    world.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (listening_open(&world.address, &world.socket, &error) < 0)
        return -1;
    return getsockname(world.socket, (struct sockaddr *)&world.address, &size);
}

static int tear_down(void **state)
{
    (void)state;
    return close(world.socket);
}

static int connect_client(void)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&world.address, sizeof world.address), 0);
    return fd;
}

static void assert_answered(int fd)
{
    char text[256] = "";
    assert_int_equal(send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL), strlen(REQUEST));
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, ANSWER);
}

static void assert_connections(uint32_t count)
{
    int64_t end_us = clock_steady_us() + PATIENCE_S * (int64_t)1000000;
    while (acceptor_connections(&world.server.acceptor) != count && clock_steady_us() < end_us)
        (void)usleep(1000);
    assert_int_equal(acceptor_connections(&world.server.acceptor), count);
}

static void test_open_connections_are_counted(void **state)
{
    (void)state;
    start_server();
    int first = connect_client();
    assert_connections(1);
    int second = connect_client();
    assert_connections(2);
    assert_answered(first);
    (void)close(first);
    assert_connections(1);
    (void)close(second);
    assert_connections(0);
    stop_server();
}

static int64_t time_of_a_stop(void)
{
    start_server();
    cleanup_close int fd = connect_client();
    assert_answered(fd);
    (void)close(steal_fd(&fd));
    assert_connections(0);
    int64_t since_us = clock_steady_us();
    stop_server();
    return clock_steady_us() - since_us;
}

/* By itself CivetWeb takes two seconds for each stop, on any machine. One faster stop is proof; a
 * slow machine may need a few attempts. */
static void test_an_idle_server_stops_at_once(void **state)
{
    (void)state;
    int64_t least_us = INT64_MAX;
    for (int i = 0; i < 5 || (i < 300 && least_us >= 1500000); i++) {
        int64_t took_us = time_of_a_stop();
        least_us = took_us < least_us ? took_us : least_us;
    }
    assert_true(least_us < 1500000);
    assert_true(listening_on(world.socket, &world.address));
}

static void test_connections_meanwhile_wait_for_the_next_server(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        start_server();
        cleanup_close int inside = connect_client();
        assert_connections(1);
        acceptor_close(&world.server.acceptor);
        cleanup_close int outside = connect_client();
        assert_answered(inside);
        (void)close(steal_fd(&inside));
        assert_connections(0);
        stop_server();
        start_server();
        assert_answered(outside);
        (void)close(steal_fd(&outside));
        assert_connections(0);
        stop_server();
    }
}

static void test_a_closed_acceptor_is_silent(void **state)
{
    (void)state;
    struct rusage before;
    struct rusage after;
    start_server();
    acceptor_close(&world.server.acceptor);
    cleanup_close int outside = connect_client();
    int64_t since_us = clock_steady_us();
    (void)getrusage(RUSAGE_SELF, &before);
    (void)usleep(500000);
    (void)getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_nvcsw - before.ru_nvcsw < (clock_steady_us() - since_us) / 10000);
    assert_int_equal(acceptor_connections(&world.server.acceptor), 0);
    stop_server();
}

/* No descriptor is left except for the caller's end of the connection. */
static int connect_in_shortage(struct rlimit *ret_before)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int next = dup(fd);
    struct rlimit few;
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_before), 0);
    few = (struct rlimit){(rlim_t)next, ret_before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&world.address, sizeof world.address), 0);
    return fd;
}

/* accept is tried twenty times a second; a busy loop would try many thousand times. */
static void test_a_shortage_is_waited_out(void **state)
{
    (void)state;
    struct rlimit limit;
    start_server();
    cleanup_close int fd = connect_in_shortage(&limit);
    int64_t since_us = clock_steady_us();
    do
        (void)usleep(1000000);
    while (world.log.left_out == 0 && clock_steady_us() - since_us < PATIENCE_S * INT64_C(1000000));
    assert_int_equal(acceptor_connections(&world.server.acceptor), 0);
    assert_in_range(world.log.left_out, 1, (clock_steady_us() - since_us) / 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_answered(fd);
    stop_server();
}

static void test_what_a_failed_start_leaves_is_reclaimed(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(acceptor_init(&world.server.acceptor, world.socket, &world.log, &error), 0);
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(acceptor_bind(&world.server.acceptor, fd), 0);
    assert_true(listening_on(fd, &world.address));
    acceptor_reclaim(&world.server.acceptor);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    /* The number belongs to another file now. */
    cleanup_close int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(other, fd);
    fd = -1;
    world.server.acceptor.polled_fd = other;
    acceptor_reclaim(&world.server.acceptor);
    assert_true(fcntl(other, F_GETFD) >= 0);
    acceptor_destroy(&world.server.acceptor);
}

/* Its threads stay, and with them all that they may look at. */
static struct web_server stuck;

static void fail_to_start(void)
{
    struct error error;
    const struct web_server_options options = server_options();
    atomic_store(&threads_left, THREADS);
    atomic_store(&skip_us, 1000000);
    int result = web_server_start(&stuck, &options, &error);
    atomic_store(&skip_us, 0);
    atomic_store(&threads_left, -1);
    assert_int_equal(result, -1);
    assert_true(stuck.stuck);
    assert_non_null(strstr(error.message, ": no thread to do so: "));
}

static void test_a_server_that_cannot_accept_leaves_the_address_to_another(void **state)
{
    (void)state;
    struct error error;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    fail_to_start();
    assert_int_equal(close(world.socket), 0);
    assert_int_equal(listening_open(&world.address, &world.socket, &error), 0);
    cleanup_close int fd = connect_client();
    assert_int_equal(acceptor_accept(&stuck.acceptor, (struct sockaddr *)&peer, &size), -1);
    start_server();
    assert_answered(fd);
    (void)close(steal_fd(&fd));
    assert_connections(0);
    stop_server();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_connections_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_idle_server_stops_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connections_meanwhile_wait_for_the_next_server, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_closed_acceptor_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_shortage_is_waited_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_failed_start_leaves_is_reclaimed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_server_that_cannot_accept_leaves_the_address_to_another, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
