#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SIGKILL at each system call of a phase, each such call failing in turn, and each allocation (tests/faults/walk): the
# store opens, every file is whole, no file has a token that is refused, the message names what failed, and the next run
# succeeds.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lanes.sh
lanes "$0" daemon-starve daemon-fail daemon-kill pre-start pre-start-again pre-start-anyway rotate post-stop \
    post-start pre-stop
world_enter "$0" "$@"
export BIN PYTHONDONTWRITEBYTECODE=1 ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # the leak sanitizer would trace what is traced
world_host
export HOST
mount -t tmpfs felhom-run /run
mkdir -p /run/systemd/journal
agent_yaml <<<'hook: {on_error: block, deadline: 1h}'
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
# The guest in the state in which each phase finds it.
starting() { phase 8200 pre-start >/dev/null; }
running() { starting && phase 8200 post-start; }
new() { rm -rf "$HOST/state/db" "$HOST/run/guests"; }
# The sanitizers make allocations of their own.
kinds=(kill fail)
case $BIN in
*asan*) ;;
*) kinds+=(starve) ;;
esac
# walked BEFORE PHASE [KIND...]
walked() {
    local before=$1 reaction=$2 kind
    shift 2
    for kind in "${@:-${kinds[@]}}"; do
        $before
        like "$LANE: $kind" "$(tests/faults/walk "$reaction" "$kind")" '^all well at [0-9]{2,} of'
    done
}

case $LANE in
pre-start) walked new pre-start ;;
pre-start-again) walked running pre-start ;;
post-start) walked starting post-start ;;
pre-start-anyway) # whatever happens, the guest starts
    agent_yaml <<<'hook: {on_error: continue, deadline: 1h}'
    walked running pre-start fail "${kinds[@]:2}"
    ;;
daemon-starve)
    [ ${#kinds[@]} -gt 2 ] || { skip "$LANE" "the sanitizers have allocations of their own" && tap_done; }
    ;&
daemon-*)
    agent_yaml <<<'local_api: {listen: "127.0.0.1:8443"}'
    running
    like "$LANE" "$(tests/faults/walk-daemon "${LANE#daemon-}")" '^all well at [0-9]{2,} of'
    ;;
*) walked running "$LANE" ;;
esac
tap_done
