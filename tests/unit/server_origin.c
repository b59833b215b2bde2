/* SPDX-License-Identifier: Apache-2.0 */
/* Who a connection is, for each way in which it can have come, in each mode. The linker takes the
 * devices and routes that are defined here before it looks into the archives. */
#include "server/net/origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>

#include "store/tables/guest.h"
#include "tests/unit/scratch.h"

/* 8200 and 8300 have ports on this host; 8400 has none (SR-IOV), 8500 and 8501 neither, and they
 * have one hardware address between them. 8600's configuration names no address. */
#define MAC(last) ((struct hwaddr){{0xbc, 0x24, 0x11, 0, 0, (last)}})
#define MAC_8200  MAC(2)
#define MAC_8300  MAC(3)
#define MAC_8400  MAC(4)
#define MAC_BOTH  MAC(5)
#define STRANGER  MAC(99)

static struct {
    struct store_pool *stores;
    struct config config;
    bool routed;
    bool no_routes; /* the kernel does not answer */
    bool no_descriptors;
} world;

unsigned int if_nametoindex(const char *name)
{
    errno = world.no_descriptors ? EMFILE : ENODEV;
    return !world.no_descriptors &&
           (strcmp(name, "veth8200i0") == 0 || strcmp(name, "tap8300i1") == 0);
}

int arrival_is_routed(const struct arrival *arrival, struct in_addr address, struct error *error)
{
    (void)arrival;
    (void)address;
    if (world.no_routes)
        return fail(error, ERROR_SYSTEM, "no routes");
    return world.routed;
}

static void add_guest(uint32_t vmid, const char *key, const struct hwaddr *hwaddr)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    const struct guest guest = {.vmid = vmid, .kind = GUEST_LXC, .state = GUEST_RUNNING};
    const struct nic nic = {.key = (char *)(uintptr_t)key,
                            .has_hwaddr = hwaddr != NULL,
                            .hwaddr = hwaddr ? *hwaddr : (struct hwaddr){{0}},
                            .bridge = (char[]){"vmbr0"},
                            .ip = (char[]){""}};
    assert_int_equal(store_borrow(world.stores, &loan, &error), 0);
    assert_int_equal(guest_put(loan.store, &guest, &error), 0);
    assert_int_equal(nic_replace_all(loan.store, vmid, &nic, 1, &error), 0);
}

static int set_up(void **state)
{
    static const char text[] = "local_api: {routers: [8300]}\n";
    struct error error;
    assert_int_equal(scratch_make(state), 0);
    shell("mkdir -m 700 state");
    assert_int_equal(store_pool_new(in_scratch("state"), &world.stores, &error), 0);
    assert_int_equal(config_parse("agent.yaml", text, strlen(text), &world.config, &error), 0);
    vmids_free(&world.config.local_api.routers);
    add_guest(8200, "net0", &MAC_8200);
    add_guest(8300, "net1", &MAC_8300);
    add_guest(8400, "net0", &MAC_8400);
    add_guest(8500, "net0", &MAC_BOTH);
    add_guest(8501, "net0", &MAC_BOTH);
    add_guest(8600, "net0", NULL);
    world.routed = false;
    world.no_routes = false;
    world.no_descriptors = false;
    return 0;
}

static int tear_down(void **state)
{
    store_pool_free(world.stores);
    config_free(&world.config);
    return scratch_remove(state);
}

struct expected {
    enum refusal_reason refusal;
    enum peer_identity identity; /* if it is not refused */
    uint32_t vmid;
};

#define IS(identity, vmid) \
    { \
        REFUSAL_NONE, identity, vmid \
    }
#define REFUSED(reason) \
    { \
        REFUSAL_##reason, PEER_UNKNOWN, 0 \
    }

static void check(const char *what, const struct arrival *arrival, const struct expected *expected)
{
    struct error error = {.kind = ERROR_NONE};
    struct peer peer = {.address = {.sin_family = AF_INET}};
    enum refusal_reason refusal = origin_check(world.stores, &world.config, arrival, &peer, &error);
    if (refusal != expected->refusal)
        fail_test("%s: \"%s\", not \"%s\" %s", what, refusal_reason_name(refusal),
                  refusal_reason_name(expected->refusal), error.message);
    if (refusal == REFUSAL_NONE &&
        (peer.identity != expected->identity || peer.vmid != expected->vmid))
        fail_test("%s: identity %d, guest %u %s", what, peer.identity, peer.vmid, error.message);
}

struct way {
    const char *what;
    struct witness_sighting seen;
    struct expected automatic;
    struct expected required;
};

#define PORT_OF(guest, address) \
    { \
        .path = WITNESS_GUEST, .vmid = (guest), .has_hwaddr = true, .hwaddr = (address) \
    }
#define OUTSIDE(address) \
    { \
        .path = WITNESS_OUTSIDE, .has_hwaddr = true, .hwaddr = (address) \
    }

static void check_ways(const struct way *ways, size_t count, bool is_witnessed)
{
    for (size_t i = 0; i < count; i++) {
        const struct arrival arrival = {.is_witnessed = is_witnessed, .seen = ways[i].seen};
        world.config.local_api.source_binding = BINDING_AUTO;
        check(ways[i].what, &arrival, &ways[i].automatic);
        world.config.local_api.source_binding = BINDING_REQUIRE;
        check(ways[i].what, &arrival, &ways[i].required);
    }
}

static void test_with_a_witness(void **state)
{
    const struct way ways[] = {
        {"by its port", PORT_OF(8200, MAC_8200), IS(PEER_GUEST, 8200), IS(PEER_GUEST, 8200)},
        {"by its port, with a NIC that its configuration does not name", PORT_OF(8200, STRANGER),
         IS(PEER_GUEST, 8200), IS(PEER_GUEST, 8200)},
        {"by the port of a guest without an address", PORT_OF(8600, STRANGER), IS(PEER_GUEST, 8600),
         IS(PEER_GUEST, 8600)},
        {"by a port, with the address of another that has a port", PORT_OF(8200, MAC_8300),
         REFUSED(FOREIGN_HWADDR), REFUSED(FOREIGN_HWADDR)},
        {"by a port, with the address of another that has none", PORT_OF(8200, MAC_8400),
         IS(PEER_GUEST, 8200), IS(PEER_GUEST, 8200)},
        {"by the port of nobody we know", PORT_OF(8999, STRANGER), REFUSED(STRANGER),
         REFUSED(STRANGER)},
        {"by the port of nobody we know, with 8200's address", PORT_OF(8999, MAC_8200),
         REFUSED(STRANGER), REFUSED(STRANGER)},
        {"from outside, with 8200's address", OUTSIDE(MAC_8200), REFUSED(FOREIGN_HWADDR),
         REFUSED(FOREIGN_HWADDR)},
        {"from outside, with the address of one without a port", OUTSIDE(MAC_8400),
         IS(PEER_GUEST, 8400), REFUSED(UNRESOLVABLE)},
        {"from outside, with an address that two have", OUTSIDE(MAC_BOTH), IS(PEER_AMBIGUOUS, 0),
         REFUSED(UNRESOLVABLE)},
        {"from outside, a stranger", OUTSIDE(STRANGER), REFUSED(STRANGER), REFUSED(STRANGER)},
        {"from outside, without Ethernet",
         {.path = WITNESS_OUTSIDE, .vmid = 0, .has_hwaddr = false, .hwaddr = {{0}}},
         IS(PEER_ROUTED, 0),
         REFUSED(UNRESOLVABLE)},
        {"the host itself",
         {.path = WITNESS_HOST, .vmid = 0, .has_hwaddr = true, .hwaddr = {{0}}},
         IS(PEER_HOST, 0),
         REFUSED(UNRESOLVABLE)},
        {"not seen", {.path = WITNESS_NONE}, REFUSED(UNWITNESSED), REFUSED(UNWITNESSED)},
        {"seen at two guests",
         {.path = WITNESS_CONFLICT},
         REFUSED(UNWITNESSED),
         REFUSED(UNWITNESSED)},
    };
    (void)state;
    check_ways(ways, ARRAY_SIZE(ways), true);
}

static void test_behind_a_router(void **state)
{
    const struct way ways[] = {
        {"a router's address", OUTSIDE(STRANGER), IS(PEER_ROUTED, 0), REFUSED(UNRESOLVABLE)},
        {"a guest's address all the same", OUTSIDE(MAC_8200), REFUSED(FOREIGN_HWADDR),
         REFUSED(FOREIGN_HWADDR)},
        {"a guest that looks routed", PORT_OF(8200, STRANGER), IS(PEER_GUEST, 8200),
         IS(PEER_GUEST, 8200)},
    };
    (void)state;
    world.routed = true;
    check_ways(ways, ARRAY_SIZE(ways), true);
}

static void test_a_guest_that_routes(void **state)
{
    const struct way ways[] = {
        {"the router", PORT_OF(8300, MAC_8300), IS(PEER_ROUTED, 8300), IS(PEER_GUEST, 8300)},
        {"another guest's address", PORT_OF(8300, MAC_8200), REFUSED(FOREIGN_HWADDR),
         REFUSED(FOREIGN_HWADDR)},
        {"another guest", PORT_OF(8200, MAC_8200), IS(PEER_GUEST, 8200), IS(PEER_GUEST, 8200)},
    };
    (void)state;
    vmids_add(&world.config.local_api.routers, 8300);
    check_ways(ways, ARRAY_SIZE(ways), true);
}

/* Without the right to open a packet socket the Ethernet address is all there is. */
static void test_without_a_witness(void **state)
{
    const struct way ways[] = {
        {"8200's address", OUTSIDE(MAC_8200), IS(PEER_GUEST, 8200), REFUSED(UNRESOLVABLE)},
        {"an address that two have", OUTSIDE(MAC_BOTH), IS(PEER_AMBIGUOUS, 0),
         REFUSED(UNRESOLVABLE)},
        {"a stranger", OUTSIDE(STRANGER), REFUSED(STRANGER), REFUSED(STRANGER)},
        {"nothing saved", {.path = WITNESS_NONE}, REFUSED(UNWITNESSED), REFUSED(UNWITNESSED)},
    };
    (void)state;
    check_ways(ways, ARRAY_SIZE(ways), false);
}

static void test_failures_admit_to_nothing(void **state)
{
    const struct way routes[] = {
        {"no routes", OUTSIDE(STRANGER), IS(PEER_UNKNOWN, 0), IS(PEER_UNKNOWN, 0)},
    };
    const struct way store[] = {
        {"no store", PORT_OF(8200, MAC_8200), IS(PEER_UNKNOWN, 0), IS(PEER_UNKNOWN, 0)},
    };
    const struct way ports[] = {
        {"whether 8200 has a port cannot be seen", OUTSIDE(MAC_8200), IS(PEER_UNKNOWN, 0),
         IS(PEER_UNKNOWN, 0)},
    };
    (void)state;
    world.no_routes = true;
    check_ways(routes, ARRAY_SIZE(routes), true);
    world.no_descriptors = true;
    check_ways(ports, ARRAY_SIZE(ports), true);
    shell("mv state away && mkdir -m 700 state && echo no database >state/db");
    (void)usleep(STORE_POOL_LOOK_US);
    check_ways(store, ARRAY_SIZE(store), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_with_a_witness, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_behind_a_router, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_guest_that_routes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_witness, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures_admit_to_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
