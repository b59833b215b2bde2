#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The guest's files belong to the container's mapped root, whatever maps it.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
if ! world_is_root; then
    skip "ownership" "files cannot be given away in a user namespace with one user"
    tap_done
fi
ctl init >/dev/null

owner_after_start() {
    phase "$1" pre-start >/dev/null || return
    stat -c %u:%g "$(directory_of "$1")" "$(directory_of "$1")"/* | sort -u | xargs
}

guest_config 200 </dev/null
is "the files of an unprivileged container belong to 100000" "$(owner_after_start 200)" 100000:100000

guest_config 201 </dev/null
sed -i 's/^unprivileged.*/unprivileged: 0/' "$HOST/pve/lxc/201.conf"
is "the files of a privileged container belong to root" "$(owner_after_start 201)" 0:0

guest_config 202 <<'EOF'
lxc.idmap: u 0 165536 65536
lxc.idmap: g 0 200000 65536
EOF
is "lxc.idmap determines the files' owner" "$(owner_after_start 202)" 165536:200000

guest_config 203 </dev/null
printf '\n[snap]\nlxc.idmap: u 0 300000 65536\nlxc.idmap: g 0 300000 65536\n' >>"$HOST/pve/lxc/203.conf"
is "the lxc.idmap of a snapshot has no effect" "$(owner_after_start 203)" 100000:100000

guest_config 204 <<EOF
mp1: $HOST/run/guests/204,mp=/etc/felhom-bootstrap,ro=1,backup=0,replicate=0,shared=1,idmap=passthrough
EOF
is "idmap=passthrough on the mount point leaves the files to root" "$(owner_after_start 204)" 0:0

guest_config 205 <<EOF
mp1: $HOST/run/guests/205,mp=/etc/felhom-bootstrap,ro=1,idmap=u:0:5000:1;g:0:6000:1
EOF
is "idmap= with its own ids determines the files' owner" "$(owner_after_start 205)" 5000:6000

guest_config 200 </dev/null
sed -i 's/^unprivileged.*/unprivileged: 0/' "$HOST/pve/lxc/200.conf"
is "the next start applies a changed mapping" "$(owner_after_start 200)" 0:0
is "the directories above belong to root" "$(stat -c %u:%a "$HOST/run/guests" "$HOST/run" | xargs)" "0:711 0:711"

chown 12345:12345 "$HOST/state" "$HOST/state/db" "$HOST/state/db"/* "$HOST/state/tls" "$HOST/state/tls"/*
rm -rf "$HOST/state/db"
ok "pre-start as root makes a new store" phase 200 pre-start
is "a new store belongs to the owner of the state directory" \
    "$(stat -c %u "$HOST/state/db" "$HOST/state/db"/* | sort -u)" 12345
tap_done
