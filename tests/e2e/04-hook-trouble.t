#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What felhom-hook does when something is wrong.
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

# Dumps the store without the audit trail, in which failures are recorded.
snapshot_of_all() {
    (cd "$HOST/run/guests" && find . -printf '%p %i %s %T@\n' | sort)
    sql '.dump' | grep -v 'INTO event\|INTO sqlite_sequence'
}
newest_event() { ctl events "$1" --output-format json | jq -r '.[-1] | "\(.kind) \(.outcome): \(.detail)"'; }

# The configuration does not exist.
before=$(snapshot_of_all)
try 999 pre-start
is "absent config: the guest starts" $status 0
like "absent config: the message names the file" "$err" "$HOST/pve/lxc/999.conf"
is "absent config: nothing has changed" "$(snapshot_of_all)" "$before"
is "absent config: an event records the error" "$(newest_event 999)" \
    "pre-start error: $HOST/pve/lxc/999.conf: no such guest configuration on this node"
mkdir "$HOST/pve/lxc/998.conf"
try 998 pre-start
like "unreadable config: the message names the file" "$err" "$HOST/pve/lxc/998.conf"
is "unreadable config: nothing has changed" "$(snapshot_of_all)" "$before"
agent_yaml <<<'hook: {on_error: block}'
try 999 pre-start
is "absent config with on_error: block: the guest does not start" $status 1
is "on_error: block prints nothing on stdout" "$out" ""
try 999 post-start
is "with on_error: block only pre-start fails" $status 0

# A line that Proxmox skips with a warning.
agent_yaml </dev/null
guest_config 8200 <<<'this is no configuration line'
enroll 8200 >/dev/null
try 8200 pre-start
is "pre-start succeeds with a configuration line that Proxmox skips" $status 0
like "pre-start warns of a configuration line that it skips" "$err" 'this is no configuration line'
like "a skipped configuration line does not keep the token from being minted" "$out" 'minted'
guest_config 8200 </dev/null
try 8200 pre-start
like "pre-start warns if the guest mounts no directory of ours" "$err" 'felhomctl enroll 8200'
enroll 8200 >/dev/null

# agent.yaml is wrong.
agent_yaml <<<'surprise: 1'
try 8200 pre-start
is "a wrong agent.yaml: the guest starts" $status 0
like "a wrong agent.yaml: the message gives the line and column" "$err" '^felhom-hook: agent.yaml:9:1: surprise: '
agent_yaml </dev/null

# A mount of another guest's directory is always blocked, whatever on_error says.
foreign() {
    local what=$1 line=$2 mend=$3 place=${4:-}
    [ -n "$place" ] || case $line in
    lxc.*) place="${line%%:*} \\(line 1\\)" ;;
    *) place=${line%%:*} ;;
    esac
    guest_config 8200 <<<"$line"
    before=$(snapshot_of_all)
    try 8200 pre-start
    is "foreign mount, $what: blocked" $status 1
    like "foreign mount, $what: the message names the mount" "$err" "$place mounts "
    like "foreign mount, $what: the message has the command that fixes it" "$err" "$mend"
    is "foreign mount, $what: nothing was written" "$(snapshot_of_all)" "$before"
}
foreign "entry" "lxc.mount.entry: $HOST/run/export/8300 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0" \
    'felhomctl enroll 8200'
foreign "entry of the writable directory" "lxc.mount.entry: $HOST/run/guests/8300 etc/x none bind 0 0" \
    'felhomctl enroll 8200'
foreign "mp" "mp1: $HOST/run/guests/8300,mp=/etc/felhom-bootstrap,ro=1" 'pct set 8200 --delete mp1'
foreign "mp with slashes" "mp1: $HOST/run//guests//8300/,mp=/mnt" 'pct set 8200 --delete mp1'
foreign "entry with escapes" "lxc.mount.entry: $HOST/run/export/\\0708300 etc/x none bind 0 0" 'felhomctl enroll 8200'
foreign "directories of all guests" "mp1: $HOST/run/guests,mp=/mnt" 'pct set 8200 --delete mp1'
foreign "a parent" "mp1: $HOST/run,mp=/mnt" 'pct set 8200 --delete mp1'
foreign "a guest that does not exist yet" "mp1: $HOST/run/guests/8301,mp=/mnt" 'pct set 8200 --delete mp1'
ln -s "$HOST/run/guests" "$HOST/link"
foreign "through a symbolic link" "mp1: $HOST/link/8300,mp=/mnt" 'pct set 8200 --delete mp1'
EDITOR="editor $HOST/pve/lxc/8200.conf"
foreign "the host's root and all below" "lxc.mount.entry: / host none rbind,ro,create=dir 0 0" \
    "with it; bind in place of rbind would not show them. To mend it: $EDITOR"
foreign "a layer of an overlay" "lxc.mount.entry: overlay mnt overlay lowerdir=/usr:$HOST/run/guests/8300 0 0" "$EDITOR"
foreign "a mount that LXC shares" "lxc.mount.auto: shmounts:$HOST/run/guests/8300" "$EDITOR"
foreign "a hook of LXC's" "lxc.hook.mount: /bin/mount --bind $HOST/run/guests/8300 /mnt" "$EDITOR"
mkdir "$HOST/lxc.d"
printf '\n%s\n' "$HOST/run/export/8300 mnt none bind,ro 0 0" >"$HOST/lxc.d/fstab"
printf '%s\n' "lxc.cap.drop = sys_time" "lxc.mount.fstab = $HOST/lxc.d/fstab" >"$HOST/lxc.d/one.conf"
foreign "an fstab" "lxc.mount.fstab: $HOST/lxc.d/fstab" "editor $HOST/lxc.d/fstab" "$HOST/lxc.d/fstab:2: lxc.mount.entry"
foreign "an fstab of an included directory" "lxc.include: $HOST/lxc.d" "editor $HOST/lxc.d/fstab" \
    "$HOST/lxc.d/fstab:2: lxc.mount.entry"
rm "$HOST/lxc.d/fstab"
guest_config 8200 <<<"lxc.include: $HOST/lxc.d"
try 8200 pre-start
is "a file that cannot be checked: blocked" $status 1
like "a file that cannot be checked: the message names line and file" "$err" \
    "$HOST/lxc.d/one.conf:2: lxc.mount.fstab names $HOST/lxc.d/fstab, which cannot be checked: .*editor $HOST/lxc.d/one.conf"
guest_config 8200 <<<"lxc.include: /usr/share/lxc/config/none.d/"
try 8200 pre-start
is "an included directory that is missing is no problem, as for LXC" $status 0
agent_yaml <<<'hook: {on_error: continue}'
foreign "even with on_error: continue" "mp1: $HOST/run/guests/8300,mp=/mnt" 'pct set'
guest_config 8200 <<<"mp1: /,mp=/mnt"
try 8200 pre-start
is "a mount of the host's root is allowed, as it does not include mounts below it" $status 0
guest_config 8200 <<<"mp1: $HOST/run/guests/8200,mp=/etc/felhom-bootstrap,ro=1"
try 8200 pre-start
is "a guest may mount its own directory by mp" "$status$err" 0
guest_config 8200 </dev/null
enroll 8200 >/dev/null

# Another process holds the store's lock until the deadline.
$HOOK 8200 pre-start >/dev/null
kept=$(cat "$(token_of 8200)")
mkfifo "$HOST/holder"
sqlite3 -cmd ".timeout 5000" "$HOST/state/db/agent.db" <"$HOST/holder" 2>/dev/null &
exec 8>"$HOST/holder"
echo 'BEGIN IMMEDIATE;' >&8
is_locked() { ! sqlite3 "$HOST/state/db/agent.db" 'BEGIN IMMEDIATE'; }
ok "(another process holds the store's lock)" eventually is_locked
agent_yaml <<<'hook: {deadline: 1s}'
try 8200 pre-start
ok "a locked store: the hook gives up before the lock is released" is_locked
is "a locked store: the guest starts" $status 0
like "a locked store: the message names the cause" "$err" 'locked|deadline'
is "a locked store: the guest keeps its token" "$(cat "$(token_of 8200)")" "$kept"
agent_yaml <<<'hook: {deadline: 1s, on_error: block}'
try 8200 pre-start
is "a locked store with on_error: block: the guest does not start" $status 1
exec 8>&-
wait
is "a locked store: the database is intact" "$(sql 'PRAGMA integrity_check')" ok
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
    ok "a stuck disk: the hook ends before the disk responds" fsfreeze --unfreeze "$HOST/slow"
    kill $rescue
    wait $rescue 2>/dev/null
    is "a stuck disk: the guest starts" $status 0
    like "a stuck disk: the message names the deadline" "$err" 'deadline of 1000 ms'
    no_hook() { [ "$(pgrep -c felhom-hook)" -eq 0 ]; }
    ok "a stuck disk: no process is left" eventually no_hook
    umount "$HOST/slow"
else
    skip "a stuck disk" "no loop device here"
fi
agent_yaml </dev/null

# A store of a newer version, and a file that is no store.
sql 'PRAGMA user_version = 9999'
sum=$(sha256sum <"$HOST/state/db/agent.db")
try 8200 pre-start
is "a newer store: the guest starts" $status 0
like "a newer store: the message says that it is newer" "$err" 'newer'
is "a newer store: the file is not changed" "$(sha256sum <"$HOST/state/db/agent.db")" "$sum"
rm -f "$HOST"/state/db/*
head -c 8192 /dev/urandom >"$HOST/state/db/agent.db"
chmod 600 "$HOST/state/db/agent.db"
try 8200 pre-start
like "a broken store: the message names the file" "$err" "$HOST/state/db/agent.db"
rm -f "$HOST"/state/db/*
try 8200 pre-start
like "a lost store: pre-start makes a new one" "$out" 'token gen 1 minted'
mv "$HOST/state/tls" "$HOST/state/tls.away"
try 8200 pre-start
like "a lost identity: the message says what to do" "$err" 'felhomctl init'
mv "$HOST/state/tls.away" "$HOST/state/tls"

# Somebody has tampered with a guest's directory.
$HOOK 8200 post-stop
mv "$HOST/run/guests/8200" "$HOST/elsewhere"
ln -s "$HOST/elsewhere" "$HOST/run/guests/8200"
try 8200 pre-start
like "a symbolic link in place of the directory is refused" "$err" "$HOST/run/guests/8200"
is "nothing is written through a symbolic link in place of the directory" \
    "$(find "$HOST/elsewhere" -type f ! -name agent.crt)" ""
rm "$HOST/run/guests/8200"
mv "$HOST/elsewhere" "$HOST/run/guests/8200"
if world_is_root; then
    chmod 777 "$HOST/run"
    try 8200 pre-start
    like "a parent directory that all users can write to is refused" "$err" "$HOST/run"
    chmod 711 "$HOST/run"
    ln -s /etc/passwd "$HOST/run/guests/8200/token"
    sum=$(sha256sum </etc/passwd)
    try 8200 pre-start
    is "a symbolic link in place of a file is replaced and not followed" "$status$(sha256sum </etc/passwd)" "0$sum"
    ok "a symbolic link in place of a file is replaced by a regular file" test -f "$(token_of 8200)" -a ! -L \
        "$(token_of 8200)"
fi

# There is no space for the guest's files.
if world_is_root; then
    mkdir "$HOST/full"
    mount -t tmpfs -o size=64k,mode=711 full "$HOST/full"
    head -c 60k /dev/zero >"$HOST/full/filler"
    sed -i "s|guests: .*|guests: $HOST/full|" "$HOST/agent.yaml"
    guest_config 8500 </dev/null
    enroll 8500 >/dev/null 2>&1
    try 8500 pre-start
    like "no space: the message says so" "$err" 'No space left'
    is "no space: the token is not left in the store" "$(sql 'SELECT count(*) FROM token WHERE vmid = 8500')" 0
    is "no space: no temporary file is left" "$(find "$HOST/full" -type f | grep -v filler)" ""
fi
tap_done
