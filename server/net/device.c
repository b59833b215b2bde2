/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/device.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/vmid.h"

#define NOTICES_BYTES (1 << 20) /* a host starts many guests at a time */

/* Reads NUMBER, the separator, and digits up to the end. */
static bool port_owner_after(const char *text, char separator, uint32_t *ret_vmid)
{
    size_t length = strspn(text, DIGITS);
    if (text[length] != separator || !text_is_all(text + length + 1, DIGITS))
        return false;
    cleanup_free char *number = mem_copy_text_n(text, length);
    return vmid_parse(number, ret_vmid);
}

bool device_port_owner(const char *name, uint32_t *ret_vmid)
{
    static const struct {
        const char *prefix;
        char separator;
    } ports[] = {{"veth", 'i'}, {"tap", 'i'}, {"fwpr", 'p'}};
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        const char *rest = text_after(name, ports[i].prefix);
        if (rest && port_owner_after(rest, ports[i].separator, ret_vmid))
            return true;
    }
    return false;
}

static bool is_upper_device(int socket, const char *name)
{
    static const char *const drivers[] = {
        "bridge",  "802.1Q VLAN Support", "vrf",    "bonding", "team",
        "macvlan", "openvswitch",         "ipvlan", NULL};
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {.ifr_data = (char *)&info};
    memcpy(request.ifr_name, name, IF_NAMESIZE);
    if (ioctl(socket, SIOCETHTOOL, &request) < 0)
        return false;
    info.driver[sizeof info.driver - 1] = '\0';
    return text_index(info.driver, drivers) >= 0;
}

struct device_identity device_identify(int socket, int index)
{
    struct device_identity identity = {.kind = DEVICE_UNKNOWN};
    struct ifreq request = {.ifr_ifindex = index};
    if (ioctl(socket, SIOCGIFNAME, &request) < 0)
        return identity;
    memcpy(identity.name, request.ifr_name, IF_NAMESIZE - 1);
    if (device_port_owner(identity.name, &identity.vmid))
        identity.kind = DEVICE_PORT;
    else if (ioctl(socket, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_LOOPBACK))
        identity.kind = DEVICE_LOOPBACK;
    else
        identity.kind = is_upper_device(socket, identity.name) ? DEVICE_UPPER : DEVICE_OUTSIDE;
    return identity;
}

int device_notices_open(int *ret_fd, struct error *error)
{
    const struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    const int size = NOTICES_BYTES;
    cleanup_close int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0 ||
        bind(fd, (const struct sockaddr *)&links, sizeof links) < 0)
        return fail_errno(error, errno, "cannot see how network devices change");
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* Returns false if there is nothing to read. What is not the kernel's is read as nothing. */
static bool notices_receive(struct device_notices *notices, bool *ret_lost)
{
    struct sockaddr_nl from = {.nl_pid = 0};
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(notices->fd, notices->answer.bytes, sizeof notices->answer.bytes,
                              MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    *ret_lost = length < 0 && errno == ENOBUFS;
    notices->at = 0;
    notices->answer.length = length > 0 && from.nl_pid == 0 ? (size_t)length : 0;
    return length >= 0 || errno == ENOBUFS || errno == EINTR;
}

bool device_notices_next(struct device_notices *notices, struct netlink_link *ret)
{
    bool lost = false;
    while (!netlink_answer_next_link(&notices->answer, &notices->at, ret)) {
        if (!notices_receive(notices, &lost))
            return false;
        if (lost) {
            *ret = (struct netlink_link){.index = 0};
            return true;
        }
    }
    return true;
}
