#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hostile guest and an unknown client attack felhomd, while a hundred other guests work.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
# The other guests are local addresses, each a source of its own. With sanitizers handshakes take ten times as long.
case $BIN in *asan*) handshake=20s ;; *) handshake=2s ;; esac
agent_yaml <<EOF
local_api: {allow: [127.0.0.0/8, 192.168.0.0/24]}
limits: {handshake: $handshake}
EOF
ctl init >/dev/null
GOOD=$(seq 1000 1099)
for vmid in $GOOD 8200 8300; do
    guest_config "$vmid" </dev/null
    phase "$vmid" pre-start >/dev/null 2>&1
done
cp "$(token_of 8300)" "$HOST/old-token"
phase 8300 pre-start >/dev/null 2>&1
world_guest 8300 201
world_guest 8999 202 # enrolled nowhere
ok 'felhomd starts' daemon_start

tokens() {
    printf '%s %s\n' own "$(cat "$(token_of 8300)")" old "$(cat "$HOST/old-token")" other "$(cat "$(token_of 8200)")"
}
# attack VMID SECONDS ATTACK...
attack() {
    local vmid=$1
    shift
    tokens | in_guest "$vmid" python3 tests/lib/attacker $ADDRESS $PORT "$@" >>"$HOST/attacks.$vmid" 2>&1
}
# work: runs all other guests, each of which sends two requests a second
work() {
    for vmid in $GOOD; do echo "127.0.1.$((vmid - 900)) $(token_of "$vmid")"; done |
        tests/lib/pollers "$ENDPOINT" /storage 20 0.5 >"$HOST/worked" 2>&1
}
threads() {
    find "/proc/$DAEMON/task" -maxdepth 1 -mindepth 1 | wc -l
}
rss_kb() {
    awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status"
}
before=$(threads)
attack 8300 15 silent halfway drop headers body renegotiate logins &
pids=($!)
attack 8300 600 crafted &
pids+=($!)
attack 8999 15 silent halfway &
pids+=($!)
work &
pids+=($!)
wait "${pids[@]}"

is 'two thousand requests of the other guests are all answered with 200' "$(cat "$HOST/worked")" '2000 200'
found=$(sed -n 's/^crafted //p' "$HOST/attacks.8300")
while IFS='|' read -r what wanted; do
    like "$what" "$(jq -r --arg what "$what" '.[$what]' <<<"$found")" "^($wanted)\$"
done <<'END'
another guest's token|403
its own old token|401
another guest's path|403
both lengths|400
a body that is too long|413
headers that are too long|0|413|431
a path that is too long|0|413|414
a NUL in the path|0|400|404
an escaped NUL|0|400|404
escaped dots|400|404
dots|400|404
a path of the disk|400|404
an odd method|0|400
a method to connect with|0|400|405
an odd version|0|400|505
nonsense|0|400
a spoofed Host|200
END
logins=$(sed -n 's/^logins //p' "$HOST/attacks.8300")
ok 'failed authentications are limited' test "$(jq '.["401"] // 0' <<<"$logins")" -le 60
is 'no authentication with a wrong token succeeds' "$(jq 'with_entries(select(.key == "200"))' -c <<<"$logins")" '{}'
diag "$(cat "$HOST/attacks.8300" "$HOST/attacks.8999")"

# --- afterwards ---
ok 'felhomd still runs' kill -0 "$DAEMON"
is 'felhomd has as many threads as before' "$(threads)" "$before"
is_quiet() { [ -z "$(ss -Htn state established "sport = :$PORT")" ]; }
ok 'all connections of the attack are closed' eventually is_quiet
case $BIN in
*asan*) skip 'memory is bounded' 'sanitizers take more' ;;
*) ok 'memory is bounded' test "$(rss_kb)" -lt 40000 || diag "$(rss_kb) KB" ;;
esac
is_served() { [ "$(status_of "$1" "$(token_of "$1")" /storage)" = 200 ]; }
ok 'the guest that attacked is served again once it has stopped attacking' eventually is_served 8300
told() {
    sql "SELECT count(*) FROM event WHERE kind = 'refused' AND source LIKE '%$1%'"
}
for address in 192.168.0.201 192.168.0.202; do
    ok "the attack of $address has events" test "$(told $address)" -gt 0
    ok 'the attack of $address has fewer than 40 events' test "$(told $address)" -lt 40 || diag "$(told $address)"
done
is 'sources that did not attack have no events of refusals' "$(told 127.0.1)" 0
is 'the log has fewer than 500 lines' "$(($(wc -l <"$HOST/felhomd.log") < 500))" 1 ||
    diag "$(wc -l <"$HOST/felhomd.log")"
ok 'felhomd stops cleanly' daemon_stop
is "felhomd's log has no sanitizer report" "$(grep -ci 'sanitizer' "$HOST/felhomd.log")" 0
tap_done
