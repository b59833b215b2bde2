/* SPDX-License-Identifier: Apache-2.0 */
/* Registry credentials for guests of a real store, with a stand-in for Gitea, over TLS. */
#include "server/registry/registry.h"

#include <inttypes.h>
#include <pthread.h>

#include "server/base/context.h"
#include "server/outbound/http_client.h"
#include "store/base/clock.h"
#include "store/host/host.h"
#include "store/tables/event.h"
#include "store/tables/token.h"
#include "tests/unit/standin.h"

#include "schema/base/units.h"
#include "tests/unit/store_fixture.h"

#define PATIENCE 30000 /* times 20 ms */
#define PASSWORD "the password"
#define VMID     8200

/* --- a host with two guests, and what belongs to the registry --- */

static struct {
    struct context context;
    struct store *store;
    struct registry *registry; /* NULL where a test takes the turns itself */
    struct registry_mint mint;
    struct registry_deletion deletion;
    atomic_bool stopping;
    struct registry_credential credential;
} world;

/* Applies settings as a reload does. */
static void configure(const char *mode, const char *ca_file)
{
    struct server_config *setup;
    cleanup_free char *text = mem_format(
        "registry: {mode: %s, host: '127.0.0.1:%u', username: felhom, secret_file: %s/secret, "
        "ca_file: %s/%s}\npaths: {state: %s/state}\n",
        mode, standin.port, scratch, scratch, ca_file, scratch);
    standin_write("agent.yaml", text);
    OK(server_config_load(&setup, &error));
    context_set_config(&world.context, setup);
}

static const struct config *config(void)
{
    return &world.context.config->config;
}

static void start_guest(uint32_t vmid)
{
    struct token token = {0};
    put_guest(world.store, vmid);
    OK(token_mint(world.store, vmid, 1000, 0, &token, &error));
    token_text_wipe(&token.text);
}

static void stop_guest(uint32_t vmid)
{
    OK(token_revoke_before(world.store, vmid, INT64_MAX, 2000, "", NULL, &error));
    OK(credential_doom(world.store, vmid, clock_wall_ms(), &error));
}

static void describe_host(const char *host_id)
{
    struct host host = {.node = "pve1", .endpoint = "192.0.2.1:8443"};
    (void)snprintf(host.host_id, sizeof host.host_id, "%s", host_id);
    OK(host_put(world.store, &host, &error));
}

static int begin_group(void **state)
{
    if (state_make(state) < 0 || setenv("FELHOM_AGENT_CONFIG", in_scratch("agent.yaml"), 1) < 0)
        return -1;
    standin_certificates();
    standin_start("gitea");
    return 0;
}

static int end_group(void **state)
{
    standin_stop();
    return scratch_remove(state);
}

static int set_up(void **state)
{
    (void)state;
    memset(&world, 0, sizeof world);
    shell("rm -rf state/* && : >requests.jsonl && : >minted && echo '[]' >tokens.json");
    standin_write("users.json", "{\"felhom\": \"" PASSWORD "\"}");
    standin_write("control.json", "{}");
    standin_write("secret", PASSWORD "\n");
    (void)pthread_mutex_init(&world.context.lock, NULL);
    configure("gitea", "ca.pem");
    OK(store_pool_new(in_scratch("state"), &world.context.stores, &error));
    world.store = store_of_scratch();
    describe_host("demo");
    start_guest(VMID);
    start_guest(8300);
    registry_mint_init(&world.mint, world.context.stores, NULL);
    world.deletion = (struct registry_deletion){
        .stores = world.context.stores,
        .client = http_client_new(&world.stopping, NULL),
        .mint = &world.mint,
        .stopping = &world.stopping,
        .log = THROTTLED_LOG_NEW,
    };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    registry_credential_free(&world.credential);
    registry_stop(world.registry);
    http_client_free(world.deletion.client);
    registry_mint_destroy(&world.mint);
    store_close(world.store);
    store_pool_free(world.context.stores);
    server_config_unref(world.context.config);
    return 0;
}

/* --- what is done, and what is to be seen --- */

static int64_t soon_us(void)
{
    return clock_steady_us() + 600 * SECOND_US;
}

/* Sends a request as a guest does. */
static int get(uint32_t vmid)
{
    registry_credential_free(&world.credential);
    return registry_credential_get(world.registry, config(), vmid, soon_us(), &world.credential,
                                   &error);
}

/* Without a worker that cleans up afterwards. */
static int mint(uint32_t vmid)
{
    buffer_free(&world.credential.token);
    return registry_mint(&world.mint, config(), vmid, soon_us(), &world.credential.token, &error);
}

/* Returns after how many seconds the next step is due; 0: at once. */
static double turn(bool fresh)
{
    return (double)registry_deletion_turn(&world.deletion, config(), fresh) / 1e6;
}

/* Blocks the way to the registry, so that the message names it. */
static void assert_refused(int result, enum error_kind kind, const char *problem)
{
    cleanup_free char *message = mem_format("https://127.0.0.1:%u%s", standin.port, problem);
    FAILS(result, kind, message);
    assert_int_equal(world.credential.token.length, 0);
}

#define STATES \
    "SELECT group_concat(state || minted || failures) FROM" \
    " (SELECT * FROM credential ORDER BY created_at_ms, state)"

/* Returns the events about credentials, without the name in them. */
static void assert_events(uint32_t vmid, const char *expected)
{
    cleanup_free char *sql = mem_format(
        "SELECT group_concat(outcome || ' ' || detail, '; ') FROM"
        " (SELECT outcome, replace(detail, substr(detail, instr(detail, 'felhom-demo-'), 33), 'N')"
        " AS detail FROM event WHERE kind = 'credential' AND vmid = %" PRIu32 " ORDER BY seq)",
        vmid);
    assert_raw(sql, expected);
}

static void wait_for(const char *sql, const char *expected)
{
    for (int i = 0; i < PATIENCE; i++) {
        cleanup_free char *text = text_raw(sql);
        if (strcmp(text, expected) == 0)
            return;
        (void)poll(NULL, 0, 20);
    }
    assert_raw(sql, expected);
}

static void wait_until_asked(const char *method)
{
    char text[256] = "";
    cleanup_free char *command =
        mem_format("jq -s 'map(select(.method == \"%s\")) | length > 0' requests.jsonl", method);
    for (int i = 0; i < PATIENCE && strcmp(text, "true") != 0; i++)
        output_of(command, text);
    assert_string_equal(text, "true");
}

/* --- without minting --- */

static void test_none(void **state)
{
    (void)state;
    configure("none", "ca.pem");
    world.registry = registry_start(&world.context);
    FAILS(get(VMID), ERROR_MISSING, "there is no registry credential");
    assert_int_equal(registry_early_seconds(world.registry, config(), VMID), 0);
    assert_int_equal(registry_early_seconds(world.registry, config(), VMID), 0);
}

static void test_static(void **state)
{
    static const char *const texts[] = {PASSWORD, PASSWORD "\n", PASSWORD "\r\n\n"};
    (void)state;
    configure("static", "ca.pem");
    world.registry = registry_start(&world.context);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        standin_write("secret", texts[i]);
        OK(get(VMID));
        assert_string_equal(world.credential.username, "felhom");
        assert_string_equal(world.credential.host, config()->registry.host);
        assert_string_equal(buffer_text(&world.credential.token), PASSWORD);
        assert_int_equal(registry_early_seconds(world.registry, config(), VMID), 0);
    }
    standin_was_asked("length", "0");
}

static void test_a_secret_that_is_none(void **state)
{
    static const char *const commands[] = {"''",        "'\\n\\n'",   "'a\\nb\\n'",
                                           "'a\\000b'", "'a\\tb\\n'", "'\\177'"};
    (void)state;
    cleanup_free char *problem = mem_format(
        "registry.secret_file: %s/secret: does not hold one line with a secret", scratch);
    world.registry = registry_start(&world.context);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        shell("printf %s >secret", commands[i]);
        configure("static", "ca.pem");
        FAILS(get(VMID), ERROR_INVALID, problem);
        configure("gitea", "ca.pem");
        FAILS(get(VMID), ERROR_INVALID, problem);
    }
    shell("rm secret");
    assert_int_equal(get(VMID), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    shell("head -c 5000 /dev/zero | tr '\\0' a >secret");
    assert_int_equal(get(VMID), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    standin_was_asked("length", "0");
    assert_raw("SELECT count(*) FROM credential", "0");
}

/* --- minting --- */

static void test_a_guest_gets_a_token_of_its_own(void **state)
{
    (void)state;
    world.registry = registry_start(&world.context);
    OK(get(VMID));
    assert_string_equal(world.credential.host, config()->registry.host);
    assert_string_equal(world.credential.username, "felhom");
    cleanup_free char *filter =
        mem_format(".[0].sha1 == \"%s\"", buffer_text(&world.credential.token));
    standin_holds(filter, "true");
    standin_holds(".[0].scopes", "[\"read:package\"]");
    cleanup_free char *name = text_raw("SELECT name FROM credential");
    cleanup_free char *named = mem_format(".[0].name == \"%s\"", name);
    standin_holds(named, "true");
    assert_int_equal(strlen(name), strlen("felhom-demo-8200-") + 16);
    assert_memory_equal(name, "felhom-demo-8200-", 17);
    assert_raw(STATES, "live10");
    assert_events(VMID, "ok registry token N minted");
    standin_was_asked("[.[] | .method, .headers.Authorization]",
                      "[\"POST\",\"Basic ZmVsaG9tOnRoZSBwYXNzd29yZA==\"]");
}

static void test_the_pace_is_kept_for_each_guest(void **state)
{
    (void)state;
    world.registry = registry_start(&world.context);
    assert_int_equal(registry_early_seconds(world.registry, config(), VMID), 0);
    assert_int_equal(registry_early_seconds(world.registry, config(), VMID), 5);
    assert_int_equal(registry_early_seconds(world.registry, config(), 8300), 0);
}

static void test_names_fit_whatever_the_host_is_called(void **state)
{
    char host_id[256] = "";
    (void)state;
    memset(host_id, 'x', 253);
    describe_host(host_id);
    start_guest(999999999);
    OK(mint(999999999));
    assert_raw("SELECT length(name) <= 255 AND name LIKE '%-999999999-%' FROM credential", "1");
    OK(mint(999999999));
    standin_holds("length", "2");
}

static void *mint_in_thread(void *result)
{
    *(int *)result = mint(VMID);
    return NULL;
}

static void test_the_name_is_committed_before_the_registry_hears_of_it(void **state)
{
    int result = -1;
    pthread_t thread;
    (void)state;
    standin_write("control.json", "{\"hold\": true}");
    assert_int_equal(pthread_create(&thread, NULL, mint_in_thread, &result), 0);
    wait_until_asked("POST");
    assert_raw(STATES, "minting00");
    /* The token is being minted: no other thread may treat it as left behind. */
    assert_true(turn(true) > 50);
    assert_raw(STATES, "minting00");
    standin_write("control.json", "{}");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(result, 0);
    assert_raw(STATES, "live10");
}

static void test_a_guest_that_stops_meanwhile_gets_nothing(void **state)
{
    int result = 0;
    pthread_t thread;
    (void)state;
    standin_write("control.json", "{\"hold\": true}");
    assert_int_equal(pthread_create(&thread, NULL, mint_in_thread, &result), 0);
    wait_until_asked("POST");
    stop_guest(VMID);
    standin_write("control.json", "{}");
    assert_int_equal(pthread_join(thread, NULL), 0);
    FAILS(result, ERROR_CONFLICT, "guest 8200 has stopped");
    assert_int_equal(world.credential.token.length, 0);
    assert_raw(STATES, "doomed10");
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
    assert_events(VMID, "ok registry token N minted; ok registry token N deleted");
}

static void test_a_guest_that_has_stopped_is_not_asked_for(void **state)
{
    (void)state;
    stop_guest(VMID);
    FAILS(mint(VMID), ERROR_CONFLICT, "guest 8200 has stopped");
    standin_was_asked("length", "0");
    assert_raw("SELECT count(*) FROM credential", "0");
}

static void test_the_one_before_stays_for_a_minute(void **state)
{
    (void)state;
    OK(mint(VMID));
    OK(mint(8300));
    OK(mint(VMID));
    assert_raw(STATES, "doomed10,live10,live10");
    double wait = turn(false);
    assert_true(wait > 50 && wait <= 60);
    standin_holds("length", "3");
    run_raw("UPDATE credential SET next_try_at_ms = next_try_at_ms - 60000");
    assert_true(turn(false) == 0);
    standin_holds("length", "2");
    assert_true(turn(false) > 50);
    assert_raw(STATES, "live10,live10");
}

static void test_failed_mints_leave_no_token(void **state)
{
    static const struct {
        const char *control;
        const char *problem;
        enum error_kind kind;
    } cases[] = {
        {"{\"lose_answer\": true}", ": hung up without an answer", ERROR_BUSY},
        {"{\"say_made\": \"{}\"}", " answered with something other than a token", ERROR_BUSY},
        {"{\"version\": \"1.18\"}",
         " made a token that is not limited to read:package, and it is deleted: Gitea or Forgejo "
         "1.19 or newer is needed",
         ERROR_DENIED},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        standin_write("control.json", cases[i].control);
        assert_refused(mint(VMID), cases[i].kind, cases[i].problem);
        assert_raw(STATES, "minting00");
        standin_holds("length", "1");
        standin_write("control.json", "{}");
        assert_true(turn(false) == 0);
        standin_holds("length", "0");
        assert_raw("SELECT count(*) FROM credential", "0");
    }
}

static void test_nothing_is_kept_of_a_mint_that_was_not_heard(void **state)
{
    (void)state;
    standin_write("users.json", "{}");
    assert_refused(mint(VMID), ERROR_DENIED,
                   " answered 401 Unauthorized: invalid username, password or token");
    configure("gitea", "other-ca.pem");
    assert_int_equal(mint(VMID), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    configure("gitea", "ca.pem");
    standin_stop();
    assert_refused(mint(VMID), ERROR_BUSY, ": no connection: Connection refused");
    standin_start("gitea");
    assert_raw("SELECT count(*) FROM credential", "0");
    assert_events(VMID, "");
}

static void test_no_more_than_can_be_deleted(void **state)
{
    (void)state;
    for (int i = 0; i < CREDENTIALS_MAX; i++) {
        cleanup_free char *name = mem_format("n%d", i);
        OK(credential_begin(world.store, name, "felhom@elsewhere", VMID, 1, &error));
    }
    FAILS(mint(VMID), ERROR_CONFLICT, "the registry has yet to delete 32 tokens of this guest");
    OK(mint(8300));
    standin_was_asked("length", "1");
}

/* A tenth of a second is left. */
static void assert_late(uint32_t vmid, const char *problem)
{
    struct error late = {0};
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    assert_int_equal(registry_mint(&world.mint, config(), vmid, clock_steady_us() + SECOND_US / 10,
                                   &token, &late),
                     -1);
    assert_string_equal(late.message, problem);
    assert_int_equal(late.kind, ERROR_BUSY);
    assert_int_equal(token.length, 0);
}

static void test_one_at_a_time(void **state)
{
    int result = -1;
    pthread_t thread;
    (void)state;
    standin_write("control.json", "{\"hold\": true}");
    assert_int_equal(pthread_create(&thread, NULL, mint_in_thread, &result), 0);
    wait_until_asked("POST");
    assert_late(8300, "too many requests wait for the same answer");
    standin_write("control.json", "{}");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(result, 0);
    assert_late(8300, "too many guests ask for registry tokens at once");
    standin_was_asked("length", "1");
}

/* Whatever the failure is, the guest is not told its details. */
static void test_trouble_with_the_store_is_the_hosts(void **state)
{
    (void)state;
    OK(store_begin(world.store, &error));
    assert_int_equal(mint(VMID), -1);
    assert_string_equal(error.message, "the store is locked by another process");
    assert_int_equal(error.kind, ERROR_SYSTEM);
    store_rollback(world.store);
    run_raw("DELETE FROM host");
    assert_int_equal(mint(VMID), -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    standin_was_asked("length", "0");
}

static void *lock_store_once_asked(void *state)
{
    wait_until_asked("POST");
    OK(store_begin(world.store, &error));
    standin_write("control.json", "{}");
    return state;
}

static void test_a_token_that_cannot_be_recorded_is_not_given_away(void **state)
{
    pthread_t thread;
    (void)state;
    standin_write("control.json", "{\"hold\": true}");
    assert_int_equal(pthread_create(&thread, NULL, lock_store_once_asked, NULL), 0);
    int result = mint(VMID);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    assert_int_equal(world.credential.token.length, 0);
    store_rollback(world.store);
    standin_holds("length", "1");
    assert_raw(STATES, "minting00");
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
}

/* --- deleting --- */

static void test_nothing_to_delete(void **state)
{
    (void)state;
    double wait = turn(true);
    assert_true(wait > 50 && wait <= 60);
    OK(mint(VMID));
    assert_true(turn(false) > 50);
    standin_was_asked("map(.method)", "[\"POST\"]");
}

static void test_deletes_one_in_each_turn(void **state)
{
    (void)state;
    OK(mint(VMID));
    OK(mint(8300));
    stop_guest(VMID);
    stop_guest(8300);
    assert_true(turn(false) == 0);
    standin_holds("length", "1");
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
    assert_true(turn(false) > 50);
    assert_raw("SELECT count(*) FROM credential", "0");
    assert_events(8300, "ok registry token N minted; ok registry token N deleted");
}

static void test_those_without_a_guest_are_found(void **state)
{
    (void)state;
    OK(mint(VMID));
    OK(mint(8300));
    OK(guest_remove(world.store, VMID, &error));
    OK(token_revoke_before(world.store, 8300, INT64_MAX, 2000, "", NULL, &error));
    assert_true(turn(false) == 0);
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
    assert_raw("SELECT count(*) FROM credential", "0");
}

static void assert_next_try(int64_t from_seconds, int64_t to_seconds)
{
    cleanup_free char *text = text_raw("SELECT next_try_at_ms FROM credential");
    int64_t wait_ms = strtoll(text, NULL, 10) - clock_wall_ms();
    assert_true(wait_ms > from_seconds * 1000 && wait_ms <= to_seconds * 1000);
}

static void make_due(void)
{
    run_raw("UPDATE credential SET next_try_at_ms = 1");
}

static void test_failures_wait_longer_each_time(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    standin_write("control.json", "{\"status\": 500, \"reason\": \"oops\"}");
    assert_true(turn(false) == 0);
    assert_next_try(28, 34);
    double wait = turn(false);
    assert_true(wait > 28 && wait <= 34);
    make_due();
    assert_true(turn(false) == 0);
    assert_next_try(58, 68);
    run_raw("UPDATE credential SET failures = 20");
    make_due();
    assert_true(turn(false) == 0);
    assert_next_try(3590, 4050);
    assert_true(turn(false) > 50);
    standin_was_asked("map(select(.method == \"DELETE\")) | length", "3");
    cleanup_free char *told =
        mem_format("ok registry token N minted; warning registry token N could not be deleted yet: "
                   "https://127.0.0.1:%u answered 500 oops",
                   standin.port);
    assert_events(VMID, told);
    assert_true(turn(true) == 0); /* under other settings it is worth a try */
    standin_was_asked("map(select(.method == \"DELETE\")) | length", "4");
    standin_write("control.json", "{}");
    make_due();
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
}

static void test_a_mint_says_that_the_registry_is_back(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    standin_stop();
    assert_true(turn(false) == 0);
    assert_raw(STATES, "doomed11");
    standin_start("gitea");
    assert_true(turn(false) > 25);
    OK(mint(8300));
    assert_true(turn(false) == 0);
    standin_holds("length", "1");
    assert_raw(STATES, "live10");
}

static void test_a_clock_put_back_delays_nothing(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    run_raw("UPDATE credential SET next_try_at_ms = next_try_at_ms + 3600000");
    assert_true(turn(false) > 50);
    run_raw("UPDATE credential SET next_try_at_ms = next_try_at_ms + 3600000");
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
}

static void begin_only(int64_t age_ms)
{
    cleanup_free char *account = mem_format("felhom@%s", config()->registry.host);
    OK(credential_begin(world.store, "felhom-demo-8200-0123456789abcdef", account, VMID,
                        clock_wall_ms() - age_ms, &error));
}

static void test_one_that_may_still_come_is_not_forgotten(void **state)
{
    (void)state;
    begin_only(590000);
    assert_true(turn(false) == 0);
    assert_raw(STATES, "doomed01");
    assert_next_try(28, 34);
    assert_events(VMID, "");
    run_raw("UPDATE credential SET created_at_ms = created_at_ms - 10000");
    make_due();
    assert_true(turn(false) == 0);
    assert_raw("SELECT count(*) FROM credential", "0");
    assert_events(VMID, "");
    standin_was_asked("map(.method)", "[\"DELETE\",\"DELETE\"]");
}

static void test_one_that_came_late_is_deleted(void **state)
{
    (void)state;
    begin_only(0);
    assert_true(turn(false) == 0);
    standin_write("tokens.json", "[{\"id\": 7, \"user\": \"felhom\", \"sha1\": \"x\", \"name\":"
                                 " \"felhom-demo-8200-0123456789abcdef\", \"scopes\": []}]");
    make_due();
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
    assert_raw("SELECT count(*) FROM credential", "0");
    assert_events(VMID, "ok registry token N deleted");
}

static void test_one_that_was_gone_already(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    standin_write("tokens.json", "[]");
    assert_true(turn(false) == 0);
    assert_raw("SELECT count(*) FROM credential", "0");
    assert_events(VMID, "ok registry token N minted; ok registry token N was gone already");
}

static void test_tokens_of_another_registry_are_kept_in_mind(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    configure("none", "ca.pem");
    assert_true(turn(true) > 50);
    configure("static", "ca.pem");
    assert_true(turn(true) > 50);
    run_raw("UPDATE credential SET registry = 'felhom@elsewhere'");
    configure("gitea", "ca.pem");
    assert_true(turn(true) > 50);
    assert_raw(STATES, "doomed10");
    standin_was_asked("map(.method)", "[\"POST\"]");
}

static void test_a_secret_that_is_away_is_a_failure(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    shell("rm secret");
    assert_true(turn(false) == 0);
    assert_raw(STATES, "doomed11");
    assert_events(VMID, "ok registry token N minted; warning registry token N could not be deleted "
                        "yet: the host's log says why");
}

static void test_nothing_is_recorded_while_stopping(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    atomic_store(&world.stopping, true);
    assert_true(turn(false) > 0);
    assert_raw(STATES, "doomed10");
}

static void test_a_store_that_is_locked(void **state)
{
    (void)state;
    OK(mint(VMID));
    stop_guest(VMID);
    OK(store_begin(world.store, &error));
    assert_true(turn(true) == 5);
    store_rollback(world.store);
    assert_true(turn(false) == 0);
    standin_holds("length", "0");
}

/* --- the worker --- */

static void test_the_worker_deletes_once_it_is_woken(void **state)
{
    (void)state;
    world.registry = registry_start(&world.context);
    OK(get(VMID));
    stop_guest(VMID);
    registry_wake(world.registry);
    wait_for("SELECT count(*) FROM credential", "0");
    standin_holds("length", "0");
}

static void test_the_worker_finds_what_a_crash_left(void **state)
{
    (void)state;
    standin_write("control.json", "{\"lose_answer\": true}");
    assert_int_equal(mint(VMID), -1);
    standin_holds("length", "1");
    standin_write("control.json", "{}");
    world.registry = registry_start(&world.context);
    wait_for("SELECT count(*) FROM credential", "0");
    standin_holds("length", "0");
}

static void test_the_worker_cleans_up_after_a_failure(void **state)
{
    (void)state;
    world.registry = registry_start(&world.context);
    standin_write("control.json", "{\"version\": \"1.18\"}");
    assert_int_equal(get(VMID), -1);
    wait_for("SELECT count(*) FROM credential", "0");
    standin_holds("length", "0");
}

static void test_new_settings_hurry_the_worker_but_a_wake_up_does_not(void **state)
{
    (void)state;
    world.registry = registry_start(&world.context);
    OK(get(VMID));
    standin_write("control.json", "{\"status\": 500}");
    stop_guest(VMID);
    registry_wake(world.registry);
    wait_for(STATES, "doomed11");
    registry_wake(world.registry);
    (void)poll(NULL, 0, 300);
    assert_raw(STATES, "doomed11");
    configure("gitea", "ca.pem");
    registry_wake(world.registry);
    wait_for(STATES, "doomed12");
    standin_write("control.json", "{}");
    configure("gitea", "ca.pem");
    registry_wake(world.registry);
    wait_for("SELECT count(*) FROM credential", "0");
}

static void test_stopping_does_not_wait_for_the_registry(void **state)
{
    (void)state;
    OK(mint(VMID));
    standin_write("control.json", "{\"delay\": 600}");
    stop_guest(VMID);
    world.registry = registry_start(&world.context);
    wait_until_asked("DELETE");
    int64_t began_us = clock_steady_us();
    registry_stop(world.registry);
    world.registry = NULL;
    assert_true(clock_steady_us() - began_us < 8 * SECOND_US);
    assert_raw(STATES, "doomed10");
    registry_stop(NULL);
    registry_wake(NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_none),
        TEST(test_static),
        TEST(test_a_secret_that_is_none),
        TEST(test_a_guest_gets_a_token_of_its_own),
        TEST(test_the_pace_is_kept_for_each_guest),
        TEST(test_names_fit_whatever_the_host_is_called),
        TEST(test_the_name_is_committed_before_the_registry_hears_of_it),
        TEST(test_a_guest_that_stops_meanwhile_gets_nothing),
        TEST(test_a_guest_that_has_stopped_is_not_asked_for),
        TEST(test_the_one_before_stays_for_a_minute),
        TEST(test_failed_mints_leave_no_token),
        TEST(test_nothing_is_kept_of_a_mint_that_was_not_heard),
        TEST(test_no_more_than_can_be_deleted),
        TEST(test_one_at_a_time),
        TEST(test_trouble_with_the_store_is_the_hosts),
        TEST(test_a_token_that_cannot_be_recorded_is_not_given_away),
        TEST(test_nothing_to_delete),
        TEST(test_deletes_one_in_each_turn),
        TEST(test_those_without_a_guest_are_found),
        TEST(test_failures_wait_longer_each_time),
        TEST(test_a_mint_says_that_the_registry_is_back),
        TEST(test_a_clock_put_back_delays_nothing),
        TEST(test_one_that_may_still_come_is_not_forgotten),
        TEST(test_one_that_came_late_is_deleted),
        TEST(test_one_that_was_gone_already),
        TEST(test_tokens_of_another_registry_are_kept_in_mind),
        TEST(test_a_secret_that_is_away_is_a_failure),
        TEST(test_nothing_is_recorded_while_stopping),
        TEST(test_a_store_that_is_locked),
        TEST(test_the_worker_deletes_once_it_is_woken),
        TEST(test_the_worker_finds_what_a_crash_left),
        TEST(test_the_worker_cleans_up_after_a_failure),
        TEST(test_new_settings_hurry_the_worker_but_a_wake_up_does_not),
        TEST(test_stopping_does_not_wait_for_the_registry),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
