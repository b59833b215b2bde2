#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest floods the host with SYNs, from its own address, from another guest's, and from all: the others' new
# connections are accepted and known for what they are, also where the kernel answers by SYN cookies.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
agent_yaml <<<'limits: {requests_per_source: 100000, connections_per_source: 64}'
ctl init >/dev/null
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
    phase $vmid pre-start >/dev/null 2>&1
done
world_guest 8200 20
world_guest 8300 30
PIN=$(pin_of 8200)
daemon_start || exit 1
# Each of 8200's requests is on a connection of its own.
asks() {
    for _ in $(seq 25); do
        status_of 8200 "$(token_of 8200)" /storage
        echo
    done | grep . | sort | uniq -c | xargs
}
cookies() { awk '/^TcpExt: [0-9]/ { print $2 } ' /proc/net/netstat; }
for source in 192.168.0.30 192.168.0.20 any; do
    in_guest 8300 tests/lib/syn-flood "$ENDPOINT" $source 4000 24000 >"$HOST/flood" 2>&1 &
    flood=$!
    is "a flood from $source: 8200's new connections are served" "$(asks)" '25 200'
    wait $flood
    diag "$(cat "$HOST/flood") $(cookies) cookies"
done
echo 2 >/proc/sys/net/ipv4/tcp_syncookies
is "with cookies for everybody 8200's new connections are served" "$(asks)" '25 200'
is "and 8300 is not 8200 by them" "$(status_of 8300 "$(token_of 8200)" /storage)" 403
ok "cookies were sent" test "$(cookies)" -gt 25
is "nothing was refused in 8200's name" "$(sql "SELECT source, detail FROM event WHERE kind = 'refused' AND source LIKE 'guest 8200(%'")" ''
ok "felhomd stops cleanly" daemon_stop
tap_done
