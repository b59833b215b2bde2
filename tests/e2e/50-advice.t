#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What an operator is told can be done: the documents' settings are pasted into the shipped agent.yaml, doctor is asked
# in the middle of a rollover, and a mistake with the key costs no more than it must.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
STATE=$HOST/state

# --- settings of the documents, pasted at the end of the shipped file ---
cp "$HOST/agent.yaml" "$HOST/paths.yaml"
# snippets FILE: the indented blocks that begin with a key of agent.yaml, one on each line, with \n for line ends
snippets() {
    python3 - "$1" <<'END'
import re, sys
keys = re.findall(r'^#([a-z_]+):', open('debian/agent.yaml').read(), re.M)
snippet = None
for line in open(sys.argv[1]).read().split('\n') + ['']:
    key = re.match(r'    ([a-z_]+):', line)
    if snippet and not re.match(r'     +\S', line):
        print(snippet)
        snippet = None
    if key and key[1] in keys:
        snippet = line[4:] + r'\n'
    elif snippet:
        snippet += line[4:] + r'\n'
END
}
pasted=0
for document in README.md docs/*.md; do
    while read -r snippet; do
        pasted=$((pasted + 1))
        printf "%b" "$snippet" | cat debian/agent.yaml - >"$HOST/pasted.yaml"
        # A bridge that is not there is waited for: the configuration itself is what is looked at.
        like "$document: $snippet can be pasted" "$(FELHOM_AGENT_CONFIG=$HOST/pasted.yaml "$BIN/felhomd" --check)" \
            "^ok: configuration $HOST/pasted.yaml"
    done < <(snippets "$document")
done
ok "the documents have settings to paste" test $pasted -ge 3
printf '%s\n' 'local_api: {bridge: vmbr0}' | cat debian/agent.yaml - >"$HOST/pasted.yaml"
sed -i '0,/^#hook:/s//hook:/; 0,/^#  deadline:/s//  deadline:/' "$HOST/pasted.yaml"
like "a section whose # was removed goes together with one that is pasted" \
    "$(FELHOM_AGENT_CONFIG=$HOST/pasted.yaml "$BIN/felhomd" --check)" '^ok: configuration'
echo 'hook: {}' >>"$HOST/pasted.yaml"
like "a section that is there twice is refused with both places" \
    "$(FELHOM_AGENT_CONFIG=$HOST/pasted.yaml "$BIN/felhomd" --check)" \
    "error: pasted.yaml:[0-9]+:1: hook: .*first in line $(grep -n '^hook:' "$HOST/pasted.yaml" | head -n 1 | cut -d: -f1): "

# --- doctor while one certificate replaces another ---
phase 8200 pre-start >/dev/null 2>&1
phase 8200 post-start
daemon_start
pin() { ctl doctor 8200 --output-format json | jq -r '.checks[] | select(.id == "guest.pin") | "\(.result): \(.reason)|\(.remedy)"'; }
count() { grep -c BEGIN "$(directory_of 8200)/agent.crt"; }
is "one certificate: doctor accepts it" "$(pin)" 'ok: the guest has the current certificate|null'
before=$(cat "$(directory_of 8200)/agent.crt")
ctl identity stage >/dev/null
is "after stage: doctor accepts both" "$(count) $(pin)" '2 ok: the guest has the current certificate, and the next one|null'
echo "$before" >"$(directory_of 8200)/agent.crt"
is "a directory that lacks the next one is named" "$(pin)" \
    "error: the guest's directory lacks the certificate that felhomd is to show next|felhomctl rotate 8200"
ctl rotate 8200 >/dev/null
is "and is mended by what doctor advises" "$(count) $(pin)" \
    '2 ok: the guest has the current certificate, and the next one|null'
ctl identity switch >/dev/null
is "after switch: doctor accepts them" "$(count) $(pin)" '2 ok: the guest has the current certificate|null'
echo "$before" >"$(directory_of 8200)/agent.crt"
is "a directory with the old one alone is named" "$(pin)" \
    "error: the certificate in the guest's directory is not the current one|felhomctl rotate 8200"
ctl rotate 8200 >/dev/null
is "and that is mended, too" "$(pin)" 'ok: the guest has the current certificate|null'
ctl identity retire >/dev/null
is "after retire: doctor accepts the one that is left" "$(count) $(pin)" '1 ok: the guest has the current certificate|null'

# --- a step that is cut short leaves several guests behind: one command brings them all up to date ---
VMIDS='8301 8302 8303 8304'
for vmid in $VMIDS; do
    guest_config "$vmid" </dev/null
    enroll "$vmid" >/dev/null
    phase "$vmid" pre-start >/dev/null 2>&1
    phase "$vmid" post-start
done
pins() { ctl doctor --output-format json | jq -c '[.checks[] | select(.id == "pins") | .vmid, .result, .reason, .remedy]'; }
behind() { ctl doctor --output-format json | jq -r '.checks[] | select(.id == "guest.pin" and .result != "ok") | .vmid' | xargs; }
tokens_now() { for vmid in 8200 $VMIDS; do sha256sum <"$(token_of "$vmid")"; done; }
# cut_short STEP: kills the step in place of the rename that would bring the third guest up to date
cut_short() {
    local ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # the leak sanitizer would trace what is traced
    export ASAN_OPTIONS
    "$BIN/fault" "$HOST/fault.log" list "$BIN/felhomctl" identity "$1" >/dev/null 2>&1
    awk '$3 == "rename" { print $1 "/" $3 "/" ++count[$1, $3] }' "$HOST/fault.log" >"$HOST/renames"
    rm -rf "$STATE/tls" && cp -a "$HOST/tls.before" "$STATE/tls"
    for vmid in 8200 $VMIDS; do cp "$STATE/tls/agent.crt" "$(directory_of "$vmid")/agent.crt"; done
    "$BIN/fault" "$HOST/fault.log" kill "$(sed -n "$(($(wc -l <"$HOST/renames") / 2))p" "$HOST/renames")" \
        "$BIN/felhomctl" identity "$1" >/dev/null 2>&1
}
is "all guests have the certificate: nothing is said" "$(pins)" '[]'
cp -a "$STATE/tls" "$HOST/tls.before"
before=$(tokens_now)
cut_short stage
left=$(behind)
like "a stage that was killed: several guests lack the next certificate" "$left" '^83[0-9]+( 83[0-9]+)+$'
is "... and doctor names one command for them" "$(pins)" \
    "[null,\"error\",\"$(wc -w <<<"$left") running guests lack a certificate of felhomd's: ${left// /, }\",\"felhomctl identity stage\"]"
is "... and prints it once, and none for each" \
    "$(ctl doctor | grep -c "to fix it: felhomctl identity stage$")|$(ctl doctor | grep -c 'to fix it: felhomctl rotate')" '1|0'
ctl identity stage >/dev/null
is "... which brings them up to date" "$(behind)|$(pins)" '|[]'
is "... and leaves their tokens" "$(tokens_now)" "$before"
ctl identity switch >/dev/null
for vmid in 8301 8303; do cp "$HOST/tls.before/agent.crt" "$(directory_of $vmid)/agent.crt"; done
is "a switch that was killed: the command is switch" "$(behind)|$(pins | jq -r '.[3]')" '8301 8303|felhomctl identity switch'
ctl identity switch >/dev/null
is "... which brings them up to date" "$(behind)" ''
ctl identity retire >/dev/null
for vmid in 8301 8303; do cp "$HOST/tls.before/agent.crt" "$(directory_of $vmid)/agent.crt"; done
is "without a rollover the command is rotate --all" "$(behind)|$(pins | jq -r '.[3]')" '8301 8303|felhomctl rotate --all'
ctl rotate --all >/dev/null
is "... which brings them up to date" "$(behind)" ''
for vmid in $VMIDS; do
    phase "$vmid" post-stop
    ctl unenroll "$vmid" >/dev/null
done

# --- the timer that gives new tokens, while agent.yaml is bad ---
{ cat "$HOST/paths.yaml" && echo 'token: {max_age: 3h}'; } >"$HOST/agent.yaml"
ok "felhomd takes it up" "$BIN/felhomd" --reload
"$BIN/felhomd" --keep-settings
phase 8200 pre-start >/dev/null 2>&1
phase 8200 post-start
sql 'UPDATE token SET created_at_ms = created_at_ms - 9000000 WHERE revoked_at_ms IS NULL'
before=$(cat "$(token_of 8200)")
echo 'surprise: 1' >>"$HOST/agent.yaml"
like "rotate --due goes by the last good agent.yaml, and says so" "$(ctl rotate --due 2>&1)" \
    "done +8200 .*warning +agent.yaml +agent.yaml:[0-9]+:1: surprise: .*agent.yaml.good is in force|warning +agent.yaml +agent.yaml:[0-9]+:1: surprise: .*agent.yaml.good is in force.*done +8200 "
unlike "the guest has a new token" "$(cat "$(token_of 8200)")" "$before"
like "rotate 8200, which an operator runs, refuses" "$(ctl rotate 8200 2>&1)" '^felhomctl: agent.yaml:[0-9]+:1: surprise: '
cp "$HOST/paths.yaml" "$HOST/agent.yaml"

# --- the key: what runs goes on, what starts leaves nothing behind ---
holdings() { echo "$(ls "/proc/$1/task" | wc -l) threads, $(ls "/proc/$1/fd" | wc -l) descriptors"; }
answers() { curl -sk -o /dev/null --max-time 120 "https://$ENDPOINT/healthz"; }
# settled: twice the same, once the connections of before are closed
settled() {
    local now
    now=$(holdings "$DAEMON")
    sleep 0.2
    [ "$now" = "$(holdings "$DAEMON")" ]
}
eventually settled
mv "$STATE/tls/agent.pem" "$HOST/agent.pem"
{ cat "$HOST/paths.yaml" && echo 'limits: {threads: 32}'; } >"$HOST/agent.yaml"
reload
like "without its key, a reload that would need a new listener fails with the file's name" \
    "$(grep -F reload "$HOST/felhomd.log" | tail -n 1)" 'reload failed, the old configuration stays in force: .*agent\.pem is missing'
ok "and the old listener answers" answers
eventually settled
before=$(holdings "$DAEMON")
for _ in 1 2 3 4 5; do reload; done
eventually settled
is "each try leaves no thread and no descriptor" "$(holdings "$DAEMON")" "$before"
daemon_stop
"$BIN/felhomd" >"$HOST/out" 2>&1
is "without its key felhomd does not start" "$? $(wc -l <"$HOST/out")" '1 1'
# The address comes later than felhomd, and by then the key is gone.
cp "$HOST/agent.pem" "$STATE/tls/agent.pem"
ip addr del $ADDRESS/24 dev vmbr0
"$BIN/felhomd" >"$HOST/out" 2>&1 &
DAEMON=$!
waits() { grep -q 'waiting: ' "$HOST/out"; }
eventually waits
is "waiting for its address, felhomd has one thread" "$(ls "/proc/$DAEMON/task" | wc -l)" 1
rm "$STATE/tls/agent.pem"
ip addr add $ADDRESS/24 dev vmbr0
wait $DAEMON
is "a key that is gone when the address comes ends felhomd: it does not say that it is ready" \
    "$? $(grep -c 'agent\.pem' "$HOST/out")" '1 1'
cp "$HOST/agent.pem" "$STATE/tls/agent.pem"
cp "$HOST/paths.yaml" "$HOST/agent.yaml"
daemon_start
ok "with its key felhomd serves again" answers
daemon_stop
tap_done
