/* SPDX-License-Identifier: Apache-2.0 */
/* Nudges: each permitted sender is received, and nothing can delay the sender. */
#include "tests/unit/test.h"

#include "store/base/nudge.h"

#include <errno.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "store/base/clock.h"
#include "tests/unit/store_fixture.h"

#define LONG_NAME \
    "state/a-directory-of-a-name/that-is-longer-than-any/address-of-a-socket/can-be/as-that-has/" \
    "room-for-no-more-than/one-hundred-and-eight-bytes"

static int listen_in(const char *directory)
{
    int fd = -1;
    OK(nudge_listen(in_scratch(directory), &fd, &error));
    return fd;
}

static void test_one_is_heard(void **state)
{
    (void)state;
    cleanup_close int fd = listen_in("state");
    assert_false(nudge_receive(fd));
    nudge_send(in_scratch("state"));
    assert_true(nudge_receive(fd));
    assert_false(nudge_receive(fd));
}

static void test_several_count_as_one(void **state)
{
    (void)state;
    cleanup_close int fd = listen_in("state");
    for (int i = 0; i < 5; i++)
        nudge_send(in_scratch("state"));
    assert_true(nudge_receive(fd));
    assert_false(nudge_receive(fd));
}

static void test_nobody_listens(void **state)
{
    (void)state;
    nudge_send(in_scratch("state"));
    nudge_send(in_scratch("nowhere"));
    shell("touch state/nudge");
    nudge_send(in_scratch("state"));
    assert_content("state/nudge", "");
}

static void test_who_listens_can_be_told(void **state)
{
    (void)state;
    assert_false(nudge_has_listener(in_scratch("nowhere")));
    assert_false(nudge_has_listener(in_scratch("state")));
    int fd = listen_in("state");
    assert_true(nudge_has_listener(in_scratch("state")));
    assert_false(nudge_receive(fd));
    (void)close(fd);
    assert_false(nudge_has_listener(in_scratch("state")));
}

static void test_a_dead_one_is_replaced(void **state)
{
    (void)state;
    (void)close(listen_in("state"));
    assert_true(is_there("state/nudge"));
    nudge_send(in_scratch("state"));
    cleanup_close int fd = listen_in("state");
    assert_false(nudge_receive(fd));
    nudge_send(in_scratch("state"));
    assert_true(nudge_receive(fd));
}

/* The message contains this reason. */
static void assert_refused(enum error_kind kind, const char *message)
{
    int fd = -1;
    assert_int_equal(nudge_listen(in_scratch("state"), &fd, &error), -1);
    assert_int_equal(fd, -1);
    assert_int_equal(error.kind, kind);
    if (!strstr(error.message, message))
        fail_test("no \"%s\" in \"%s\"", message, error.message);
}

static void test_a_living_one_is_not(void **state)
{
    (void)state;
    cleanup_close int fd = listen_in("state");
    assert_refused(ERROR_CONFLICT, "another felhomd listens on ");
    nudge_send(in_scratch("state"));
    assert_true(nudge_receive(fd));
}

static void test_something_else_has_the_name(void **state)
{
    (void)state;
    static const char *const makers[] = {"echo x > state/nudge", "mkdir state/nudge",
                                         "ln -s nowhere state/nudge", "mkfifo state/nudge"};
    for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
        shell("%s", makers[i]);
        nudge_send(in_scratch("state"));
        assert_refused(ERROR_CONFLICT, "/state/nudge is not a socket: move it out of the way");
        assert_true(is_there("state/nudge"));
        shell("rm -r state/nudge");
    }
}

static void test_no_directory(void **state)
{
    (void)state;
    shell("rmdir state");
    assert_refused(ERROR_SYSTEM, "/state: No such file or directory");
    shell("touch state");
    assert_refused(ERROR_SYSTEM, "/state: Not a directory");
}

static void test_the_path_may_be_long(void **state)
{
    (void)state;
    shell("mkdir -p %s", LONG_NAME);
    assert_true(strlen(in_scratch(LONG_NAME)) > sizeof((struct sockaddr_un *)0)->sun_path);
    cleanup_close int fd = listen_in(LONG_NAME);
    nudge_send(in_scratch(LONG_NAME));
    assert_true(nudge_receive(fd));
}

static void test_its_mode_is_never_wider(void **state)
{
    (void)state;
    mode_t mask = umask(0);
    cleanup_close int fd = listen_in("state");
    (void)umask(mask);
    assert_int_equal(status_of("state/nudge").st_mode, S_IFSOCK | 0600);
}

static int send_as_nobody(void)
{
    EXPECT(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
           setresuid(65534, 65534, 65534) == 0);
    nudge_send(in_scratch("state"));
    return 0;
}

static void test_others_are_not_heard(void **state)
{
    (void)state;
    needs_root();
    cleanup_close int fd = listen_in("state");
    in_child(send_as_nobody);
    assert_false(nudge_receive(fd));
    assert_int_equal(chmod(in_scratch("state/nudge"), 0666), 0);
    in_child(send_as_nobody);
    assert_true(nudge_receive(fd));
}

/* Otherwise the directory's owner could have root send to any socket of the host. */
static void test_no_link_is_followed(void **state)
{
    (void)state;
    shell("mkdir elsewhere");
    cleanup_close int fd = listen_in("elsewhere");
    shell("ln -s ../elsewhere/nudge state/nudge");
    nudge_send(in_scratch("state"));
    assert_false(nudge_receive(fd));
}

static void test_a_full_queue_holds_nobody_up(void **state)
{
    (void)state;
    cleanup_close int fd = listen_in("state");
    for (int i = 0; i < 2000; i++)
        nudge_send(in_scratch("state")); /* for ever, if it waited for somebody to hear */
    assert_true(nudge_receive(fd));
    assert_false(nudge_receive(fd));
}

static void test_what_it_says_does_not_matter(void **state)
{
    (void)state;
    static char bytes[30000];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int fd = listen_in("state");
    cleanup_close int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", in_scratch("state/nudge"));
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(
        sendto(sender, bytes, sizeof bytes, 0, (const struct sockaddr *)&address, sizeof address),
        sizeof bytes);
    assert_true(nudge_receive(fd));
    assert_false(nudge_receive(fd));
}

static int open_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

static void test_no_descriptor_is_left(void **state)
{
    (void)state;
    int before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        cleanup_close int fd = listen_in("state");
        nudge_send(in_scratch("state"));
        assert_refused(ERROR_CONFLICT, "another felhomd");
    }
    nudge_send(in_scratch("state"));
    shell("rm state/nudge; echo x > state/nudge");
    nudge_send(in_scratch("state"));
    assert_refused(ERROR_CONFLICT, "is not a socket");
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_one_is_heard),
        store_test(test_several_count_as_one),
        store_test(test_nobody_listens),
        store_test(test_who_listens_can_be_told),
        store_test(test_a_dead_one_is_replaced),
        store_test(test_a_living_one_is_not),
        store_test(test_something_else_has_the_name),
        store_test(test_no_directory),
        store_test(test_the_path_may_be_long),
        store_test(test_its_mode_is_never_wider),
        store_test(test_others_are_not_heard),
        store_test(test_no_link_is_followed),
        store_test(test_a_full_queue_holds_nobody_up),
        store_test(test_what_it_says_does_not_matter),
        store_test(test_no_descriptor_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
