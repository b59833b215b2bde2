/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a stand-in for Gitea, over TLS. */
#include "server/registry/gitea.h"

#include <inttypes.h>

#include "schema/base/units.h"
#include "schema/json/json.h"
#include "server/outbound/http_client.h"
#include "store/base/clock.h"
#include "tests/unit/standin.h"

#define PASSWORD "pass: wörd"
#define NAME     "felhom-demo-8200-0123456789abcdef"
#define USERS    "{\"felhom\": \"" PASSWORD "\", \"other\": \"x\"}"

static struct config config;
static struct http_client *client;
static struct gitea_call call;
static struct buffer token;
static bool may_exist;
static struct error error;

/* --- before and after --- */

static void read_config(const char *username, const char *ca_file)
{
    cleanup_free char *text = mem_format(
        "registry: {mode: gitea, host: '127.0.0.1:%u', username: \"%s\", secret_file: /none, "
        "ca_file: %s/%s}\n",
        standin.port, username, scratch, ca_file);
    config_free(&config);
    if (config_parse("agent.yaml", text, strlen(text), &config, &error) < 0)
        fail_test("%s", error.message);
}

static int begin_group(void **state)
{
    if (scratch_make(state) < 0)
        return -1;
    standin_certificates();
    standin_start("gitea");
    return 0;
}

static int end_group(void **state)
{
    standin_stop();
    config_free(&config);
    return scratch_remove(state);
}

static int set_up(void **state)
{
    (void)state;
    standin_write("users.json", USERS);
    standin_write("tokens.json", "[]");
    standin_write("control.json", "{}");
    standin_write("requests.jsonl", "");
    read_config("felhom", "ca.pem");
    client = http_client_new(NULL, NULL);
    call = (struct gitea_call){client, &config, PASSWORD, clock_steady_us() + 600 * SECOND_US};
    error = (struct error){.kind = ERROR_NONE};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_free(&token);
    http_client_free(client);
    return 0;
}

/* --- what is to be seen --- */

static void mint(const char *name)
{
    if (gitea_mint(&call, name, &token, &may_exist, &error) != 0)
        fail_test("%s", error.message);
}

static void assert_error(enum error_kind kind, const char *what)
{
    cleanup_free char *message = mem_format("https://127.0.0.1:%u%s", standin.port, what);
    assert_string_equal(error.message, message);
    assert_int_equal(error.kind, kind);
    assert_null(strstr(error.message, PASSWORD));
}

/* expected: whether such a token may exist nevertheless */
static void assert_no_mint(enum error_kind kind, const char *what, bool expected)
{
    may_exist = !expected;
    assert_int_equal(gitea_mint(&call, NAME, &token, &may_exist, &error), -1);
    assert_error(kind, what);
    assert_int_equal(may_exist, expected);
    assert_int_equal(token.length, 0);
}

static void assert_no_delete(enum error_kind kind, const char *what)
{
    assert_int_equal(gitea_delete(&call, NAME, &error), -1);
    assert_error(kind, what);
}

/* --- making one --- */

static void test_a_token_that_may_read_packages(void **state)
{
    (void)state;
    buffer_add_text(&token, "before ");
    mint(NAME);
    assert_int_equal(token.length, 7 + 40);
    standin_holds("[.[] | .user, .name, .scopes]", "[\"felhom\",\"" NAME "\",[\"read:package\"]]");
    cleanup_free char *filter =
        mem_format(".[0].sha1 == \"%s\"", buffer_text(&token) + strlen("before "));
    standin_holds(filter, "true");
    standin_was_asked("map([.method, .path, .body])",
                      "[[\"POST\",\"/api/v1/users/felhom/tokens\",\"{\\\"name\\\":\\\"" NAME
                      "\\\",\\\"scopes\\\":[\\\"read:package\\\"]}\"]]");
}

static void test_a_name_that_is_taken(void **state)
{
    (void)state;
    mint(NAME);
    buffer_free(&token);
    assert_no_mint(ERROR_BUSY, " answered 400 Bad Request: access token name has been used already",
                   true);
}

static void test_a_user_whose_name_needs_escapes(void **state)
{
    (void)state;
    read_config("a/b?%20ö#", "ca.pem");
    assert_int_equal(gitea_mint(&call, NAME, &token, &may_exist, &error), -1);
    standin_was_asked("map([.path, .query])", "[[\"/api/v1/users/a/b?%20ö#/tokens\",{}]]");
}

static void test_a_wrong_password(void **state)
{
    (void)state;
    call.password = "wrong";
    assert_no_mint(ERROR_DENIED, " answered 401 Unauthorized: invalid username, password or token",
                   false);
    assert_no_delete(ERROR_DENIED,
                     " answered 401 Unauthorized: invalid username, password or token");
}

static void test_a_user_that_is_gone(void **state)
{
    (void)state;
    standin_write("control.json", "{\"status\": 404, \"reason\": \"Not Found\"}");
    assert_no_mint(ERROR_BUSY, " answered 404 Not Found", false);
    standin_write("control.json", "{\"status\": 403, \"reason\": \"Forbidden\"}");
    assert_no_mint(ERROR_DENIED, " answered 403 Forbidden", false);
}

static void test_what_an_answer_says_is_shown_as_one_line(void **state)
{
    (void)state;
    standin_write("control.json", "{\"status\": 500, \"reason\": \"so \\u0007 so\"}");
    assert_no_mint(ERROR_BUSY, " answered 500 so ? so", true);
    standin_write("control.json", "{\"status\": 302, \"reason\": \"Found\"}");
    assert_no_mint(ERROR_BUSY, " answered 302 Found", true);
    standin_write("control.json", "{\"status\": 200, \"reason\": \"OK\"}");
    assert_no_mint(ERROR_BUSY, " answered with something other than a token", true);
}

static void test_answers_that_hold_no_token(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "{\\\"sha1\\\": \\\"\\\"}",
        "{\\\"sha1\\\": 5}",
        "{\\\"sha1\\\": \\\"two words\\\"}",
        "{\\\"sha1\\\": \\\"line\\\\n\\\"}",
        "{\\\"token\\\": \\\"abc\\\"}",
        "{\\\"sha1\\\": \\\"\\u00e4\\\"}",
        "{\\\"sha1\\\": \\\"a\\\", \\\"sha1\\\": \\\"b\\\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        cleanup_free char *control = mem_format("{\"say_made\": \"%s\"}", bodies[i]);
        standin_write("tokens.json", "[]");
        standin_write("control.json", control);
        assert_no_mint(ERROR_BUSY, " answered with something other than a token", true);
    }
    cleanup_free char *control =
        mem_format("{\"say_made\": \"{\\\"sha1\\\": \\\"%0257d\\\"}\"}", 0);
    standin_write("tokens.json", "[]");
    standin_write("control.json", control);
    assert_no_mint(ERROR_BUSY, " answered with something other than a token", true);
}

/* --- scopes --- */

#define NOT_LIMITED \
    " made a token that is not limited to read:package, and it is deleted: Gitea or Forgejo 1.19 " \
    "or newer is needed"

static void test_a_registry_without_scopes(void **state)
{
    (void)state;
    standin_write("control.json", "{\"version\": \"1.18\"}");
    assert_no_mint(ERROR_DENIED, NOT_LIMITED, true);
    standin_holds("map(.scopes)", "[null]");
}

static void test_a_registry_that_makes_it_wider(void **state)
{
    static const char *const scopes[] = {
        "[]", "[\"all\"]", "[\"write:package\"]", "[\"read:package\", \"read:user\"]", "[5]",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
        cleanup_free char *told = mem_format("{\"make_scopes\": %s}", scopes[i]);
        cleanup_free char *listed =
            mem_format("{\"make_scopes\": %s, \"version\": \"1.20\"}", scopes[i]);
        standin_write("tokens.json", "[]");
        standin_write("control.json", told);
        assert_no_mint(ERROR_DENIED, NOT_LIMITED, true);
        standin_write("tokens.json", "[]");
        standin_write("control.json", listed);
        assert_no_mint(ERROR_DENIED, NOT_LIMITED, true);
    }
}

/* More than one page of them. */
static void write_many_tokens(void)
{
    shell("jq -nc '[range(1; 200) | {id: ., user: \"felhom\", name: \"n\\(.)\", sha1: \"old\\(.)\","
          " scopes: [\"all\"]}]' >tokens.json");
}

static void test_scopes_that_are_told_in_the_list_alone(void **state)
{
    (void)state;
    write_many_tokens();
    standin_write("control.json", "{\"version\": \"1.22.2\"}");
    mint(NAME);
    assert_int_equal(token.length, 40);
    standin_was_asked("map(.method)", "[\"POST\",\"GET\"]");
}

static void test_lists_that_say_nothing(void **state)
{
    static const struct {
        const char *text;
        const char *problem;
        enum error_kind kind;
    } lists[] = {
        {"", " answered with something other than a list of tokens", ERROR_BUSY},
        {"[", " answered with something other than a list of tokens", ERROR_BUSY},
        {"{}", NOT_LIMITED, ERROR_DENIED},
        {"[]", NOT_LIMITED, ERROR_DENIED},
        {"[1, null, {}]", NOT_LIMITED, ERROR_DENIED},
        {"[{\\\"name\\\": \\\"another\\\", \\\"scopes\\\": [\\\"read:package\\\"]}]", NOT_LIMITED,
         ERROR_DENIED},
        {"[{\\\"name\\\": \\\"" NAME "\\\"}]", NOT_LIMITED, ERROR_DENIED},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        cleanup_free char *control =
            mem_format("{\"version\": \"1.20\", \"say_list\": \"%s\"}", lists[i].text);
        standin_write("tokens.json", "[]");
        standin_write("control.json", control);
        assert_no_mint(lists[i].kind, lists[i].problem, true);
    }
}

/* --- deleting one --- */

static void test_deletes_one_by_its_name(void **state)
{
    (void)state;
    mint(NAME "0");
    mint(NAME);
    assert_int_equal(gitea_delete(&call, NAME, &error), 0);
    standin_holds("map(.name)", "[\"" NAME "0\"]");
    assert_no_delete(ERROR_MISSING, " answered 404 Not Found: The target couldn't be found.");
    standin_was_asked("last.path", "\"/api/v1/users/felhom/tokens/" NAME "\"");
}

static void test_refusals_to_delete(void **state)
{
    (void)state;
    mint(NAME);
    standin_write("control.json", "{\"status\": 500, \"reason\": \"oops\"}");
    assert_no_delete(ERROR_BUSY, " answered 500 oops");
    standin_write("control.json", "{\"status\": 403, \"reason\": \"no\"}");
    assert_no_delete(ERROR_DENIED, " answered 403 no");
    standin_write("control.json", "{\"garbage\": true}");
    assert_no_delete(ERROR_BUSY, " answered 200 OK");
    /* A server that has no tokens at all cannot report that a token does not exist. */
    standin_write("control.json", "{\"status\": 404, \"reason\": \"page not found\"}");
    assert_no_delete(ERROR_BUSY, " answered 404 page not found");
    standin_holds("length", "1");
}

/* --- trouble --- */

static void test_trouble_on_the_way(void **state)
{
    static const struct {
        const char *control;
        const char *problem;
    } cases[] = {
        {"{\"drop\": true}", ": hung up without an answer"},
        {"{\"lose_answer\": true}", ": hung up without an answer"},
        {"{\"half\": true}", ": hung up in the middle of its answer"},
        {"{\"garbage\": true}", " answered with something other than a token"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        standin_write("control.json", cases[i].control);
        assert_no_mint(ERROR_BUSY, cases[i].problem, true);
    }
    standin_holds("length", "1"); /* the answer that was lost */
    standin_was_asked("map(select(.method == \"POST\")) | length", "4");
}

static void test_a_reply_that_is_too_large(void **state)
{
    (void)state;
    shell("jq -nc '{say_made: (\"x\" * 300000)}' >control.json");
    assert_no_mint(ERROR_BUSY, ": the reply is larger than 262144 bytes", true);
}

static void test_a_slow_registry(void **state)
{
    (void)state;
    standin_write("control.json", "{\"delay\": 600}");
    call.deadline_us = clock_steady_us() + 3 * SECOND_US;
    may_exist = false;
    assert_int_equal(gitea_mint(&call, NAME, &token, &may_exist, &error), -1);
    assert_non_null(strstr(error.message, ": no answer within 2"));
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_true(may_exist);
}

static void test_no_time_is_left(void **state)
{
    (void)state;
    call.deadline_us = clock_steady_us() - 1;
    for (int i = 0; i < 20; i++)
        assert_no_mint(ERROR_BUSY, ": no answer within 0 ms", false);
    standin_was_asked("length", "0");
}

static void test_a_registry_that_is_away(void **state)
{
    (void)state;
    standin_stop();
    assert_no_mint(ERROR_BUSY, ": no connection: Connection refused", false);
    assert_no_delete(ERROR_BUSY, ": no connection: Connection refused");
    standin_start("gitea");
    mint(NAME);
}

static void test_the_certificate_is_verified(void **state)
{
    (void)state;
    cleanup_free char *problem =
        mem_format(": its certificate is not signed by %s/other-ca.pem", scratch);
    read_config("felhom", "other-ca.pem");
    assert_no_mint(ERROR_DENIED, problem, false);
    assert_no_delete(ERROR_DENIED, problem);
    standin_was_asked("length", "0");
}

static void test_a_missing_ca_file_is_the_hosts_trouble(void **state)
{
    (void)state;
    cleanup_free char *problem = mem_format(": %s/no-ca.pem: No such file or directory", scratch);
    read_config("felhom", "no-ca.pem");
    assert_no_mint(ERROR_SYSTEM, problem, false);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_token_that_may_read_packages),
        TEST(test_a_name_that_is_taken),
        TEST(test_a_user_whose_name_needs_escapes),
        TEST(test_a_wrong_password),
        TEST(test_a_user_that_is_gone),
        TEST(test_what_an_answer_says_is_shown_as_one_line),
        TEST(test_answers_that_hold_no_token),
        TEST(test_a_registry_without_scopes),
        TEST(test_a_registry_that_makes_it_wider),
        TEST(test_scopes_that_are_told_in_the_list_alone),
        TEST(test_lists_that_say_nothing),
        TEST(test_deletes_one_by_its_name),
        TEST(test_refusals_to_delete),
        TEST(test_trouble_on_the_way),
        TEST(test_a_reply_that_is_too_large),
        TEST(test_a_slow_registry),
        TEST(test_no_time_is_left),
        TEST(test_a_registry_that_is_away),
        TEST(test_the_certificate_is_verified),
        TEST(test_a_missing_ca_file_is_the_hosts_trouble),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
