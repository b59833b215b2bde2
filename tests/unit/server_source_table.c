/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "server/base/limiter.h"
#include "server/net/peer.h"
#include "server/net/source_table.h"
#include "tests/unit/test.h"

#define SECOND ((int64_t)1000000)

static struct peer peer_at(const char *address)
{
    struct peer peer = {.address = {.sin_family = AF_INET}};
    assert_int_equal(inet_pton(AF_INET, address, &peer.address.sin_addr), 1);
    (void)strcpy(peer.address_text, address);
    return peer;
}

static struct peer peer_with(const char *address, uint8_t last_byte)
{
    struct peer peer = peer_at(address);
    peer.has_hwaddr = true;
    peer.hwaddr = (struct hwaddr){{0xbc, 0x24, 0x11, 0, 0, last_byte}};
    return peer;
}

static void test_bucket_gives_its_burst_and_refills(void **state)
{
    (void)state;
    const struct bucket_rate rate = bucket_rate(2, SECOND, 4);
    struct bucket bucket = {0};
    int64_t now = 1000 * SECOND;
    for (int i = 0; i < 4; i++)
        assert_int_equal(bucket_take(&bucket, &rate, now), 0);
    assert_int_equal(bucket_take(&bucket, &rate, now), SECOND / 2);
    assert_int_equal(bucket_wait(&bucket, &rate, now + SECOND / 4), SECOND / 4);
    assert_int_equal(bucket_take(&bucket, &rate, now + SECOND / 2), 0);
    assert_int_equal(bucket_take(&bucket, &rate, now + SECOND / 2), SECOND / 2);
}

static void test_bucket_holds_no_more_than_its_burst(void **state)
{
    (void)state;
    const struct bucket_rate rate = bucket_rate(10, SECOND, 3);
    struct bucket bucket = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(bucket_take(&bucket, &rate, SECOND), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(bucket_take(&bucket, &rate, 1000 * SECOND), 0);
    assert_int_not_equal(bucket_take(&bucket, &rate, 1000 * SECOND), 0);
}

static void test_bucket_is_not_overdrawn_by_refused_takes(void **state)
{
    (void)state;
    const struct bucket_rate rate = bucket_rate(20, 60 * SECOND, 20);
    struct bucket bucket = {0};
    for (int i = 0; i < 1000; i++)
        (void)bucket_take(&bucket, &rate, SECOND);
    assert_int_equal(bucket_wait(&bucket, &rate, SECOND), 3 * SECOND);
}

static void test_bucket_rate_never_divides_by_zero(void **state)
{
    (void)state;
    const struct bucket_rate rate = bucket_rate(0, SECOND, 0);
    struct bucket bucket = {0};
    assert_int_equal(bucket_take(&bucket, &rate, SECOND), 0);
    assert_int_equal(bucket_take(&bucket, &rate, SECOND), SECOND);
}

static void test_key_is_the_mac_where_known(void **state)
{
    (void)state;
    const struct peer one = peer_with("192.168.0.7", 1);
    const struct peer same = peer_with("192.168.0.8", 1);
    const struct peer other = peer_with("192.168.0.7", 2);
    assert_true(source_key(&one) == source_key(&same));
    assert_true(source_key(&one) != source_key(&other));
}

static void test_key_of_an_address_is_no_mac(void **state)
{
    (void)state;
    struct peer address = peer_at("1.2.3.4");
    struct peer mac = peer_at("9.9.9.9");
    mac.has_hwaddr = true;
    mac.hwaddr = (struct hwaddr){{0, 0, 1, 2, 3, 4}};
    assert_true(source_key(&address) != source_key(&mac));
    const struct peer zero = peer_at("0.0.0.0");
    assert_true(source_key(&zero) != 0);
}

static void test_a_row_is_found_again_with_what_it_held(void **state)
{
    (void)state;
    struct source_table *sources = source_table_new(4);
    struct source *row = source_table_claim(sources, 77, 1);
    row->connections = 3;
    assert_ptr_equal(source_table_claim(sources, 77, 2), row);
    assert_int_equal(row->connections, 3);
    assert_int_equal(row->last_seen_us, 2);
    assert_ptr_equal(source_table_at(sources, source_table_index(sources, row)), row);
    source_table_free(sources);
}

static void test_the_idle_row_seen_longest_ago_goes(void **state)
{
    (void)state;
    struct source_table *sources = source_table_new(1);
    struct source *rows[SOURCE_TABLE_WAYS];
    for (uint64_t i = 0; i < SOURCE_TABLE_WAYS; i++)
        rows[i] = source_table_claim(sources, 100 + i, (int64_t)(10 + i));
    rows[0]->connections = 1;
    rows[1]->failures.full_at_us = 99;
    struct source *fresh = source_table_claim(sources, 999, 50);
    assert_ptr_equal(fresh, rows[1]);
    assert_true(fresh->key == 999);
    assert_int_equal(fresh->failures.full_at_us, 0);
    assert_true(rows[0]->key == 100);
    source_table_free(sources);
}

static void test_busy_rows_are_never_taken(void **state)
{
    (void)state;
    struct source_table *sources = source_table_new(1);
    for (uint64_t i = 0; i < SOURCE_TABLE_WAYS; i++)
        source_table_claim(sources, 100 + i, 1)->connections = 1;
    assert_null(source_table_claim(sources, 999, 2));
    assert_non_null(source_table_claim(sources, 100, 2));
    source_table_at(sources, 5)->connections = 0;
    assert_ptr_equal(source_table_claim(sources, 999, 3), source_table_at(sources, 5));
    source_table_free(sources);
}

/* How many of 1024 consecutive addresses have a row. */
static int count_placed(struct source_table *sources)
{
    int placed = 0;
    for (uint64_t i = 0; i < 1024; i++) {
        struct source *row = source_table_claim(sources, ((uint64_t)2 << 56) | (0xc0a80000 + i), 1);
        placed += row != NULL;
        if (row)
            row->connections = 1;
    }
    return placed;
}

/* As in a network, they must not fall into a few sets only, whatever the table's secret is. */
static void test_consecutive_keys_spread(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        struct source_table *sources = source_table_new(256);
        assert_true(count_placed(sources) > 900);
        source_table_free(sources);
    }
}

static void test_peer_name(void **state)
{
    (void)state;
    char name[PEER_NAME_SIZE];
    const struct peer routed = peer_at("10.1.2.3");
    const struct peer guest = peer_with("192.168.100.200", 0xab);
    peer_name(&routed, name);
    assert_string_equal(name, "10.1.2.3");
    peer_name(&guest, name);
    assert_string_equal(name, "BC:24:11:00:00:AB(192.168.100.200)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_gives_its_burst_and_refills),
        cmocka_unit_test(test_bucket_holds_no_more_than_its_burst),
        cmocka_unit_test(test_bucket_is_not_overdrawn_by_refused_takes),
        cmocka_unit_test(test_bucket_rate_never_divides_by_zero),
        cmocka_unit_test(test_key_is_the_mac_where_known),
        cmocka_unit_test(test_key_of_an_address_is_no_mac),
        cmocka_unit_test(test_a_row_is_found_again_with_what_it_held),
        cmocka_unit_test(test_the_idle_row_seen_longest_ago_goes),
        cmocka_unit_test(test_busy_rows_are_never_taken),
        cmocka_unit_test(test_consecutive_keys_spread),
        cmocka_unit_test(test_peer_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
