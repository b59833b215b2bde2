/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/cleanup.h"

static struct cidr network(const char *text)
{
    struct cidr cidr;
    if (!cidr_parse(text, &cidr))
        fail_msg("refused: %s", text);
    return cidr;
}

static bool contains(const char *text, const char *address)
{
    struct cidr cidr = network(text);
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer = {.any = {.sa_family = AF_INET6}};
    if (inet_pton(AF_INET6, address, &peer.v6.sin6_addr) != 1) {
        peer.any.sa_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, address, &peer.v4.sin_addr), 1);
    }
    return cidr_contains(&cidr, &peer.any);
}

static void networks_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *same;
    } good[] = {
        {"192.168.0.0/24", "192.168.0.0/24"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"10.1.2.3", "10.1.2.3/32"},
        {"10.1.2.3/32", "10.1.2.3/32"},
        {"10.1.2.128/25", "10.1.2.128/25"},
        {"128.0.0.0/1", "128.0.0.0/1"},
        {"fd00::/8", "fd00::/8"},
        {"::/0", "::/0"},
        {"::1", "::1/128"},
        {"2001:db8:0:0::/33", "2001:db8::/33"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:10.0.0.1", "10.0.0.1/32"},
        {"::ffff:0:0/96", "0.0.0.0/0"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        char text[CIDR_TEXT_SIZE];
        struct cidr cidr = network(good[i].text);
        cidr_format(&cidr, text);
        assert_string_equal(text, good[i].same);
    }
}

static void anything_else_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "/",
        "/24",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10.0.0.0/8 ",
        " 10.0.0.0/8",
        "10.0.0.0/8/8",
        "10.0.0/8",
        "10.0.0.0.0/8",
        "010.0.0.0/8",
        "256.0.0.0/8",
        "10.0.0.0/4294967304",
        "10.0.0.0/255.0.0.0",
        "::/129",
        "fe80::1%eth0",
        "::1::",
        "name/24",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333:4444/1",
    };
    struct cidr cidr;
    (void)state;
    memset(&cidr, 0x5A, sizeof cidr);
    struct cidr before = cidr;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (cidr_parse(bad[i], &cidr) || cidr_parse_host(bad[i], &cidr))
            fail_msg("accepted: %s", bad[i]);
        assert_memory_equal(&cidr, &before, sizeof cidr);
    }
}

static void bits_beyond_the_prefix(void **state)
{
    static const struct {
        const char *text;
        const char *meant;
    } hosts[] = {
        {"192.168.0.1/24", "192.168.0.0/24"}, {"192.168.0.255/31", "192.168.0.254/31"},
        {"128.0.0.1/0", "0.0.0.0/0"},         {"10.1.2.3/9", "10.0.0.0/9"},
        {"2001:db8::1/64", "2001:db8::/64"},  {"2001:db8:8000::/32", "2001:db8::/32"},
        {"ffff::/15", "fffe::/15"},           {"::ffff:10.0.0.1/104", "10.0.0.0/8"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        char text[CIDR_TEXT_SIZE];
        struct cidr cidr;
        if (cidr_parse(hosts[i].text, &cidr))
            fail_msg("accepted: %s", hosts[i].text);
        assert_true(cidr_parse_host(hosts[i].text, &cidr));
        cidr_format(&cidr, text);
        assert_string_equal(text, hosts[i].meant);
    }
}

static void addresses_are_found(void **state)
{
    (void)state;
    assert_true(contains("192.168.0.0/24", "192.168.0.0"));
    assert_true(contains("192.168.0.0/24", "192.168.0.255"));
    assert_false(contains("192.168.0.0/24", "192.168.1.0"));
    assert_false(contains("192.168.0.0/24", "192.167.255.255"));
    assert_true(contains("0.0.0.0/0", "255.1.2.3"));
    assert_true(contains("10.0.0.1", "10.0.0.1"));
    assert_false(contains("10.0.0.1", "10.0.0.2"));
    assert_true(contains("fd00::/9", "fd7f::1"));
    assert_false(contains("fd00::/9", "fd80::1"));
    assert_true(contains("::/0", "2001:db8::1"));
}

static void a_mapped_address_is_ipv4(void **state)
{
    (void)state;
    assert_true(contains("192.168.0.0/24", "::ffff:192.168.0.7"));
    assert_false(contains("192.168.0.0/24", "::ffff:192.168.1.7"));
    assert_false(contains("192.168.0.0/24", "::192.168.0.7"));
    assert_false(contains("::/0", "::ffff:192.168.0.7"));
    assert_true(contains("::ffff:192.168.0.0/120", "192.168.0.7"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_false(contains("::/0", "192.168.0.7"));
}

static void other_families_are_nowhere(void **state)
{
    struct cidr all = network("0.0.0.0/0");
    struct sockaddr local = {.sa_family = AF_UNIX};
    (void)state;
    assert_false(cidr_contains(&all, &local));
}

static void endpoints_are_read(void **state)
{
    struct sockaddr_in endpoint;
    (void)state;
    assert_true(endpoint_parse("192.168.0.162:8443", &endpoint));
    assert_int_equal(endpoint.sin_family, AF_INET);
    assert_int_equal(endpoint.sin_addr.s_addr, inet_addr("192.168.0.162"));
    assert_int_equal(ntohs(endpoint.sin_port), 8443);
    assert_true(endpoint_parse("0.0.0.0:1", &endpoint));
    assert_true(endpoint_parse("255.255.255.255:65535", &endpoint));
    assert_int_equal(ntohs(endpoint.sin_port), 65535);
}

static void other_endpoints_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        ":8443",
        "1.2.3.4:+1",
        "1.2.3.4:1 ",
        "1.2.3.4:08443",
        "1.2.3:8443",
        "[::1]:8443",
        "::1:8443",
        "host:8443",
        "1.2.3.4:0x1",
        "1.2.3.4:1:1",
        "1.2.3.4:-1",
        " 1.2.3.4:1",
        "1.2.3.04:1",
        "1.2.3.4:99999999999999999999",
    };
    struct sockaddr_in endpoint = {.sin_port = 7};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (endpoint_parse(bad[i], &endpoint))
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(endpoint.sin_port, 7);
}

static void networks_in_networks(void **state)
{
    static const struct {
        const char *outer;
        const char *inner;
        bool holds;
    } pairs[] = {
        {"10.0.0.0/8", "10.1.0.0/16", true},
        {"10.0.0.0/8", "10.0.0.0/8", true},
        {"10.1.0.0/16", "10.0.0.0/8", false},
        {"10.0.0.0/8", "11.0.0.0/16", false},
        {"0.0.0.0/0", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.1/32", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8::/32", "2001:db8:7::/48", true},
        {"2001:db8::/48", "2001:db8:7::/48", false},
        {"::/0", "10.0.0.1", false},
        {"0.0.0.0/0", "2001:db8::1", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        const struct cidr outer = network(pairs[i].outer);
        const struct cidr inner = network(pairs[i].inner);
        if (cidr_holds(&outer, &inner) != pairs[i].holds)
            fail_msg("%s in %s", pairs[i].inner, pairs[i].outer);
    }
}

static void networks_of_one_address(void **state)
{
    (void)state;
    struct cidr cidr = network("10.0.0.1");
    assert_true(cidr_is_single(&cidr));
    cidr.prefix = 8;
    cidr_mask(&cidr);
    const struct cidr masked = network("10.0.0.0/8");
    assert_memory_equal(&cidr.address.v4, &masked.address.v4, sizeof cidr.address.v4);
    assert_false(cidr_is_single(&cidr));
    cidr = network("2001:db8::1");
    assert_true(cidr_is_single(&cidr));
    cidr = network("2001:db8::/32");
    assert_false(cidr_is_single(&cidr));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_in_networks),     cmocka_unit_test(networks_of_one_address),
        cmocka_unit_test(networks_are_read),        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(bits_beyond_the_prefix),   cmocka_unit_test(addresses_are_found),
        cmocka_unit_test(a_mapped_address_is_ipv4), cmocka_unit_test(other_families_are_nowhere),
        cmocka_unit_test(endpoints_are_read),       cmocka_unit_test(other_endpoints_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
