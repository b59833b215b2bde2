#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What grows with the number of guests and with time: the work of a daemon that nobody asks anything.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
GUESTS=300

ctl init >/dev/null
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
    phase $vmid pre-start >/dev/null 2>&1
done

# --- a sweep reads each directory once, however many guests there are ---
mkdir -p "$HOST/cgroup/lxc"
for vmid in $(seq 1001 $((1000 + GUESTS))); do
    ln "$HOST/pve/lxc/8200.conf" "$HOST/pve/lxc/$vmid.conf"
    mkdir "$HOST/cgroup/lxc/$vmid"
done
sql "INSERT INTO guest (vmid, kind, name, state, root_uid, root_gid, mount_form, changed_at_ms)
     SELECT 1000 + value, 'lxc', 'x', 'running', 0, 0, '', 1 FROM generate_series(1, $GUESTS);
     INSERT INTO guest (vmid, kind, name, state, root_uid, root_gid, mount_form, changed_at_ms)
     SELECT 3000 + value, 'lxc', 'gone', 'stopped', 0, 0, '', 1 FROM generate_series(1, $GUESTS)"

revoked() { [ -n "$(sql "SELECT 1 FROM event WHERE vmid = $1 AND kind = 'revoke'")" ]; }
# sweeps: the calls of the main thread from one look at the configurations to the next, a line each
sweeps() { awk '$1 == 0 && $4 ~ /pve\/lxc$/ { if (last) print $2 - last; last = $2 }' "$HOST/calls"; }

"$BIN/fault" "$HOST/calls" list "$BIN/felhomd" 2>>"$HOST/felhomd.log" &
DAEMON=$!
rm "$HOST/pve/lxc/8200.conf"
ok "a guest whose configuration has gone loses its token by a sweep" eventually revoked 8200
rm "$HOST/pve/lxc/8300.conf"
ok "another one by a later sweep" eventually revoked 8300
ok "felhomd stops" daemon_stop
calls=$(sweeps | sort -n | head -n 1)
ok "a sweep of $GUESTS running guests and as many that are gone takes fewer system calls than guests: ${calls:-none}" \
    test "${calls:-$GUESTS}" -lt $((GUESTS / 2))
tap_done
