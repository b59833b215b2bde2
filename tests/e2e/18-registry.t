#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Credentials of the registry: none, one for all, or one for each guest, which never outlives it, whatever happens to the registry or to felhomd.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
GITEA=$HOST/gitea
GITEA_PORT=9445
PASSWORD='registry canary 7f3a'
GUESTS=(8200 8201 8202 8203 8204 8205 8206 8207)
# Sanitizers make a handshake ten times as long.
case $BIN in *asan*) handshake=20s ;; *) handshake=2s ;; esac
mkdir -p "$GITEA"

# settings MODE [CA_FILE [REQUEST]]
settings() {
    agent_yaml <<EOF2
host_id: demo
limits: {handshake: $handshake, request: ${3:-5s}}
registry: {mode: $1, host: "127.0.0.1:$GITEA_PORT", username: felhom, secret_file: $HOST/registry.secret, ca_file: "${2:-$GITEA/ca.pem}"}
EOF2
}
# die: without a chance to tidy up
die() {
    kill -9 $DAEMON
    wait $DAEMON 2>/dev/null
}

ask() { request "$1" "$(token_of "$1")" /registry-credential "${@:2}"; }
# minted VMID: its token's text, "" where it gets none
minted() { ask "$1" | sed '$d' | jq -r '.data.token // empty'; }
at_gitea() { jq -c "[.[] | select(.name | startswith(\"felhom-\")) | $1]" "$GITEA/tokens.json"; }
of_guest() { at_gitea .name | jq "map(select(startswith(\"felhom-demo-$1-\"))) | length"; }
has_none() { [ "$(of_guest "$1")" -eq 0 ]; }
has_one() { [ "$(of_guest "$1")" -eq 1 ]; }
# gone VMID: its tokens, and their names
gone() { has_none "$1" && [ "$(sql "SELECT count(*) FROM credential WHERE vmid = $1")" -eq 0 ]; }
state_of() { sql "SELECT group_concat(state) FROM (SELECT state FROM credential WHERE vmid = $1 ORDER BY created_at_ms)"; }
told() { [ "$(sql "SELECT count(*) FROM event WHERE kind = 'credential' AND vmid = $1 AND outcome = '$2' AND detail LIKE '$3'")" -ge 1 ]; }
# made NUMBER: whether more than so many tokens were ever made. felhomd may have deleted the newest since.
made() { [ "$(wc -l <"$GITEA/minted")" -gt "$1" ]; }
calls() { standin_requests gitea "select(.method == \"${1:-POST}\")" | wc -l; }
called() { [ "$(calls "$2")" -gt "$1" ]; }
stop_guest() { phase "$1" post-stop >/dev/null 2>&1; }
start_guest() { phase "$1" pre-start >/dev/null 2>&1; }

# printf adds no newline: many editors do.
printf '%s\n' "$PASSWORD" >"$HOST/registry.secret"
jq -n --arg password "$PASSWORD" '{felhom: $password, stranger: "other"}' >"$GITEA/users.json"
echo '[{"id": 1, "user": "felhom", "name": "the operator'"'"'s own", "sha1": "f00", "scopes": ["all"]}]' >"$GITEA/tokens.json"
settings none
ctl init >/dev/null
last=100
for vmid in "${GUESTS[@]}"; do
    guest_config "$vmid" </dev/null
    enroll "$vmid" >/dev/null
    world_guest "$vmid" $((last++))
    start_guest "$vmid"
done
PIN=$(pin_of 8200)
standin_start gitea $GITEA_PORT
daemon_start

# None, and one for all.
is "without a registry there is no credential" "$(ask 8200 | tr '\n' ' ')" '{"ok":false,"error":"there is no registry credential"}  404'
settings static
reload
is "static: everybody gets the same" "$(for vmid in 8200 8201; do ask $vmid | jq -c .data 2>/dev/null; done | sed '/^[0-9]*$/d' | sort -u)" \
    "{\"host\":\"127.0.0.1:$GITEA_PORT\",\"username\":\"felhom\",\"token\":\"$PASSWORD\",\"expires_at\":null}"
mv "$HOST/registry.secret" "$HOST/secret.away"
is "a secret that is not there is the operator's to mend" "$(ask 8200 | tail -n 1)" 500
ok "the log says what is missing" grep -q "registry.secret_file: $HOST/registry.secret" "$HOST/felhomd.log"
mv "$HOST/secret.away" "$HOST/registry.secret"
is "none of which concerned Gitea" "$(standin_requests gitea .path | wc -l)" 0

# One for each guest.
settings gitea
reload
# Two at once, of which one is too early.
for number in 1 2; do ask 8200 -D "$HOST/headers.$number" >"$HOST/reply.$number" & asked[number]=$!; done
wait "${asked[@]}"
first=1 second=2
[ "$(tail -n 1 "$HOST/reply.1")" = 200 ] || { first=2 && second=1; }
reply=$(cat "$HOST/reply.$first")
token=$(sed '$d' <<<"$reply" | jq -r .data.token)
is "gitea: a guest gets its own" "$(sed '$d' <<<"$reply" | jq -c '[.ok, .data.host, .data.username, .data.expires_at]')" \
    "[true,\"127.0.0.1:$GITEA_PORT\",\"felhom\",null]"
is "which may read packages and nothing else" "$(jq -c --arg token "$token" '[.[] | select(.sha1 == $token) | .user, .scopes]' "$GITEA/tokens.json")" \
    '["felhom",["read:package"]]'
like "and says whose it is" "$(at_gitea .name)" '^\["felhom-demo-8200-[0-9a-f]{16}"\]$'
ok "it is not to be kept by anybody on the way" grep -qi '^cache-control: no-store' "$HOST/headers.$first"
is "the store knows its name" "$(sql 'SELECT name, state, registry, minted FROM credential')" \
    "$(at_gitea .name | jq -r '.[0]')|live|felhom@127.0.0.1:$GITEA_PORT|1"
ok "with an event" told 8200 ok 'registry token felhom-demo-8200-% minted'
is "another one at once is too early" "$(tail -n 1 "$HOST/reply.$second")" 429
like "and it is said when it will be" "$(tr -d '\r' <"$HOST/headers.$second")" 'Retry-After: [1-5]'
is "another guest does not wait for that" "$(minted 8201 | wc -c)" 41
is "each has its own" "$(at_gitea .sha1 | jq 'unique | length')" 2
is "nobody gets one by another guest's token" "$(status_of 8201 "$(token_of 8200)" /registry-credential)" 403
is "nor by another guest's path" "$(status_of 8201 "$(token_of 8201)" /guests/8200/registry-credential)" 403
is "nor without a token" "$(status_of 8201 - /registry-credential)" 401
is "nothing was minted for that" "$(calls)" 2
rm "$HOST/pve/lxc/8207.conf" # destroyed: what the sweep does about it is seen below
ok "(one of a guest that is destroyed then)" test -n "$(minted 8207)"

die
daemon_start
ok "after a kill -9 and a restart it is good still" has_one 8200
is "and the next one replaces it" "$(minted 8200 | wc -c)" 41
is "but a pull under way with it comes to its end" "$(of_guest 8200) $(state_of 8200)" "2 doomed,live"

# They end with the guest.
ok "the guest stops" stop_guest 8200
ok "its tokens are deleted" eventually gone 8200
ok "with an event" told 8200 ok 'registry token felhom-demo-8200-% deleted'
is "another guest's is not" "$(of_guest 8201)" 1
is "a stopped guest gets none" "$(ask 8200 2>/dev/null | tail -n 1)" 401
ok "a guest is unenrolled" ctl unenroll 8201
ok "its token is deleted" eventually gone 8201
is "though the store knows no such guest" "$(sql 'SELECT count(*) FROM guest WHERE vmid = 8201')" 0
ok "(another guest's)" test -n "$(minted 8202)"
ctl revoke 8202 >/dev/null
ok "one whose tokens are revoked loses that one, too" eventually gone 8202
ok "(another guest's)" test -n "$(minted 8203)"
sql "UPDATE guest SET changed_at_ms = 1 WHERE vmid = 8203"
start_guest 8203
ok "a start tells of a stop that went by unseen" eventually gone 8203

# The registry is away.
ok "(another guest's)" test -n "$(minted 8204)"
ok "(and one more)" test -n "$(minted 8206)"
standin_stop gitea
die
ok "a guest stops without felhomd and without its registry" stop_guest 8204
ok "another's tokens are revoked" ctl revoke 8206
is "both are to lose theirs" "$(state_of 8204) $(state_of 8206)" "doomed doomed"
daemon_start
ok "which is told" eventually told 8204 warning "registry token % could not be deleted yet: https://127.0.0.1:$GITEA_PORT: no connection: Connection refused"
like "a guest that asks is told, too" "$(ask 8205 | tr '\n' ' ')" "\"error\":\"https://127.0.0.1:$GITEA_PORT: no connection: Connection refused\"} * 503"
is "and leaves nothing behind" "$(state_of 8205)" ""
die
daemon_start
is "after a restart it is not forgotten" "$(state_of 8204)" doomed
cp "$GITEA/server.pem" "$GITEA/server.own"
mkdir "$HOST/stranger"
standin_certificate "$HOST/stranger"
cp "$HOST/stranger/server.pem" "$GITEA/server.pem"
before=$(standin_requests gitea .path | wc -l)
standin_start gitea $GITEA_PORT
like "somebody else in its place is told nothing" "$(ask 8205 | tr '\n' ' ')" "its certificate is not signed by $GITEA/ca.pem\"} * 503"
is "not even a name" "$(standin_requests gitea .path | wc -l) $(state_of 8205)" "$before "
standin_stop gitea
cp "$GITEA/server.own" "$GITEA/server.pem"
standin_control gitea '{"status": 404, "reason": "page not found"}'
standin_start gitea $GITEA_PORT
reload
ok "(asked again)" eventually called 0 DELETE
sleep 0.2
is "that a proxy knows no such page does not mean that there is no token" "$(state_of 8204)" doomed
standin_control gitea '{}'
reload
ok "when it is back, and the configuration reloaded, the token is deleted" eventually gone 8204
ok "and the other" eventually gone 8206

ok "(another guest's)" test -n "$(minted 8203)"
settings none
reload
stop_guest 8203
ok "without the registry in agent.yaml tokens cannot be deleted" eventually grep -q \
    "1 token of felhom@127.0.0.1:$GITEA_PORT cannot be deleted as long as agent.yaml has another registry" "$HOST/felhomd.log"
settings gitea
reload
ok "but later" eventually gone 8203
for vmid in 8203 8206; do start_guest $vmid; done

# felhomd dies around a mint.
standin_control gitea '{"hold": true, "method": "POST"}'
start_guest 8204
before=$(calls)
ask 8204 >/dev/null 2>&1 &
eventually called "$before"
is "(a name before the token)" "$(state_of 8204) $(of_guest 8204)" "minting 0"
die
daemon_start
doomed() { [ "$(state_of 8204)" = doomed ]; }
ok "what was being minted is doomed" eventually doomed
before=$(wc -l <"$GITEA/minted")
standin_control gitea '{}'
ok "the registry makes it all the same" eventually made "$before"
reload
ok "and it is deleted" eventually gone 8204
for delay in 0.01 0.02 0.025 0.03 0.04 0.06; do
    ask 8204 >/dev/null 2>&1 &
    sleep $delay
    die
    daemon_start
done
stop_guest 8204
reload
ok "whenever felhomd dies, no token is left" eventually has_none 8204

# Gitea in trouble.
start_guest 8204
standin_control gitea '{"lose_answer": true}'
before=$(wc -l <"$GITEA/minted")
like "an answer that is lost is told" "$(ask 8204 | tr '\n' ' ')" 'hung up without an answer"} * 503'
standin_control gitea '{}'
reload
is "(it was made)" "$(wc -l <"$GITEA/minted")" $((before + 1))
ok "and the token that nobody got is deleted" eventually has_none 8204
standin_control gitea '{"version": "1.18"}'
like "an old Gitea is refused" "$(ask 8205 | tr '\n' ' ')" 'not limited to read:package, and it is deleted: Gitea or Forgejo 1.19 or newer is needed"} * 503'
ok "and what it made is deleted" eventually gone 8205
standin_control gitea '{"version": "1.20"}'
ok "one that tells the scopes in its list alone will do" test -n "$(minted 8206)"
stop_guest 8206
ok "(deleted)" eventually gone 8206
for vmid in 8200 8206; do start_guest $vmid; done
standin_control gitea '{"make_scopes": ["all"]}'
like "more than was asked for is refused" "$(ask 8200 | tr '\n' ' ')" 'not limited to read:package'
ok "and deleted" eventually gone 8200
mv "$GITEA/users.json" "$GITEA/users.away"
standin_control gitea '{}'
die
daemon_start
like "a password that is wrong is told" "$(ask 8200 | tr '\n' ' ')" 'answered 401 Unauthorized: invalid username, password or token"} * 503'
is "and nothing is left of it" "$(state_of 8200)" ""
mv "$GITEA/users.away" "$GITEA/users.json"

# A slow one.
slow_asks() {
    local before
    before=$(calls)
    waiting=()
    for vmid in 8204 8205 8206; do ask $vmid --max-time 600 >"$HOST/slow.$vmid" & waiting+=($!); done
    eventually called "$before"
}
statuses() { for vmid in 8204 8205 8206; do tail -n 1 "$HOST/slow.$vmid"; echo; done | sort | uniq -c | xargs; }
settings gitea "$GITEA/ca.pem" 10m
reload
standin_control gitea '{"hold": true}'
slow_asks
answers() { for _ in 1 2 3 4 5; do echo "$(status_of 8200 "$(token_of 8200)" /storage)"; done | sort | uniq -c | tr -s ' '; }
is "while it is waited for, other requests are answered" "$(answers)" " 5 200"
ok "and it is waited for still" kill -0 "${waiting[@]}"
standin_control gitea '{}'
wait "${waiting[@]}"
is "then those that waited get theirs" "$(statuses)" "3 200"
settings gitea
die
daemon_start
standin_control gitea '{"delay": 600}'
slow_asks
wait "${waiting[@]}"
is "those that wait are told, within their limit" "$(statuses)" "3 503"
like "of the reason" "$(cat "$HOST"/slow.*)" "https://127.0.0.1:$GITEA_PORT: no answer within"
standin_control gitea '{}'
for vmid in 8204 8205 8206; do stop_guest $vmid; done

# The end.
ok "the token of the guest that was destroyed is deleted" eventually gone 8207
none_left() { [ "$(at_gitea .name)" = '[]' ]; }
settle() {
    reload
    sleep 0.3
    none_left
}
ok "what was made late is deleted, too" eventually settle
is "nothing else is" "$(jq -r '.[].name' "$GITEA/tokens.json")" "the operator's own"
sort -u "$GITEA/minted" >"$HOST/canaries"
ok "(tokens were made)" test "$(wc -l <"$HOST/canaries")" -ge 10
not_ok "no token's text is in the store, nor anywhere below the state directory" grep -raqFf "$HOST/canaries" "$HOST/state"
not_ok "nor in a guest's directory" grep -raqFf "$HOST/canaries" "$HOST/run"
not_ok "nor in the log" grep -aqFf "$HOST/canaries" "$HOST/felhomd.log"
not_ok "nor is the password" grep -raqF "$PASSWORD" "$HOST/state" "$HOST/run" "$HOST/felhomd.log"
ok "felhomd stops cleanly" daemon_stop
is "nothing went wrong unsaid" "$(grep -ci 'sanitizer' "$HOST/felhomd.log")" 0
tap_done
