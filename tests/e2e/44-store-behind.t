#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A store that goes back to an earlier state, or is damaged: no token is good that had ended, felhomd and doctor say so,
# and running guests have new tokens without a restart.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
agent_yaml <<<'limits: {requests_per_source: 10000, failures_per_source: 10000}'
DB=$HOST/state/db/agent.db
VMIDS='8200 8201 8202 8203'

# --- stand-ins for systemd: the unit that gives new tokens, and the commands that doctor prints ---
EXEC=$(sed -n 's|^ExecStart=/usr/sbin/felhomctl ||p' debian/felhom-agent.felhom-token-age.service)
FLAG=$(sed -n 's|^PathExists=/run/felhom-agent/||p' debian/felhom-agent.felhom-token-age.path)
path_unit() {
    while :; do
        # shellcheck disable=SC2086
        [ ! -e "$HOST/run/$FLAG" ] || ctl $EXEC >>"$HOST/renewals" 2>&1
        sleep 0.05
    done
}
felhomctl() { ctl "$@"; }
systemctl() {
    case $1 in
    stop) daemon_stop ;;
    start) daemon_start ;;
    restart) daemon_stop && daemon_start ;;
    esac
}
pct() {
    for name in pre-stop post-stop pre-start post-start; do phase "$2" $name; done
}
doctor() { ctl doctor --output-format json; }
result_of() { doctor | jq -r --arg id "$1" '[.checks[] | select(.id == $id)][0].result'; }
status_with() {
    curl -sk -o /dev/null --max-time 120 -w '%{http_code}' -H "@$(header_file "$1")" "https://$ENDPOINT/storage"
}
is_served() { [ "$(status_with "$(token_of "$1")")" = 200 ]; }
all_served() { for vmid in $VMIDS; do is_served "$vmid" || return 1; done; }
# Which of the tokens that have ended are answered with 200
accepted() {
    for token in "$HOST"/ended/*; do
        [ "$(status_with "$token")" != 200 ] || echo "${token##*/}"
    done
}

ctl init >/dev/null
mkdir -p "$HOST/ended" "$HOST/cgroup/lxc"
for vmid in $VMIDS; do
    guest_config "$vmid" </dev/null
    enroll "$vmid" >/dev/null
    mkdir "$HOST/cgroup/lxc/$vmid"
    phase "$vmid" pre-start >/dev/null
    phase "$vmid" post-start
done
daemon_start
path_unit &
UNIT=$!

# --- an older copy, put back in each way ---
# copy: a copy of the store as it is now; then each guest's token ends by a start, one by revoke
copy() {
    rm -rf "$HOST/copy" "$HOST"/ended/*
    cp -a "$HOST/state/db" "$HOST/copy"
    for vmid in $VMIDS; do
        cp "$(token_of "$vmid")" "$HOST/ended/$vmid"
        phase "$vmid" pre-start >/dev/null
        phase "$vmid" post-start
    done
    cp "$(token_of 8203)" "$HOST/ended/revoked"
    ctl revoke 8203 >/dev/null
}
# behind WHAT: what must be true then. 8203 is the operator's.
behind() {
    local events
    is "$1: no token is good that had ended" "$(accepted)" ''
    ok "$1: running guests have new tokens without a restart" eventually is_served 8200
    for vmid in 8201 8202; do ok "$1: so has $vmid" eventually is_served $vmid; done
    not_ok "$1: but not the one whose token the operator had revoked" test -e "$(token_of 8203)"
    like "$1: for that one, rotate --due says what is known of it, and what to do" "$(ctl rotate --due)" \
        'already +8203 +has no token: it was revoked, or the guest stopped, before the store went back: felhomctl rotate 8203 gives it one'
    is "$1: still no token is good that had ended" "$(accepted)" ''
    events=$(sql "SELECT detail FROM event WHERE kind = 'store'")
    like "$1: an event says so" "$events" 'has gone back to an earlier state: .*tokens are ended'
    ok "$1: felhomd's log says so" grep -q 'the store has gone back to an earlier state' "$HOST/felhomd.log"
    is "$1: afterwards doctor finds the store in order" "$(result_of store) $(result_of store.record)" 'ok ok'
    ctl rotate 8203 >/dev/null
    ok "$1: all guests are served" all_served
    : >"$HOST/felhomd.log"
}

copy
daemon_stop
rm -r "$HOST/state/db" && cp -a "$HOST/copy" "$HOST/state/db"
is "doctor says so, though felhomd does not run" "$(result_of store.record)" error
daemon_start
behind 'put back while felhomd was stopped'

copy
cp -a "$HOST/copy" "$HOST/state/db.new"
mv "$HOST/state/db" "$HOST/state/db.old" && mv "$HOST/state/db.new" "$HOST/state/db"
behind 'another directory put in its place'
rm -r "$HOST/state/db.old"

copy
daemon_stop
rm "$DB-wal" "$DB-shm" && cp -a "$HOST/copy/agent.db" "$DB"
daemon_start
behind 'put back without its log'

# --- the whole database is deleted ---
# lost WHAT: what must be true then. 8203's tokens the operator had revoked
lost() {
    for vmid in 8200 8201 8202; do ok "$1: $vmid has a new token without a restart" eventually is_served $vmid; done
    is "$1: no token is good that had ended" "$(accepted)" ''
    like "$1: rotate --due leaves the one whose token the operator had revoked" "$(ctl rotate --due)" \
        'already +8203 +has no token: it was revoked, .*: felhomctl rotate 8203 gives it one'
    not_ok "$1: it has none" test -e "$(token_of 8203)"
    like "$1: an event says so" "$(sql "SELECT detail FROM event WHERE kind = 'store'")" \
        'knows nothing of the tokens of guest 820[0-2] and others: it was lost; running guests get new ones'
    host_is_known() { [ "$(result_of host)" = ok ]; }
    ok "$1: the new store knows the host" eventually host_is_known
    is "$1: afterwards doctor finds the store in order" "$(result_of store) $(result_of store.record)" 'ok ok'
    ctl rotate 8203 >/dev/null
    ok "$1: all guests are served" all_served
    : >"$HOST/felhomd.log"
}
health() { curl -sk -o "$HOST/health" --max-time 120 -w '%{http_code}' "https://$ENDPOINT/healthz"; }
is_healthy() { [ "$(health)" = "$1" ]; }
revoked() {
    rm -rf "$HOST"/ended/*
    cp "$(token_of 8203)" "$HOST/ended/8203"
    ctl revoke 8203 >/dev/null
}
revoked
rm -r "$HOST/state/db"
ok "without its database felhomd says so" eventually is_healthy 503
is "... by JSON that says nothing else" "$(<"$HOST/health")" '{"ok":false,"error":"felhomd cannot read its store"}'
kill -STOP "$DAEMON"
is "doctor names it" "$(doctor | jq -c '.checks[] | select(.id == "store") | [.result, .remedy]')" '["error","felhomctl init"]'
kill -CONT "$DAEMON"
lost 'felhomd makes a new one'
ok "... and felhomd can read it" eventually is_healthy 200

revoked
rm "$DB" "$DB-wal" "$DB-shm"
eval "$(doctor | jq -r '.checks[] | select(.id == "store") | .remedy')" >/dev/null
lost 'what doctor prints makes a new one'

revoked
daemon_stop
rm -r "$HOST/state/db"
daemon_start
lost 'felhomd starts without one'

# --- the record alone is lost ---
rm -rf "$HOST"/ended/*
sql "DELETE FROM event WHERE kind = 'store'"
for vmid in $VMIDS; do cp "$(token_of "$vmid")" "$HOST/ended/$vmid"; done
rm "$HOST"/run/tokens/*
is "without the record no token is good" "$(accepted)" ''
ok "without the record, guests get new tokens" eventually all_served
is "the older ones stay ended" "$(accepted)" ''

# --- no false alarm ---
sql "DELETE FROM event WHERE kind = 'store'"
daemon_stop
mv "$HOST/run/tokens" "$HOST/run/tokens.aside"
: >"$HOST/run/tokens"
is "a file in the record's place: doctor names init" \
    "$(doctor | jq -r '.checks[] | select(.id == "store.record") | "\(.result) \(.remedy)"')" 'error felhomctl init'
like "and init says what is in its way" "$(ctl init 2>&1)" "$HOST/run/tokens is not a directory: move it out of the way"
rm "$HOST/run/tokens"
mv "$HOST/run/tokens.aside" "$HOST/run/tokens"
for vmid in $VMIDS; do
    "$BIN/felhom-hook" "$vmid" pre-start >/dev/null
    ctl rotate "$vmid" >/dev/null
done
daemon_start
is "starts and rotations while felhomd is stopped are no loss" "$(sql "SELECT count(*) FROM event WHERE kind = 'store'")" 0
ok "all guests are served" all_served
daemon_stop
echo 11111111-2222-3333-4444-555555555555 >"$HOST/boot_id"
umount "$HOST"/run/export/*
rm -r "$HOST/run"
if mount --bind "$HOST/boot_id" /proc/sys/kernel/random/boot_id; then
    ctl init >/dev/null
    daemon_start
    is "after a loss of power no token of before is good" "$(accepted)" ''
    is "a loss of power is no store that has gone back" "$(sql "SELECT count(*) FROM event WHERE kind = 'store'")" 0
    is "doctor says nothing of the kind" "$(result_of store.record)" ok
    for vmid in $VMIDS; do phase "$vmid" pre-start >/dev/null; done
    ok "guests that start are served" all_served
else
    skip 'a loss of power' 'the boot id cannot be replaced here'
    daemon_start
fi

# --- bits flipped at random, in the running store and before felhomd starts ---
flip() {
    perl -e 'open my $f, "+<", $ARGV[0] or exit; my $at = int rand -s $f; seek $f, $at, 0; read $f, my $byte, 1;
        seek $f, $at, 0; print $f chr(ord($byte) ^ 1 << int rand 8)' "$1"
}
mends() {
    local remedy
    remedy=$(doctor | jq -r '[.checks[] | select(.result == "error" and (.id | test("^(store|store.record|identities|guest.token)$")))
        | .remedy][0] // ""')
    [ -n "$remedy" ] && eval "$remedy" >/dev/null 2>&1
}
wrong=
for round in $(rounds 12); do
    file=$DB$(case $((round % 3)) in 0) ;; 1) echo -wal ;; 2) echo -shm ;; esac)
    rm -f "$HOST"/ended/*
    for vmid in $VMIDS; do
        cp "$(token_of "$vmid")" "$HOST/ended/$vmid"
        # Where earlier damage keeps a start from its work, no token ends.
        phase "$vmid" pre-start 2>&1 | grep -q minted || rm "$HOST/ended/$vmid"
    done
    [ $((round % 2)) = 0 ] || daemon_stop
    PERL_RAND_SEED=$round flip "$file" 2>/dev/null
    [ $((round % 2)) = 0 ] || daemon_start >/dev/null 2>&1 || :
    [ -z "$(accepted)" ] || wrong="round $round: $(accepted)"
    for _ in 1 2 3; do
        all_served || mends || break
    done
    all_served || wrong="$wrong round $round: $(doctor | jq -c '[.checks[] | select(.result == "error")]')"
    [ -z "$(accepted)" ] || wrong="$wrong round $round, mended: $(accepted)"
    [ -z "$wrong" ] || break
done
is "whatever bit is flipped, no ended token is good, and doctor's commands have all guests served" "$wrong" ''
kill $UNIT
daemon_stop
tap_done
