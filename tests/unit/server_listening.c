/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/acceptor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

static struct sockaddr_in address_of(const char *host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    return address;
}

/* On a free port; *ret_address is set to its address. */
static int open_somewhere(struct sockaddr_in *ret_address)
{
    int fd;
    struct error error;
    socklen_t size = sizeof *ret_address;
    const struct sockaddr_in any = address_of("127.0.0.1", 0);
    assert_int_equal(listening_open(&any, &fd, &error), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, &size), 0);
    return fd;
}

static void assert_cannot_open(const struct sockaddr_in *address, const char *reason)
{
    int fd = -1;
    char name[LISTENING_NAME_SIZE];
    char message[128];
    struct error error;
    listening_name(address, name);
    (void)snprintf(message, sizeof message, "cannot listen on %s: %s", name, reason);
    assert_int_equal(listening_open(address, &fd, &error), -1);
    assert_string_equal(error.message, message);
    assert_int_equal(fd, -1);
}

static void test_name(void **state)
{
    (void)state;
    char name[LISTENING_NAME_SIZE];
    const struct sockaddr_in longest = address_of("192.168.100.162", 65535);
    listening_name(&longest, name);
    assert_string_equal(name, "192.168.100.162:65535");
}

static void test_open(void **state)
{
    (void)state;
    struct sockaddr_in address;
    cleanup_close int fd = open_somewhere(&address);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    cleanup_close int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    assert_cannot_open(&address, "Address already in use");
}

static void test_address_of_nobody(void **state)
{
    (void)state;
    const struct sockaddr_in nobody = address_of("203.0.113.1", 8443);
    assert_cannot_open(&nobody, "Cannot assign requested address");
}

static void test_on(void **state)
{
    (void)state;
    struct sockaddr_in address;
    cleanup_close int fd = open_somewhere(&address);
    assert_true(listening_on(fd, &address));
    struct sockaddr_in other = address;
    other.sin_port ^= 1;
    assert_false(listening_on(fd, &other));
    other = address;
    other.sin_addr.s_addr = htonl(INADDR_ANY);
    assert_false(listening_on(fd, &other));
    assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
    assert_false(listening_on(fd, &address));
}

static void test_on_what_does_not_listen(void **state)
{
    (void)state;
    struct sockaddr_in address;
    cleanup_close int fd = open_somewhere(&address);
    cleanup_close int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    cleanup_close int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    cleanup_close int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cleanup_close int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct {
        sa_family_t family;
    } nameless = {AF_UNIX};
    assert_int_equal(bind(local, (const struct sockaddr *)&nameless, sizeof nameless), 0);
    assert_int_equal(listen(local, 1), 0);
    assert_false(listening_on(accepted, &address));
    assert_false(listening_on(file, &address));
    assert_false(listening_on(local, &address));
    assert_false(listening_on(-1, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_address_of_nobody),
        cmocka_unit_test(test_on),
        cmocka_unit_test(test_on_what_does_not_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
