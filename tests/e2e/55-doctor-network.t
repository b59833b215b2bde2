#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomctl doctor on what lets guests be told apart, and lets them through: the kernel's settings, and guests that have
# no port of a known name.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
ctl init >/dev/null 2>&1
for vmid in 8200 8300; do
    guest_config $vmid <<<'hookscript: local:snippets/felhom-hook'
    phase $vmid pre-start >/dev/null 2>&1
done
mkdir -p "$HOST/cgroup/lxc/8200" "$HOST/pve/firewall"
# found ID [VMID]: what doctor says of it, as RESULT REASON / REMEDY
found() {
    ctl doctor --output-format json 2>/dev/null | jq -r --arg id "$1" --argjson vmid "${2:-null}" \
        '.checks[] | select(.id == $id and .vmid == $vmid) | "\(.result) \(.reason) / \(.remedy)"'
}

# --- the neighbour table: its size is set for all namespaces together, so that this one has no such file ---
mkdir -p "$HOST/neigh/default"
mount --bind "$HOST/neigh" /proc/sys/net/ipv4/neigh
is "a kernel that does not say how many neighbours it remembers is not judged" "$(found neighbours)" ''
echo 1024 >"$HOST/neigh/default/gc_thresh3"
like "a table that one guest can fill is named, with the remedy" "$(found neighbours)" \
    '^warning .*1024 addresses.* / echo net.ipv4.neigh.default.gc_thresh3=16384 >>/etc/sysctl.d/felhom-agent.conf && sysctl -p'
echo 16384 >"$HOST/neigh/default/gc_thresh3"
like "a bigger one is good" "$(found neighbours)" '^ok .*16384'

# --- rp_filter ---
is "rp_filter=0 is nobody's trouble" "$(found rp_filter)" ''
ip link add fwbr8200i0 type bridge
echo 0 >/proc/sys/net/ipv4/conf/fwbr8200i0/rp_filter
like "until there is a bridge of Proxmox's firewall: it is named, with the remedy" "$(found rp_filter)" \
    '^warning .*fwbr8200i0.* / echo net.ipv4.conf.all.rp_filter=2 >>/etc/sysctl.d/felhom-agent.conf && sysctl -p'
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
is "rp_filter=2 mends it" "$(found rp_filter)" ''

# --- felhomd's own sight ---
is "what does not run has no sight" "$(found ports)" ''
daemon_start
like "felhomd sees the ports" "$(found ports)" '^ok felhomd sees through which port'
daemon_stop
felhomd=$BIN/felhomd
BIN=$HOST/bin
mkdir "$BIN"
printf '#!/bin/bash\nexec setpriv --bounding-set=-net_raw --inh-caps=-net_raw %s\n' "$felhomd" >"$BIN/felhomd"
chmod +x "$BIN/felhomd"
daemon_start
BIN=${felhomd%/felhomd}
like "felhomd that has no packet socket is named, with the remedy" "$(found ports)" \
    '^warning felhomd has no packet socket.* MACs alone.* / systemctl restart felhomd$'
agent_yaml <<<'local_api: {source_binding: off}'
is "it needs none where it does not look where a connection comes from" "$(found ports)" ''
agent_yaml </dev/null
daemon_stop

# --- guests without a port ---
like "a running guest without a port is named, with the remedy, while Proxmox's firewall is off" "$(found guest.port 8200)" \
    '^warning net0 has no port .*firewall.* is off.* / pvesh set /cluster/firewall/options --enable 1$'
like "and says what has to be done before that, as the firewall drops what no rule allows" "$(found guest.port 8200)" \
    'once it is on, it drops what no rule allows, so first add the rules that felhomctl firewall prints.* / '
is "one that does not run is not" "$(found guest.port 8300)" ''
printf '[OPTIONS]\nenable: 1\n' >"$HOST/pve/firewall/cluster.fw"
like "with the firewall on, a guest that could take its MAC is" "$(found guest.port 8200)" \
    '^warning net0 .*guest 8300 can take.* / pvesh set /nodes/localhost/lxc/8300/firewall/options --enable 1 --macfilter 1$'
printf '[OPTIONS]\nenable: 1\n' >"$HOST/pve/firewall/8300.fw"
like "also where its NIC lacks firewall=1" "$(found guest.port 8200)" '^warning net0 .*guest 8300 can take.* / pct set 8300 --net0 .*firewall=1'
sed -i 's/type=veth/type=veth,firewall=1/' "$HOST/pve/lxc/8300.conf"
like "where nobody can take it, all is well" "$(found guest.port 8200)" '^ok net0 is known by its MAC'
printf '[OPTIONS]\nenable: 1\nmacfilter: 0\n' >"$HOST/pve/firewall/8300.fw"
like "unless the filter is off" "$(found guest.port 8200)" '^warning net0 .*guest 8300'
ip link add veth8200i0 type veth peer name other
is "a guest with a port needs none of that" "$(found guest.port 8200)" ''
tap_done
