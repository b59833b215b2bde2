/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/request.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

enum { SINCE, TIMEOUT, NUMBERS };

static struct error error;
static struct query_number numbers[NUMBERS];

static int parse(const char *query)
{
    numbers[SINCE] = (struct query_number){.name = "since", .max = INT64_MAX, .value = 7};
    numbers[TIMEOUT] = (struct query_number){.name = "timeout", .max = 60};
    return query_parse(query, numbers, NUMBERS, &error);
}

static void test_good_ones(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        int64_t since;
        int64_t timeout;
    } cases[] = {
        {NULL, 7, 0},
        {"", 7, 0},
        {"since=42", 42, 0},
        {"timeout=60", 7, 60},
        {"since=0&timeout=0", 0, 0},
        {"timeout=30&since=9223372036854775807", INT64_MAX, 30},
        {"since=0000000000000000000000000000001", 1, 0},
        {"since=1&", 1, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(parse(cases[i].query), 0);
        assert_int_equal(numbers[SINCE].value, cases[i].since);
        assert_int_equal(numbers[TIMEOUT].value, cases[i].timeout);
    }
}

#define NO_SINCE   "since: must be a whole number from 0 to 9223372036854775807"
#define NO_TIMEOUT "timeout: must be a whole number from 0 to 60"
#define NAMELESS   "the query has a parameter without a name"

static void test_bad_ones(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *message;
    } cases[] = {
        {"since", NO_SINCE},
        {"since=", NO_SINCE},
        {"since=&timeout=1", NO_SINCE},
        {"since=-1", NO_SINCE},
        {"since=+1", NO_SINCE},
        {"since= 1", NO_SINCE},
        {"since=1 ", NO_SINCE},
        {"since=0x1", NO_SINCE},
        {"since=1.5", NO_SINCE},
        {"since=1=2", NO_SINCE},
        {"since=%31", NO_SINCE},
        {"since=9223372036854775808", NO_SINCE},
        {"timeout=61", NO_TIMEOUT},
        {"timeout=30s", NO_TIMEOUT},
        {"since=1&since=1", "since: is given twice"},
        {"limit=5", "limit: unknown parameter"},
        {"SINCE=5", "SINCE: unknown parameter"},
        {"sinc=5", "sinc: unknown parameter"},
        {"since2=5", "since2: unknown parameter"},
        {"since=1&x", "x: unknown parameter"},
        {"=1", NAMELESS},
        {"&since=1", NAMELESS},
        {"since=1&&timeout=1", NAMELESS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(parse(cases[i].query), -1);
        assert_int_equal(error.kind, ERROR_INVALID);
        assert_string_equal(error.message, cases[i].message);
    }
}

static void test_a_long_name_is_cut(void **state)
{
    (void)state;
    char query[10001];
    memset(query, 'x', sizeof query - 1);
    query[sizeof query - 1] = '\0';
    assert_int_equal(parse(query), -1);
    assert_true(strlen(error.message) < 100);
    assert_non_null(strstr(error.message, "xxx: unknown parameter"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones),
        cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_a_long_name_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
