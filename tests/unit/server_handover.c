/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/handover.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "server/net/acceptor.h"
#include "tests/unit/test.h"

#define FIRST_FD   3
#define HIGH_FD    100 /* what is none of those passed lies from here on */
#define FDS_PASSED 4

static struct {
    int manager; /* the service manager's end */
    struct sockaddr_in address;
    struct handover handover;
    struct error error;
} world;

static int raised(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    (void)close(fd);
    return high;
}

static void listen_for_messages(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    (void)snprintf(name, sizeof name, "@felhom-handover-%d", getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    world.manager = raised(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    assert_int_equal(bind(world.manager, (struct sockaddr *)&address,
                          (socklen_t)(sizeof address.sun_family + strlen(name))),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

/* Opens a listening socket on a free port and sets world.address. */
static int listen_somewhere(void)
{
    int fd;
    socklen_t size = sizeof world.address;
    world.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(listening_open(&world.address, &fd, &world.error), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&world.address, &size), 0);
    return fd;
}

static int set_up(void **state)
{
    (void)state;
    for (int fd = FIRST_FD; fd < FIRST_FD + FDS_PASSED; fd++)
        (void)close(fd);
    listen_for_messages();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    handover_end(&world.handover);
    (void)unsetenv("NOTIFY_SOCKET");
    return close(world.manager);
}

/* Returns the next message and its descriptor, which the caller closes; -1 if there is none. */
static int receive(char ret[static 256])
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec bytes = {ret, 255};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    int fd = -1;
    ssize_t length = recvmsg(world.manager, &message, MSG_CMSG_CLOEXEC);
    ret[length > 0 ? length : 0] = '\0';
    const struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

static void assert_told(const char *text)
{
    char told[256];
    assert_int_equal(receive(told), -1);
    assert_string_equal(told, text);
}

/* As the manager does between fork and exec. */
static void pass(const char *count, const char *names)
{
    char process[16];
    (void)snprintf(process, sizeof process, "%d", getpid());
    assert_int_equal(setenv("LISTEN_PID", process, 1), 0);
    assert_int_equal(setenv("LISTEN_FDS", count, 1), 0);
    assert_int_equal(names ? setenv("LISTEN_FDNAMES", names, 1) : unsetenv("LISTEN_FDNAMES"), 0);
}

static void assert_environment_is_clear(void)
{
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int socket_now(void)
{
    int fd = -1;
    assert_int_equal(handover_socket(&world.handover, &world.address, &fd, &world.error), 0);
    assert_true(listening_on(fd, &world.address));
    return fd;
}

static void test_the_first_start(void **state)
{
    (void)state;
    char told[256];
    (void)close(listen_somewhere());
    handover_begin(&world.handover);
    assert_int_equal(world.handover.socket, -1);
    int fd = socket_now();
    cleanup_close int kept = receive(told);
    assert_string_equal(told, "FDSTORE=1\nFDNAME=local_api");
    assert_true(listening_on(kept, &world.address));
    assert_int_equal(socket_now(), fd);
    assert_told("");
}

static void test_the_next_start(void **state)
{
    (void)state;
    int fd = listen_somewhere();
    assert_int_equal(fd, FIRST_FD);
    (void)fcntl(fd, F_SETFD, 0);
    (void)fcntl(fd, F_SETFL, 0);
    pass("1", "local_api");
    handover_begin(&world.handover);
    assert_environment_is_clear();
    assert_int_equal(socket_now(), FIRST_FD);
    assert_int_equal(fcntl(FIRST_FD, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(FIRST_FD, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_told("");
}

static void test_another_address(void **state)
{
    (void)state;
    char told[256];
    int fd = listen_somewhere();
    const struct sockaddr_in old = world.address;
    cleanup_close int kept = raised(dup(fd)); /* as the manager does */
    pass("1", "local_api");
    handover_begin(&world.handover);
    world.address.sin_addr.s_addr = htonl(INADDR_ANY);
    (void)socket_now();
    assert_told("FDSTOREREMOVE=1\nFDNAME=local_api");
    cleanup_close int new = receive(told);
    assert_string_equal(told, "FDSTORE=1\nFDNAME=local_api");
    assert_true(listening_on(new, &world.address));
    assert_false(listening_on(kept, &old));
}

static void test_an_address_of_nobody(void **state)
{
    (void)state;
    int fd = -1;
    (void)listen_somewhere();
    pass("1", "local_api");
    handover_begin(&world.handover);
    (void)inet_pton(AF_INET, "203.0.113.1", &world.address.sin_addr);
    assert_int_equal(handover_socket(&world.handover, &world.address, &fd, &world.error), -1);
    assert_int_equal(world.handover.socket, -1);
    assert_int_equal(fd, -1);
    world.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)socket_now();
}

/* A socket that another version left. */
static void test_strangers(void **state)
{
    (void)state;
    assert_int_equal(open("/dev/null", O_RDONLY), FIRST_FD);
    assert_int_equal(listen_somewhere(), FIRST_FD + 1);
    assert_int_equal(open("/dev/null", O_RDONLY), FIRST_FD + 2);
    assert_int_equal(open("/dev/null", O_RDONLY), FIRST_FD + 3);
    pass("4", "later:local_api:local_api:");
    handover_begin(&world.handover);
    assert_int_equal(socket_now(), FIRST_FD + 1);
    assert_told("FDSTOREREMOVE=1\nFDNAME=later");
    assert_told("");
    assert_false(is_open(FIRST_FD));
    assert_false(is_open(FIRST_FD + 2));
    assert_false(is_open(FIRST_FD + 3));
}

static void test_what_does_not_listen(void **state)
{
    (void)state;
    (void)close(listen_somewhere());
    assert_int_equal(open("/dev/null", O_RDONLY), FIRST_FD);
    pass("1", "local_api");
    handover_begin(&world.handover);
    (void)socket_now();
    assert_told("FDSTOREREMOVE=1\nFDNAME=local_api");
}

static void test_nameless(void **state)
{
    (void)state;
    assert_int_equal(open("/dev/null", O_RDONLY), FIRST_FD);
    pass("1", NULL);
    handover_begin(&world.handover);
    assert_false(is_open(FIRST_FD));
    assert_int_equal(world.handover.socket, -1);
    assert_told("");
}

static void assert_nothing_was_passed(void)
{
    handover_begin(&world.handover);
    assert_int_equal(world.handover.socket, -1);
    assert_true(is_open(FIRST_FD));
    assert_environment_is_clear();
    assert_told("");
}

static void test_what_was_not_passed_is_left_alone(void **state)
{
    (void)state;
    static const char *const counts[] = {"0", "-1", "many", "", "1000000"};
    assert_int_equal(listen_somewhere(), FIRST_FD);
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        pass(counts[i], "local_api");
        assert_nothing_was_passed();
    }
    pass("1", "local_api");
    assert_int_equal(setenv("LISTEN_PID", "1", 1), 0);
    assert_nothing_was_passed();
    pass("1", "local_api");
    assert_int_equal(unsetenv("LISTEN_PID"), 0);
    assert_nothing_was_passed();
    assert_nothing_was_passed();
}

#define HANDOVER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDOVER_TEST(test_the_first_start), HANDOVER_TEST(test_the_next_start),
        HANDOVER_TEST(test_another_address), HANDOVER_TEST(test_an_address_of_nobody),
        HANDOVER_TEST(test_strangers),       HANDOVER_TEST(test_what_does_not_listen),
        HANDOVER_TEST(test_nameless),        HANDOVER_TEST(test_what_was_not_passed_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
