/* SPDX-License-Identifier: Apache-2.0 */
/* The audit trail: order, filters, bounds. */
#include "tests/unit/test.h"

#include "schema/base/memory.h"
#include "store/tables/event.h"

#include "tests/unit/store_fixture.h"

struct seen {
    int count;
    int stop_after;
    int64_t seqs[16];
};

static int note(const struct event *event, void *context)
{
    struct seen *seen = context;
    seen->seqs[seen->count++] = event->seq;
    return seen->count == seen->stop_after ? 7 : 0;
}

static void add(struct store *store, uint32_t vmid, const char *detail)
{
    struct event event = {.at_ms = 5000,
                          .vmid = vmid,
                          .kind = "mint",
                          .outcome = "ok",
                          .detail = detail,
                          .duration_us = -1};
    OK(event_add(store, &event, &error));
}

static int compare_full(const struct event *event, void *context)
{
    (void)context;
    assert_int_equal(event->seq, 1);
    assert_int_equal(event->at_ms, 1700000000123);
    assert_int_equal(event->vmid, 999999999);
    assert_string_equal(event->kind, "refused");
    assert_string_equal(event->outcome, "warning");
    assert_string_equal(event->detail, "token 'x'; -- ä");
    assert_string_equal(event->source, "BC:24:11:09:CE:72");
    assert_int_equal(event->duration_us, 2900);
    assert_int_equal(event->origin, 8300);
    return 0;
}

static void test_all_fields(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct event event = {.seq = 77, /* the store's to set */
                          .at_ms = 1700000000123,
                          .vmid = 999999999,
                          .kind = "refused",
                          .outcome = "warning",
                          .detail = "token 'x'; -- ä",
                          .source = "BC:24:11:09:CE:72",
                          .duration_us = 2900,
                          .origin = 8300};
    OK(event_add(store, &event, &error));
    OK(event_each(store, 0, 0, 10, compare_full, NULL, &error));
}

static int compare_empty(const struct event *event, void *context)
{
    *(bool *)context = true;
    assert_string_equal(event->kind, "mint");
    assert_string_equal(event->detail, "");
    assert_string_equal(event->source, "");
    assert_int_equal(event->duration_us, -1);
    return 0;
}

static void test_null_is_empty(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    bool seen = false;
    add(store, 0, NULL);
    OK(event_each(store, 0, 0, 10, compare_empty, &seen, &error));
    assert_true(seen);
}

static void test_unknown_outcome(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct event event = {.kind = "mint", .outcome = "fine"};
    assert_int_equal(event_add(store, &event, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    event.outcome = NULL;
    assert_int_equal(event_add(store, &event, &error), -1);
}

static void test_filters(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const uint32_t vmids[] = {8200, 8300, 0, 8200, 8200};
    for (size_t i = 0; i < ARRAY_SIZE(vmids); i++)
        add(store, vmids[i], "x");
    static const struct {
        uint32_t vmid;
        int64_t since;
        int limit;
        int count;
        int64_t first;
    } cases[] = {
        {0, 0, 10, 5, 1},    {0, 3, 10, 2, 4},    {0, 5, 10, 0, 0},   {0, 0, 2, 2, 1},
        {8200, 0, 10, 3, 1}, {8200, 1, 10, 2, 4}, {8200, 0, 1, 1, 1}, {8300, 0, 10, 1, 2},
        {8400, 0, 10, 0, 0}, {8200, 0, 0, 0, 0},  {0, -5, 10, 5, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct seen seen = {0};
        OK(event_each(store, cases[i].vmid, cases[i].since, cases[i].limit, note, &seen, &error));
        assert_int_equal(seen.count, cases[i].count);
        assert_int_equal(seen.seqs[0], cases[i].first);
        for (int at = 1; at < seen.count; at++)
            assert_true(seen.seqs[at] > seen.seqs[at - 1]);
    }
}

static void test_visit_stops(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct seen seen = {.stop_after = 2};
    for (int i = 0; i < 5; i++)
        add(store, 8200, "x");
    assert_int_equal(event_each(store, 0, 0, 10, note, &seen, &error), 7);
    assert_int_equal(seen.count, 2);
}

struct nested {
    struct store *store;
    int inner;
};

static int count_inner(const struct event *event, void *context)
{
    (void)event;
    ++*(int *)context;
    return 0;
}

static int ask_again(const struct event *event, void *context)
{
    struct nested *nested = context;
    (void)event;
    OK(event_each(nested->store, 0, 0, 10, count_inner, &nested->inner, &error));
    return 0;
}

/* The same statement used twice at once. */
static void test_visit_inside_a_visit(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct nested nested = {.store = store};
    for (int i = 0; i < 3; i++)
        add(store, 8200, "x");
    OK(event_each(store, 0, 0, 10, ask_again, &nested, &error));
    assert_int_equal(nested.inner, 9);
}

static void test_rolled_back_with_the_rest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct seen seen = {0};
    OK(store_begin(store, &error));
    add(store, 8200, "x");
    store_rollback(store);
    OK(event_each(store, 0, 0, 10, note, &seen, &error));
    assert_int_equal(seen.count, 0);
}

/* Numbers are not reused, even if the newest events were deleted. */
static void test_seq_is_never_reused(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    add(store, 8200, "x");
    add(store, 8200, "x");
    run_raw("DELETE FROM event");
    add(store, 8200, "x");
    assert_raw("SELECT seq FROM event", "3");
}

/* Adds many events at once: of a guest, or refusals of requests that it sent. */
static void add_many(int count, uint32_t vmid, const char *kind, uint32_t origin)
{
    cleanup_free char *sql = mem_format(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        " INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us, origin)"
        " SELECT 5000, %u, '%s', 'ok', 'x', '', -1, %u FROM n",
        count, vmid, kind, origin);
    run_raw(sql);
}

/* The next event's number is a multiple of the batch. */
static void come_to_a_batch(void)
{
    run_raw("UPDATE sqlite_sequence SET seq = (seq / 1000 + 1) * 1000 - 1 WHERE name = 'event'");
}

static void prune(struct store *store, bool more)
{
    bool left;
    OK(event_prune(store, &left, &error));
    assert_int_equal(left, more);
}

static void test_bounded(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    add_many(10998, 8200, "mint", 0);
    add(store, 8200, "x");
    assert_raw("SELECT count(*) FROM event", "10999"); /* not pruned on every insert */
    add(store, 8200, "x");
    assert_raw("SELECT count(*) || ' ' || min(seq) FROM event", "10000 1001");
    prune(store, false);
    assert_raw("SELECT count(*) || ' ' || min(seq) FROM event", "10000 1001");
}

/* Whoever makes events without end pushes out its own alone. */
static void test_each_has_its_share(void **state)
{
    (void)state;
    static const struct {
        uint32_t vmid;
        const char *kind;
        uint32_t origin;
    } shares[] = {
        {8200, "backup", 0},         {8300, "backup", 0}, {0, "init", 0},
        {8300, EVENT_REFUSED, 0},    /* a stranger with 8300's token */
        {8300, EVENT_REFUSED, 8200}, /* 8200 with 8300's token */
        {0, EVENT_REFUSED, 8300},    /* 8300 without a token */
    };
    for (size_t flood = 0; flood < ARRAY_SIZE(shares); flood++) {
        cleanup_store struct store *store = store_of_scratch();
        run_raw("DELETE FROM event");
        for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
            add_many(5, shares[i].vmid, shares[i].kind, shares[i].origin);
        add_many(15000, shares[flood].vmid, shares[flood].kind, shares[flood].origin);
        prune(store, true);
        prune(store, false);
        for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
            cleanup_free char *sql =
                mem_format("SELECT count(*) FROM event WHERE vmid = %u AND kind = '%s'"
                           " AND origin = %u",
                           shares[i].vmid, shares[i].kind, shares[i].origin);
            assert_raw(sql, i == flood ? "10000" : "5");
        }
    }
}

/* So that all of them together stay within bounds. */
static void test_many_shares_are_smaller(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    for (uint32_t vmid = 1000; vmid < 1099; vmid++)
        add(store, vmid, "x");
    add_many(6000, 8200, "backup", 0);
    prune(store, false);
    assert_raw("SELECT count(*) FROM event WHERE vmid = 8200", "5001");
    assert_raw("SELECT count(*) FROM event WHERE vmid < 8200", "99");
}

static void test_a_backlog_goes_some_at_a_time(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    add_many(30000, 8200, "backup", 0);
    come_to_a_batch();
    add(store, 8300, "x");
    assert_raw("SELECT count(*) || ' ' || min(seq) FROM event", "26001 4001");
    for (int i = 0; i < 4; i++)
        prune(store, true);
    prune(store, false);
    assert_raw("SELECT count(*) || ' ' || min(seq) FROM event", "10001 20001");
}

/* A guest's events: its own, and refusals of its tokens, whoever had them, and of what it sent. */
static void test_refusals_of_its_tokens_and_requests_are_a_guests(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct seen seen = {0};
    struct seen newest = {0};
    add_many(1, 8200, "mint", 0);           /* 1 */
    add_many(1, 8200, EVENT_REFUSED, 8300); /* 2 */
    add_many(1, 8300, EVENT_REFUSED, 8200); /* 3 */
    add_many(1, 8200, EVENT_REFUSED, 0);    /* 4 */
    add_many(1, 8200, "backup", 0);         /* 5 */
    add_many(1, 8200, EVENT_REFUSED, 8200); /* 6, once */
    add_many(1, 8300, EVENT_REFUSED, 8300); /* 7 */
    add_many(1, 0, EVENT_REFUSED, 8200);    /* 8 */
    add_many(1, 0, EVENT_REFUSED, 0);       /* 9 */
    OK(event_each(store, 8200, 0, 10, note, &seen, &error));
    assert_int_equal(seen.count, 7);
    for (int i = 0; i < 6; i++)
        assert_int_equal(seen.seqs[i], i + 1);
    assert_int_equal(seen.seqs[6], 8);
    OK(event_each_newest(store, 8200, 0, 2, note, &newest, &error));
    assert_int_equal(newest.count, 2);
    assert_int_equal(newest.seqs[0], 6);
    assert_int_equal(newest.seqs[1], 8);
}

static void add_kind(struct store *store, uint32_t vmid, const char *kind)
{
    struct event event = {.at_ms = 5000, .vmid = vmid, .kind = kind, .outcome = "ok"};
    OK(event_add(store, &event, &error));
}

static struct seen own_of(struct store *store, uint32_t vmid, int64_t since, int limit)
{
    struct seen seen = {0};
    OK(event_each_own(store, vmid, since, limit, note, &seen, &error));
    return seen;
}

static void assert_own(struct store *store, uint32_t vmid, int count, int64_t first)
{
    struct seen seen = own_of(store, vmid, 0, 10);
    assert_int_equal(seen.count, count);
    assert_int_equal(seen.seqs[0], first);
}

static void test_own_ones(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    put_guest(store, 8300);
    add_kind(store, 8200, "mint");    /* 1 */
    add_kind(store, 8300, "mint");    /* 2 */
    add_kind(store, 8200, "refused"); /* 3 */
    add_kind(store, 0, "init");       /* 4 */
    add_kind(store, 8200, "revoke");  /* 5 */
    add_kind(store, 8400, "unenroll");
    struct seen seen = own_of(store, 8200, 0, 10);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.seqs[0], 1);
    assert_int_equal(seen.seqs[1], 5);
    assert_int_equal(own_of(store, 8200, 1, 10).seqs[0], 5);
    assert_int_equal(own_of(store, 8200, 5, 10).count, 0);
    assert_int_equal(own_of(store, 8200, INT64_MAX, 10).count, 0);
    assert_int_equal(own_of(store, 8200, 0, 1).count, 1);
    assert_own(store, 8300, 1, 2);
    assert_own(store, 8400, 0, 0); /* a guest that the store does not know */
    assert_own(store, 0, 0, 0);
}

static void test_own_ones_stop(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct seen seen = {.stop_after = 1};
    put_guest(store, 8200);
    add(store, 8200, "x");
    add(store, 8200, "x");
    assert_int_equal(event_each_own(store, 8200, 0, 10, note, &seen, &error), 7);
    assert_int_equal(seen.count, 1);
}

static void test_a_new_guest_has_none_of_before(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    add(store, 8200, "of nobody we know");
    put_guest(store, 8200);
    assert_own(store, 8200, 0, 0);
    add(store, 8200, "own");
    assert_own(store, 8200, 1, 2);
    put_guest(store, 8200); /* its next start */
    assert_own(store, 8200, 1, 2);
    OK(guest_remove(store, 8200, &error));
    assert_own(store, 8200, 0, 0);
    add(store, 8200, "unenroll");
    put_guest(store, 8200);
    assert_own(store, 8200, 0, 0);
    add(store, 8200, "own");
    assert_own(store, 8200, 1, 4);
}

/* Events after it, in the transaction that adds the guest, are the guest's own. */
static void test_first_events_are_own(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    add(store, 8300, "x");
    OK(store_begin(store, &error));
    put_guest(store, 8200);
    add(store, 8200, "own");
    OK(store_commit(store, &error));
    assert_own(store, 8200, 1, 2);
}

static bool has_past(struct store *store, uint32_t vmid)
{
    bool past;
    OK(guest_has_past(store, vmid, &past, &error));
    return past;
}

static void test_a_past_is_forgotten_once(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    assert_false(has_past(store, 8200));
    OK(guest_forget_past(store, 8200, &error));
    put_guest(store, 8200);
    put_guest(store, 8300);
    assert_false(has_past(store, 8200));
    add(store, 8300, "x");
    assert_false(has_past(store, 8200));
    add(store, 8200, "x");
    assert_true(has_past(store, 8200));
    OK(guest_forget_past(store, 8200, &error));
    assert_false(has_past(store, 8200));
    assert_own(store, 8200, 0, 0);
    assert_own(store, 8300, 1, 1);
    add(store, 8200, "x");
    assert_own(store, 8200, 1, 3);
}

static int64_t newest(struct store *store)
{
    int64_t seq = -1;
    OK(event_newest(store, &seq, &error));
    return seq;
}

static void test_newest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    assert_int_equal(newest(store), 0);
    add(store, 8200, "x");
    add(store, 0, "x");
    assert_int_equal(newest(store), 2);
    run_raw("DELETE FROM event");
    assert_int_equal(newest(store), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_all_fields),
        store_test(test_null_is_empty),
        store_test(test_unknown_outcome),
        store_test(test_filters),
        store_test(test_visit_stops),
        store_test(test_visit_inside_a_visit),
        store_test(test_rolled_back_with_the_rest),
        store_test(test_seq_is_never_reused),
        store_test(test_bounded),
        store_test(test_each_has_its_share),
        store_test(test_many_shares_are_smaller),
        store_test(test_a_backlog_goes_some_at_a_time),
        store_test(test_refusals_of_its_tokens_and_requests_are_a_guests),
        store_test(test_own_ones),
        store_test(test_own_ones_stop),
        store_test(test_a_new_guest_has_none_of_before),
        store_test(test_first_events_are_own),
        store_test(test_a_past_is_forgotten_once),
        store_test(test_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
