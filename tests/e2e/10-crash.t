#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 at any moment of a phase: the store opens, every file is whole, and no file contains a token that is refused.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
phase 8200 pre-start >/dev/null

# is_good TOKEN
is_good() {
    [ "$(sql "SELECT count(*) FROM token WHERE id = '$(cut -c 5-12 <<<"$1")' AND revoked_at_ms IS NULL")" = 1 ]
}
# What must be true after every kill. After a start no file is missing; what a stop has not deleted yet is whole and
# valid.
broken() {
    local phase=$1 folder token document
    folder=$(directory_of 8200)
    [ "$(sql 'PRAGMA integrity_check')" = ok ] || echo "store"
    for document in token bootstrap.json controller.yaml; do
        if [ ! -e "$folder/$document" ]; then
            [ "$phase" = post-stop ] || echo "$document is gone"
            continue
        fi
        case $document in
        token) token=$(cat "$folder/token") ;;
        bootstrap.json) token=$(jq -re .local_api_token "$folder/bootstrap.json") ;;
        controller.yaml) token=$(sed -n 's/^  token: *"\(.*\)"$/\1/p' "$folder/controller.yaml") ;;
        esac
        grep -qxE 'fh1_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}_[0-9A-Za-z]{6}' <<<"$token" ||
            echo "$document: $(cat "$folder/$document")"
        is_good "$token" || echo "$document holds a token that is refused"
    done
}

for phase_name in pre-start post-stop; do
    wrong=
    begun=$(date +%s%N)
    phase 8200 $phase_name >/dev/null
    took_us=$((($(date +%s%N) - begun) / 1000))
    for round in $(rounds 150); do
        [ $phase_name = pre-start ] || phase 8200 pre-start >/dev/null
        "$BIN/felhom-hook" 8200 $phase_name >/dev/null 2>&1 &
        pid=$!
        # At a moment during the phase, or after it.
        perl -e 'select undef, undef, undef, $ARGV[0] / 1e6' $((took_us * 2 * round / 150))
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        while pgrep -x felhom-hook >/dev/null; do sleep 0.001; done
        wrong=$(broken $phase_name)
        [ -z "$wrong" ] || break
    done
    is "killed at any moment of $phase_name, the hook leaves everything consistent" "$wrong" ""
    ok "$phase_name succeeds after all these kills" phase 8200 $phase_name
done
phase 8200 pre-start >/dev/null
is "the kills leave no temporary files in the directory" "$(ls -A "$(directory_of 8200)" | wc -l)" 4
tap_done
