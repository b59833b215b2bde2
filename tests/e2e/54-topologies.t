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
local_api: {listen: "0.0.0.0:8443", allow: [192.168.0.0/24, 203.0.113.0/24, 10.0.0.0/8], routers: [8700]}
limits: {requests_per_source: 100000, failures_per_source: 100000}
END
ctl init >/dev/null 2>&1
for vmid in 8200 8300 8400 8500 8600 8610 8620 8630 8640 8650 8660 8700; do
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

# lied WHAT VMID TOKEN_OF ENDPOINT: with another guest's Ethernet address it gets nowhere, and it is on record why
lied() {
    local before
    before=$(lies)
    is "$1" "$(ENDPOINT=$4 status_of "$2" "$(token_of "$3")" /storage)" 000
    ok 'that is on record' eventually lies_exceed "$before"
}
lies() { sql "SELECT count(*) FROM event WHERE kind = 'refused' AND detail LIKE '%address of another guest%'"; }
lies_exceed() { [ "$(lies)" -gt "$1" ]; }

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
is 'what is behind it is served with a token whose guest has no port here' "$(status_of 9000 "$(token_of 8660)" /storage)" 200
is 'and not with that of a guest that has one' "$(status_of 9000 "$(token_of 8200)" /storage)" 403

# --- a bridge that knows VLANs: the host has an address in VLAN 1, on the bridge itself, and one in VLAN 20 ---
# on_vlans VMID VLANS...: wires the guest's NIC to vmbr1 as Proxmox does, without the VLAN that the kernel gives it
on_vlans() {
    local vmid=$1 vlans
    shift
    ip link set "veth${vmid}i0" master vmbr1
    bridge vlan del dev "veth${vmid}i0" vid 1
    for vlans in "$@"; do
        # shellcheck disable=SC2086  # words
        bridge vlan add dev "veth${vmid}i0" vid $vlans
    done
}
# addressed VMID ADDRESS/LENGTH [DEVICE]: has this address and no other
addressed() {
    in_guest "$1" ip addr flush dev eth0
    in_guest "$1" ip addr add "$2" dev "${3:-eth0}"
}
# tagged VMID ADDRESS/LENGTH: the guest itself tags what it sends, as in VLAN 20
tagged() {
    in_guest "$1" ip link add link eth0 name eth0.20 type vlan id 20
    in_guest "$1" ip link set eth0.20 up
    addressed "$1" "$2" eth0.20
}
vlan_aware_bridge() {
    local vlan1=10.1.0.1:$PORT vlan20=10.20.0.1:$PORT
    bridge vlan add dev vmbr1 vid 20 self
    ip addr add 10.1.0.1/24 dev vmbr1
    ip addr add 10.20.0.1/24 dev vmbr1.20
    ip link set vmbr1 up
    ip link set vmbr1.20 up
    world_guest 8600 60
    on_vlans 8600 '20 pvid untagged'
    addressed 8600 10.20.0.60/24
    served 'tag=20 on a VLAN-aware bridge' 8600 8200 $vlan20
    in_guest 8600 ip route add 10.1.0.0/24 via 10.20.0.1
    served 'the same at the address in VLAN 1' 8600 8200 $vlan1
    world_guest 8610 61
    on_vlans 8610 '1 pvid untagged' 2-4094
    addressed 8610 10.1.0.61/24
    served 'no tag on a VLAN-aware bridge' 8610 8600 $vlan1
    tagged 8610 10.20.0.61/24
    served 'the same, and the guest tags its frames itself' 8610 8600 $vlan20
    world_guest 8620 62
    on_vlans 8620 '30 pvid untagged' 20
    tagged 8620 10.20.0.62/24
    served 'tag=30,trunks=20' 8620 8600 $vlan20
    world_guest 8998 98
    ip link set veth8998i0 down
    ip link set veth8998i0 name eno2
    ip link set eno2 up master vmbr1
    bridge vlan add dev eno2 vid 2-4094
    tagged 8998 10.20.0.98/24
    is 'a machine behind a trunk is a stranger' "$(ENDPOINT=$vlan20 status_of 8998 "$(token_of 8600)" /storage)" 000
    # With the Ethernet and the IP address of 8600, in its VLAN. An entry for 8600 in the bridge's table changes nothing.
    in_guest 8600 ip link set eth0 down
    for vmid in 8610 8620 8998; do
        in_guest $vmid ip link set eth0.20 down
        in_guest $vmid ip link set eth0.20 address "$(hwaddr_of 8600)" up
        in_guest $vmid ip addr flush dev eth0.20
        in_guest $vmid ip addr add 10.20.0.60/24 dev eth0.20
        lied "8600's addresses in its VLAN make nobody 8600, not $vmid" $vmid 8600 $vlan20
        in_guest $vmid ip link set eth0.20 down
    done
    in_guest 8600 ip link set eth0 up
    served '8600 itself' 8600 8200 $vlan20
}
# --- tag=30 on a bridge that knows no VLANs: Proxmox makes a bridge for each tag ---
bridge_of_one_vlan() {
    world_guest 8997 97
    ip link set veth8997i0 nomaster down
    ip link set veth8997i0 name eno3
    ip link set eno3 up
    ip link add link eno3 name eno3.30 type vlan id 30
    ip link add vmbr2v30 type bridge
    ip addr add 10.30.0.1/24 dev vmbr2v30
    ip link set vmbr2v30 up
    ip link set eno3.30 master vmbr2v30 up
    world_guest 8630 63
    ip link set veth8630i0 master vmbr2v30
    addressed 8630 10.30.0.63/24
    served 'tag=30 on a bridge of that VLAN' 8630 8600 10.30.0.1:$PORT
    in_guest 8997 ip link add link eth0 name eth0.30 type vlan id 30
    in_guest 8997 ip link set eth0.30 address "$(hwaddr_of 8630)" up
    addressed 8997 10.30.0.97/24 eth0.30
    lied 'whoever has its Ethernet address out there is a stranger' 8997 8630 10.30.0.1:$PORT
}
if ip link add vmbr1 type bridge vlan_filtering 1 2>/dev/null && ip link add link vmbr1 name vmbr1.20 type vlan id 20 2>/dev/null; then
    vlan_aware_bridge
    bridge_of_one_vlan
else
    skip 'VLANs' 'NOT TESTED: this kernel lacks 8021q or vlan_filtering; make check-vm has one that does not'
fi

# --- vnets in the VRF of an EVPN zone: the kernel lets felhomd's one listener, which is in no VRF, serve it as well ---
# Behind vxlan_vnet1 are the zone's guests on other nodes.
vrf() {
    local vnet1=10.40.0.1:$PORT vnet2=10.41.0.1:$PORT
    echo 1 >/proc/sys/net/ipv4/tcp_l3mdev_accept
    ip link set vrf_zone up
    for vnet in 1 2; do
        ip link add vnet$vnet type bridge
        ip link set vnet$vnet master vrf_zone
        ip addr add 10.4$((vnet - 1)).0.1/24 dev vnet$vnet
        ip link set vnet$vnet up
    done
    world_guest 8640 64
    ip link set veth8640i0 master vnet1
    addressed 8640 10.40.0.64/24
    served 'a vnet in a VRF' 8640 8200 $vnet1
    world_guest 8650 65
    ip link set veth8650i0 master vnet2
    addressed 8650 10.41.0.65/24
    in_guest 8650 ip route add 10.40.0.0/24 via 10.41.0.1
    served 'another vnet of the VRF' 8650 8640 $vnet2
    served 'the same at the address of the first' 8650 8640 $vnet1
    world_guest 8996 96
    ip link set veth8996i0 down
    ip link set veth8996i0 name vxlan_vnet1
    ip link set vxlan_vnet1 master vnet1 up
    addressed 8996 10.40.0.96/24
    is "a guest of another node's is a stranger" "$(ENDPOINT=$vnet1 status_of 8996 "$(token_of 8640)" /storage)" 000
    in_guest 8640 ip link set eth0 down
    in_guest 8996 ip link set eth0 down
    in_guest 8996 ip link set eth0 address "$(hwaddr_of 8640)" up
    in_guest 8996 ip addr add 10.40.0.64/24 dev eth0
    lied 'and so it is with the addresses of one of this node' 8996 8640 $vnet1
    in_guest 8996 ip link set eth0 down
    in_guest 8640 ip link set eth0 up
    served 'that one itself' 8640 8200 $vnet1
    # What is behind a router: which is found among the VRF's routes, and not the host's
    in_guest 8996 ip link set eth0 address "$(hwaddr_of 8996)" up
    in_guest 8996 ip addr add 10.99.0.1/32 dev lo
    in_guest 8996 ip route add 10.40.0.1/32 dev eth0 src 10.99.0.1
    ip route add 10.99.0.0/24 via 10.40.0.96 dev vnet1 vrf vrf_zone
    is 'what is behind a router of the VRF is served with a token whose guest has no port here' \
        "$(ENDPOINT=$vnet1 status_of 8996 "$(token_of 8660)" /storage)" 200
    is 'and not with that of a guest that has one' "$(ENDPOINT=$vnet1 status_of 8996 "$(token_of 8640)" /storage)" 403
}
if ip link add vrf_zone type vrf table 1001 2>/dev/null; then
    vrf
else
    skip 'a VRF' 'NOT TESTED: this kernel has none; make check-vm has one that does'
fi
ok "felhomd stops cleanly" daemon_stop
tap_done
