#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The hub: configurations pulled for each guest's customer, the host's report, and a hub that is away, slow, wrong or in trouble.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
. tests/lib/lanes.sh
lanes "$0" trouble refusals reports pulls
world_enter "$0" "$@"
world_host
HUB=$HOST/hub
HUB_PORT=9444
KEY=hostkey-canary-7f3a
mkdir -p "$HUB"

# settings [CA_FILE [POLL]]. With so short a poll every backoff is that short too.
settings() {
    agent_yaml <<EOF
host_id: demo
controller: {template: $HOST/template.yaml}
storage_classes: {local-lvm: fast}
hub: {url: "https://127.0.0.1:$HUB_PORT/", ca_file: "${1:-$HUB/ca.pem}", api_key_file: "$HOST/hub.key", poll: ${2:-1s}}
EOF
}

# customers PASSWORD YAML: acme's, as the hub has it; other is another customer.
customers() {
    jq -n --arg password "$1" --arg config "$2" \
        '{acme: {password: $password, config: $config}, other: {password: "other-secret", config: "whose: other\n"}}' >"$HUB/customers.new"
    mv "$HUB/customers.new" "$HUB/customers.json"
}

# hosts REPLY
hosts() {
    jq -n --arg key $KEY --argjson reply "$1" '{demo: {key: $key, reply: $reply}}' >"$HUB/hosts.new"
    mv "$HUB/hosts.new" "$HUB/hosts.json"
}

# enroll_with PASSWORD [OPTION...]: from the guest's next start on
enroll_with() {
    printf '%s\n' "$1" >"$HOST/password"
    shift
    enroll 8200 --retrieval-password-file "$HOST/password" "$@" >/dev/null
    phase 8200 pre-start >/dev/null
}

yaml() { request 8200 "$(token_of 8200)" /controller.yaml; }
# has KEY VALUE: what the guest gets says so; VALUE "null": it does not say.
has() {
    yaml | sed '$d' | python3 -c '
import sys, yaml
value = yaml.safe_load(sys.stdin)
for key in sys.argv[1].split("."):
    value = value.get(key) if isinstance(value, dict) else None
sys.exit(str(value if value is not None else "null") != sys.argv[2])' "$1" "$2"
}
logged() { grep -qE -- "$1" "$HOST/felhomd.log"; }
pulls() { standin_requests hub 'select(.method == "GET")' | wc -l; }
asked_again() { [ "$(pulls)" -gt "$1" ]; }
events() { sql "SELECT count(*) FROM event WHERE kind = 'hub' AND vmid = 8200 AND outcome LIKE '${1:-%}'"; }
# quiet SECONDS: nothing is pulled in that time
quiet() {
    local before
    before=$(pulls)
    sleep "$1"
    [ "$(pulls)" -eq "$before" ]
}
# all_is_up: the daemon and the hub, which has told of generation 1
all_is_up() {
    standin_start hub $HUB_PORT
    ok "$LANE: felhomd starts" daemon_start
    ok "$LANE: and pulls" eventually has generation 1
}

lane_pulls() {
    # Down at the start.
    ok "felhomd starts while the hub is down" daemon_start
    ok "and says that it cannot pull" eventually logged 'guest 8200: the configuration of customer acme could not be pulled: .*127.0.0.1:9444'
    ok "nor report" eventually logged 'cannot send the host report: .*127.0.0.1:9444'
    ok "the guest gets its controller.yaml without it" has from template
    is "the first failure is one event" "$(events warning)" 1
    etag=$(request 8200 "$(token_of 8200)" /controller.yaml -D - -o /dev/null | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')

    # Up.
    standin_start hub $HUB_PORT
    ok "once it is up it is asked" eventually has from hub
    is "a new ETag" "$(status_of 8200 "$(token_of 8200)" /controller.yaml -H "If-None-Match: $etag")" 200
    ok "the hub outweighs the template" has deep.both hub
    ok "which stays where the hub says nothing" has deep.template 1
    ok "unknown keys of the template survive" has unknown_of_template '[1, 2]'
    ok "those of the hub too, texts as texts" has unknown_of_hub.x 007
    ok "the enrolment outweighs the hub" has wins guest
    ok "the customer is the enrolment's" has customer.id acme
    ok "the hub is the one of agent.yaml" has hub.url "https://127.0.0.1:$HUB_PORT/"
    ok "the token is the caller's" has local_api.token "$(cat "$(token_of 8200)")"
    ok "the endpoint is ours" has local_api.endpoint "$ENDPOINT"
    ok "beside what the hub adds there" has local_api.extra kept
    is "it was asked with the guest's password alone" \
        "$(standin_requests hub 'select(.method == "GET") | [.path, .headers["X-Retrieval-Password"], .headers["Authorization"]]' | sort -u)" \
        '["/api/v1/config/acme","secret-1",null]'
    is "for the guest with a customer alone" "$(sql 'SELECT group_concat(vmid) FROM hub_config')" 8200
    like "with an event" "$(sql "SELECT detail FROM event WHERE kind = 'hub' AND outcome = 'ok'")" '^configuration of customer acme pulled, [0-9]+ bytes$'
    phase 8200 pre-start >/dev/null
    request 8200 "$(token_of 8200)" /controller.yaml -o "$HOST/served" >/dev/null
    ok "from the next start on the mounted file is the same, byte for byte" cmp "$HOST/served" "$(directory_of 8200)/controller.yaml"

    # It changes.
    customers secret-1 "${HUB_YAML/generation: 1/generation: 2}"
    ok "what has changed is there after hub.poll" eventually has generation 2
    is "with an event" "$(events ok)" 2
    before=$(pulls)
    ok "what has not is pulled again" eventually asked_again "$before"
    is "without one" "$(events ok)" 2
}

lane_trouble() {
    all_is_up
    warnings=$(events warning)
    standin_control hub '{"garbage": true, "only": "/config/"}'
    ok "garbage is refused" eventually logged "could not be pulled: the hub's configuration"
    ok "the last good one is served" has generation 1
    before=$(pulls)
    ok "it is tried again" eventually asked_again "$before"
    is "one event for all failures in a row" "$(events warning)" $((warnings + 1))
    standin_control hub '{"status": 500, "reason": "oops", "only": "/config/"}'
    ok "500 is a failure" eventually logged 'could not be pulled: the hub answered 500'
    standin_control hub '{"status": 403, "only": "/config/"}'
    ok "403 is one too" eventually logged 'could not be pulled: the hub answered 403'
    standin_control hub '{"half": true, "only": "/config/"}'
    ok "half an answer is none" eventually logged 'could not be pulled: https://127.0.0.1:9444: hung up in the middle'
    ok "the last good one is served" has generation 1
    ok "the next start has it too" phase 8200 pre-start
    ok "in its file" grep -q 'generation: 1' "$(directory_of 8200)/controller.yaml"

    # The wrong certificate.
    standin_control hub '{}'
    standin_stop hub
    mkdir "$HOST/stranger"
    standin_certificate "$HOST/stranger"
    cp "$HUB/server.pem" "$HUB/server.own"
    cp "$HOST/stranger/server.pem" "$HUB/server.pem"
    requests=$(standin_requests hub .method | wc -l)
    standin_start hub $HUB_PORT
    ok "a certificate of another CA: the log says what it was verified with" eventually logged "could not be pulled: .*$HUB/ca.pem"
    is "and nothing was asked" "$(standin_requests hub .method | wc -l)" "$requests"
    settings "$HOST/stranger/ca.pem"
    kill -HUP $DAEMON
    customers secret-1 "${HUB_YAML/generation: 1/generation: 3}"
    ok "with hub.ca_file mended and a reload it goes on" eventually has generation 3
    standin_stop hub
    mv "$HUB/server.own" "$HUB/server.pem"
    standin_start hub $HUB_PORT
    settings
    kill -HUP $DAEMON

    # Slow.
    requests=$(standin_requests hub .method | wc -l)
    standin_control hub '{"delay": 600}'
    waits() { [ "$(standin_requests hub .method | wc -l)" -gt "$requests" ]; }
    ok "(it is waited for)" eventually waits
    ok "a slow hub delays no answer" has generation 3
    ok "nor felhomd's end" daemon_stop
    not_ok "which does not wait until the hub is late" logged 'no answer within'
    ok "felhomd starts with a slow hub" daemon_start
    ok "and has it from the cache" has generation 3
    kill -9 $DAEMON
    wait $DAEMON 2>/dev/null
    ok "after a kill -9 it starts again" daemon_start
    ok "and has it from the cache" has generation 3
    kill -9 $DAEMON
    wait $DAEMON 2>/dev/null
    standin_control hub '{}'
    daemon_start
}

lane_refusals() {
    all_is_up
    sed -i '/^controller:/d' "$HOST/pve/priv/felhom/8200.yaml" # felhomctl would not dare to
    customers secret-2 "${HUB_YAML/generation: 1/generation: 4}"
    ok "401: the log says so once and for all" eventually logged 'the hub refuses the configuration of customer acme \(the hub answered 401\)'
    ok "the configuration is ours no more" eventually has generation null
    is "with an event" "$(events error)" 1
    ok "it is not asked again" quiet 4
    daemon_stop
    daemon_start
    ok "not even after a restart" quiet 3
    enroll_with secret-2
    ok "with another password it is, from the next start on" eventually has generation 4
    jq 'del(.acme)' "$HUB/customers.json" >"$HUB/customers.new"
    mv "$HUB/customers.new" "$HUB/customers.json"
    ok "404 is final too" eventually logged 'the hub refuses the configuration of customer acme \(the hub answered 404\)'
    ok "and empties the cache" eventually has generation null
    ok "it is not asked again" quiet 3

    # Another customer.
    customers secret-3 "${HUB_YAML/generation: 1/generation: 5}"
    enroll_with secret-3
    ok "(acme again)" eventually has generation 5
    standin_stop hub
    enroll_with other-secret --customer other
    not_ok "a guest that changes hands gets nothing of its former customer's, in its file" grep -q 'generation: 5' "$(directory_of 8200)/controller.yaml"
    ok "nor from the API" has generation null
    standin_start hub $HUB_PORT
    ok "but its own" eventually has whose other
    printf 'customer: {id: other}\n' >"$HOST/pve/priv/felhom/8200.yaml"
    phase 8200 pre-start >/dev/null
    ok "without a password there is none" has whose null
    forgotten() { [ "$(sql 'SELECT count(*) FROM hub_config')" -eq 0 ]; }
    ok "and nothing is remembered" eventually forgotten
}

lane_reports() {
    all_is_up
    last_report() { tail -n 1 "$HUB/reports.jsonl"; }
    ok "the host is reported" eventually test -s "$HUB/reports.jsonl"
    is "by its key alone" \
        "$(standin_requests hub 'select(.method == "POST") | [.path, .headers["Authorization"], .headers["X-Retrieval-Password"]]' | sort -u)" \
        "[\"/api/v1/host-report\",\"Bearer $KEY\",null]"
    is "as what it is" "$(last_report | jq -c '[.host_id, .report.schema, .report.host_id, .report.node, .report.poll_seconds]')" \
        '["demo","felhom.host-report/v1","demo","pve1",1]'
    is "in its groups" "$(last_report | jq -c '.report | keys')" \
        '["agent_version","at","backups","guests","host_id","metrics","node","poll_seconds","restore_tests","schema","storages"]'
    is "with its guests" "$(last_report | jq -c '[.report.guests[] | [.vmid, .spec.name, .status]]')" \
        '[[8200,"guest8200","unknown"],[8300,"guest8300","unknown"]]'
    is "their backups" "$(last_report | jq -c '[.report.backups[] | [.vmid, .phase]]')" '[[8200,"idle"],[8300,"idle"]]'
    ok "and its own figures" jq -e '.report.metrics | .cpu_count >= 1 and .memory.total_bytes > 0' <<<"$(last_report)"
    ok "an interval below a minute is one" eventually logged 'host report sent; next report in 60 s \(blocked: no, desired generation: 7, signed operations: yes\)'
    hosts '{"poll_interval_seconds": 86400, "blocked": true}'
    phase 8200 post-start >/dev/null 2>&1
    settings "$HUB/ca.pem" 2s
    kill -HUP $DAEMON
    phase 8300 post-start >/dev/null 2>&1
    ok "one above an hour is one; under other settings the host is reported at once" \
        eventually logged 'host report sent; next report in 3600 s \(blocked: yes, desired generation: none, signed operations: no\)'
    is "a running guest is told as such" "$(last_report | jq -c '.report.guests[0].status')" '"running"'
    printf 'wrong-key\n' >"$HOST/hub.key"
    settings
    kill -HUP $DAEMON
    phase 8300 post-start >/dev/null 2>&1
    ok "a key that the hub does not know is a failure like others" eventually logged 'cannot send the host report: the hub answered 401'

    # Without a hub.
    agent_yaml <<<"controller: {template: $HOST/template.yaml}"
    kill -HUP $DAEMON
    gone() { has generation null; }
    ok "without hub.url nothing of the hub is served" eventually gone
    sleep 1
    ok "and it is left alone" quiet 3
}

# The host's key stays on the host, and so do the guests' passwords.
secrets_stay() {
    not_ok "$LANE: no guest's directory has the host's key" grep -rqF $KEY "$HOST/run"
    is "no event, nor anything else in the store" "$(cat "$HOST"/state/db/* | grep -caF $KEY)" 0
    is "no log" "$(grep -cF $KEY "$HOST/felhomd.log")" 0
    replies() {
        local path
        for path in /controller.yaml /storage /host/metrics '/events?since=0&timeout=0' /openapi.yaml; do
            request 8200 "$(token_of 8200)" "$path"
        done
    }
    is "no reply" "$(replies | grep -cF $KEY)" 0
    is "no report" "$(grep -cF $KEY "$HUB/reports.jsonl")" 0
    is "a guest's password is in no log" "$(grep -cE 'secret-[0-9]|other-secret' "$HOST/felhomd.log")" 0
    is "nor in an event or a report" "$(sql "SELECT count(*) FROM event WHERE detail LIKE '%secret%'")$(grep -c 'secret' "$HUB/reports.jsonl")" 00
}

cat >"$HOST/template.yaml" <<'EOF'
from: template
deep: {template: 1, both: template}
unknown_of_template: [1, 2]
EOF
HUB_YAML='from: hub
deep: {hub: 2, both: hub}
wins: hub
unknown_of_hub: {x: "007"}
generation: 1
local_api: {endpoint: evil.example:1, token: stolen, extra: kept}
hub: {url: https://evil.example}
customer: {id: evil}
'
printf '  %s\n\n' $KEY >"$HOST/hub.key"
customers secret-1 "$HUB_YAML"
hosts '{"poll_interval_seconds": 5, "blocked": false, "desired_generation": 7, "has_signed_ops": true}'
standin_certificate "$HUB"
settings
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
printf '%s\n' secret-1 >"$HOST/password"
enroll 8200 --customer acme --retrieval-password-file "$HOST/password" >/dev/null
enroll 8300 >/dev/null
printf 'controller: {wins: guest}\n' >>"$HOST/pve/priv/felhom/8200.yaml"
world_guest 8200 200
phase 8200 pre-start >/dev/null
phase 8300 pre-start >/dev/null
"lane_$LANE"
secrets_stay
ok "$LANE: felhomd stops cleanly" daemon_stop
is "$LANE: nothing went wrong unsaid" "$(grep -ci 'sanitizer' "$HOST/felhomd.log")" 0
tap_done
