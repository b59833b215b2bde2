#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The packages of the folder $PACKAGES on a host with a real systemd: an unprivileged container made from $ROOT, the
# root file system of a
# Debian of their release with their dependencies.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lxc.sh
GUEST_IMAGE=$ROOT
NAME=host$RANDOM # several releases' may run at the same time
world_enter "$0" "$@"
if ! lxc_possible; then
    skip 'under systemd' "$LXC_WHY"
    tap_done
fi
world_host
lxc_host
cp -a --reflink=auto "$ROOT" "$ROOTFS/$NAME"
# What a container may not do.
for unit in sys-kernel-debug.mount systemd-modules-load.service; do
    ln -sf /dev/null "$ROOTFS/$NAME/etc/systemd/system/$unit"
done
# A container has a boot id of its own, which lies over the kernel's in /proc. A unit with a /proc of its own would see
# the kernel's, and the hook another.
for unit in felhomd felhom-token-age; do
    mkdir -p "$ROOTFS/$NAME/usr/lib/systemd/system/$unit.service.d"
    printf '[Service]\nBindReadOnlyPaths=/proc/sys/kernel/random/boot_id\n' \
        >"$ROOTFS/$NAME/usr/lib/systemd/system/$unit.service.d/container.conf"
done
echo host1 >"$ROOTFS/$NAME/etc/hostname"
cp -r "$PACKAGES" "$ROOTFS/$NAME/packages"
rm -rf "$ROOTFS/$NAME/src"
git ls-files -z --cached --others --exclude-standard |
    tar -c --null --files-from=- --ignore-failed-read --transform 's|^|src/|' | tar -x -C "$ROOTFS/$NAME"
lxc_shift $NAME $LXC_USUAL_ID
lxc_plain $NAME

host_boots() {
    lxc_run $NAME && eventually lxc_settled $NAME && lxc_in $NAME systemctl is-system-running
}
in_host() {
    lxc_in $NAME env --chdir=/src HOME=/root "$@"
}

is 'the host boots' "$(host_boots)" running || diag "$(lxc_in $NAME systemctl --failed --no-legend)"
if ! lxc_settled $NAME; then
    diag "$(tail -n 20 "$HOST/lxc/$NAME.log")"
    tap_done
fi
subtest 'the package at work' in_host tests/packages/at-work
lxc-stop -P "$HOST/lxc" -n $NAME -t 20
lxc_ended $NAME
is 'the host boots again' "$(host_boots)" running
subtest 'after the boot' in_host tests/packages/after-boot
tap_done
