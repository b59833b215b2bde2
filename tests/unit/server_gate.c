/* SPDX-License-Identifier: Apache-2.0 */
/* The gate with a clock and a neighbour table of the test's own: the linker takes what is defined
 * here before it searches the archives. */
#include "server/net/gate.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/units.h"
#include "server/net/peer.h"
#include "store/base/clock.h"
#include "tests/unit/test.h"

#define REPORTS_PER_MINUTE 60 /* of all sources together */
#define INVENTED           100000

#define CLIENTS 64

/* Each last byte of the address below 100 has a MAC; from 100 on there is no neighbour. */
static struct world {
    int64_t now_us;
    enum peer_identity identity; /* what identify finds */
    enum refusal_reason refusal; /* and says of those on the link */
    uint32_t vmid;               /* the guest that these are */
    int lookups;
    int one_mac;             /* every address has the same MAC */
    void (*meanwhile)(void); /* if not NULL, called once during a look-up */
    uint32_t invented;       /* if not 0, every look-up finds yet another MAC, numbered from here */
    int reports;
    struct {
        struct peer peer;
        enum refusal_reason refusal;
        uint32_t count;
    } last;
    int listening;
    int clients[CLIENTS]; /* both ends of each connection */
    int servers[CLIENTS];
    int used;
    struct config config;
    struct gate *gate;
} world;

int64_t clock_steady_us(void)
{
    return world.now_us;
}

int64_t clock_wall_ms(void)
{
    return world.now_us / 1000;
}

/* Who is there: by the last byte of the address a guest with that MAC, or nobody on the link. */
static enum refusal_reason identify(int socket, struct peer *peer, void *context)
{
    uint8_t last = (uint8_t)(ntohl(peer->address.sin_addr.s_addr) & 0xff);
    void (*meanwhile)(void) = world.meanwhile;
    assert_true(socket >= 0);
    assert_ptr_equal(context, &world);
    world.lookups++;
    world.meanwhile = NULL;
    if (meanwhile)
        meanwhile();
    peer->identity = world.identity;
    if (last >= 100)
        return REFUSAL_NONE;
    peer->vmid = world.vmid;
    peer->has_hwaddr = true;
    peer->hwaddr = (struct hwaddr){{0xbc, 0x24, 0x11, 0, 0, world.one_mac ? 1 : last}};
    if (world.invented > 0)
        memcpy(peer->hwaddr.bytes, &world.invented, sizeof(world.invented));
    world.invented += world.invented > 0;
    return world.refusal;
}

static void note_refused(const struct peer *peer, enum refusal_reason refusal, uint32_t count,
                         void *context)
{
    assert_ptr_equal(context, &world);
    world.reports++;
    world.last.peer = *peer;
    world.last.refusal = refusal;
    world.last.count = count;
}

static const struct gate_callbacks callbacks = {identify, note_refused, &world};

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct cidr allow[] = {{.family = AF_INET, .prefix = 16}};
    (void)inet_pton(AF_INET, "127.0.0.0", &allow[0].address.v4);
    memset(&world, 0, sizeof(world));
    world.now_us = 5000 * SECOND_US;
    world.identity = PEER_GUEST;
    world.config.limits.connections_per_source = 2;
    world.config.limits.requests_per_source = 5;
    world.config.limits.failures_per_source = 20;
    world.config.local_api.source_binding = BINDING_AUTO;
    world.gate = gate_new(&world.config, allow, 1, &callbacks);
    world.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(world.listening, (struct sockaddr *)&any, sizeof(any)) < 0 ||
           listen(world.listening, CLIENTS) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < world.used; i++) {
        (void)close(world.clients[i]);
        (void)close(world.servers[i]);
    }
    (void)close(world.listening);
    gate_free(world.gate);
    return 0;
}

/* Makes a connection whose peer, as our end sees it, has the given address. */
static int connect_from(const char *text)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to;
    socklen_t size = sizeof(to);
    assert_true(world.used < CLIENTS);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, text, &from.sin_addr), 1);
    assert_int_equal(bind(client, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(getsockname(world.listening, (struct sockaddr *)&to, &size), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    int server = accept4(world.listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    world.clients[world.used] = client;
    world.servers[world.used++] = server;
    return server;
}

static enum refusal_reason enter(const char *address, struct peer *ret)
{
    return gate_enter(world.gate, connect_from(address), ret);
}

static void assert_reported(int reports, enum refusal_reason refusal, uint32_t count)
{
    assert_int_equal(world.reports, reports);
    assert_int_equal(world.last.refusal, refusal);
    assert_int_equal(world.last.count, count);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(refusal_reason_name(REFUSAL_NONE), "other");
    assert_string_equal(refusal_reason_name(REFUSAL_GONE), "gone");
    assert_string_equal(refusal_reason_name(REFUSAL_NOT_ALLOWED), "not allowed");
    assert_string_equal(refusal_reason_name(REFUSAL_STRANGER), "stranger");
    assert_string_equal(refusal_reason_name(REFUSAL_UNRESOLVABLE), "unresolvable");
    assert_string_equal(refusal_reason_name(REFUSAL_TOO_MANY_CONNECTIONS), "too many connections");
    assert_string_equal(refusal_reason_name(REFUSAL_CONNECTIONS_TOO_OFTEN),
                        "connections too often");
}

static void test_a_guest_is_admitted(void **state)
{
    (void)state;
    struct peer peer;
    const struct hwaddr expected = {{0xbc, 0x24, 0x11, 0, 0, 7}};
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    assert_string_equal(peer.address_text, "127.0.0.7");
    assert_true(peer.has_hwaddr);
    assert_memory_equal(&peer.hwaddr, &expected, sizeof(expected));
    assert_int_equal(gate_connections(world.gate), 1);
    gate_leave(world.gate, &peer);
    assert_int_equal(gate_connections(world.gate), 0);
    assert_int_equal(world.reports, 0);
}

static void test_the_allow_list_comes_first(void **state)
{
    (void)state;
    struct peer peer = {.source = 12345};
    assert_int_equal(enter("127.1.0.7", &peer), REFUSAL_NOT_ALLOWED);
    assert_int_equal(peer.source, 12345);
    assert_int_equal(world.lookups, 0);
    assert_reported(1, REFUSAL_NOT_ALLOWED, 1);
    assert_string_equal(world.last.peer.address_text, "127.1.0.7");
}

static void test_an_empty_allow_list_allows_nobody(void **state)
{
    (void)state;
    struct peer peer;
    gate_reconfigure(world.gate, &world.config, NULL, 0);
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NOT_ALLOWED);
}

/* What is found of a peer is what it is taken for, whatever that is. */
static void test_peers_are_who_they_were_found_to_be(void **state)
{
    (void)state;
    static const enum peer_identity identities[] = {PEER_UNKNOWN, PEER_GUEST, PEER_HOST,
                                                    PEER_ROUTED, PEER_AMBIGUOUS};
    for (size_t i = 0; i < ARRAY_SIZE(identities); i++) {
        struct peer peer;
        world.identity = identities[i];
        assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
        assert_int_equal(peer.identity, identities[i]);
        gate_leave(world.gate, &peer);
    }
    for (enum refusal_reason refusal = REFUSAL_STRANGER; refusal <= REFUSAL_UNWITNESSED;
         refusal++) {
        struct peer peer;
        world.refusal = refusal;
        assert_int_equal(enter("127.0.0.7", &peer), refusal);
    }
    assert_int_equal(gate_connections(world.gate), 0);
}

static void test_binding_off_looks_nothing_up(void **state)
{
    (void)state;
    struct peer peer;
    world.config.local_api.source_binding = BINDING_OFF;
    struct cidr allow = {.family = AF_INET, .prefix = 0};
    gate_reconfigure(world.gate, &world.config, &allow, 1);
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    assert_int_equal(world.lookups, 0);
    assert_false(peer.has_hwaddr);
    assert_int_equal(peer.identity, PEER_UNBOUND);
}

static void test_connections_are_capped_by_source(void **state)
{
    (void)state;
    struct peer first;
    struct peer second;
    struct peer third;
    assert_int_equal(enter("127.0.0.7", &first), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.7", &second), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.7", &third), REFUSAL_TOO_MANY_CONNECTIONS);
    assert_reported(1, REFUSAL_TOO_MANY_CONNECTIONS, 1);
    assert_int_equal(enter("127.0.0.8", &third), REFUSAL_NONE);
    gate_leave(world.gate, &first);
    assert_int_equal(enter("127.0.0.7", &first), REFUSAL_NONE);
    assert_int_equal(gate_connections(world.gate), 3);
}

/* Connections that are opened and closed, on one socket. */
static enum refusal_reason pass(int server)
{
    struct peer peer;
    enum refusal_reason refusal = gate_enter(world.gate, server, &peer);
    if (refusal == REFUSAL_NONE)
        gate_leave(world.gate, &peer);
    return refusal;
}

static void test_connections_have_a_rate_and_a_burst(void **state)
{
    (void)state;
    int server = connect_from("127.0.0.7");
    int other = connect_from("127.0.0.8");
    for (int i = 0; i < 10; i++)
        assert_int_equal(pass(server), REFUSAL_NONE);
    assert_int_equal(pass(server), REFUSAL_CONNECTIONS_TOO_OFTEN);
    assert_reported(1, REFUSAL_CONNECTIONS_TOO_OFTEN, 1);
    assert_int_equal(pass(other), REFUSAL_NONE);
    world.now_us += SECOND_US / 5;
    assert_int_equal(pass(server), REFUSAL_NONE);
    assert_int_equal(pass(server), REFUSAL_CONNECTIONS_TOO_OFTEN);
    assert_int_equal(gate_connections(world.gate), 0);
}

static void test_connections_and_requests_are_counted_apart(void **state)
{
    (void)state;
    struct peer peer;
    int server = connect_from("127.0.0.7");
    for (int i = 0; i < 9; i++)
        assert_int_equal(pass(server), REFUSAL_NONE);
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NONE);
    for (int i = 0; i < 10; i++)
        assert_int_equal(gate_count_request(world.gate, &peer), 0);
}

/* A source at its limit of connections is not charged for refused connections. */
static void test_refused_connections_are_not_counted(void **state)
{
    (void)state;
    struct peer peer;
    int server = connect_from("127.0.0.7");
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NONE);
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NONE);
    for (int i = 0; i < 20; i++)
        assert_int_equal(pass(server), REFUSAL_TOO_MANY_CONNECTIONS);
    gate_leave(world.gate, &peer);
    assert_int_equal(pass(server), REFUSAL_NONE);
}

static void test_a_detached_connection_counts_for_its_source_alone(void **state)
{
    (void)state;
    struct peer first;
    struct peer second;
    struct peer third;
    assert_int_equal(enter("127.0.0.7", &first), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.7", &second), REFUSAL_NONE);
    gate_detach(world.gate);
    assert_int_equal(gate_connections(world.gate), 1);
    assert_int_equal(enter("127.0.0.7", &third), REFUSAL_TOO_MANY_CONNECTIONS);
    gate_leave_detached(world.gate, &first);
    assert_int_equal(gate_connections(world.gate), 1);
    assert_int_equal(enter("127.0.0.7", &third), REFUSAL_NONE);
    assert_int_equal(gate_connections(world.gate), 2);
}

static void test_many_addresses_of_one_mac_are_one_source(void **state)
{
    (void)state;
    struct peer peer;
    world.one_mac = 1;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.8", &peer), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.9", &peer), REFUSAL_TOO_MANY_CONNECTIONS);
}

static void test_a_lower_limit_spares_who_is_inside(void **state)
{
    (void)state;
    struct peer peers[2];
    struct peer third;
    struct cidr allow = {.family = AF_INET, .prefix = 0};
    assert_int_equal(enter("127.0.0.7", &peers[0]), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.7", &peers[1]), REFUSAL_NONE);
    world.config.limits.connections_per_source = 1;
    gate_reconfigure(world.gate, &world.config, &allow, 1);
    assert_int_equal(gate_connections(world.gate), 2);
    gate_leave(world.gate, &peers[0]);
    assert_int_equal(enter("127.0.0.7", &third), REFUSAL_TOO_MANY_CONNECTIONS);
    gate_leave(world.gate, &peers[1]);
    assert_int_equal(enter("127.0.0.7", &third), REFUSAL_NONE);
}

static void test_refusals_are_told_once_a_minute(void **state)
{
    (void)state;
    struct peer peer;
    world.refusal = REFUSAL_STRANGER;
    for (int i = 0; i < 5; i++)
        assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_STRANGER);
    assert_reported(1, REFUSAL_STRANGER, 1);
    world.now_us += MINUTE_US - 1;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_STRANGER);
    assert_reported(1, REFUSAL_STRANGER, 1);
    world.now_us += 1;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_STRANGER);
    assert_reported(2, REFUSAL_STRANGER, 6);
}

static void test_each_source_and_reason_is_told_of(void **state)
{
    (void)state;
    struct peer peer;
    world.refusal = REFUSAL_STRANGER;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_STRANGER);
    assert_int_equal(enter("127.0.0.8", &peer), REFUSAL_STRANGER);
    assert_reported(2, REFUSAL_STRANGER, 1);
    gate_reconfigure(world.gate, &world.config, NULL, 0);
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NOT_ALLOWED);
    assert_int_equal(enter("127.0.0.200", &peer), REFUSAL_NOT_ALLOWED);
    assert_reported(4, REFUSAL_NOT_ALLOWED, 1);
}

/* One connection is enough: each time the gate looks, it comes from another MAC. */
static void invent_strangers(void)
{
    struct peer peer;
    int socket = connect_from("127.0.0.66");
    world.refusal = REFUSAL_STRANGER;
    world.invented = 1;
    while (world.invented <= INVENTED)
        assert_int_equal(gate_enter(world.gate, socket, &peer), REFUSAL_STRANGER);
    world.refusal = REFUSAL_NONE;
    world.invented = 0;
}

static void test_invented_sources_do_not_flood_the_events(void **state)
{
    (void)state;
    invent_strangers();
    assert_int_equal(world.reports, REPORTS_PER_MINUTE);
    world.now_us += MINUTE_US;
    invent_strangers();
    assert_int_equal(world.reports, 2 * REPORTS_PER_MINUTE);
}

static void test_strangers_do_not_keep_guests_out_of_the_events(void **state)
{
    (void)state;
    struct peer peer;
    invent_strangers();
    assert_int_equal(world.reports, REPORTS_PER_MINUTE);
    world.refusal = REFUSAL_STRANGER;
    world.vmid = 8200;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_STRANGER);
    assert_reported(REPORTS_PER_MINUTE + 1, REFUSAL_STRANGER, 1);
}

static void test_strangers_do_not_push_guests_out(void **state)
{
    (void)state;
    struct peer guest;
    assert_int_equal(enter("127.0.0.7", &guest), REFUSAL_NONE);
    for (int i = 0; i < 20; i++)
        gate_count_failure(world.gate, &guest);
    gate_leave(world.gate, &guest);
    invent_strangers();
    assert_int_equal(enter("127.0.0.7", &guest), REFUSAL_NONE);
    assert_int_equal(gate_locked_out(world.gate, &guest), 3);
}

static void test_requests_have_a_rate_and_a_burst(void **state)
{
    (void)state;
    struct peer peer;
    struct peer other;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.8", &other), REFUSAL_NONE);
    for (int i = 0; i < 10; i++)
        assert_int_equal(gate_count_request(world.gate, &peer), 0);
    assert_int_equal(gate_count_request(world.gate, &peer), 1);
    assert_int_equal(gate_count_request(world.gate, &other), 0);
    world.now_us += SECOND_US / 5;
    assert_int_equal(gate_count_request(world.gate, &peer), 0);
    assert_int_equal(gate_count_request(world.gate, &peer), 1);
    world.now_us += SECOND_US;
    for (int i = 0; i < 5; i++)
        assert_int_equal(gate_count_request(world.gate, &peer), 0);
    assert_int_equal(gate_count_request(world.gate, &peer), 1);
}

static void test_failures_lock_out(void **state)
{
    (void)state;
    struct peer peer;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    for (int i = 0; i < 19; i++)
        gate_count_failure(world.gate, &peer);
    assert_int_equal(gate_locked_out(world.gate, &peer), 0);
    gate_count_failure(world.gate, &peer);
    assert_int_equal(gate_locked_out(world.gate, &peer), 3);
    for (int i = 0; i < 1000; i++)
        gate_count_failure(world.gate, &peer);
    assert_int_equal(gate_locked_out(world.gate, &peer), 3);
    world.now_us += 3 * SECOND_US;
    assert_int_equal(gate_locked_out(world.gate, &peer), 0);
    gate_count_failure(world.gate, &peer);
    assert_int_equal(gate_locked_out(world.gate, &peer), 3);
}

static void test_a_lockout_outlives_the_connection(void **state)
{
    (void)state;
    struct peer peer;
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    for (int i = 0; i < 20; i++)
        gate_count_failure(world.gate, &peer);
    gate_leave(world.gate, &peer);
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    assert_int_equal(gate_locked_out(world.gate, &peer), 3);
}

static void test_waits_stay_within_a_minute(void **state)
{
    (void)state;
    struct peer peer;
    struct cidr allow = {.family = AF_INET, .prefix = 0};
    assert_int_equal(enter("127.0.0.7", &peer), REFUSAL_NONE);
    for (int i = 0; i < 20; i++)
        gate_count_failure(world.gate, &peer);
    world.config.limits.failures_per_source = 1;
    gate_reconfigure(world.gate, &world.config, &allow, 1);
    assert_int_equal(gate_locked_out(world.gate, &peer), 60);
}

/* The address and port from which a connection comes. */
static struct sockaddr_in origin_of(int server)
{
    struct sockaddr_in origin;
    socklen_t size = sizeof(origin);
    assert_int_equal(getpeername(server, (struct sockaddr *)&origin, &size), 0);
    return origin;
}

static void refuse_everybody(void)
{
    world.config.local_api.source_binding = BINDING_REQUIRE;
    world.config.limits.connections_per_source = 0;
    gate_reconfigure(world.gate, &world.config, NULL, 0);
}

static void limit_connections(uint32_t connections)
{
    struct cidr allow = {.family = AF_INET, .prefix = 0};
    world.config.limits.connections_per_source = connections;
    gate_reconfigure(world.gate, &world.config, &allow, 1);
}

static void refuse_connections(void)
{
    limit_connections(0);
}

static void allow_connections(void)
{
    limit_connections(2);
}

/* A connection is checked by one struct rules, even if the rules are replaced while its hardware
 * address is looked up. */
static void test_new_rules_apply_to_the_next_connection(void **state)
{
    (void)state;
    struct peer first;
    struct peer second;
    world.meanwhile = refuse_connections;
    assert_int_equal(enter("127.0.0.7", &first), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.7", &second), REFUSAL_TOO_MANY_CONNECTIONS);
    world.meanwhile = allow_connections;
    assert_int_equal(enter("127.0.0.7", &second), REFUSAL_TOO_MANY_CONNECTIONS);
    assert_int_equal(enter("127.0.0.7", &second), REFUSAL_NONE);
    gate_leave(world.gate, &first);
    gate_leave(world.gate, &second);
    assert_int_equal(gate_connections(world.gate), 0);
}

static void test_the_probe_is_admitted_whatever_the_rules(void **state)
{
    (void)state;
    struct peer peer;
    refuse_everybody();
    int server = connect_from("127.0.0.200");
    const struct sockaddr_in probe = origin_of(server);
    gate_expect(world.gate, &probe);
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NONE);
    assert_string_equal(peer.address_text, "127.0.0.200");
    assert_false(peer.has_hwaddr);
    assert_int_equal(world.lookups, 0);
    assert_int_equal(gate_connections(world.gate), 1);
    gate_leave(world.gate, &peer);
    assert_int_equal(gate_connections(world.gate), 0);
    assert_int_equal(world.reports, 0);
}

static void test_the_probe_comes_but_once(void **state)
{
    (void)state;
    struct peer peer;
    struct peer again;
    refuse_everybody();
    int server = connect_from("127.0.0.200");
    const struct sockaddr_in probe = origin_of(server);
    gate_expect(world.gate, &probe);
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NONE);
    assert_int_equal(gate_enter(world.gate, server, &again), REFUSAL_NOT_ALLOWED);
    gate_leave(world.gate, &peer);
}

static void test_nobody_passes_for_the_probe(void **state)
{
    (void)state;
    struct peer peer;
    refuse_everybody();
    int server = connect_from("127.0.0.200");
    struct sockaddr_in probe = origin_of(server);
    probe.sin_port ^= htons(1);
    gate_expect(world.gate, &probe);
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NOT_ALLOWED);
    probe = origin_of(server);
    probe.sin_addr.s_addr ^= htonl(1);
    gate_expect(world.gate, &probe);
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NOT_ALLOWED);
    probe = origin_of(server);
    gate_expect(world.gate, &probe);
    gate_expect_nobody(world.gate);
    assert_int_equal(gate_enter(world.gate, server, &peer), REFUSAL_NOT_ALLOWED);
    assert_int_equal(gate_connections(world.gate), 0);
}

/* The probe's connections and requests are not counted for the host's other clients. */
static void test_the_probe_counts_for_nobody(void **state)
{
    (void)state;
    struct peer peers[2];
    struct peer probing;
    int server = connect_from("127.0.0.200");
    const struct sockaddr_in probe = origin_of(server);
    gate_expect(world.gate, &probe);
    assert_int_equal(gate_enter(world.gate, server, &probing), REFUSAL_NONE);
    for (int i = 0; i < 100; i++)
        (void)gate_count_request(world.gate, &probing);
    gate_count_failure(world.gate, &probing);
    assert_int_equal(enter("127.0.0.200", &peers[0]), REFUSAL_NONE);
    assert_int_equal(enter("127.0.0.200", &peers[1]), REFUSAL_NONE);
    assert_int_equal(gate_count_request(world.gate, &peers[0]), 0);
    assert_true(gate_count_request(world.gate, &probing) > 0);
    gate_leave(world.gate, &probing);
    gate_expect(world.gate, &probe);
    assert_int_equal(gate_enter(world.gate, server, &probing), REFUSAL_NONE);
    assert_int_equal(gate_count_request(world.gate, &probing), 0);
    gate_leave(world.gate, &probing);
    gate_leave(world.gate, &peers[0]);
    gate_leave(world.gate, &peers[1]);
    assert_int_equal(gate_connections(world.gate), 0);
}

static void test_a_socket_without_a_peer_is_refused(void **state)
{
    (void)state;
    struct peer peer;
    assert_int_equal(gate_enter(world.gate, world.listening, &peer), REFUSAL_GONE);
    assert_int_equal(world.reports, 0);
    assert_int_equal(gate_connections(world.gate), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_a_guest_is_admitted),
        TEST(test_the_allow_list_comes_first),
        TEST(test_an_empty_allow_list_allows_nobody),
        TEST(test_peers_are_who_they_were_found_to_be),
        TEST(test_binding_off_looks_nothing_up),
        TEST(test_connections_are_capped_by_source),
        TEST(test_connections_have_a_rate_and_a_burst),
        TEST(test_connections_and_requests_are_counted_apart),
        TEST(test_refused_connections_are_not_counted),
        TEST(test_a_detached_connection_counts_for_its_source_alone),
        TEST(test_many_addresses_of_one_mac_are_one_source),
        TEST(test_a_lower_limit_spares_who_is_inside),
        TEST(test_refusals_are_told_once_a_minute),
        TEST(test_each_source_and_reason_is_told_of),
        TEST(test_invented_sources_do_not_flood_the_events),
        TEST(test_strangers_do_not_keep_guests_out_of_the_events),
        TEST(test_strangers_do_not_push_guests_out),
        TEST(test_requests_have_a_rate_and_a_burst),
        TEST(test_failures_lock_out),
        TEST(test_a_lockout_outlives_the_connection),
        TEST(test_waits_stay_within_a_minute),
        TEST(test_new_rules_apply_to_the_next_connection),
        TEST(test_the_probe_is_admitted_whatever_the_rules),
        TEST(test_the_probe_comes_but_once),
        TEST(test_nobody_passes_for_the_probe),
        TEST(test_the_probe_counts_for_nobody),
        TEST(test_a_socket_without_a_peer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
