#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Guests and strangers pretend to be guest 8200, with its token and without: none of them is answered as 8200, and
# 8200 is served as ever. Who somebody is does not rest on what he says of himself: not in ARP, not in his frames.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
TRIES=${TRIES:-20}
BEHIND=203.0.113.7
GATEWAY=192.168.0.1
# settings BINDING: limits that nobody meets, so that each try is answered for what it is
settings() {
    agent_yaml <<END
local_api: {source_binding: $1, allow: [192.168.0.0/24, 203.0.113.0/24]}
limits: {requests_per_source: 100000, failures_per_source: 100000, connections_per_source: 64}
END
}
# firewalled VMID: wires the guest's NIC as Proxmox does where its firewall is on
firewalled() {
    ip link add "fwbr$1i0" type bridge
    ip link add "fwln$1i0" type veth peer name "fwpr$1p0"
    ip link set "veth$1i0" master "fwbr$1i0"
    ip link set "fwln$1i0" master "fwbr$1i0" up
    ip link set "fwpr$1p0" master vmbr0 up
    ip link set "fwbr$1i0" up
}
settings auto
ctl init >/dev/null
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
    phase $vmid pre-start >/dev/null 2>&1
done
world_guest 8200 20
world_guest 8300 30
world_guest 8999 40 # enrolled nowhere
firewalled 8200
firewalled 8999
PIN=$(pin_of 8200)
ip route add 203.0.113.0/24 via $GATEWAY dev vmbr0

# lie VMID LAST_BYTE KIND TOKEN_FILE: prints how often it got what
lie() {
    local victim
    victim=$(hwaddr_of 8200)/192.168.0.20
    [ "$3" != routed ] || victim=$GATEWAY/$BEHIND
    in_guest "$1" tests/lib/impostor "$ENDPOINT" "$3" "$TRIES" "$(hwaddr_of "$1")/192.168.0.$2" "$victim" <"$4" 2>&1
}
# served COUNT: so many requests of 8200's own, in a while
served() {
    local pollers
    echo "- $(token_of 8200)" >"$HOST/self"
    pollers=$(in_guest 8200 tests/lib/pollers "$ENDPOINT" /storage "$1" 0.01 <"$HOST/self" 2>&1)
    echo "$pollers"
}
kinds=(plain arp mac both late syn routed)
nft -f - <<<'table netdev try { chain out { type filter hook egress device lo priority 0; }; }' 2>/dev/null &&
    nft delete table netdev try || kinds=(plain arp mac both late routed)

daemon_start || exit 1
for binding in auto require; do
    settings $binding
    reload
    is "$binding: guest 8200 is served" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
    for attacker in '8300 30' '8999 40'; do
        read -r vmid byte <<<"$attacker"
        for kind in "${kinds[@]}"; do
            for token in "$(token_of 8200)" /dev/null; do
                served 50 >"$HOST/served" &
                victim=$!
                got=$(lie "$vmid" "$byte" "$kind" "$token")
                wait $victim
                what="$binding, guest $vmid, $kind, $([ "$token" = /dev/null ] && echo 'no token' || echo 'token of 8200')"
                is "$what: never answered" "$(jq -c 'del(."401", ."403", .closed, .lost)' <<<"$got" 2>&1)" '{}' || diag "$got"
                is "$what: 8200 is served meanwhile" "$(cat "$HOST/served")" '50 200'
                diag "$what: $got"
            done
        done
    done
    is "$binding: nothing was refused in 8200's name" \
        "$(sql "SELECT source, detail FROM event WHERE kind = 'refused' AND (source LIKE 'guest 8200(%' OR source LIKE '$(hwaddr_of 8200)%')")" ''
done

# --- a connection that outlives its guest's enrolment ---
settings auto
reload
cat >"$HOST/kept.py" <<'END'
import http.client, ssl, sys
host, port = sys.argv[1].split(":")
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=600)
for line in sys.stdin:
    connection.request("GET", "/storage", headers={"Authorization": "Bearer " + line.strip()})
    reply = connection.getresponse()
    reply.read()
    print(reply.status, reply.getheader("Connection"), flush=True)
END
mkfifo "$HOST/tokens"
in_guest 8300 python3 "$HOST/kept.py" "$ENDPOINT" <"$HOST/tokens" >"$HOST/kept" 2>&1 &
exec 7>"$HOST/tokens"
kept() { [ "$(wc -l <"$HOST/kept")" -ge "$1" ]; }
cat "$(token_of 8300)" >&7
eventually kept 1
ctl unenroll 8300 >/dev/null
cat "$(token_of 8200)" >&7
eventually kept 2
exec 7>&-
is "on a connection of 8300, which is enrolled no more, 8200's token is refused, and the connection closed" \
    "$(xargs <"$HOST/kept")" '200 keep-alive 403 close'
ok "felhomd stops cleanly" daemon_stop
tap_done
