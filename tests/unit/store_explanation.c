/* SPDX-License-Identifier: Apache-2.0 */
/* Refused requests by their ids: a ring. */
#include "tests/unit/test.h"

#include "schema/base/memory.h"
#include "store/tables/event.h"

#include "tests/unit/store_fixture.h"

static struct explanation numbered(int number)
{
    struct explanation explanation = {
        .at_ms = 1700000000123,
        .status = 403,
        .method = "GET",
        .path = "/storage",
        .vmid = 8200,
        .token_id = "Ab3dE6gH",
        .source = "BC:24:11:09:CE:72(192.168.0.7)",
        .reason = "token of another guest",
        .detail = "Ab3dE6gH of guest 8200 came from guest 8300",
    };
    (void)snprintf(explanation.request_id, sizeof explanation.request_id, "%016x",
                   (unsigned int)number);
    return explanation;
}

static void add_of(struct store *store, int number, uint32_t origin)
{
    struct explanation explanation = numbered(number);
    explanation.origin = origin;
    OK(explanation_add(store, &explanation, &error));
}

static void add(struct store *store, int number)
{
    const struct explanation explanation = numbered(number);
    OK(explanation_add(store, &explanation, &error));
}

static void test_all_fields(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct explanation found;
    const struct explanation wanted = numbered(5);
    add(store, 5);
    OK(explanation_find(store, "0000000000000005", &found, &error));
    assert_string_equal(found.request_id, wanted.request_id);
    assert_int_equal(found.at_ms, wanted.at_ms);
    assert_int_equal(found.status, wanted.status);
    assert_string_equal(found.method, wanted.method);
    assert_string_equal(found.path, wanted.path);
    assert_int_equal(found.vmid, wanted.vmid);
    assert_string_equal(found.token_id, wanted.token_id);
    assert_string_equal(found.source, wanted.source);
    assert_string_equal(found.reason, wanted.reason);
    assert_string_equal(found.detail, wanted.detail);
}

static void test_unknown_one(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct explanation found;
    FAILS(explanation_find(store, "0000000000000005", &found, &error), ERROR_MISSING,
          "no refused request 0000000000000005 is recorded");
}

/* A record that the store refuses leaves the others unchanged. */
static void test_an_id_twice(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct explanation again = numbered(1);
    add(store, 1);
    assert_int_equal(explanation_add(store, &again, &error), -1);
    assert_raw("SELECT count(*) FROM explanation", "1");
}

static void assert_kept(uint32_t origin, int count)
{
    cleanup_free char *sql =
        mem_format("SELECT count(*) FROM explanation WHERE origin = %u", origin);
    cleanup_free char *wanted = mem_format("%d", count);
    assert_raw(sql, wanted);
}

/* Whoever is refused without end pushes out the explanations of its own requests alone. */
static void test_each_origin_has_its_own(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    static const uint32_t origins[] = {0, 8200, 8300};
    static const int kept[] = {EXPLANATIONS_OF_OTHERS, EXPLANATIONS_OF_GUEST,
                               EXPLANATIONS_OF_GUEST};
    int number = 0;
    for (int i = 0; i < 3; i++)
        add_of(store, number++, origins[i]);
    for (int i = 0; i < 3; i++) {
        OK(store_begin(store, &error));
        for (int j = 0; j < EXPLANATIONS_OF_OTHERS + 10; j++)
            add_of(store, number++, origins[i]);
        OK(store_commit(store, &error));
        for (int j = 0; j < 3; j++)
            assert_kept(origins[j], j <= i ? kept[j] : 1);
    }
}

static void test_a_ring(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct explanation found;
    OK(store_begin(store, &error));
    for (int i = 0; i < EXPLANATIONS_OF_OTHERS + 10; i++)
        add(store, i);
    OK(store_commit(store, &error));
    assert_raw("SELECT count(*) FROM explanation", "1024");
    assert_int_equal(explanation_find(store, "0000000000000009", &found, &error), -1);
    OK(explanation_find(store, "000000000000000a", &found, &error));
}

static int note(const struct explanation *explanation, void *context)
{
    buffer_add_format(context, "%s ", explanation->request_id + 15);
    return 0;
}

static void test_the_newest_first(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup_buffer struct buffer seen = BUFFER_EMPTY;
    for (int i = 1; i <= 5; i++)
        add(store, i);
    OK(explanation_each(store, 3, note, &seen, &error));
    assert_string_equal(buffer_text(&seen), "5 4 3 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_all_fields),       store_test(test_unknown_one),
        store_test(test_an_id_twice),      store_test(test_a_ring),
        store_test(test_the_newest_first), store_test(test_each_origin_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
