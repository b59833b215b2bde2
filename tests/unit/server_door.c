/* SPDX-License-Identifier: Apache-2.0 */
/* A CivetWeb server, without TLS, behind the door. */
#include "server/net/door.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "server/base/limiter.h"
#include "store/base/clock.h"
#include "tests/unit/test.h"

#define REQUEST    "GET / HTTP/1.1\r\n\r\n"
#define ANSWER     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define PATIENCE_S 10

static struct {
    struct door door; /* first: it is the server's user_data */
    struct sockaddr_in address;
    int socket;
    struct throttled_log log;
    struct mg_context *server;
} world;

static int answer(struct mg_connection *connection)
{
    (void)mg_write(connection, ANSWER, strlen(ANSWER));
    return 200;
}

static struct mg_context *start_civetweb(const char *threads)
{
    static const struct mg_callbacks callbacks = {
        .init_thread = door_begin_thread,
        .connection_closed = door_leave,
        .begin_request = answer,
    };
    char name[LISTENING_NAME_SIZE];
    listening_name(&world.address, name);
    const char *options[] = {"listening_ports", name, "num_threads", threads, NULL};
    struct mg_init_data data = {
        .callbacks = &callbacks,
        .user_data = &world,
        .configuration_options = options,
    };
    return mg_start2(&data, NULL);
}

static void start_server(void)
{
    struct error error;
    assert_int_equal(door_init(&world.door, world.socket, &world.log, &error), 0);
    world.server = start_civetweb("4");
    assert_non_null(world.server);
}

static void stop_server(void)
{
    door_end(&world.door, world.server);
    door_destroy(&world.door);
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
    (void)mg_init_library(MG_FEATURES_DEFAULT);
    return getsockname(world.socket, (struct sockaddr *)&world.address, &size);
}

static int tear_down(void **state)
{
    (void)state;
    (void)mg_exit_library();
    return close(world.socket);
}

static int knock(void)
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

static void assert_inside(uint32_t count)
{
    int64_t end_us = clock_steady_us() + PATIENCE_S * (int64_t)1000000;
    while (door_inside(&world.door) != count && clock_steady_us() < end_us)
        (void)usleep(1000);
    assert_int_equal(door_inside(&world.door), count);
}

static void test_who_is_inside_counts(void **state)
{
    (void)state;
    start_server();
    int first = knock();
    assert_inside(1);
    int second = knock();
    assert_inside(2);
    assert_answered(first);
    (void)close(first);
    assert_inside(1);
    (void)close(second);
    assert_inside(0);
    stop_server();
}

/* By itself CivetWeb takes two seconds each time. */
static void test_an_idle_server_ends_at_once(void **state)
{
    (void)state;
    int64_t since_us = clock_steady_us();
    for (int i = 0; i < 5; i++) {
        start_server();
        cleanup_close int fd = knock();
        assert_answered(fd);
        (void)close(steal_fd(&fd));
        assert_inside(0);
        stop_server();
    }
    assert_true(clock_steady_us() - since_us < 5000000);
    assert_true(listening_on(world.socket, &world.address));
}

static void test_who_knocks_meanwhile_is_the_next_servers(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        start_server();
        cleanup_close int inside = knock();
        assert_inside(1);
        door_close(&world.door);
        cleanup_close int outside = knock();
        assert_answered(inside);
        (void)close(steal_fd(&inside));
        assert_inside(0);
        stop_server();
        start_server();
        assert_answered(outside);
        (void)close(steal_fd(&outside));
        assert_inside(0);
        stop_server();
    }
}

static void test_a_closed_door_is_silent(void **state)
{
    (void)state;
    struct rusage before;
    struct rusage after;
    start_server();
    door_close(&world.door);
    cleanup_close int outside = knock();
    (void)getrusage(RUSAGE_SELF, &before);
    (void)usleep(500000);
    (void)getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_nvcsw - before.ru_nvcsw < 50);
    assert_int_equal(door_inside(&world.door), 0);
    stop_server();
}

/* Without a descriptor left but for the caller's end of the connection. */
static int knock_in_shortage(struct rlimit *ret_before)
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

/* It is tried again twenty times a second; a busy thread would do so many thousand times. */
static void test_a_shortage_is_sat_out(void **state)
{
    (void)state;
    struct rlimit limit;
    start_server();
    cleanup_close int fd = knock_in_shortage(&limit);
    (void)usleep(1000000);
    assert_int_equal(door_inside(&world.door), 0);
    assert_in_range(world.log.left_out, 1, 999);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_answered(fd);
    stop_server();
}

static void test_what_a_failed_start_leaves_is_taken_back(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(door_init(&world.door, world.socket, &world.log, &error), 0);
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(door_bind(&world.door, fd), 0);
    assert_true(listening_on(fd, &world.address));
    door_take_back(&world.door);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    /* The number is somebody else's by now. */
    cleanup_close int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(other, fd);
    fd = -1;
    world.door.polled_fd = other;
    door_take_back(&world.door);
    assert_true(fcntl(other, F_GETFD) >= 0);
    door_destroy(&world.door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_is_inside_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_idle_server_ends_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_knocks_meanwhile_is_the_next_servers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_closed_door_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_shortage_is_sat_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_failed_start_leaves_is_taken_back, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
