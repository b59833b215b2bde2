#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Disks that are full or read-only, no descriptors, a store that is locked or damaged, a clock that jumps, five hundred
# hooks: guests keep what they have, messages name what is short, and everything works again afterwards.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lanes.sh
lanes "$0" crowd full damaged descriptors readonly locked clock
world_enter "$0" "$@"
world_host
DB=$HOST/state/db/agent.db
# settings: writes agent.yaml with on_error: block, so that the hook's status shows a failure; further lines come from
# standard input
settings() {
    { echo 'hook: {on_error: block}' && cat; } | agent_yaml
}
settings </dev/null
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null

# try COMMAND...: sets $status to its exit status and $said to all its output
try() {
    said=$("$@" 2>&1)
    status=$?
}
hook() { try phase 8200 "$1"; }
# Checks that all files of the guest have one token, and that it is valid in the store.
has_good_token() {
    local token
    token=$(cat "$(token_of 8200)") &&
        [ "$(jq -r .local_api_token "$(directory_of 8200)/bootstrap.json")" = "$token" ] &&
        grep -qF "$token" "$(directory_of 8200)/controller.yaml" &&
        [ "$(sql "SELECT count(*) FROM token WHERE id = '${token:4:8}' AND revoked_at_ms IS NULL")" = 1 ]
}
starts_again() {
    hook pre-start
    like "$1: afterwards the guest starts" "$status $said" '^0 .*minted'
    ok "$1: afterwards the guest has a valid token" has_good_token
}
# status_now [TOKEN_FILE [PATH [SECONDS]]]
status_now() {
    curl -sk -o /dev/null --max-time "${3:-120}" -w '%{http_code}' -H "@$(header_file "${1:-$(token_of 8200)}")" \
        "https://$ENDPOINT/${2:-storage}"
}
answers() { [ "$(status_now "${@:2}")" = "$1" ]; }
logged() { grep -qE "$1" "$HOST/felhomd.log"; }

# room FILE KIB: leaves that much space on a file system, by filling FILE
room() {
    local free
    rm -f "$1"
    free=$(df --output=avail -k "${1%/*}" | tail -n 1)
    head -c $(((free - $2) * 1024)) /dev/zero >"$1"
}

# each_room WHAT REASON FILE: runs pre-start with more and more space, until there is enough; it succeeds or gives the
# reason, and the token is always valid
each_room() {
    local kib wrong='' refused=0
    for kib in $(seq 0 4 400); do
        room "$3" "$kib"
        hook pre-start
        if [ $status -eq 0 ]; then
            [[ $said =~ minted ]] || wrong+="$kib KiB: $said; "
        else
            refused=$((refused + 1))
            [[ $said =~ $2 ]] || wrong+="$kib KiB: $said; "
        fi
        rm "$3"
        has_good_token || wrong+="$kib KiB: no good token; "
        [ $status -ne 0 ] || break
    done
    is "$1: the message gives the reason, and no harm is done" "$wrong" ""
    ok "$1: some sizes are too small" test $refused -gt 0
    is "$1: the largest size is enough" $status 0
    is "$1: the store is intact" "$(sql 'PRAGMA integrity_check')" ok
    starts_again "$1"
}

full() {
    mount -t tmpfs -o size=1m,mode=711 full "$HOST/run/guests"
    phase 8200 pre-start >/dev/null
    each_room "guests' disk full" 'No space left' "$HOST/run/guests/filler"
    umount -R "$HOST/run/guests"

    mv "$HOST/state" "$HOST/kept"
    mkdir "$HOST/state"
    mount -t tmpfs -o size=2m,mode=755 full "$HOST/state"
    cp -a "$HOST/kept/." "$HOST/state"
    phase 8200 pre-start >/dev/null
    each_room "state's disk full" 'No space left|is full|could not be opened for writing' "$HOST/state/filler"

    phase 8200 post-start
    ok "state's disk full: felhomd starts" daemon_start
    room "$HOST/state/filler" 0
    is "state's disk full: a guest's request gives 200" "$(status_now)" 200
    is "state's disk full: a request without a token gives 401" "$(status_now /dev/null)" 401
    hook post-stop
    is "state's disk full: a guest can stop" $status 0
    not_ok "state's disk full: the stopped guest's secrets are deleted" test -e "$(token_of 8200)"
    rm "$HOST/state/filler"
    starts_again "state's disk full"
    is "state's disk full: a restarted guest's request gives 200" "$(status_now)" 200
    is "state's disk full: one token is valid" "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')" 1
    ok "state's disk full: felhomd stops" daemon_stop
}

readonly_disks() {
    mv "$HOST/state" "$HOST/kept"
    mkdir "$HOST/state"
    mount -t tmpfs -o mode=755 state "$HOST/state"
    cp -a "$HOST/kept/." "$HOST/state"
    phase 8200 pre-start >/dev/null
    mount -o remount,ro "$HOST/state"
    hook pre-start
    is "state read-only: on_error: block keeps the guest from starting" $status 1
    like "state read-only: the message names the cause" "$said" "$HOST/state.*[Rr]ead-only file system"
    try "$BIN/felhomd"
    is "state read-only: felhomd does not start" $status 1
    like "state read-only: felhomd gives the reason" "$said" "$HOST/state.*[Rr]ead-only file system"
    try ctl rotate 8200
    like "state read-only: rotate fails" "$status $said" "^1 .*$HOST/state.*[Rr]ead-only file system"
    mount -o remount,rw "$HOST/state"
    ok "state read-only: the guest keeps its token" has_good_token
    starts_again "state read-only"

    mount -t tmpfs -o mode=711 guests "$HOST/run/guests"
    phase 8200 pre-start >/dev/null
    mount -o remount,ro "$HOST/run/guests"
    hook pre-start
    like "guests read-only: pre-start fails and names the cause" "$status $said" \
        "^1 .*$HOST/run/guests.*Read-only file system"
    phase 8200 post-start
    hook post-stop
    is "guests read-only: a guest can stop" $status 0
    mount -o remount,rw "$HOST/run/guests"
    ok "guests read-only: no file has a token that is refused" has_good_token
    starts_again "guests read-only"
}

# felhomd has ended, says what it has no descriptor for, or answers. A request may have to wait for ever.
settled() {
    ! kill -0 $DAEMON || { logged LimitNOFILE && logged 'Too many open files'; } ||
        [ "$(status_now "$(token_of 8200)" storage 10)" = 200 ]
}

descriptors() {
    local count wrong='' enough=0
    phase 8200 pre-start >/dev/null
    for count in $(seq 3 24); do
        try timeout 600 prlimit --nofile="$count" "$BIN/felhom-hook" 8200 pre-start
        case $status in
        0) [[ $said =~ minted|agent.yaml:|/dev/null:|closing ]] || wrong+="$count: $said; " ;;
        1) [[ $said =~ Too\ many\ open\ files|could\ not\ be\ opened ]] || wrong+="$count: $said; " ;;
        *) [[ $said =~ shared\ libraries ]] || wrong+="$count: status $status; " ;; # where it is not static
        esac
        [[ ! $said =~ minted ]] || enough=1
        has_good_token || wrong+="$count: no good token; "
    done
    is "few descriptors: the hook names the cause" "$wrong" ""
    is "few descriptors: the largest number is enough" $enough 1
    starts_again "few descriptors"

    settings <<<'limits: {threads: 8}'
    wrong=''
    for count in $(seq 4 2 20); do
        : >"$HOST/felhomd.log"
        prlimit --nofile="$count" "$BIN/felhomd" >>"$HOST/felhomd.log" 2>&1 &
        DAEMON=$!
        eventually settled || wrong+="$count: neither answers nor ends; "
        kill $DAEMON 2>/dev/null
        wait $DAEMON
        status=$?
        [ $status -eq 0 ] || [ $status -eq 127 ] || logged 'Too many open files|could not be opened' ||
            wrong+="$count: status $status, $(cat "$HOST/felhomd.log"); "
        [ $count -ge 72 ] || [ $status -ne 0 ] || logged 'the limit of open files is [0-9]+, .*LimitNOFILE' ||
            wrong+="$count: no warning; "
    done
    is "few descriptors: felhomd names the cause" "$wrong" ""
    ok "few descriptors: felhomd starts" daemon_start
    is "few descriptors: felhomd answers" "$(status_now)" 200
    ok "few descriptors: felhomd stops" daemon_stop
    no_descriptors_left
}

# felhomd's processor time, in hundredths of a second.
used() { awk '{ print $14 + $15 }' /proc/$DAEMON/stat; }

# Silent connections take the last descriptors.
no_descriptors_left() {
    local before begun holder
    settings <<<'limits: {threads: 8, handshake: 10m}'
    : >"$HOST/felhomd.log"
    daemon_start
    prlimit --pid $DAEMON --nofile=$(($(find /proc/$DAEMON/fd -mindepth 1 | wc -l) + 3))
    mkfifo "$HOST/holder"
    bash -c "for _ in \$(seq 8); do exec {fd}<>/dev/tcp/$ADDRESS/$PORT; done; read -r" <"$HOST/holder" &
    holder=$!
    exec 8>"$HOST/holder"
    ok "no descriptors left: felhomd logs the cause" eventually logged 'connections have to wait: Too many open files'
    before=$(used)
    begun=$(date +%s%N)
    sleep 2
    ok "no descriptors left: felhomd uses little processor time" test $((($(used) - before) * 10 * 10000000)) -lt \
        $(($(date +%s%N) - begun))
    is "no descriptors left: new connections wait" "$(ss -Htn state established "dport = :$PORT" | wc -l)" 8
    exec 8>&-
    wait $holder
    ok "no descriptors left: felhomd answers once there are descriptors again" eventually answers 200
    ok "no descriptors left: felhomd stops" daemon_stop
}

locked() {
    phase 8200 pre-start >/dev/null && phase 8200 post-start
    daemon_start
    mkfifo "$HOST/holder"
    sqlite3 "$DB" <"$HOST/holder" 2>/dev/null &
    exec 8>"$HOST/holder"
    echo 'BEGIN IMMEDIATE;' >&8
    is_locked() { ! sqlite3 "$DB" 'BEGIN IMMEDIATE' 2>/dev/null; }
    ok "(another process holds the store's lock)" eventually is_locked
    is "store locked: a guest's request gives 200" "$(status_now)" 200
    is "store locked: a request without a token gives 401" "$(status_now /dev/null)" 401
    ok "store locked: felhomd stops" daemon_stop
    : >"$HOST/felhomd.log"
    try "$BIN/felhomd"
    like "store locked: felhomd does not start and gives the reason" "$status $said" '^1 .*the store is locked'
    agent_yaml <<<'hook: {on_error: block, deadline: 1s}'
    hook post-stop
    is "store locked: a guest can stop" $status 0
    not_ok "store locked: the stopped guest's secrets are deleted" test -e "$(token_of 8200)"
    exec 8>&-
    settings </dev/null
    starts_again "store locked"
    is "store locked: one token is valid" "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')" 1
}

# damaged_pages WHAT FIRST [COUNT]: overwrites that many pages of the database, or all from FIRST on
damaged_pages() {
    local what=$1 pages
    sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
    pages=$(($(stat -c %s "$DB") / 4096))
    dd if=/dev/urandom of="$DB" bs=4096 seek="$2" count="${3:-$((pages - $2))}" conv=notrunc status=none
    : >"$HOST/felhomd.log"
    is "$what: felhomd answers with 503" "$(status_now)" 503
    ok "$what: felhomd logs the damage" eventually logged "the store $DB is damaged"
    hook pre-start
    is "$what: on_error: block keeps the guest from starting" $status 1
    like "$what: the message says how to recover" "$said" \
        "the store $DB is damaged.*move the directory $HOST/state/db away and run .felhomctl init., then .felhomctl rotate --all. for"
    try ctl rotate 8200
    like "$what: felhomctl names the damage" "$status $said" "^1 .*the store $DB is damaged"
    mv "$HOST/state/db" "$HOST/away.$2"
    ok "$what: (recovered)" ctl init
    is "$what: old tokens are unknown after recovery" "$(status_now)" 401
    starts_again "$what"
    ok "$what: felhomd answers after recovery without a restart" eventually answers 200
}

damaged() {
    phase 8200 pre-start >/dev/null && phase 8200 post-start
    daemon_start
    is "(the token is valid before)" "$(status_now)" 200
    damaged_pages "first page damaged" 0 1
    damaged_pages "all but the first page damaged" 1
    ok "felhomd exits with 0" daemon_stop
}

# The wall clock of programs started by it, offset by what $HOST/clock has; steady clocks are unchanged.
JUMPING=(env LD_PRELOAD="$(echo /usr/lib/*/faketime/libfaketime.so.1)" FAKETIME_TIMESTAMP_FILE="$HOST/clock" FAKETIME_NO_CACHE=1
    FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_FORCE_MONOTONIC_FIX=0)

clock() {
    case $BIN in *asan*) skip "a clock that jumps" "sanitizers and libfaketime do not go together" && return ;; esac
    settings <<<'token: {overlap: 1h}
limits: {requests_per_source: 10000}'
    phase 8200 pre-start >/dev/null && phase 8200 post-start
    echo '+0' >"$HOST/clock"
    "${JUMPING[@]}" "$BIN/felhomd" >"$HOST/felhomd.log" 2>&1 &
    DAEMON=$!
    ok "felhomd starts" eventually answers 200
    cp "$(token_of 8200)" "$HOST/old"
    "${JUMPING[@]}" "$BIN/felhomctl" rotate 8200 >/dev/null
    cp "$(token_of 8200)" "$HOST/new"
    is "during the overlap both tokens are valid" "$(status_now "$HOST/old") $(status_now "$HOST/new")" "200 200"
    echo '+2h' >"$HOST/clock"
    ok "two hours later the old token is refused" answers 401 "$HOST/old"
    ok "two hours later the new token is valid" answers 200 "$HOST/new"
    echo '-30d' >"$HOST/clock"
    ok "with the clock a month back the new token is valid" answers 200 "$HOST/new"
    seq=$(curl -sk -H "@$(header_file "$HOST/new")" "https://$ENDPOINT/events?since=0" | jq '[.data.events[].seq] | max')
    "${JUMPING[@]}" "$BIN/felhomctl" rotate 8200 >/dev/null
    is "with the clock a month back a rotation makes generation 3" "$(sql 'SELECT max(generation) FROM token')" 3
    like "with the clock a month back the last two tokens are valid" "$(status_now "$HOST/new") $(status_now)" '200 200'
    like "with the clock a month back later events come after earlier ones" \
        "$(curl -sk -H "@$(header_file "$(token_of 8200)")" "https://$ENDPOINT/events?since=$seq&timeout=5" | jq -c '[.data.events[].kind]')" \
        'rotate'
    echo '+0' >"$HOST/clock"
    ok "with the clock right again the newest token is valid" answers 200
    is "with the clock right again the token before is refused" "$(status_now "$HOST/new")" 401
    hook pre-start
    like "with the clock right again the guest starts" "$status $said" '^0 .*gen 4 minted'
    is "after that start only its token is valid" \
        "$(sql 'SELECT group_concat(generation) FROM token WHERE revoked_at_ms IS NULL')" 4

    # Tokens that end: the overlap and max_age are times that pass.
    settings <<<'token: {overlap: 1s, max_age: 30d}
limits: {requests_per_source: 10000}'
    reload
    mkdir -p "$HOST/cgroup/lxc/8200"
    phase 8200 post-start
    cp "$(token_of 8200)" "$HOST/old"
    "${JUMPING[@]}" "$BIN/felhomctl" rotate 8200 >/dev/null
    ok "after the overlap the old token is refused" eventually answers 401 "$HOST/old"
    rm -f "$HOST/run/tokens/renew"
    echo '-1h' >"$HOST/clock"
    ok "and stays so when the clock is set back" eventually answers 401 "$HOST/old"
    is "while the new one is good" "$(status_now)" 200
    ok "felhomd notices that the clock was set, and has tokens renewed that are due" eventually test -e "$HOST/run/tokens/renew"
    echo '+365d' >"$HOST/clock"
    like "with the clock a year ahead tokens are due" "$("${JUMPING[@]}" "$BIN/felhomctl" rotate --due)" '^done +8200 '
    is "and the guest is served" "$(status_now)" 200
    ok "felhomd has noticed" eventually logged 'the clock was set forward by'
    cp "$(token_of 8200)" "$HOST/ahead"
    echo '+0' >"$HOST/clock"
    said=$("${JUMPING[@]}" "$BIN/felhomctl" rotate --due)
    like "with the clock right again, a token of next year is due: max_age is counted from now" "$said" '^done +8200 '
    ok "and ends after the overlap" eventually answers 401 "$HOST/ahead"
    unlike "the store is not taken for one that has gone back" \
        "$said$(sql "SELECT group_concat(detail) FROM event WHERE kind = 'store'")" 'gone back'
    is "the guest is served" "$(status_now)" 200
    ok "felhomd exits with 0" daemon_stop
}

crowd() {
    local vmid failed=0
    for vmid in $(seq 1000 1499); do guest_config "$vmid" </dev/null; done
    for vmid in $(seq 1000 1499); do
        phase "$vmid" pre-start >"$HOST/out.$vmid" 2>&1 &
        pids[vmid]=$!
    done
    for vmid in $(seq 1000 1499); do
        wait "${pids[vmid]}" || failed=$((failed + 1))
    done
    is "five hundred starts at once: none fails" $failed 0
    is "five hundred starts at once: each mints a token" "$(cat "$HOST"/out.1* | grep -c minted)" 500
    is "five hundred starts at once: each guest has a valid token" \
        "$(sql 'SELECT count(DISTINCT vmid) FROM token WHERE revoked_at_ms IS NULL')" 500
    is "five hundred starts at once: the store is intact" "$(sql 'PRAGMA integrity_check')" ok
}

case $LANE in
readonly) readonly_disks ;;
*) $LANE ;;
esac
tap_done
