/* SPDX-License-Identifier: Apache-2.0 */
#include "store/host/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/db/sql.h"

#define ADVICE "set local_api.bridge or local_api.listen in agent.yaml"

/* SIOCGIFADDR returns an interface's first address, and is much cheaper than a list of all
 * addresses. */
static int interface_address(const char *name, struct sockaddr_in *ret)
{
    struct ifreq request = {0};
    cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    memcpy(request.ifr_name, name, strlen(name));
    if (ioctl(fd, SIOCGIFADDR, &request) < 0)
        return -1;
    memcpy(ret, &request.ifr_addr, sizeof *ret);
    return 0;
}

int host_endpoint(const struct config *config, struct sockaddr_in *ret, struct error *error)
{
    const char *bridge = config->local_api.bridge;
    struct sockaddr_in address;
    if (config->local_api.has_listen) {
        *ret = config->local_api.listen;
        return 0;
    }
    if (strlen(bridge) >= IFNAMSIZ)
        return fail(error, ERROR_INVALID, "%s: too long a name for a bridge: " ADVICE, bridge);
    if (interface_address(bridge, &address) == 0) {
        address.sin_port = htons(ENDPOINT_PORT);
        *ret = address;
        return 0;
    }
    if (errno == ENODEV)
        return fail(error, ERROR_MISSING, "there is no bridge %s: " ADVICE, bridge);
    if (errno == EADDRNOTAVAIL)
        return fail(error, ERROR_MISSING, "bridge %s has no IPv4 address: " ADVICE, bridge);
    return fail_errno(error, errno, "cannot find the address of bridge %s", bridge);
}

static void free_interfaces(struct ifaddrs **interfaces)
{
    if (*interfaces)
        freeifaddrs(*interfaces);
}

static bool interface_has_address(const struct ifaddrs *interface, struct in_addr address)
{
    struct sockaddr_in own;
    if (!interface->ifa_addr || interface->ifa_addr->sa_family != AF_INET ||
        !interface->ifa_netmask)
        return false;
    memcpy(&own, interface->ifa_addr, sizeof own);
    return own.sin_addr.s_addr == address.s_addr;
}

static struct cidr network_of(struct in_addr address, const struct sockaddr *netmask)
{
    struct sockaddr_in mask;
    struct cidr network = {.family = AF_INET};
    memcpy(&mask, netmask, sizeof mask);
    network.prefix = (uint8_t)__builtin_popcount(mask.sin_addr.s_addr);
    network.address.v4.s_addr = address.s_addr & mask.sin_addr.s_addr;
    return network;
}

int host_network(const struct sockaddr_in *endpoint, struct cidr *ret, struct error *error)
{
    char text[INET_ADDRSTRLEN];
    cleanup(free_interfaces) struct ifaddrs *interfaces = NULL;
    if (getifaddrs(&interfaces) < 0)
        return fail_errno(error, errno, "cannot list the network interfaces");
    for (const struct ifaddrs *one = interfaces; one; one = one->ifa_next) {
        if (interface_has_address(one, endpoint->sin_addr)) {
            *ret = network_of(endpoint->sin_addr, one->ifa_netmask);
            return 0;
        }
    }
    (void)inet_ntop(AF_INET, &endpoint->sin_addr, text, sizeof text);
    return fail(error, ERROR_MISSING, "no interface of this host has the address %s", text);
}

static void host_name(char *ret, size_t size)
{
    if (gethostname(ret, size) < 0 || !ret[0])
        (void)snprintf(ret, size, "localhost");
    ret[size - 1] = '\0';
}

/* Proxmox names a node by the host name without its domain, and makes PVE/local a link to
 * nodes/NODE. */
static void node_name(const char *pve, char *ret, size_t size)
{
    cleanup_free char *link = mem_format("%s/local", pve);
    char target[256];
    ssize_t length = readlink(link, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    (void)snprintf(ret, size, "%s", basename(target));
    if (ret[0])
        return;
    host_name(ret, size);
    ret[strcspn(ret, ".")] = '\0';
}

int host_describe(const struct config *config, const struct pins *pins, struct host *ret,
                  struct error *error)
{
    struct host host = {.pins = *pins};
    struct sockaddr_in endpoint = {0};
    char address[INET_ADDRSTRLEN];
    if (host_endpoint(config, &endpoint, error) < 0)
        return -1;
    (void)inet_ntop(AF_INET, &endpoint.sin_addr, address, sizeof address);
    (void)snprintf(host.endpoint, sizeof host.endpoint, "%s:%u", address, ntohs(endpoint.sin_port));
    (void)snprintf(host.host_id, sizeof host.host_id, "%s", config->host_id);
    if (!host.host_id[0])
        host_name(host.host_id, sizeof host.host_id);
    node_name(config->paths.pve, host.node, sizeof host.node);
    *ret = host;
    return 0;
}

int host_put(struct store *store, const struct host *host, struct error *error)
{
    return sql_run(store,
                   "INSERT OR REPLACE INTO host"
                   " (id, host_id, node, endpoint, pin_spki, pin_leaf)"
                   " VALUES (1, ?1, ?2, ?3, ?4, ?5)",
                   sql_values(sql_text(host->host_id), sql_text(host->node),
                              sql_text(host->endpoint), sql_text(host->pins.spki),
                              sql_text(host->pins.leaf)),
                   error);
}

int host_get(struct store *store, struct host *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "SELECT host_id, node, endpoint, pin_spki, pin_leaf FROM host",
                        SQL_NO_VALUES, &query, error);
    if (row < 0)
        return -1;
    if (row == 0)
        return fail(error, ERROR_MISSING,
                    "the store knows nothing of its host yet: run `felhomctl init`");
    sql_column_copy(&query, 0, ret->host_id, sizeof ret->host_id);
    sql_column_copy(&query, 1, ret->node, sizeof ret->node);
    sql_column_copy(&query, 2, ret->endpoint, sizeof ret->endpoint);
    sql_column_copy(&query, 3, ret->pins.spki, sizeof ret->pins.spki);
    sql_column_copy(&query, 4, ret->pins.leaf, sizeof ret->pins.leaf);
    return 0;
}
