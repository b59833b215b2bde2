#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Registry credentials: none, one for all, or one for each guest, which is revoked with the guest's stop, whatever
# happens to the registry or felhomd.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
GITEA=$HOST/gitea
GITEA_PORT=9445
PASSWORD='registry canary 7f3a'
GUESTS=(8200 8201 8202 8203 8204 8205 8206 8207)
mkdir -p "$GITEA"

# settings MODE [CA_FILE [REQUEST]]
settings() {
    agent_yaml <<EOF2
host_id: demo
limits: {handshake: 20s, request: ${3:-5s}}
registry: {mode: $1, host: "127.0.0.1:$GITEA_PORT", username: felhom, secret_file: $HOST/registry.secret, ca_file: "${2:-$GITEA/ca.pem}"}
EOF2
}
# die: kills felhomd, so that it cannot clean up
die() {
    kill -9 $DAEMON
    wait $DAEMON 2>/dev/null
}

ask() { request "$1" "$(token_of "$1")" /registry-credential "${@:2}"; }
# minted VMID: prints the text of its token, "" if it gets none
minted() { ask "$1" | sed '$d' | jq -r '.data.token // empty'; }
at_gitea() { jq -c "[.[] | select(.name | startswith(\"felhom-\")) | $1]" "$GITEA/tokens.json"; }
of_guest() { at_gitea .name | jq "map(select(startswith(\"felhom-demo-$1-\"))) | length"; }
has_none() { [ "$(of_guest "$1")" -eq 0 ]; }
has_one() { [ "$(of_guest "$1")" -eq 1 ]; }
# gone VMID: checks that its tokens and their names are deleted
gone() { has_none "$1" && [ "$(sql "SELECT count(*) FROM credential WHERE vmid = $1")" -eq 0 ]; }
state_of() {
    sql "SELECT group_concat(state) FROM (SELECT state FROM credential WHERE vmid = $1 ORDER BY created_at_ms)"
}
told() { [ \
    "$(sql "SELECT count(*) FROM event WHERE kind = 'credential' AND vmid = $1 AND outcome = '$2' AND detail LIKE '$3'")" \
    -ge 1 ]; }
# made NUMBER: checks that more than that many tokens were ever made. felhomd may have deleted the newest since.
made() { [ "$(wc -l <"$GITEA/minted")" -gt "$1" ]; }
calls() { standin_requests gitea "select(.method == \"${1:-POST}\")" | wc -l; }
called() { [ "$(calls "$2")" -gt "$1" ]; }
stop_guest() { phase "$1" post-stop >/dev/null 2>&1; }
start_guest() { phase "$1" pre-start >/dev/null 2>&1; }

# printf adds no newline, but many editors do.
printf '%s\n' "$PASSWORD" >"$HOST/registry.secret"
jq -n --arg password "$PASSWORD" '{felhom: $password, stranger: "other"}' >"$GITEA/users.json"
echo '[{"id": 1, "user": "felhom", "name": "the operator'"'"'s own", "sha1": "f00", "scopes": ["all"]}]' \
    >"$GITEA/tokens.json"
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

# No credential, and one for all.
is "without a registry there is no credential" "$(ask 8200 | tr '\n' ' ')" \
    '{"ok":false,"error":"there is no registry credential"}  404'
settings static
reload
is "static: each guest gets the same credential" \
    "$(for vmid in 8200 8201; do ask $vmid | jq -c .data 2>/dev/null; done | sed '/^[0-9]*$/d' | sort -u)" \
    "{\"host\":\"127.0.0.1:$GITEA_PORT\",\"username\":\"felhom\",\"token\":\"$PASSWORD\",\"expires_at\":null}"
mv "$HOST/registry.secret" "$HOST/secret.away"
is "a missing registry secret gives 500" "$(ask 8200 | tail -n 1)" 500
ok "the log says what is missing" grep -q "registry.secret_file: $HOST/registry.secret" "$HOST/felhomd.log"
mv "$HOST/secret.away" "$HOST/registry.secret"
is "Gitea got no request in the modes none and static" "$(standin_requests gitea .path | wc -l)" 0

# One credential for each guest.
settings gitea
reload
# Two requests at once, of which one is too early.
for number in 1 2; do ask 8200 -D "$HOST/headers.$number" >"$HOST/reply.$number" & asked[number]=$!; done
wait "${asked[@]}"
first=1 second=2
[ "$(tail -n 1 "$HOST/reply.1")" = 200 ] || { first=2 && second=1; }
reply=$(cat "$HOST/reply.$first")
token=$(sed '$d' <<<"$reply" | jq -r .data.token)
is "gitea: a guest gets a credential of its own" \
    "$(sed '$d' <<<"$reply" | jq -c '[.ok, .data.host, .data.username, .data.expires_at]')" \
    "[true,\"127.0.0.1:$GITEA_PORT\",\"felhom\",null]"
is "the token permits reading packages and nothing else" \
    "$(jq -c --arg token "$token" '[.[] | select(.sha1 == $token) | .user, .scopes]' "$GITEA/tokens.json")" \
    '["felhom",["read:package"]]'
like "the token's name contains the guest's VMID" "$(at_gitea .name)" '^\["felhom-demo-8200-[0-9a-f]{16}"\]$'
ok "the credential is sent with Cache-Control: no-store" grep -qi '^cache-control: no-store' "$HOST/headers.$first"
is "the store has the token's name" "$(sql 'SELECT name, state, registry, minted FROM credential')" \
    "$(at_gitea .name | jq -r '.[0]')|live|felhom@127.0.0.1:$GITEA_PORT|1"
ok "an event records the new token" told 8200 ok 'registry token felhom-demo-8200-% minted'
is "a second request at once gives 429" "$(tail -n 1 "$HOST/reply.$second")" 429
like "a request that is too early gets Retry-After" "$(tr -d '\r' <"$HOST/headers.$second")" 'Retry-After: [1-5]'
is "another guest need not wait" "$(minted 8201 | wc -c)" 41
is "each guest has its own token" "$(at_gitea .sha1 | jq 'unique | length')" 2
is "another guest's token gives 403" "$(status_of 8201 "$(token_of 8200)" /registry-credential)" 403
is "another guest's path gives 403" "$(status_of 8201 "$(token_of 8201)" /guests/8200/registry-credential)" 403
is "a request without a token gives 401" "$(status_of 8201 - /registry-credential)" 401
is "the refused requests minted no token" "$(calls)" 2
ok "(a guest that is then destroyed has a token)" test -n "$(minted 8207)"
rm "$HOST/pve/lxc/8207.conf" # destroyed: what the sweep does about it is seen below

die
daemon_start
ok "the token is valid after a kill -9 and a restart" has_one 8200
is "the next request replaces the token" "$(minted 8200 | wc -c)" 41
is "the replaced token stays valid for a pull in progress" "$(of_guest 8200) $(state_of 8200)" "2 doomed,live"

# Tokens end with the guest's stop.
ok "a guest stops" stop_guest 8200
ok "the stopped guest's tokens are deleted" eventually gone 8200
ok "an event records the deletion" told 8200 ok 'registry token felhom-demo-8200-% deleted'
is "another guest's token is not deleted" "$(of_guest 8201)" 1
is "a stopped guest gets no token" "$(ask 8200 2>/dev/null | tail -n 1)" 401
ok "a guest is unenrolled" ctl unenroll 8201
ok "the unenrolled guest's token is deleted" eventually gone 8201
is "the store has no such guest any more" "$(sql 'SELECT count(*) FROM guest WHERE vmid = 8201')" 0
ok "(another guest has a token)" test -n "$(minted 8202)"
ctl revoke 8202 >/dev/null
ok "revoking a guest's tokens deletes its registry token" eventually gone 8202
ok "(another guest has a token)" test -n "$(minted 8203)"
sql "UPDATE guest SET changed_at_ms = 1 WHERE vmid = 8203"
start_guest 8203
ok "a start deletes the registry token if felhomd missed the guest's stop" eventually gone 8203

# The registry is down.
ok "(another guest has a token)" test -n "$(minted 8204)"
ok "(a further guest has a token)" test -n "$(minted 8206)"
standin_stop gitea
die
ok "a guest can stop while felhomd and the registry are down" stop_guest 8204
ok "a guest's tokens can be revoked while felhomd and the registry are down" ctl revoke 8206
is "both guests' registry tokens are marked for deletion" "$(state_of 8204) $(state_of 8206)" "doomed doomed"
daemon_start
ok "an event records that a token cannot be deleted yet" eventually told 8204 warning \
    "registry token % could not be deleted yet: https://127.0.0.1:$GITEA_PORT: no connection: Connection refused"
like "a guest's request gives the reason why the registry cannot answer" "$(ask 8205 | tr '\n' ' ')" \
    "\"error\":\"https://127.0.0.1:$GITEA_PORT: no connection: Connection refused\"} * 503"
is "a failed request leaves no token" "$(state_of 8205)" ""
die
daemon_start
is "a token that is marked for deletion stays marked across a restart" "$(state_of 8204)" doomed
cp "$GITEA/server.pem" "$GITEA/server.own"
mkdir "$HOST/stranger"
standin_certificate "$HOST/stranger"
cp "$HOST/stranger/server.pem" "$GITEA/server.pem"
before=$(standin_requests gitea .path | wc -l)
standin_start gitea $GITEA_PORT
like "another server in the registry's place is refused by its certificate" "$(ask 8205 | tr '\n' ' ')" \
    "its certificate is not signed by $GITEA/ca.pem\"} * 503"
is "another server in the registry's place gets no request" "$(standin_requests gitea .path | wc -l) $(state_of 8205)" \
    "$before "
standin_stop gitea
cp "$GITEA/server.own" "$GITEA/server.pem"
standin_control gitea '{"status": 404, "reason": "page not found"}'
standin_start gitea $GITEA_PORT
reload
ok "(felhomd has requested the deletion again)" eventually called 0 DELETE
sleep 0.2
is "404 from a proxy does not count as the token's deletion" "$(state_of 8204)" doomed
standin_control gitea '{}'
reload
ok "when the registry is back and the configuration reloaded, the token is deleted" eventually gone 8204
ok "when the registry is back, the other guest's token is deleted" eventually gone 8206

ok "(another guest has a token)" test -n "$(minted 8203)"
settings none
reload
stop_guest 8203
ok "without the registry in agent.yaml the log says that tokens cannot be deleted" eventually grep -q \
    "1 token of felhom@127.0.0.1:$GITEA_PORT cannot be deleted as long as agent.yaml has another registry" \
    "$HOST/felhomd.log"
settings gitea
reload
ok "once the registry is in agent.yaml again, the token is deleted" eventually gone 8203
for vmid in 8203 8206; do start_guest $vmid; done

# felhomd is killed while it mints a token.
standin_control gitea '{"hold": true, "method": "POST"}'
start_guest 8204
before=$(calls)
ask 8204 >/dev/null 2>&1 &
eventually called "$before"
is "(the store has the name before the registry makes the token)" "$(state_of 8204) $(of_guest 8204)" "minting 0"
die
daemon_start
doomed() { [ "$(state_of 8204)" = doomed ]; }
ok "after a restart the token that was being minted is marked for deletion" eventually doomed
before=$(wc -l <"$GITEA/minted")
standin_control gitea '{}'
ok "the registry makes the token although felhomd was killed" eventually made "$before"
reload
ok "the token that was made after the kill is deleted" eventually gone 8204
for delay in 0.01 0.02 0.025 0.03 0.04 0.06; do
    ask 8204 >/dev/null 2>&1 &
    asker=$!
    sleep $delay
    die
    # One that is late must not ask the next felhomd.
    wait $asker
    daemon_start
done
stop_guest 8204
reload
ok "no token remains, whenever felhomd is killed" eventually has_none 8204

# Gitea fails.
start_guest 8204
standin_control gitea '{"lose_answer": true}'
before=$(wc -l <"$GITEA/minted")
like "a lost reply gives 503 with the reason" "$(ask 8204 | tr '\n' ' ')" 'hung up without an answer"} * 503'
standin_control gitea '{}'
reload
is "(the token whose reply was lost was made)" "$(wc -l <"$GITEA/minted")" $((before + 1))
ok "the token whose reply was lost is deleted" eventually has_none 8204
standin_control gitea '{"version": "1.18"}'
like "a Gitea that is too old is refused" "$(ask 8205 | tr '\n' ' ')" \
    'not limited to read:package, and it is deleted: Gitea or Forgejo 1.19 or newer is needed"} * 503'
ok "the token that an old Gitea made is deleted" eventually gone 8205
standin_control gitea '{"version": "1.20"}'
ok "a Gitea that returns the scopes in its list only is accepted" test -n "$(minted 8206)"
stop_guest 8206
ok "(the token is deleted)" eventually gone 8206
for vmid in 8200 8206; do start_guest $vmid; done
standin_control gitea '{"make_scopes": ["all"]}'
like "a token with more scopes than requested is refused" "$(ask 8200 | tr '\n' ' ')" 'not limited to read:package'
ok "a token with more scopes than requested is deleted" eventually gone 8200
mv "$GITEA/users.json" "$GITEA/users.away"
standin_control gitea '{}'
die
daemon_start
like "a wrong password gives 503 with Gitea's message" "$(ask 8200 | tr '\n' ' ')" \
    'answered 401 Unauthorized: invalid username, password or token"} * 503'
is "a wrong password leaves no token in the store" "$(state_of 8200)" ""
mv "$GITEA/users.away" "$GITEA/users.json"

# Gitea is slow.
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
answers() { for _ in 1 2 3 4 5; do echo "$(status_of 8200 "$(token_of 8200)" /storage)"; done | sort | uniq -c |
    tr -s ' '; }
is "other requests are answered while felhomd waits for a slow Gitea" "$(answers)" " 5 200"
ok "the requests for credentials wait meanwhile" kill -0 "${waiting[@]}"
standin_control gitea '{}'
wait "${waiting[@]}"
is "the waiting requests get their credentials" "$(statuses)" "3 200"
settings gitea
die
daemon_start
standin_control gitea '{"delay": 600}'
slow_asks
wait "${waiting[@]}"
is "waiting requests get 503 within their limit" "$(statuses)" "3 503"
like "the waiting requests' replies give the reason" "$(cat "$HOST"/slow.*)" \
    "https://127.0.0.1:$GITEA_PORT: no answer within ([1-4]?[0-9]{1,3}|5000) ms"
standin_control gitea '{}'
for vmid in 8204 8205 8206; do stop_guest $vmid; done

# At the end.
ok "the token of the destroyed guest is deleted" eventually gone 8207
none_left() { [ "$(at_gitea .name)" = '[]' ]; }
settle() {
    reload
    sleep 0.3
    none_left
}
ok "tokens that were made late are deleted" eventually settle
is "only the operator's own token remains" "$(jq -r '.[].name' "$GITEA/tokens.json")" "the operator's own"
sort -u "$GITEA/minted" >"$HOST/canaries"
ok "(at least ten tokens were made)" test "$(wc -l <"$HOST/canaries")" -ge 10
not_ok "no file below the state directory contains a token" grep -raqFf "$HOST/canaries" "$HOST/state"
not_ok "no guest's directory contains a token" grep -raqFf "$HOST/canaries" "$HOST/run"
not_ok "the log does not contain a token" grep -aqFf "$HOST/canaries" "$HOST/felhomd.log"
not_ok "state, guests' directories and log do not contain the password" grep -raqF "$PASSWORD" "$HOST/state" \
    "$HOST/run" "$HOST/felhomd.log"
ok "felhomd stops cleanly" daemon_stop
is "felhomd's log has no sanitizer report" "$(grep -ci 'sanitizer' "$HOST/felhomd.log")" 0
tap_done
