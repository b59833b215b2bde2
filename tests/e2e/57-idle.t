#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# While nobody asks anything of felhomd, it looks at folders, and at no file of a guest: not after a checkpoint of its
# own either, which changes the database but nothing that it says.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
ctl init >/dev/null
for vmid in 8200 8300 8400; do
    guest_config $vmid </dev/null
    mkdir -p "$HOST/cgroup/lxc/$vmid"
    phase $vmid pre-start >/dev/null
done
phase 8400 post-stop
rmdir "$HOST/cgroup/lxc/8400"
ok "felhomd starts" daemon_start
cat >"$HOST/look.py" <<'EOF2'
"""Says what felhomd opens in these folders: after the last change, and around its next checkpoint."""
import collections, ctypes, os, select, sqlite3, struct, sys

IN_OPEN = 0x20
database, *folders = sys.argv[1:]
libc = ctypes.CDLL(None)
inotify = libc.inotify_init1(os.O_NONBLOCK)
watched = {libc.inotify_add_watch(inotify, folder.encode(), IN_OPEN): folder for folder in folders}
assert -1 not in watched


def opened():
    """Waits for some, and returns their paths."""
    select.select([inotify], [], [], 600)
    data = os.read(inotify, 65536)
    while data:
        watch, _, _, length = struct.unpack_from("iIII", data)
        yield os.path.join(watched[watch], data[16:16 + length].rstrip(b"\0").decode())
        data = data[16 + length:]


def sweeps(count, seen):
    """Each sweep reads the folder of the containers' configurations."""
    wanted = seen[folders[0] + "/"] + count
    while seen[folders[0] + "/"] < wanted:
        seen.update(opened())


def in_files(seen):
    return sum(count for path, count in seen.items() if not path.endswith("/"))


before, around = collections.Counter(), collections.Counter()
sweeps(2, before)  # what the guests' starts changed has been audited in the first of them
sqlite3.connect(database, isolation_level=None).execute("UPDATE guest SET name = name || 'x' WHERE vmid = 8300")
while os.stat(database + "-wal").st_size:
    sweeps(1, around)
sweeps(2, around)
print(in_files(before), in_files(around))
EOF2
python3 "$HOST/look.py" "$HOST/state/db/agent.db" "$HOST/pve/lxc" "$HOST/cgroup/lxc" "$HOST/run/tokens" \
    >"$HOST/looked"
read -r before around <"$HOST/looked"
diag "guests' files opened before the commit: $before"
is "no file of a guest is opened around a checkpoint" "$around" 0
ok "felhomd stops cleanly" daemon_stop
tap_done
