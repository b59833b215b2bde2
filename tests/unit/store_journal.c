/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent to the journal and to syslog, with the test's own sockets in their places. */
#include "store/base/log.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/scratch.h"

static struct world {
    char path[96];
    int socket;
} world;

static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_int_equal(scratch_make(state), 0);
    (void)snprintf(world.path, sizeof world.path, "%s", in_scratch("socket"));
    (void)strcpy(address.sun_path, world.path);
    world.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return bind(world.socket, (const struct sockaddr *)&address, sizeof address);
}

static int tear_down(void **state)
{
    (void)close(world.socket);
    return scratch_remove(state);
}

/* Returns the next datagram; "" if there is none. */
static const char *receive(void)
{
    static char datagram[65536];
    ssize_t length = recv(world.socket, datagram, sizeof datagram - 1, 0);
    datagram[length > 0 ? length : 0] = '\0';
    assert_int_equal(strlen(datagram), length > 0 ? length : 0);
    return datagram;
}

static void test_all_fields(void **state)
{
    (void)state;
    const struct journal_entry entry = {
        .priority = LOG_WARNING,
        .identifier = "felhom-hook",
        .vmid = 8200,
        .phase = "pre-start",
        .event = "mint",
        .text = "a token for caf\xc3\xa9",
    };
    assert_true(journal_send(world.path, &entry));
    assert_string_equal(receive(), "MESSAGE=a token for caf\xc3\xa9\nPRIORITY=4\n"
                                   "SYSLOG_IDENTIFIER=felhom-hook\nVMID=8200\n"
                                   "PHASE=pre-start\nEVENT=mint\n");
    assert_string_equal(receive(), "");
}

static void test_what_is_not_known_is_no_field(void **state)
{
    (void)state;
    const struct journal_entry entry = {
        .priority = LOG_DAEMON | LOG_ERR, .identifier = "felhomd", .text = ""};
    assert_true(journal_send(world.path, &entry));
    assert_string_equal(receive(), "MESSAGE=\nPRIORITY=3\nSYSLOG_IDENTIFIER=felhomd\n");
}

static void test_no_value_begins_another_field(void **state)
{
    (void)state;
    const struct journal_entry entry = {
        .priority = LOG_INFO,
        .identifier = "felhomd",
        .vmid = 100,
        .phase = "a\nVMID=1",
        .event = "b\nPRIORITY=0",
        .text = "c\nVMID=999\r\x1b[2J\x7f\t",
    };
    assert_true(journal_send(world.path, &entry));
    assert_string_equal(receive(), "MESSAGE=c?VMID=999??[2J??\nPRIORITY=6\n"
                                   "SYSLOG_IDENTIFIER=felhomd\nVMID=100\n"
                                   "PHASE=a?VMID=1\nEVENT=b?PRIORITY=0\n");
}

static void test_a_very_long_text_is_cut(void **state)
{
    (void)state;
    enum { KEPT = 8192, LENGTH = 1000000 };
    char *text = malloc(LENGTH + 1);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    const struct journal_entry entry = {
        .priority = LOG_INFO, .identifier = "felhomd", .vmid = 100, .text = text};
    assert_true(journal_send(world.path, &entry));
    const char *datagram = receive();
    assert_memory_equal(datagram, "MESSAGE=xxx", 11);
    assert_string_equal(datagram + strlen("MESSAGE=") + KEPT,
                        "\nPRIORITY=6\nSYSLOG_IDENTIFIER=felhomd\nVMID=100\n");
    assert_true(syslog_send(world.path, &entry));
    assert_true(strlen(receive()) < KEPT + 64);
    free(text);
}

static void test_syslog(void **state)
{
    (void)state;
    char expected[128];
    const struct journal_entry entry = {
        .priority = LOG_ERR,
        .identifier = "felhom-hook",
        .vmid = 8200,
        .phase = "pre-start",
        .text = "no\nroom",
    };
    (void)snprintf(expected, sizeof expected, "<27>felhom-hook[%d]: no?room", getpid());
    assert_true(syslog_send(world.path, &entry));
    assert_string_equal(receive(), expected);
}

static void test_nobody_there(void **state)
{
    (void)state;
    char path[200];
    const struct journal_entry entry = {
        .priority = LOG_ERR, .identifier = "felhomd", .text = "lost"};
    assert_false(journal_send("/nonexistent/socket", &entry));
    assert_false(syslog_send("/nonexistent/socket", &entry));
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_false(journal_send(path, &entry));
}

/* A journal that accepts no more datagrams must not delay the program. */
static void test_a_full_journal_is_not_waited_for(void **state)
{
    (void)state;
    const struct journal_entry entry = {
        .priority = LOG_ERR, .identifier = "felhomd", .text = "one of many"};
    int sent = 0;
    while (sent < 100000 && journal_send(world.path, &entry))
        sent++;
    assert_in_range(sent, 1, 99999);
}

static void set_stream(const struct stat *status, const char *rest)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%llu:%llu%s", (unsigned long long)status->st_dev,
                   (unsigned long long)status->st_ino, rest);
    assert_int_equal(setenv("JOURNAL_STREAM", text, 1), 0);
}

static void test_whether_the_journal_reads(void **state)
{
    (void)state;
    struct stat status;
    int ends[2];
    int other[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(other), 0);
    assert_int_equal(fstat(ends[1], &status), 0);
    (void)unsetenv("JOURNAL_STREAM");
    assert_false(journal_reads(ends[1]));
    set_stream(&status, "");
    assert_true(journal_reads(ends[1]));
    assert_false(journal_reads(other[1]));
    assert_false(journal_reads(-1));
    set_stream(&status, "0");
    assert_false(journal_reads(ends[1]));
    assert_int_equal(setenv("JOURNAL_STREAM", "", 1), 0);
    assert_false(journal_reads(ends[1]));
    (void)unsetenv("JOURNAL_STREAM");
    for (int i = 0; i < 2; i++) {
        (void)close(ends[i]);
        (void)close(other[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_known_is_no_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_value_begins_another_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_very_long_text_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_syslog, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_journal_is_not_waited_for, set_up, tear_down),
        cmocka_unit_test(test_whether_the_journal_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
