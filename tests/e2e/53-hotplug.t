#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# NICs and mounts that are changed, added and removed on running guests: the guest is served as ever, and its mounts are
# told as they are now. Who is unknown makes felhomd look at /etc/pve, but not for each of his SYNs.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
agent_yaml <<<'limits: {requests_per_source: 100000, failures_per_source: 100000}'
ctl init >/dev/null

# --- what pmxcfs does: it numbers each write of a guest's configuration ---
declare -A numbers=()
newest=0
# written VMID: its configuration was written
written() {
    local vmid ids=
    numbers[$1]=$((++newest))
    for vmid in "${!numbers[@]}"; do
        ids+="${ids:+, }\"$vmid\": {\"node\": \"pve1\", \"type\": \"lxc\", \"version\": ${numbers[$vmid]}}"
    done
    echo "{\"version\": $newest, \"ids\": {$ids}}" >"$HOST/list"
    mv "$HOST/list" "$HOST/pve/.vmlist"
    echo "{\"starttime\": 1790000000, \"clinfo\": 3, \"vmlist\": $newest, \"storage.cfg\": 1}" >"$HOST/version"
    mv "$HOST/version" "$HOST/pve/.version"
}
# pct_set VMID SED_COMMAND
pct_set() {
    sed -i "$2" "$HOST/pve/lxc/$1.conf"
    written "$1"
}
# mac VMID NUMBER
mac() { printf 'BC:24:11:%02X:%02X:%02X' "$2" $(($1 / 256 % 256)) $(($1 % 256)); }
# Open vSwitch and SR-IOV: a port whose name proves nothing
nameless() { ip link set "veth$1i0" down && ip link set "veth$1i0" name "port$1" && ip link set "port$1" up; }

for vmid in 8200 8300 8400 8401; do
    guest_config $vmid </dev/null
    written $vmid
    phase $vmid pre-start >/dev/null 2>&1
done
world_guest 8200 20
world_guest 8300 30
world_guest 8400 40
world_guest 8401 41
nameless 8400
nameless 8401
world_guest 8999 99 # enrolled nowhere
nameless 8999
PIN=$(pin_of 8200)
daemon_start || exit 1
asks() { status_of "$1" "$(token_of "$1")" /storage; }
answered() { [ "$(asks "$1")" = 200 ]; }
for vmid in 8200 8300 8400 8401; do
    is "guest $vmid is served" "$(asks $vmid)" 200
done

# --- the Ethernet address is changed ---
# readdress VMID MAC: the host forgets the old one, as the guest would announce its new one
readdress() {
    in_guest "$1" ip link set eth0 address "$2"
    ip neigh flush dev vmbr0
}
# changed VMID NUMBER: by `pct set`, which hotplugs it; $answer becomes that to the first request after it
changed() {
    pct_set "$1" "s/hwaddr=[^,]*/hwaddr=$(mac "$1" "$2")/"
    readdress "$1" "$(mac "$1" "$2")"
    answer=$(asks "$1")
}
changed 8200 1
is "a port says who 8200 is: its new address is served at once" "$answer" 200
first=0
for number in 1 2 3 4 5; do
    sleep 0.2 # felhomd looks ten times a second at most, and the last time was just now
    begun=$(date +%s%N)
    changed 8400 $number
    [ "$answer" != 200 ] || first=$((first + 1))
    ok "8400, known by its address alone, is served by its new one, the ${number}." eventually answered 8400
    diag "after $((($(date +%s%N) - begun) / 1000000)) ms"
done
# felhomd looks every ten seconds by itself: it can just have done so, but not each time.
ok "and that at its first request" test $first -ge 3
readdress 8400 "$(mac 8400 9)"
is "an address that stands nowhere is a stranger's" "$(asks 8400)" 000
readdress 8400 "$(mac 8400 5)"

# --- addresses that change hands ---
pct_set 8401 "s/hwaddr=[^,]*/hwaddr=$(mac 8400 5)/"
readdress 8401 "$(mac 8400 5)"
in_guest 8400 ip link set eth0 down
both_are_refused() { [ "$(asks 8401)" = 403 ]; }
ok "the address of two guests is neither's" eventually both_are_refused
readdress 8401 "$(mac 8401 1)"
pct_set 8401 "s/hwaddr=[^,]*/hwaddr=$(mac 8401 1)/"
in_guest 8400 ip link set eth0 up
ok "one of the two has got a new one: it is served," eventually answered 8401
ok "and so is the other" eventually answered 8400
pct_set 8200 "s/hwaddr=[^,]*/hwaddr=$(mac 8200 2)/"
pct_set 8300 "s/hwaddr=[^,]*/hwaddr=$(mac 8200 1)/"
readdress 8200 "$(mac 8200 2)"
readdress 8300 "$(mac 8200 1)"
ok "8300 has got the address that was 8200's: it is served," eventually answered 8300
ok "and so is 8200" eventually answered 8200

# --- a NIC is added and removed ---
for vmid in 8200 8400; do
    pct_set $vmid "\$a net1: name=eth1,bridge=vmbr0,hwaddr=$(mac $vmid 77),ip=dhcp,type=veth"
    ip link add "veth${vmid}i1" type veth peer name eth1 netns "$(cat "$HOST/netns/$vmid")"
    ip link set "veth${vmid}i1" master vmbr0 up
    [ $vmid = 8200 ] || { ip link set veth8400i1 down && ip link set veth8400i1 name port8400b && ip link set port8400b up; }
    in_guest $vmid ip link set eth1 address "$(mac $vmid 77)" up
    in_guest $vmid ip link set eth0 down
    in_guest $vmid ip addr add "192.168.0.$((vmid / 100 + 100))/24" dev eth1
    ok "$vmid is served by a NIC that was added" eventually answered $vmid
    pct_set $vmid /^net1/d
    in_guest $vmid ip link del eth1
    in_guest $vmid ip link set eth0 up
    ok "and by the first again, the other removed" eventually answered $vmid
done
told() { [ "$(sql "SELECT count(*) FROM event WHERE kind = 'change' AND vmid = 8400 AND detail = '$1'")" -gt 0 ]; }
ok "it is on record: added" eventually told 'net1 added'
ok "removed" eventually told 'net1 removed'
ok "changed" eventually told 'net0 changed'

# --- a port gets another guest's name, and another guest's port the number of one that is gone ---
# plugged VMID: a NIC more, always with the same number, Ethernet and IP address
plugged() {
    ip link add "veth${1}i9" index 900 type veth peer name eth9 netns "$(cat "$HOST/netns/$1")"
    ip link set "veth${1}i9" master vmbr0 up
    in_guest "$1" ip link set eth9 address "$(mac 900 9)" up
    in_guest "$1" ip addr add 192.168.0.92/24 dev eth9
}
renamed() { ip link set "veth${1}i9" down && ip link set "veth${1}i9" name "veth${2}i9" && ip link set "veth${2}i9" up; }
# with_token_of_8200 VMID: what it gets by eth9
with_token_of_8200() {
    in_guest "$1" curl -sk -o /dev/null -w '%{http_code} ' --interface eth9 -H "Authorization: Bearer $(cat "$(token_of 8200)")" \
        "https://$ENDPOINT/storage"
}
for vmid in 8200 8300; do in_guest $vmid ip link set eth0 down; done
got=
for _ in 1 2 3 4 5; do
    plugged 8200
    got+=$(with_token_of_8200 8200)
    renamed 8200 8300
    got+=$(with_token_of_8200 8200)
    renamed 8300 8200
    got+=$(with_token_of_8200 8200)
    ip link del veth8200i9
    plugged 8300
    got+=$(with_token_of_8200 8300)
    ip link del veth8300i9
done
is "whose a port is, is what its name says at that time" "$(xargs -n 4 <<<"$got" | sort -u)" '200 403 200 403' || diag "$got"
for vmid in 8200 8300; do in_guest $vmid ip link set eth0 up; done

# --- mounts ---
mounts() { request 8200 "$(token_of 8200)" /storage | head -n 1 | jq -r '.data.mounts[] | "\(.key)=\(.size_bytes)"' | xargs; }
mounts_are() { [ "$(mounts)" = "$1" ]; }
is "8200's mounts" "$(mounts)" 'rootfs=8589934592 mp0=107374182400'
pct_set 8200 's/size=100G/size=101G/'
pct_set 8200 '$a mp1: local-lvm:vm-8200-disk-2,mp=/srv/more,size=1G'
ok "one was resized, one was added" eventually mounts_are 'rootfs=8589934592 mp0=108447924224 mp1=1073741824'
told_8200() { [ "$(sql "SELECT detail FROM event WHERE kind = 'change' AND vmid = 8200 ORDER BY seq DESC LIMIT 1")" = "$1" ]; }
ok "it is on record" told_8200 'mp0 changed, mp1 added'

# --- a configuration that cannot be read is no other guest's trouble ---
rm "$HOST/pve/lxc/8300.conf"
mkdir "$HOST/pve/lxc/8300.conf"
written 8300
is "8300's configuration cannot be read: it is served as before," "$(asks 8300)" 200
changed 8400 6
ok "and a change of 8400's is seen" eventually answered 8400
warned() { grep -q 'guest 8300 stays as it is known: .*8300.conf' "$HOST/felhomd.log"; }
ok "it is said" eventually warned

# --- strangers ---
cat >"$HOST/opened.py" <<'PYTHON'
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(os.O_NONBLOCK)
IN_OPEN = 0x20
for path in sys.argv[1:]:
    assert libc.inotify_add_watch(fd, path.encode(), IN_OPEN) >= 0
print("watching", flush=True)
begun = time.monotonic()
sys.stdin.read()
seconds = time.monotonic() - begun
opened = {}
try:
    while data := os.read(fd, 65536):
        while data:
            wd, mask, _, length = struct.unpack_from("iIII", data)
            name = data[16:16 + length].rstrip(b"\0").decode()
            opened[name] = opened.get(name, 0) + 1
            data = data[16 + length:]
except BlockingIOError:
    pass
print(seconds, opened.get(".version", 0), opened.get(".vmlist", 0), sum(v for k, v in opened.items() if k.endswith(".conf")))
PYTHON
mkfifo "$HOST/done"
python3 "$HOST/opened.py" "$HOST/pve" "$HOST/pve/lxc" <"$HOST/done" >"$HOST/opened" &
exec 8>"$HOST/done"
watching() { grep -q watching "$HOST/opened"; }
eventually watching
got=$(in_guest 8999 tests/lib/impostor "$ENDPOINT" plain 200 "$(hwaddr_of 8999)/192.168.0.99" \
    "$(hwaddr_of 8200)/192.168.0.20" 192.168.0.1 203.0.113.7 </dev/null)
exec 8>&-
wait $!
is "a stranger gets nowhere" "$(jq -c '.plain | del(.closed)' <<<"$got")" '{}' || diag "$got"
diag "seconds, .version, .vmlist, configurations: $(tail -n 1 "$HOST/opened")"
ok "and has felhomd look no more often than ten times a second" \
    awk 'END { exit !($2 > 0 && $2 <= $1 * 10 + 3 && $2 < 200 && $3 == 0 && $4 == 0) }' "$HOST/opened"
ok "felhomd stops cleanly" daemon_stop
tap_done
