/* SPDX-License-Identifier: Apache-2.0 */
/* Plain HTTP: the request that is sent, and how the reply is read. */
#include "server/base/counters.h"
#include "tests/unit/http_rig.h"

static void test_get(void **state)
{
    (void)state;
    const struct peer_answer answer = {.text = OK_TEXT};
    start(&answer, 1);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.reason, "OK");
    assert_int_equal(reply.body.length, 2);
    assert_string_equal(reply.body.data, "ok");
    assert_sent(0, "GET / HTTP/1.1\r\n");
    assert_sent(0, "\r\nUser-Agent: felhom-agent/0.");
    assert_not_sent(0, "\r\nContent-");
    assert_not_sent(0, "\r\nExpect:");
    assert_not_sent(0, "\r\nAuthorization:");
    assert_not_sent(0, "\r\nAccept-Encoding:");
}

static void test_post_with_everything(void **state)
{
    (void)state;
    static const char *const headers[] = {"Authorization: PVEAPIToken=u@pve!t=" SECRET,
                                          "X-Other: two words", NULL};
    const struct peer_answer answer = {.text = "HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n"};
    start(&answer, 1);
    cleanup_free char *url = mem_format("%s/a/b?c=d%%20e", peer->url);
    struct http_request request = request_for("POST", url);
    request.headers = headers;
    request.body_type = "application/json";
    request.body = "{\"a\":1} not this";
    request.body_length = 7;
    assert_int_equal(http_client_perform(client, &request, &reply, &error), 0);
    peer_end(peer);
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply.reason, "Made");
    assert_int_equal(reply.body.length, 0);
    assert_sent(0, "POST /a/b?c=d%20e HTTP/1.1\r\n");
    assert_sent(0, "\r\nAuthorization: PVEAPIToken=u@pve!t=" SECRET "\r\n");
    assert_sent(0, "\r\nX-Other: two words\r\n");
    assert_sent(0, "\r\nContent-Type: application/json\r\n");
    assert_sent(0, "\r\nContent-Length: 7\r\n");
    assert_sent(0, "\r\n\r\n{\"a\":1}");
    assert_not_sent(0, "not this");
    assert_not_sent(0, "\r\nExpect:");
}

static void test_big_post_expects_nothing(void **state)
{
    (void)state;
    const size_t length = (size_t)2 << 20;
    const struct peer_answer answer = {.text = OK_TEXT, .then = THEN_CLOSE};
    cleanup_free char *body = mem_new_array(length, 1);
    memset(body, 'b', length);
    start(&answer, 1);
    struct http_request request = request_for("POST", peer->url);
    request.body_type = "text/plain";
    request.body = body;
    request.body_length = length;
    request.timeout_ms = 3000;
    (void)http_client_perform(client, &request, &reply, &error);
    peer_end(peer);
    /* The peer's buffer is too small for the whole request. */
    assert_null(strcasestr(peer->connections[0].bytes, "\r\nExpect:"));
    assert_non_null(strstr(peer->connections[0].bytes, "\r\n\r\nbbb"));
    assert_true(http_client_may_have_sent(client));
}

static void test_methods_without_body(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {{.text = OK_TEXT}, {.text = OK_TEXT}};
    start(answers, ARRAY_SIZE(answers));
    assert_int_equal(perform("DELETE"), 0);
    assert_int_equal(perform("POST"), 0);
    peer_end(peer);
    assert_sent(0, "DELETE / HTTP/1.1\r\n");
    assert_not_sent(0, "\r\nContent-");
    assert_sent(1, "POST / HTTP/1.1\r\n");
    assert_sent(1, "\r\nContent-Length: 0\r\n");
    assert_not_sent(1, "\r\nContent-Type:");
}

static void test_empty_body_is_not_read_from_elsewhere(void **state)
{
    (void)state;
    const struct peer_answer answer = {.text = OK_TEXT};
    start(&answer, 1);
    struct http_request request = request_for("POST", peer->url);
    request.body_type = "application/x-www-form-urlencoded";
    assert_int_equal(http_client_perform(client, &request, &reply, &error), 0);
    peer_end(peer);
    assert_sent(0, "\r\nContent-Length: 0\r\n");
}

static void test_basic_authentication_is_forgotten(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {
        {.text = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"},
        {.text = OK_TEXT}};
    start(answers, ARRAY_SIZE(answers));
    struct http_request request = request_for("GET", peer->url);
    request.username = "felhom";
    request.password = "pass:word";
    assert_int_equal(http_client_perform(client, &request, &reply, &error), 0);
    assert_int_equal(reply.status, 401);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(peer->request_count, 2);
    assert_int_equal(peer->connection_count, 1);
    assert_sent(0, "\r\nAuthorization: Basic ZmVsaG9tOnBhc3M6d29yZA==\r\n");
    assert_not_sent(1, "\r\nAuthorization:");
}

static void test_a_confidential_reply_ends_its_connection(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {{.text = OK_TEXT}, {.text = OK_TEXT}};
    start(answers, ARRAY_SIZE(answers));
    struct http_request request = request_for("GET", peer->url);
    request.confidential = true;
    assert_int_equal(http_client_perform(client, &request, &reply, &error), 0);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(peer->request_count, 2);
    assert_int_equal(peer->connection_count, 2);
}

static void test_reason(void **state)
{
    (void)state;
    static const struct {
        const char *status_line, *reason;
    } cases[] = {
        {"HTTP/1.1 500 got no worker upid - start worker failed",
         "got no worker upid - start worker failed"},
        {"HTTP/1.1 500 with \x1b[31m and \x7f in it", "with ?[31m and ? in it"},
        {"HTTP/1.1 500 ", ""},
        {"HTTP/1.1 500", ""},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 the last one", "the last one"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *text =
            mem_format("%s\r\nContent-Length: 0\r\n\r\n", cases[i].status_line);
        const struct peer_answer answer = {.text = text};
        start(&answer, 1);
        assert_int_equal(perform("GET"), 0);
        peer_end(peer);
        assert_int_equal(reply.status, 500);
        assert_string_equal(reply.reason, cases[i].reason);
        free(steal(peer));
    }
}

static void test_long_reason_is_cut(void **state)
{
    (void)state;
    cleanup_free char *reason = mem_new_array(1001, 1);
    memset(reason, 'r', 1000);
    cleanup_free char *text = mem_format("HTTP/1.1 500 %s\r\nContent-Length: 0\r\n\r\n", reason);
    const struct peer_answer answer = {.text = text};
    start(&answer, 1);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(strlen(reply.reason), sizeof reply.reason - 1);
}

static void test_redirect_is_not_followed(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {
        {.text = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"},
        {.text = OK_TEXT}};
    start(answers, ARRAY_SIZE(answers));
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(reply.status, 302);
    assert_int_equal(peer->request_count, 1);
}

static void test_chunked_reply(void **state)
{
    (void)state;
    const struct peer_answer answer = {.text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                               "chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"};
    start(&answer, 1);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_string_equal(reply.body.data, "abcde");
}

static void test_hung_up(void **state)
{
    (void)state;
    static const struct {
        struct peer_answer answer;
        const char *text;
    } cases[] = {
        {{.then = THEN_CLOSE}, "hung up without an answer"},
        {{.then = THEN_RESET}, "hung up without an answer"},
        {{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", THEN_CLOSE, NULL, 0},
         "hung up in the middle of its answer"},
        {{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", THEN_RESET, NULL, 0},
         "hung up in the middle of its answer"},
        {{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", THEN_CLOSE, NULL, 0},
         "hung up in the middle of its answer"},
        {{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", THEN_CLOSE, NULL, 0},
         "hung up in the middle of its answer"},
        {{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", THEN_CLOSE, NULL, 0},
         "hung up in the middle of its answer"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        print_message("case %zu\n", i);
        assert_answer_fails("POST", &cases[i].answer, ERROR_BUSY, cases[i].text);
        free(steal(peer));
    }
}

static void test_no_http(void **state)
{
    (void)state;
    static const char *const texts[] = {"220 mail.example ESMTP\r\n\r\n",
                                        "\x16\x03\x01\x02",
                                        "HTTP/x.y nonsense\r\n\r\n",
                                        "HTTP/1.1 two hundred\r\n\r\n",
                                        "HTTP/1.1 0 X\r\n\r\n",
                                        "HTTP/2 200 OK\r\n\r\n",
                                        "HTTP/1.1 100 Continue\r\n\r\nHTTP/x.y nonsense\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const struct peer_answer answer = {.text = texts[i], .then = THEN_CLOSE};
        print_message("case %zu\n", i);
        assert_answer_fails("GET", &answer, ERROR_INVALID, "does not answer in HTTP");
        free(steal(peer));
    }
}

static void test_reply_at_its_limit(void **state)
{
    (void)state;
    const struct peer_answer answer = {"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n", THEN_KEEP,
                                       "0123456789abcdef", 64};
    start(&answer, 1);
    assert_int_equal(perform("GET"), 0);
    peer_end(peer);
    assert_int_equal(reply.body.length, 1024);
}

static void test_reply_beyond_its_limit(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n", THEN_KEEP, "0123456789abcdef0", 65},
        {"HTTP/1.1 200 OK\r\n\r\n", THEN_CLOSE, "0123456789abcdef", 65},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", THEN_TRICKLE,
         "10\r\n0123456789abcdef\r\n", 65},
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        assert_answer_fails("GET", &answers[i], ERROR_INVALID,
                            "the reply is larger than 1024 bytes");
        free(steal(peer));
    }
}

static void test_head_beyond_its_limit(void **state)
{
    (void)state;
    const struct peer_answer answer = {"HTTP/1.1 200 OK\r\n", THEN_TRICKLE,
                                       "X-Name: 0123456789abcdef\r\n", 4000};
    assert_answer_fails("GET", &answer, ERROR_INVALID, "the reply is larger than 65536 bytes");
}

static void test_header_line_without_end(void **state)
{
    (void)state;
    const struct peer_answer answer = {"HTTP/1.1 200 OK\r\nX-Name: ", THEN_TRICKLE,
                                       "0123456789abcdef", 20000};
    start(&answer, 1);
    assert_int_equal(perform("GET"), -1);
    peer_end(peer);
    assert_int_not_equal(error.kind, ERROR_BUSY);
}

static void test_proxies_of_the_environment_are_not_used(void **state)
{
    (void)state;
    static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};
    const struct peer_answer answer = {.text = OK_TEXT};
    const struct peer_answer proxied = {.text = "HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n"};
    struct peer *proxy = peer_start(&proxied, 1);
    start(&answer, 1);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(setenv(names[i], proxy->url, 1), 0);
    assert_int_equal(perform("GET"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(unsetenv(names[i]), 0);
    peer_end(peer);
    peer_end(proxy);
    assert_int_equal(reply.status, 200);
    assert_int_equal(proxy->connection_count, 0);
    free(proxy);
}

static void assert_url_refused(const char *url, const char *beginning)
{
    const struct http_request request = request_for("GET", url);
    assert_int_equal(http_client_perform(client, &request, &reply, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_memory_equal(error.message, beginning, strlen(beginning));
    assert_null(strstr(error.message, SECRET));
    assert_false(http_client_may_have_sent(client));
}

static void test_urls(void **state)
{
    (void)state;
    assert_url_refused("ftp://127.0.0.1/", "the URL is neither http:// nor https://");
    assert_url_refused("file:///etc/hostname", "the URL is neither http:// nor https://");
    assert_url_refused("", "the URL cannot be used: ");
    assert_url_refused("127.0.0.1:8006/" SECRET, "the URL cannot be used: ");
    assert_url_refused("http://127.0.0.1:99999/?" SECRET, "the URL cannot be used: ");
    assert_url_refused("http://127.0.0.1/" SECRET "\r\nX: y", "the URL cannot be used: ");
}

static void test_header_with_a_second_line(void **state)
{
    (void)state;
    static const char *const headers[] = {"X-Good: 1", "X-Token: " SECRET "\r\nX-Evil: 1", NULL};
    const struct peer_answer answer = {.text = OK_TEXT};
    start(&answer, 1);
    struct http_request request = request_for("POST", peer->url);
    request.headers = headers;
    int result = http_client_perform(client, &request, &reply, &error);
    peer_end(peer);
    assert_failed(result, ERROR_INVALID, "a header has a control character");
    assert_false(http_client_may_have_sent(client));
    assert_int_equal(peer->connection_count, 0);
}

static void test_outcomes_are_counted(void **state)
{
    (void)state;
    static const struct peer_answer answers[] = {
        {.text = OK_TEXT},
        {.text = "HTTP/1.1 399 X\r\nContent-Length: 0\r\n\r\n"},
        {.text = "HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n"},
        {.text = "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n", .then = THEN_CLOSE},
    };
    struct call_counters calls = {0};
    start(answers, ARRAY_SIZE(answers));
    http_client_free(client);
    client = http_client_new(&aborted, &calls);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        assert_int_equal(perform("GET"), i < 3 ? 0 : -1);
    peer_end(peer);
    assert_int_equal(atomic_load(&calls.count[CALL_ANSWERED]), 2);
    assert_int_equal(atomic_load(&calls.count[CALL_REFUSED]), 1);
    assert_int_equal(atomic_load(&calls.count[CALL_FAILED]), 1);
}

static void test_client_that_was_never_used(void **state)
{
    (void)state;
    http_client_free(http_client_new(NULL, NULL));
    http_client_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(test_get),
        HTTP_TEST(test_post_with_everything),
        HTTP_TEST(test_big_post_expects_nothing),
        HTTP_TEST(test_methods_without_body),
        HTTP_TEST(test_empty_body_is_not_read_from_elsewhere),
        HTTP_TEST(test_basic_authentication_is_forgotten),
        HTTP_TEST(test_a_confidential_reply_ends_its_connection),
        HTTP_TEST(test_reason),
        HTTP_TEST(test_long_reason_is_cut),
        HTTP_TEST(test_redirect_is_not_followed),
        HTTP_TEST(test_chunked_reply),
        HTTP_TEST(test_hung_up),
        HTTP_TEST(test_no_http),
        HTTP_TEST(test_reply_at_its_limit),
        HTTP_TEST(test_reply_beyond_its_limit),
        HTTP_TEST(test_head_beyond_its_limit),
        HTTP_TEST(test_header_line_without_end),
        HTTP_TEST(test_proxies_of_the_environment_are_not_used),
        HTTP_TEST(test_urls),
        HTTP_TEST(test_header_with_a_second_line),
        HTTP_TEST(test_outcomes_are_counted),
        HTTP_TEST(test_client_that_was_never_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
