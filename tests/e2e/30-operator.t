#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the operator sees of the agent's doings: the audit trail as it grows, why a request was refused, how things stand.
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
is "the newest come last" "$(ctl events --output-format json | jq -c '[.[-2:][] | [.vmid, .kind]]')" '[[8200,"enroll"],[8300,"enroll"]]'
before=$(ctl events --limit 1 --output-format json | jq '.[0].seq')
"$BIN/felhomctl" events --follow --since "$before" >"$HOST/followed" 2>&1 &
follower=$!
"$BIN/felhomctl" events 8300 --follow --since "$before" --output-format json >"$HOST/followed.8300" &
follower_8300=$!
ok "a start is followed" phase 8200 pre-start
ok "as it happens" eventually has "$HOST/followed" ' 8200  *pre-start '
ok "a start of the other guest" phase 8300 pre-start
ok "is seen by who follows that one" eventually has "$HOST/followed.8300" '"kind":"pre-start"'
is "and nothing else is" "$(jq -s 'map(.vmid) | unique | .[]' "$HOST/followed.8300")" 8300
is "nothing is told twice" "$(awk '{ print $1 }' "$HOST/followed" | sort | uniq -d)" ''
kill -INT $follower
kill -TERM $follower_8300
wait $follower
is "an interrupt ends it well" $? 0
wait $follower_8300
is "so does SIGTERM" $? 0
mkfifo "$HOST/pipe"
"$BIN/felhomctl" events --follow >"$HOST/pipe" &
follower=$!
read -r _ <"$HOST/pipe"
gone() {
    ! kill -0 "$1"
}
ok "it ends when nobody reads any more" eventually gone $follower
is "nothing is printed with --quiet" "$(ctl events --quiet 2>&1)" ''
is "YAML says the same as JSON" "$(ctl events --output-format yaml | python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))' | jq -cS .)" \
    "$(ctl events --output-format json | jq -cS .)"

# --- explain ---
world_guest 8200 200
world_guest 8300 201
PIN=$(pin_of 8200)
cp "$(token_of 8200)" "$HOST/old"
ok "felhomd starts" daemon_start
# refused VMID TOKEN_FILE PATH [CURL_OPTION...]: $STATUS and $ID of the reply
refused() {
    STATUS=$(request "$@" -D "$HOST/headers" -o "$HOST/body" | tail -n 1)
    ID=$(tr -d '\r' <"$HOST/headers" | sed -n 's/^X-Request-Id: //p')
}
explained() {
    ctl explain "$ID" --output-format json | jq -c "$1"
}
what='[.status, .reason, .method, .path, .vmid, .token_id, .source_vmid]'
id_of() {
    cut -d_ -f2 "$1"
}
refused 8200 - /storage
is "no token" "$(explained "$what")" '[401,"no token","GET","/storage",null,null,8200]'
cp "$HOST/body" "$HOST/body.none"
like "with where it came from" "$(explained .source)" "$(hwaddr_of 8200).192.168.0.200"
like "and what to do" "$(ctl explain "$ID")" 'what to do: *have the client send the token'
ok "a new start" phase 8200 pre-start
refused 8200 "$HOST/old" /storage -X POST
is "a revoked token, and whose" "$(explained "$what")" "[401,\"revoked token\",\"POST\",\"/storage\",8200,\"$(id_of "$HOST/old")\",8200]"
ok "the guest learns no more than before" cmp "$HOST/body" "$HOST/body.none"
is "nor by a header" "$(tr -d '\r' <"$HOST/headers" | sed -n 's/:.*//p' | grep . | sort | xargs)" \
    'Cache-Control Connection Content-Length Content-Type Date WWW-Authenticate X-Request-Id'
# One in sixty-two ends with an x already.
sed 's/x$/y/; t; s/.$/x/' "$HOST/old" >"$HOST/malformed"
refused 8300 "$HOST/malformed" /backup/due
is "a malformed token" "$(explained "$what")" '[401,"malformed token","GET","/backup/due",null,null,8300]'
refused 8300 "$(token_of 8200)" /storage
is "another guest's token" "$(explained "$what")" "[403,\"token of another guest\",\"GET\",\"/storage\",8200,\"$(id_of "$(token_of 8200)")\",8300]"
refused 8200 "$(token_of 8200)" /guests/8300/storage
is "another guest's path" "$(explained '[.status, .reason, .path]')" '[403,"path of another guest","/guests/8300/storage"]'
refused 8200 "$(token_of 8200)" "/nothing/$(cat "$HOST/old")"
is "an unknown path, and no token that stood in it" "$(explained '[.status, .reason, .path]')" '[404,"unknown path",null]'
refused 8200 "$(token_of 8200)" /storage -X DELETE
is "a method" "$(explained '[.status, .reason]')" '[405,"unknown method"]'
refused 8200 "$(token_of 8200)" '/events?since=x'
is "a query" "$(explained '[.status, .reason, .detail]')" '[400,"the endpoint","since: must be a whole number from 0 to 9223372036854775807"]'
refused 8200 "$(token_of 8200)" /storage -H 'Content-Length: x' -X POST
is "what is no HTTP" "$(explained '[.status, .reason, .token_id]')" '[411,"malformed request",null]'
refused 8200 "$(token_of 8200)" /storage -H 'Expect: x' -X POST -d x
is "or asks for too much of it" "$(explained '[.status, .reason, .path]')" '[417,"malformed request","/storage"]'
refused 8200 "$(token_of 8200)" /storage
is "a request that is answered" $STATUS 200
like "is not to be explained" "$(ctl explain "$ID" 2>&1)" "^felhomctl: no refused request $ID is recorded"
# Of failures, twenty a minute may be made: a machine that needed seconds for each of so many would not see the limit.
begun=$SECONDS
codes=$(in_guest 8300 curl -sk -o /dev/null -w '%{http_code} ' --max-time 600 "https://$ENDPOINT/storage?[1-100]")
like "of a flood" "$codes" '^401 .*429'
is "only some are kept, ten a minute" "$(sql "SELECT count(*) <= 25 + $(((SECONDS - begun) / 6)) FROM explanation WHERE source LIKE '$(hwaddr_of 8300)%'")" 1
refused 8200 - /storage/
is "it takes nobody else's place" "$(explained '[.reason, .path]')" '["no token","/storage/"]'
is "nothing secret is in the store" "$(sql .dump | grep -cF -e "$(cut -c 14-56 "$HOST/old")" -e "$(cut -c 14-56 "$(token_of 8200)")")" 0
ctl explain 123 2>/dev/null
is "an id has sixteen digits" $? 2

# --- status ---
state='[.daemon.listens, .daemon.state, .daemon.pid]'
is "felhomd listens" "$(ctl status --output-format json | jq -c "$state")" "[true,\"listens\",$DAEMON]"
is "guests and tokens by state" "$(ctl status --output-format json | jq -c '[.guests, .tokens, .jobs.running]')" \
    '[{"starting":2,"running":0,"stopping":0,"stopped":0},{"good":2,"expired":0,"revoked":1},0]'
like "in words, too" "$(ctl status)" $'felhomd:  *listens \\(pid '"$DAEMON"$'\\)\nguests:  *2 starting\ntokens:  *2 good, 1 revoked\njobs:  *none\n'
is "the last refusals, the newest first" "$(ctl status --output-format json | jq -c '[.refusals[].request_id] | [length, .[0]]')" "[5,\"$ID\"]"
like "the store has a size" "$(ctl status --output-format json | jq .store_bytes)" '^[1-9][0-9]{4,}$'
lines=$(wc -l <"$HOST/felhomd.log")
ctl status >/dev/null
is "felhomd does not notice" "$(wc -l <"$HOST/felhomd.log")" "$lines"
kill -STOP "$DAEMON"
is "nor is it asked" "$(timeout 600 "$BIN/felhomctl" status --output-format json | jq -c "$state")" "[true,\"listens\",$DAEMON]"
kill -CONT "$DAEMON"
ok "felhomd stops" daemon_stop
is "without it" "$(ctl status --output-format json | jq -c "$state")" '[false,"does not run",null]'
listen_instead() {
    python3 -c 'import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
time.sleep(600)' "$ADDRESS" "$PORT"
}
listen_instead &
stranger_is_seen() {
    [ "$(ctl status --output-format json | jq -r .daemon.state)" = 'something else listens there' ]
}
ok "another program in its place" eventually stranger_is_seen

# --- several guests at once ---
guest_config 8400 <<<'hookscript: local:snippets/theirs'
guest_config 8500 </dev/null
guest_config 8600 <<<'template: 1'
ctl enroll --all --customer acme --output-format json >"$HOST/all" 2>"$HOST/complaint"
is "where one cannot be enrolled it is told" "$?|$(cat "$HOST/complaint")" '1|felhomctl: not all could be enrolled: guest 8400'
is "the others are" "$(jq -c 'map([.vmid, .enrolled, .changed])' "$HOST/all")" \
    '[[8200,true,true],[8300,true,true],[8400,false,false],[8500,true,true],[8600,true,false]]'
like "and why it was not" "$(jq -r '.[2].steps[0].detail' "$HOST/all")" 'already has the hookscript local:snippets/theirs'
is "a template is left out" "$(grep -c felhom-hook "$HOST/pve/lxc/8600.conf")" 0
is "each has its own enrolment" "$(cat "$HOST"/pve/priv/felhom/{8200,8300,8500}.yaml | grep -c acme)" 3
ctl unenroll 8500 >/dev/null
like "by name, too" "$(ctl enroll 8400 8500 2>/dev/null)" $'^guest 8400\nwarning  failed .*\n\nguest 8500\ndone ' 
like "all, or those by name" "$(ctl enroll 8500 --all 2>&1)" '^felhomctl: enroll: give VMID\.\.\. or --all'
like "but not nobody" "$(ctl enroll 2>&1)" '^felhomctl: enroll: give VMID\.\.\. or --all'

# --- another's hookscript, chained ---
printf 'dir: own\n\tpath %s\n\tcontent snippets\n' "$HOST" >"$HOST/pve/storage.cfg"
cat >"$HOST/snippets/other" <<END
#!/bin/bash
echo "other: \$*, \$(ls /proc/self/fd | wc -l) descriptors, umask \$(umask), \${FELHOM_AGENT_CONFIG:-no settings}" | tee -a $HOST/other.log
exit \$(cat $HOST/other.status)
END
chmod 755 "$HOST/snippets/other"
echo 0 >"$HOST/other.status"
guest_config 8700 <<<'hookscript: own:snippets/other'
original=$(sha256sum <"$HOST/pve/lxc/8700.conf")
not_ok "it is not replaced unasked" ctl enroll 8700 2>/dev/null
is "nor touched" "$(sha256sum <"$HOST/pve/lxc/8700.conf")" "$original"
ok "enroll --chain" ctl enroll 8700 --chain
is "ours takes its place" "$(grep ^hookscript "$HOST/pve/lxc/8700.conf")" 'hookscript: local:snippets/felhom-hook'
is "and keeps it in mind" "$(grep ^chain "$HOST/pve/priv/felhom/8700.yaml")" 'chain: "own:snippets/other"'
ok "enroll again, without it" ctl enroll 8700 --customer acme
is "forgets nothing" "$(grep ^chain "$HOST/pve/priv/felhom/8700.yaml")" 'chain: "own:snippets/other"'
output=$(phase 8700 pre-start 7</dev/null)
like "a start calls both, ours first" "$output" $'^felhom: 8700 pre-start: token gen 1 .*\nother: 8700 pre-start, '
like "as Proxmox would" "$output" 'other: 8700 pre-start, 4 descriptors, umask 0022, no settings$'
ok "the guest has its token then" test -s "$(token_of 8700)"
for each in post-start pre-stop post-stop; do
    like "in $each, too" "$(phase 8700 $each)" "other: 8700 $each, "
done
# --- chained, whatever is wrong with ours ---
ENROLMENT=$HOST/pve/priv/felhom/8700.yaml
theirs() { phase 8700 "$1" 2>"$HOST/complaint" | sed -n 's/^other: \([0-9]* [a-z-]*\),.*/\1/p'; }
agent_yaml <<<'surprise: 1'
for each in pre-start post-start pre-stop post-stop; do
    is "agent.yaml has a mistake: $each" "$(theirs $each)" "8700 $each"
done
like "which the trail has, too" "$(sql "SELECT kind || ' ' || outcome || ': ' || detail FROM event ORDER BY seq DESC LIMIT 1")" \
    '^post-stop error: agent.yaml:[0-9]+:1: surprise: '
agent_yaml <<<$'hook: {on_error: block}\nsurprise: 1'
theirs pre-start >"$HOST/theirs"
like "where the guest is not to start then, ours alone has its say" "$(cat "$HOST/theirs" "$HOST/complaint")" '^felhom-hook: agent.yaml:'
if mkdir "$HOST/etc" "$HOST/etc-work" && mount -t overlay overlay -o "lowerdir=/etc,upperdir=$HOST/etc,workdir=$HOST/etc-work" /etc 2>/dev/null; then
    mkdir -p /etc/pve/priv/felhom
    cp "$ENROLMENT" /etc/pve/priv/felhom/
    cp "$HOST/pve/storage.cfg" /etc/pve/
    agent_yaml <<<'"'
    is "agent.yaml is no YAML: all is where it is by default" "$(theirs pre-stop)" '8700 pre-stop'
    umount -l /etc
else
    skip "agent.yaml is no YAML" "no overlay can be mounted here"
fi
agent_yaml </dev/null
cp "$ENROLMENT" "$HOST/enrolment"
echo 'colour: blue' >>"$ENROLMENT"
is "the enrolment has a mistake" "$(theirs pre-start)" '8700 pre-start'
like "which is told" "$(cat "$HOST/complaint")" '8700.yaml:[0-9]+:1: colour'
echo '"' >>"$ENROLMENT"
phase 8700 pre-start >"$HOST/theirs" 2>"$HOST/complaint"
is "one that hides what is chained keeps the guest from starting" $? 1
like "and says where" "$(cat "$HOST/complaint")" 'the chained hookscript cannot be found: enrolment:[0-9]+:[0-9]+: '
cp "$HOST/enrolment" "$ENROLMENT"

echo 3 >"$HOST/other.status"
phase 8700 pre-start >/dev/null 2>&1
is "its exit status is ours" $? 3
agent_yaml <<<'hook: {deadline: 1s}'
sed -i '2i sleep 2' "$HOST/snippets/other"
echo 0 >"$HOST/other.status"
ok "our deadline is not its" phase 8700 post-start
agent_yaml </dev/null
mv "$HOST/snippets/other" "$HOST/snippets/away"
phase 8700 pre-start >/dev/null 2>"$HOST/complaint"
is "one that is gone keeps the guest from starting" "$?|$(cat "$HOST/complaint")" \
    "1|felhom-hook: cannot run the chained hookscript $HOST/snippets/other: No such file or directory"
rm "$HOST/pve/storage.cfg"
phase 8700 pre-start >/dev/null 2>"$HOST/complaint"
is "so does one whose storage is gone" "$?|$(cat "$HOST/complaint")" \
    '1|felhom-hook: the chained hookscript cannot be found: own:snippets/other: storage.cfg has no storage own with a directory'
ok "unenroll" ctl unenroll 8700
is "puts it back" "$(sort "$HOST/pve/lxc/8700.conf")" "$(sort <(echo 'hookscript: own:snippets/other'; guest_config 8701 </dev/null; sed s/8701/8700/g "$HOST/pve/lxc/8701.conf" | sed "s/$(hwaddr_of 8701)/$(hwaddr_of 8700)/"))"
tap_done
