#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomctl restore-test with stand-ins for Proxmox's tools: a backup is tested, and nothing but the copy is changed.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
. tests/lib/lanes.sh
lanes "$0" busy fails killed left due passes told machine taken
world_enter "$0" "$@"
world_host
TOOLS=$HOST/tools
started=$TOOLS/started-9000

mkdir -p "$TOOLS/sbin" "$TOOLS/bin"
for tool in sbin/pct sbin/qm sbin/pvesm bin/pvesh; do
    printf '#!/bin/sh\nexec python3 -IS %q %q %q "$@"\n' "$PWD/tests/standins/pve_tools" "$HOST" "${tool#*/}" \
        >"$TOOLS/$tool"
    chmod +x "$TOOLS/$tool"
done
for bin in sbin bin; do
    mount -t overlay overlay -o "lowerdir=$TOOLS/$bin:/usr/$bin" "/usr/$bin" || {
        skip "$LANE: restore tests" "no overlay file system here"
        tap_done
    }
done

# settings HOLD [TEXT]: writes agent.yaml, with further lines of restore_test
settings() {
    agent_yaml <<<"restore_test: {hold: $1${2:-}}"
}

# change NAME JQ_ARGUMENT...: changes one of the stand-in's files
change() {
    local name=$1
    shift
    jq "$@" "$TOOLS/$name.json" >"$TOOLS/$name.new" && mv "$TOOLS/$name.new" "$TOOLS/$name.json"
}

# backup VMID CTIME [SUBTYPE]: adds a backup to Proxmox's, with the guest's present configuration
backup() {
    local kind=${3:-lxc} directory=lxc
    [ "$kind" = lxc ] || directory=qemu-server
    change archives --arg volid "local:backup/vzdump-$kind-$1-$2.tar.zst" --argjson vmid "$1" --argjson ctime "$2" \
        --arg subtype "$kind" \
        --rawfile config "$HOST/pve/$directory/$1.conf" \
        '.[$volid] = {vmid: $vmid, ctime: $ctime, subtype: $subtype, config: $config}'
}

# volume VOLID VMID: adds a volume that exists beforehand
volume() {
    change volumes --arg volid "$1" --arg storage "${1%%:*}" --argjson vmid "$2" \
        '.[$storage] += [{volid: $volid, vmid: $vmid, ctime: 1000, size: 1, content: "images"}]'
}

no_spare_volumes() {
    change volumes '."local-lvm" |= map(select(.vmid < 9000))'
}

known_guest() {
    sql "INSERT INTO guest (vmid, kind, name, state, root_uid, root_gid, mount_form, changed_at_ms)
         VALUES ($1, '${2:-lxc}', 'web', 'running', 100000, 100000, 'entry', 1)"
}

trouble() {
    printf '%s\n' "$1" >"$TOOLS/control.json"
}

# Everything but copies: guests' configurations and volumes.
others() {
    (cd "$HOST/pve" && find . -type f ! -name '9[0-9][0-9][0-9].conf' -exec sha256sum {} + | sort)
    jq -cS '[.[][] | select(.vmid < 9000)] | sort_by(.volid)' "$TOOLS/volumes.json"
}

# Checks that there is no copy, no disk of a copy, and no running guest.
nothing_left() {
    ls -d "$HOST"/pve/*/9*.conf "$HOST"/cgroup/lxc/9* "$HOST"/cgroup/qemu.slice/9* 2>/dev/null
    jq -r '.[][] | select(.vmid >= 9000) | .volid' "$TOOLS/volumes.json"
}

# untouched WHAT: to be called after each case
untouched() {
    is "$1: the original and all other guests are unchanged" "$(others)" "$before"
    is "$1: nothing of the copy is left" "$(nothing_left)" ""
}

restore_test() {
    ctl restore-test "$@" >"$HOST/out" 2>"$HOST/err"
}

record() {
    sql "SELECT $2 FROM restore_test WHERE vmid = $1"
}

# Several backups, of which 3000 is the newest of guest 8200.
backups() {
    backup 8200 1000
    backup 8200 3000
    backup 8200 2000
    backup 8300 9000
    change archives \
        '."local:backup/vzdump-qemu-8200-9999.vma.zst" = {vmid: 8200, ctime: 9999, subtype: "qemu", config: ""}'
}

# begin TROUBLE CONDITION...: starts a test in the background and waits for the condition; sets $pid
begin() {
    trouble "$1"
    shift
    "$BIN/felhomctl" restore-test 8200 >"$HOST/out" 2>"$HOST/err" &
    pid=$!
    eventually "$@" || diag "not begun: $*"
}
ends() {
    wait "$pid" 2>/dev/null
}
kill_test() {
    kill -9 "$pid"
    ends
}
tool_ended() {
    ! kill -0 "$(cat "$TOOLS/pid")" 2>/dev/null
}
kill_tool() {
    kill -9 "$(cat "$TOOLS/pid")"
    eventually tool_ended
    trouble '{}'
}
has_disks() {
    grep -q '^lock: create' "$HOST/pve/lxc/9000.conf" && [ "$(nothing_left | grep -c :vm-9000)" -eq 2 ]
}
copy_runs() {
    test -e "$HOST/cgroup/lxc/9000/until"
}

lane_passes() {
    not_ok "restore-test without a VMID and without --due fails" restore_test
    like "restore-test without a VMID says what to give" "$(cat "$HOST/err")" 'give VMID or --due'
    not_ok "restore-test with a VMID and --due fails" restore_test 8200 --due
    not_ok "restore-test of an unknown guest fails" restore_test 8299
    like "restore-test of an unknown guest says how to enroll it" "$(cat "$HOST/err")" \
        'guest 8299 is not known on this host: run felhomctl enroll 8299'
    not_ok "restore-test of a guest without a backup fails" restore_test 8200
    like "restore-test says that there is no backup" "$(cat "$HOST/err")" 'there is no backup of guest 8200 on local$'
    is "a guest without a backup gets no record of a test" "$(sql 'SELECT count(*) FROM restore_test')" 0

    backups
    ok "restore-test of a good backup succeeds" restore_test 8200
    like "restore-test prints the result" "$(cat "$HOST/out")" \
        'done +8200 +local:backup/vzdump-lxc-8200-3000.tar.zst was restored as guest 9000, ran, and is gone again'
    untouched "a test that passes"
    is "the store records the test" "$(record 8200 'spare_vmid, archive, passed, error, finished_at_ms IS NOT NULL')" \
        "9000|local:backup/vzdump-lxc-8200-3000.tar.zst|1||1"
    is "the test has an event" "$(sql "SELECT outcome FROM event WHERE kind = 'restore-test'")" ok
    is "commands were given for no guest but the copy" \
        "$(grep -E '^(pct|qm) ' "$TOOLS/calls" | cut -d' ' -f3 | sort -u)" 9000
    is "the copy's NICs were unplugged" \
        "$(grep -c '^net[01]: .*,link_down=1$' "$started")|$(grep -c link_down=0 "$started")" "2|0"
    is "the copy had its own hardware addresses" "$(grep -ciE "$(hwaddr_of 8200)|$(hwaddr_of 9)" "$started")" 0
    is "the copy had no hook, no start at boot and no protection" \
        "$(grep -cE '^(hookscript|onboot|startup|protection|lxc.hook.*):' "$started")" 0
    is "the copy had nothing of the host's directories and devices" \
        "$(grep -cE 'felhom-bootstrap|/srv/shared|/dev/|^dev0|lxc.mount|lxc.cgroup|lxc.net' "$started")" 0
    is "the copy's configuration had no snapshot section" "$(grep -c '^\[' "$started")" 0
    is "the copy kept the id mapping" "$(grep -c '^lxc.idmap: ' "$started")" 2
    is "the copy's disks were on the storage of the original's root" \
        "$(grep -oE '^(rootfs|mp[0-9]+): [^:]*:vm-9000' "$started" | tr '\n' '|')" \
        "mp0: local-lvm:vm-9000|rootfs: local-lvm:vm-9000|"
    like "the copy's description had the test's mark" "$(head -n 1 "$started")" \
        '^#felhom-agent restore test of guest 8200 begun [0-9]+$'
    settings 1s ", storage: fast"
    ok "restore-test with another storage and JSON output succeeds" restore_test 8200 --output-format json
    is "the JSON output has the result" \
        "$(jq -c '[.changed, (.tests[0] | .vmid, .spare_vmid, .passed, .error)]' "$HOST/out")" \
        '[true,8200,9000,true,null]'
    is "the copy's disks were on restore_test.storage" "$(grep -c ': fast:vm-9000' "$started")" 2
    untouched "another storage"
}

# fails WHAT TROUBLE REASON: a test with that trouble fails for that reason and cleans up
fails() {
    trouble "$2"
    not_ok "$1: the test fails" restore_test 8200
    like "$1: the message gives the reason" "$(cat "$HOST/err")" \
        "the restore test of guest 8200 failed: local:backup/vzdump-lxc-8200-3000.tar.zst: .*$3"
    like "$1: the record has the reason" "$(record 8200 "passed || finished_at_ms || error")" "^0.*$3"
    untouched "$1"
    trouble '{}'
}
lane_fails() {
    backups
    fails "a bad archive" '{"pct restore": {"fail": "tar: Unexpected EOF in archive"}}' \
        'the backup could not be restored: /usr/sbin/pct failed with 255: unable to restore CT 9000 - tar: Unexpected EOF in archive'
    fails "a copy that does not start" '{"pct start": {"fail": "startup for container '"'9000'"' failed"}}' \
        "the copy does not start: .*startup for container '9000' failed"
    fails "a copy that never runs" '{"pct start": {"runs": 0}}' 'was started, but does not run: it is stopped'
    settings 2s
    fails "a copy that stops soon" '{"pct status": {"looks": 1}}' 'ran, but not for 2 seconds: it is stopped'
    calls=$(wc -l <"$TOOLS/calls")
    fails "a copy that shares a volume" '{"pct restore": {"share": "mp0"}}' \
        "the copy's mp0 is the original's own volume: usb-backup:vm-8200-disk-1"
    is "a copy with the original's volume was never started" \
        "$(tail -n "+$((calls + 1))" "$TOOLS/calls" | grep -c '^pct start')" 0
    like "a failed test has an event" \
        "$(sql "SELECT outcome || detail FROM event WHERE kind = 'restore-test' ORDER BY seq DESC LIMIT 1")" \
        '^error.*own volume'
}

# Another user takes the VMID.
lane_taken() {
    backups
    trouble "{\"pct restore\": {\"before\": \"cp $HOST/theirs $HOST/pve/lxc/9000.conf\"}}"
    not_ok "restore-test fails if the VMID is taken just before the restore" restore_test 8200
    like "restore-test prints Proxmox's message about the taken VMID" "$(cat "$HOST/err")" 'CT 9000 already exists'
    ok "the guest that took the VMID is unchanged" cmp "$HOST/theirs" "$HOST/pve/lxc/9000.conf"
    trouble '{}'
    ok "the next test uses another VMID" restore_test 8200
    is "the next test uses VMID 9001" "$(record 8200 spare_vmid)" 9001
    ok "the guest that took the VMID is unchanged after the next test" cmp "$HOST/theirs" "$HOST/pve/lxc/9000.conf"
    rm "$HOST/pve/lxc/9000.conf"
    volume local-lvm:vm-9000-disk-0 9000
    ok "restore-test succeeds if the first VMID has disks without a guest" restore_test 8200
    is "a VMID with disks without a guest is not used" "$(record 8200 spare_vmid)|$(nothing_left)" \
        "9001|local-lvm:vm-9000-disk-0"
    no_spare_volumes
}

# Killed during the restore, of which something is left.
lane_left() {
    backups
    begin '{"pct restore": {"hold": true}}' has_disks
    not_ok "a second run during a test fails" restore_test --due
    kill_test
    kill_tool
    is "killed during the restore: an empty configuration with a lock is left" "$(cat "$HOST/pve/lxc/9000.conf")" \
        'lock: create'
    is "killed during the restore: two disks are left" "$(nothing_left | grep -c :vm-9000)" 2
    is "killed during the restore: the record is unfinished" "$(record 8200 'spare_vmid, finished_at_ms IS NULL')" \
        "9000|1"
    ok "killed during the restore: the next run, of another guest, succeeds" restore_test 8300
    like "killed during the restore: the next run says what it destroyed" "$(cat "$HOST/out")" \
        '8200 +destroyed guest 9000, which an earlier test left'
    untouched "killed during the restore"
    is "killed during the restore: the next run finishes the record" \
        "$(record 8200 'spare_vmid, finished_at_ms IS NULL')" "0|1"

    begin '{"pct restore": {"hold": true}}' has_disks
    kill_test
    trouble '{}'
    eventually tool_ended
    like "only felhomctl killed: Proxmox finished the restore" "$(head -n 1 "$HOST/pve/lxc/9000.conf")" \
        '^#felhom-agent restore test of guest 8200'
    is "only felhomctl killed: the copy has no protection and does not start at boot" \
        "$(grep -cE '^(onboot|protection): 0$' "$HOST/pve/lxc/9000.conf")" 2
    ok "only felhomctl killed: the next run succeeds" restore_test 8300
    untouched "only felhomctl killed"
}

# The same, while Proxmox continues the restore.
lane_busy() {
    backups
    begin '{"pct restore": {"hang": 3600}}' has_disks
    kill_test
    tool=$(cat "$TOOLS/pid")
    trouble '{}'
    printf 'arch: amd64\nhostname: unrelated\n' >"$HOST/pve/lxc/9002.conf"
    not_ok "while Proxmox continues the restore the next run fails" restore_test 8300
    like "while Proxmox continues the restore the copy is left alone" "$(cat "$HOST/out")" \
        'warning +8200 +guest 9000, .*in use by another task'
    ok "while Proxmox continues the restore the copy's disks stay" has_disks
    echo "$tool" >"$TOOLS/pid"
    kill_tool
    ok "after Proxmox has finished the next run succeeds" restore_test 8300
    is "after Proxmox has finished the copy is destroyed, and an unrelated guest stays" "$(nothing_left)" \
        "$HOST/pve/lxc/9002.conf"
    rm "$HOST/pve/lxc/9002.conf"
}

lane_killed() {
    backups
    settings 1h
    begin '{}' copy_runs
    kill_test
    settings 1s
    ok "killed while the copy ran: the next run succeeds" restore_test 8300
    untouched "killed while the copy ran"

    begin '{"pct restore": {"hold": true}}' has_disks
    kill_test
    kill_tool
    no_spare_volumes
    cp "$HOST/theirs" "$HOST/pve/lxc/9000.conf"
    volume local-lvm:vm-9000-disk-0 9000
    ok "killed, and another guest has the VMID now: the next run succeeds" restore_test 8300
    ok "the guest that has the VMID now is unchanged" cmp "$HOST/theirs" "$HOST/pve/lxc/9000.conf"
    is "the guest that has the VMID now keeps its disk" "$(nothing_left | grep -c :vm-9000-disk-0)" 1
    rm "$HOST/pve/lxc/9000.conf"
    no_spare_volumes

    for signal in INT TERM; do
        begin '{"pct restore": {"hold": true}}' has_disks
        kill -$signal "$pid"
        ends
        is "SIG$signal during the restore: exit status 1" $? 1
        like "SIG$signal: the message says that the test was interrupted" "$(cat "$HOST/err")" 'it was interrupted'
        is "SIG$signal: the record says that the test was interrupted" "$(record 8200 error)" "it was interrupted"
        untouched "SIG$signal"
        trouble '{}'
    done
    settings 1h
    begin '{}' copy_runs
    kill -TERM "$pid"
    ends
    settings 1s
    untouched "SIGTERM while the copy ran"

    trouble '{"pct destroy": {"fail": "dataset is busy"}}'
    not_ok "restore-test fails if the copy cannot be destroyed" restore_test 8200
    like "restore-test names the copy that is still there" "$(cat "$HOST/err")" \
        'guest 9000, the copy of a restore test, is still there: .*dataset is busy'
    not_ok "a guest whose copy is still there is not tested" restore_test 8200
    like "restore-test says that the last test's copy is still there" "$(cat "$HOST/err")" \
        'not tested while the copy of its last test is still there'
    trouble '{}'
    ok "the next run destroys the copy that was still there" restore_test 8200
    untouched "a copy that could not be destroyed"
}

lane_due() {
    backups
    guest_config 8400 </dev/null
    known_guest 8400
    known_guest 8500
    before=$(others)
    restore_test 8200
    ok "restore-test --due succeeds" restore_test --due --output-format json
    is "--due tests the guests that were not tested" "$(jq -c '[.tests[].vmid]' "$HOST/out")" '[8300]'
    is "--due reports on each guest" \
        "$(jq -r '.steps[] | [.about, .outcome, .detail] | join(" ")' "$HOST/out" | sed 's/ local:.*//' | tr '\n' '|')" \
        '8200 already was tested, and is not due yet|8300 done|8400 already there is no backup of guest 8400 on local|'
    ok "a second restore-test --due succeeds" restore_test --due --output-format json
    is "a second restore-test --due tests no guest" "$(jq -c .tests "$HOST/out")" '[]'
    sql "UPDATE restore_test SET finished_at_ms = finished_at_ms - 604801000"
    backup 8400 5000
    trouble '{"pct start": {"fail": "no"}}'
    not_ok "--due continues after a failed test and fails at the end" restore_test --due
    like "--due lists the guests whose test failed" "$(cat "$HOST/err")" 'not all restore tests succeeded: guests 8200, 8300, 8400$'
    is "--due reports each failed test" "$(grep -c '^warning .* the restore test of guest' "$HOST/out")" 3
    trouble '{}'
    sql "UPDATE restore_test SET error = 'it was interrupted' WHERE vmid = 8300"
    ok "restore-test --due after an interrupted test succeeds" restore_test --due --output-format json
    is "an interrupted test is due at once" "$(jq -c '[.tests[].vmid]' "$HOST/out")" '[8300]'
    untouched "--due"
}

MACHINE_STARTED='agent: 1
boot: order=scsi0;ide2
memory: 512
name: machine
scsi0: local-lvm:vm-9000-disk-0,size=8G
scsihw: virtio-scsi-single
smbios1: uuid=7f3b2c1e-0000-4000-8000-000000000001
vga: serial0
vmgenid: 7f3b2c1e-0000-4000-8000-000000000002
ide0: none,media=cdrom
ide2: none,media=cdrom
serial0: socket'
lane_machine() {
    backups
    cat >"$HOST/pve/qemu-server/8600.conf" <<EOF
agent: 1
args: -drive file=/dev/sda
boot: order=scsi0;ide2
hookscript: local:snippets/x
hostpci0: 0000:01:00.0
ide0: local-lvm:vm-8600-cloudinit,media=cdrom
ide2: local:iso/debian.iso,media=cdrom,size=600M
ivshmem: size=1,name=shared
memory: 512
name: machine
net0: virtio=$(hwaddr_of 8600),bridge=vmbr0,firewall=1
onboot: 1
parallel0: /dev/parport0
protection: 1
scsi0: local-lvm:vm-8600-disk-0,size=8G
scsi1: /dev/disk/by-id/usb-x,backup=0
scsihw: virtio-scsi-single
serial0: /dev/ttyS0
smbios1: uuid=7f3b2c1e-0000-4000-8000-000000000001
usb0: host=1234:5678
vga: serial0
virtiofs0: dirid=share
vmgenid: 7f3b2c1e-0000-4000-8000-000000000002
vmstate: local-lvm:vm-8600-state-s
EOF
    known_guest 8600 qemu
    volume local-lvm:vm-8600-disk-0 8600
    before=$(others)
    backup 8600 7000 qemu
    ok "restore-test of a virtual machine succeeds" restore_test 8600
    untouched "a virtual machine"
    is "the virtual machine's copy had the expected configuration" "$(grep -v '^net0\|^#' "$started")" \
        "$MACHINE_STARTED"
    like "the virtual machine's copy was unplugged" "$(grep ^net0 "$started")" \
        '^net0: virtio=BC:24:11:[0-9A-F:]*,bridge=vmbr0,firewall=1,link_down=1$'
    trouble '{"qm create": {"fail": "vma: premature end of archive"}}'
    not_ok "restore-test of a virtual machine's bad backup fails" restore_test 8600
    like "restore-test gives the reason why the virtual machine's backup is bad" "$(cat "$HOST/err")" \
        'premature end of archive'
    untouched "a failed restore of a virtual machine, after which an empty configuration is left"
    trouble '{}'
}

# What the guest's API reports.
lane_told() {
    backups
    guest_config 8200 </dev/null
    world_guest 8200 200
    mkdir -p "$HOST/cgroup/lxc/8200" # it runs
    phase 8200 pre-start >/dev/null 2>&1
    ok "felhomd starts" daemon_start
    told() {
        request 8200 "$(token_of 8200)" /restore-test/status | head -n 1 |
            jq -c '.data | [.vmid, .phase, .archive, .passed, (.at | type), .error]'
    }
    is "the API reports idle before any test" "$(told)" '[8200,"idle",null,null,"null",null]'
    begin '{"pct stop": {"hold": true}}' copy_runs
    is "the API reports a running test" "$(told)" \
        '[8200,"running","local:backup/vzdump-lxc-8200-3000.tar.zst",null,"null",null]'
    trouble '{}'
    ends
    is "the API reports a test that passed" "$(told)" \
        '[8200,"done","local:backup/vzdump-lxc-8200-3000.tar.zst",true,"string",null]'
    like "the API reports when the test ended" \
        "$(request 8200 "$(token_of 8200)" /restore-test/status | head -n 1 | jq -r .data.at)" '^20[0-9-]*T[0-9:]*Z$'
    trouble '{"pct start": {"fail": "no such luck"}}'
    restore_test 8200
    like "the API reports a test that failed" "$(told)" \
        '^\[8200,"failed","local:[^"]*",false,"string","the copy does not start: .*no such luck"\]$'
    sql "UPDATE restore_test SET finished_at_ms = NULL, started_at_ms = started_at_ms - 7200000 WHERE vmid = 8200"
    is "the API reports an interrupted test" "$(told)" \
        '[8200,"failed","local:backup/vzdump-lxc-8200-3000.tar.zst",false,"null","it was interrupted"]'
    ok "felhomd stops" daemon_stop
}

echo '{"local": [], "local-lvm": [], "usb-backup": [], "fast": []}' >"$TOOLS/volumes.json"
echo '{}' >"$TOOLS/archives.json"
echo 9000 >"$TOOLS/nextid"
settings 1s
trouble '{}'
ctl init >/dev/null
guest_config 8200 <<EOF
#the customer's web server
onboot: 1
protection: 1
startup: order=1
hookscript: local:snippets/felhom-hook
dev0: /dev/ttyUSB0,mode=0660
mp1: /srv/shared,mp=/shared
mp2: /dev/sdb1,mp=/disk
net1: name=eth1,bridge=vmbr1,hwaddr=$(hwaddr_of 9),link_down=0,type=veth
EOF
cat >>"$HOST/pve/lxc/8200.conf" <<EOF
lxc.idmap: u 0 100000 65536
lxc.idmap: g 0 100000 65536
lxc.mount.entry: $HOST/run/export/8200 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0
lxc.mount.auto: sys:rw
lxc.hook.pre-start: /usr/local/bin/tell
lxc.cgroup2.devices.allow: a
lxc.net.5.type: veth

[daily]
hostname: old
EOF
guest_config 8300 </dev/null
for vmid in 8200 8300; do
    volume "local-lvm:vm-$vmid-disk-0" $vmid
    volume "usb-backup:vm-$vmid-disk-1" $vmid
    known_guest $vmid
done
printf 'arch: amd64\nhostname: theirs\nrootfs: local-lvm:vm-9000-disk-0,size=8G\n' >"$HOST/theirs"
before=$(others)
"lane_$LANE"
tap_done
