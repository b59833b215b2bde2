/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/request.h"

#include <civetweb.h>
#include <string.h>

#include "tests/unit/test.h"

/* A request as CivetWeb passes it; headers in pairs, terminated by NULL. */
static struct mg_request_info info_new(const char *method, const char *const *headers)
{
    struct mg_request_info info = {
        .request_method = method,
        .local_uri = "/storage",
        .http_version = "1.1",
    };
    for (; headers[0]; headers += 2)
        info.http_headers[info.num_headers++] = (struct mg_header){headers[0], headers[1]};
    return info;
}

#define INFO(method, ...) info_new(method, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static int parse(struct mg_request_info info)
{
    struct request request;
    return request_parse(&info, &request);
}

static void assert_token(const char *authorization, const char *expected)
{
    struct mg_request_info info = INFO("GET", "authorization", authorization);
    struct request request;
    assert_int_equal(request_parse(&info, &request), 0);
    if (request.token.length != strlen(expected) ||
        memcmp(request.token.text, expected, strlen(expected)) != 0)
        fail_test("Authorization: %s", authorization);
}

static void test_bearer_tokens(void **state)
{
    (void)state;
    assert_token("Bearer abc", "abc");
    assert_token("bearer abc", "abc");
    assert_token("BEARER \t abc", "abc");
    assert_token("Bearer abc \t", "abc");
    assert_token("Bearer abc def", "abc def");
    assert_token("Bearer", "");
    assert_token("Bearer ", "");
    assert_token("Bearerabc", "");
    assert_token("Bearer: abc", "");
    assert_token("Basic abc", "");
    assert_token("", "");
}

static void test_no_token(void **state)
{
    (void)state;
    struct mg_request_info info = INFO("GET");
    struct request request;
    assert_int_equal(request_parse(&info, &request), 0);
    assert_int_equal(request.token.length, 0);
    assert_non_null(request.token.text);
}

static void test_head_is_get_without_a_body(void **state)
{
    (void)state;
    struct mg_request_info info = INFO("HEAD");
    struct request request;
    assert_int_equal(request_parse(&info, &request), 0);
    assert_true(request.head);
    assert_string_equal(request.method, "GET");
    info = INFO("POST");
    assert_int_equal(request_parse(&info, &request), 0);
    assert_false(request.head);
    assert_string_equal(request.method, "POST");
}

static void test_contradictions_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse(INFO("GET", "Authorization", "Bearer a", "AUTHORIZATION", "Bearer a")),
                     400);
    assert_int_equal(parse(INFO("GET", "Content-Length", "1", "Content-Length", "1")), 400);
    assert_int_equal(parse(INFO("GET", "Host", "a", "Host", "a")), 400);
    assert_int_equal(parse(INFO("GET", "Transfer-Encoding", "chunked", "Content-Length", "1")),
                     400);
    assert_int_equal(parse(INFO("GET", "Transfer-Encoding", "identity", "Content-Length", "1")),
                     400);
    assert_int_equal(
        parse(INFO("GET", "Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked")), 400);
    assert_int_equal(parse(INFO("GET", "Transfer-Encoding", "gzip, chunked")), 400);
    assert_int_equal(parse(INFO("GET", "Transfer-Encoding", "identity")), 400);
    assert_int_equal(parse(INFO("GET", "Transfer-Encoding", "")), 400);
    assert_int_equal(parse(INFO("GET", "Expect", "200-ok")), 417);
}

static void test_lengths(void **state)
{
    (void)state;
    static const char *const malformed[] = {"",    " ",   "-1",  "+1",  "1x", "0x1",
                                            "1 2", "1,1", "1.0", "1e3", "١"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        if (parse(INFO("POST", "Content-Length", malformed[i])) != 400)
            fail_test("Content-Length: %s", malformed[i]);
    }
    struct mg_request_info info = INFO("POST", "Content-Length", "65536 ");
    struct request request;
    assert_int_equal(request_parse(&info, &request), 0);
    assert_int_equal(request.length, 65536);
    info = INFO("POST", "Content-Length", "99999999999999999999999999");
    assert_int_equal(request_parse(&info, &request), 0);
    assert_true(request.length == SIZE_MAX);
}

static void test_too_long_a_body_is_refused_unread(void **state)
{
    (void)state;
    struct request request = {.length = (1 << 20) + 1};
    assert_int_equal(request_read_body(NULL, &request), 413);
    request = (struct request){.length = 65537, .expects_continue = true};
    assert_int_equal(request_read_body(NULL, &request), 413);
    request = (struct request){.length = 0};
    assert_int_equal(request_read_body(NULL, &request), 0);
}

static void test_more_headers_than_civetweb_keeps(void **state)
{
    (void)state;
    struct mg_request_info info = INFO("GET");
    for (int i = 0; i < MG_MAX_HEADERS; i++)
        info.http_headers[i] = (struct mg_header){"X", "1"};
    info.num_headers = MG_MAX_HEADERS - 1;
    assert_int_equal(parse(info), 0);
    info.num_headers = MG_MAX_HEADERS;
    assert_int_equal(parse(info), 431);
}

static bool keeps_alive(const char *version, struct mg_request_info info)
{
    struct request request;
    info.http_version = version;
    assert_int_equal(request_parse(&info, &request), 0);
    return request.keep_alive;
}

/* Whatever is true here must be true for CivetWeb's should_keep_alive() and
 * should_switch_to_protocol() as well. */
static void test_keep_alive(void **state)
{
    (void)state;
    assert_true(keeps_alive("1.1", INFO("GET")));
    assert_false(keeps_alive("1.0", INFO("GET")));
    assert_true(keeps_alive("1.0", INFO("GET", "Connection", "Keep-Alive")));
    assert_true(keeps_alive("1.1", INFO("GET", "connection", "keep-alive")));
    assert_false(keeps_alive("1.1", INFO("GET", "Connection", "close")));
    assert_false(keeps_alive("1.1", INFO("GET", "Connection", "")));
    assert_false(keeps_alive("1.1", INFO("GET", "Connection", "keep-alive, close")));
    assert_false(keeps_alive(
        "1.1", INFO("GET", "Connection", "keep-alive, Upgrade", "Upgrade", "websocket")));
    assert_false(
        keeps_alive("1.1", INFO("GET", "Connection", "keep-alive", "Connection", "close")));
    assert_false(keeps_alive("1.1", INFO("POST", "Transfer-Encoding", "Chunked")));
}

#define HEAD  "GET|/a|HTTP/1.1||"
#define FIELD "X|b" /* a header's name and value */

/* The headers as CivetWeb has left them in its buffer, '|' for NUL, followed by that many bytes. */
static int measure(const char *head, struct request *request, size_t behind)
{
    char bytes[64];
    size_t length = strlen(head);
    for (size_t i = 0; i <= length; i++)
        bytes[i] = head[i] == '|' ? '\0' : head[i];
    struct mg_request_info info = {.request_method = bytes, .http_version = bytes + 12};
    if (strstr(head, FIELD))
        info.http_headers[info.num_headers++] = (struct mg_header){bytes + 17, bytes + 19};
    request->info = &info;
    request->keep_alive = true;
    return request_measure(request, length + behind);
}

static void test_whole_heads(void **state)
{
    (void)state;
    struct request request = {.length = 0};
    assert_int_equal(measure(HEAD "||", &request, 0), 0);
    assert_false(request.keep_alive); /* there might be more than two line ends */
    assert_int_equal(measure(HEAD FIELD "||\r|", &request, 0), 0);
    assert_true(request.keep_alive);
}

static void test_lines_that_civetweb_passes_over(void **state)
{
    (void)state;
    static const char *const heads[] = {
        HEAD FIELD "|| folded\r\n\r|",     /* which hides what follows */
        HEAD FIELD "||:no name\r\n\r|",    /**/
        HEAD FIELD "||\xC3\xA4: b\r\n\r|", /**/
        HEAD FIELD "|\r\nY: c\r\n\r|",     /* a line without CR, and an empty one */
        HEAD ":no name\r\n\r|",            /* as the first */
        HEAD FIELD "||",                   /* ends without CR */
        HEAD FIELD "|||",
    };
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        struct request request = {.length = 0};
        if (measure(heads[i], &request, 0) != 400)
            fail_test("%s", heads[i]);
    }
}

static void test_more_than_one_request_ends_the_connection(void **state)
{
    (void)state;
    struct request request = {.length = 0};
    assert_int_equal(measure(HEAD FIELD "||\r|", &request, 1), 0);
    assert_false(request.keep_alive);
    request.length = 3;
    assert_int_equal(measure(HEAD FIELD "||\r|", &request, 3), 0);
    assert_true(request.keep_alive);
    assert_int_equal(measure(HEAD FIELD "||\r|", &request, 4), 0);
    assert_false(request.keep_alive);
}

static void test_expectation_needs_a_body(void **state)
{
    (void)state;
    struct request request;
    struct mg_request_info info = INFO("GET", "Expect", "100-Continue");
    assert_int_equal(request_parse(&info, &request), 0);
    assert_false(request.expects_continue);
    info = INFO("POST", "Expect", "100-continue", "Content-Length", "1");
    assert_int_equal(request_parse(&info, &request), 0);
    assert_true(request.expects_continue);
}

static void test_all_headers_of_a_name(void **state)
{
    (void)state;
    struct request request;
    struct mg_request_info info = INFO("GET", "If-None-Match", "a", "X", "y", "if-none-match", "b");
    assert_int_equal(request_parse(&info, &request), 0);
    assert_string_equal(request_header(&request, "If-None-Match", 0), "a");
    assert_string_equal(request_header(&request, "If-None-Match", 1), "b");
    assert_null(request_header(&request, "If-None-Match", 2));
    assert_null(request_header(&request, "If-None", 0));
}

static void test_the_token_is_wiped(void **state)
{
    (void)state;
    char value[] = "Bearer secret ";
    struct mg_request_info info = INFO("GET", "Authorization", value);
    struct request request;
    assert_int_equal(request_parse(&info, &request), 0);
    request_end(&request);
    assert_memory_equal(value, "Bearer \0\0\0\0\0\0 ", sizeof value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bearer_tokens),
        cmocka_unit_test(test_no_token),
        cmocka_unit_test(test_head_is_get_without_a_body),
        cmocka_unit_test(test_contradictions_are_refused),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_too_long_a_body_is_refused_unread),
        cmocka_unit_test(test_more_headers_than_civetweb_keeps),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_whole_heads),
        cmocka_unit_test(test_lines_that_civetweb_passes_over),
        cmocka_unit_test(test_more_than_one_request_ends_the_connection),
        cmocka_unit_test(test_expectation_needs_a_body),
        cmocka_unit_test(test_all_headers_of_a_name),
        cmocka_unit_test(test_the_token_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
