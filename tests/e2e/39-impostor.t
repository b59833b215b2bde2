#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Guests and strangers pretend to be guest 8200, with its token and without: none of them is answered as 8200, and
# 8200 is served as ever. Who somebody is does not rest on what he says of himself: not in ARP, not in his frames.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
TRIES=${TRIES:-$(rounds 16 | wc -l)} # of each lie; `TRIES=200 make e2e T=39` takes some minutes
# settings BINDING: limits that nobody meets, so that each try is answered for what it is; who takes 8200's MAC gets
# frames to it for a while, and its handshakes may take longer
settings() {
    agent_yaml <<END
local_api: {source_binding: $1, allow: [192.168.0.0/24, 203.0.113.0/24]}
limits: {requests_per_source: 100000, failures_per_source: 100000, connections_per_source: 64, handshake: 1m}
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
world_guest 9000 50 # a machine on the network behind a physical port
ip link set veth9000i0 down
ip link set veth9000i0 name eno1
ip link set eno1 up
PIN=$(pin_of 8200)
for byte in 30 40 50; do ip route add 203.0.113.$byte/32 via 192.168.0.1$byte dev vmbr0; done

can_filter=yes
kinds=plain,arp,mac,both,late,interleave,syn,overflow,routed
nft -f - <<<'table netdev try { chain out { type filter hook egress device lo priority 0; }; }' 2>/dev/null &&
    nft delete table netdev try || { can_filter=no && kinds=plain,arp,mac,late,interleave,overflow,routed; }

# lies VMID LAST_BYTE TOKEN_FILE: how often it got what, for each kind, is in $HOST/lies.VMID then
lies() {
    in_guest "$1" tests/lib/impostor "$ENDPOINT" "$kinds" "$TRIES" "$(hwaddr_of "$1")/192.168.0.$2" \
        "$(hwaddr_of 8200)/192.168.0.20" "192.168.0.1$2" "203.0.113.$2" <"$3" >"$HOST/lies.$1" 2>&1
}
# 8200 asks all the while, and writes down what it gets. On a machine that is too busy to look at the attackers' thousands
# of frames, felhomd closes a connection that it has lost sight of; whoever asks tries again then.
asks_on() {
    while [ ! -e "$HOST/enough" ]; do
        in_guest 8200 tests/lib/pollers "$ENDPOINT" /storage 25 0.01 3 <"$HOST/self" 2>>"$HOST/again"
    done
}
echo "- $(token_of 8200)" >"$HOST/self"
# 8200 sends frames of its own, as any guest does. From one that waits in silence for an answer, the bridge learns nothing:
# it goes on giving what is for 8200 to whoever has used its MAC last.
speaks_on() {
    in_guest 8200 bash -c "until [ -e '$HOST/enough' ]; do echo >/dev/udp/$ADDRESS/9; sleep 0.1; done"
}
# attacked WHAT: by all the lies of all the attackers, who lie at the same time
attacked() {
    local name vmid byte token what got liars victim
    rm -f "$HOST/enough"
    asks_on >"$HOST/asked" 2>&1 &
    victim=($!)
    speaks_on >/dev/null 2>&1 &
    victim+=($!)
    for token in "$(token_of 8200)" /dev/null; do
        liars=()
        while read -r name vmid byte; do
            lies "$vmid" "$byte" "$token" &
            liars+=($!)
        done <<<"$attackers"
        wait "${liars[@]}"
        while read -r name vmid byte; do
            what="$1, $name, $([ "$token" = /dev/null ] && echo 'no token' || echo 'token of 8200')"
            got=$(cat "$HOST/lies.$vmid")
            is "$what: never answered" \
                "$(jq -c '.[] | del(."401", ."403", .closed, .lost)' <<<"$got" 2>&1 | sort -u)" '{}' || diag "$got"
            # A lie that nobody has looked at proves nothing. Of those who want the same MAC one may get all the answers.
            is "$what: what needs nobody else's MAC was looked at" \
                "$(jq -r 'to_entries[] | select(.key == ("plain", "syn", "overflow") and .value.lost) | .key' <<<"$got")" ""
            diag "$what: $(jq -sc add <<<"$got")"
        done <<<"$attackers"
    done
    touch "$HOST/enough"
    wait "${victim[@]}"
    is "$1: 8200 was served all the while" "$(awk '{ print $2 }' "$HOST/asked" | sort -u)" 200
    diag "$(awk '{ sum += $1 } END { print sum }' "$HOST/asked") requests of 8200, $(grep -c 'tried again' "$HOST/again") tried again"
}
attackers='enrolled 8300 30
not-enrolled 8999 40
stranger 9000 50'

daemon_start || exit 1
for binding in auto require; do
    settings $binding
    reload
    is "$binding: guest 8200 is served" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
    attacked $binding
done
settings auto
reload
echo 2 >/proc/sys/net/ipv4/tcp_syncookies
kinds=plain,mac,late,overflow
attackers='enrolled 8300 30'
attacked 'auto with SYN cookies'
echo 1 >/proc/sys/net/ipv4/tcp_syncookies
is "nothing was refused in 8200's name" \
    "$(sql "SELECT source, detail FROM event WHERE kind = 'refused' AND (source LIKE 'guest 8200(%' OR source LIKE '$(hwaddr_of 8200)%')")" ''

# --- connections of 8200's that 8300 takes over before 8200 has said anything, or after its first byte ---
# The host's answer to the SYN comes to 8300, which goes on; 8200 begins again and again.
if [ $can_filter = yes ]; then
    rm -f "$HOST/enough"
    echo 0.1 >"$HOST/patience"
    while [ ! -e "$HOST/enough" ]; do
        in_guest 8200 curl -sk -o /dev/null --connect-timeout "$(cat "$HOST/patience")" --max-time 1 "https://$ENDPOINT/healthz"
    done &
    victim=($!)
    for said in 0 1; do
        for token in "$(token_of 8200)" /dev/null; do
            got=$(in_guest 8300 tests/lib/hijacker "$ENDPOINT" $(((TRIES + 1) / 2)) "$(hwaddr_of 8300)/192.168.0.30" \
                "$(hwaddr_of 8200)/192.168.0.20" $said <"$token" 2>&1)
            what="whoever goes on with 8200's connections after $said bytes"
            what+=", $([ "$token" = /dev/null ] && echo without || echo with) its token"
            is "$what, is not 8200" "$(jq -c 'del(.closed, .lost)' <<<"$got" 2>&1)" '{}' || diag "$got"
            ok "$what: was looked at" jq -e '.closed > 0' <<<"$got"
            diag "$got"
        done
        echo 0.9 >"$HOST/patience" # the byte for a window of 1 comes after a fifth of a second
    done
    touch "$HOST/enough"
    wait "${victim[@]}"
    ip neigh flush dev vmbr0
else
    skip "connections that 8300 takes over" "no packet filter here"
fi

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
