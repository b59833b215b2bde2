/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "server/base/context.h"
#include "server/base/host_figures.h"
#include "server/base/worker.h"
#include "server/hub/hub.h"
#include "store/host/host.h"
#include "store/tables/hub_config.h"
#include "tests/unit/test.h"

#include "tests/unit/enrolment.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/test_clock.h"

#define HUB_URL   "https://hub.example/base//"
#define ENROLMENT "customer: {id: acme}\nhub: {retrieval_password: secret}\n"

/* --- in place of the real client: answers as told, and notes what it was asked --- */

static struct {
    enum error_kind failure; /* ERROR_NONE: there is an answer */
    int status;
    const char *body;
    int count;
    char method[8];
    char url[128];
    char header[128];
    char ca_file[32];
    char sent[8192];
} wire;

/* As made by hub_start; the tests of single turns have no client. */
static struct http_client {
    const atomic_bool *abort;
    atomic_bool waiting; /* for the hub, which does not answer until the end */
} silent;

struct http_client *http_client_new(const atomic_bool *abort, struct call_counters *calls)
{
    (void)calls;
    silent.abort = abort;
    return &silent;
}

void http_client_free(struct http_client *client)
{
    assert_true(!client || client == &silent);
}

static int wait_for_abort(struct error *problem)
{
    atomic_store(&silent.waiting, true);
    while (!atomic_load(silent.abort))
        (void)usleep(1000);
    return fail(problem, ERROR_BUSY, "given up because felhomd is stopping");
}

int http_client_perform(struct http_client *client, const struct http_request *request,
                        struct http_reply *ret, struct error *problem)
{
    if (client)
        return wait_for_abort(problem);
    assert_int_equal(request->timeout_ms, 20000);
    assert_int_equal(request->reply_limit, 1 << 20);
    wire.count++;
    (void)snprintf(wire.method, sizeof wire.method, "%s", request->method);
    (void)snprintf(wire.url, sizeof wire.url, "%s", request->url);
    (void)snprintf(wire.header, sizeof wire.header, "%s", request->headers[0]);
    (void)snprintf(wire.ca_file, sizeof wire.ca_file, "%s", request->ca_file);
    (void)snprintf(wire.sent, sizeof wire.sent, "%s", request->body ? request->body : "");
    assert_null(request->headers[1]);
    if (wire.failure != ERROR_NONE)
        return fail(problem, wire.failure, "no way to the hub");
    ret->status = wire.status;
    buffer_add_text(&ret->body, wire.body);
    return 0;
}

void http_reply_free(struct http_reply *reply)
{
    buffer_free(&reply->body);
}

/* --- a host with one enrolled guest, and what belongs to the hub's worker --- */

struct world {
    struct config config;
    struct store *store;
    struct store_pool *pool;
    struct host_figures *figures;
    atomic_bool stopping;
    struct hub_puller puller;
    struct hub_heartbeat heartbeat;
};

static void enrol(struct world *world, uint32_t vmid, const char *text)
{
    put_guest(world->store, vmid);
    record_enrolment(world->store, vmid, text, strlen(text));
}

static void configure(struct world *world)
{
    cleanup_free char *text =
        mem_format("hub: {url: \"" HUB_URL "\", ca_file: /ca.pem, api_key_file: %s/key}\n"
                   "paths: {pve: %s, state: %s/state}\n",
                   scratch, scratch, scratch);
    OK(config_parse("agent.yaml", text, strlen(text), &world->config, &error));
}

static void describe_host(struct world *world)
{
    const struct host host = {.host_id = "demo", .node = "pve1", .endpoint = "192.0.2.1:8443"};
    OK(host_put(world->store, &host, &error));
}

static int set_up(void **state)
{
    struct world *world = mem_new(struct world);
    if (state_make(NULL) != 0)
        return -1;
    clock_stand();
    memset(&wire, 0, sizeof wire);
    wire.status = 200;
    wire.body = "a: 1\n";
    configure(world);
    world->store = store_of_scratch();
    OK(store_pool_new(in_scratch("state"), &world->pool, &error));
    world->figures = host_figures_new(scratch);
    world->puller = (struct hub_puller){
        .stores = world->pool, .stopping = &world->stopping, .log = THROTTLED_LOG_NEW};
    world->heartbeat = (struct hub_heartbeat){
        .stores = world->pool, .stopping = &world->stopping, .figures = world->figures};
    describe_host(world);
    enrol(world, 8200, ENROLMENT);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    host_figures_free(world->figures);
    store_close(world->store);
    store_pool_free(world->pool);
    config_free(&world->config);
    free(world);
    return scratch_remove(NULL);
}

/* Runs one step, as if there had been none in the last second. Returns after how many seconds the
 * next one is due. */
static double turn(struct world *world, bool fresh)
{
    world->puller.looked_at_us = INT64_MIN / 2;
    int64_t at_us = hub_pull_turn(&world->puller, &world->config, fresh);
    return (double)(at_us - clock_steady_us()) / 1e6;
}

static void make_due(struct world *world)
{
    run_raw("UPDATE hub_config SET next_try_at_ms = 1");
    world->puller.reach_at_us = 0;
}

#define BODY   "SELECT CAST(body AS TEXT) FROM hub_config WHERE vmid = 8200"
#define EVENTS "SELECT group_concat(outcome || ' ' || detail, '; ') FROM event WHERE kind = 'hub'"

static void test_pulls_with_the_guests_own_password(void **state)
{
    struct world *world = *state;
    (void)turn(world, true);
    assert_string_equal(wire.method, "GET");
    assert_string_equal(wire.url, "https://hub.example/base/api/v1/config/acme");
    assert_string_equal(wire.header, "X-Retrieval-Password: secret");
    assert_string_equal(wire.ca_file, "/ca.pem");
    assert_raw(BODY, "a: 1\n");
    assert_raw(EVENTS, "ok configuration of customer acme pulled, 5 bytes");
}

static void test_pulls_again_after_poll(void **state)
{
    struct world *world = *state;
    (void)turn(world, true);
    double wait = turn(world, false);
    assert_int_equal(wire.count, 1);
    assert_true(wait > 50 && wait <= 60); /* it looks once a minute, woken or not */
    assert_raw("SELECT abs(next_try_at_ms - fetched_at_ms - 900000) < 1000 FROM hub_config", "1");
    make_due(world);
    (void)turn(world, false);
    assert_int_equal(wire.count, 2);
    assert_raw(EVENTS, "ok configuration of customer acme pulled, 5 bytes");
    make_due(world);
    wire.body = "b: 22\n";
    (void)turn(world, false);
    assert_raw(BODY, "b: 22\n");
    assert_raw("SELECT count(*) FROM event WHERE kind = 'hub'", "2");
}

static void test_looks_at_most_once_a_second(void **state)
{
    struct world *world = *state;
    int64_t at_us = hub_pull_turn(&world->puller, &world->config, true);
    enrol(world, 8300, ENROLMENT);
    assert_int_equal(hub_pull_turn(&world->puller, &world->config, false), at_us);
    assert_int_equal(wire.count, 1);
    assert_int_equal(at_us, world->puller.looked_at_us + 1000000);
}

static void test_a_new_enrolment_is_pulled_at_once(void **state)
{
    struct world *world = *state;
    (void)turn(world, true);
    enrol(world, 8300, "customer: {id: other}\nhub: {retrieval_password: p w}\n");
    (void)turn(world, false);
    assert_int_equal(wire.count, 2);
    assert_string_equal(wire.url, "https://hub.example/base/api/v1/config/other");
    assert_string_equal(wire.header, "X-Retrieval-Password: p w");
    enrol(world, 8200, "customer: {id: acme}\nhub: {retrieval_password: changed}\n");
    (void)turn(world, false);
    assert_int_equal(wire.count, 3);
    assert_string_equal(wire.header, "X-Retrieval-Password: changed");
}

static void test_guests_without_a_customer_are_forgotten(void **state)
{
    struct world *world = *state;
    enrol(world, 8300, "customer: {id: other}\n");
    enrol(world, 8400, "");
    enrol(world, 8500, "what: is this\n");
    (void)turn(world, true);
    assert_int_equal(wire.count, 1);
    enrol(world, 8200, "customer: {id: acme}\n");
    (void)turn(world, false);
    assert_raw("SELECT count(*) FROM hub_config", "0");
    assert_int_equal(wire.count, 1);
}

static void test_failures_keep_the_last_good_one(void **state)
{
    static const struct {
        int status;
        const char *body;
        const char *problem;
    } cases[] = {
        {500, "a: 2\n", "the hub answered 500"},
        {403, "a: 2\n", "the hub answered 403"},
        {204, "", "the hub answered 204"},
        {302, "a: 2\n", "the hub answered 302"},
        {200, "- a\n", "the hub's configuration:1:1: the document must be a map"},
        {200, "", "the hub's configuration is empty"},
        {200, "a: [",
         "the hub's configuration:2:1: while parsing a flow node: did not find expected node "
         "content"},
    };
    struct world *world = *state;
    (void)turn(world, true);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buffer struct buffer problem = BUFFER_EMPTY;
        make_due(world);
        wire.status = cases[i].status;
        wire.body = cases[i].body;
        (void)turn(world, false);
        assert_raw(BODY, "a: 1\n");
        OK(hub_config_problem(world->store, 8200, &problem, &error));
        if (!strstr(buffer_text(&problem), cases[i].problem))
            fail_test("%zu: %s", i, buffer_text(&problem));
    }
    assert_int_equal(wire.count, 1 + (int)ARRAY_SIZE(cases));
    assert_raw("SELECT failures FROM hub_config", "7");
    assert_raw("SELECT count(*) FROM event WHERE kind = 'hub' AND outcome = 'warning'", "1");
    assert_int_equal(world->puller.unreached, 0);
}

static void test_failures_wait_longer_each_time(void **state)
{
    struct world *world = *state;
    wire.status = 500;
    (void)turn(world, true);
    double wait = turn(world, false);
    assert_true(wait > 29 && wait < 34);
    make_due(world);
    (void)turn(world, false);
    assert_raw("SELECT next_try_at_ms / 1000 - unixepoch() BETWEEN 58 AND 69 FROM hub_config", "1");
    assert_int_equal(wire.count, 2);
    (void)turn(world, true); /* under other settings it is worth a try */
    assert_int_equal(wire.count, 3);
    wire.status = 200;
    make_due(world);
    (void)turn(world, false);
    assert_raw("SELECT failures FROM hub_config", "0");
}

static void test_refusals_are_final(void **state)
{
    struct world *world = *state;
    (void)turn(world, true);
    make_due(world);
    wire.status = 401;
    (void)turn(world, false);
    assert_raw(BODY, "");
    assert_raw(EVENTS,
               "ok configuration of customer acme pulled, 5 bytes; "
               "error the hub refuses the configuration of customer acme (the hub answered "
               "401): felhomd asks again only once the customer or the password has changed");
    make_due(world);
    (void)turn(world, false);
    (void)turn(world, true);
    assert_int_equal(wire.count, 2);
    wire.status = 200;
    enrol(world, 8200, "customer: {id: acme}\nhub: {retrieval_password: right}\n");
    (void)turn(world, false);
    assert_raw(BODY, "a: 1\n");
}

static void test_an_unknown_customer_is_final_even_after_failures(void **state)
{
    struct world *world = *state;
    wire.status = 503;
    (void)turn(world, true);
    make_due(world);
    wire.status = 404;
    (void)turn(world, false);
    assert_raw("SELECT state FROM hub_config", "refused");
    assert_raw("SELECT group_concat(outcome) FROM event WHERE kind = 'hub'", "warning,error");
}

static void test_a_hub_out_of_reach_is_asked_by_one_guest(void **state)
{
    struct world *world = *state;
    enrol(world, 8300, ENROLMENT);
    (void)turn(world, true);
    assert_int_equal(wire.count, 2);
    wire.failure = ERROR_BUSY;
    make_due(world);
    double wait = turn(world, false);
    assert_int_equal(wire.count, 3);
    assert_true(wait > 29 && wait < 34);
    (void)turn(world, false);
    assert_int_equal(wire.count, 3); /* the other one is due, but waits */
    assert_raw("SELECT sum(failures) FROM hub_config", "1");
    world->puller.reach_at_us = 0;
    (void)turn(world, false);
    assert_int_equal(wire.count, 4);
    assert_raw("SELECT count(*) FROM hub_config WHERE failures = 1", "2");
    wire.failure = ERROR_NONE;
    (void)turn(world, true);
    assert_int_equal(wire.count, 6);
    assert_int_equal(world->puller.unreached, 0);
}

static void test_a_new_guest_does_not_wait_for_others(void **state)
{
    struct world *world = *state;
    wire.failure = ERROR_DENIED;
    (void)turn(world, true);
    enrol(world, 8300, ENROLMENT);
    (void)turn(world, false);
    assert_int_equal(wire.count, 2);
    (void)turn(world, false);
    assert_int_equal(wire.count, 2);
    assert_raw("SELECT DISTINCT error FROM hub_config", "no way to the hub");
}

static void test_nothing_is_recorded_while_stopping(void **state)
{
    struct world *world = *state;
    wire.failure = ERROR_BUSY;
    atomic_store(&world->stopping, true);
    (void)turn(world, true);
    assert_int_equal(wire.count, 1);
    assert_raw("SELECT count(*) FROM hub_config", "0");
}

static void test_a_stop_ends_the_request_to_a_silent_hub(void **state)
{
    static struct server_config config;
    static struct context context;
    struct world *world = *state;
    config = (struct server_config){.references = 1, .config = world->config};
    context_init(&context);
    context.stores = world->pool;
    context.figures = world->figures;
    context_set_config(&context, server_config_ref(&config));
    struct hub *hub = hub_start(&context);
    while (!atomic_load(&silent.waiting))
        (void)usleep(1000);
    hub_stop(hub);
    context_destroy(&context);
    assert_raw("SELECT count(*) FROM hub_config", "0");
}

static void test_a_clock_put_back_delays_nothing(void **state)
{
    struct world *world = *state;
    (void)turn(world, true);
    run_raw("UPDATE hub_config SET next_try_at_ms = next_try_at_ms + 900000");
    (void)turn(world, false);
    assert_int_equal(wire.count, 2);
}

static void test_backoff(void **state)
{
    static const int64_t seconds[] = {30, 30, 60, 120, 240, 480, 900, 900};
    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(seconds); i++) {
        int64_t wait_ms = worker_backoff_ms(i, 900000);
        assert_in_range(wait_ms, seconds[i] * 1000, seconds[i] * 1125);
    }
    assert_in_range(worker_backoff_ms(UINT32_MAX, 900000), 900000, 1012500);
    assert_in_range(worker_backoff_ms(1, 2000), 2000, 2250);
}

/* --- the heartbeat --- */

static double beat(struct world *world, bool fresh)
{
    int64_t at_us = hub_heartbeat_turn(&world->heartbeat, &world->config, fresh);
    return at_us == INT64_MAX ? -1 : (double)(at_us - clock_steady_us()) / 1e6;
}

static void test_reports_with_the_hosts_key(void **state)
{
    struct world *world = *state;
    shell("printf '  the-key\\n\\n' >key");
    wire.body = "{}";
    double wait = beat(world, true);
    assert_string_equal(wire.method, "POST");
    assert_string_equal(wire.url, "https://hub.example/base/api/v1/host-report");
    assert_string_equal(wire.header, "Authorization: Bearer the-key");
    assert_non_null(strstr(wire.sent, "\"schema\":\"felhom.host-report/v1\",\"host_id\":\"demo\","
                                      "\"node\":\"pve1\""));
    assert_null(strstr(wire.sent, "the-key"));
    assert_null(strstr(wire.sent, "secret"));
    assert_true(wait > 890 && wait <= 900);
    (void)beat(world, false);
    assert_int_equal(wire.count, 1);
}

static void test_the_hub_says_how_often(void **state)
{
    struct world *world = *state;
    shell("echo the-key >key");
    wire.body = "{\"poll_interval_seconds\": 5}";
    double wait = beat(world, true);
    assert_true(wait > 59 && wait <= 60);
    world->heartbeat.next_at_us = 0;
    wire.body = "{}"; /* what it said before still counts */
    wait = beat(world, false);
    assert_true(wait > 59 && wait <= 60);
    assert_non_null(strstr(wire.sent, "\"poll_seconds\":60"));
    wait = beat(world, true); /* perhaps another hub */
    assert_true(wait > 890 && wait <= 900);
}

static void test_a_report_that_fails(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum error_kind failure;
        const char *problem;
    } cases[] = {
        {401, "{}", ERROR_NONE, "the hub answered 401"},
        {413, "{}", ERROR_NONE, "the hub answered 413"},
        {200, "<the-key>", ERROR_NONE, "the hub's answer: not a JSON object"},
        {200, "[]", ERROR_NONE, "the hub's answer: not a JSON object"},
        {0, "", ERROR_BUSY, "no way to the hub"},
    };
    struct world *world = *state;
    shell("echo the-key >key");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        wire.status = cases[i].status;
        wire.body = cases[i].body;
        wire.failure = cases[i].failure;
        double wait = beat(world, true);
        assert_true(wait > 29 && wait < 34);
        assert_string_equal(world->heartbeat.problem, cases[i].problem);
    }
    world->heartbeat.next_at_us = 0;
    double wait = beat(world, false);
    assert_true(wait > 59 && wait < 68);
}

static void test_a_key_that_is_none(void **state)
{
    static const char *const texts[] = {
        "''", "'\\n'", "'two words\\n'", "'two\\nlines\\n'", "'k\\001\\n'", "'\\303\\274\\n'"};
    struct world *world = *state;
    (void)beat(world, true);
    assert_non_null(strstr(world->heartbeat.problem, "hub.api_key_file: "));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        shell("printf %s >key", texts[i]);
        (void)beat(world, true);
        assert_non_null(strstr(world->heartbeat.problem, "does not hold one line with a key"));
    }
    assert_int_equal(wire.count, 0);
}

static void test_without_a_key_there_is_no_report(void **state)
{
    struct world *world = *state;
    world->config.hub.api_key_file[0] = '\0';
    assert_true(beat(world, true) < 0);
    assert_int_equal(wire.count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pulls_with_the_guests_own_password),
        TEST(test_pulls_again_after_poll),
        TEST(test_looks_at_most_once_a_second),
        TEST(test_a_new_enrolment_is_pulled_at_once),
        TEST(test_guests_without_a_customer_are_forgotten),
        TEST(test_failures_keep_the_last_good_one),
        TEST(test_failures_wait_longer_each_time),
        TEST(test_refusals_are_final),
        TEST(test_an_unknown_customer_is_final_even_after_failures),
        TEST(test_a_hub_out_of_reach_is_asked_by_one_guest),
        TEST(test_a_new_guest_does_not_wait_for_others),
        TEST(test_nothing_is_recorded_while_stopping),
        TEST(test_a_stop_ends_the_request_to_a_silent_hub),
        TEST(test_a_clock_put_back_delays_nothing),
        cmocka_unit_test(test_backoff),
        TEST(test_reports_with_the_hosts_key),
        TEST(test_the_hub_says_how_often),
        TEST(test_a_report_that_fails),
        TEST(test_a_key_that_is_none),
        TEST(test_without_a_key_there_is_no_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
