# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Real containers on the scratch host of world.sh: unprivileged, on its bridge, booting systemd. To be sourced after
# world.sh.
#
#   lxc_possible                  whether this machine can; if not, $LXC_WHY says why not
#   lxc_host                      after world_host: ids and /sys for containers, whose control groups are below
# $LXC_SCOPE
#   lxc_shift VMID OFFSET         gives every file of the guest's root file system, $ROOTFS/VMID, to an owner that is
# that much further up
#   lxc_plain NAME                a container of no guest: without a network
#   lxc_config VMID LAST_BYTE     the container that Proxmox would make of the guest's configuration
#   lxc_start VMID, lxc_stop VMID as Proxmox does, with felhom-hook at each phase
#   lxc_run NAME                  without; its log is $HOST/lxc/NAME.log
#   lxc_ended NAME                it has come to its end, all that follows that included
#   lxc_in VMID COMMAND...        runs a command in it
#   lxc_settled VMID              its boot has come to an end

GUEST_IMAGE=${GUEST_IMAGE:-$PWD/build/guest/rootfs}
LXC_USUAL_ID=100000
LXC_OTHER_ID=200000

lxc_possible() {
    LXC_WHY=
    if ! world_is_root; then
        LXC_WHY='it has to be run by root'
    elif ! command -v lxc-start >/dev/null; then
        LXC_WHY='lxc is not installed'
    elif [ ! -e "$GUEST_IMAGE/.ready" ]; then
        LXC_WHY="there is no root file system for guests in $GUEST_IMAGE"
    elif [ ! -e /sys/fs/cgroup/cgroup.procs ] && [ ! -d /sys/fs/cgroup/systemd ]; then
        LXC_WHY='there are no control groups'
    fi
    [ -z "$LXC_WHY" ]
}

# The kernel shows the devices of a network namespace in a /sys that was mounted in it; containers need the machine's
# control groups below.
lxc_host() {
    local file
    mkdir "$HOST/cgroups" "$HOST/lxc"
    printf 'root:%s:65536\n' $LXC_USUAL_ID $LXC_OTHER_ID >"$HOST/subid"
    for file in /etc/subuid /etc/subgid; do
        mount --bind "$HOST/subid" $file
    done
    mount --rbind /sys/fs/cgroup "$HOST/cgroups"
    umount -R /sys/fs/cgroup
    mount -t sysfs sysfs /sys
    mount --rbind "$HOST/cgroups" /sys/fs/cgroup
    umount -l -R "$HOST/cgroups"
    LXC_SCOPE=$(basename "$HOST")
    ROOTFS=$(mktemp -d "$(dirname "$GUEST_IMAGE")/run.XXXXXX")
    chmod 755 "$ROOTFS"
    trap lxc_end EXIT
}

lxc_end() {
    local status=$? vmid
    for vmid in "$HOST"/lxc/*/; do
        lxc-stop -P "$HOST/lxc" -n "$(basename "$vmid")" --kill 2>/dev/null
    done
    find /sys/fs/cgroup -depth -type d -path "*/$LXC_SCOPE*" -exec rmdir {} + 2>/dev/null
    rm -rf --one-file-system "$ROOTFS"
    (exit $status)
    world_end
}

lxc_shift() {
    python3 - "$ROOTFS/$1" "$2" <<'END'
import os, stat, sys

root, offset = sys.argv[1], int(sys.argv[2])

def shift(path):
    status = os.lstat(path)
    os.lchown(path, status.st_uid + offset, status.st_gid + offset)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode))

shift(root)
for folder, folders, files in os.walk(root):
    for name in folders + files:
        shift(os.path.join(folder, name))
END
}

# What any unprivileged container has that boots systemd; its root file system is $ROOTFS/NAME. Newer systemds know
# control groups of the second version alone, whatever the machine has.
lxc_common() {
    cat <<END
lxc.uts.name = guest$1
lxc.arch = $(uname -m)
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.monitor.unshare = 1
lxc.cgroup.dir.monitor = $LXC_SCOPE/lxc.monitor/$1
lxc.cgroup.dir.container = $LXC_SCOPE/lxc/$1
lxc.cgroup.dir.container.inner = ns
lxc.mount.auto =
lxc.mount.auto = proc:mixed sys:mixed
lxc.mount.entry = cgroup2 sys/fs/cgroup cgroup2 rw,create=dir 0 0
lxc.rootfs.path = dir:$ROOTFS/$1
END
}

lxc_usual_ids() {
    printf 'lxc.idmap = %s\n' "u 0 $LXC_USUAL_ID 65536" "g 0 $LXC_USUAL_ID 65536"
}

# lxc_config VMID LAST_BYTE: its lxc.* lines are handed on; bind mounts are made from the host's side, and post-stop is
# called by the container's monitor, as Proxmox does both.
lxc_config() {
    local vmid=$1 address=192.168.0.$2 config=$HOST/pve/lxc/$1.conf
    mkdir -p "$HOST/lxc/$vmid"
    cat >"$HOST/lxc/$vmid/mount-points" <<END
#!/bin/sh
set -e
sed -n '/^\[/q; s|^mp[0-9]*: *\(/[^,]*\),mp=\([^,]*\),.*|\1 \2|p' '$config' | while read -r source target; do
    [ -d "$ROOTFS/$vmid\$target" ] || mkdir -p "$ROOTFS/$vmid\$target"
    mount --bind "\$source" "$ROOTFS/$vmid\$target"
    mount -o remount,bind,ro "$ROOTFS/$vmid\$target"
done
END
    cat >"$HOST/lxc/$vmid/post-stop" <<END
#!/bin/sh
[ "\$LXC_TARGET" != reboot ] || exit 0
exec $BIN/felhom-hook $vmid post-stop
END
    chmod +x "$HOST/lxc/$vmid"/{mount-points,post-stop}
    {
        lxc_common "$vmid"
        cat <<END
lxc.hook.pre-start = $HOST/lxc/$vmid/mount-points
lxc.hook.post-stop = $HOST/lxc/$vmid/post-stop
lxc.net.0.type = veth
lxc.net.0.link = vmbr0
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.hwaddr = $(hwaddr_of "$vmid")
lxc.net.0.ipv4.address = $address/24
lxc.net.0.ipv4.gateway = $ADDRESS
END
        sed -n '/^\[/q; s/^\(lxc\.[a-z0-9_.-]*\): */\1 = /p' "$config"
        grep -q '^lxc\.idmap' "$config" || lxc_usual_ids
    } >"$HOST/lxc/$vmid/config"
}

lxc_plain() {
    mkdir -p "$HOST/lxc/$1"
    {
        lxc_common "$1"
        echo 'lxc.net.0.type = empty'
        lxc_usual_ids
    } >"$HOST/lxc/$1/config"
}

lxc_start() {
    phase "$1" pre-start && lxc_run "$1" && phase "$1" post-start
}

lxc_run() {
    lxc-start -P "$HOST/lxc" -n "$1" -p "$HOST/lxc/$1.pid" -o "$HOST/lxc/$1.log" -l INFO
}

lxc_stop() {
    phase "$1" pre-stop
    lxc-stop -P "$HOST/lxc" -n "$1" -t 600
    lxc_ended "$1"
}

# Its monitor is the last that goes.
lxc_ended() {
    local monitor
    monitor=$(cat "$HOST/lxc/$1.pid" 2>/dev/null) || return 0
    eventually not kill -0 "$monitor"
}

not() {
    ! "$@"
}

lxc_in() {
    local vmid=$1
    shift
    lxc-attach -P "$HOST/lxc" -n "$vmid" --clear-env --set-var PATH=/usr/sbin:/usr/bin:/sbin:/bin -- "$@"
}

lxc_settled() {
    case $(lxc_in "$1" systemctl is-system-running 2>/dev/null) in
    running | degraded) ;;
    *) return 1 ;;
    esac
}
