/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/reply.h"

#include <string.h>

#include "tests/unit/test.h"

#define HEAD_OF(status) "HTTP/1.1 " status "\r\nDate: Thu, 01 Jan 1970 00:00:10 GMT\r\n"

static void assert_rendered(const struct reply *reply, bool head, bool keep_alive,
                            const char *expected)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    const struct reply_manner manner = {head, keep_alive, 10, "abc"};
    reply_render(reply, &manner, &out);
    assert_string_equal(buffer_text(&out), expected);
}

static void test_data_on_the_wire(void **state)
{
    (void)state;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    reply_data(&reply, 200, json_pack("{s:i}", "vmid", 8200));
    assert_rendered(&reply, false, true,
                    HEAD_OF("200 OK") "Content-Type: application/json\r\nContent-Length: 33\r\n"
                                      "Cache-Control: no-store\r\nConnection: keep-alive\r\n"
                                      "X-Request-Id: abc\r\n\r\n"
                                      "{\"ok\":true,\"data\":{\"vmid\":8200}}\n");
}

static void test_head_tells_the_length_and_sends_nothing(void **state)
{
    (void)state;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    reply_data(&reply, 200, json_pack("{s:i}", "vmid", 8200));
    assert_rendered(&reply, true, false,
                    HEAD_OF("200 OK") "Content-Type: application/json\r\nContent-Length: 33\r\n"
                                      "Cache-Control: no-store\r\nConnection: close\r\n"
                                      "X-Request-Id: abc\r\n\r\n");
}

static void test_error_escapes_its_text(void **state)
{
    (void)state;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    reply_error(&reply, 409, "\"a\"\n\xff");
    assert_int_equal(reply.status, 409);
    assert_string_equal(buffer_text(&reply.body),
                        "{\"ok\":false,\"error\":\"\\\"a\\\"\\n\xEF\xBF\xBD\"}\n");
}

static void test_error_replaces_what_was_said(void **state)
{
    (void)state;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    buffer_add_text(&reply.body, "half a document");
    reply_header(&reply, "ETag", "\"1\"");
    reply_later(&reply, 503, 2);
    assert_string_equal(buffer_text(&reply.body),
                        "{\"ok\":false,\"error\":\"temporarily unavailable\"}\n");
    assert_string_equal(buffer_text(&reply.headers), "Retry-After: 2\r\n");
}

static void test_not_modified_has_no_body(void **state)
{
    (void)state;
    cleanup_reply struct reply reply = REPLY_EMPTY;
    buffer_add_text(&reply.body, "a: 1\n");
    reply_header(&reply, "ETag", "\"1\"");
    reply.status = 304;
    assert_rendered(&reply, false, true,
                    HEAD_OF("304 Not Modified") "Cache-Control: no-store\r\n"
                                                "Connection: keep-alive\r\nX-Request-Id: abc\r\n"
                                                "ETag: \"1\"\r\n\r\n");
}

static void test_every_status_has_words(void **state)
{
    (void)state;
    static const int errors[] = {400, 401, 403, 404, 405, 408, 409, 411, 413,
                                 414, 417, 429, 431, 500, 501, 503, 505};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        assert_string_not_equal(status_phrase(errors[i]), "Unknown");
        assert_true(strlen(status_text(errors[i])) > 10);
    }
    assert_string_equal(status_phrase(418), "Unknown");
    assert_true(strlen(status_text(418)) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_on_the_wire),
        cmocka_unit_test(test_head_tells_the_length_and_sends_nothing),
        cmocka_unit_test(test_error_escapes_its_text),
        cmocka_unit_test(test_error_replaces_what_was_said),
        cmocka_unit_test(test_not_modified_has_no_body),
        cmocka_unit_test(test_every_status_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
