#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where felhomd cannot find out who is asking, nobody is admitted: 503, and it is on record. And what felhomd itself may
# do no more, once its packet socket is open, also where root starts it by hand.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
agent_yaml <<<"local_api: {listen: \"$ENDPOINT\", allow: [192.168.0.0/24]}"
ctl init >/dev/null
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
    phase $vmid pre-start >/dev/null 2>&1
done
world_guest 8200 20
world_guest 8999 99 # a machine on the network behind a physical port
ip link set veth8999i0 down
ip link set veth8999i0 name eno1
ip link set eno1 up
PIN=$(pin_of 8200)

# --- the kernel does not answer: a send() as long as felhomd's question about a route fails ---
cat >"$HOST/without-routes" <<'END'
import ctypes, os, struct, sys
ENOBUFS = 105
NUMBER = {"x86_64": 44, "aarch64": 206}[os.uname().machine]  # sendto
NUMBER_AT, LENGTH_AT, ADDRESS_AT, QUESTION = 0, 32, 48, 44
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
program = [(LOAD, 0, 0, NUMBER_AT), (JUMP_IF_EQUAL, 0, 5, NUMBER), (LOAD, 0, 0, LENGTH_AT),
           (JUMP_IF_EQUAL, 0, 3, QUESTION), (LOAD, 0, 0, ADDRESS_AT), (JUMP_IF_EQUAL, 0, 1, 0),
           (RETURN, 0, 0, 0x00050000 | ENOBUFS), (RETURN, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
filter_ = struct.pack("@HP", len(program), ctypes.addressof(code))
if libc.prctl(22, 2, ctypes.c_char_p(filter_), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
END
mkdir "$HOST/bin"
printf '#!/bin/sh\nexec python3 %s/without-routes %s/felhomd "$@"\n' "$HOST" "$BIN" >"$HOST/bin/felhomd"
chmod +x "$HOST/bin/felhomd"
programs=$BIN
BIN=$HOST/bin
daemon_start || exit 1
BIN=$programs
is "a guest that its port names needs no answer of the kernel's" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
is "a machine that may be behind a router gets 503 if nobody can say so" "$(status_of 8999 "$(token_of 8300)" /storage)" 503
on_record() { [ "$(sql "SELECT detail FROM event WHERE kind = 'refused' AND detail LIKE 'lookup failed%'")" = 'lookup failed' ]; }
ok "it is on record" eventually on_record # after the reply
like "and in the log" "$(cat "$HOST/felhomd.log")" "could not be found: cannot query the kernel's routes"
ok "felhomd stops cleanly" daemon_stop

# --- the store does not answer ---
daemon_start || exit 1
is "with the kernel's answer the machine is a stranger" "$(status_of 8999 "$(token_of 8300)" /storage)" 000
is "guest 8200 is served" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
mv "$HOST/state/db" "$HOST/state/away"
mkdir -m 700 "$HOST/state/db"
echo "no database, but long enough that it may be taken for one, were it not for its beginning" >"$HOST/state/db/agent.db"
chown --reference="$HOST/state" "$HOST/state/db" "$HOST/state/db/agent.db"
refused_for_now() { [ "$(status_of 8200 "$(token_of 8200)" /storage)" = 503 ]; }
ok "without the store 8200 gets 503," eventually refused_for_now
is "and the machine as well" "$(status_of 8999 "$(token_of 8300)" /storage)" 503
rm -r "$HOST/state/db"
mv "$HOST/state/away" "$HOST/state/db"
served() { [ "$(status_of 8200 "$(token_of 8200)" /storage)" = 200 ]; }
ok "with the store it is served again" eventually served

# --- CAP_NET_RAW, number 13 ---
may_open_packet_sockets() {
    awk '/^Cap/ && substr($2, length($2) - 3, 1) ~ /[2367abefABEF]/ { print $1 }' "/proc/$1/status" | xargs
}
like "whoever starts felhomd has CAP_NET_RAW" "$(may_open_packet_sockets $$)" 'CapPrm: CapEff: CapBnd:'
is "felhomd has it in none of its sets" "$(may_open_packet_sockets "$DAEMON")" ''
threads() { for thread in "/proc/$DAEMON/task"/*; do may_open_packet_sockets "$DAEMON/task/${thread##*/}"; done; }
is "nor has any of its threads" "$(threads | xargs)" ''
ok "and it has the socket" grep -q '^[0-9a-f]* *3 *3 *0003 ' /proc/net/packet
ok "felhomd stops cleanly" daemon_stop
tap_done
