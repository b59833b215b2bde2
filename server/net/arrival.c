/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/arrival.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/host/syn.h"
#include "server/base/lock.h"
#include "store/host/netlink.h"

#define SAVE_WITH_ETHERNET 2 /* since Linux 5.10 (tcp(7) does not say so) */
#define SAVED_SYN_MAX      256

/* SO_OOBINLINE: each byte that has been sent is read, so that their number says where one stands.
 * Anybody can call another's bytes urgent, and Linux would then leave them out. */
int arrival_prepare(int listening, struct error *error)
{
    const int with_ethernet = SAVE_WITH_ETHERNET;
    const int on = 1;
    if (setsockopt(listening, IPPROTO_TCP, TCP_SAVE_SYN, &with_ethernet, sizeof with_ethernet) ==
            0 &&
        setsockopt(listening, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0 &&
        setsockopt(listening, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) == 0)
        return 0;
    return fail_errno(error, errno, "cannot have the kernel save how connections come in");
}

static int find_interface(int socket)
{
    _Alignas(struct cmsghdr) char control[256];
    socklen_t size = sizeof control;
    const int on = 1;
    (void)setsockopt(socket, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (getsockopt(socket, IPPROTO_IP, IP_PKTOPTIONS, control, &size) < 0)
        return 0;
    struct msghdr message = {.msg_control = control, .msg_controllen = size};
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        struct in_pktinfo info;
        if (part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_PKTINFO)
            continue;
        memcpy(&info, CMSG_DATA(part), sizeof info);
        return info.ipi_ifindex;
    }
    return 0;
}

struct ends {
    struct sockaddr_storage source;
    struct sockaddr_storage destination;
};

static bool find_ends(int socket, struct ends *ret)
{
    socklen_t source_size = sizeof ret->source;
    socklen_t destination_size = sizeof ret->destination;
    return getpeername(socket, (struct sockaddr *)&ret->source, &source_size) == 0 &&
           getsockname(socket, (struct sockaddr *)&ret->destination, &destination_size) == 0;
}

/* The kernel forgets the SYN once it was read. A SYN cookie (a flood) leaves none: length 0. */
static bool read_saved_syn(int socket, const struct ends *ends, struct syn *ret)
{
    uint8_t bytes[SAVED_SYN_MAX];
    socklen_t size = sizeof bytes;
    return getsockopt(socket, IPPROTO_TCP, TCP_SAVED_SYN, bytes, &size) == 0 && size > 0 &&
           syn_parse_saved(bytes, size, (const struct sockaddr *)&ends->source,
                           (const struct sockaddr *)&ends->destination, ret);
}

static struct witness_sighting find_by_ends(struct witness *witness, const struct ends *ends)
{
    struct syn_end source;
    struct syn_end destination;
    syn_end_set(&source, (const struct sockaddr *)&ends->source);
    syn_end_set(&destination, (const struct sockaddr *)&ends->destination);
    return witness_find_ends(witness, &source, &destination);
}

/* The loopback device's frames are from nobody. */
static struct witness_sighting guess_by_hwaddr(const struct syn *syn)
{
    static const struct hwaddr nobody = {{0}};
    bool is_host = syn->has_hwaddr && memcmp(&syn->hwaddr, &nobody, sizeof nobody) == 0;
    return (struct witness_sighting){
        .path = is_host ? WITNESS_HOST : WITNESS_OUTSIDE,
        .has_hwaddr = syn->has_hwaddr && !is_host,
        .hwaddr = syn->hwaddr,
    };
}

static struct arrival arrival_of(struct witness *witness, int socket)
{
    struct ends ends;
    struct syn syn;
    struct arrival arrival = {.is_witnessed = witness != NULL, .interface = find_interface(socket)};
    if (!find_ends(socket, &ends))
        return arrival;
    bool is_saved = read_saved_syn(socket, &ends, &syn);
    if (witness)
        arrival.seen = is_saved ? witness_find(witness, &syn) : find_by_ends(witness, &ends);
    else if (is_saved)
        arrival.seen = guess_by_hwaddr(&syn);
    return arrival;
}

/* --- by descriptor --- */

struct arrivals {
    struct witness *witness;
    pthread_mutex_t lock; /* guards all members below */
    struct arrival *items;
    size_t size;
};

struct arrivals *arrivals_new(struct witness *witness)
{
    struct arrivals *arrivals = mem_new(struct arrivals);
    arrivals->witness = witness;
    (void)pthread_mutex_init(&arrivals->lock, NULL);
    return arrivals;
}

void arrivals_free(struct arrivals *arrivals)
{
    if (!arrivals)
        return;
    (void)pthread_mutex_destroy(&arrivals->lock);
    free(arrivals->items);
    free(arrivals);
}

void arrivals_note(struct arrivals *arrivals, int socket)
{
    const struct arrival arrival = arrival_of(arrivals->witness, socket);
    size_t index = (size_t)socket;
    lock_scope(&arrivals->lock);
    if (index >= arrivals->size) {
        arrivals->size = (index / 64 + 1) * 64;
        arrivals->items = mem_resize(arrivals->items, arrivals->size, sizeof *arrivals->items);
    }
    arrivals->items[index] = arrival;
}

struct arrival arrivals_get(struct arrivals *arrivals, int socket)
{
    size_t index = (size_t)socket;
    lock_scope(&arrivals->lock);
    if (index >= arrivals->size)
        return (struct arrival){.is_witnessed = true};
    return arrivals->items[index];
}

bool arrivals_confirm(struct arrivals *arrivals, int socket, size_t size)
{
    const struct arrival arrival = arrivals_get(arrivals, socket);
    if (!arrivals->witness || arrival.seen.path == WITNESS_NONE)
        return true;
    return witness_confirm(arrivals->witness, &arrival.seen, size);
}

/* --- routes --- */

int arrival_is_routed(const struct arrival *arrival, struct in_addr address, struct error *error)
{
    int found = 0;
    cleanup_close int fd = -1;
    if (host_netlink_open(&fd, error) < 0)
        return -1;
    if (host_route_link(fd, address, arrival->interface, &found, error) == 0)
        return 0;
    return error->kind == ERROR_MISSING ? 1 : -1;
}
