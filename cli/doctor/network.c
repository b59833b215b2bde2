/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: whether felhomd can tell who a connection comes from, and whether guests can get through
 * to it at all (felhomd(8), SOURCE BINDING): the kernel's settings, and each running guest's port.
 */
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/socket.h"
#include "cli/doctor/doctor.h"
#include "cli/pve/firewall_file.h"
#include "cli/pve/guests.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "store/files/config_file.h"
#include "store/files/file.h"
#include "store/host/host.h"

#define SYSCTL_LIMIT 4096
#define SETTINGS     "/proc/sys/net/ipv4"

#define NEIGHBOURS_FEW 1024 /* Linux's default, which a guest with a few addresses fills */

/* Sets a value now and for the next boot. */
#define SET(name, value) \
    "echo net.ipv4." name "=" value " >>/etc/sysctl.d/felhom-agent.conf && sysctl -p " \
    "/etc/sysctl.d/felhom-agent.conf"

/* Returns the number in SETTINGS/NAME; otherwise, if there is none. */
static long setting_read(const char *name, long otherwise)
{
    struct error ignored;
    char *end;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *path = mem_format(SETTINGS "/%s", name);
    if (file_read(path, SYSCTL_LIMIT, &text, &ignored) < 0)
        return otherwise;
    long value = strtol(buffer_text(&text), &end, 10);
    return end == text.data ? otherwise : value;
}

/* Once the table is full, the host answers nobody whose address it has not in it. */
void doctor_check_neighbours(struct doctor *doctor)
{
    long most = setting_read("neigh/default/gc_thresh3", -1);
    if (most < 0)
        return;
    if (most > NEIGHBOURS_FEW)
        doctor_ok(doctor, "the kernel's neighbour table has room for %ld addresses", most);
    else
        doctor_warn(doctor, SET("neigh.default.gc_thresh3", "16384"),
                    "the kernel's neighbour table has room for %ld addresses: one guest can fill "
                    "it, and the host then answers no other",
                    most);
}

/* Returns the name of a bridge of Proxmox's firewall on which the kernel does not check where a
 * packet comes from, which the caller frees; NULL if there is none. */
static char *find_unchecked_bridge(void)
{
    char *found = NULL;
    long all = setting_read("conf/all/rp_filter", 0);
    struct if_nameindex *devices = if_nameindex();
    for (const struct if_nameindex *device = devices; device && device->if_index && !found;
         device++) {
        cleanup_free char *name = mem_format("conf/%s/rp_filter", device->if_name);
        if (text_after(device->if_name, "fwbr") && all == 0 && setting_read(name, 0) == 0)
            found = mem_copy_text(device->if_name);
    }
    if_freenameindex(devices);
    return found;
}

/* Such a bridge answers for the host itself, and the guest's packets end there. */
void doctor_check_rp_filter(struct doctor *doctor)
{
    cleanup_free char *bridge = find_unchecked_bridge();
    if (bridge)
        doctor_warn(doctor, SET("conf.all.rp_filter", "2"),
                    "net.ipv4.conf.all.rp_filter is 0: %s answers for the host, and the guest "
                    "behind it may not reach felhomd; Proxmox's firewall sets 2",
                    bridge);
}

/* --- ports --- */

/* Without a packet socket felhomd knows guests by their MACs, which others can take. */
void doctor_check_ports(struct doctor *doctor)
{
    struct error ignored;
    struct sockaddr_in endpoint;
    if (doctor->config.local_api.source_binding == BINDING_OFF ||
        host_endpoint(&doctor->config, &endpoint, &ignored) < 0)
        return;
    ino_t listener = socket_listening(&endpoint);
    pid_t felhomd = listener ? socket_holder(listener) : 0;
    if (felhomd == 0)
        return; /* doctor_check_answer reports it */
    if (socket_packet_is_held(felhomd))
        doctor_ok(doctor, "felhomd sees through which port each connection comes in");
    else
        doctor_warn(doctor, "systemctl restart felhomd",
                    "felhomd has no packet socket, and so knows guests by their MACs alone, which "
                    "others can take; its unit opens one before it starts");
}

static bool nic_has_port(uint32_t vmid, const struct nic *nic)
{
    static const char *const kinds[] = {"veth", "tap"};
    const char *number = nic->key + strcspn(nic->key, DIGITS);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        cleanup_free char *name = mem_format("%s%ui%s", kinds[i], vmid, number);
        if (if_nametoindex(name) > 0)
            return true;
    }
    return false;
}

static const struct nic *find_nic_without_port(const struct doctor_guest *guest)
{
    for (size_t i = 0; i < guest->config.nic_count; i++)
        if (guest->config.nics[i].has_hwaddr && !nic_has_port(guest->vmid, &guest->config.nics[i]))
            return &guest->config.nics[i];
    return NULL;
}

static bool nic_has_firewall(const struct nic *nic)
{
    const char *firewall = nic_property(nic, "firewall");
    return firewall && strcmp(firewall, "1") == 0;
}

/*
 * Proxmox filters the MACs of a NIC with firewall=1 of a guest whose firewall is on, unless told
 * not to. Returns the command that has it filter this guest's, which the caller frees; NULL if it
 * does.
 */
static char *find_filter_remedy(const struct doctor *doctor, uint32_t vmid,
                                const struct guest_config *guest)
{
    const char *command = guest->kind == GUEST_LXC ? "pct" : "qm";
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *name = mem_format("firewall/%u.fw", vmid);
    firewall_file_load(&doctor->config, name, &text);
    if (firewall_file_switch(buffer_text(&text)) != FIREWALL_ON ||
        strstr(buffer_text(&text), "\nmacfilter: 0"))
        return mem_format("pvesh set /nodes/localhost/%s/%u/firewall/options --enable 1 "
                          "--macfilter 1",
                          guest->kind == GUEST_LXC ? "lxc" : "qemu", vmid);
    for (size_t i = 0; i < guest->nic_count; i++) {
        const char *key = guest->nics[i].key;
        if (!nic_has_firewall(&guest->nics[i]))
            return mem_format("%s set %u --%s \"$(%s config %u | sed -n '/^%s: /{s///;"
                              "s/,firewall=.//;p}'),firewall=1\"",
                              command, vmid, key, command, vmid, key);
    }
    return NULL;
}

/* Looks for a guest of this node that could take another's MAC. Returns the command that ends that,
 * which the caller frees; NULL if there is none. */
static char *find_unfiltered(const struct doctor *doctor, uint32_t *ret_vmid)
{
    struct error ignored;
    char *remedy = NULL;
    cleanup(vmids_free) struct vmids guests = {0};
    if (node_guests_list(&doctor->config, &guests, &ignored) < 0)
        return NULL;
    for (size_t i = 0; i < guests.count && !remedy; i++) {
        cleanup(guest_config_free) struct guest_config guest = {0};
        *ret_vmid = guests.items[i];
        if (*ret_vmid != doctor->guest->vmid &&
            config_file_load_guest(&doctor->config, *ret_vmid, &guest, &ignored) == 0)
            remedy = find_filter_remedy(doctor, *ret_vmid, &guest);
    }
    return remedy;
}

/* A NIC without a port of a known name is known by its MAC alone, which others can take. */
void doctor_check_guest_port(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    const struct nic *nic = guest->running ? find_nic_without_port(guest) : NULL;
    if (!nic)
        return;
    uint32_t other = 0;
    cleanup_free char *remedy = find_unfiltered(doctor, &other);
    if (!doctor->reach.cluster_filtered)
        doctor_warn(doctor, "pvesh set /cluster/firewall/options --enable 1",
                    "%s has no port on this host by which the guest is known (SR-IOV, passed "
                    "through), but its MAC alone, and Proxmox's firewall, which keeps others from "
                    "taking it, is off; once it is on, it drops what no rule allows, so first add "
                    "the rules that felhomctl firewall prints, and those that you need yourself",
                    nic->key);
    else if (remedy)
        doctor_warn(doctor, remedy,
                    "%s has no port on this host by which the guest is known (SR-IOV, passed "
                    "through), but its MAC alone, which guest %u can take: its firewall or "
                    "macfilter is off, or a NIC of it lacks firewall=1",
                    nic->key, other);
    else
        doctor_ok(doctor, "%s is known by its MAC, which Proxmox keeps others from taking",
                  nic->key);
}
