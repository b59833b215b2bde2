/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/text.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "tests/unit/test.h"

static void test_cases(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *shown; /* in 9 bytes */
    } cases[] = {
        {"", ""},
        {" \t\r\n", ""},
        {"plain", "plain"},
        {"  around \n", "around"},
        {"a\nb\x1B[1m", "a?b?[1m"},
        {"del\x7F", "del?"},
        {"a\xC2\x9B"
         "1m",
         "a??1m"}, /* the control characters of Latin-1 */
        {"\x9B"
         "1m\xFF\xC3",
         "?1m??"}, /* no UTF-8 */
        {"a\xE2\x80\xAE"
         "b",
         "a???b"},                              /* from right to left */
        {"\xE2\x81\xA6\xE2\x80\xA8", "??????"}, /* the same, and a line's end */
        {"exactly8", "exactly8"},
        {"nine long", "nine ..."},
        {"four\xC3\xA9\xC3\xA9", "four\xC3\xA9\xC3\xA9"},            /* 8 bytes */
        {"four\xC3\xA9\xC3\xA9\xC3\xA9", "four..."},                 /* a character has 4 to 6 */
        {"\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC", "\xE2\x82\xAC..."}, /* three of three bytes */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80", "..."},             /* no character at all */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char shown[9];
        memset(shown, 'X', sizeof shown);
        text_show(shown, sizeof shown, cases[i].text);
        assert_string_equal(shown, cases[i].shown);
    }
}

/* Messages quote what others have written. */
static void test_a_message(void **state)
{
    (void)state;
    struct error error;
    (void)fail(&error, ERROR_INVALID, "%s: \x1B]0;title\x07",
               "caf\xC3\xA9\xC2\x9B"
               "1m");
    assert_string_equal(error.message, "caf\xC3\xA9??1m: ?]0;title?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_a_message)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
