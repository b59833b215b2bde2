#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The hub: configurations pulled for each guest's customer, the host's report, and a hub that is down, slow, wrong or
# failing.
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

# settings [CA_FILE [POLL]]. With so short a poll interval each backoff is that short, too.
settings() {
    agent_yaml <<EOF
host_id: demo
controller: {template: $HOST/template.yaml}
storage_classes: {local-lvm: fast}
hub: {url: "https://127.0.0.1:$HUB_PORT/", ca_file: "${1:-$HUB/ca.pem}", api_key_file: "$HOST/hub.key", poll: ${2:-1s}}
EOF
}

# customers PASSWORD YAML: the configuration of acme in the hub; other is another customer.
customers() {
    jq -n --arg password "$1" --arg config "$2" \
        '{acme: {password: $password, config: $config}, other: {password: "other-secret", config: "whose: other\n"}}' \
        >"$HUB/customers.new"
    mv "$HUB/customers.new" "$HUB/customers.json"
}

# hosts REPLY
hosts() {
    jq -n --arg key $KEY --argjson reply "$1" '{demo: {key: $key, reply: $reply}}' >"$HUB/hosts.new"
    mv "$HUB/hosts.new" "$HUB/hosts.json"
}

# enroll_with PASSWORD [OPTION...]: takes effect at the guest's next start
enroll_with() {
    printf '%s\n' "$1" >"$HOST/password"
    shift
    enroll 8200 --retrieval-password-file "$HOST/password" "$@" >/dev/null
    phase 8200 pre-start >/dev/null
}

yaml() { request 8200 "$(token_of 8200)" /controller.yaml; }
# has KEY VALUE: the guest's controller.yaml has that value; VALUE "null": it lacks the key.
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
# all_is_up: starts the daemon and the hub, and waits until generation 1 is pulled
all_is_up() {
    standin_start hub $HUB_PORT
    ok "$LANE: felhomd starts" daemon_start
    ok "$LANE: felhomd pulls the configuration" eventually has generation 1
}

lane_pulls() {
    # The hub is down at the start.
    ok "felhomd starts while the hub is down" daemon_start
    ok "felhomd logs that it cannot pull the configuration" eventually logged \
        'guest 8200: the configuration of customer acme could not be pulled: .*127.0.0.1:9444'
    ok "felhomd logs that it cannot send the report" eventually logged 'cannot send the host report: .*127.0.0.1:9444'
    ok "the guest gets its controller.yaml from the template alone" has from template
    is "the first failure to pull has one event" "$(events warning)" 1
    etag=$(request 8200 "$(token_of 8200)" /controller.yaml -D - -o /dev/null | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')

    # The hub is up.
    standin_start hub $HUB_PORT
    ok "felhomd pulls the configuration once the hub is up" eventually has from hub
    is "the pulled configuration changes the ETag" \
        "$(status_of 8200 "$(token_of 8200)" /controller.yaml -H "If-None-Match: $etag")" 200
    ok "the hub's value takes precedence over the template's" has deep.both hub
    ok "the template's value stays if the hub has none" has deep.template 1
    ok "unknown keys of the template are kept" has unknown_of_template '[1, 2]'
    ok "unknown keys of the hub are kept, and texts stay texts" has unknown_of_hub.x 007
    ok "the enrolment's value takes precedence over the hub's" has wins guest
    ok "the customer is that of the enrolment" has customer.id acme
    ok "hub.url is that of agent.yaml" has hub.url "https://127.0.0.1:$HUB_PORT/"
    ok "the token is the caller's" has local_api.token "$(cat "$(token_of 8200)")"
    ok "the endpoint is the agent's" has local_api.endpoint "$ENDPOINT"
    ok "further keys of the hub in local_api are kept" has local_api.extra kept
    is "felhomd authenticated to the hub with the guest's password alone" \
        "$(standin_requests hub 'select(.method == "GET") | [.path, .headers["X-Retrieval-Password"], .headers["Authorization"]]' | sort -u)" \
        '["/api/v1/config/acme","secret-1",null]'
    is "only the guest with a customer has a configuration" "$(sql 'SELECT group_concat(vmid) FROM hub_config')" 8200
    like "a successful pull has an event" "$(sql "SELECT detail FROM event WHERE kind = 'hub' AND outcome = 'ok'")" \
        '^configuration of customer acme pulled, [0-9]+ bytes$'
    phase 8200 pre-start >/dev/null
    request 8200 "$(token_of 8200)" /controller.yaml -o "$HOST/served" >/dev/null
    ok "after the next start the mounted file is the same, byte for byte" cmp "$HOST/served" \
        "$(directory_of 8200)/controller.yaml"

    # The configuration changes.
    customers secret-1 "${HUB_YAML/generation: 1/generation: 2}"
    ok "a changed configuration is pulled within hub.poll" eventually has generation 2
    is "the changed configuration has an event" "$(events ok)" 2
    before=$(pulls)
    ok "an unchanged configuration is pulled again" eventually asked_again "$before"
    is "an unchanged configuration has no event" "$(events ok)" 2
}

lane_trouble() {
    all_is_up
    warnings=$(events warning)
    standin_control hub '{"garbage": true, "only": "/config/"}'
    ok "an invalid configuration is refused" eventually logged "could not be pulled: the hub's configuration"
    ok "the last valid configuration is served after an invalid one" has generation 1
    before=$(pulls)
    ok "felhomd tries again after an invalid configuration" eventually asked_again "$before"
    is "several failures in a row have one event" "$(events warning)" $((warnings + 1))
    standin_control hub '{"status": 500, "reason": "oops", "only": "/config/"}'
    ok "500 from the hub counts as a failure" eventually logged 'could not be pulled: the hub answered 500'
    standin_control hub '{"status": 403, "only": "/config/"}'
    ok "403 from the hub counts as a failure" eventually logged 'could not be pulled: the hub answered 403'
    standin_control hub '{"half": true, "only": "/config/"}'
    ok "an incomplete reply from the hub counts as a failure" eventually logged \
        'could not be pulled: https://127.0.0.1:9444: hung up in the middle'
    ok "the last valid configuration is served after an incomplete reply" has generation 1
    ok "the guest can start while the hub fails" phase 8200 pre-start
    ok "the last valid configuration is in the started guest's file" grep -q 'generation: 1' \
        "$(directory_of 8200)/controller.yaml"

    # The hub has a wrong certificate.
    standin_control hub '{}'
    standin_stop hub
    mkdir "$HOST/stranger"
    standin_certificate "$HOST/stranger"
    cp "$HUB/server.pem" "$HUB/server.own"
    cp "$HOST/stranger/server.pem" "$HUB/server.pem"
    requests=$(standin_requests hub .method | wc -l)
    standin_start hub $HUB_PORT
    ok "a certificate of another CA: the log names the CA file" eventually logged "could not be pulled: .*$HUB/ca.pem"
    is "a certificate of another CA: the hub got no request" "$(standin_requests hub .method | wc -l)" "$requests"
    settings "$HOST/stranger/ca.pem"
    kill -HUP $DAEMON
    customers secret-1 "${HUB_YAML/generation: 1/generation: 3}"
    ok "felhomd pulls again after hub.ca_file is corrected and a reload" eventually has generation 3
    standin_stop hub
    mv "$HUB/server.own" "$HUB/server.pem"
    standin_start hub $HUB_PORT
    settings
    kill -HUP $DAEMON

    # The hub is slow.
    requests=$(standin_requests hub .method | wc -l)
    standin_control hub '{"delay": 600}'
    waits() { [ "$(standin_requests hub .method | wc -l)" -gt "$requests" ]; }
    ok "(felhomd waits for the hub)" eventually waits
    ok "a slow hub does not delay the guest's reply" has generation 3
    ok "a slow hub does not delay felhomd's stop" daemon_stop
    not_ok "felhomd stops before the hub's reply times out" logged 'no answer within'
    ok "felhomd starts while the hub is slow" daemon_start
    ok "felhomd serves the configuration from the cache after a stop" has generation 3
    kill -9 $DAEMON
    wait $DAEMON 2>/dev/null
    ok "felhomd starts again after a kill -9" daemon_start
    ok "felhomd serves the configuration from the cache after a kill -9" has generation 3
    kill -9 $DAEMON
    wait $DAEMON 2>/dev/null
    standin_control hub '{}'
    daemon_start
}

lane_refusals() {
    all_is_up
    sed -i '/^controller:/d' "$HOST/pve/priv/felhom/8200.yaml" # felhomctl would not dare to
    customers secret-2 "${HUB_YAML/generation: 1/generation: 4}"
    ok "401: the log says that the hub refuses the configuration" eventually logged \
        'the hub refuses the configuration of customer acme \(the hub answered 401\)'
    ok "401: the configuration is no longer served" eventually has generation null
    is "401: there is one event" "$(events error)" 1
    ok "401: felhomd does not pull again" quiet 4
    daemon_stop
    daemon_start
    ok "401: felhomd does not pull again even after a restart" quiet 3
    enroll_with secret-2
    ok "felhomd pulls again after the guest's next start with another password" eventually has generation 4
    jq 'del(.acme)' "$HUB/customers.json" >"$HUB/customers.new"
    mv "$HUB/customers.new" "$HUB/customers.json"
    ok "404: the log says that the hub refuses the configuration" eventually logged \
        'the hub refuses the configuration of customer acme \(the hub answered 404\)'
    ok "404: the configuration is no longer served" eventually has generation null
    ok "404: felhomd does not pull again" quiet 3

    # The guest gets another customer.
    customers secret-3 "${HUB_YAML/generation: 1/generation: 5}"
    enroll_with secret-3
    ok "(acme's configuration is served again)" eventually has generation 5
    standin_stop hub
    enroll_with other-secret --customer other
    not_ok "a guest with a new customer has nothing of the former customer in its file" grep -q 'generation: 5' \
        "$(directory_of 8200)/controller.yaml"
    ok "a guest with a new customer gets nothing of the former customer from the API" has generation null
    standin_start hub $HUB_PORT
    ok "a guest with a new customer gets the new customer's configuration" eventually has whose other
    printf 'customer: {id: other}\n' >"$HOST/pve/priv/felhom/8200.yaml"
    phase 8200 pre-start >/dev/null
    ok "a guest without a password gets no configuration from the hub" has whose null
    forgotten() { [ "$(sql 'SELECT count(*) FROM hub_config')" -eq 0 ]; }
    ok "the store deletes the configuration of a guest without a password" eventually forgotten
}

lane_reports() {
    all_is_up
    last_report() { tail -n 1 "$HUB/reports.jsonl"; }
    ok "the hub gets the host's report" eventually test -s "$HUB/reports.jsonl"
    is "the report is authenticated with the host's key alone" \
        "$(standin_requests hub 'select(.method == "POST") | [.path, .headers["Authorization"], .headers["X-Retrieval-Password"]]' | sort -u)" \
        "[\"/api/v1/host-report\",\"Bearer $KEY\",null]"
    is "the report identifies the host" \
        "$(last_report | jq -c '[.host_id, .report.schema, .report.host_id, .report.node, .report.poll_seconds]')" \
        '["demo","felhom.host-report/v1","demo","pve1",1]'
    is "the report has its groups" "$(last_report | jq -c '.report | keys')" \
        '["agent_version","at","backups","guests","host_id","metrics","node","poll_seconds","restore_tests","schema","storages"]'
    is "the report has the host's guests" "$(last_report | jq -c '[.report.guests[] | [.vmid, .spec.name, .status]]')" \
        '[[8200,"guest8200","unknown"],[8300,"guest8300","unknown"]]'
    is "the report has the guests' backups" "$(last_report | jq -c '[.report.backups[] | [.vmid, .phase]]')" \
        '[[8200,"idle"],[8300,"idle"]]'
    ok "the report has the host's metrics" jq -e '.report.metrics | .cpu_count >= 1 and .memory.total_bytes > 0' \
        <<<"$(last_report)"
    ok "a report interval below a minute becomes a minute" eventually logged \
        'host report sent; next report in 60 s \(blocked: no, desired generation: 7, signed operations: yes\)'
    hosts '{"poll_interval_seconds": 86400, "blocked": true}'
    phase 8200 post-start >/dev/null 2>&1
    settings "$HUB/ca.pem" 2s
    kill -HUP $DAEMON
    phase 8300 post-start >/dev/null 2>&1
    ok "an interval above an hour becomes an hour; other settings cause a report at once" \
        eventually logged \
        'host report sent; next report in 3600 s \(blocked: yes, desired generation: none, signed operations: no\)'
    is "the report shows a running guest as running" "$(last_report | jq -c '.report.guests[0].status')" '"running"'
    printf 'wrong-key\n' >"$HOST/hub.key"
    settings
    kill -HUP $DAEMON
    phase 8300 post-start >/dev/null 2>&1
    ok "a key that the hub does not accept counts as a failure" eventually logged \
        'cannot send the host report: the hub answered 401'

    # There is no hub.
    agent_yaml <<<"controller: {template: $HOST/template.yaml}"
    kill -HUP $DAEMON
    gone() { has generation null; }
    ok "without hub.url nothing of the hub is served" eventually gone
    sleep 1
    ok "without hub.url felhomd sends the hub no request" quiet 3
}

# The host's key and the guests' passwords stay on the host.
secrets_stay() {
    not_ok "$LANE: no guest's directory has the host's key" grep -rqF $KEY "$HOST/run"
    is "the store does not contain the host's key" "$(cat "$HOST"/state/db/* | grep -caF $KEY)" 0
    is "the log does not contain the host's key" "$(grep -cF $KEY "$HOST/felhomd.log")" 0
    replies() {
        local path
        for path in /controller.yaml /storage /host/metrics '/events?since=0&timeout=0' /openapi.yaml; do
            request 8200 "$(token_of 8200)" "$path"
        done
    }
    is "no reply contains the host's key" "$(replies | grep -cF $KEY)" 0
    is "no report contains the host's key" "$(grep -cF $KEY "$HUB/reports.jsonl")" 0
    is "the log does not contain a guest's password" "$(grep -cE 'secret-[0-9]|other-secret' "$HOST/felhomd.log")" 0
    is "no event and no report contain a guest's password" \
        "$(sql "SELECT count(*) FROM event WHERE detail LIKE '%secret%'")$(grep -c 'secret' "$HUB/reports.jsonl")" 00
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
is "$LANE: felhomd's log has no sanitizer report" "$(grep -ci 'sanitizer' "$HOST/felhomd.log")" 0
tap_done
