#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the operator sees: the audit trail as it grows, why a request was refused, and the state of host and guests.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
ctl init >/dev/null
guest_config 8200 </dev/null
guest_config 8300 </dev/null
enroll 8200 >/dev/null
enroll 8300 >/dev/null

# --- events ---
has() {
    grep -q -- "$2" "$1"
}
is "the newest events come last" "$(ctl events --output-format json | jq -c '[.[-2:][] | [.vmid, .kind]]')" \
    '[[8200,"enroll"],[8300,"enroll"]]'
before=$(ctl events --limit 1 --output-format json | jq '.[0].seq')
"$BIN/felhomctl" events --follow --since "$before" >"$HOST/followed" 2>&1 &
follower=$!
"$BIN/felhomctl" events 8300 --follow --since "$before" --output-format json >"$HOST/followed.8300" &
follower_8300=$!
ok "a guest starts while events are followed" phase 8200 pre-start
ok "events --follow prints the start as it happens" eventually has "$HOST/followed" ' 8200  *pre-start '
ok "another guest starts while events are followed" phase 8300 pre-start
ok "events --follow of one guest prints that guest's start" eventually has "$HOST/followed.8300" '"kind":"pre-start"'
is "events --follow of one guest prints no other guest's events" \
    "$(jq -s 'map(.vmid) | unique | .[]' "$HOST/followed.8300")" 8300
is "events --follow prints no event twice" "$(awk '{ print $1 }' "$HOST/followed" | sort | uniq -d)" ''
kill -INT $follower
kill -TERM $follower_8300
wait $follower
is "an interrupt ends events --follow with status 0" $? 0
wait $follower_8300
is "SIGTERM ends events --follow with status 0" $? 0
mkfifo "$HOST/pipe"
"$BIN/felhomctl" events --follow >"$HOST/pipe" &
follower=$!
read -r _ <"$HOST/pipe"
gone() {
    ! kill -0 "$1"
}
ok "events --follow ends when its reader has gone" eventually gone $follower
is "events --quiet prints nothing" "$(ctl events --quiet 2>&1)" ''
is "the YAML output of events equals the JSON output" \
    "$(ctl events --output-format yaml | python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))' | jq -cS .)" \
    "$(ctl events --output-format json | jq -cS .)"

# --- explain ---
world_guest 8200 200
world_guest 8300 201
PIN=$(pin_of 8200)
cp "$(token_of 8200)" "$HOST/old"
ok "felhomd starts" daemon_start
# refused VMID TOKEN_FILE PATH [CURL_OPTION...]: sets $STATUS and $ID from the reply
refused() {
    STATUS=$(request "$@" -D "$HOST/headers" -o "$HOST/body" | tail -n 1)
    ID=$(tr -d '\r' <"$HOST/headers" | sed -n 's/^X-Request-Id: //p')
}
# A refusal is recorded after the reply has gone out.
explained() {
    eventually ctl explain "$ID"
    ctl explain "$ID" --output-format json | jq -c "$1"
}
what='[.status, .reason, .method, .path, .vmid, .token_id, .source_vmid]'
id_of() {
    cut -d_ -f2 "$1"
}
refused 8200 - /storage
is "explain: no token" "$(explained "$what")" '[401,"no token","GET","/storage",null,null,8200]'
cp "$HOST/body" "$HOST/body.none"
like "explain names the source of the request" "$(explained .source)" "^\"guest 8200.192\.168\.0\.200.\"$"
like "explain says what to do" "$(ctl explain "$ID")" 'what to do: *have the client send the token'
ok "the guest starts again" phase 8200 pre-start
refused 8200 "$HOST/old" /storage -X POST
is "explain: a revoked token and its guest" "$(explained "$what")" \
    "[401,\"revoked token\",\"POST\",\"/storage\",8200,\"$(id_of "$HOST/old")\",8200]"
ok "the reply to a revoked token has the same body as that to no token" cmp "$HOST/body" "$HOST/body.none"
is "the reply to a revoked token has the same headers as that to no token" \
    "$(tr -d '\r' <"$HOST/headers" | sed -n 's/:.*//p' | grep . | sort | xargs)" \
    'Cache-Control Connection Content-Length Content-Type Date WWW-Authenticate X-Request-Id'
# One token in sixty-two ends with an x already.
sed 's/x$/y/; t; s/.$/x/' "$HOST/old" >"$HOST/malformed"
refused 8300 "$HOST/malformed" /backup/due
is "explain: a malformed token" "$(explained "$what")" '[401,"malformed token","GET","/backup/due",null,null,8300]'
like "events of the guest that sent it show it, though it had no guest's token" "$(ctl events 8300 --limit 1)" 'refused .*malformed'
refused 8300 "$(token_of 8200)" /storage
like "a refusal is among the events of the guest that sent it" "$(ctl events 8300 --limit 1)" 'refused .*token of another guest'
is "and among those of the guest whose token it was, once" "$(ctl events 8200 | grep -c 'token of another guest')" 1
is "explain: another guest's token" "$(explained "$what")" \
    "[403,\"token of another guest\",\"GET\",\"/storage\",8200,\"$(id_of "$(token_of 8200)")\",8300]"
refused 8200 "$(token_of 8200)" /guests/8300/storage
is "explain: another guest's path" "$(explained '[.status, .reason, .path]')" \
    '[403,"path of another guest","/guests/8300/storage"]'
refused 8200 "$(token_of 8200)" "/nothing/$(cat "$HOST/old")"
is "explain: an unknown path, without the token that was in it" "$(explained '[.status, .reason, .path]')" \
    '[404,"unknown path",null]'
refused 8200 "$(token_of 8200)" /storage -X DELETE
is "explain: a method that the path does not support" "$(explained '[.status, .reason]')" '[405,"unknown method"]'
refused 8200 "$(token_of 8200)" '/events?since=x'
is "explain: an invalid query" "$(explained '[.status, .reason, .detail]')" \
    '[400,"the endpoint","since: must be a whole number from 0 to 9223372036854775807"]'
refused 8200 "$(token_of 8200)" /storage -H 'Content-Length: x' -X POST
is "explain: a request with an invalid Content-Length" "$(explained '[.status, .reason, .token_id]')" \
    '[411,"malformed request",null]'
refused 8200 "$(token_of 8200)" /storage -H 'Expect: x' -X POST -d x
is "explain: a request with an unsupported Expect header" "$(explained '[.status, .reason, .path]')" \
    '[417,"malformed request","/storage"]'
refused 8200 "$(token_of 8200)" /storage
is "an accepted request gives 200" $STATUS 200
like "explain has no record of an answered request" "$(ctl explain "$ID" 2>&1)" \
    "^felhomctl: no refused request $ID is recorded"
# Twenty failures a minute are allowed: on a machine that takes seconds for each request, no limit is seen.
begun=$SECONDS
codes=$(in_guest 8300 curl -sk -o /dev/null -w '%{http_code} ' --max-time 600 "https://$ENDPOINT/storage?[1-100]")
like "a flood of refused requests runs into the limit" "$codes" '^401 .*429'
is "of a flood only ten refused requests a minute are recorded" \
    "$(sql "SELECT count(*) <= 25 + $(((SECONDS - begun) / 6)) FROM explanation WHERE source LIKE '$(hwaddr_of 8300)%'")" \
    1
refused 8200 - /storage/
is "a flood does not displace the records of other sources" "$(explained '[.reason, .path]')" '["no token","/storage/"]'
is "the store contains no token" \
    "$(sql .dump | grep -cF -e "$(cut -c 14-56 "$HOST/old")" -e "$(cut -c 14-56 "$(token_of 8200)")")" 0
ctl explain 123 2>/dev/null
is "an invalid request ID is a usage error" $? 2

# --- status ---
state='[.daemon.listens, .daemon.state, .daemon.pid]'
is "status shows that felhomd listens" "$(ctl status --output-format json | jq -c "$state")" \
    "[true,\"listens\",$DAEMON]"
is "status counts guests and tokens by state" \
    "$(ctl status --output-format json | jq -c '[.guests, .tokens, .jobs.running]')" \
    '[{"starting":2,"running":0,"stopping":0,"stopped":0},{"good":2,"expired":0,"revoked":1},0]'
like "status as text has the same counts" "$(ctl status)" \
    $'felhomd:  *listens \\(pid '"$DAEMON"$'\\)\nguests:  *2 starting\ntokens:  *2 good, 1 revoked\njobs:  *none\n'
is "status shows the last refusals, the newest first" \
    "$(ctl status --output-format json | jq -c '[.refusals[].request_id] | [length, .[0]]')" "[5,\"$ID\"]"
like "status shows the size of the store" "$(ctl status --output-format json | jq .store_bytes)" '^[1-9][0-9]{4,}$'
lines=$(wc -l <"$HOST/felhomd.log")
ctl status >/dev/null
is "status leaves no message in felhomd's log" "$(wc -l <"$HOST/felhomd.log")" "$lines"
kill -STOP "$DAEMON"
is "status sends felhomd no request" "$(timeout 600 "$BIN/felhomctl" status --output-format json | jq -c "$state")" \
    "[true,\"listens\",$DAEMON]"
kill -CONT "$DAEMON"
ok "felhomd stops" daemon_stop
is "status shows that felhomd is not running" "$(ctl status --output-format json | jq -c "$state")" \
    '[false,"does not run",null]'
listen_instead() {
    python3 -c 'import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
time.sleep(600)' "$ADDRESS" "$PORT"
}
listen_instead &
stranger_is_seen() {
    [ "$(ctl status --output-format json | jq -r .daemon.state)" = 'something else listens there' ]
}
ok "status shows that another program listens at felhomd's address" eventually stranger_is_seen

# --- several guests at once ---
guest_config 8400 <<<'hookscript: local:snippets/theirs'
guest_config 8500 </dev/null
guest_config 8600 <<<'template: 1'
ctl enroll --all --customer acme --output-format json >"$HOST/all" 2>"$HOST/complaint"
is "enroll --all names the guest that could not be enrolled" "$?|$(cat "$HOST/complaint")" \
    '1|felhomctl: not all guests could be enrolled: guest 8400'
is "enroll --all enrolls the other guests" "$(jq -c 'map([.vmid, .enrolled, .changed])' "$HOST/all")" \
    '[[8200,true,true],[8300,true,true],[8400,false,false],[8500,true,true],[8600,true,false]]'
like "enroll --all gives the reason why a guest could not be enrolled" "$(jq -r '.[2].steps[0].detail' "$HOST/all")" \
    'already has the hookscript local:snippets/theirs'
is "enroll --all leaves out templates" "$(grep -c felhom-hook "$HOST/pve/lxc/8600.conf")" 0
is "each guest has its own enrolment file" "$(cat "$HOST"/pve/priv/felhom/{8200,8300,8500}.yaml | grep -c acme)" 3
ctl unenroll 8500 >/dev/null
like "enroll takes several VMIDs" "$(ctl enroll 8400 8500 2>/dev/null)" \
    $'^guest 8400\nwarning  failed .*\n\nguest 8500\ndone '
like "enroll refuses VMIDs together with --all" "$(ctl enroll 8500 --all 2>&1)" \
    '^felhomctl: enroll: give VMID\.\.\. or --all'
like "enroll refuses to be called without guests" "$(ctl enroll 2>&1)" '^felhomctl: enroll: give VMID\.\.\. or --all'

# --- another hookscript, chained ---
printf 'dir: own\n\tpath %s\n\tcontent snippets\n' "$HOST" >"$HOST/pve/storage.cfg"
cat >"$HOST/snippets/other" <<END
#!/bin/bash
echo "other: \$*, \$(ls /proc/self/fd | wc -l) descriptors, umask \$(umask), \${FELHOM_AGENT_CONFIG:-no settings}, \${TZ:-no time zone}" | tee -a $HOST/other.log
exit \$(cat $HOST/other.status)
END
chmod 755 "$HOST/snippets/other"
echo 0 >"$HOST/other.status"
guest_config 8700 <<<'hookscript: own:snippets/other'
original=$(sha256sum <"$HOST/pve/lxc/8700.conf")
not_ok "enroll does not replace another hookscript without --chain" ctl enroll 8700 2>/dev/null
is "enroll without --chain does not change the configuration" "$(sha256sum <"$HOST/pve/lxc/8700.conf")" "$original"
ok "enroll --chain succeeds" ctl enroll 8700 --chain
is "enroll --chain sets our hookscript" "$(grep ^hookscript "$HOST/pve/lxc/8700.conf")" \
    'hookscript: local:snippets/felhom-hook'
is "enroll --chain stores the other hookscript in the enrolment file" \
    "$(grep ^chain "$HOST/pve/priv/felhom/8700.yaml")" 'chain: "own:snippets/other"'
ok "a later enroll without --chain succeeds" ctl enroll 8700 --customer acme
is "a later enroll without --chain keeps the other hookscript" "$(grep ^chain "$HOST/pve/priv/felhom/8700.yaml")" \
    'chain: "own:snippets/other"'
output=$(phase 8700 pre-start 7</dev/null)
like "a start calls both hookscripts, ours first" "$output" \
    $'^felhom: 8700 pre-start: token gen 1 .*\nother: 8700 pre-start, '
like "the other hookscript is called as by Proxmox" "$output" \
    'other: 8700 pre-start, 4 descriptors, umask 0022, no settings, no time zone$'
ok "the guest has its token before the other hookscript is called" test -s "$(token_of 8700)"
for each in post-start pre-stop post-stop; do
    like "$each calls the other hookscript, too" "$(phase 8700 $each)" "other: 8700 $each, "
done
# --- chained, with mistakes in our files ---
ENROLMENT=$HOST/pve/priv/felhom/8700.yaml
theirs() { phase 8700 "$1" 2>"$HOST/complaint" | sed -n 's/^other: \([0-9]* [a-z-]*\),.*/\1/p'; }
agent_yaml <<<'surprise: 1'
for each in pre-start post-start pre-stop post-stop; do
    is "agent.yaml has a mistake: $each calls the other hookscript" "$(theirs $each)" "8700 $each"
done
like "agent.yaml has a mistake: there is an event" \
    "$(sql "SELECT kind || ' ' || outcome || ': ' || detail FROM event ORDER BY seq DESC LIMIT 1")" \
    '^post-stop warning: agent.yaml:[0-9]+:1: surprise: '
agent_yaml <<<'hook: {on_error: block}'
mv "$HOST/state/tls" "$HOST/tls"
theirs pre-start >"$HOST/theirs"
like "if our hook blocks the start, the other hookscript is not called" "$(cat "$HOST/theirs" "$HOST/complaint")" \
    '^felhom-hook: .*/tls/agent.crt is missing'
mv "$HOST/tls" "$HOST/state/tls"
if mkdir "$HOST/etc" "$HOST/etc-work" &&
    mount -t overlay overlay -o "lowerdir=/etc,upperdir=$HOST/etc,workdir=$HOST/etc-work" /etc 2>/dev/null; then
    mkdir -p /etc/pve/priv/felhom
    cp "$ENROLMENT" /etc/pve/priv/felhom/
    cp "$HOST/pve/storage.cfg" /etc/pve/
    agent_yaml <<<'"'
    is "agent.yaml is not YAML: the default paths are used, and the other hookscript is called" "$(theirs pre-stop)" \
        '8700 pre-stop'
    umount -l /etc
else
    skip "agent.yaml is no YAML" "no overlay can be mounted here"
fi
agent_yaml </dev/null
cp "$ENROLMENT" "$HOST/enrolment"
echo 'colour: blue' >>"$ENROLMENT"
is "the enrolment has a mistake: the other hookscript is called" "$(theirs pre-start)" '8700 pre-start'
like "the enrolment has a mistake: the message gives the line" "$(cat "$HOST/complaint")" '8700.yaml:[0-9]+:1: colour'
sed -i '1i "' "$ENROLMENT"
phase 8700 pre-start >"$HOST/theirs" 2>"$HOST/complaint"
is "an enrolment from which the other hookscript cannot be read blocks the start" $? 1
like "the message says where the enrolment cannot be read" "$(cat "$HOST/complaint")" \
    'the chained hookscript cannot be found: enrolment:[0-9]+:[0-9]+: '
cp "$HOST/enrolment" "$ENROLMENT"

echo 3 >"$HOST/other.status"
phase 8700 pre-start >/dev/null 2>&1
is "pre-start exits with the other hookscript's status" $? 3
agent_yaml <<<'hook: {deadline: 1s}'
sed -i '2i sleep 2' "$HOST/snippets/other"
echo 0 >"$HOST/other.status"
ok "our deadline does not limit the other hookscript" phase 8700 post-start
agent_yaml </dev/null
mv "$HOST/snippets/other" "$HOST/snippets/away"
phase 8700 pre-start >/dev/null 2>"$HOST/complaint"
is "a missing hookscript on the storage blocks the start" "$?|$(cat "$HOST/complaint")" \
    "1|felhom-hook: cannot run the chained hookscript $HOST/snippets/other: No such file or directory"
rm "$HOST/pve/storage.cfg"
phase 8700 pre-start >/dev/null 2>"$HOST/complaint"
is "a missing storage of the other hookscript blocks the start" "$?|$(cat "$HOST/complaint")" \
    '1|felhom-hook: the chained hookscript cannot be found: own:snippets/other: storage.cfg has no storage own with a directory'
mv "$HOST/snippets/away" "$HOST/snippets/other"
printf 'dir: own\n\tpath %s\n\tcontent snippets\n' "$HOST" >"$HOST/pve/storage.cfg"
ok "unenroll succeeds" ctl unenroll 8700
is "unenroll restores the other hookscript" "$(sort "$HOST/pve/lxc/8700.conf")" \
    "$(sort <(echo 'hookscript: own:snippets/other'; guest_config 8701 </dev/null; sed s/8701/8700/g "$HOST/pve/lxc/8701.conf" | sed "s/$(hwaddr_of 8701)/$(hwaddr_of 8700)/"))"
tap_done
