#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomctl doctor: each thing that it checks is really broken, reported, and fixed by the command that doctor prints.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
ip link add veth8200i0 type veth peer name eth0 # guest 8200's port
CONFIG=$HOST/pve/lxc/8200.conf
STATE=$HOST/state

# --- a host like Proxmox's, as far as doctor checks it ---
mount -t tmpfs run /run
mount -t tmpfs libexec /usr/libexec
mkdir -p /run/systemd/system /usr/libexec/felhom-agent "$HOST/bin" "$HOST/work" "$HOST/sbin" "$HOST/sbin-work"
cp "$BIN/felhom-hook" /usr/libexec/felhom-agent/
if ! mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$HOST/bin,workdir=$HOST/work" /usr/bin ||
    ! mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$HOST/sbin,workdir=$HOST/sbin-work" /usr/sbin; then
    skip "doctor" "no overlay can be mounted here"
    tap_done
fi
echo "$HOST/pveum.json" >/run/pveum-state
rm -f /usr/bin/systemctl
cp tests/standins/pveum /usr/sbin/pveum
cp tests/standins/pveum /usr/bin/pvesh
cat >/usr/bin/systemctl <<'END'
#!/bin/sh
[ "$*" = 'is-active --quiet felhomd.service' ] && [ -e /run/felhomd-is-active ]
END
chmod +x /usr/bin/systemctl

# --- stand-ins for the commands that doctor prints ---
felhomctl() { ctl "$@"; }
systemctl() {
    case $1 in
    stop) rm -f /run/felhomd-is-active && daemon_stop ;;
    start | enable) daemon_start && "$BIN/felhomd" --keep-settings && : >/run/felhomd-is-active ;;
    restart)
        kill -0 "$DAEMON" 2>/dev/null && daemon_stop
        systemctl start felhomd
        ;;
    esac
}
pct() {
    case $1 in
    reboot)
        for name in pre-stop post-stop pre-start post-start; do phase "$2" $name; done
        ;;
    set) sed -i "/^$4:/d" "$HOST/pve/lxc/$2.conf" ;;
    esac
}
editor() { cp "$1.good" "$1"; }

doctor() { ctl doctor --snippets "$HOST/snippets" --output-format json "$@"; }
# part CHECK PART VMID [OPTION...]: prints that part of doctor's finding; VMID may be null
part() {
    local check=$1 part=$2 vmid=$3
    shift 3
    doctor "$@" | pick "$check" "$vmid" ".$part"
}
# pick CHECK VMID FILTER: the same of the report on standard input
pick() {
    jq -r --arg id "$1" --argjson vmid "$2" "[.checks[] | select(.id == \$id and .vmid == \$vmid)][0] | $3"
}
# broken WHAT CHECK VMID RESULT REASON: checks that doctor reports what was just broken, with a remedy
broken() {
    local report
    report=$(doctor)
    is "$1: doctor reports it" "$(pick "$2" "$3" .result <<<"$report")" "$4"
    like "$1: doctor gives the reason" "$(pick "$2" "$3" .reason <<<"$report")" "$5"
    REMEDY=$(pick "$2" "$3" .remedy <<<"$report")
}
# mends WHAT CHECK VMID RESULT REASON: the same; then runs the command that doctor printed
mends() {
    broken "$@"
    eval "$REMEDY" >/dev/null 2>&1
    is "$1: fixed by the printed command" "$(part "$2" result "$3")" ok
}
everything() { find "$HOST/state" "$HOST/run" "$HOST/pve" -printf '%p %m %U:%G %T@ %s\n' | sort; }

# --- nothing is installed ---
doctor >"$HOST/report"
is 'doctor exits with 4 if nothing is installed' $? 4
is 'doctor reports the missing store' "$(jq -r '.checks[] | select(.id == "store") | .result' "$HOST/report")" error
not_ok 'doctor creates nothing' test -e "$STATE"
mends 'no state directory' state null error 'there is no directory'
is 'init also made the store' "$(part store result null)" ok
is 'init also made the directories' "$(part directories result null)" ok

# --- everything is in order ---
agent_yaml <<EOF
pve: {token_file: $HOST/etc/pve.token, ca_file: $HOST/pve/pve-root-ca.pem}
EOF
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=pve -keyout /dev/null -out \
    "$HOST/pve/pve-root-ca.pem" 2>/dev/null
guest_config 8200 </dev/null
guest_config 8300 </dev/null
mends 'no link to the hook' snippet null error "there is no $HOST/snippets/felhom-hook"
ctl init --pve-token >/dev/null
ctl enroll 8200 --customer acme >/dev/null
phase 8200 pre-start >/dev/null
phase 8200 post-start
mends 'no felhomd' unit null error 'felhomd.service is not active'
doctor >"$HOST/report"
is 'everything in order: exit status 0' $? 0
is 'everything in order: the JSON result is ok' "$(jq -c '[.result, .warnings, .errors]' "$HOST/report")" '["ok",0,0]'
is 'everything in order: each check has a finding' "$(jq -r '.checks[].id' "$HOST/report" | sort | tr '\n' ' ')" \
    'answer clock cluster directories endpoint files firewall foreign former guest guest.directory guest.enrolment guest.export guest.hook guest.mount guest.nic guest.pin guest.reach guest.token host identity identity.privacy ports pve-token pve-token.privileges pve-token.secret settings settings.kept snippet state store store.log store.privacy store.record unit '
text=$(ctl doctor --snippets "$HOST/snippets")
like 'everything in order: the text output' "$text" \
    $'^host\n  ok       settings .*\nguest 8200\n.*\n35 ok, 0 warnings, 0 errors$'
unlike 'the output contains no secret' "$text$(cat "$HOST/report")" \
    "$(cut -c 14-56 "$(token_of 8200)")|$(cut -d= -f2 "$HOST/etc/pve.token")"
before=$(everything)
doctor >/dev/null
is 'doctor changes nothing' "$(everything)" "$before"
is 'doctor leaves out a guest that is not enrolled' \
    "$(jq '[.checks[] | select(.vmid == 8300)] | length' "$HOST/report")" 0
like 'doctor checks a guest that is not enrolled if it is named' \
    "$(doctor 8300 | jq -c '[.checks[] | select(.id == "guest.hook") | .vmid, .result]')" '8300,"error"'
is 'doctor reports a guest that is not on this node' "$(part guest result 8400 8400)" error
ctl doctor x >/dev/null 2>&1
is 'an invalid VMID is a usage error' $? 2

# --- settings ---
cp "$HOST/agent.yaml" "$HOST/agent.yaml.good"
echo 'colour: blue' >>"$HOST/agent.yaml"
mends 'settings' settings null error 'agent.yaml:[0-9]+:[0-9]+: colour'
sed -i "\$a local_api: {bridge: vmbr9}" "$HOST/agent.yaml"
mends 'bridge' endpoint null error 'there is no bridge vmbr9'
sed -i "\$a local_api: {listen: \"192.0.2.1:8443\"}" "$HOST/agent.yaml"
mends 'address' endpoint null error 'no address 192.0.2.1'

# --- state ---
chmod 0777 "$STATE"
mends 'open state' state null error 'users other than its owner may write'
chmod 0644 "$STATE/db/agent.db"
mends 'open store' store.privacy null error 'agent.db has a wrong owner or mode'
chmod 0755 "$STATE/tls"
mends 'open identity' identity.privacy null error 'tls has a wrong owner or mode'
if world_is_root; then
    chown 1:1 "$STATE/db/agent.db"
    mends 'owner of the store' store.privacy null error 'agent.db has a wrong owner or mode'
    # A copy that is put back has the owner who put it there, or a number that another host gave its felhom-agent.
    { cat /etc/passwd && echo 'felhom-agent:x:61234:61234::/:/bin/false'; } >"$HOST/passwd"
    mount --bind "$HOST/passwd" /etc/passwd
    chown -R 61234 "$STATE" "$HOST/run/tokens"
    for uid in 0 998; do
        chown -R $uid "$STATE"
        # What felhomd makes anew when it starts
        anew='( -name nudge -o -name reload -o -name agent.yaml.taken )'
        mends "the state belongs to uid $uid" state null error "belongs to (root|uid 998), not to felhom-agent"
        # shellcheck disable=SC2086
        is "the state belonged to uid $uid: all of it is felhom-agent's" \
            "$(part store.privacy result null) $(part identity.privacy result null) $(find "$STATE" ! -user 61234 ! $anew)" 'ok ok '
        [ "$(part store.record result null)" = ok ] || eval "$(part store.record remedy null)" >/dev/null
        is "the state belonged to uid $uid: and the record is in order" "$(part store.record result null)" ok
    done
    chown -R 998 "$STATE" "$HOST/run/tokens"
    is "another user's host, as init --user makes it, is in order" "$(part state result null)" ok
    chown -R 0 "$STATE" "$HOST/run/tokens"
    umount /etc/passwd
fi
version=$(sql 'PRAGMA user_version')
sql 'PRAGMA user_version = 99'
broken 'newer store' store null error 'written by a newer felhom-agent'
is 'newer store: the remedy is an upgrade' "$REMEDY" 'apt install --only-upgrade felhom-agent'
sql "PRAGMA user_version = $version"
rm -f "$STATE"/db/* && mkdir "$STATE/db/agent.db"
cannot_read() { [ "$(part answer result null)" = error ]; }
eventually cannot_read
mends 'a felhomd that cannot read its store' answer null error 'felhomd answers, but cannot read its store'
is 'a felhomd that cannot read its store: the store is in order' "$(part store result null)" ok
ctl enroll 8200 >/dev/null
phase 8200 pre-start >/dev/null
phase 8200 post-start
systemctl stop felhomd
python3 -c 'import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
open(sys.argv[2], "w").close()
time.sleep(86400)' "$STATE/db/agent.db" "$HOST/locked" &
eventually test -e "$HOST/locked"
mends 'a process that keeps the store locked' store null error 'is locked by another process: [0-9]+ \(python3\)'
systemctl start felhomd
daemon_stop
sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
is 'doctor can check a store that no process has open' "$(part store result null)" ok
size=$(stat -c %s "$STATE/db/agent.db")
dd if=/dev/urandom of="$STATE/db/agent.db" bs=4096 seek=2 count=$((size / 4096 - 2)) conv=notrunc 2>/dev/null
daemon_start 2>/dev/null || :
broken 'damaged store' store null error 'malformed|damaged|not a database'
like 'damaged store: the reason says what happens to tokens' "$(part store reason null)" \
    'a new store knows no token, so running guests need new ones'
eval "$REMEDY" >/dev/null 2>&1
is 'damaged store: fixed by the printed command' "$(part store result null)" ok
mends 'a guest that the new store lacks' guest 8200 warning 'not known to the store'
phase 8200 pre-start >/dev/null
phase 8200 post-start

# --- identity and clock ---
cp "$STATE/tls/agent.crt" "$HOST/crt"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout /dev/null -out \
    "$STATE/tls/agent.crt" 2>/dev/null
mends 'certificate of another key' identity null error 'is not the certificate in agent.pem'
is 'the restored certificate is the one that guests pin' "$(cmp "$HOST/crt" "$STATE/tls/agent.crt" 2>&1)" ''
rm "$STATE/tls/agent.crt"
mends 'no certificate' identity null error 'agent.crt is missing'
echo nonsense >"$STATE/tls/agent.pem"
mends 'damaged key' identity null error 'agent.pem is damaged'
is 'damaged key: felhomd shows the new certificate' "$(part answer result null)" ok
systemctl stop felhomd
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout "$HOST/other.key" \
    -out "$HOST/other.crt" 2>/dev/null
openssl s_server -quiet -accept $ENDPOINT -cert "$HOST/other.crt" -key "$HOST/other.key" >/dev/null 2>&1 &
OTHER=$!
listens() { [ -n "$(ss -Hltn "src $ENDPOINT")" ]; }
eventually listens
broken "another program at felhomd's address" answer null error 'not the one that guests pin'
kill $OTHER
wait $OTHER 2>/dev/null
eval "$REMEDY" >/dev/null 2>&1
is "another program at felhomd's address: fixed by the printed command" "$(part answer result null)" ok
mv "$STATE/tls" "$HOST/tls" && ctl init >/dev/null
mends 'a guest with an old certificate' guest.pin 8200 error 'not the current one'
sql "UPDATE host SET endpoint = '192.168.0.1:8443'"
mends 'a host whose recorded endpoint is wrong' host null warning \
    'endpoint 192.168.0.1:8443, but the endpoint is 192.168.0.162:8443'
sql 'DELETE FROM host'
mends 'a host without a record' host null warning 'no record of this host'
# at OFFSET: prints doctor's finding with the clock off by that much
at() {
    ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0 faketime -f "$1" "$BIN/felhomctl" doctor --output-format \
        json |
        pick clock null '"\(.result): \(.reason)"'
}
like 'doctor reports a clock that is behind the newest event' "$(at -1d)" '^error: the clock is behind the newest event'
like 'doctor reports a clock that is far ahead' "$(at +30y)" '^error: .* no longer valid'
sql 'DELETE FROM event'
like "doctor reports a clock that is behind the certificate's start" "$(at -1y)" '^error: .* not yet valid'

# --- the host ---
chmod 0700 "$HOST/run/export"
mends 'a directory that guests cannot enter' directories null error 'export is not a directory that all users can enter'
# in_the_way FILE CHECK VMID REASON: a directory has the file's name; afterwards the guest gets its identity
in_the_way() {
    rm -rf "$1" "$1.other" && mkdir "$1"
    mends "a directory ${1#"$HOST"/}" "$2" "$3" error "$4"
    phase 8200 pre-start >"$HOST/out" 2>&1
    like "a directory ${1#"$HOST"/}: then the guest starts with its identity" "$(<"$HOST/out")" '8200 pre-start: token gen [0-9]+ minted'
    phase 8200 post-start
    rm -rf "$1.other"
}
for name in hooks.lock hook-8200.lock restore-test.lock; do
    in_the_way "$HOST/run/$name" directories null "run/$name cannot be locked: Is a directory"
done
ln -sfn nowhere "$HOST/run/hooks.lock"
mends 'a link hooks.lock' directories null error 'hooks.lock cannot be locked: Too many levels of symbolic links'
for name in 8200 8200.new renew; do
    in_the_way "$HOST/run/tokens/$name" store.record null "tokens/$name is not a regular file"
done
for name in nudge reload; do
    in_the_way "$STATE/$name" directories null "$name is in the way of a socket of felhomd's"
    ok "$name: it is a socket again" test -S "$STATE/$name"
done
for name in token bootstrap.json controller.yaml agent.crt; do
    in_the_way "$(directory_of 8200)/$name" guest.directory 8200 "$name is not a regular file"
done
rm -r "$(directory_of 8200)" && : >"$(directory_of 8200)"
mends "a file in place of the guest's directory" guest.directory 8200 error 'guests/8200 is not a directory'
rm "$HOST/pve/local"
broken 'no cluster file system' cluster null error 'not mounted'
is 'no cluster file system: the remedy' "$REMEDY" 'systemctl start pve-cluster'
ln -s nodes/pve1 "$HOST/pve/local"
# Without quorum Proxmox's file system lets nobody write, and takes the w bits away even of its links: no other file
# system would, but by its debugger.
if truncate -s 8M "$HOST/pve.img" && mkfs.ext4 -q -d "$HOST/pve" "$HOST/pve.img" 2>/dev/null &&
    debugfs -w -R 'set_inode_field local mode 0120555' "$HOST/pve.img" 2>/dev/null &&
        mount -o loop,ro "$HOST/pve.img" "$HOST/pve" 2>/dev/null; then
    broken 'no quorum' cluster null error 'the cluster has no quorum'
    is 'no quorum: the remedy' "$REMEDY" 'pvecm status'
    is 'no quorum: guests are still checked' "$(part guest.hook result 8200)" ok
    like 'no quorum: enroll fails and gives the reason' "$(ctl enroll 8300 2>&1)" 'Read-only file system'
    umount "$HOST/pve"
    is 'the check succeeds once there is a quorum' "$(part cluster result null)" ok
else
    skip 'no quorum' 'no loop device here'
fi
chmod 0644 /usr/libexec/felhom-agent/felhom-hook
mends 'a hook that cannot be run' snippet null error 'cannot be run'
rm "$HOST/snippets/felhom-hook" && echo '#!/bin/sh' >"$HOST/snippets/felhom-hook"
mends "another hook in place of ours" snippet null error 'is a file, not a link'
mv /usr/libexec/felhom-agent/felhom-hook "$HOST/hook"
broken 'a missing hook' snippet null error 'does not exist: no guest'
mv "$HOST/hook" /usr/libexec/felhom-agent/felhom-hook
kill -STOP "$DAEMON"
broken 'a felhomd that hangs' answer null error 'timed out'
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null
mends 'a felhomd that is not running' answer null error 'no connection: Connection refused'
sed -i '$a local_api: {source_binding: require}' "$HOST/agent.yaml"
reload
is 'doctor accepts a felhomd that admits no requests from the host' "$(part answer result null)" ok
cp "$HOST/agent.yaml.good" "$HOST/agent.yaml"
reload

# --- Proxmox's firewall and token ---
mkdir -p "$HOST/pve/firewall"
printf '[OPTIONS]\nenable: 1\n' >"$HOST/pve/firewall/cluster.fw"
broken 'firewall' firewall null warning 'no rule was found'
doctor >/dev/null
is 'doctor exits with 3 if there are warnings' $? 3
is 'firewall: the remedy' "$REMEDY" 'felhomctl firewall'
rules=$(ctl firewall --output-format json)
is 'firewall prints the names of the files' "$(jq -c '[.host_file, .cluster_file]' <<<"$rules")" \
    "[\"$HOST/pve/nodes/pve1/host.fw\",\"$HOST/pve/firewall/cluster.fw\"]"
is "firewall prints the host's rules" "$(jq -r .host_rules <<<"$rules")" \
    $'[RULES]\nIN ACCEPT -i vmbr0 -source 192.168.0.0/24 -dest 192.168.0.162 -p tcp -dport 8443\nIN DROP -p tcp -dport 8443'
jq -r .host_rules <<<"$rules" >"$HOST/pve/nodes/pve1/host.fw"
is "with the host's rules the check succeeds" "$(part firewall result null)" ok
rm "$HOST/pve/nodes/pve1/host.fw"
jq -r .cluster_rules <<<"$rules" >>"$HOST/pve/firewall/cluster.fw"
is "with the cluster's rules the check succeeds" "$(part firewall result null)" ok
rm "$HOST/pve/firewall/cluster.fw"
sed -i '$a local_api: {listen: "192.168.0.162:9443", allow: [10.0.0.0/8, "fd00::/8", 192.168.0.7]}' "$HOST/agent.yaml"
is 'firewall prints rules for the endpoint and networks in force' \
    "$(ctl firewall | sed -n 's/^IN ACCEPT //p' | tr '\n' '|')" \
    '-source 10.0.0.0/8 -dest 192.168.0.162 -p tcp -dport 9443|-source 192.168.0.7/32 -dest 192.168.0.162 -p tcp -dport 9443|-source +dc/felhom-guests -p tcp -dport 9443|'
cp "$HOST/agent.yaml.good" "$HOST/agent.yaml"
not_ok 'firewall writes no file' test -e "$HOST/pve/nodes/pve1/host.fw"
chmod 0644 "$HOST/etc/pve.token"
mends 'a token file with too wide a mode' pve-token null error 'only felhomd may be able to read'
if world_is_root; then
    chmod 0640 "$HOST/etc/pve.token"
    is "a token file that felhomd's group can read is accepted" "$(part pve-token result null)" ok
    chown 0:7 "$HOST/etc/pve.token"
    mends 'token for another group' pve-token null error 'only felhomd may be able to read'
    chown 7:0 "$HOST/etc/pve.token"
    mends "another's token" pve-token null error 'only felhomd may be able to read'
fi
echo nonsense >"$HOST/etc/pve.token"
mends 'a token file without a token' pve-token null error 'does not hold one line'
rm "$HOST/etc/pve.token"
mends 'no token file' pve-token null warning 'no snapshots and backups'
jq '.acl = []' "$HOST/pveum.json" >"$HOST/pveum.new" && mv "$HOST/pveum.new" "$HOST/pveum.json"
mends 'a token without privileges' pve-token.privileges null error 'does not grant it VM.Audit on /vms'
jq '.users["felhom-agent@pve"].tokens = {}' "$HOST/pveum.json" >"$HOST/pveum.new" &&
    mv "$HOST/pveum.new" "$HOST/pveum.json"
mends 'a token that Proxmox does not have' pve-token.privileges null error \
    'does not know the token felhom-agent@pve!agent-pve1'
sed -i 's/=.*/=11111111-2222-3333-4444-555555555555/' "$HOST/etc/pve.token"
mends 'a token with another secret' pve-token.secret null error \
    'another secret for the token felhom-agent@pve!agent-pve1$'

# --- the guest ---
sed -i 's/^hookscript:.*/hookscript: local:snippets\/theirs/' "$CONFIG"
mends 'another hookscript' guest.hook 8200 error 'is local:snippets/theirs, not local:snippets/felhom-hook'
sed -i '/^hookscript:/d' "$CONFIG"
mends 'no hookscript' guest.hook 8200 error 'no hookscript'
sed -i '/^lxc.mount.entry/d' "$CONFIG"
mends 'no mount line' guest.mount 8200 error 'no line mounts'
sed -i '/^lxc.mount.entry/s/bind,ro/bind/' "$CONFIG"
mends 'mount line without ro' guest.mount 8200 warning 'not as enroll would do it'
sed -i '/^lxc.mount.entry/d' "$CONFIG" && echo "mp3: $HOST/run/guests/8200,mp=/etc/felhom-bootstrap,ro=1" >>"$CONFIG"
is 'the other mount form is accepted' "$(part guest.mount result 8200)" ok
cp "$CONFIG" "$HOST/8200.conf"
printf '\n[pve:pending]\ndelete: mp9,mp3\n' >>"$CONFIG"
mends 'a mount that the next start takes away' guest.mount 8200 error 'mp3 .* next start takes it away'
cp "$HOST/8200.conf" "$CONFIG"
ctl enroll 8200 --mount mp >/dev/null
mp=$(sed -n "s|^\(mp[0-9]*\): $HOST/run/guests/8200,.*|\1|p" "$CONFIG")
printf '\n[pve:pending]\ndelete: mp9,%s\n' "$mp" >>"$CONFIG"
ctl enroll 8200 --mount mp >/dev/null
is 'enroll keeps the mount, and other pending changes' "$(grep -c "^$mp:" "$CONFIG")|$(tail -n 1 "$CONFIG")" \
    '1|delete: mp9'
cp "$HOST/8200.conf" "$CONFIG"
ctl enroll 8200 --mount entry >/dev/null
cp "$HOST/pve/priv/felhom/8200.yaml" "$HOST/pve/priv/felhom/8200.yaml.good"
printf 'dir: own\n\tpath %s\n' "$HOST" >"$HOST/pve/storage.cfg"
echo 'chain: "own:snippets/the other"' >>"$HOST/pve/priv/felhom/8200.yaml"
: >"$HOST/snippets/the other"
mends 'a chained hookscript without x' guest.hook 8200 error 'chained hookscript .* is not executable'
like 'the chained hookscript is named' "$(part guest.hook reason 8200)" 'which calls own:snippets/the other$'
rm "$HOST/snippets/the other"
mends 'a chained hookscript that is gone' guest.hook 8200 error 'the other: No such file'
echo 'chain: "none:snippets/x"' >>"$HOST/pve/priv/felhom/8200.yaml"
mends 'a chained hookscript on no storage' guest.hook 8200 error 'has no storage none'
echo "lxc.mount.entry: $HOST/run/export/8200 etc/x none bind,ro 0 0" >>"$HOST/pve/lxc/8300.conf"
mends 'foreign mount' foreign null error 'mounts the directory of guest 8200 .*: guest 8300 must not start with it$'
sed -i '/^lxc.mount.entry/d' "$HOST/pve/lxc/8300.conf" &&
    echo "mp2: $HOST/run/guests,mp=/mnt" >>"$HOST/pve/lxc/8300.conf"
mends 'mount of all directories' foreign null error \
    'mp2 mounts the directories of all guests .*: guest 8300 must not start with it$'
sed -i '/^mp2/d' "$HOST/pve/lxc/8300.conf"
echo "lxc.mount.fstab: $HOST/fstab" >>"$HOST/pve/lxc/8300.conf"
mkdir -p "$HOST/else"
echo "$HOST/else mnt none bind 0 0" >"$HOST/fstab.good"
echo "$HOST/run/export/8200 mnt none bind 0 0" >"$HOST/fstab"
mends 'foreign mount of an fstab' foreign null error "$HOST/fstab:1: lxc.mount.entry mounts the directory of guest 8200"
sed -i '/^lxc.mount.fstab/d' "$HOST/pve/lxc/8300.conf"
cp "$HOST/pve/lxc/8300.conf" "$HOST/pve/lxc/8300.conf.good"
echo 'lxc.mount.entry: / host none rbind,ro,create=dir 0 0' >>"$HOST/pve/lxc/8300.conf"
mends 'mount of all below the root' foreign null error 'bind in place of rbind would not show them'
rm "$HOST/pve/lxc/8300.conf.good"
ctl unenroll 8300 >/dev/null
printf '#\n' >>"$HOST/pve/priv/felhom/8200.yaml"
cp "$HOST/pve/priv/felhom/8200.yaml" "$HOST/pve/priv/felhom/8200.yaml.good"
echo 'colour: blue' >>"$HOST/pve/priv/felhom/8200.yaml"
mends 'enrolment' guest.enrolment 8200 error '8200.yaml:[0-9]+:[0-9]+: colour'
chmod 0644 "$(directory_of 8200)/bootstrap.json"
mends 'mode of a file' guest.directory 8200 error 'bootstrap.json has mode 100644, not 100600'
chmod 0755 "$(directory_of 8200)"
mends 'mode of the directory' guest.directory 8200 error 'has mode 040755, not 040700'
if world_is_root; then
    chown 7:7 "$(directory_of 8200)"
    mends 'owner of the directory' guest.directory 8200 error "belongs to 7:7, the guest's root is 100000:100000"
fi
rm -r "$(directory_of 8200)"
mends 'no directory' guest.directory 8200 error "there is no $(directory_of 8200)"
umount "$HOST/run/export/8200"
mends 'no export' guest.export 8200 error 'does not show the guest.s directory read-only'
rm "$(token_of 8200)"
mends 'no token in the directory' guest.token 8200 error 'no token in the guest.s directory'
# What the operator has revoked is named once, as what it is, and no command for other faults undoes it.
of_8200() { doctor | jq -c '[.checks[] | select(.vmid == 8200 and .result != "ok") | .id]'; }
before=$(of_8200)
ctl revoke 8200 >/dev/null
ctl identity stage >/dev/null
is 'a revoked guest: nothing but its token is named' "$(of_8200)" "$(jq -c '. + ["guest.token"]' <<<"$before")"
doctor >/dev/null
is 'a revoked guest: exit status 3' $? 3
ctl rotate --all >/dev/null
is 'a revoked guest: rotate --all leaves it as it is' "$(part guest.token result 8200)" warning
mends 'a revoked guest' guest.token 8200 warning \
    'the operator has revoked .* \(felhomctl revoke, 20[0-9-]*T[0-9:]*Z\): it has none until its next start'
is 'a revoked guest: the command brings all that it lacked' "$(of_8200)" "$before"
ctl identity switch >/dev/null && ctl identity retire >/dev/null
sed -i '$a token: {max_age: 2h}' "$HOST/agent.yaml"
is 'doctor accepts a fresh token' "$(part guest.token result 8200)" ok
sql "UPDATE token SET created_at_ms = created_at_ms - 6600000 WHERE revoked_at_ms IS NULL"
mends 'old token' guest.token 8200 warning 'about to reach token.max_age'
sql "UPDATE token SET expires_at_ms = 1 WHERE revoked_at_ms IS NULL"
mends 'expired token' guest.token 8200 error 'has expired'

# --- the guest's view: a container is a process with another root ---
mkdir -p "$HOST/rootfs/etc/felhom-bootstrap" "$HOST/rootfs/bin" "$HOST/cgroup/lxc/8200"
cp "$(command -v busybox)" "$HOST/rootfs/bin/busybox"
chroot "$HOST/rootfs" /bin/busybox sleep 86400 &
GUEST=$!
in_its_root() { [ "$(readlink "/proc/$GUEST/root")" = "$HOST/rootfs" ]; }
eventually in_its_root
echo $GUEST >"$HOST/cgroup/lxc/8200/cgroup.procs"
see() { mount --bind "$(directory_of 8200)" "$HOST/rootfs/etc/felhom-bootstrap"; }
broken 'a guest that does not see its directory' guest.sight 8200 error 'does not see its directory'
see
is 'doctor accepts a guest that sees its directory' "$(part guest.sight result 8200)" ok

# --- a virtual machine has a hook only ---
printf 'name: machine\nhookscript: local:snippets/felhom-hook\n' >"$HOST/pve/qemu-server/8500.conf"
is "doctor checks a virtual machine's hook" \
    "$(doctor 8500 | jq -c '[.checks[] | select(.vmid == 8500) | [.id, .result]]')" \
    '[["guest","warning"],["guest.enrolment","ok"],["guest.hook","ok"],["guest.reach","error"]]'
mv /usr/bin/pvesh "$HOST/pvesh"
printf '#!/bin/sh\necho "ipcc_send_rec failed: Connection refused" >&2\nexit 255\n' >/usr/bin/pvesh
chmod +x /usr/bin/pvesh
broken "a Proxmox that does not answer" pve-token.privileges null warning 'ipcc_send_rec failed'
rm -r "$HOST/pve/lxc"
is 'without Proxmox the store is checked' "$(part store result null)" ok
tap_done
