#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The networks that Proxmox builds: a guest is served in each, and its token is good through its own port alone. Those
# that this kernel cannot build are left out, and the test says so.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
agent_yaml <<'END'
local_api: {listen: "0.0.0.0:8443", allow: [192.168.0.0/24, 203.0.113.0/24], routers: [8700]}
limits: {requests_per_source: 100000, failures_per_source: 100000}
END
ctl init >/dev/null 2>&1
for vmid in 8200 8300 8400 8500 8600 8700; do
    guest_config $vmid </dev/null
    phase $vmid pre-start >/dev/null 2>&1
done
PIN=$(pin_of 8200)
daemon_start || exit 1
# served WHAT VMID OTHER [ENDPOINT]: the guest gets its own answer, and none with the token of the other
served() {
    local ENDPOINT=${4:-$ENDPOINT}
    is "$1: guest $2 is served" "$(status_of "$2" "$(token_of "$2")" /storage)" 200
    is "$1: and not with another's token" "$(status_of "$2" "$(token_of "$3")" /storage)" 403
}

# --- a plain bridge ---
world_guest 8200 20
served 'veth on a plain bridge' 8200 8300
world_guest 8300 30
ip link set veth8300i0 down
ip link set veth8300i0 name tap8300i0
ip link set tap8300i0 up
served 'tap on a plain bridge' 8300 8200

# --- Proxmox's firewall ---
world_guest 8400 40
ip link add fwbr8400i0 type bridge
ip link add fwln8400i0 type veth peer name fwpr8400p0
ip link set veth8400i0 master fwbr8400i0
ip link set fwln8400i0 master fwbr8400i0 up
ip link set fwpr8400p0 master vmbr0 up
ip link set fwbr8400i0 up
served 'fwbr, fwln, fwpr' 8400 8200

# --- a neighbour behind a physical port ---
world_guest 8999 99
ip link set veth8999i0 down
ip link set veth8999i0 name eno1
ip link set eno1 up
is 'a machine behind a physical port is a stranger' "$(status_of 8999 "$(token_of 8200)" /storage)" 000

# --- a routed zone: the guest has an address of its own, the host a route to it, and there is no bridge ---
world_guest 8500 50
ip link set veth8500i0 nomaster
in_guest 8500 ip addr flush dev eth0
in_guest 8500 ip addr add 203.0.113.50/32 dev eth0
in_guest 8500 ip route add $ADDRESS dev eth0 src 203.0.113.50
ip route add 203.0.113.50/32 dev veth8500i0
echo 1 >/proc/sys/net/ipv4/conf/veth8500i0/proxy_arp
served 'a routed zone' 8500 8200

# --- a guest that routes for others: those count as routed, and so by allow ---
world_guest 8700 70
unshare --net sleep 86400 &
behind=$!
until [ "$(readlink /proc/$behind/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
echo $behind >"$HOST/netns/9000"
in_guest 8700 ip link add inner type veth peer name eth0 netns $behind
in_guest 8700 ip addr add 203.0.113.129/25 dev inner
in_guest 8700 ip link set inner up
in_guest 8700 sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
in_guest 9000 ip link set eth0 up
in_guest 9000 ip addr add 203.0.113.130/25 dev eth0
in_guest 9000 ip route add default via 203.0.113.129
ip route add 203.0.113.128/25 via 192.168.0.70
is 'a guest that routes for others is served' "$(status_of 8700 "$(token_of 8700)" /storage)" 200
is 'what is behind it is served with a token whose guest has no port here' "$(status_of 9000 "$(token_of 8600)" /storage)" 200
is 'and not with that of a guest that has one' "$(status_of 9000 "$(token_of 8200)" /storage)" 403

# --- a bridge that knows VLANs ---
if ip link add vmbr1 type bridge vlan_filtering 1 2>/dev/null && ip link add link vmbr1 name vmbr1.20 type vlan id 20 2>/dev/null; then
    ip link set vmbr1 up
    bridge vlan add dev vmbr1 vid 20 self
    ip addr add 192.168.0.163/24 dev vmbr1.20
    ip link set vmbr1.20 up
    world_guest 8600 60
    ip link set veth8600i0 master vmbr1
    bridge vlan del dev veth8600i0 vid 1
    bridge vlan add dev veth8600i0 vid 20 pvid untagged
    in_guest 8600 ip addr flush dev eth0
    in_guest 8600 ip addr add 203.0.113.60/24 dev eth0
    in_guest 8600 ip route add 192.168.0.163/32 dev eth0
    ip route add 203.0.113.60/32 dev vmbr1.20
    served 'tag=20 on a VLAN-aware bridge' 8600 8200 192.168.0.163:$PORT
else
    skip 'tag=20 on a VLAN-aware bridge' 'NOT TESTED: this kernel lacks 8021q or vlan_filtering'
fi
ok "felhomd stops cleanly" daemon_stop
tap_done
