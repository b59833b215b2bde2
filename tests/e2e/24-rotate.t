#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Token rotation: who reads its file again never sees a 401; who keeps the old token does once the overlap has passed; kill -9 harms nobody.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host

settings() {
    agent_yaml <<<"local_api: {allow: [192.168.0.0/24, 127.0.0.0/8]}
limits: {requests_per_source: 10000, failures_per_source: 10000, handshake: 20s}
hook: {deadline: 1h}
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
# How the directory and its files look: inode of the first, owners and modes.
look() { stat -c '%i %u:%g %a' "$DIRECTORY"; stat -c '%n %u:%g %a' "$DIRECTORY"/*; }
# Whether the guest's newest token lies in all its documents, alone good for longer than the overlap.
whole() {
    local token
    token=$(cat "$DIRECTORY/token")
    [ "$(sql 'SELECT id FROM token WHERE vmid = 8200 ORDER BY generation DESC LIMIT 1')" = "$(id_of 8200)" ] || echo "not the newest"
    [ "$(jq -r .local_api_token "$DIRECTORY/bootstrap.json")" = "$token" ] || echo "bootstrap.json"
    grep -qF "$token" "$DIRECTORY/controller.yaml" || echo "controller.yaml"
    [ "$(sql 'SELECT count(*) FROM token WHERE vmid = 8200 AND revoked_at_ms IS NULL AND expires_at_ms = 0')" = 1 ] || echo "an old token has no end"
    [ "$(ls -A "$DIRECTORY" | wc -l)" = 4 ] || echo "drafts: $(ls -A "$DIRECTORY")"
}

# --- one rotation ---
before=$(look)
cp "$(token_of 8200)" "$HOST/old"
settings 1h
report=$(json rotate 8200)
is "rotate succeeds" $? 0
is "the report names both tokens" "$(jq -r '.rotated[0] | "\(.vmid) \(.token_id) \(.token_generation) \(.replaced_id)"' <<<"$report")" \
    "8200 $(id_of 8200) 2 $(id_in "$HOST/old")"
is "directory, owners and modes stay" "$(look)" "$before"
is "all documents hold the new token" "$(whole)" ""
is "the new token is good" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
is "so is the old one during the overlap" "$(status_of 8200 "$HOST/old" /storage)" 200
like "the old one has an end" "$(jq -r '.rotated[0].replaced_expires_at' <<<"$report")" '^20..-'
settings 1s
ctl rotate 8200 >/dev/null
is "a shorter overlap takes the oldest along" \
    "$(sql "SELECT max(expires_at_ms) < (strftime('%s', 'now') + 3) * 1000 FROM token WHERE vmid = 8200 AND generation < 3")" 1
not_old() { [ "$(status_of 8200 "$HOST/old" /storage)" = 401 ]; }
ok "after the overlap it is refused" eventually not_old
is "and said to be expired" "$(json guest 8200 | jq -r '[.tokens[] | .token] | join(" ")')" "good expired expired"
like "the trail names the tokens" "$(ctl guest 8200)" "rotate +ok +felhomctl +token $(id_of 8200) gen 3 in place of"
like "and the guest sees it" "$(request 8200 "$(token_of 8200)" /events)" '"kind": ?"rotate"'
unlike "no secret anywhere" "$report$(ctl guest 8200)$(sql 'SELECT detail FROM event')" "$(cut -c 14-56 "$(token_of 8200)")"

# One connection, twice the old token: before its end and after.
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
is "a connection that was kept gets no more than another" "$(heard)" "200 401"

# --- a guest that polls ---
settings 5m # by default: a guest that is slow to ask with what it has read is none that keeps an old token
poll() {
    while [ ! -e "$HOST/stop" ]; do
        cp "$(token_of 8200)" "$HOST/polled"
        echo "$(status_of 8200 "$HOST/polled" /storage)"
    done >"$HOST/statuses" 2>/dev/null
}
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
is "a guest that reads its file again never sees a 401" "$(sort -u "$HOST/statuses")" 200
settings 1s

# --- who can be rotated ---
is "a stopped guest has none" "$(ctl rotate 8400 2>&1)" "felhomctl: guest 8400 has no token: it gets one when it starts"
ctl rotate 8400 >/dev/null 2>&1
is "which is a failure" $? 1
not_ok "and it got nothing" test -e "$(token_of 8400)"
is "an unknown guest" "$(ctl rotate 8999 2>&1)" "felhomctl: guest 8999 is not known here: felhomctl enroll 8999"
all=$(json rotate --all)
is "--all succeeds" $? 0
is "--all passes the stopped ones by" "$(steps <<<"$all")" '[["8200","done"],["8300","done"],["8400","already"]]'
some=$(json rotate 8200 8400 8300 2>"$HOST/stderr")
is "one that fails is a failure" $? 1
is "that does not keep the others from it" "$(steps <<<"$some")" '[["8200","done"],["8400","warning"],["8300","done"]]'
is "and is named" "$(cat "$HOST/stderr")" "felhomctl: not all went well: guest 8400"
is "nothing asked for" "$(ctl rotate 2>&1)" "felhomctl: rotate: give VMID..., --all or --due"
is "too much" "$(ctl rotate 8200 --due 2>&1)" "felhomctl: rotate: give VMID..., --all or --due"
like "text" "$(ctl rotate 8300)" '^done     8300             token [0-9A-Za-z]{8} gen [0-9]+ in place of [0-9A-Za-z]{8}$'
ctl revoke 8300 >/dev/null
is "the operator's revocation stands" "$(ctl rotate 8300 2>&1)" "felhomctl: guest 8300 has no token: it gets one when it starts"
phase 8300 pre-start >/dev/null
rm "$(directory_of 8300)/bootstrap.json"
is "so does a stop that has begun" "$(ctl rotate 8300 2>&1)" "felhomctl: guest 8300 has no token: it gets one when it starts"
phase 8300 pre-start >/dev/null

# --- those that are due ---
like "without max_age none is due" "$(ctl rotate --due)" '^already  token.max_age '
settings 1s 9h
due() { json rotate --due | jq -r '.steps[] | select(.about == "8200") | .outcome'; }
newest='vmid = 8200 AND generation = (SELECT max(generation) FROM token WHERE vmid = 8200)'
hours_ago() { sql "UPDATE token SET created_at_ms = created_at_ms - $1 * 3600000, expires_at_ms = max(0, expires_at_ms - $1 * 3600000) WHERE $newest"; }
is "a young token is not" "$(due)" already
hours_ago 7
is "an old one is, whatever it was made with" "$(due)" "done"
is "the new one has an end" "$(sql "SELECT expires_at_ms - created_at_ms FROM token WHERE $newest")" $((9 * 3600000))
is "once" "$(due)" already
hours_ago 5
is "with four of nine hours left it is not" "$(due)" already
hours_ago 2
is "with two it is" "$(due)" "done"
hours_ago 10
is "one that ran out gets its guest a new one" "$(due)" "done"
settings 1s 4h
hours_ago 1
is "of four hours two are kept" "$(due)" already
hours_ago 2
is "less is too little" "$(due)" "done"
# A rotation that died before its files were published has left a young token that the guest has not.
cp -a "$DIRECTORY" "$HOST/kept"
ctl rotate 8200 >/dev/null
cp -a "$HOST"/kept/* "$DIRECTORY"
is "a rotation cut short is made good" "$(due)" "done"
is "at once" "$(due)" already
settings 1s
ctl rotate 8200 >/dev/null

# --- kill -9 ---
broken() {
    [ "$(sql 'PRAGMA integrity_check')" = ok ] || echo "store"
    grep -qE '^fh1_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}_[0-9A-Za-z]{6}$' "$DIRECTORY/token" || echo "token file"
    [ "$(sql "SELECT count(*) FROM token WHERE id = '$(id_of 8200)' AND revoked_at_ms IS NULL AND expires_at_ms = 0")" = 1 ] ||
        echo "the file holds a token that is refused"
    jq -e .local_api_token "$DIRECTORY/bootstrap.json" >/dev/null || echo "bootstrap.json"
    grep -q '^local_api:' "$DIRECTORY/controller.yaml" || echo "controller.yaml"
}
# Without an overlap the old token ends at once: too soon where the files do not hold the new one yet. Deaths are spread over however long one takes.
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
is "killed again and again" "$wrong" ""
is "and no 401 for it" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
ok "then it works as ever" ctl rotate 8200
is "and mends what was left" "$(whole)" ""
is "the directory is the same" "$(look)" "$before"
settings 1s

# --- two at a time ---
for round in $(seq 10); do
    ctl rotate 8200 >/dev/null &
    first=$!
    ctl rotate --all >/dev/null &
    wait $first || diag "first of two"
    wait $! || diag "second of two"
done
is "two rotations at a time" "$(whole)" ""

# --- beside a stop and a start ---
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
is "a stop meanwhile leaves nothing" "$wrong" ""
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
is "a start meanwhile leaves one token" "$wrong" ""
is "that is good" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
daemon_stop
tap_done
