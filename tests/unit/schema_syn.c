/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/host/syn.h"

#include <arpa/inet.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

#define ETHER_V4  "\x02\0\0\0\0\1\xbc\x24\x11\0\x20\x08\x08\x00"
#define ETHER_V6  "\x02\0\0\0\0\1\xbc\x24\x11\0\x20\x08\x86\xdd"
#define ETHER_TAG "\x02\0\0\0\0\1\xbc\x24\x11\0\x20\x08\x81\0\0\x14\x08\x00"
#define ETHER_ARP "\x02\0\0\0\0\1\xbc\x24\x11\0\x20\x08\x08\x06"
/* 198.51.100.20 to 198.51.100.1; version and length, fragment and protocol differ. */
#define V4(first, fragment, protocol) \
    first "\0\0\x28\0\1" fragment "\x40" protocol "\0\0\xc6\x33\x64\x14\xc6\x33\x64\1"
#define V6(protocol) \
    "\x60\0\0\0\0\x14" protocol "\x40" \
    "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20" \
    "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
/* Port 40000 to 8443, number 0x01020304. */
#define TCP(flags) "\x9c\x40\x20\xfb\1\2\3\4\0\0\0\0\x50" flags "\xff\xff\0\0\0\0"
#define SYN        TCP("\x02")
#define IPV4       V4("\x45", "\0\0", "\6")

struct text {
    const char *bytes;
    size_t length;
};
#define TEXT(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }

static struct sockaddr_storage end_of(const char *address, uint16_t port)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        memcpy(&storage, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1)
        memcpy(&storage, &v6, sizeof v6);
    return storage;
}

static bool parse_saved(const struct text *text, const char *from, const char *to, struct syn *ret)
{
    const struct sockaddr_storage source = end_of(from, 40000);
    const struct sockaddr_storage destination = end_of(to, 8443);
    return syn_parse_saved((const uint8_t *)text->bytes, text->length,
                           (const struct sockaddr *)&source, (const struct sockaddr *)&destination,
                           ret);
}

static void test_saved_syns(void **state)
{
    static const struct {
        struct text text;
        bool has_hwaddr;
        const char *from, *to;
    } cases[] = {
        {TEXT(ETHER_V4 IPV4 SYN), true, "198.51.100.20", "198.51.100.1"},
        {TEXT(ETHER_V4 IPV4 SYN), true, "::ffff:198.51.100.20", "::ffff:198.51.100.1"},
        {TEXT(ETHER_TAG IPV4 SYN), true, "198.51.100.20", "198.51.100.1"},
        {TEXT(ETHER_V6 V6("\6") SYN), true, "fd00::20", "fd00::1"},
        {TEXT(IPV4 SYN), false, "198.51.100.20", "198.51.100.1"},
        {TEXT(V6("\6") SYN), false, "fd00::20", "fd00::1"},
        {TEXT(ETHER_V4 V4("\x46", "\0\0", "\6") "\1\1\1\1" SYN), true, "198.51.100.20",
         "198.51.100.1"},
    };
    static const uint8_t hwaddr[] = {0xbc, 0x24, 0x11, 0, 0x20, 8};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct syn syn;
        if (!parse_saved(&cases[i].text, cases[i].from, cases[i].to, &syn))
            fail_test("case %zu is not read", i);
        assert_int_equal(syn.has_hwaddr, cases[i].has_hwaddr);
        assert_int_equal(ntohl(syn.sequence), 0x01020304);
        assert_int_equal(ntohs(syn.source.port), 40000);
        if (syn.has_hwaddr)
            assert_memory_equal(syn.hwaddr.bytes, hwaddr, sizeof hwaddr);
    }
}

static void test_what_is_no_saved_syn(void **state)
{
    static const struct text texts[] = {
        TEXT(""),
        TEXT("\x45"),
        TEXT(ETHER_V4),
        TEXT(ETHER_V4 IPV4),
        TEXT(ETHER_V4 IPV4 "\x9c\x40\x20\xfb\1\2\3\4"), /* cut short */
        TEXT(ETHER_ARP IPV4 SYN),
        TEXT(ETHER_V4 IPV4 TCP("\x12")),
        TEXT(ETHER_V4 IPV4 TCP("\x10")),
        TEXT(ETHER_V4 V4("\x45", "\0\1", "\6") SYN),   /* a later fragment */
        TEXT(ETHER_V4 V4("\x45", "\0\0", "\x11") SYN), /* UDP */
        TEXT(ETHER_V4 V4("\x44", "\0\0", "\6") SYN),   /* a header of 16 bytes */
        TEXT(ETHER_V4 V4("\x4f", "\0\0", "\6") SYN),   /* one that is longer than the packet */
        TEXT(ETHER_V4 V4("\x55", "\0\0", "\6") SYN),   /* version 5 */
        TEXT(ETHER_V6 V6("\x3a") SYN),
    };
    struct syn syn;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (parse_saved(&texts[i], "198.51.100.20", "198.51.100.1", &syn) ||
            parse_saved(&texts[i], "fd00::20", "fd00::1", &syn))
            fail_test("text %zu is read", i);
}

/* A peer at 8.0.69.0 has bytes in its bare header that look like the end of an Ethernet one. */
static void test_only_between_the_two_ends(void **state)
{
    static const struct text text = TEXT(ETHER_V4 IPV4 SYN);
    static const struct text bare =
        TEXT("\x45\0\0\x28\0\1\0\0\x40\6\0\0\x08\0\x45\0\xc6\x33\x64\1" SYN);
    struct syn syn;
    (void)state;
    assert_false(parse_saved(&text, "198.51.100.21", "198.51.100.1", &syn));
    assert_false(parse_saved(&text, "198.51.100.20", "198.51.100.2", &syn));
    assert_true(parse_saved(&bare, "8.0.69.0", "198.51.100.1", &syn));
    assert_false(syn.has_hwaddr);
}

static void test_ends_of_other_families(void **state)
{
    static const struct syn_end nothing;
    const struct sockaddr local = {.sa_family = AF_UNIX};
    struct syn_end end;
    (void)state;
    syn_end_set(&end, &local);
    assert_true(syn_end_equal(&end, &nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saved_syns),
        cmocka_unit_test(test_what_is_no_saved_syn),
        cmocka_unit_test(test_only_between_the_two_ends),
        cmocka_unit_test(test_ends_of_other_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
