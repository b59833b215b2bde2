#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Disks that are full or read-only, no descriptors, a store that is locked or damaged, a clock that jumps, five hundred hooks: guests keep what they have,
# what is short is named, and when it is over all is well.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lanes.sh
lanes "$0" crowd full damaged descriptors readonly locked clock
world_enter "$0" "$@"
world_host
DB=$HOST/state/db/agent.db
# settings: agent.yaml with a hook that blocks, so that its status tells; more lines on standard input
settings() {
    { echo 'hook: {on_error: block, deadline: 1h}' && cat; } | agent_yaml
}
settings </dev/null
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null

# try COMMAND...: its exit status in $status, all it says in $said
try() {
    said=$("$@" 2>&1)
    status=$?
}
hook() { try phase 8200 "$1"; }
# Whether all files of the guest hold one token, which the store calls good.
has_good_token() {
    local token
    token=$(cat "$(token_of 8200)") && [ "$(jq -r .local_api_token "$(directory_of 8200)/bootstrap.json")" = "$token" ] &&
        grep -qF "$token" "$(directory_of 8200)/controller.yaml" &&
        [ "$(sql "SELECT count(*) FROM token WHERE id = '${token:4:8}' AND revoked_at_ms IS NULL")" = 1 ]
}
starts_again() {
    hook pre-start
    like "$1: then the guest starts" "$status $said" '^0 .*minted'
    ok "$1: with a good token" has_good_token
}
status_now() { curl -sk -o /dev/null --max-time 120 -w '%{http_code}' -H "@$(header_file "${1:-$(token_of 8200)}")" "https://$ENDPOINT/${2:-storage}"; }
answers() { [ "$(status_now "${@:2}")" = "$1" ]; }
logged() { grep -qE "$1" "$HOST/felhomd.log"; }

# room FILE KIB: a file system filled by FILE has that much left
room() {
    local free
    rm -f "$1"
    free=$(df --output=avail -k "${1%/*}" | tail -n 1)
    head -c $(((free - $2) * 1024)) /dev/zero >"$1"
}

# each_room WHAT REASON FILE: pre-start with ever more room, until there is enough; it does its work or says why not, and the guest has a good token
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
    is "$1: told of, and harmless" "$wrong" ""
    ok "$1: at one size too little" test $refused -gt 0
    is "$1: at another enough" $status 0
    is "$1: the store is sound" "$(sql 'PRAGMA integrity_check')" ok
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
    is "state's disk full: guests are answered" "$(status_now)" 200
    is "state's disk full: who is refused as well" "$(status_now /dev/null)" 401
    hook post-stop
    is "state's disk full: a guest stops" $status 0
    not_ok "state's disk full: its secrets are gone" test -e "$(token_of 8200)"
    rm "$HOST/state/filler"
    starts_again "state's disk full"
    is "state's disk full: and is answered" "$(status_now)" 200
    is "state's disk full: one token is good" "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')" 1
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
    is "state read-only: the guest does not start, as it shall" $status 1
    like "state read-only: named" "$said" "$HOST/state.*[Rr]ead-only file system"
    try "$BIN/felhomd"
    is "state read-only: felhomd does not start" $status 1
    like "state read-only: and says why" "$said" "$HOST/state.*[Rr]ead-only file system"
    try ctl rotate 8200
    like "state read-only: no rotation" "$status $said" "^1 .*$HOST/state.*[Rr]ead-only file system"
    mount -o remount,rw "$HOST/state"
    ok "state read-only: the guest kept its token" has_good_token
    starts_again "state read-only"

    mount -t tmpfs -o mode=711 guests "$HOST/run/guests"
    phase 8200 pre-start >/dev/null
    mount -o remount,ro "$HOST/run/guests"
    hook pre-start
    like "guests read-only: named" "$status $said" "^1 .*$HOST/run/guests.*Read-only file system"
    phase 8200 post-start
    hook post-stop
    is "guests read-only: a guest stops" $status 0
    mount -o remount,rw "$HOST/run/guests"
    ok "guests read-only: no file holds a token that is refused" has_good_token
    starts_again "guests read-only"
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
    is "few descriptors: the hook names it" "$wrong" ""
    is "few descriptors: some are enough" $enough 1
    starts_again "few descriptors"

    settings <<<'limits: {threads: 8}'
    wrong=''
    for count in 4 6 8 10 12 14 16; do
        : >"$HOST/felhomd.log"
        prlimit --nofile="$count" "$BIN/felhomd" >>"$HOST/felhomd.log" 2>&1 &
        DAEMON=$!
        settled() { ! kill -0 $DAEMON || answers 200; }
        eventually settled || logged LimitNOFILE || wrong+="$count: neither answers nor ends; "
        kill $DAEMON 2>/dev/null
        wait $DAEMON
        status=$?
        [ $status -eq 0 ] || [ $status -eq 127 ] || logged 'Too many open files|could not be opened' || wrong+="$count: status $status, $(cat "$HOST/felhomd.log"); "
        [ $count -ge 72 ] || [ $status -ne 0 ] || logged 'no more than [0-9]+ files .*LimitNOFILE' || wrong+="$count: no warning; "
    done
    is "few descriptors: felhomd names it" "$wrong" ""
    ok "few descriptors: felhomd starts" daemon_start
    is "few descriptors: and answers" "$(status_now)" 200
    ok "few descriptors: and stops" daemon_stop
    no_descriptors_left
}

# Processor time of felhomd, in hundredths of a second.
used() { awk '{ print $14 + $15 }' /proc/$DAEMON/stat; }

# Connections that say nothing take the last ones.
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
    ok "no descriptors left: felhomd names it" eventually logged 'connections have to wait: Too many open files'
    before=$(used)
    begun=$(date +%s%N)
    sleep 2
    ok "no descriptors left: and is not busy with it" test $((($(used) - before) * 10 * 10000000)) -lt $(($(date +%s%N) - begun))
    is "no descriptors left: who comes waits" "$(ss -Htn state established "dport = :$PORT" | wc -l)" 8
    exec 8>&-
    wait $holder
    ok "no descriptors left: with some again, felhomd answers" eventually answers 200
    ok "no descriptors left: and stops" daemon_stop
}

locked() {
    phase 8200 pre-start >/dev/null && phase 8200 post-start
    daemon_start
    mkfifo "$HOST/holder"
    sqlite3 "$DB" <"$HOST/holder" 2>/dev/null &
    exec 8>"$HOST/holder"
    echo 'BEGIN IMMEDIATE;' >&8
    is_locked() { ! sqlite3 "$DB" 'BEGIN IMMEDIATE' 2>/dev/null; }
    ok "(somebody holds the store)" eventually is_locked
    is "store locked: guests are answered" "$(status_now)" 200
    is "store locked: strangers refused" "$(status_now /dev/null)" 401
    ok "store locked: felhomd ends" daemon_stop
    : >"$HOST/felhomd.log"
    try "$BIN/felhomd"
    like "store locked: felhomd does not start, and says why" "$status $said" '^1 .*the store is locked'
    settings <<<'' && sed -i 's/deadline: 1h/deadline: 1s/' "$HOST/agent.yaml"
    hook post-stop
    is "store locked: a guest stops" $status 0
    not_ok "store locked: its secrets are gone" test -e "$(token_of 8200)"
    exec 8>&-
    settings </dev/null
    starts_again "store locked"
    is "store locked: one token is good" "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')" 1
}

# damaged_pages WHAT FIRST [COUNT]: so many pages of the database, or all from there on, hold something else
damaged_pages() {
    local what=$1 pages
    sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
    pages=$(($(stat -c %s "$DB") / 4096))
    dd if=/dev/urandom of="$DB" bs=4096 seek="$2" count="${3:-$((pages - $2))}" conv=notrunc status=none
    : >"$HOST/felhomd.log"
    is "$what: felhomd answers 503" "$(status_now)" 503
    ok "$what: and tells the log" eventually logged "the store $DB is damaged"
    hook pre-start
    is "$what: the guest does not start, as it shall" $status 1
    like "$what: the message tells the way out" "$said" "the store $DB is damaged.*move the directory $HOST/state/db away and run .felhomctl init.; each guest gets a new token"
    try ctl rotate 8200
    like "$what: felhomctl tells it as well" "$status $said" "^1 .*the store $DB is damaged"
    mv "$HOST/state/db" "$HOST/away.$2"
    ok "$what: (the way out)" ctl init
    is "$what: old tokens are not known" "$(status_now)" 401
    starts_again "$what"
    ok "$what: felhomd comes back by itself" eventually answers 200
}

damaged() {
    phase 8200 pre-start >/dev/null && phase 8200 post-start
    daemon_start
    is "(before)" "$(status_now)" 200
    damaged_pages "first page damaged" 0 1
    damaged_pages "all but the first page damaged" 1
    ok "felhomd ends well" daemon_stop
}

# The clock of what is started by it: what $HOST/clock says, as an offset; steady clocks go on.
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
    is "in the overlap both tokens are good" "$(status_now "$HOST/old") $(status_now "$HOST/new")" "200 200"
    echo '+2h' >"$HOST/clock"
    ok "two hours on, the old one is not" answers 401 "$HOST/old"
    ok "the new one is" answers 200 "$HOST/new"
    echo '-30d' >"$HOST/clock"
    ok "a month back, the new one is good" answers 200 "$HOST/new"
    seq=$(curl -sk -H "@$(header_file "$HOST/new")" "https://$ENDPOINT/events?since=0" | jq '[.data.events[].seq] | max')
    "${JUMPING[@]}" "$BIN/felhomctl" rotate 8200 >/dev/null
    is "it is replaced there" "$(sql 'SELECT max(generation) FROM token')" 3
    like "and both are good again" "$(status_now "$HOST/new") $(status_now)" '200 200'
    like "what happens then comes after what happened" \
        "$(curl -sk -H "@$(header_file "$(token_of 8200)")" "https://$ENDPOINT/events?since=$seq&timeout=5" | jq -c '[.data.events[].kind]')" 'rotate'
    echo '+0' >"$HOST/clock"
    ok "back in time, the newest is good" answers 200
    is "and the one before has come to its end" "$(status_now "$HOST/new")" 401
    hook pre-start
    like "the guest starts" "$status $said" '^0 .*gen 4 minted'
    is "with the only good token" "$(sql 'SELECT group_concat(generation) FROM token WHERE revoked_at_ms IS NULL')" 4
    ok "felhomd ends well" daemon_stop
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
    is "each has minted" "$(cat "$HOST"/out.1* | grep -c minted)" 500
    is "each has a good token" "$(sql 'SELECT count(DISTINCT vmid) FROM token WHERE revoked_at_ms IS NULL')" 500
    is "the store is sound" "$(sql 'PRAGMA integrity_check')" ok
}

case $LANE in
readonly) readonly_disks ;;
*) $LANE ;;
esac
tap_done
