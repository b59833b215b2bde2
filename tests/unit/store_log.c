/* SPDX-License-Identifier: Apache-2.0 */
/* One line per call, with a priority for the journal unless a terminal reads it; one entry with
 * fields if the journal does. The linker takes the journal that is defined here. */
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/base/log.h"
#include "tests/unit/test.h"

static struct journal {
    bool reads;
    bool refuses;
    int sent;
    struct journal_entry entry;
    char text[2048];
} journal;

bool journal_reads(int fd)
{
    assert_int_equal(fd, STDERR_FILENO);
    return journal.reads;
}

bool journal_send(const char *socket_path, const struct journal_entry *entry)
{
    assert_string_equal(socket_path, JOURNAL_SOCKET);
    journal.sent++;
    journal.entry = *entry;
    (void)snprintf(journal.text, sizeof journal.text, "%s", entry->text);
    return !journal.refuses;
}

/* Returns what is logged while fd is standard error, read from other. */
#define LOGGED(fd, other, text, ...) LOGGED_BY(log_line, fd, other, text, __VA_ARGS__)
#define LOGGED_BY(log, fd, other, text, ...) \
    do { \
        int saved_ = dup(STDERR_FILENO); \
        assert_true(dup2((fd), STDERR_FILENO) >= 0); \
        log(__VA_ARGS__); \
        assert_true(dup2(saved_, STDERR_FILENO) >= 0); \
        (void)close(saved_); \
        ssize_t count_ = read((other), (text), sizeof(text) - 1); \
        assert_true(count_ >= 0); \
        (text)[count_] = '\0'; \
    } while (0)

static void test_lines(void **state)
{
    (void)state;
    char text[4096];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    LOGGED(ends[1], ends[0], text, LOG_WARNING, "guest %u: %s", 8200u, "caf\xc3\xa9");
    assert_string_equal(text, "<4>guest 8200: caf\xc3\xa9\n");
    LOGGED(ends[1], ends[0], text, LOG_DAEMON | LOG_DEBUG, "%s", "a\nb\r\x1b[2J\x7f\t");
    assert_string_equal(text, "<7>a?b??[2J??\n");
    LOGGED(ends[1], ends[0], text, LOG_ERR, "%s", "");
    assert_string_equal(text, "<3>\n");
    LOGGED(ends[1], ends[0], text, LOG_ERR, "%02000d", 0);
    assert_int_equal(strlen(text), 3 + 1023 + 1);
    assert_int_equal(text[strlen(text) - 1], '\n');
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_lines_about_a_guest(void **state)
{
    (void)state;
    char text[256];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    LOGGED_BY(log_guest, ends[1], ends[0], text, LOG_NOTICE, 8200, "revoke", "guest %u: gone",
              8200u);
    assert_string_equal(text, "<5>guest 8200: gone\n");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void assert_sent(int priority, uint32_t vmid, const char *event, const char *text)
{
    assert_int_equal(journal.sent, 1);
    assert_int_equal(journal.entry.priority, priority);
    assert_string_equal(journal.entry.identifier, "felhomd");
    assert_int_equal(journal.entry.vmid, vmid);
    assert_null(journal.entry.phase);
    if (event)
        assert_string_equal(journal.entry.event, event);
    else
        assert_null(journal.entry.event);
    assert_string_equal(journal.text, text);
    journal.sent = 0;
}

static void test_the_journal_gets_fields(void **state)
{
    (void)state;
    journal = (struct journal){.reads = true};
    log_guest(LOG_NOTICE, 8200, "revoke", "guest %u: %s", 8200u, "gone");
    assert_sent(LOG_NOTICE, 8200, "revoke", "guest 8200: gone");
    log_line(LOG_ERR, "%d", 7);
    assert_sent(LOG_ERR, 0, NULL, "7");
    log_line(LOG_ERR, "%02000d", 0);
    assert_int_equal(strlen(journal.text), 1023);
    journal = (struct journal){0};
}

static void test_what_the_journal_refuses_is_a_line(void **state)
{
    (void)state;
    char text[256];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    journal = (struct journal){.reads = true, .refuses = true};
    LOGGED_BY(log_guest, ends[1], ends[0], text, LOG_ERR, 100, "job", "a\nb");
    assert_string_equal(text, "<3>a?b\n");
    assert_int_equal(journal.sent, 1);
    journal = (struct journal){0};
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_terminal(void **state)
{
    (void)state;
    char text[256];
    int terminal = -1;
    int other = -1;
    assert_int_equal(openpty(&other, &terminal, NULL, NULL, NULL), 0);
    LOGGED(terminal, other, text, LOG_WARNING, "listening");
    assert_string_equal(text, "listening\r\n");
    (void)close(terminal);
    (void)close(other);
}

static void test_nobody_reads(void **state)
{
    (void)state;
    int saved = dup(STDERR_FILENO);
    (void)close(STDERR_FILENO);
    log_line(LOG_ERR, "lost");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_about_a_guest),
        cmocka_unit_test(test_the_journal_gets_fields),
        cmocka_unit_test(test_what_the_journal_refuses_is_a_line),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
