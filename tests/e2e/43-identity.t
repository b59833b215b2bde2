#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest that runs can always be given its identity, whatever was lost: post-start makes up for pre-start, rotate for
# all else.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
enroll 8300 >/dev/null
world_guest 8200 20
daemon_start
DIRECTORY=$(directory_of 8200)

generation() { sql "SELECT generation FROM guest WHERE vmid = 8200"; }
files() { find "$DIRECTORY" -mindepth 1 -printf '%f\n' | sort | xargs; }
asks() { status_of 8200 "$(token_of 8200)" /storage; }

# --- post-start makes up for pre-start ---
mv "$HOST/state" "$HOST/away"
like "a pre-start that cannot open the store fails" "$(phase 8200 pre-start 2>&1)" 'no state directory .*starts all the same'
mv "$HOST/away" "$HOST/state"
is "it has made the guest's directory all the same" "$(find "$DIRECTORY" -printf '%y')" d
world_is_root && is "the directory belongs to the guest's root" "$(stat -c %u "$DIRECTORY")" 100000
ok "what the guest mounts shows it" test "$(stat -c %i "$DIRECTORY")" = "$(stat -c %i "$HOST/run/export/8200")"
inode=$(stat -c %i "$DIRECTORY")
phase 8200 post-start
is "post-start then fills that directory" "$(stat -c %i "$DIRECTORY") $(files)" \
    "$inode agent.crt bootstrap.json controller.yaml token"
is "the guest is served" "$(asks)" 200
is "the guest is running" "$(sql 'SELECT state FROM guest WHERE vmid = 8200')" running
is "the audit trail has it" "$(sql "SELECT group_concat(kind, ' ') FROM
    (SELECT kind FROM event WHERE vmid = 8200 AND kind != 'enroll' ORDER BY seq DESC LIMIT 2)")" 'post-start mint'
phase 8200 post-start
is "where pre-start succeeded, post-start mints nothing" "$(generation)" 1
phase 8200 post-stop
phase 8200 pre-start >/dev/null
rm "$DIRECTORY"/*
phase 8200 post-start
is "a directory that was emptied meanwhile is filled" "$(asks) $(generation)" '200 3'
is "and older tokens are ended" "$(sql 'SELECT count(*) FROM token WHERE vmid = 8200 AND revoked_at_ms IS NULL')" 1
phase 8200 pre-start >/dev/null
ctl revoke 8200 >/dev/null
phase 8200 post-start
is "what the operator has revoked meanwhile stays revoked" "$(files) $(generation)" 'agent.crt 4'
phase 8200 post-stop
mv "$HOST/state" "$HOST/away"
phase 8200 pre-start >/dev/null 2>&1
mv "$HOST/away" "$HOST/state"
phase 8200 post-start
is "until the next start, even one whose pre-start fails" "$(asks) $(generation)" '200 5'
daemon_stop
tap_done
