/* SPDX-License-Identifier: Apache-2.0 */
/* One line per call, marked for the journal unless a terminal reads it. */
#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <unistd.h>

#include "store/log.h"
#include "tests/unit/test.h"

/* What log_line writes while fd is standard error, read back from other. */
#define LOGGED(fd, other, text, ...) \
    do { \
        int saved_ = dup(STDERR_FILENO); \
        assert_true(dup2((fd), STDERR_FILENO) >= 0); \
        log_line(__VA_ARGS__); \
        assert_true(dup2(saved_, STDERR_FILENO) >= 0); \
        (void)close(saved_); \
        ssize_t count_ = read((other), (text), sizeof(text) - 1); \
        assert_true(count_ >= 0); \
        (text)[count_] = '\0'; \
    } while (0)

static void test_journal(void **state)
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
        cmocka_unit_test(test_journal),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
