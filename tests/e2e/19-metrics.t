#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# GET /host/metrics: figures that are right, of this node, without waiting for anything.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
agent_yaml <<<'limits: {requests_per_source: 10000, connections_per_source: 100, handshake: 20s}'
guest_config 8200 </dev/null
ctl init >/dev/null
world_guest 8200 200
phase 8200 pre-start >/dev/null 2>&1
PIN=$(pin_of 8200)
OWN=$(token_of 8200)
ok "felhomd starts" daemon_start
sleep 1.1 # the load is that of an interval

# metrics: $status, $data
metrics() {
    status=$(request 8200 "$OWN" /host/metrics -o "$HOST/body" | tail -n 1)
    data=$(jq -c .data "$HOST/body")
}
value() { jq -c "$1" <<<"$data"; }
# about WHAT GOT WANTED OR: between the two, and a tenth beyond them; the machine goes on meanwhile.
about() {
    ok "$1: $2, about $3 or $4" awk -v got="$2" -v a="$3" -v b="$4" 'BEGIN {exit !(got >= (a < b ? a : b) * 0.9 && got <= (a > b ? a : b) * 1.1)}'
}
meminfo() { awk -v key="$1:" '$1 == key {printf "%.0f", $2 * 1024}' /proc/meminfo; }

before=$(meminfo MemAvailable) up_before=$(cut -d. -f1 /proc/uptime)
metrics
after=$(meminfo MemAvailable) up_after=$(cut -d. -f1 /proc/uptime)
is "200" "$status" 200
is "the guest's own VMID" "$(value .vmid)" 8200
like "cpu_percent with one decimal" "$(grep -o '"cpu_percent":[^,]*' "$HOST/body")" '^"cpu_percent":(100|[0-9]{1,2})\.[0-9]$'
is "cpu_count" "$(value .cpu_count)" "$(grep -c '^cpu[0-9]' /proc/stat)"
is "three loads" "$(value '[.load[] | type]')" '["number","number","number"]'
is "memory" "$(value .memory.total_bytes)" "$(meminfo MemTotal)"
is "what is used and what is available are all" "$(value '.memory.used_bytes + .memory.available_bytes == .memory.total_bytes')" true
about "available" "$(value .memory.available_bytes)" "$before" "$after"
is "swap" "$(value .swap.total_bytes)" "$(meminfo SwapTotal)"
uptime=$(value .uptime_seconds)
ok "uptime: $uptime, from $up_before to $up_after" test "$up_before" -le "$uptime" -a "$uptime" -le "$up_after"
like "cpu_temp_c is a number or null" "$(value '.cpu_temp_c | type')" '"(number|null)"'
is "no storages where Proxmox tells of none" "$(value .storages)" '[]'

# The load: a busy processor shows.
if [ "$(grep -c '^cpu[0-9]' /proc/stat)" -le 64 ]; then
    timeout 600 sh -c 'while :; do :; done' &
    sleep 2.2
    metrics
    kill $!
    ok "a busy processor shows in cpu_percent" awk -v got="$(value .cpu_percent)" -v count="$(value .cpu_count)" 'BEGIN {exit !(got > 20 / count)}'
fi

# Storages.
dump() { printf '%b' "$1" >"$HOST/pve/.rrd.new" && mv "$HOST/pve/.rrd.new" "$HOST/pve/.rrd"; }
fresh=$(date +%s)
at() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }
dump "pve-node-9.0/pve1:1:2:3\npve-storage-9.0/pve1/usb:$((fresh - 3600)):2000:U\npve-storage-9.0/pve1/local:$fresh:100:40
pve2-storage/pve1/local:$((fresh - 5)):1:1\npve-storage-9.0/pve2/other:$fresh:9:9\npve-storage-9.0/pve1/broken:U:1:1\n\0"
metrics
is "storages of this node, by name, the newest of each, an old one too" "$(value .storages)" \
    "[{\"storage\":\"local\",\"total_bytes\":100,\"used_bytes\":40,\"at\":\"$(at "$fresh")\"},{\"storage\":\"usb\",\"total_bytes\":2000,\"used_bytes\":null,\"at\":\"$(at $((fresh - 3600)))\"}]"
dump "pve2-storage/pve1/local:$fresh:100:50\n"
metrics
is "as Proxmox VE 8 writes it, and anew at once" "$(value '[.storages[] | .storage, .used_bytes]')" '["local",50]'
head -c 100000 /dev/urandom >"$HOST/pve/.rrd"
metrics
is "noise is no storage" "$status$(value .storages)" '200[]'
dump "pve2-storage/pve1/local:$fresh:100:60\n"
metrics
rm "$HOST/pve/.rrd"
mkfifo "$HOST/pve/.rrd"
metrics
is "what is no file hangs nobody; what was known stays" "$status$(value '.storages[0].used_bytes')" 20060
rm "$HOST/pve/.rrd"
metrics
is "none again" "$status$(value .storages)" '200[]'

# Whoever may not ask is not told.
is "no token: 401" "$(status_of 8200 - /host/metrics)" 401
is "another guest's path: 403" "$(status_of 8200 "$OWN" /guests/8300/host/metrics)" 403
is "the own path" "$(status_of 8200 "$OWN" /guests/8200/host/metrics)" 200
is "POST: 405" "$(status_of 8200 "$OWN" /host/metrics -X POST)" 405

# Many at once.
dump "pve2-storage/pve1/local:$fresh:100:70\n"
for number in $(seq 20); do
    { request 8200 "$OWN" /host/metrics -o "$HOST/many.$number" | tail -n 1 >"$HOST/many.$number.status"; } &
    asked[number]=$!
done
wait "${asked[@]}"
is "twenty at once are all answered" "$(cat "$HOST"/many.*.status | tr -d '\n')" "$(printf '200%.0s' $(seq 20))"
is "and alike" "$(jq -s -c '[.[].data.storages[0].used_bytes] | unique' "$HOST"/many.{1..20})" '[70]'
ok "felhomd stops cleanly" daemon_stop
tap_done
