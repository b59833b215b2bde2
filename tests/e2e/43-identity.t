#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest that runs can always be given its identity, whatever was lost: post-start makes up for pre-start, rotate for
# all else.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
enroll 8300 >/dev/null
world_guest 8200 20
daemon_start
DIRECTORY=$(directory_of 8200)

generation() { sql "SELECT generation FROM guest WHERE vmid = 8200"; }
files() { find "$DIRECTORY" -mindepth 1 -printf '%f\n' | sort | xargs; }
asks() { status_of 8200 "$(token_of 8200)" /storage; }

# --- post-start makes up for pre-start ---
mv "$HOST/state" "$HOST/away"
like "a pre-start that cannot open the store fails" "$(phase 8200 pre-start 2>&1)" 'no state directory .*starts all the same'
mv "$HOST/away" "$HOST/state"
is "it has made the guest's directory all the same" "$(find "$DIRECTORY" -printf '%y')" d
world_is_root && is "the directory belongs to the guest's root" "$(stat -c %u "$DIRECTORY")" 100000
ok "what the guest mounts shows it" test "$(stat -c %i "$DIRECTORY")" = "$(stat -c %i "$HOST/run/export/8200")"
inode=$(stat -c %i "$DIRECTORY")
phase 8200 post-start
is "post-start then fills that directory" "$(stat -c %i "$DIRECTORY") $(files)" \
    "$inode agent.crt bootstrap.json controller.yaml token"
is "the guest is served" "$(asks)" 200
is "the guest is running" "$(sql 'SELECT state FROM guest WHERE vmid = 8200')" running
is "the audit trail has it" "$(sql "SELECT group_concat(kind, ' ') FROM
    (SELECT kind FROM event WHERE vmid = 8200 AND kind != 'enroll' ORDER BY seq DESC LIMIT 2)")" 'post-start mint'
phase 8200 post-start
is "where pre-start succeeded, post-start mints nothing" "$(generation)" 1
phase 8200 post-stop
phase 8200 pre-start >/dev/null
rm "$DIRECTORY"/*
phase 8200 post-start
is "a directory that was emptied meanwhile is filled" "$(asks) $(generation)" '200 3'
is "and older tokens are ended" "$(sql 'SELECT count(*) FROM token WHERE vmid = 8200 AND revoked_at_ms IS NULL')" 1
phase 8200 pre-start >/dev/null
ctl revoke 8200 >/dev/null
phase 8200 post-start
is "what the operator has revoked meanwhile stays revoked" "$(files) $(generation)" 'agent.crt 4'
phase 8200 post-stop
mv "$HOST/state" "$HOST/away"
phase 8200 pre-start >/dev/null 2>&1
mv "$HOST/away" "$HOST/state"
phase 8200 post-start
is "until the next start, even one whose pre-start fails" "$(asks) $(generation)" '200 5'

# Whatever kept both from it may end soon; the unit of the timer is asked then, not in an hour.
phase 8200 post-stop
rm -f "$HOST/run/tokens/renew"
mv "$HOST/state" "$HOST/away"
phase 8200 pre-start >/dev/null 2>&1
not_ok "pre-start, which post-start makes up for, asks for nothing" test -e "$HOST/run/tokens/renew"
phase 8200 post-start >/dev/null 2>&1
mv "$HOST/away" "$HOST/state"
ok "a post-start that fails as well asks for an identity" test -e "$HOST/run/tokens/renew"
mkdir -p "$HOST/cgroup/lxc/8200"
like "which the unit that is started for it gives" "$(ctl rotate --due)" '^done +8200 |[[:space:]]done +8200 '
is "so that the guest is served" "$(asks)" 200
rmdir "$HOST/cgroup/lxc/8200"

# --- rotate, whatever a running guest has lost ---
phase 8200 post-stop
mkdir -p "$HOST/cgroup/lxc"
runs() { mkdir -p "$HOST/cgroup/lxc/$1"; }
# lost WHAT COMMAND...: the guest runs, the command takes its identity from it, and rotate gives it a new one
lost() {
    local what=$1
    shift
    phase 8200 pre-start >/dev/null && phase 8200 post-start
    "$@"
    ok "$what: rotate succeeds" ctl rotate 8200
    is "$what: the guest is served" "$(asks)" 200
    is "$what: all its files are there" "$(files)" 'agent.crt bootstrap.json controller.yaml token'
}
forget() { daemon_stop && rm -r "$HOST/state/db" && ctl init >/dev/null && daemon_start; }
runs 8200
lost 'files removed' eval 'rm "$DIRECTORY"/*'
lost 'one file removed' rm "$DIRECTORY/bootstrap.json"
lost 'no token in its file' eval 'echo >"$DIRECTORY/token"'
lost 'tokens revoked' eval 'ctl revoke 8200 >/dev/null'
lost 'tokens deleted' sql 'DELETE FROM token'
lost 'taken for stopped' eval "sql \"UPDATE guest SET state = 'stopped'\"; rm \"\$DIRECTORY\"/*"
lost 'directory removed' eval 'umount "$HOST/run/export/8200"; rm -r "$DIRECTORY"'
lost 'store lost' forget
is "a guest that the store has lost is known again" \
    "$(sql "SELECT g.state, n.hwaddr FROM guest g JOIN nic n USING (vmid) WHERE vmid = 8200")" "running|$(hwaddr_of 8200)"
phase 8200 post-stop
is "a guest that has stopped gets none, though its control group is still there" \
    "$(echo 'populated 0' >"$HOST/cgroup/lxc/8200/cgroup.events"; ctl rotate 8200 2>&1)" \
    "felhomctl: guest 8200 has no token: it gets one when it starts"
rm -r "$HOST/cgroup/lxc/8200"
is "nor does one without a control group" "$(ctl rotate 8200 2>&1)" \
    "felhomctl: guest 8200 has no token: it gets one when it starts"
runs 8400
guest_config 8400 </dev/null
is "a running guest that is not enrolled gets none" "$(ctl rotate 8400 2>&1)" \
    "felhomctl: guest 8400 is not known on this host: run felhomctl enroll 8400"
unlike "nor is it one of --all" "$(ctl rotate --all)" 8400

# --- a stop and a start, while rotate mints ---
wrong=
for round in $(rounds 24); do
    runs 8200
    phase 8200 pre-start >/dev/null && phase 8200 post-start
    rm "$DIRECTORY/token"
    "$BIN/felhomctl" rotate 8200 >/dev/null 2>&1 &
    pid=$!
    perl -e 'select undef, undef, undef, $ARGV[0] / 1e3' "$round"
    rm -r "$HOST/cgroup/lxc/8200" # as the kernel does before post-stop
    phase 8200 post-stop
    wait $pid
    [ "$(files) $(sql 'SELECT count(*) FROM token WHERE vmid = 8200 AND revoked_at_ms IS NULL')" = 'agent.crt 0' ] ||
        wrong="round $round: $(files)"
done
is "no token survives a stop" "$wrong" ""
for round in $(rounds 12); do
    runs 8200
    ctl rotate 8200 >/dev/null 2>&1 &
    phase 8200 pre-start >/dev/null 2>&1
    wait $!
    [ "$(asks)" = 200 ] || wrong="round $round"
done
is "a start beside it leaves a good token" "$wrong" ""
phase 8200 post-start

# --- twenty guests: all files are gone, then all directories ---
VMIDS=$(seq 8501 8520)
mkdir -p "$HOST/rootfs/bin"
cp "$(command -v busybox)" "$HOST/rootfs/bin/busybox"
in_its_root() { [ "$(readlink "/proc/$1/root")" = "$2" ]; }
# contain VMID: runs a container: a process with a root of its own, in which the guest's directory is mounted
contain() {
    local root=$HOST/rootfs/$1
    mkdir -p "$root/etc/felhom-bootstrap" "$root/bin"
    cp -l "$HOST/rootfs/bin/busybox" "$root/bin/"
    mount --bind "$HOST/run/export/$1" "$root/etc/felhom-bootstrap"
    chroot "$root" /bin/busybox sleep 86400 &
    runs "$1"
    eventually in_its_root $! "$root"
    echo $! >"$HOST/cgroup/lxc/$1/cgroup.procs"
}
for vmid in $VMIDS; do
    guest_config "$vmid" </dev/null
    enroll "$vmid" >/dev/null
    phase "$vmid" pre-start >/dev/null
    contain "$vmid"
    phase "$vmid" post-start
done
doctor() { ctl doctor --output-format json; }
# What a host without Proxmox and its systemd lacks
faults() { doctor | jq -c '[.checks[] | select(.result != "ok") | [.id, .vmid]]'; }
# What each guest is answered that shows the token which it sees at this moment
answers() {
    for vmid in $VMIDS; do
        curl -sk -o /dev/null -w '%{http_code}\n' --max-time 120 "https://$ENDPOINT/storage" \
            -H "@$(header_file "$HOST/rootfs/$vmid/etc/felhom-bootstrap/token")"
    done 2>/dev/null | sort | uniq -c | xargs
}
felhomctl() { ctl "$@"; }
before=$(faults)
is "all guests are served" "$(answers)" '20 200'
find "$HOST/run" -type f -delete 2>/dev/null # what the export shows is read-only
is "no guest is served without its files" "$(answers)" '20 401'
report=$(doctor)
is "doctor names each of them" \
    "$(jq -r '.checks[] | select(.id == "guest.token" and .result == "error") | .vmid' <<<"$report" | xargs)" \
    "8200 $(xargs <<<"$VMIDS")"
is "with the command that mends it" \
    "$(jq -r '.checks[] | select(.id == "guest.token" and .vmid == 8501) | .remedy' <<<"$report")" \
    'felhomctl rotate 8501'
remedy=$(jq -r '.checks[] | select(.id == "identities") | .remedy' <<<"$report")
is "and one command for all" "$remedy" 'felhomctl rotate --all'
eval "$remedy" >/dev/null
is "that command makes the host whole" "$(faults)" "$before"
is "each guest sees its new token where it saw the old one" "$(answers)" '20 200'

umount "$HOST"/run/export/*
rm -r "$HOST"/run/*
ctl init >/dev/null
ctl rotate --all >/dev/null
report=$(doctor)
is "where the directories were removed, doctor names each guest that needs a restart" \
    "$(jq -r '.checks[] | select(.id == "guest.sight" and (.reason | test("removed from the host: it needs a restart")))
        | .remedy' <<<"$report" | xargs)" "$(sed 's/^/pct reboot /' <<<"$VMIDS" | xargs)"
is "and no command that would not help" \
    "$(jq -r '.checks[] | select(.vmid == 8501 and .result == "error") | .remedy' <<<"$report" | sort -u)" 'pct reboot 8501'
daemon_stop
tap_done
