#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another certificate for the host: a guest that reads its directory between the steps never meets one that it does not know; one that does not
# is shut out by the switch, and by nothing before it.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host

settings() {
    agent_yaml <<<"local_api: {allow: [192.168.0.0/24, 127.0.0.0/8]${1:-}}
limits: {requests_per_source: 10000, failures_per_source: 10000, connections_per_source: 64, handshake: 20s}
hook: {deadline: 1h}"
}
settings
TLS=$HOST/state/tls
for vmid in 8200 8300 8400 8500; do guest_config $vmid </dev/null; done
ctl init >/dev/null
for vmid in 8200 8300 8400 8500; do enroll $vmid >/dev/null; done
for vmid in 8200 8300; do
    phase $vmid pre-start >/dev/null
    phase $vmid post-start
done
phase 8400 pre-start >/dev/null && phase 8400 post-stop
world_guest 8200 20
world_guest 8300 30
[ -e "$(token_of 8300)" ] && daemon_start || { echo "Bail out! No guests"; exit 1; }
DIRECTORY=$(directory_of 8200)

spki_of() { openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64; }
leaf_of() { openssl x509 -in "$1" -noout -fingerprint -sha256 | cut -d= -f2; }
# What a new connection is shown.
served() { in_guest 8200 openssl s_client -connect "$ENDPOINT" </dev/null 2>/dev/null | openssl x509 >"$HOST/served.crt" && leaf_of "$HOST/served.crt"; }
step() { ctl identity "$@"; }
outcomes() { jq -c '[.steps[] | [.about, .outcome]]'; }
# pins VMID: what a guest that follows pins, as curl takes it
pins() { jq -r '[.local_api_pin_spki_sha256, .local_api_pin_spki_sha256_next // empty] | map("sha256//" + .) | join(";")' "$(directory_of "$1")/bootstrap.json"; }
leaves() { jq -r '[.local_api_pin_leaf_sha256, .local_api_pin_leaf_sha256_next // empty] | join(" ")' "$(directory_of "$1")/bootstrap.json"; }
certificates() { grep -c 'BEGIN CERTIFICATE' "$DIRECTORY/agent.crt"; }
told_yaml() { sed -n 's/^  \(fingerprint[a-z_]*\): "\(.*\)"/\1=\2/p' "$DIRECTORY/controller.yaml" | paste -sd ' '; }
yaml_served() { request 8200 "$(token_of 8200)" /controller.yaml | head -n -1; }
tokens() { sql 'SELECT count(*) FROM token'; }
# code VMID CURL_OPTION...: what curl says to a request: HTTP status and its own exit code
code() {
    local vmid=$1 status exit_code
    shift
    status=$(in_guest "$vmid" curl -s --max-time 120 -H "@$HOST/header.$vmid" -o /dev/null -w '%{http_code}' "$@" "https://$ENDPOINT/storage")
    exit_code=$?
    echo "$status $exit_code"
}
header() { printf 'Authorization: Bearer %s\n' "$(cat "$(token_of "$1")")" >"$HOST/header.$1"; }
header 8200
header 8300

# --- nothing staged ---
sums() { (cd "$DIRECTORY" && sha256sum ./*); }
rest=$(sums)
is "a switch without anything staged" "$(step switch 2>&1)" \
    "felhomctl: no next identity is staged for guests to know: felhomctl identity stage"
step switch >/dev/null 2>&1
is "is a failure" $? 1
is "nothing to retire" "$(step retire --output-format json | outcomes)" '[["identity","already"],["8200","already"],["8300","already"]]'
is "the documents are byte for byte as they were" "$(sums)" "$rest"
is "there is no step of that name" "$(step rollback 2>&1 | head -n 1)" "felhomctl: identity: 'rollback' is not one of stage|switch|retire"
like "identity tells that none is needed" "$(step)" 'next step: +none; felhomctl identity stage begins a rollover'
ctl identity stage --pem >/dev/null 2>&1
is "--pem goes with no step" $? 1
OLD=$(leaf_of "$TLS/agent.crt")
OLD_PIN=sha256//$(spki_of "$TLS/agent.crt")
cp "$TLS/agent.crt" "$HOST/old.crt"
is "the old certificate is served" "$(served)" "$OLD"

# --- guests that poll all the while: one reads its pins each time, one its agent.crt, one keeps what it had ---
poll() {
    local name=$1
    shift
    while [ ! -e "$HOST/stop" ]; do "$@"; done >"$HOST/polled.$name" 2>/dev/null
}
by_pins() { code 8200 -k --pinnedpubkey "$(pins 8200)"; }
by_certificate() {
    cp "$DIRECTORY/agent.crt" "$HOST/read.crt"
    code 8200 --cacert "$HOST/read.crt"
}
by_old_pin() { code 8300 -k --pinnedpubkey "$OLD_PIN"; }
poll pins by_pins &
pollers=$!
poll certificate by_certificate &
pollers="$pollers $!"
poll old by_old_pin &
pollers="$pollers $!"
polls() { wc -l <"$HOST/polled.$1"; }
polled_more() { [ "$(polls pins)" -gt $(($1 + 3)) ] && [ "$(polls certificate)" -gt $(($2 + 3)) ] && [ "$(polls old)" -gt $(($3 + 3)) ]; }
polled() { eventually polled_more "$(polls pins)" "$(polls certificate)" "$(polls old)" || diag "the pollers are stuck"; }
eventually test -s "$HOST/polled.old"
polled

# --- stage ---
token=$(cat "$(token_of 8200)")
minted=$(tokens)
look() { stat -c '%i %u:%g %a' "$DIRECTORY"; stat -c '%n %u:%g %a' "$DIRECTORY"/*; }
before=$(look)
report=$(step stage --output-format json)
is "stage succeeds" $? 0
is "running guests are told, stopped ones are not" "$(outcomes <<<"$report")" '[["identity","done"],["8200","done"],["8300","done"]]'
like "and the operator what comes next" "$(jq -r .next <<<"$report")" '^felhomctl identity switch, once'
NEW=$(leaf_of "$TLS/next.crt")
NEW_PIN=sha256//$(spki_of "$TLS/next.crt")
is "the guest's pins" "$(pins 8200)" "$OLD_PIN;$NEW_PIN"
is "both leaves" "$(leaves 8200)" "$OLD $NEW"
is "controller.yaml names both" "$(told_yaml)" "fingerprint=$OLD fingerprint_next=$NEW"
is "the API serves the same" "$(yaml_served)" "$(cat "$DIRECTORY/controller.yaml")"
is "agent.crt holds both" "$(certificates)" 2
is "the one that is served first" "$(leaf_of "$DIRECTORY/agent.crt")" "$OLD"
is "the token is the same" "$(cat "$(token_of 8200)")" "$token"
is "and none was minted" "$(tokens)" "$minted"
is "directory, owners and modes stay" "$(look)" "$before"
is "the old certificate is still served" "$(served)" "$OLD"
staged=$(sums; stat -c '%n %i' "$DIRECTORY"/*)
is "staging again" "$(step stage --output-format json | outcomes)" '[["identity","already"],["8200","already"],["8300","already"]]'
is "touches nothing" "$(sums; stat -c '%n %i' "$DIRECTORY"/*)" "$staged"
is "one to come cannot be retired" "$(step retire 2>&1)" \
    "felhomctl: the next identity is staged, but not served yet: felhomctl identity switch"
ok "a guest starts" phase 8500 pre-start
is "and is told of both" "$(leaves 8500)" "$OLD $NEW"
is "identity shows the next pin" "$(step --output-format json | jq -r '[.pin_leaf_sha256, .next_pin_leaf_sha256, .previous_pin_leaf_sha256] | join(" ")')" "$OLD $NEW "
ctl init >/dev/null
is "init changes nothing of it" "$(leaf_of "$TLS/agent.crt") $(leaf_of "$TLS/next.crt")" "$OLD $NEW"
polled

# --- switch ---
# Connections of before: one that stays open, and two sessions to be resumed, by ticket and by the server's memory.
talk() { in_guest 8200 openssl s_client -quiet -connect "$ENDPOINT"; }
mkfifo "$HOST/say"
ask() { printf 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n' >&8; }
answers() { [ "$(grep -c '^HTTP/1.1 200' "$HOST/heard")" -ge "$1" ]; }
handshake() { in_guest 8200 openssl s_client -connect "$ENDPOINT" -tls1_2 "$@" </dev/null 2>/dev/null; }
handshake -sess_out "$HOST/ticket" >/dev/null
handshake -no_ticket -sess_out "$HOST/session" >/dev/null
like "a ticket is good" "$(handshake -sess_in "$HOST/ticket")" 'Reused, TLSv1.2'
like "so is a session" "$(handshake -no_ticket -sess_in "$HOST/session")" 'Reused, TLSv1.2'
talk <"$HOST/say" >"$HOST/heard" 2>/dev/null &
talker=$!
exec 8>"$HOST/say"
ask
ok "a connection is open" eventually answers 1
report=$(step switch --output-format json 2>"$HOST/stderr")
is "switch succeeds" "$? $(cat "$HOST/stderr")" "0 "
ask # it is kept for fifteen seconds without a request
ok "an open connection goes on" eventually answers 2
is "and tells the guests" "$(outcomes <<<"$report")" '[["identity","done"],["8200","done"],["8300","done"],["8500","done"]]'
like "what comes next" "$(jq -r .next <<<"$report")" '^felhomctl identity retire, once'
is "the new certificate is served" "$(served)" "$NEW"
exec 8>&-
wait $talker
like "a ticket of before is none any more" "$(handshake -sess_in "$HOST/ticket")" 'New, TLSv1.2'
like "nor is a session" "$(handshake -no_ticket -sess_in "$HOST/session")" 'New, TLSv1.2'
is "the guest's pin" "$(pins 8200)" "$NEW_PIN"
is "controller.yaml names it alone" "$(told_yaml)" "fingerprint=$NEW"
is "the API serves the same" "$(yaml_served)" "$(cat "$DIRECTORY/controller.yaml")"
is "agent.crt holds both still" "$(certificates)" 2
is "the new one first" "$(leaf_of "$DIRECTORY/agent.crt")" "$NEW"
is "the old pin fails" "$(code 8200 -k --pinnedpubkey "$OLD_PIN")" "000 90"
is "the old certificate verifies nothing" "$(code 8200 --cacert "$HOST/old.crt")" "000 60"
is "switching again" "$(step switch --output-format json | outcomes)" '[["identity","already"],["8200","already"],["8300","already"],["8500","already"]]'
is "no second one before the old is retired" "$(step stage 2>&1)" \
    "felhomctl: the identity before this one is not retired yet: felhomctl identity retire"
is "identity shows the previous pin" "$(step --output-format json | jq -r '[.pin_leaf_sha256, .next_pin_leaf_sha256, .previous_pin_leaf_sha256] | join(" ")')" "$NEW  $OLD"
like "the trail has it" "$(sql "SELECT group_concat(detail, ';') FROM event WHERE kind = 'identity'")" "staged: leaf pin $NEW;.*current one: leaf pin $NEW"
polled

# --- retire ---
is "retire" "$(step retire --output-format json | outcomes)" '[["identity","done"],["8200","done"],["8300","done"],["8500","done"]]'
is "the old key is gone" "$(ls "$TLS")" "$(printf 'agent.crt\nagent.pem')"
is "agent.crt holds the new one alone" "$(sha256sum <"$DIRECTORY/agent.crt")" "$(sha256sum <"$TLS/agent.crt")"
is "the token is the same to the end" "$(cat "$(token_of 8200)")" "$token"
is "retiring again" "$(step retire --output-format json | jq -c '[.changed, .steps[0].outcome]')" '[false,"already"]'
polled
touch "$HOST/stop"
# shellcheck disable=SC2086
wait $pollers
is "a guest that reads its pins again sees no failure" "$(sort "$HOST/polled.pins" | uniq)" "200 0"
is "nor does one that verifies" "$(sort "$HOST/polled.certificate" | uniq)" "200 0"
is "one that does not follow fails from the switch on" "$(uniq "$HOST/polled.old")" "$(printf '200 0\n000 90')"
rm "$HOST/stop"

# --- a guest that could not be told ---
echo 'bogus: 1' >"$HOST/pve/priv/felhom/8300.yaml"
step stage >"$HOST/stdout" 2>"$HOST/stderr"
is "a guest that cannot be told is a failure" "$? $(cat "$HOST/stderr")" "1 felhomctl: not all directories could be updated: guest 8300"
is "the others are told" "$(leaves 8200 | wc -w) $(leaves 8300 | wc -w)" "2 1"
like "the switch warns of it" "$(step switch 2>/dev/null)" 'warning +8300 .*bogus.*until it reads its directory again it refuses the new certificate'
enroll 8300 >/dev/null 2>&1
rm "$HOST/pve/priv/felhom/8300.yaml"
ok "once mended" step switch
is "it is told" "$(leaves 8300)" "$(served)"
step retire >/dev/null
step stage >/dev/null
cp "$HOST/old.crt" "$(directory_of 8300)/agent.crt"
like "one that was not told of this one is named" "$(step switch)" 'warning +8300 +its directory names the new certificate only now'
step retire >/dev/null

# --- felhomd is not there ---
step stage >/dev/null
both=$(leaves 8200)
daemon_stop
report=$(step switch)
is "a switch without felhomd" $? 0
like "says so" "$report" 'warning +felhomd +does not run'
is "guests know both" "$(leaves 8200)" "$both"
is "so do those that start" "$(phase 8500 post-stop; phase 8500 pre-start >/dev/null; leaves 8500)" "$both"
like "identity tells of it" "$(step)" 'next step: +felhomctl identity switch again'
is "retiring is too early" "$(step retire 2>&1)" "felhomctl: felhomd has not shown the new certificate yet: start it, then felhomctl identity switch"
ctl init >/dev/null
is "init does not hide it" "$(step retire 2>&1 | wc -l)" 1
daemon_start
is "it starts with the new one" "$(served)" "${both#* }"
is "those pins are good" "$(code 8200 -k --pinnedpubkey "$(pins 8200)")" "200 0"
ok "the switch again" step switch
is "then the new one is told alone" "$(leaves 8200)" "${both#* }"
ok "and the old one retired" step retire

# --- reloads that fail half-way ---
now=$(served)
step stage >/dev/null
cp -a "$TLS" "$HOST/tls.kept"
cp "$TLS/next.crt" "$TLS/agent.crt"
echo rubbish >"$TLS/agent.pem"
reload
like "a key that cannot be read" "$(tail -n 1 "$HOST/felhomd.log")" 'reload failed, the old configuration stays in force: .*agent.pem'
is "leaves the old certificate" "$(served)" "$now"
is "and all that know it" "$(code 8200 -k --pinnedpubkey "$(pins 8200)")" "200 0"
cp -p "$HOST"/tls.kept/* "$TLS"
reload
is "nothing came of it" "$(served)" "$now"
ok "then the switch works" step switch
step retire >/dev/null
# Another certificate and an address that cannot be had, in one reload.
step stage >/dev/null
python3 -c 'import socket, sys, time
s = socket.socket(); s.bind((sys.argv[1], 8444)); s.listen(); print("ready", flush=True); time.sleep(600)' $ADDRESS >"$HOST/squatter" &
eventually test -s "$HOST/squatter"
settings ", listen: '$ADDRESS:8444'"
kill -STOP $DAEMON
next=$(leaf_of "$TLS/next.crt")
"$BIN/felhomctl" identity switch >/dev/null 2>&1 &
switcher=$!
is_in_place() { [ "$(leaf_of "$TLS/agent.crt") $(leaf_of "$TLS/agent.pem")" = "$next $next" ]; }
eventually is_in_place # and waits for felhomd
kill $switcher
wait $switcher 2>/dev/null
kill -HUP $DAEMON
failed=$(reloads)
kill -CONT $DAEMON
ok "a reload fails" eventually reloaded "$failed"
settings
is "it listens where it did, with what lies there" "$(served)" "$(leaf_of "$TLS/agent.crt")"
is "guests know it" "$(code 8200 -k --pinnedpubkey "$(pins 8200)")" "200 0"
reload
ok "and the switch comes to its end" step switch
is "in the directories, too" "$(leaves 8200)" "$(served)"
step retire >/dev/null
rm -r "$HOST/tls.kept"

# --- kill -9 ---
# Whatever died when: the certificate that is served is among those that the guest knows, and felhomd can be started with what lies there.
broken() {
    local shown
    shown=$(served)
    grep -qF "$shown" <<<"$(leaves 8200)" || echo "served $shown, told $(leaves 8200)"
    [ "$(code 8200 --cacert "$DIRECTORY/agent.crt")" = "200 0" ] || echo "agent.crt"
    openssl x509 -in "$TLS/agent.pem" -noout 2>/dev/null && openssl pkey -in "$TLS/agent.pem" -noout 2>/dev/null || echo "agent.pem"
    "$BIN/felhomd" --check >/dev/null || echo "felhomd --check"
}
took() {
    local start
    start=$(date +%s%N)
    step "$1" >/dev/null
    echo $((($(date +%s%N) - start) / 1000))
}
declare -A took_us
for name in stage switch retire; do took_us[$name]=$(took $name); done
wrong=
for round in $(rounds 20); do
    for name in stage switch retire; do
        "$BIN/felhomctl" identity $name >/dev/null 2>&1 &
        pid=$!
        perl -e 'select undef, undef, undef, $ARGV[0] / 1e6' $((took_us[$name] * 5 / 4 * round / 20))
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        wrong=$(broken)
        [ -z "$wrong" ] || break 2
        # A guest that starts now, whatever is half-way.
        phase 8500 pre-start >/dev/null 2>&1
        grep -qF "$(served)" <<<"$(leaves 8500)" || wrong="a guest that started"
        step $name >/dev/null || wrong="$name again"
        [ -z "$wrong" ] || break 2
    done
done
is "killed again and again" "$wrong" ""
is "and nothing is left over" "$(ls -A "$TLS")" "$(printf 'agent.crt\nagent.pem')"
is "the directory is as before" "$(look)" "$before"
daemon_stop
tap_done
