#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The packages in the folder $PACKAGES on a host whose systemd is a real one: an unprivileged container made of $ROOT, the root file system of a
# Debian of their release, with what they depend on.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lxc.sh
GUEST_IMAGE=$ROOT
world_enter "$0" "$@"
if ! lxc_possible; then
    skip 'under systemd' "$LXC_WHY"
    tap_done
fi
world_host
lxc_host
cp -a --reflink=auto "$ROOT" "$ROOTFS/host"
ln -sf /dev/null "$ROOTFS/host/etc/systemd/system/sys-kernel-debug.mount"
echo host1 >"$ROOTFS/host/etc/hostname"
cp -r "$PACKAGES" "$ROOTFS/host/packages"
rm -rf "$ROOTFS/host/src"
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- --ignore-failed-read --transform 's|^|src/|' | tar -x -C "$ROOTFS/host"
lxc_shift host $LXC_USUAL_ID
lxc_plain host

host_boots() {
    lxc-start -P "$HOST/lxc" -n host -o "$HOST/lxc/log" -l INFO && eventually 15 lxc_settled host && lxc_in host systemctl is-system-running
}
in_host() {
    lxc_in host env --chdir=/src HOME=/root "$@"
}

is 'the host boots' "$(host_boots)" running
if ! lxc_settled host; then
    diag "$(tail -n 20 "$HOST/lxc/log")"
    tap_done
fi
subtest 'the package at its work' in_host tests/packages/at-work
lxc-stop -P "$HOST/lxc" -n host -t 20
is 'the host boots again' "$(host_boots)" running
subtest 'after the boot' in_host tests/packages/after-boot
tap_done
