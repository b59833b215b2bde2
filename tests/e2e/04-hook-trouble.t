#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What felhom-hook does when things are not as they should be.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
HOOK=$BIN/felhom-hook
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
enroll 8300 >/dev/null
$HOOK 8300 pre-start >/dev/null

# try VMID PHASE: runs the hook; its exit status in $status, output in $out and $err
try() {
    out=$($HOOK "$1" "$2" 2>"$HOST/err")
    status=$?
    err=$(cat "$HOST/err")
}

# All but the audit trail, which tells of failures, too.
snapshot_of_all() {
    (cd "$HOST/run/guests" && find . -printf '%p %i %s %T@\n' | sort)
    sql '.dump' | grep -v 'INTO event\|INTO sqlite_sequence'
}
newest_event() { ctl events "$1" --output-format json | jq -r '.[-1] | "\(.kind) \(.outcome): \(.detail)"'; }

# A configuration that is not there.
before=$(snapshot_of_all)
try 999 pre-start
is "absent config: the guest starts" $status 0
like "absent config: the file is named" "$err" "$HOST/pve/lxc/999.conf"
is "absent config: nothing has changed" "$(snapshot_of_all)" "$before"
is "but for the trail, which tells of it" "$(newest_event 999)" "pre-start error: $HOST/pve/lxc/999.conf: no such guest configuration on this node"
mkdir "$HOST/pve/lxc/998.conf"
try 998 pre-start
like "unreadable config: the file is named" "$err" "$HOST/pve/lxc/998.conf"
is "unreadable config: nothing has changed" "$(snapshot_of_all)" "$before"
agent_yaml <<<'hook: {on_error: block}'
try 999 pre-start
is "absent config with on_error: block: the guest does not start" $status 1
is "block: nothing on stdout" "$out" ""
try 999 post-start
is "no other phase ever fails" $status 0

# A line that Proxmox skips with a warning.
agent_yaml </dev/null
guest_config 8200 <<<'this is no configuration line'
enroll 8200 >/dev/null
try 8200 pre-start
is "a line that Proxmox skips is skipped" $status 0
like "with a warning" "$err" 'this is no configuration line'
like "and the identity is minted" "$out" 'minted'
guest_config 8200 </dev/null
try 8200 pre-start
like "a guest that mounts nothing of ours is told of" "$err" 'felhomctl enroll 8200'
enroll 8200 >/dev/null

# agent.yaml that is wrong.
agent_yaml <<<'surprise: 1'
try 8200 pre-start
is "a wrong agent.yaml: the guest starts" $status 0
like "a wrong agent.yaml is located" "$err" '^felhom-hook: agent.yaml:9:1: surprise: '
agent_yaml </dev/null

# Another guest's directory: always blocked, whatever the policy.
foreign() {
    local what=$1 line=$2 mend=$3
    guest_config 8200 <<<"$line"
    before=$(snapshot_of_all)
    try 8200 pre-start
    is "foreign mount, $what: blocked" $status 1
    like "foreign mount, $what: the mount is named" "$err" "${line%%:*} mounts "
    like "foreign mount, $what: and the command that mends it" "$err" "$mend"
    is "foreign mount, $what: no secret has moved" "$(snapshot_of_all)" "$before"
}
foreign "entry" "lxc.mount.entry: $HOST/run/export/8300 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0" 'felhomctl enroll 8200'
foreign "entry of the writable side" "lxc.mount.entry: $HOST/run/guests/8300 etc/x none bind 0 0" 'felhomctl enroll 8200'
foreign "mp" "mp1: $HOST/run/guests/8300,mp=/etc/felhom-bootstrap,ro=1" 'pct set 8200 --delete mp1'
foreign "mp with slashes" "mp1: $HOST/run//guests//8300/,mp=/mnt" 'pct set 8200 --delete mp1'
foreign "entry with escapes" "lxc.mount.entry: $HOST/run/export/\\0708300 etc/x none bind 0 0" 'felhomctl enroll 8200'
foreign "all guests at once" "mp1: $HOST/run/guests,mp=/mnt" 'pct set 8200 --delete mp1'
foreign "a parent" "mp1: $HOST/run,mp=/mnt" 'pct set 8200 --delete mp1'
foreign "a guest that is not there yet" "mp1: $HOST/run/guests/8301,mp=/mnt" 'pct set 8200 --delete mp1'
ln -s "$HOST/run/guests" "$HOST/link"
foreign "through a link" "mp1: $HOST/link/8300,mp=/mnt" 'pct set 8200 --delete mp1'
agent_yaml <<<'hook: {on_error: continue}'
foreign "even with on_error: continue" "mp1: $HOST/run/guests/8300,mp=/mnt" 'pct set'
guest_config 8200 <<<"mp1: /,mp=/mnt"
try 8200 pre-start
is "the host's root without what is mounted below it is no secret of ours" $status 0
guest_config 8200 <<<"mp1: $HOST/run/guests/8200,mp=/etc/felhom-bootstrap,ro=1"
try 8200 pre-start
is "a guest's own directory by mp is fine" "$status$err" 0
guest_config 8200 </dev/null
enroll 8200 >/dev/null

# The store held by somebody else until the deadline.
$HOOK 8200 pre-start >/dev/null
kept=$(cat "$(token_of 8200)")
mkfifo "$HOST/holder"
sqlite3 -cmd ".timeout 5000" "$HOST/state/db/agent.db" <"$HOST/holder" 2>/dev/null &
exec 8>"$HOST/holder"
echo 'BEGIN IMMEDIATE;' >&8
is_locked() { ! sqlite3 "$HOST/state/db/agent.db" 'BEGIN IMMEDIATE'; }
ok "(somebody holds the store)" eventually is_locked
agent_yaml <<<'hook: {deadline: 1s}'
try 8200 pre-start
ok "the hook does not wait for it" is_locked
is "a locked store: the guest starts" $status 0
like "a locked store is named" "$err" 'locked|deadline'
is "the guest keeps the token that it had" "$(cat "$(token_of 8200)")" "$kept"
agent_yaml <<<'hook: {deadline: 1s, on_error: block}'
try 8200 pre-start
is "a locked store with on_error: block: the guest does not start" $status 1
exec 8>&-
wait
is "nothing was left half-done" "$(sql 'PRAGMA integrity_check')" ok
agent_yaml </dev/null

# A disk that hangs: a frozen file system sleeps in the kernel, where no signal reaches.
if world_is_root && truncate -s 64M "$HOST/disk" && mkfs.ext4 -q "$HOST/disk" 2>/dev/null && mkdir "$HOST/slow" &&
    mount -o loop "$HOST/disk" "$HOST/slow" 2>/dev/null; then
    cp -a "$HOST/state" "$HOST/slow/state"
    agent_yaml <<<'hook: {deadline: 1s}'
    sed -i "s|state: .*|state: $HOST/slow/state|" "$HOST/agent.yaml"
    $HOOK 8200 pre-start >/dev/null
    fsfreeze --freeze "$HOST/slow"
    (sleep 600 && fsfreeze --unfreeze "$HOST/slow") & # else a hook that hangs would hang this test
    rescue=$!
    try 8200 pre-start
    ok "a stuck disk: the hook does not wait for it" fsfreeze --unfreeze "$HOST/slow"
    kill $rescue
    wait $rescue 2>/dev/null
    is "a stuck disk: the guest starts" $status 0
    like "a stuck disk is told of" "$err" 'deadline of 1000 ms'
    no_hook() { [ "$(pgrep -c felhom-hook)" -eq 0 ]; }
    ok "a stuck disk: no process is left" eventually no_hook
    umount "$HOST/slow"
else
    skip "a stuck disk" "no loop device here"
fi
agent_yaml </dev/null

# A store from the future, and one that is none.
sql 'PRAGMA user_version = 9999'
sum=$(sha256sum <"$HOST/state/db/agent.db")
try 8200 pre-start
is "a newer store: the guest starts" $status 0
like "a newer store is refused" "$err" 'newer'
is "and not touched" "$(sha256sum <"$HOST/state/db/agent.db")" "$sum"
rm -f "$HOST"/state/db/*
head -c 8192 /dev/urandom >"$HOST/state/db/agent.db"
chmod 600 "$HOST/state/db/agent.db"
try 8200 pre-start
like "a broken store is named" "$err" "$HOST/state/db/agent.db"
rm -f "$HOST"/state/db/*
try 8200 pre-start
like "a lost store is made anew" "$out" 'token gen 1 minted'
mv "$HOST/state/tls" "$HOST/state/tls.away"
try 8200 pre-start
like "a lost identity: the message says what to do" "$err" 'felhomctl init'
mv "$HOST/state/tls.away" "$HOST/state/tls"

# A directory that somebody has tampered with.
$HOOK 8200 post-stop
mv "$HOST/run/guests/8200" "$HOST/elsewhere"
ln -s "$HOST/elsewhere" "$HOST/run/guests/8200"
try 8200 pre-start
like "a link in the directory's place is refused" "$err" "$HOST/run/guests/8200"
is "nothing is written through it" "$(find "$HOST/elsewhere" -type f ! -name agent.crt)" ""
rm "$HOST/run/guests/8200"
mv "$HOST/elsewhere" "$HOST/run/guests/8200"
if world_is_root; then
    chmod 777 "$HOST/run"
    try 8200 pre-start
    like "a parent that anybody may write to is refused" "$err" "$HOST/run"
    chmod 711 "$HOST/run"
    ln -s /etc/passwd "$HOST/run/guests/8200/token"
    sum=$(sha256sum </etc/passwd)
    try 8200 pre-start
    is "a link in a file's place is replaced, not followed" "$status$(sha256sum </etc/passwd)" "0$sum"
    ok "by a real file" test -f "$(token_of 8200)" -a ! -L "$(token_of 8200)"
fi

# Out of space for the guest's files.
if world_is_root; then
    mkdir "$HOST/full"
    mount -t tmpfs -o size=64k,mode=711 full "$HOST/full"
    head -c 60k /dev/zero >"$HOST/full/filler"
    sed -i "s|guests: .*|guests: $HOST/full|" "$HOST/agent.yaml"
    guest_config 8500 </dev/null
    enroll 8500 >/dev/null 2>&1
    try 8500 pre-start
    like "no space: told of" "$err" 'No space left'
    is "no space: no token is left behind that nobody has" "$(sql 'SELECT count(*) FROM token WHERE vmid = 8500')" 0
    is "no space: no draft is left behind" "$(find "$HOST/full" -type f | grep -v filler)" ""
fi
tap_done
