/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/text.h"

#include <string.h>

#include "schema/base/cleanup.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
