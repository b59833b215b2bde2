#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whether a guest reaches felhomd: what enroll, pre-start, guest and doctor say of each network is the same, and is what
# happens when the guest tries; and each remedy that they print mends it.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
mount -t sysfs sysfs /sys # it shows the network devices of this world now
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
mkdir -p "$HOST/tools" "$HOST/pve/firewall" "$HOST/pve/local"
echo 'dir: local' >"$HOST/pve/storage.cfg"
LIMITS='limits: {requests_per_source: 100000, failures_per_source: 100000}'
agent_yaml <<<"$LIMITS"
ctl init >/dev/null 2>&1

# --- what remedies run ---
pct() { python3 -IS tests/standins/pve_tools "$HOST" pct "$@"; }
felhomctl() { ctl "$@"; }
systemctl() { [ "$*" = 'reload felhomd' ] && reload; }
# editor FILE: an operator who sets local_api.allow as TEXT advises
editor() {
    [ "$1" = "$HOST/agent.yaml" ] || return 1
    agent_yaml <<<"local_api: {allow: $(grep -o '\[.*\]' <<<"$TEXT")}"$'\n'"$LIMITS"
}

# guest VMID NET0: a guest with this NIC, in a namespace of its own that is not connected yet
guest() {
    local pid
    guest_config "$1" </dev/null
    sed -i "s|^net0: .*|net0: name=eth0,hwaddr=$(hwaddr_of "$1"),type=veth,$2|" "$HOST/pve/lxc/$1.conf"
    [ "$2" != - ] || sed -i /^net0:/d "$HOST/pve/lxc/$1.conf"
    unshare --net sleep 86400 &
    pid=$!
    mkdir -p "$HOST/netns" "$HOST/cgroup/lxc/$1"
    echo $pid >"$HOST/netns/$1"
    echo $pid >"$HOST/cgroup/lxc/$1/cgroup.procs"
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
    in_guest "$1" ip link set lo up
}
# wire VMID NUMBER BRIDGE ADDRESS [GATEWAY]: connects its NIC, as Proxmox does
wire() {
    ip link add "veth$1i$2" type veth peer name "eth$2" netns "$(cat "$HOST/netns/$1")"
    ip link set "veth$1i$2" master "$3" up
    [ "$2" != 0 ] || in_guest "$1" ip link set eth0 address "$(hwaddr_of "$1")"
    in_guest "$1" ip link set "eth$2" up
    in_guest "$1" ip addr add "$4" dev "eth$2"
    [ -z "${5:-}" ] || in_guest "$1" ip route add default via "$5" dev "eth$2" onlink
}

# --- what is said ---
# verdict VMID: of the guest, as WORD REASON
verdict() {
    ctl guest "$1" --output-format json | jq -r '.reaches as $v | "\($v) \(first(.reach[] | select(.verdict == $v)).reason)"'
}
# said VMID MEMBER: of the same line of felhomctl guest
said() {
    ctl guest "$1" --output-format json | jq -r --arg m "$2" '.reaches as $v | first(.reach[] | select(.verdict == $v))[$m] // ""'
}
# found VMID CHECK [OPTION...]: of doctor, as RESULT REASON
found() {
    local vmid=$1 check=$2
    shift 2
    ctl doctor "$vmid" "$@" --output-format json 2>/dev/null |
        jq -r --arg id "$check" '.checks[] | select(.id == $id and (.vmid != null or $id == "firewall")) | "\(.result) \(.reason)"'
}
# has TEXT PART: without the meaning that signs have in a pattern
has() { [[ $1 == *"$2"* ]]; }
# answer VMID [CURL_OPTION...]: 200 if it reaches felhomd, 000 if not
answer() {
    local vmid=$1
    shift
    status_of "$vmid" "$(token_of "$vmid")" /storage "$@"
}

# agrees WHAT VMID VERDICT REASON [CHECK]: all say so, and it is so. CHECK: where doctor says it, and pre-start does not
agrees() {
    local what=$1 vmid=$2 verdict=$3 reason=$4 check=${5:-guest.reach} enrolled started grade
    enrolled=$(enroll "$vmid" 2>&1)
    started=$(phase "$vmid" pre-start 2>&1 >/dev/null)
    TEXT=$(said "$vmid" text)
    REMEDY=$(said "$vmid" remedy)
    is "$what: guest" "$(verdict "$vmid")" "$verdict $reason"
    if [ "$verdict" = yes ]; then
        unlike "$what: enroll does not warn" "$enrolled" '^ *warning|[[:space:]]warning +reach'
        is "$what: nor pre-start" "$started" ''
        is "$what: doctor" "$(found "$vmid" guest.reach)" "ok $TEXT"
        like "$what: doctor --probe" "$(found "$vmid" guest.probe --probe)" '^ok from inside the guest, felhomd answers at '
        is "$what: and so it is" "$(answer "$vmid")" 200
        return
    fi
    ok "$what: enroll warns" has "$enrolled" "$TEXT; to fix it: $REMEDY"
    if [ "$check" = guest.reach ]; then
        is "$what: pre-start warns, in one line" "$started" "felhom-hook: $TEXT; to fix it: $REMEDY"
        grade=error
    else
        [ "$check" = guest.nic ] || is "$what: pre-start has not looked" "$started" ''
        grade=warning
    fi
    is "$what: doctor" "$(found "$vmid" "$check")" "$grade $TEXT"
    like "$what: doctor --probe" "$(found "$vmid" guest.probe --probe)" '^error from inside the guest, felhomd does not answer: '
    is "$what: and so it is" "$(answer "$vmid" --connect-timeout 5)" 000
}
daemon_start || exit 1

# --- the bridge itself ---
guest 8200 bridge=vmbr0,ip=dhcp
wire 8200 0 vmbr0 192.168.0.20/24
agrees 'on the bridge' 8200 yes on-link
like 'felhomctl guest has a line for each NIC' "$(ctl guest 8200)" 'REACHES FELHOMD.*net0 +yes +net0 reaches felhomd \(192.168.0.162:8443\) on vmbr0'
ctl doctor 8200 --probe >/dev/null 2>&1
with=$?
ctl doctor 8200 >/dev/null 2>&1
is 'a try that succeeds changes nothing about the exit status' $with $?

# --- no NIC ---
guest 8201 -
agrees 'no NIC' 8201 no no-nic
like 'felhomctl guest has a line for it, too' "$(ctl guest 8201)" 'REACHES FELHOMD.*- +no +the guest has no NIC.*; remedy: pct set 8201 --net0'
status=0
ctl doctor 8201 --probe >/dev/null 2>&1 || status=$?
is 'and doctor ends with 4' $status 4
eval "$REMEDY"
wire 8201 0 vmbr0 192.168.0.21/24
in_guest 8201 ip link set eth0 address "$(grep -o 'hwaddr=[^,]*' "$HOST/pve/lxc/8201.conf" | cut -d= -f2)"
agrees 'no NIC, mended' 8201 yes on-link

# --- link_down ---
guest 8202 bridge=vmbr0,ip=dhcp,link_down=1
wire 8202 0 vmbr0 192.168.0.22/24
ip link set veth8202i0 down
agrees 'link down' 8202 no link-down
eval "$REMEDY"
ip link set veth8202i0 up
agrees 'link down, mended' 8202 yes on-link

# --- a bridge that this host does not have ---
guest 8203 bridge=vnet7,ip=dhcp
agrees 'no such bridge' 8203 no bridge-missing
eval "$REMEDY"
wire 8203 0 vmbr0 192.168.0.23/24
agrees 'no such bridge, mended' 8203 yes on-link

# --- a bridge that is down, and one where the host has no address ---
ip link add vmbr2 type bridge
guest 8204 bridge=vmbr2,ip=dhcp
wire 8204 0 vmbr2 192.168.0.24/24
agrees 'a bridge that is down' 8204 no bridge-down
eval "$REMEDY"
agrees 'a bridge without an address' 8204 no no-address
eval "$REMEDY"
in_guest 8204 ip addr flush dev eth0
wire 8204 1 vmbr0 192.168.0.24/24
agrees 'a second NIC mends that' 8204 yes on-link
is 'each NIC has its line' "$(ctl guest 8204 --output-format json | jq -c '[.reach[] | .nic, .verdict]')" '["net0","no","net1","yes"]'

# --- behind the host's NAT ---
ip link add vmbr1 type bridge
ip addr add 10.10.10.1/24 dev vmbr1
ip link set vmbr1 up
guest 8205 bridge=vmbr1,ip=10.10.10.7/24
wire 8205 0 vmbr1 10.10.10.7/24
guest 8206 bridge=vmbr1,ip=10.10.10.8/24,gw=10.10.10.1
wire 8206 0 vmbr1 10.10.10.8/24 10.10.10.1
agrees 'behind NAT' 8206 no not-allowed
eval "$REMEDY"
agrees 'behind NAT, allowed' 8206 yes by-host
agrees 'behind NAT, without a gateway' 8205 no no-gateway
eval "$REMEDY"
in_guest 8205 ip route add default via 10.10.10.1
agrees 'behind NAT, with a gateway' 8205 yes by-host
agrees 'and on the bridge itself' 8200 yes on-link

# --- VLANs, on a bridge that knows none: Proxmox makes a bridge for each ---
for vlan in 20 30; do
    ip link add vmbr0v$vlan type bridge
    ip link set vmbr0v$vlan up
done
ip addr add 10.20.0.1/24 dev vmbr0v20
guest 8207 bridge=vmbr0,tag=20,ip=10.20.0.7/24,gw=10.20.0.1
wire 8207 0 vmbr0v20 10.20.0.7/24 10.20.0.1
agrees 'a VLAN in which the host has an address' 8207 no not-allowed
eval "$REMEDY"
agrees 'a VLAN, allowed' 8207 yes by-host
guest 8208 bridge=vmbr0,tag=30,ip=dhcp
wire 8208 0 vmbr0v30 10.30.0.8/24
agrees 'a VLAN in which the host has none' 8208 no no-vlan-address
eval "$REMEDY"
wire 8208 1 vmbr0 192.168.0.28/24
agrees 'a second NIC mends that, too' 8208 yes on-link
guest 8209 bridge=vmbr0,tag=40,ip=dhcp
agrees 'a VLAN of which there is no bridge' 8209 no no-vlan-address
vlan_aware() {
    ip addr add 10.50.0.1/24 dev vmbr5.50
    ip link set vmbr5 up
    ip link set vmbr5.50 up
    bridge vlan add dev vmbr5 vid 50 self
    guest 8220 bridge=vmbr5,tag=50,ip=10.50.0.7/24,gw=10.50.0.1
    wire 8220 0 vmbr5 10.50.0.7/24 10.50.0.1
    bridge vlan add dev veth8220i0 vid 50 pvid untagged
    agrees 'a VLAN of a bridge that knows VLANs' 8220 no not-allowed
    eval "$REMEDY"
    agrees 'the same, allowed' 8220 yes by-host
    ip link set vmbr5.50 down
    ip link set vmbr5.50 name fifty
    ip link set fifty up
    agrees 'the same, with another name' 8220 yes by-host
    guest 8221 bridge=vmbr5,tag=60,ip=dhcp
    wire 8221 0 vmbr5 10.60.0.7/24
    bridge vlan add dev veth8221i0 vid 60 pvid untagged
    agrees 'a VLAN of which the host has no device' 8221 no no-vlan-address
}
if ip link add vmbr5 type bridge vlan_filtering 1 2>/dev/null && ip link add link vmbr5 name vmbr5.50 type vlan id 50 2>/dev/null; then
    vlan_aware
else
    skip 'a bridge that knows VLANs' 'NOT TESTED: this kernel lacks 8021q or vlan_filtering; make check-vm has one that does not'
fi

# --- an allow without the guest ---
agent_yaml <<<"local_api: {allow: [192.168.1.0/24, 192.168.0.20/32]}"$'\n'"$LIMITS"
reload
guest 8210 bridge=vmbr0,ip=192.168.0.30/24
wire 8210 0 vmbr0 192.168.0.30/24
agrees 'an allow without the guest' 8210 no not-allowed
eval "$REMEDY"
agrees 'an allow with it' 8210 yes on-link
agent_yaml <<<"$LIMITS"
reload

# --- IPv6 alone ---
guest 8211 bridge=vmbr0,ip6=auto
wire 8211 0 vmbr0 2001:db8::11/64
agrees 'IPv6 alone' 8211 no other-family
eval "$REMEDY"
in_guest 8211 ip addr add 192.168.0.31/24 dev eth0
agrees 'IPv6 alone, mended' 8211 yes on-link

# --- the host's answers go another way ---
guest 8212 bridge=vmbr1,ip=192.168.0.32/24
wire 8212 0 vmbr1 192.168.0.32/24
agrees 'an address of another bridge' 8212 no no-route
eval "$REMEDY"
agrees 'an address of another bridge, with a route' 8212 yes by-host

# --- the same hardware address ---
guest 8213 bridge=vmbr0,ip=dhcp
wire 8213 0 vmbr0 192.168.0.33/24
guest 8214 bridge=vmbr0,ip=dhcp
wire 8214 0 vmbr0 192.168.0.34/24
sed -i "s/$(hwaddr_of 8214)/$(hwaddr_of 8213)/" "$HOST/pve/lxc/8214.conf"
in_guest 8214 ip link set eth0 address "$(hwaddr_of 8213)"
enroll 8213 >/dev/null
enroll 8214 >/dev/null
phase 8213 pre-start >/dev/null 2>&1
agrees 'the same hardware address' 8214 no same-hwaddr guest.nic
like 'pre-start says that, too' "$(phase 8214 pre-start 2>&1)" 'felhom-hook: net0 has the address .* that guest 8213 has as well.*; to fix it: pct set 8214'
eval "$REMEDY"
in_guest 8214 ip link set eth0 address "$(grep -o 'hwaddr=[^,]*' "$HOST/pve/lxc/8214.conf" | cut -d= -f2)"
agrees 'the same hardware address, mended' 8214 yes on-link

# --- Proxmox's firewall: here it is written, and not in force ---
printf '[OPTIONS]\nenable: 1\n' >"$HOST/pve/firewall/cluster.fw"
is "the host's firewall: guest" "$(verdict 8200)" 'no host-firewall'
TEXT=$(said 8200 text) REMEDY=$(said 8200 remedy)
ok "the host's firewall: enroll" has "$(enroll 8200)" "$TEXT; to fix it: felhomctl firewall"
is "the host's firewall: doctor says it of the host" "$(found 8200 firewall)|$(found 8200 guest.reach)" "warning $TEXT|"
eval "$REMEDY --output-format json" | jq -r .host_rules >"$HOST/pve/local/host.fw"
is "the rules that felhomctl firewall prints mend it" "$(verdict 8200)|$(found 8200 firewall | cut -d' ' -f1)" 'yes on-link|ok'
printf '[OPTIONS]\nenable: 1\npolicy_out: DROP\n' >"$HOST/pve/firewall/8200.fw"
is "the guest's firewall, without firewall=1" "$(verdict 8200)" 'yes on-link'
sed -i '/^net0:/s/$/,firewall=1/' "$HOST/pve/lxc/8200.conf"
is "the guest's firewall" "$(verdict 8200)" 'no guest-firewall'
is "the guest's firewall: doctor" "$(found 8200 guest.reach)" "error $(said 8200 text)"
like "the guest's firewall: remedy" "$(said 8200 remedy)" '^pvesh create /nodes/localhost/lxc/8200/firewall/rules --type out --action ACCEPT --proto tcp --dport 8443'
printf '[RULES]\nOUT ACCEPT -p tcp -dport 8443\n' >>"$HOST/pve/firewall/8200.fw"
is "the guest's firewall, with such a rule" "$(verdict 8200)" 'yes on-link'
rm "$HOST/pve/firewall/cluster.fw"

# --- what is tried, and what cannot be ---
mkdir -p "$HOST/cgroup/qemu.slice/8300.scope"
printf 'net0: virtio=%s,bridge=vmbr0\nscsi0: local-lvm:vm-8300-disk-0\nname: vm\n' "$(hwaddr_of 8300)" >"$HOST/pve/qemu-server/8300.conf"
enroll 8300 >/dev/null
is 'a virtual machine is not entered' "$(found 8300 guest.probe --probe)" "ok not tried: a virtual machine's network cannot be entered from here"
is 'but judged' "$(found 8300 guest.reach --probe)" 'ok net0 reaches felhomd (192.168.0.162:8443) on vmbr0'
is 'without --probe nothing is said of it' "$(found 8300 guest.probe)" ''
mv "$HOST/cgroup/lxc/8200" "$HOST/cgroup/8200"
is 'a guest that does not run' "$(found 8200 guest.probe --probe)" 'ok not tried: the guest is not running'
mkdir "$HOST/cgroup/lxc/8200"
is 'a guest without a process' "$(found 8200 guest.probe --probe)" "warning not tried: no init of it is found below $HOST/cgroup/lxc/8200"
rmdir "$HOST/cgroup/lxc/8200"
mv "$HOST/cgroup/8200" "$HOST/cgroup/lxc/8200"
in_guest 8200 ip link set eth0 down
is 'a fault inside the guest: the host knows nothing of it' "$(found 8200 guest.reach --probe | cut -d' ' -f1)" ok
like 'but it is seen by trying' "$(found 8200 guest.probe --probe)" '^error from inside the guest, felhomd does not answer: 192.168.0.162:8443: no connection: '
in_guest 8200 ip link set eth0 up
# A NIC of a kind that the host cannot judge
guest 8215 -
printf 'lxc.net.0.type: macvlan\nlxc.net.0.link: vmbr0\n' >>"$HOST/pve/lxc/8215.conf"
wire 8215 0 vmbr0 192.168.0.35/24
enroll 8215 >/dev/null
phase 8215 pre-start >/dev/null 2>&1
is 'a NIC that the host cannot judge: guest' "$(verdict 8215)" 'unknown other-kind'
like 'a NIC that the host cannot judge: doctor' "$(found 8215 guest.reach)" '^warning lxc.net.0 is on no bridge'
is 'its remedy is to try' "$(said 8215 remedy)" 'felhomctl doctor --probe 8215'
like 'which says that it is good' "$(eval "$(said 8215 remedy)" 2>/dev/null)" 'ok +guest.probe +from inside .*ok +guest.reach +the guest has just reached felhomd, though lxc.net.0'

# Only a process of docker's is found in the cgroup, in a network and a namespace of processes of its own: its ancestor
# is the guest's init.
guest 8217 bridge=vmbr0,ip=dhcp
unshare --net --pid --fork bash -c 'unshare --net --pid --fork sleep 86400 & exec sleep 86400' &
outer=$!
child_of() { cat "/proc/$1/task/$1/children" 2>/dev/null; }
# nested: the namespaces are there, and so is their innermost process
nested() {
    init=$(child_of $outer)
    init=${init%% *}
    inner=$(child_of "$(child_of "$init" | tr -d ' ')" | tr -d ' ')
    [ -n "$init" ] && [ -n "$inner" ] && [ "$(cat "/proc/$inner/comm")" = sleep ]
}
eventually nested
echo "$init" >"$HOST/netns/8217"
echo "$inner" >"$HOST/cgroup/lxc/8217/cgroup.procs"
in_guest 8217 ip link set lo up
wire 8217 0 vmbr0 192.168.0.37/24
agrees 'a guest in which docker runs' 8217 yes on-link

# --- strangers, of whom only the events say what they may be ---
strangers() { sql "SELECT count(*) FROM event WHERE detail LIKE 'stranger: $1%'" | grep -qv '^0$'; }
guest 8218 bridge=vmbr0,ip=dhcp
wire 8218 0 vmbr0 192.168.0.38/24
in_guest 8218 curl -sk -o /dev/null --max-time 30 "https://$ENDPOINT/healthz"
ok 'a guest that is not enrolled' eventually strangers 'connection; to let it in: felhomctl enroll 8218'
guest 8219 bridge=vmbr0,ip=dhcp
wire 8219 0 vmbr0 192.168.0.39/24
ip link set veth8219i0 down
ip link set veth8219i0 name other
ip link set other up
in_guest 8219 curl -sk -o /dev/null --max-time 30 "https://$ENDPOINT/healthz"
ok 'a machine without a port' eventually strangers 'connection; a guest not enrolled, macvlan or VRRP inside one'

# --- the words of the verb ---
like 'doctor --help has --probe' "$(ctl doctor --help)" '  --probe +connect to felhomd from inside'

# --- a bridge with a single address, and guests routed behind it ---
daemon_stop
ip addr flush dev vmbr0
ip addr add 203.0.113.10/32 dev vmbr0
ip route add 203.0.113.20/32 dev vmbr0
ADDRESS=203.0.113.10 ENDPOINT=203.0.113.10:$PORT
ctl init >/dev/null 2>&1
daemon_start || exit 1
guest 8216 bridge=vmbr0,ip=203.0.113.20/32,gw=203.0.113.10
wire 8216 0 vmbr0 203.0.113.20/32 203.0.113.10
agrees 'routed behind a /32' 8216 no host-alone
eval "$REMEDY"
agrees 'routed behind a /32, allowed' 8216 yes on-link
ip route del 203.0.113.20/32 dev vmbr0
agrees 'routed behind a /32, without the route' 8216 no no-route
eval "$REMEDY"
agrees 'routed behind a /32, with the route' 8216 yes on-link
like 'a guest that was told another address' "$(found 8200 guest.probe --probe)" \
    '^error from inside the guest, felhomd is not where the guest was told; it is at 203.0.113.10:8443 now: 192.168.0.162:8443: '

# --- a host with IPv6 only ---
daemon_stop
ip addr flush dev vmbr0
ip addr add 2001:db8::1/64 dev vmbr0
is 'a host with IPv6 only: guest' "$(verdict 8216)" 'no no-listener'
TEXT=$(said 8216 text)
is 'a host with IPv6 only: the words' "$TEXT" \
    'felhomd has no address to listen on: bridge vmbr0 has no IPv4 address: set local_api.bridge or local_api.listen in agent.yaml'
ok 'a host with IPv6 only: enroll' has "$(enroll 8216)" "$TEXT"
ok 'a host with IPv6 only: pre-start' has "$(phase 8216 pre-start 2>&1)" "felhom-hook: $TEXT"
is 'a host with IPv6 only: doctor says it of the host' "$(found 8216 guest.reach)|$(ctl doctor 8216 --output-format json |
    jq -r '.checks[] | select(.id == "endpoint") | .result')" '|error'
tap_done
