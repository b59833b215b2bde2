#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# GET /host/metrics: correct figures of this node, without waiting for anything.
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

# metrics: sets $status and $data
metrics() {
    status=$(request 8200 "$OWN" /host/metrics -o "$HOST/body" | tail -n 1)
    data=$(jq -c .data "$HOST/body")
}
value() { jq -c "$1" <<<"$data"; }
# about WHAT GOT A B: GOT is between A and B, or a tenth beyond them, as the machine goes on meanwhile.
about() {
    ok "$1: $2, about $3 or $4" awk -v got="$2" -v a="$3" -v b="$4" \
        'BEGIN {exit !(got >= (a < b ? a : b) * 0.9 && got <= (a > b ? a : b) * 1.1)}'
}
meminfo() { awk -v key="$1:" '$1 == key {printf "%.0f", $2 * 1024}' /proc/meminfo; }

before=$(meminfo MemAvailable) up_before=$(cut -d. -f1 /proc/uptime)
metrics
after=$(meminfo MemAvailable) up_after=$(cut -d. -f1 /proc/uptime)
is "GET /host/metrics gives 200" "$status" 200
is "vmid is the guest's own" "$(value .vmid)" 8200
like "cpu_percent has one decimal" "$(grep -o '"cpu_percent":[^,]*' "$HOST/body")" \
    '^"cpu_percent":(100|[0-9]{1,2})\.[0-9]$'
is "cpu_count is the number of processors" "$(value .cpu_count)" "$(grep -c '^cpu[0-9]' /proc/stat)"
is "load has three numbers" "$(value '[.load[] | type]')" '["number","number","number"]'
is "memory.total_bytes is the host's memory" "$(value .memory.total_bytes)" "$(meminfo MemTotal)"
is "used and available memory add up to the total" \
    "$(value '.memory.used_bytes + .memory.available_bytes == .memory.total_bytes')" true
about "available memory" "$(value .memory.available_bytes)" "$before" "$after"
is "swap.total_bytes is the host's swap space" "$(value .swap.total_bytes)" "$(meminfo SwapTotal)"
uptime=$(value .uptime_seconds)
ok "uptime is $uptime, between $up_before and $up_after" test "$up_before" -le "$uptime" -a "$uptime" -le "$up_after"
like "cpu_temp_c is a number or null" "$(value '.cpu_temp_c | type')" '"(number|null)"'
is "storages is empty if Proxmox reports none" "$(value .storages)" '[]'

# A busy processor shows in cpu_percent.
if [ "$(grep -c '^cpu[0-9]' /proc/stat)" -le 64 ]; then
    timeout 600 sh -c 'while :; do :; done' &
    sleep 2.2
    metrics
    kill $!
    ok "cpu_percent shows a busy processor" awk -v got="$(value .cpu_percent)" -v count="$(value .cpu_count)" \
        'BEGIN {exit !(got > 20 / count)}'
fi

# Storages.
dump() { printf '%b' "$1" >"$HOST/pve/.rrd.new" && mv "$HOST/pve/.rrd.new" "$HOST/pve/.rrd"; }
fresh=$(date +%s)
at() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }
dump "pve-node-9.0/pve1:1:2:3\npve-storage-9.0/pve1/usb:$((fresh - 3600)):2000:U\npve-storage-9.0/pve1/local:$fresh:100:40
pve2-storage/pve1/local:$((fresh - 5)):1:1\npve-storage-9.0/pve2/other:$fresh:9:9\npve-storage-9.0/pve1/broken:U:1:1\n\0"
metrics
is "storages are those of this node, sorted by name, the newest row of each, even an old one" "$(value .storages)" \
    "[{\"storage\":\"local\",\"total_bytes\":100,\"used_bytes\":40,\"at\":\"$(at "$fresh")\"},{\"storage\":\"usb\",\"total_bytes\":2000,\"used_bytes\":null,\"at\":\"$(at $((fresh - 3600)))\"}]"
dump "pve2-storage/pve1/local:$fresh:100:50\n"
metrics
is "storages are read as Proxmox VE 8 writes them, and updated at once" \
    "$(value '[.storages[] | .storage, .used_bytes]')" '["local",50]'
head -c 100000 /dev/urandom >"$HOST/pve/.rrd"
metrics
is "lines that are not storages are ignored" "$status$(value .storages)" '200[]'
dump "pve2-storage/pve1/local:$fresh:100:60\n"
metrics
rm "$HOST/pve/.rrd"
mkfifo "$HOST/pve/.rrd"
metrics
is "a FIFO in place of the file blocks no request, and the last known storages stay" \
    "$status$(value '.storages[0].used_bytes')" 20060
rm "$HOST/pve/.rrd"
metrics
is "storages is empty again" "$status$(value .storages)" '200[]'

# Clients that may not request it get nothing.
is "no token gives 401" "$(status_of 8200 - /host/metrics)" 401
is "another guest's path gives 403" "$(status_of 8200 "$OWN" /guests/8300/host/metrics)" 403
is "the path with the guest's VMID gives 200" "$(status_of 8200 "$OWN" /guests/8200/host/metrics)" 200
is "POST gives 405" "$(status_of 8200 "$OWN" /host/metrics -X POST)" 405

# Many requests at once.
dump "pve2-storage/pve1/local:$fresh:100:70\n"
for number in $(seq 20); do
    { request 8200 "$OWN" /host/metrics -o "$HOST/many.$number" | tail -n 1 >"$HOST/many.$number.status"; } &
    asked[number]=$!
done
wait "${asked[@]}"
is "twenty requests at once are all answered" "$(cat "$HOST"/many.*.status | tr -d '\n')" \
    "$(printf '200%.0s' $(seq 20))"
is "twenty requests at once get the same figures" \
    "$(jq -s -c '[.[].data.storages[0].used_bytes] | unique' "$HOST"/many.{1..20})" '[70]'
ok "felhomd stops cleanly" daemon_stop
tap_done
