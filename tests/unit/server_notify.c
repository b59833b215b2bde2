/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/test.h"

/* A service manager's socket with an abstract name. */
static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int *fd = malloc(sizeof *fd);
    (void)snprintf(name, sizeof name, "@felhom-notify-%d", getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&address,
                          (socklen_t)(sizeof address.sun_family + strlen(name))),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    *state = fd;
    return 0;
}

static int tear_down(void **state)
{
    int *fd = *state;
    (void)close(*fd);
    free(fd);
    (void)unsetenv("NOTIFY_SOCKET");
    return 0;
}

/* The next message, "" if there is none. */
static const char *receive(void **state, char ret[static 256])
{
    const int *fd = *state;
    ssize_t length = recv(*fd, ret, 255, 0);
    ret[length > 0 ? length : 0] = '\0';
    return ret;
}

static void test_messages(void **state)
{
    char text[256];
    notify_ready();
    assert_string_equal(receive(state, text), "READY=1\nSTATUS=serving");
    notify_stopping();
    assert_string_equal(receive(state, text), "STOPPING=1");
    notify_watchdog();
    assert_string_equal(receive(state, text), "WATCHDOG=1");
    notify_waiting("there is no bridge vmbr0", false);
    assert_string_equal(receive(state, text), "STATUS=waiting: there is no bridge vmbr0");
    notify_waiting("there is no bridge vmbr0", true);
    assert_string_equal(receive(state, text), "READY=1\nSTATUS=waiting: there is no bridge vmbr0");
    notify_drop("something");
    assert_string_equal(receive(state, text), "FDSTOREREMOVE=1\nFDNAME=something");
    notify_reloading();
    long long moment = 0;
    assert_int_equal(sscanf(receive(state, text), "RELOADING=1\nMONOTONIC_USEC=%lld", &moment), 1);
    assert_true(moment > 0);
}

static void test_a_descriptor_goes_with_its_name(void **state)
{
    const int *manager = *state;
    char text[256] = "";
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec bytes = {text, sizeof text - 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    int ends[2];
    int kept = -1;
    assert_int_equal(pipe(ends), 0);
    notify_keep("something", ends[1]);
    assert_true(recvmsg(*manager, &message, 0) > 0);
    assert_string_equal(text, "FDSTORE=1\nFDNAME=something");
    memcpy(&kept, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof kept);
    assert_int_equal(write(kept, "x", 1), 1);
    assert_int_equal(read(ends[0], text, sizeof text), 1);
    (void)close(kept);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_without_a_manager_nothing_happens(void **state)
{
    char text[256];
    static const char *const names[] = {"", "@", "relative", "/nowhere/at/all"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        notify_ready();
    }
    char too_long[200];
    memset(too_long, '/', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    assert_int_equal(setenv("NOTIFY_SOCKET", too_long, 1), 0);
    notify_ready();
    (void)unsetenv("NOTIFY_SOCKET");
    notify_ready();
    notify_keep("something", STDIN_FILENO);
    assert_string_equal(receive(state, text), "");
}

static void test_watchdog_interval(void **state)
{
    (void)state;
    char process[16];
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    assert_int_equal(notify_watchdog_us(), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    assert_int_equal(notify_watchdog_us(), 30000000);
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
    assert_int_equal(notify_watchdog_us(), 0);
    (void)snprintf(process, sizeof process, "%d", getpid());
    assert_int_equal(setenv("WATCHDOG_PID", process, 1), 0);
    assert_int_equal(notify_watchdog_us(), 30000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_descriptor_goes_with_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_manager_nothing_happens, set_up, tear_down),
        cmocka_unit_test(test_watchdog_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
