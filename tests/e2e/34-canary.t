#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Secrets stay where they belong: each secret of the host is used during a guest's life, and then searched for
# everywhere.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
mount -t tmpfs felhom-tmp /var/tmp
mkdir "$HOST/hub" "$HOST/gitea" "$HOST/proxmox"
HUB_KEY=canary-of-the-hub-key-1f9b
HUB_PASSWORD=canary-of-the-customer-2c8d
GITEA_PASSWORD=canary-of-gitea-3e7a
PVE_SECRET=0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa
agent_yaml <<END
host_id: demo
hub: {url: "https://127.0.0.1:9444/", ca_file: "$HOST/hub/ca.pem", api_key_file: "$HOST/hub.key", poll: 1s}
registry: {mode: gitea, host: "127.0.0.1:9445", username: felhom, secret_file: $HOST/registry.secret, ca_file: "$HOST/gitea/ca.pem"}
pve: {endpoint: "https://127.0.0.1:8006", token_file: $HOST/pve.token, ca_file: $HOST/proxmox/ca.pem}
END
(
    umask 077
    printf '%s\n' $HUB_KEY >"$HOST/hub.key"
    printf '%s\n' $HUB_PASSWORD >"$HOST/password"
    printf '%s\n' $GITEA_PASSWORD >"$HOST/registry.secret"
    printf 'agent@pve!felhom=%s\n' $PVE_SECRET >"$HOST/pve.token"
)
jq -n --arg password $HUB_PASSWORD '{acme: {password: $password, config: "greeting: hello\n"}}' \
    >"$HOST/hub/customers.json"
jq -n --arg key $HUB_KEY '{demo: {key: $key, reply: {}}}' >"$HOST/hub/hosts.json"
jq -n --arg secret $PVE_SECRET \
    '{"agent@pve!felhom": {secret: $secret, privileges: {"/vms": ["VM.Audit", "VM.Snapshot"]}}}' \
    >"$HOST/proxmox/tokens.json"
jq -n '{"8200": {type: "lxc", running: true}}' >"$HOST/proxmox/guests.json"
jq -n --arg password $GITEA_PASSWORD '{felhom: $password}' >"$HOST/gitea/users.json"
standin_start hub 9444
standin_start gitea 9445
standin_start proxmox 8006
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
done
world_guest 8200 200
world_guest 8300 201
ctl init >/dev/null

# secrets: prints those that are known so far. Of a token it is the secret part, of the host's key the last line but
# one.
secrets() {
    printf '%s\n' "hub-key $HUB_KEY" "hub-password $HUB_PASSWORD" "gitea-password $GITEA_PASSWORD" \
        "pve-secret $PVE_SECRET"
    sed -n '/PRIVATE KEY/,/PRIVATE KEY/p' "$HOST/state/tls/agent.pem" | sed -n '2s/^/host-key /p'
    cat "$HOST/tokens" 2>/dev/null
}
# The secrets that felhomd sends to others, and the token that it got from the registry, as they are and as HTTP carries
# them.
credentials() {
    secrets | grep -E '^(hub-key|gitea-password|pve-secret|minted) '
    printf 'gitea-basic %s\n' "$(printf 'felhom:%s' $GITEA_PASSWORD | base64)"
}
note_token() {
    sed 's/^fh1_[^_]*_\(.\{43\}\)_.*/'"$1"' \1/' "$2" >>"$HOST/tokens"
}

# --- a guest's life, in which every secret is used ---
ctl enroll 8200 --customer acme --retrieval-password-file "$HOST/password" >/dev/null
ctl enroll 8300 >/dev/null
phase 8200 pre-start >/dev/null
phase 8300 pre-start >/dev/null
note_token first "$(token_of 8200)"
note_token other "$(token_of 8300)"
exec 8> >(exec cat >"$HOST/processes")
secrets | tests/lib/holders processes >&8 2>/dev/null &
WATCHER=$!
daemon_start
ask() {
    status_of 8200 "$(token_of 8200)" "$@"
}
phase 8200 post-start >/dev/null
is "the guest's requests are answered with 200" "$(ask /storage) $(ask /controller.yaml) $(ask /host/metrics)" \
    '200 200 200'
is 'the guest requests a snapshot' "$(ask /snapshot -X POST)" 202
pulled() {
    grep -q hello "$(directory_of 8200)/controller.yaml" || { ctl rotate 8200 >/dev/null &&
        grep -q hello "$(directory_of 8200)/controller.yaml"
    }
}
ok "the guest's configuration is pulled from the hub" eventually pulled
request 8200 "$(token_of 8200)" /registry-credential | head -n 1 | jq -r '"minted " + .data.token' >>"$HOST/tokens"
like 'the guest gets a registry token' "$(tail -n 1 "$HOST/tokens")" '^minted .{20}'
is "another guest's token gives 403" "$(status_of 8200 "$(token_of 8300)" /storage)" 403
sed 's/.\{8\}$/AAAAAAAA/' "$(token_of 8200)" >"$HOST/wrong-token"
is 'a wrong token gives 401' "$(status_of 8200 "$HOST/wrong-token" /storage)" 401
ok "the guest's token is rotated" ctl rotate 8200
note_token rotated "$(token_of 8200)"
is 'the rotated token is valid' "$(ask /storage)" 200
reload
is 'the rotated token is valid after a reload' "$(ask /storage)" 200
rm -f "$HOST"/header.* "$HOST/wrong-token"

# --- where the secrets are while everything runs ---
# Except for the operator's files and this test's own notes: the directory of the guest (the export shows the same), the
# key's file, and for the hub's password the enrolment and the store, as felhomd may not read enrolments.
elsewhere() {
    secrets | tests/lib/holders files "$HOST" | sort -u | grep -vxE '(first|other|rotated|minted) tokens' |
        grep -vE '^[a-z-]+ (hub|gitea|proxmox)/' |
        grep -vxE 'other run/(guests|export)/8300/(token|bootstrap\.json|controller\.yaml)' |
        grep -vxE 'rotated run/(guests|export)/8200/(token|bootstrap\.json|controller\.yaml)' |
        grep -vxE \
            'host-key state/tls/agent\.pem|hub-key hub\.key|gitea-password registry\.secret|pve-secret pve\.token' |
        grep -vxE 'hub-password (password|pve/priv/felhom/8200\.yaml|state/db/agent\.db(-wal)?)'
}
ok 'the search finds secrets where they belong' grep -qx 'rotated run/guests/8200/token' \
    <(secrets | tests/lib/holders files "$HOST")
is 'no other file contains a secret: no log, no event, no temporary file' "$(elsewhere)" ''
is 'the folders for temporary files contain no secret' \
    "$(secrets | tests/lib/holders files /var/tmp)$(secrets | grep -v '^hub-password' | tests/lib/holders files "$HOST/state/db")" \
    ''
python3 -c 'import sys, time; held = sys.stdin.read(); print(flush=True); time.sleep(600)' <<<'canary-of-memory-5d2e' \
    >"$HOST/control" &
CONTROL=$!
eventually test -s "$HOST/control"
is "the search finds a secret in a process's memory" \
    "$(tests/lib/holders memory $CONTROL <<<'control canary-of-memory-5d2e' | sed 's/ .*//' | sort -u)" control
kill $CONTROL
case $BIN in
*asan*) skip 'what was shown to felhomd is not in its memory' 'sanitizers have terabytes of it' ;;
*)
    # Refused by CivetWeb itself, before anybody has looked at the token.
    for start in 'get /storage HTTP/1.1' $'GET /storage HTTP/1.1\r\nX: a\rb' 'GET /storage HTTP/9.9'; do
        { printf '%s\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n' "$start" "$(cat "$(token_of 8200)")" && sleep 0.5; } |
            in_guest 8200 openssl s_client -quiet -connect "$ENDPOINT" >>"$HOST/early" 2>/dev/null
    done
    ok "requests were refused early" grep -q '"ok":false' "$HOST/early"
    # Nothing that is read later has to come for it to be wiped; but felhomd may not have closed yet.
    closed() { [ -z "$(ss -Htn state established "sport = :$PORT")" ]; }
    eventually closed
    is "felhomd's memory has no token that a guest sent" \
        "$(secrets | grep -E '^(first|other|rotated|host-key) ' | tests/lib/holders memory $DAEMON)" ''
    # While a request is under way, what it sends is in memory.
    forgotten() {
        held=$("$1" | tests/lib/holders memory $DAEMON)
        [ -z "$held" ]
    }
    # The hub's password is in the store, and so in SQLite's cache.
    ok "felhomd's memory has no secret of hub, registry or Proxmox, and no registry token" \
        eventually forgotten credentials || diag "$held"
    ;;
esac

# --- when felhomd crashes ---
mkdir "$HOST/core"
is "felhomd's limit for core dumps is 0" "$(awk '/^Max core/ { print $5 $6 }' /proc/$DAEMON/limits)" 00
kill -ABRT $DAEMON
wait $DAEMON 2>/dev/null
is 'a signal that dumps core leaves no core file' \
    "$(find "$HOST" / -xdev -maxdepth 1 -name 'core*' -type f 2>/dev/null)" ''
phase 8200 post-stop >/dev/null
is "after the guest's stop no file contains its token" \
    "$(grep '^rotated ' "$HOST/tokens" | tests/lib/holders files "$HOST" | grep -vx 'rotated tokens')" ''
kill $WATCHER
exec 8>&-
CANARY=$HUB_KEY sleep 600 &
CONTROL=$!
tests/lib/holders processes <<<"hub-key $HUB_KEY" >"$HOST/looked" 2>/dev/null &
WATCHER=$!
eventually test -s "$HOST/looked"
is 'the search finds a secret in an environment' "$(head -n 1 "$HOST/looked")" 'hub-key environ of sleep'
kill $CONTROL $WATCHER
is 'no argument and no environment ever contained a secret' "$(cat "$HOST/processes")" ''
tap_done
