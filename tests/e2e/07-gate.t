#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which clients get as far as the TLS handshake: allow list, source binding, connections and failures per source.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
phase 8200 pre-start >/dev/null 2>&1
phase 8300 pre-start >/dev/null 2>&1
world_guest 8200 200
world_guest 8300 201
world_guest 8999 202 # on the bridge, but enrolled nowhere
PIN=$(pin_of 8200)
ok "felhomd starts" daemon_start

reach() { in_guest "$1" curl -sk -o /dev/null --max-time 120 -w '%{http_code}' "${@:2}" "https://$ENDPOINT/healthz"; }

is "an enrolled guest is admitted" "$(reach 8200)" 200
is "an unknown MAC's connection is closed before the handshake" "$(reach 8999)" 000
like "an event records the unknown MAC" "$(sql "SELECT detail || source FROM event WHERE kind = 'refused'")" 'stranger'
# A NIC of lxc.net.N.* lines, whose device on the host has no name of Proxmox's.
guest_config 8400 < <(printf 'lxc.net.0.%s\n' 'type: veth' 'link: vmbr0' "hwaddr: '$(hwaddr_of 8400)'")
sed -i '/^net0/d' "$HOST/pve/lxc/8400.conf"
phase 8400 pre-start >/dev/null 2>&1
world_guest 8400 203
ip link set veth8400i0 down && ip link set veth8400i0 name vethX4f2Pq up
is "a guest is known by a NIC of raw lines" "$(reach 8400)" 200
is "... and answered as itself" "$(request 8400 "$(token_of 8400)" /storage | head -n 1 | jq .data.vmid)" 8400
is "the host itself is admitted" "$(curl -sk -o /dev/null -w '%{http_code}' "https://$ENDPOINT/healthz")" 200
is "a guest's token from the host's own address is accepted" \
    "$(curl -sk -o /dev/null -w '%{http_code}' -H "@$(header_file "$(token_of 8200)")" "https://$ENDPOINT/storage")" 200

# A guest with another guest's address still counts as itself.
in_guest 8300 ip addr add 192.168.0.250/32 dev eth0
is "a guest's second address counts as the same source" "$(reach 8300 --interface 192.168.0.250)" 200

in_guest 8200 ip addr add 10.9.9.9/24 dev eth0
in_guest 8200 ip route add default via $ADDRESS
ip route add 10.9.9.0/24 dev vmbr0
is "a connection from outside the bridge's subnet is closed" "$(reach 8200 --interface 10.9.9.9)" 000
like "an event records the address outside the subnet" \
    "$(sql "SELECT detail || source FROM event WHERE kind = 'refused'")" 'not allowed'

agent_yaml <<'EOF'
local_api: {source_binding: off, allow: [192.168.0.0/24, 10.9.9.0/24]}
limits: {connections_per_source: 4, handshake: 1h}
EOF
reload
is "SIGHUP: source binding off admits the unknown MAC" "$(reach 8999)" 200
is "SIGHUP: the wider allow list is applied" "$(reach 8200 --interface 10.9.9.9)" 200

# Connections per source.
# hold COUNT: opens that many silent connections of guest 8300, until `release`
hold() {
    rm -f "$HOST/held"
    in_guest 8300 bash -c "for _ in \$(seq $1); do exec {fd}<>/dev/tcp/$ADDRESS/$PORT; done; echo held; read -r" \
        <"$HOST/release" >"$HOST/held" &
    exec 7>"$HOST/release"
    eventually grep -q held "$HOST/held"
}
release() {
    exec 7>&-
    wait $!
}
mkfifo "$HOST/release"
reaches() { [ "$(reach "$1")" = "$2" ]; }
hold 6
is "a source at its connection limit is refused" "$(reach 8300)" 000
is "another source is not refused meanwhile" "$(reach 8200)" 200
release
ok "a source is admitted again after its connections have ended" eventually reaches 8300 200

# Requests per source: one a second with a burst of 2. On a machine that takes over a second for each, no limit is seen.
rules() {
    agent_yaml <<<"local_api: {source_binding: off, allow: [192.168.0.0/24, 10.9.9.0/24]}
limits: {$1}"
    reload
}
rules 'requests_per_source: 1'
codes=$(in_guest 8300 curl -sk -D "$HOST/heads" -o /dev/null -w '%{http_code} ' --max-time 600 \
    "https://$ENDPOINT/healthz?[1-100]")
like "a burst of requests within the limit is answered" "$codes" '^(200 ){2}'
like "too many requests give 429" "$codes" '429'
like "429 has Retry-After" "$(tr -d '\r' <"$HOST/heads")" 'Retry-After: [0-9]+'
is "another guest is not affected by the request limit" "$(reach 8200)" 200
ok "the limited guest is admitted again after a while" eventually reaches 8300 200

# Failed authentications per source: one a minute; after that a valid token is good still.
rules 'failures_per_source: 1'
in_guest 8300 curl -sk -o /dev/null "https://$ENDPOINT/storage"
is "too many failed authentications give 429" "$(status_of 8300 - /storage)" 429
ok "429 closes the connection" grep -qi '^connection: close' \
    <(in_guest 8300 curl -ski "https://$ENDPOINT/storage" | tr -d '\r')
is "a good token is not refused for them" "$(status_of 8300 "$(token_of 8300)" /storage)" 200
is "another guest is not affected by the failure limit" "$(status_of 8200 "$(token_of 8200)" /storage)" 200

# Limits above one, each for a source that has used up nothing before. The slower the machine, the more requests a
# limit allows in the time that they take.
# until_limited PATH GUEST [OPTION...]: sets codes to the statuses of requests until one is 429, and took to an upper
# bound of the seconds that this took
until_limited() {
    local start
    start=$(date +%s)
    codes=
    eventually limited "$@"
    took=$(($(date +%s) - start + 1))
}
limited() {
    codes+=$(in_guest "$2" curl "${@:3}" -sk -o /dev/null -w '%{http_code} ' --max-time 600 \
        "https://$ENDPOINT$1?[1-20]")
    [[ $codes == *429* ]]
}
answered() { wc -w <<<"${codes%%429*}"; }
rules 'requests_per_source: 3'
until_limited /healthz 8999
like "three requests a second: a burst of six is answered, and at last there is a 429" "$codes" '^(200 ){6,}429 '
ok "three requests a second: no more are answered than that allows" test "$(answered)" -le $((6 + 3 * took))
rules 'failures_per_source: 3'
until_limited /storage 8200 --interface 10.9.9.9
like "three failures a minute: three get 401, and at last there is a 429" "$codes" '^(401 ){3,}429 '
ok "three failures a minute: no more get 401 than that allows" test "$(answered)" -le $((3 + (3 * took + 59) / 60))

# require: a client whose MAC is unknown is refused.
agent_yaml <<<'local_api: {source_binding: require}
limits: {handshake: 1h}'
reload
is "require: the host itself is refused, as it has no MAC in the neighbour table" \
    "$(curl -sk -o /dev/null -w '%{http_code}' "https://$ENDPOINT/healthz")" 000
is "require: an enrolled guest on the bridge is admitted" "$(reach 8200)" 200
is "require: an unknown MAC is refused" "$(reach 8999)" 000

# Silent connections do not keep other guests waiting.
hold 8
is "a guest is served while another one keeps all its connections open and silent" "$(reach 8200)" 200
release
ok "felhomd stops cleanly" daemon_stop
tap_done
