#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another certificate for the host: a guest that rereads its directory between the steps always knows the certificate
# that is shown; one that does not is locked out by the switch, and not before.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host

settings() {
    agent_yaml <<<"local_api: {allow: [192.168.0.0/24, 127.0.0.0/8]${1:-}}
limits: {requests_per_source: 10000, failures_per_source: 10000, connections_per_source: 64, handshake: 20s}"
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

spki_of() {
    openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
}
leaf_of() { openssl x509 -in "$1" -noout -fingerprint -sha256 | cut -d= -f2; }
# Prints the leaf pin of the certificate that new connections get.
served() {
    in_guest 8200 openssl s_client -connect "$ENDPOINT" </dev/null 2>/dev/null | openssl x509 >"$HOST/served.crt" &&
        leaf_of "$HOST/served.crt"
}
step() { ctl identity "$@"; }
outcomes() { jq -c '[.steps[] | [.about, .outcome]]'; }
# pins VMID: prints the pins of a guest that rereads its directory, in curl's form
pins() {
    jq -r '[.local_api_pin_spki_sha256, .local_api_pin_spki_sha256_next // empty] | map("sha256//" + .) | join(";")' \
        "$(directory_of "$1")/bootstrap.json"
}
leaves() {
    jq -r '[.local_api_pin_leaf_sha256, .local_api_pin_leaf_sha256_next // empty] | join(" ")' \
        "$(directory_of "$1")/bootstrap.json"
}
certificates() { grep -c 'BEGIN CERTIFICATE' "$DIRECTORY/agent.crt"; }
told_yaml() { sed -n 's/^  \(fingerprint[a-z_]*\): "\(.*\)"/\1=\2/p' "$DIRECTORY/controller.yaml" | paste -sd ' '; }
yaml_served() { request 8200 "$(token_of 8200)" /controller.yaml | head -n -1; }
tokens() { sql 'SELECT count(*) FROM token'; }
# code VMID CURL_OPTION...: prints the HTTP status of a request and curl's exit code
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

# --- no certificate is staged ---
sums() { (cd "$DIRECTORY" && sha256sum ./*); }
rest=$(sums)
is "switch without a staged certificate says what to do" "$(step switch 2>&1)" \
    "felhomctl: no next identity is staged for guests to know: felhomctl identity stage"
step switch >/dev/null 2>&1
is "switch without a staged certificate fails" $? 1
is "retire without a previous certificate does nothing" "$(step retire --output-format json | outcomes)" \
    '[["identity","already"],["8200","already"],["8300","already"]]'
is "the documents are unchanged, byte for byte" "$(sums)" "$rest"
is "an unknown step is a usage error" "$(step rollback 2>&1 | head -n 1)" \
    "felhomctl: identity: 'rollback' is not one of stage|switch|retire"
like "identity says that no step is needed" "$(step)" 'next step: +none; felhomctl identity stage begins a rollover'
ctl identity stage --pem >/dev/null 2>&1
is "--pem cannot be combined with a step" $? 1
OLD=$(leaf_of "$TLS/agent.crt")
OLD_PIN=sha256//$(spki_of "$TLS/agent.crt")
cp "$TLS/agent.crt" "$HOST/old.crt"
is "the old certificate is served" "$(served)" "$OLD"

# --- guests that poll meanwhile: one rereads its pins each time, one its agent.crt, one keeps the old pin ---
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
polled_more() {
    [ "$(polls pins)" -gt $(($1 + 3)) ] && [ "$(polls certificate)" -gt $(($2 + 3)) ] &&
        [ "$(polls old)" -gt $(($3 + 3)) ]
}
polled() {
    eventually polled_more "$(polls pins)" "$(polls certificate)" "$(polls old)" || diag "the pollers are stuck"
}
eventually test -s "$HOST/polled.old"
polled

# --- stage ---
token=$(cat "$(token_of 8200)")
minted=$(tokens)
look() { stat -c '%i %u:%g %a' "$DIRECTORY"; stat -c '%n %u:%g %a' "$DIRECTORY"/*; }
before=$(look)
report=$(step stage --output-format json)
is "stage succeeds" $? 0
is "stage updates running guests and no stopped ones" "$(outcomes <<<"$report")" \
    '[["identity","done"],["8200","done"],["8300","done"]]'
like "stage tells the operator the next step" "$(jq -r .next <<<"$report")" '^felhomctl identity switch, once'
NEW=$(leaf_of "$TLS/next.crt")
NEW_PIN=sha256//$(spki_of "$TLS/next.crt")
is "the guest's pins are the old and the new one" "$(pins 8200)" "$OLD_PIN;$NEW_PIN"
is "the guest's leaf pins are the old and the new one" "$(leaves 8200)" "$OLD $NEW"
is "controller.yaml has both fingerprints" "$(told_yaml)" "fingerprint=$OLD fingerprint_next=$NEW"
is "the API serves the same controller.yaml after stage" "$(yaml_served)" "$(cat "$DIRECTORY/controller.yaml")"
is "agent.crt has both certificates" "$(certificates)" 2
is "agent.crt has the served certificate first" "$(leaf_of "$DIRECTORY/agent.crt")" "$OLD"
is "stage keeps the token" "$(cat "$(token_of 8200)")" "$token"
is "stage mints no token" "$(tokens)" "$minted"
is "stage keeps directory, owners and modes" "$(look)" "$before"
is "the old certificate is still served after stage" "$(served)" "$OLD"
staged=$(sums; stat -c '%n %i' "$DIRECTORY"/*)
is "a second stage does nothing" "$(step stage --output-format json | outcomes)" \
    '[["identity","already"],["8200","already"],["8300","already"]]'
is "a second stage changes no file" "$(sums; stat -c '%n %i' "$DIRECTORY"/*)" "$staged"
is "a staged certificate cannot be retired" "$(step retire 2>&1)" \
    "felhomctl: the next identity is staged, but not served yet: felhomctl identity switch"
ok "a guest starts after stage" phase 8500 pre-start
is "a guest that starts after stage gets both pins" "$(leaves 8500)" "$OLD $NEW"
is "identity shows the next pin" \
    "$(step --output-format json | jq -r '[.pin_leaf_sha256, .next_pin_leaf_sha256, .previous_pin_leaf_sha256] | join(" ")')" \
    "$OLD $NEW "
ctl init >/dev/null
is "init does not change the staged certificate" "$(leaf_of "$TLS/agent.crt") $(leaf_of "$TLS/next.crt")" "$OLD $NEW"
polled

# --- switch ---
# Connections made before the switch: one that stays open, and two sessions to resume, by ticket and by the server's
# cache.
talk() { in_guest 8200 openssl s_client -quiet -connect "$ENDPOINT"; }
mkfifo "$HOST/say"
ask() { printf 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n' >&8; }
answers() { [ "$(grep -c '^HTTP/1.1 200' "$HOST/heard")" -ge "$1" ]; }
handshake() { in_guest 8200 openssl s_client -connect "$ENDPOINT" -tls1_2 "$@" </dev/null 2>/dev/null; }
handshake -sess_out "$HOST/ticket" >/dev/null
handshake -no_ticket -sess_out "$HOST/session" >/dev/null
like "a session can be resumed by ticket before the switch" "$(handshake -sess_in "$HOST/ticket")" 'Reused, TLSv1.2'
like "a session can be resumed by the server's cache before the switch" \
    "$(handshake -no_ticket -sess_in "$HOST/session")" 'Reused, TLSv1.2'
talk <"$HOST/say" >"$HOST/heard" 2>/dev/null &
talker=$!
exec 8>"$HOST/say"
ask
ok "a connection is open before the switch" eventually answers 1
report=$(step switch --output-format json 2>"$HOST/stderr")
is "switch succeeds" "$? $(cat "$HOST/stderr")" "0 "
ask # it is kept for fifteen seconds without a request
ok "the open connection still works after the switch" eventually answers 2
is "switch updates the guests" "$(outcomes <<<"$report")" \
    '[["identity","done"],["8200","done"],["8300","done"],["8500","done"]]'
like "switch tells the operator the next step" "$(jq -r .next <<<"$report")" '^felhomctl identity retire, once'
is "the new certificate is served after switch" "$(served)" "$NEW"
exec 8>&-
wait $talker
like "an old ticket cannot resume a session after the switch" "$(handshake -sess_in "$HOST/ticket")" 'New, TLSv1.2'
like "an old cached session cannot be resumed after the switch" "$(handshake -no_ticket -sess_in "$HOST/session")" \
    'New, TLSv1.2'
is "the guest's pin is the new one" "$(pins 8200)" "$NEW_PIN"
is "controller.yaml has the new fingerprint only" "$(told_yaml)" "fingerprint=$NEW"
is "the API serves the same controller.yaml after switch" "$(yaml_served)" "$(cat "$DIRECTORY/controller.yaml")"
is "agent.crt still has both certificates after switch" "$(certificates)" 2
is "agent.crt has the new certificate first" "$(leaf_of "$DIRECTORY/agent.crt")" "$NEW"
is "the old pin does not match after the switch" "$(code 8200 -k --pinnedpubkey "$OLD_PIN")" "000 90"
is "the old certificate does not verify the server after the switch" "$(code 8200 --cacert "$HOST/old.crt")" "000 60"
is "a second switch does nothing" "$(step switch --output-format json | outcomes)" \
    '[["identity","already"],["8200","already"],["8300","already"],["8500","already"]]'
is "no certificate can be staged before the old one is retired" "$(step stage 2>&1)" \
    "felhomctl: the identity before this one is not retired yet: felhomctl identity retire"
is "identity shows the previous pin" \
    "$(step --output-format json | jq -r '[.pin_leaf_sha256, .next_pin_leaf_sha256, .previous_pin_leaf_sha256] | join(" ")')" \
    "$NEW  $OLD"
like "the audit trail has the steps" "$(sql "SELECT group_concat(detail, ';') FROM event WHERE kind = 'identity'")" \
    "staged: leaf pin $NEW;.*current one: leaf pin $NEW"
polled

# --- retire ---
is "retire updates the guests" "$(step retire --output-format json | outcomes)" \
    '[["identity","done"],["8200","done"],["8300","done"],["8500","done"]]'
is "retire deletes the old key" "$(ls "$TLS")" "$(printf 'agent.crt\nagent.pem')"
is "agent.crt has the new certificate only" "$(sha256sum <"$DIRECTORY/agent.crt")" "$(sha256sum <"$TLS/agent.crt")"
is "the whole rollover keeps the token" "$(cat "$(token_of 8200)")" "$token"
is "a second retire does nothing" "$(step retire --output-format json | jq -c '[.changed, .steps[0].outcome]')" \
    '[false,"already"]'
polled
touch "$HOST/stop"
# shellcheck disable=SC2086
wait $pollers
is "a guest that rereads its pins sees no failure" "$(sort "$HOST/polled.pins" | uniq)" "200 0"
is "a guest that rereads agent.crt sees no failure" "$(sort "$HOST/polled.certificate" | uniq)" "200 0"
is "a guest that keeps the old pin fails from the switch on" "$(uniq "$HOST/polled.old")" "$(printf '200 0\n000 90')"
rm "$HOST/stop"

# --- a guest whose directory cannot be updated ---
mkdir "$(directory_of 8300)/.token.0123456789abcdef" # where a draft that a killed process left would be removed
step stage >"$HOST/stdout" 2>"$HOST/stderr"
is "stage fails if a guest's directory cannot be updated" "$? $(cat "$HOST/stderr")" \
    "1 felhomctl: not all directories could be updated: guest 8300"
is "stage updates the other guests" "$(leaves 8200 | wc -w) $(leaves 8300 | wc -w)" "2 1"
like "switch warns of the guest that was not updated" "$(step switch 2>/dev/null)" \
    'warning +8300 .*cannot remove the draft.*until it reads its directory again it refuses the new certificate'
enroll 8300 >/dev/null 2>&1
rmdir "$(directory_of 8300)/.token.0123456789abcdef"
ok "switch succeeds once the cause is removed" step switch
is "the guest that was not updated has the new pin" "$(leaves 8300)" "$(served)"
step retire >/dev/null
step stage >/dev/null
cp "$HOST/old.crt" "$(directory_of 8300)/agent.crt"
like "switch names a guest that was not updated by stage" "$(step switch)" \
    'warning +8300 +its directory names the new certificate only now'
step retire >/dev/null

# --- felhomd is not running ---
step stage >/dev/null
both=$(leaves 8200)
daemon_stop
report=$(step switch)
is "switch succeeds without felhomd" $? 0
like "switch says that felhomd is not running" "$report" 'warning +felhomd +does not run'
is "guests keep both pins while felhomd is not running" "$(leaves 8200)" "$both"
is "a guest that starts while felhomd is not running gets both pins" \
    "$(phase 8500 post-stop; phase 8500 pre-start >/dev/null; leaves 8500)" "$both"
like "identity shows that switch must be repeated" "$(step)" 'next step: +felhomctl identity switch again'
is "retire is refused before felhomd has shown the new certificate" "$(step retire 2>&1)" \
    "felhomctl: felhomd has not shown the new certificate yet: start it, then felhomctl identity switch"
ctl init >/dev/null
is "retire is still refused after init" "$(step retire 2>&1 | wc -l)" 1
daemon_start
is "felhomd starts with the new certificate" "$(served)" "${both#* }"
is "the guest's pins match the new certificate" "$(code 8200 -k --pinnedpubkey "$(pins 8200)")" "200 0"
ok "the repeated switch succeeds" step switch
is "after the repeated switch guests have the new pin only" "$(leaves 8200)" "${both#* }"
ok "retire succeeds after the repeated switch" step retire

# --- reloads that fail half-way ---
now=$(served)
step stage >/dev/null
cp -a "$TLS" "$HOST/tls.kept"
cp "$TLS/next.crt" "$TLS/agent.crt"
echo rubbish >"$TLS/agent.pem"
reload
like "a reload with an unreadable key fails" "$(grep -F reload "$HOST/felhomd.log" | tail -n 1)" \
    'reload failed, the old configuration stays in force: .*agent.pem'
is "a failed reload keeps the old certificate" "$(served)" "$now"
is "the guest's pins match after a failed reload" "$(code 8200 -k --pinnedpubkey "$(pins 8200)")" "200 0"
cp -p "$HOST"/tls.kept/* "$TLS"
reload
is "felhomd still shows the present certificate after the key is restored" "$(served)" "$now"
ok "switch succeeds after the key is restored" step switch
step retire >/dev/null
# Another certificate and an unavailable address in one reload.
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
ok "a reload with an unavailable address fails" eventually reloaded "$failed"
settings
is "felhomd serves the present certificate at the old address" "$(served)" "$(leaf_of "$TLS/agent.crt")"
is "the guest's pins match after that reload" "$(code 8200 -k --pinnedpubkey "$(pins 8200)")" "200 0"
reload
ok "switch succeeds after that reload" step switch
is "the guest's directory has the new pin only" "$(leaves 8200)" "$(served)"
step retire >/dev/null
rm -r "$HOST/tls.kept"

# --- kill -9 ---
# Whenever a step is killed: the served certificate is one that the guest knows, and felhomd can start with the files
# that are left.
broken() {
    local shown
    shown=$(served)
    grep -qF "$shown" <<<"$(leaves 8200)" || echo "served $shown, told $(leaves 8200)"
    [ "$(code 8200 --cacert "$DIRECTORY/agent.crt")" = "200 0" ] || echo "agent.crt"
    openssl x509 -in "$TLS/agent.pem" -noout 2>/dev/null && openssl pkey -in "$TLS/agent.pem" -noout 2>/dev/null ||
        echo "agent.pem"
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
        # A guest that starts now, whatever state the rollover is in.
        phase 8500 pre-start >/dev/null 2>&1
        grep -qF "$(served)" <<<"$(leaves 8500)" || wrong="a guest that started"
        step $name >/dev/null || wrong="$name again"
        [ -z "$wrong" ] || break 2
    done
done
is "killed at any moment, the steps leave everything consistent" "$wrong" ""
is "the kills leave no further files" "$(ls -A "$TLS")" "$(printf 'agent.crt\nagent.pem')"
is "the kills keep the guest's directory" "$(look)" "$before"
daemon_stop
tap_done
