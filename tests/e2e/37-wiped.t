#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Programs wipe secrets from their memory: the memory of each program that handles one is searched when it is about to
# exit.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
case $BIN in
*asan*)
    skip 'memory at the end' 'sanitizers keep what was freed'
    tap_done
    ;;
esac
agent_yaml <<<'hub: {url: "https://127.0.0.1:9444/", api_key_file: /dev/null}'
PASSWORD=canary-of-the-customer-2c8d
(umask 077 && printf '%s\n' $PASSWORD >"$HOST/password")

secrets() {
    echo "password $PASSWORD"
    echo "token @$(token_of 8200)"
    sed -n '/PRIVATE KEY/,/PRIVATE KEY/p' "$HOST"/state/tls/*.pem 2>/dev/null | sed -n '2s/^/key /p'
}
# left COMMAND...: prints what it leaves in memory, and how it ends if not with 0.
left() {
    secrets | tests/lib/last-look "$@" 2>"$HOST/said" | sort | uniq -c | sed 's/^ *//'
    [ "${PIPESTATUS[1]}" -eq 0 ] || cat "$HOST/said"
}

like 'the search finds what a program keeps' \
    "$(left "$(command -v python3)" -c "import os; held = open('$HOST/password').read(); os._exit(0)")" \
    '^[0-9]+ password python3 '
ok "the search reports a failed program's output" test "$(left /bin/sh -c 'echo so; exit 3')" = so
is 'felhomctl init leaves no key in memory' "$(left "$BIN/felhomctl" init)" ''
guest_config 8200 </dev/null
is 'felhomctl enroll leaves no password' \
    "$(left "$BIN/felhomctl" enroll 8200 --customer acme --retrieval-password-file "$HOST/password" --snippets "$HOST/snippets" --hook "$BIN/felhom-hook")" \
    ''
is 'pre-start leaves no token and no password in memory' "$(left "$BIN/felhom-hook" 8200 pre-start)" ''
ok 'pre-start has made a token' grep -q '^fh1_' "$(token_of 8200)"
is 'post-start leaves no secret in memory' "$(left "$BIN/felhom-hook" 8200 post-start)" ''
is 'felhomctl rotate leaves no secret in memory' "$(left "$BIN/felhomctl" rotate 8200)" ''
is 'felhomctl doctor leaves no secret in memory' \
    "$(left "$BIN/felhomctl" doctor 8200 | grep -E '^[0-9]+ (token|password|key) ')" ''
is 'felhomctl identity stage leaves no key in memory' "$(left "$BIN/felhomctl" identity stage)" ''
is 'felhomctl identity switch leaves no key in memory' \
    "$(left "$BIN/felhomctl" identity switch)" ''
is 'felhomctl guest leaves no secret in memory' "$(left "$BIN/felhomctl" guest 8200)" ''
is 'post-stop leaves no secret in memory' "$(left "$BIN/felhom-hook" 8200 post-stop)" ''
tap_done
