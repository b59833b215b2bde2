#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Token rotation: a guest that rereads its file never gets a 401; one that keeps the old token does after the overlap;
# kill -9 does no harm.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host

settings() {
    agent_yaml <<<"local_api: {allow: [192.168.0.0/24, 127.0.0.0/8]}
limits: {requests_per_source: 10000, failures_per_source: 10000, handshake: 20s}
token: {overlap: ${1:-1s}, max_age: ${2:-0}}"
}
settings
for vmid in 8200 8300 8400; do guest_config $vmid </dev/null; done
ctl init >/dev/null
for vmid in 8200 8300; do
    enroll $vmid >/dev/null
    phase $vmid pre-start >/dev/null
    phase $vmid post-start
done
enroll 8400 >/dev/null
phase 8400 pre-start >/dev/null && phase 8400 post-stop
world_guest 8200 20
[ -e "$(token_of 8300)" ] && daemon_start || { echo "Bail out! No guests"; exit 1; }
DIRECTORY=$(directory_of 8200)

id_in() { cut -c 5-12 "$1"; }
id_of() { id_in "$(token_of "$1")"; }
steps() { jq -c '[.steps[] | [.about, .outcome]]'; }
json() { ctl "$@" --output-format json; }
# Prints the directory's inode, and the owners and modes of its files.
look() { stat -c '%i %u:%g %a' "$DIRECTORY"; stat -c '%n %u:%g %a' "$DIRECTORY"/*; }
# Checks that all the guest's documents have its newest token, and that no older token is valid for longer than the
# overlap.
whole() {
    local token
    token=$(cat "$DIRECTORY/token")
    [ "$(sql 'SELECT id FROM token WHERE vmid = 8200 ORDER BY generation DESC LIMIT 1')" = "$(id_of 8200)" ] ||
        echo "not the newest"
    [ "$(jq -r .local_api_token "$DIRECTORY/bootstrap.json")" = "$token" ] || echo "bootstrap.json"
    grep -qF "$token" "$DIRECTORY/controller.yaml" || echo "controller.yaml"
    [ "$(sql 'SELECT count(*) FROM token WHERE vmid = 8200 AND revoked_at_ms IS NULL AND expires_at_ms = 0')" = 1 ] ||
        echo "an old token has no end"
    [ "$(ls -A "$DIRECTORY" | wc -l)" = 4 ] || echo "drafts: $(ls -A "$DIRECTORY")"
}

# --- one rotation ---
before=$(look)
cp "$(token_of 8200)" "$HOST/old"
settings 1h
report=$(json rotate 8200)
is "rotate succeeds" $? 0
is "the report names both tokens" \
    "$(jq -r '.rotated[0] | "\(.vmid) \(.token_id) \(.token_generation) \(.replaced_id)"' <<<"$report")" \
    "8200 $(id_of 8200) 2 $(id_in "$HOST/old")"
is "a rotation keeps directory, owners and modes" "$(look)" "$before"
is "all documents have the new token" "$(whole)" ""
is "the new token is valid" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
is "the old token is valid during the overlap" "$(status_of 8200 "$HOST/old" /storage)" 200
like "the old token has an expiry time" "$(jq -r '.rotated[0].replaced_expires_at' <<<"$report")" '^20..-'
settings 1s
ctl rotate 8200 >/dev/null
is "a shorter overlap also shortens the life of the oldest token" \
    "$(sql "SELECT max(expires_at_ms) < (strftime('%s', 'now') + 3) * 1000 FROM token WHERE vmid = 8200 AND generation < 3")" \
    1
not_old() { [ "$(status_of 8200 "$HOST/old" /storage)" = 401 ]; }
ok "the old token is refused after the overlap" eventually not_old
is "felhomctl guest shows old tokens as expired" "$(json guest 8200 | jq -r '[.tokens[] | .token] | join(" ")')" \
    "good expired expired"
like "the audit trail names both tokens" "$(ctl guest 8200)" \
    "rotate +ok +felhomctl +token $(id_of 8200) gen 3 in place of"
like "the guest sees the event of its rotation" "$(request 8200 "$(token_of 8200)" /events)" '"kind": ?"rotate"'
unlike "no output and no event contains the secret" "$report$(ctl guest 8200)$(sql 'SELECT detail FROM event')" \
    "$(cut -c 14-56 "$(token_of 8200)")"

# The old token twice on one connection: before and after its expiry.
cp "$(token_of 8200)" "$HOST/old"
settings 1h
ctl rotate 8200 >/dev/null
mkfifo "$HOST/say"
in_guest 8200 openssl s_client -quiet -connect "$ENDPOINT" <"$HOST/say" >"$HOST/heard" 2>/dev/null &
talker=$!
exec 8>"$HOST/say"
ask() { printf 'GET /storage HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n' "$(cat "$(header_file "$HOST/old")")" >&8; }
heard() { sed -n 's|^HTTP/1.1 \([0-9]*\).*|\1|p' "$HOST/heard" | xargs; }
heard_more() { [ "$(heard | wc -w)" -ge "$1" ]; }
ask
eventually heard_more 1
sql "UPDATE token SET expires_at_ms = 1 WHERE id = '$(id_in "$HOST/old")'"
ask
eventually heard_more 2
exec 8>&-
wait $talker
is "an expired token is refused on a connection that stayed open" "$(heard)" "200 401"

# --- a guest that polls ---
settings 5m # by default: a guest that is slow to ask with what it has read is none that keeps an old token
poll() {
    while [ ! -e "$HOST/stop" ]; do
        cp "$(token_of 8200)" "$HOST/polled"
        echo "$(status_of 8200 "$HOST/polled" /storage)"
    done >"$HOST/statuses" 2>/dev/null
}
: >"$HOST/statuses"
poll &
poller=$!
polls() { wc -l <"$HOST/statuses"; }
polled_more() { [ "$(polls)" -gt $(($1 + 3)) ]; }
for round in $(seq 8); do
    eventually polled_more "$(polls)"
    ctl rotate 8200 >/dev/null || diag "round $round"
done
eventually polled_more "$(polls)"
touch "$HOST/stop"
wait $poller
is "a guest that rereads its file never gets a 401" "$(sort -u "$HOST/statuses")" 200
settings 1s

# --- which guests can be rotated ---
is "a stopped guest cannot be rotated" "$(ctl rotate 8400 2>&1)" \
    "felhomctl: guest 8400 has no token: it gets one when it starts"
ctl rotate 8400 >/dev/null 2>&1
is "rotating a stopped guest fails" $? 1
not_ok "a stopped guest gets no token" test -e "$(token_of 8400)"
is "an unknown guest cannot be rotated" "$(ctl rotate 8999 2>&1)" \
    "felhomctl: guest 8999 is not known on this host: run felhomctl enroll 8999"
all=$(json rotate --all)
is "--all succeeds" $? 0
is "--all skips stopped guests" "$(steps <<<"$all")" '[["8200","done"],["8300","done"],["8400","already"]]'
some=$(json rotate 8200 8400 8300 2>"$HOST/stderr")
is "rotating several guests fails if one of them fails" $? 1
is "one guest's failure does not keep the others from being rotated" "$(steps <<<"$some")" \
    '[["8200","done"],["8400","warning"],["8300","done"]]'
is "the failed guest is named" "$(cat "$HOST/stderr")" "felhomctl: not all tokens could be rotated: guest 8400"
is "rotate without guests prints what to give" "$(ctl rotate 2>&1)" "felhomctl: rotate: give VMID..., --all or --due"
is "rotate with a guest and --due prints what to give" "$(ctl rotate 8200 --due 2>&1)" \
    "felhomctl: rotate: give VMID..., --all or --due"
like "the text output names both tokens" "$(ctl rotate 8300)" \
    '^done     8300             token [0-9A-Za-z]{8} gen [0-9]+ in place of [0-9A-Za-z]{8}$'
ctl revoke 8300 >/dev/null
for which in --due --all; do
    is "$which leaves alone what the operator has revoked" "$(ctl rotate $which | grep 8300)" \
        "already  8300             has no token: it was revoked by felhomctl revoke: felhomctl rotate 8300 gives it one"
done
like "a guest whose tokens the operator revoked gets one when the operator says so" "$(ctl rotate 8300)" \
    '^done     8300             token [0-9A-Za-z]{8} gen [0-9]+ in place of none that is known$'
phase 8300 pre-start >/dev/null
rm "$(directory_of 8300)/bootstrap.json"
is "a guest that is being stopped is not rotated" "$(ctl rotate 8300 2>&1)" \
    "felhomctl: guest 8300 has no token: it gets one when it starts"
phase 8300 pre-start >/dev/null

# --- guests that are due ---
like "without max_age no guest is due" "$(ctl rotate --due)" '^already  token.max_age '
settings 1s 9h
due() { json rotate --due | jq -r '.steps[] | select(.about == "8200") | .outcome'; }
newest='vmid = 8200 AND generation = (SELECT max(generation) FROM token WHERE vmid = 8200)'
hours_ago() { sql \
    "UPDATE token SET created_at_ms = created_at_ms - $1 * 3600000, expires_at_ms = max(0, expires_at_ms - $1 * 3600000) WHERE $newest"; \
    }
is "a guest with a young token is not due" "$(due)" already
hours_ago 7
is "a guest with an old token is due, even if the token was minted without max_age" "$(due)" "done"
is "the new token has an expiry time" "$(sql "SELECT expires_at_ms - created_at_ms FROM token WHERE $newest")" \
    $((9 * 3600000))
is "after its rotation the guest is not due" "$(due)" already
hours_ago 5
is "a guest with four of nine hours left is not due" "$(due)" already
hours_ago 2
is "a guest with two of nine hours left is due" "$(due)" "done"
hours_ago 10
is "a guest with an expired token is due" "$(due)" "done"
settings 1s 4h
hours_ago 1
is "a guest with two of four hours left is not due" "$(due)" already
hours_ago 2
is "a guest with less than two hours left is due" "$(due)" "done"
# A rotation that was killed before its files were published leaves a young token that is in no file.
cp -a "$DIRECTORY" "$HOST/kept"
ctl rotate 8200 >/dev/null
cp -a "$HOST"/kept/* "$DIRECTORY"
is "a guest whose rotation was cut short is due" "$(due)" "done"
is "after that rotation the guest is not due" "$(due)" already
settings 1s
ctl rotate 8200 >/dev/null

# --- kill -9 ---
broken() {
    [ "$(sql 'PRAGMA integrity_check')" = ok ] || echo "store"
    grep -qE '^fh1_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}_[0-9A-Za-z]{6}$' "$DIRECTORY/token" || echo "token file"
    [ "$(sql "SELECT count(*) FROM token WHERE id = '$(id_of 8200)' AND revoked_at_ms IS NULL AND expires_at_ms = 0")" \
        = 1 ] ||
        echo "the file holds a token that is refused"
    jq -e .local_api_token "$DIRECTORY/bootstrap.json" >/dev/null || echo "bootstrap.json"
    grep -q '^local_api:' "$DIRECTORY/controller.yaml" || echo "controller.yaml"
}
# Without an overlap the old token ends at once: too soon if the files lack the new one. The kills are spread over a
# rotation's duration.
settings 0s
start=$(date +%s%N)
ctl rotate 8200 >/dev/null
took_us=$((($(date +%s%N) - start) / 1000))
wrong=
for round in $(rounds 100); do
    "$BIN/felhomctl" rotate 8200 >/dev/null 2>&1 &
    pid=$!
    perl -e 'select undef, undef, undef, $ARGV[0] / 1e6' $((took_us * 5 / 4 * round / 100))
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    wrong=$(broken)
    [ -z "$wrong" ] || break
done
is "killed at any moment, a rotation leaves everything consistent" "$wrong" ""
is "the guest's token is valid after the kills" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
ok "a rotation after the kills succeeds" ctl rotate 8200
is "a rotation after the kills repairs what they left" "$(whole)" ""
is "directory, owners and modes are unchanged after the kills" "$(look)" "$before"
settings 1s

# --- two rotations at once ---
for round in $(seq 10); do
    ctl rotate 8200 >/dev/null &
    first=$!
    ctl rotate --all >/dev/null &
    wait $first || diag "first of two"
    wait $! || diag "second of two"
done
is "two rotations at once leave everything consistent" "$(whole)" ""

# --- a rotation during a stop or a start ---
wrong=
for round in $(rounds 40); do
    phase 8200 pre-start >/dev/null 2>&1
    "$BIN/felhomctl" rotate 8200 >/dev/null 2>&1 &
    pid=$!
    perl -e 'select undef, undef, undef, $ARGV[0] / 1e6' $((took_us * round / 40))
    phase 8200 post-stop
    wait $pid
    [ "$(ls -A "$DIRECTORY")" = agent.crt ] || wrong="secrets stay: $(ls -A "$DIRECTORY")"
    [ "$(sql 'SELECT count(*) FROM token WHERE vmid = 8200 AND revoked_at_ms IS NULL')" = 0 ] || wrong="a token is good"
    [ -z "$wrong" ] || break
done
is "a stop during a rotation leaves no token" "$wrong" ""
(
    flock 9
    ctl rotate 8200 >/dev/null 2>&1 9>&- &
    sleep 0.3
    kill -0 $!
) 9>"$HOST/run/hook-8200.lock"
tap_result $? "a rotation waits for a reaction"
phase 8200 pre-start >/dev/null 2>&1
for _ in $(rounds 20); do
    ctl rotate 8200 >/dev/null 2>&1 &
    phase 8200 pre-start >/dev/null 2>&1
    wait $!
done
wrong=$(whole)
is "a start during a rotation leaves one token" "$wrong" ""
is "the token of that start is valid" "$(status_of 8200 "$(token_of 8200)" /storage)" 200

# --- Ctrl-Z ---
# With a process group for each command, as a terminal's shell makes it: in one that nobody could continue, the kernel
# stops nobody.
set -m
# What the terminal sends is still pending (TSTP, the twentieth), or has stopped the process.
has_stop_signal() { grep -qE '^ShdPnd:.*[89a-f][0-9a-f]{4}$|^State:.T' "/proc/$1/status"; }
is_stopped() { grep -q '^State:.T' "/proc/$1/status"; }
stops=
mkfifo "$HOST/hold"
for command in "felhomctl rotate 8200" "felhomctl revoke 8200" "felhom-hook 8200 pre-start"; do
    flock "$HOST/run/hook-8200.lock" cat "$HOST/hold" >/dev/null &
    exec 9>"$HOST/hold" # once the lock is held
    # shellcheck disable=SC2086
    "$BIN"/$command >"$HOST/said" 2>&1 9>&- &
    pid=$!
    eventually grep -qE "^[0-9]+: +-> FLOCK.*:$(stat -c %i "$HOST/run/hook-8200.lock") " /proc/locks
    all=$(pgrep -P $pid | xargs)
    for one in $pid $all; do
        kill -TSTP "$one"
        eventually has_stop_signal "$one"
        is_stopped "$one" && stops+="$command; "
    done
    exec 9>&-
    [ -z "$stops" ] || kill -CONT $pid $all
    wait $pid || stops+="$command: $(cat "$HOST/said")"
done
is "Ctrl-Z does not stop who may hold a lock that starts wait for" "$stops" ""
"$BIN/felhomctl" events --follow >/dev/null 2>&1 &
pid=$!
kill -TSTP $pid
ok "it stops felhomctl events --follow, which holds none" eventually is_stopped $pid
kill -CONT $pid
kill $pid
wait $pid
set +m
daemon_stop
tap_done
