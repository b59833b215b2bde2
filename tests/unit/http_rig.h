/* SPDX-License-Identifier: Apache-2.0 */
/* A client for each test, and a scripted peer for it to talk to. */
#ifndef FELHOM_TEST_HTTP_RIG_H
#define FELHOM_TEST_HTTP_RIG_H

#include "server/outbound/http_client.h"
#include "store/base/clock.h"
#include "tests/unit/http_peer.h"
#include "tests/unit/scratch.h"

#define OK_TEXT     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define PATIENCE_MS 600000 /* no machine is as slow as this */
#define SECRET      "s3cr3t"

static struct peer *peer;
static struct http_client *client;
static atomic_bool aborted;
static struct http_reply reply;
static struct error error;
static char origin[64];

static inline int set_up(void **state)
{
    (void)state;
    atomic_store(&aborted, false);
    client = http_client_new(&aborted, NULL);
    error = (struct error){0};
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    http_client_free(client);
    http_reply_free(&reply);
    free(peer);
    peer = NULL;
    return 0;
}

static inline struct http_request request_for(const char *method, const char *url)
{
    return (struct http_request){.method = method,
                                 .url = url,
                                 .ca_file = "",
                                 .timeout_ms = PATIENCE_MS,
                                 .reply_limit = 1024};
}

static inline void start(const struct peer_answer *answers, size_t count)
{
    peer = peer_start(answers, count);
    (void)snprintf(origin, sizeof origin, "%s", peer->url);
}

static inline int perform(const char *method)
{
    const struct http_request request = request_for(method, peer->url);
    http_reply_free(&reply);
    return http_client_perform(client, &request, &reply, &error);
}

/* "ORIGIN: " and the text. */
static inline void assert_failed(int result, enum error_kind kind, const char *text)
{
    char expected[512];
    (void)snprintf(expected, sizeof expected, "%s: %s", origin, text);
    assert_int_equal(result, -1);
    assert_string_equal(error.message, expected);
    assert_int_equal(error.kind, kind);
    assert_int_equal(reply.status, 0);
    assert_null(reply.body.data);
}

static inline void assert_sent(size_t request, const char *text)
{
    assert_true(request < peer->request_count);
    if (!strstr(peer->requests[request].text, text))
        fail_test("no \"%s\" in:\n%s", text, peer->requests[request].text);
}

static inline void assert_not_sent(size_t request, const char *text)
{
    assert_true(request < peer->request_count);
    if (strcasestr(peer->requests[request].text, text))
        fail_test("there is \"%s\" in:\n%s", text, peer->requests[request].text);
}

/* Sends a request with that method and returns the script's answer. */
static inline void assert_answer_fails(const char *method, const struct peer_answer *answer,
                                       enum error_kind kind, const char *text)
{
    start(answer, 1);
    int result = perform(method);
    peer_end(peer);
    assert_failed(result, kind, text);
    assert_int_equal(peer->request_count, 1);
    assert_true(http_client_may_have_sent(client));
}

/* Sends a request with that timeout; returns how many milliseconds it took. */
static inline int64_t time_of(const char *url, uint64_t timeout_ms, int *ret_result)
{
    int64_t begin_us = clock_steady_us();
    struct http_request request = request_for("GET", url);
    request.timeout_ms = timeout_ms;
    *ret_result = http_client_perform(client, &request, &reply, &error);
    return (clock_steady_us() - begin_us) / 1000;
}

static inline void *abort_soon(void *context)
{
    (void)context;
    (void)usleep(200000);
    atomic_store(&aborted, true);
    return NULL;
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
