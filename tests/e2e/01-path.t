#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole path: two guests start, get their identities, send requests to their host, and stop.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host

guest_config 8200 </dev/null
guest_config 8300 </dev/null
ok "init succeeds" ctl init
ok "guest 8200 can be enrolled" enroll 8200 --customer acme
ok "guest 8300 can be enrolled" enroll 8300
world_guest 8200 200
world_guest 8300 201
line=$(phase 8200 pre-start)
is "pre-start exits 0" $? 0
like "pre-start prints one line" "$line" \
    '^felhom: 8200 pre-start: token gen 1 minted, mount populated \(4 files\), [0-9.]+ ms$'
ok "pre-start of guest 8300 succeeds" phase 8300 pre-start
ok "felhomd starts" daemon_start
ok "post-start of guest 8200 succeeds" phase 8200 post-start

is "T1: the right pin and the guest's own token give 200" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
is "T2: the right pin and no token give 401" "$(status_of 8200 - /storage)" 401
is "T3: another guest's token gives 403" "$(status_of 8200 "$(token_of 8300)" /storage)" 403
in_guest 8200 curl -sk --max-time 120 --pinnedpubkey "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" \
    -H "@$(header_file "$(token_of 8200)")" -o /dev/null -w '%{http_code}' "https://$ENDPOINT/storage" >"$HOST/t4"
is "T4: a wrong pin makes curl exit with 90" $? 90
is "T4: a wrong pin gets no reply" "$(cat "$HOST/t4")" 000

body=$(request 8200 "$(token_of 8200)" /storage | head -n 1)
is "/storage lists the guest's mounts" "$(jq -cS . <<<"$body")" "$(jq -cS . <<'EOF'
{"ok":true,"data":{"vmid":8200,"mounts":[
 {"key":"rootfs","storage":"local-lvm","mount_point":"/","class":"","backup":true,"read_only":false,"size_bytes":8589934592},
 {"key":"mp0","storage":"usb-backup","mount_point":"/srv/data","class":"","backup":true,"read_only":false,"size_bytes":107374182400}]}}
EOF
)"
served=$(request 8200 "$(token_of 8200)" /controller.yaml | head -n -1)
is "controller.yaml is the same from the API and in the directory" "$served" \
    "$(cat "$(directory_of 8200)/controller.yaml")"
like "controller.yaml names the customer" "$served" 'id: "acme"'

is "agent.crt is enough to verify the server" "$(in_guest 8200 curl -s --cacert "$(directory_of 8200)/agent.crt" \
    -o /dev/null -w '%{http_code}' "https://$ENDPOINT/healthz")" 200

kept=$HOST/kept-token
cp "$(token_of 8200)" "$kept"
PIN=$(pin_of 8200)
ok "pre-stop of guest 8200 succeeds" phase 8200 pre-stop
is "the token is valid until the guest has stopped" "$(status_of 8200 "$kept" /storage)" 200
ok "post-stop of guest 8200 succeeds" phase 8200 post-stop
is "the token is refused after post-stop" "$(status_of 8200 "$kept" /storage)" 401
is "post-stop deletes the secrets from the directory" "$(ls -A "$(directory_of 8200)")" agent.crt
is "the next start mints the next generation" "$(phase 8200 pre-start | grep -o 'gen [0-9]*')" "gen 2"
is "the new token is valid" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
is "the old token is not valid after the next start" "$(status_of 8200 "$kept" /storage)" 401
ok "felhomd stops cleanly" daemon_stop
tap_done
