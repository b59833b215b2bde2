#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# enroll and unenroll do all or nothing, with Proxmox's paths and a stand-in for its commands: each step that can fail
# fails, and all is as it was before.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lanes.sh
lanes "$0" steps enroll unenroll
world_enter "$0" "$@"
world_host
CONFIG=$HOST/pve/lxc/8200.conf
TOOLS=$HOST/tools

# --- what is compared ---
everything() {
    # What the host remembers of tokens counts each run.
    find "$HOST/pve" "$HOST/run" "$HOST/vz" "$HOST/snippets" ! -path "$HOST/run/tokens*" \
        ! -name '*.lock' ! -path "$HOST/run/lock*" ! -path "$HOST/run" ! -path "$HOST/run/guests" \
        ! -path "$HOST/run/export" -printf '%p %y %m %U:%G ' \( -type f -exec sha256sum {} \; -o -printf '%l\n' \) | sort
    for table in guest nic mount token credential; do
        sqlite3 -quote -cmd '.timeout 300000' "$HOST/state/db/agent.db" "SELECT '$table', * FROM $table"
    done
}

# --- each system call that changes something: it fails, or the program is killed in its place ---
calls() {
    "$BIN/fault" "$HOST/fault.log" list "${VERB[@]}" >/dev/null 2>&1
    awk '$3 ~ /^(write|pwrite|fsync|fdatasync|ftruncate|fallocate|rename|link|unlink|mkdir|fchown|fchmod|flock|mount|openat:w)$/ {
        print $1 "/" $3 "/" ++count[$1, $3] }' "$HOST/fault.log"
}
# What a killed process leaves beside a file is nobody's.
state_now() { everything | grep -av '\.tmp\.[0-9]* f '; }
ready() {
    guest_config 8200 </dev/null
    chmod 640 "$CONFIG"
    ctl unenroll 8200 >/dev/null
    rm -rf "$HOST/vz/snippets" "$HOST/pve/priv/felhom" "$HOST"/pve/*/*.tmp.* "$HOST/run/export/8200"
    [ "$LANE" = enroll ] || { "${ENROLL[@]}" >/dev/null && phase 8200 pre-start >/dev/null; }
}
walk() {
    local place output before after count=0 wrong=''
    ready
    before=$(state_now)
    "${VERB[@]}" >/dev/null
    after=$(state_now)
    ready
    mapfile -t places < <(calls)
    ready
    for place in $(rounds ${#places[@]}); do
        place=${places[place - 1]}
        ready
        before=$(state_now)
        count=$((count + 1))
        output=$("$BIN/fault" "$HOST/fault.log" fail "$place" 5 "${VERB[@]}" 2>&1)
        case $?,$output in
        0,* | *'cannot write the output'*) [ "$(unstamped <<<"$after")" = "$(state_now | unstamped)" ] || wrong+=" $place: $output $(diff <(unstamped <<<"$after") <(state_now | unstamped))" ;;
        1,*'the guest is unenrolled'*) ;;
        1,*'could not be taken back'*) wrong+=" $place: $output" ;;
        1,*) [ "$before" = "$(state_now)" ] || wrong+=" $place: $output: $(diff <(echo "$before") <(state_now))" ;;
        *) wrong+=" $place: $output" ;;
        esac
        [ -z "$wrong" ] || break
        [ $((count % 5)) -ne 0 ] || { ready && "$BIN/fault" "$HOST/fault.log" kill "$place" "${VERB[@]}" >/dev/null 2>&1; }
        "${VERB[@]}" >/dev/null 2>&1
        [ "$(unstamped <<<"$after")" = "$(state_now | unstamped)" ] || {
            wrong="again after $place: $(diff <(unstamped <<<"$after") <(state_now | unstamped))"
            break
        }
    done
    is "$LANE: each of its calls that change something fails in turn: all or nothing; killed, it is run again" "$wrong" ''
    ok "$LANE: there were such calls ($count)" [ "$count" -gt 5 ]
}
# Without the times and tokens of each run.
unstamped() { sed -E "s/,[0-9]{13}//g; /^'guest'/s/,[0-9]+\$//; s/,[0-9]+\$//; /^'token'/d; /\/guests\/8200\//d"; }
if [ "$LANE" != steps ]; then
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # the leak sanitizer would trace what is traced
    mkdir -p "$HOST/vz"
    agent_yaml </dev/null
    ctl init >/dev/null
    ENROLL=("$BIN/felhomctl" enroll 8200 --customer acme --snippets "$HOST/vz/snippets" --hook "$BIN/felhom-hook")
    VERB=("${ENROLL[@]}")
    [ "$LANE" = enroll ] || VERB=("$BIN/felhomctl" unenroll 8200)
    walk
    tap_done
fi

# --- a host whose /etc/pve is the scratch one ---
mount -t tmpfs run /run
mkdir -p "$TOOLS/sbin" "$HOST"/{etc,etc-work,lib,lib-work,state} /run/lock/lxc
for tool in pct qm; do
    printf '#!/bin/sh\nexec python3 -IS %q %q %q "$@"\n' "$PWD/tests/standins/pve_tools" "$HOST" "$tool" \
        >"$TOOLS/sbin/$tool"
    chmod +x "$TOOLS/sbin/$tool"
done
if ! mount -t overlay overlay -o "lowerdir=$TOOLS/sbin:/usr/sbin" /usr/sbin ||
    ! mount -t overlay overlay -o "lowerdir=/etc,upperdir=$HOST/etc,workdir=$HOST/etc-work" /etc ||
    ! mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$HOST/lib,workdir=$HOST/lib-work" /var/lib; then
    skip "all or nothing" "no overlay can be mounted here"
    tap_done
fi
mkdir -p /etc/pve
mount --bind "$HOST/pve" /etc/pve
mount -t tmpfs -o size=4m state "$HOST/state"
agent_yaml </dev/null
sed -i "s|$HOST/pve|/etc/pve|" "$HOST/agent.yaml"
printf 'dir: own\n\tpath %s\n\tcontent snippets\n\nlvmthin: thin\n\tvgname pve\n' "$HOST" >"$HOST/pve/storage.cfg"
printf '#!/bin/sh\nexit 0\n' >"$HOST/snippets/other"
chmod 755 "$HOST/snippets/other"
mkdir -p "$HOST/vz/snippets" /var/lib/vz
mount --bind "$HOST/vz" /var/lib/vz
ctl init >/dev/null

# --- its steps ---
fails() { printf '{"pct set": {"%s": "%s"}}' "$1" "$2" >"$TOOLS/control.json"; }
mended() { echo '{}' >"$TOOLS/control.json"; }
enroll_here() { ctl enroll 8200 --snippets /var/lib/vz/snippets --hook "$BIN/felhom-hook" "$@"; }
# nothing WHAT REASON COMMAND...: the command fails for that reason and changes nothing
nothing() {
    local what=$1 reason=$2 before output status
    shift 2
    before=$(everything)
    output=$("$@" 2>&1)
    status=$?
    is "$what: exit status 1" $status 1
    like "$what: the reason" "$output" "$reason"
    unlike "$what: no step is said to be done" "$output" $'(^|\n)done '
    unlike "$what: nothing is left" "$output" 'could not be taken back'
    [ "$before" = "$(everything)" ] || diff <(echo "$before") <(everything) >&2
    is "$what: nothing has changed" "$(everything)" "$before"
}
full() { head -c 8m /dev/zero >"$HOST/state/filler" 2>/dev/null || :; }
room() { rm -f "$HOST/state/filler"; }
trap_event() {
    sql "CREATE TRIGGER trap BEFORE INSERT ON event WHEN new.kind = '$1' BEGIN SELECT raise(ABORT, 'trapped'); END"
}
held() {
    exec 8>/run/lock/lxc/pve-config-8200.lock
    flock 8
    "$@"
    local status=$?
    exec 8>&-
    return $status
}

# --- enroll ---
# each_fault FORM OPTION...: enroll in that form, with each step failing
each_fault() {
    local form=$1
    shift
    nothing "$form, locked" 'guest 8200 is locked \(backup\)' locked enroll_here "$@"
    fails fail 'pct is unwell'
    nothing "$form, pct fails" 'pct failed with 255: pct is unwell' enroll_here "$@"
    fails late 'hotplug failed'
    nothing "$form, pct fails once it has written" 'pct failed with 255: hotplug failed' enroll_here "$@"
    mended
    mount -o remount,ro,bind /etc/pve
    nothing "$form, /etc/pve is read-only" 'Read-only file system' enroll_here "$@"
    mount -o remount,rw,bind /etc/pve
    full
    nothing "$form, the disk is full" "full|No space" enroll_here "$@"
    room
    trap_event enroll
    nothing "$form, the last step fails" 'trapped' enroll_here "$@"
    sql 'DROP TRIGGER trap'
}
# An enrolment that is there already is not written again to take back what was never written.
again_read_only() {
    mount -o remount,ro,bind /etc/pve
    nothing 'enrolled again, /etc/pve is read-only' 'Read-only file system' enroll_here --customer other
    mount -o remount,rw,bind /etc/pve
}
# The configuration is as Proxmox would write it, so that its commands leave no trace in it.
as_proxmox() { pct set 8200 --delete net9; }
pct() { /usr/sbin/pct "$@"; }
locked() {
    sed -i '1i lock: backup' "$CONFIG"
    before=$(everything)
    "$@"
    local status=$?
    sed -i '/^lock:/d' "$CONFIG"
    return $status
}

mended
guest_config 8200 </dev/null
as_proxmox
each_fault entry --customer acme
each_fault mp --mount mp
guest_config 8200 <<<'hookscript: own:snippets/other'
as_proxmox
each_fault chain --chain
mkdir -p "$HOST/pve/priv"
: >"$HOST/pve/priv/felhom"
nothing 'no place for enrolments' 'Not a directory' enroll_here --chain
rm "$HOST/pve/priv/felhom"
: >"$HOST/vz/snippets/felhom-hook"
nothing 'no place for the link' 'is a file, not a link' enroll_here --chain
rm "$HOST/vz/snippets/felhom-hook"
mkdir -p "$HOST/run/guests"
chmod 0777 "$HOST/run/guests"
nothing 'no place for the directory' "$HOST/run/guests" enroll_here --chain --mount mp
chmod 0711 "$HOST/run/guests"
nothing "Proxmox's lock is held" 'in use by another task' held enroll_here --chain

# --- a hookscript that cannot be run is not chained ---
chmod 0644 "$HOST/snippets/other"
nothing 'a hookscript that is not executable' "$HOST/snippets/other is not executable" enroll_here --chain
rm "$HOST/snippets/other"
nothing 'a hookscript whose file is missing' "$HOST/snippets/other: No such file or directory" enroll_here --chain
mkdir "$HOST/snippets/other"
nothing 'a hookscript that is a directory' "$HOST/snippets/other is not a file" enroll_here --chain
rmdir "$HOST/snippets/other"
for storage in none thin; do
    guest_config 8200 <<<"hookscript: $storage:snippets/other"
    nothing "a hookscript on the storage $storage" "storage.cfg has no storage $storage with a directory" \
        enroll_here --chain
done

# --- a guest that could not start with our hook keeps starting without it ---
guest_config 8200 <<<'lxc.mount.entry: / host none rbind,ro,create=dir 0 0'
as_proxmox
nothing 'a mount of everything' \
    'lxc.mount.entry \(line 10\) mounts the directories of all guests .*editor /etc/pve/lxc/8200.conf' enroll_here
guest_config 8200 <<<'protection: 1'
as_proxmox
nothing 'a protected guest' 'protection mode enabled' enroll_here --mount mp

# --- unenroll ---
printf '#!/bin/sh\nexit 0\n' >"$HOST/snippets/other"
chmod 755 "$HOST/snippets/other"
for form in entry mp; do
    guest_config 8200 <<<'hookscript: own:snippets/other'
    as_proxmox
    original=$(sha256sum <"$CONFIG")
    ok "$form: enroll" enroll_here --chain --mount $form --customer acme
    phase 8200 pre-start >/dev/null
    before=$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')
    is "$form: the guest has a token" "$before" 1
    again_read_only
    nothing "unenroll, $form, locked" 'guest 8200 is locked \(backup\)' locked ctl unenroll 8200
    fails fail 'pct is unwell'
    nothing "unenroll, $form, pct fails" 'pct is unwell' ctl unenroll 8200
    fails late 'hotplug failed'
    nothing "unenroll, $form, pct fails once it has written" 'hotplug failed' ctl unenroll 8200
    mended
    mount -o remount,ro,bind /etc/pve
    nothing "unenroll, $form, /etc/pve is read-only" 'Read-only file system' ctl unenroll 8200
    mount -o remount,rw,bind /etc/pve
    full
    nothing "unenroll, $form, the disk is full" "full|No space" ctl unenroll 8200
    room
    trap_event unenroll
    nothing "unenroll, $form, the last step fails" 'trapped' ctl unenroll 8200
    sql 'DROP TRIGGER trap'
    : >"$(directory_of 8200)/mine"
    nothing "unenroll, $form, a file of somebody else's" "holds files that are not the agent's" ctl unenroll 8200
    rm "$(directory_of 8200)/mine"
    umount "$HOST/run/export/8200" 2>/dev/null
    mkdir -p "$HOST/run/export/8200"
    mount -t tmpfs mine "$HOST/run/export/8200"
    nothing "unenroll, $form, a mount of somebody else's" 'is a mount, but not of' ctl unenroll 8200
    umount "$HOST/run/export/8200"
    ok "$form: unenroll" ctl unenroll 8200
    is "$form: unenroll restores the configuration" "$(sha256sum <"$CONFIG")" "$original"
    is "$form: unenroll leaves no token, no directory, no enrolment" \
        "$(sql 'SELECT count(*) FROM token')|$(find "$HOST/run/guests" "$HOST/run/export" "$HOST/pve/priv/felhom" -name '8200*')" '0|'
done

# --- a mount that is pending to be removed is none ---
guest_config 8200 </dev/null
as_proxmox
enroll_here --mount mp >/dev/null
pct start 8200
mp=$(sed -n "s|^\\(mp[0-9]*\\): $HOST/run/guests/8200,.*|\\1|p" "$CONFIG")
ctl unenroll 8200 >/dev/null
is "unenroll of a running guest: the mount is pending to be removed" "$(sed -n 's/^delete: //p' "$CONFIG")" "$mp"
like "a second unenroll has nothing to do" "$(ctl unenroll 8200)" 'already +configuration'
cp "$CONFIG" "$HOST/pending"
like "enroll by mp: the mount stays" "$(enroll_here --mount mp)" "done +$mp +set to $HOST/run/guests/8200"
is "enroll by mp: nothing is pending" "$(grep -c '^delete' "$CONFIG")" 0
ctl unenroll 8200 >/dev/null
like "enroll by entry: the entry is set" "$(enroll_here)" 'done +lxc.mount.entry +set to'
is "enroll by entry: the mount is still pending to be removed" "$(sed -n 's/^delete: //p' "$CONFIG")" "$mp"
fails late 'hotplug failed'
nothing 'a running guest, pct fails once it has written' 'hotplug failed' enroll_here --mount mp
mended
pct stop 8200
ctl unenroll 8200 >/dev/null

# --- a chained script that has gone ---
printf '#!/bin/sh\nexit 0\n' >"$HOST/snippets/other"
chmod 755 "$HOST/snippets/other"
guest_config 8200 <<<'hookscript: own:snippets/other'
enroll_here --chain >/dev/null
rm "$HOST/snippets/other"
is "a chained script that has gone: the guest does not start" "$(phase 8200 pre-start >/dev/null 2>&1; echo $?)" 1
output=$(ctl unenroll 8200)
is "a chained script that has gone: unenroll succeeds" $? 0
like "a chained script that has gone: unenroll says so" "$output" \
    "warning +chain +the other hookscript own:snippets/other is not put back: $HOST/snippets/other: No such file"
is "a chained script that has gone: no hookscript is left, so the guest starts" "$(grep -c ^hookscript "$CONFIG")" 0
ok "a chained script that has gone: unenroll again" ctl unenroll 8200
tap_done
