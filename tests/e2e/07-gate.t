#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Who gets as far as the handshake: allow-list, source binding, connections and failures per source.
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

is "an enrolled guest is let in" "$(reach 8200)" 200
is "a stranger's MAC is closed before the handshake" "$(reach 8999)" 000
like "with an event" "$(sql "SELECT detail || source FROM event WHERE kind = 'refused'")" 'stranger'
is "the host itself is let in" "$(curl -sk -o /dev/null -w '%{http_code}' "https://$ENDPOINT/healthz")" 200
is "by its own address, with a guest's token" \
    "$(curl -sk -o /dev/null -w '%{http_code}' -H "@$(header_file "$(token_of 8200)")" "https://$ENDPOINT/storage")" 200

# One guest with the other's address is still itself.
in_guest 8300 ip addr add 192.168.0.250/32 dev eth0
is "a second address is the same source" "$(reach 8300 --interface 192.168.0.250)" 200

in_guest 8200 ip addr add 10.9.9.9/24 dev eth0
in_guest 8200 ip route add default via $ADDRESS
ip route add 10.9.9.0/24 dev vmbr0
is "outside the bridge's subnet: closed" "$(reach 8200 --interface 10.9.9.9)" 000
like "with an event" "$(sql "SELECT detail || source FROM event WHERE kind = 'refused'")" 'not allowed'

agent_yaml <<'EOF'
local_api: {source_binding: off, allow: [192.168.0.0/24, 10.9.9.0/24]}
limits: {connections_per_source: 4, handshake: 1h}
EOF
reload
is "SIGHUP: source binding off lets the stranger in" "$(reach 8999)" 200
is "SIGHUP: the wider allow-list counts" "$(reach 8200 --interface 10.9.9.9)" 200

# Connections per source.
# hold COUNT: that many connections of guest 8300 on which nothing is said, until `release`
hold() {
    rm -f "$HOST/held"
    in_guest 8300 bash -c "for _ in \$(seq $1); do exec {fd}<>/dev/tcp/$ADDRESS/$PORT; done; echo held; read -r" <"$HOST/release" >"$HOST/held" &
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
is "one source at its cap is refused" "$(reach 8300)" 000
is "another source is not" "$(reach 8200)" 200
release
ok "when they are gone it is let in again" eventually reaches 8300 200

# Requests per source: one a second with a burst of 2. A machine that needed more than a second for each of so many would not see the limit.
rules() {
    agent_yaml <<<"local_api: {source_binding: off, allow: [192.168.0.0/24, 10.9.9.0/24]}
limits: {$1}"
    reload
}
rules 'requests_per_source: 1'
codes=$(in_guest 8300 curl -sk -o /dev/null -w '%{http_code} ' --max-time 600 "https://$ENDPOINT/healthz?[1-100]")
like "a burst is answered" "$codes" '^(200 ){2}'
like "too many requests: 429" "$codes" '429'
like "429 says when to come back" "$(in_guest 8300 curl -ski "https://$ENDPOINT/healthz?[1-100]" | tr -d '\r')" 'Retry-After: [0-9]+'
is "the other guest does not notice" "$(reach 8200)" 200
ok "after a while it is let in again" eventually reaches 8300 200

# Failed authentications per source: one a minute, after that even a right token has to wait.
rules 'failures_per_source: 1'
in_guest 8300 curl -sk -o /dev/null "https://$ENDPOINT/storage"
is "too many failures: 429" "$(status_of 8300 "$(token_of 8300)" /storage)" 429
is "the other guest does not notice that either" "$(status_of 8200 "$(token_of 8200)" /storage)" 200

# require: who cannot be resolved stays out.
agent_yaml <<<'local_api: {source_binding: require}
limits: {handshake: 1h}'
reload
is "require: the host itself is not resolvable" "$(curl -sk -o /dev/null -w '%{http_code}' "https://$ENDPOINT/healthz")" 000
is "require: a guest on the bridge is" "$(reach 8200)" 200
is "require: a stranger is not" "$(reach 8999)" 000

# Silent sockets do not keep others waiting.
hold 8
is "while one guest is silent on all its connections, another is served" "$(reach 8200)" 200
release
ok "felhomd stops cleanly" daemon_stop
tap_done
