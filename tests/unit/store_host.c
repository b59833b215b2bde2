/* SPDX-License-Identifier: Apache-2.0 */
/* Where the local API listens; bridges and host names are set up in the test's own namespaces. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>

#include "store/host/host.h"
#include "store/host/netlink.h"
#include "tests/unit/scratch.h"

static struct error error;
static const struct pins pins = {"spki", "leaf"};

/* The few settings on which endpoints depend; PVE is SCRATCH. */
static struct config config_of(char *host_id, char *bridge)
{
    struct config config = {.host_id = host_id};
    config.local_api.bridge = bridge;
    config.paths.pve = scratch;
    return config;
}

static struct sockaddr_in endpoint_of(const char *address, uint16_t port)
{
    struct sockaddr_in endpoint = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, address, &endpoint.sin_addr), 1);
    return endpoint;
}

static int ip(const char *arguments)
{
    cleanup_free char *line = mem_format("ip %s", arguments);
    return system(line);
}

static void test_listen_wins(void **state)
{
    (void)state;
    struct config config = config_of("", "lo");
    struct sockaddr_in endpoint;
    config.local_api.has_listen = true;
    config.local_api.listen = endpoint_of("192.0.2.7", 9443);
    assert_int_equal(host_endpoint(&config, &endpoint, &error), 0);
    assert_memory_equal(&endpoint, &config.local_api.listen, sizeof endpoint);
}

static void test_bridge(void **state)
{
    (void)state;
    struct config config = config_of("", "lo");
    struct sockaddr_in expected = endpoint_of("127.0.0.1", 8443);
    struct sockaddr_in endpoint;
    assert_int_equal(host_endpoint(&config, &endpoint, &error), 0);
    assert_memory_equal(&endpoint, &expected, sizeof endpoint);
}

static void assert_unresolved(char *bridge, enum error_kind kind, const char *message)
{
    struct config config = config_of("", bridge);
    struct sockaddr_in endpoint = {.sin_port = 77};
    assert_int_equal(host_endpoint(&config, &endpoint, &error), -1);
    assert_string_equal(error.message, message);
    assert_int_equal(error.kind, kind);
    assert_int_equal(endpoint.sin_port, 77);
}

static void test_no_such_bridge(void **state)
{
    (void)state;
    assert_unresolved(
        "felhomnone", ERROR_MISSING,
        "there is no bridge felhomnone: set local_api.bridge or local_api.listen in agent.yaml");
    assert_unresolved("sixteen-letters-", ERROR_INVALID,
                      "sixteen-letters-: too long a name for a bridge: set local_api.bridge or "
                      "local_api.listen in agent.yaml");
    assert_unresolved(
        "", ERROR_MISSING,
        "there is no bridge : set local_api.bridge or local_api.listen in agent.yaml");
}

static int resolve_bridges(void)
{
    struct config config = config_of("", "vmbr7");
    struct sockaddr_in endpoint;
    struct cidr network;
    EXPECT(unshare(CLONE_NEWNET) == 0);
    EXPECT(ip("link add vmbr7 type bridge") == 0);
    EXPECT(host_endpoint(&config, &endpoint, &error) == -1);
    EXPECT(error.kind == ERROR_MISSING);
    EXPECT(strcmp(error.message, "bridge vmbr7 has no IPv4 address: set local_api.bridge or "
                                 "local_api.listen in agent.yaml") == 0);
    EXPECT(ip("address add 198.51.100.77/26 dev vmbr7") == 0);
    EXPECT(ip("address add 203.0.113.1/32 dev vmbr7") == 0);
    EXPECT(host_endpoint(&config, &endpoint, &error) == 0);
    EXPECT(endpoint.sin_addr.s_addr == htonl(0xc633644d));
    EXPECT(ntohs(endpoint.sin_port) == ENDPOINT_PORT);
    EXPECT(host_network(&endpoint, &network, &error) == 0);
    EXPECT(network.family == AF_INET && network.prefix == 26);
    EXPECT(network.address.v4.s_addr == htonl(0xc6336440));
    endpoint.sin_addr.s_addr = htonl(0xcb007101);
    EXPECT(host_network(&endpoint, &network, &error) == 0);
    EXPECT(network.prefix == 32 && network.address.v4.s_addr == htonl(0xcb007101));
    return 0;
}

/* The kernel gives lo no address before it is up; that of vmbr7's link alone comes by itself. */
static int list_addresses(void)
{
    cleanup_close int fd = -1;
    cleanup_free struct netlink_address *list = NULL;
    char text[CIDR_TEXT_SIZE];
    cleanup_buffer struct buffer found = BUFFER_EMPTY;
    size_t count = 99;
    EXPECT(unshare(CLONE_NEWNET) == 0);
    EXPECT(host_netlink_open(&fd, &error) == 0);
    EXPECT(host_addresses(fd, 0, &list, &count, &error) == 0);
    EXPECT(count == 0);
    EXPECT(ip("link add vmbr7 type bridge && ip address add 198.51.100.77/26 dev vmbr7 && "
              "ip address add 192.0.2.1 peer 192.0.2.2/31 dev vmbr7 && "
              "ip -6 address add 2001:db8::7/64 dev vmbr7 nodad && "
              "ip -6 address add fe80::7/64 dev vmbr7 nodad") == 0);
    unsigned int link = if_nametoindex("vmbr7");
    EXPECT(host_addresses(fd, 0, &list, &count, &error) == 0);
    for (size_t i = 0; i < count; i++) {
        cidr_format(&list[i].address, text);
        buffer_add_format(&found, "%s%s ", text, list[i].is_of_link ? "(link)" : "");
        EXPECT(list[i].link == link);
    }
    free(list);
    list = NULL;
    EXPECT(ip("link add vmbr8 type bridge && ip address add 10.0.0.1/8 dev vmbr8") == 0);
    EXPECT(host_addresses(fd, link, &list, &count, &error) == 0);
    EXPECT(count == 4 && list[0].link == link);
    EXPECT(strcmp(buffer_text(&found), "198.51.100.77/26 192.0.2.1/31 2001:db8::7/64 "
                                       "fe80::7/64(link) ") == 0);
    return 0;
}

static void test_addresses(void **state)
{
    (void)state;
    needs_root();
    in_child(list_addresses);
}

/* A host has hundreds of addresses: more than one message holds. */
static int list_many_addresses(void)
{
    cleanup_close int fd = -1;
    cleanup_free struct netlink_address *list = NULL;
    size_t count = 0;
    EXPECT(unshare(CLONE_NEWNET) == 0);
    EXPECT(host_netlink_open(&fd, &error) == 0);
    EXPECT(ip("link add vmbr7 type bridge && for i in $(seq 250); do ip address add 10.0.$i.1/24 "
              "dev vmbr7; done") == 0);
    EXPECT(host_addresses(fd, 0, &list, &count, &error) == 0);
    EXPECT(count == 250);
    EXPECT(ntohl(list[249].address.address.v4.s_addr) == 0x0a00fa01);
    return 0;
}

static void test_many_addresses(void **state)
{
    (void)state;
    needs_root();
    in_child(list_many_addresses);
}

static int find_routes(void)
{
    cleanup_close int fd = -1;
    int link = 0;
    struct in_addr address;
    EXPECT(unshare(CLONE_NEWNET) == 0);
    EXPECT(host_netlink_open(&fd, &error) == 0);
    EXPECT(ip("link add vmbr7 type bridge && ip link set vmbr7 up && "
              "ip address add 198.51.100.77/26 dev vmbr7 && "
              "ip route add 203.0.113.0/24 via 198.51.100.65") == 0);
    EXPECT(inet_pton(AF_INET, "198.51.100.99", &address) == 1);
    EXPECT(host_route_link(fd, address, 0, &link, &error) == 0);
    EXPECT((unsigned int)link == if_nametoindex("vmbr7"));
    EXPECT(inet_pton(AF_INET, "203.0.113.9", &address) == 1);
    EXPECT(host_route_link(fd, address, 0, &link, &error) == -1 && error.kind == ERROR_MISSING);
    EXPECT(inet_pton(AF_INET, "192.0.2.9", &address) == 1);
    EXPECT(host_route_link(fd, address, 0, &link, &error) == -1 && error.kind == ERROR_MISSING);
    return 0;
}

static void test_routes(void **state)
{
    (void)state;
    needs_root();
    in_child(find_routes);
}

static void test_bridges(void **state)
{
    (void)state;
    needs_root();
    in_child(resolve_bridges);
}

static void test_network(void **state)
{
    (void)state;
    struct sockaddr_in endpoint = endpoint_of("127.0.0.1", 8443);
    struct cidr network;
    assert_int_equal(host_network(&endpoint, &network, &error), 0);
    assert_int_equal(network.family, AF_INET);
    assert_int_equal(network.prefix, 8);
    assert_int_equal(network.address.v4.s_addr, htonl(0x7f000000));
    endpoint = endpoint_of("203.0.113.9", 8443);
    assert_int_equal(host_network(&endpoint, &network, &error), -1);
    assert_string_equal(error.message, "no interface of this host has the address 203.0.113.9");
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_int_equal(network.prefix, 8);
}

static void test_describe_host(void **state)
{
    (void)state;
    struct config config = config_of("demo-felhom", "lo");
    struct host host;
    shell("ln -s nodes/pve1 local");
    assert_int_equal(host_describe(&config, &pins, &host, &error), 0);
    assert_string_equal(host.host_id, "demo-felhom");
    assert_string_equal(host.node, "pve1");
    assert_string_equal(host.endpoint, "127.0.0.1:8443");
    assert_string_equal(host.pins.spki, "spki");
    assert_string_equal(host.pins.leaf, "leaf");
    config.local_api.bridge = "felhomnone";
    assert_int_equal(host_describe(&config, &pins, &host, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_string_equal(host.node, "pve1");
}

static int describe_by_host_name(void)
{
    static const char name[] = "pve9.example.org";
    struct config config = config_of("", "lo");
    struct host host;
    EXPECT(unshare(CLONE_NEWUTS) == 0);
    EXPECT(sethostname(name, sizeof name - 1) == 0);
    EXPECT(host_describe(&config, &pins, &host, &error) == 0);
    EXPECT(strcmp(host.host_id, name) == 0);
    EXPECT(strcmp(host.node, "pve9") == 0);
    EXPECT(sethostname("", 0) == 0);
    EXPECT(host_describe(&config, &pins, &host, &error) == 0);
    EXPECT(strcmp(host.host_id, "localhost") == 0);
    EXPECT(strcmp(host.node, "localhost") == 0);
    return 0;
}

static void test_host_name(void **state)
{
    (void)state;
    needs_root();
    in_child(describe_by_host_name);
}

static void test_host_name_where_local_is_no_link(void **state)
{
    (void)state;
    char name[256] = "";
    struct config config = config_of("", "lo");
    struct host host;
    shell("mkdir local");
    assert_int_equal(gethostname(name, sizeof name), 0);
    assert_int_equal(host_describe(&config, &pins, &host, &error), 0);
    assert_string_equal(host.host_id, name);
    name[strcspn(name, ".")] = '\0';
    assert_string_equal(host.node, name);
}

#define test(function) cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_listen_wins),    test(test_bridge),
        test(test_no_such_bridge), test(test_bridges),
        test(test_network),        test(test_describe_host),
        test(test_host_name),      test(test_host_name_where_local_is_no_link),
        test(test_addresses),      test(test_many_addresses),
        test(test_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
