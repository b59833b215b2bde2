/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/hub_reply.h"

#include <string.h>

#include "tests/unit/test.h"

static struct hub_reply parsed(const char *text)
{
    struct error error = {0};
    struct hub_reply reply = {0};
    if (hub_reply_parse(text, strlen(text), &reply, &error) != 0)
        fail_test("%s: %s", text, error.message);
    return reply;
}

static void reads_all_it_knows(void **state)
{
    (void)state;
    const struct hub_reply reply =
        parsed("{\"poll_interval_seconds\": 120, \"blocked\": true, \"desired_generation\": 7,"
               " \"has_signed_ops\": true, \"more\": [1, {\"x\": null}]}");
    assert_int_equal(reply.poll_seconds, 120);
    assert_true(reply.blocked);
    assert_int_equal(reply.desired_generation, 7);
    assert_true(reply.has_signed_ops);
}

static void keeps_the_interval_within_bounds(void **state)
{
    static const struct {
        const char *text;
        uint32_t seconds;
    } cases[] = {
        {"{\"poll_interval_seconds\": 60}", 60},
        {"{\"poll_interval_seconds\": 59}", 60},
        {"{\"poll_interval_seconds\": 0}", 60},
        {"{\"poll_interval_seconds\": -900}", 60},
        {"{\"poll_interval_seconds\": 3600}", 3600},
        {"{\"poll_interval_seconds\": 3601}", 3600},
        {"{\"poll_interval_seconds\": 1e300}", 3600},
        {"{\"poll_interval_seconds\": 90.9}", 90},
        {"{\"poll_interval_seconds\": -1e300}", 60},
        {"{\"poll_interval_seconds\": 9223372036854775807}", 3600},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(parsed(cases[i].text).poll_seconds, cases[i].seconds);
}

static void takes_what_is_missing_or_odd_as_not_said(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "{\"poll_interval_seconds\": \"60\", \"blocked\": 1, \"desired_generation\": \"7\","
        " \"has_signed_ops\": null}",
    };
    const struct hub_reply nothing = {.desired_generation = HUB_GENERATION_NONE};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct hub_reply reply = parsed(texts[i]);
        assert_true(hub_reply_equals(&reply, &nothing));
    }
}

static void refuses_what_is_no_object(void **state)
{
    static const char *const texts[] = {"[]",  "null", "7",           "\"x\"",
                                        "<ht", "{",    "{\"a\": 1}x", "{\"a\": 1, \"a\": 2}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error error = {0};
        struct hub_reply reply = {.poll_seconds = 99};
        assert_int_equal(hub_reply_parse(texts[i], strlen(texts[i]), &reply, &error), -1);
        assert_int_equal(error.kind, ERROR_INVALID);
        assert_int_equal(reply.poll_seconds, 99);
    }
}

static void tells_answers_apart(void **state)
{
    (void)state;
    const struct hub_reply one = {120, true, 7, true};
    struct hub_reply others[] = {one, one, one, one};
    others[0].poll_seconds = 60;
    others[1].blocked = false;
    others[2].desired_generation = 8;
    others[3].has_signed_ops = false;
    assert_true(hub_reply_equals(&one, &one));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(hub_reply_equals(&one, &others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_it_knows),
        cmocka_unit_test(keeps_the_interval_within_bounds),
        cmocka_unit_test(takes_what_is_missing_or_odd_as_not_said),
        cmocka_unit_test(refuses_what_is_no_object),
        cmocka_unit_test(tells_answers_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
