#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What felhom-hook's pre-start is measured against: the same work as an operator would script it in good faith, for one kind of guest and with the host's
# pins and endpoint in files. $HOST: the scratch host; $HOST/bash: this script's own store and directories.
set -euo pipefail
umask 077
vmid=$1
[ "$2" = pre-start ] || exit 0
config=$HOST/pve/lxc/$vmid.conf
store=$HOST/bash/agent.db
directory=$HOST/bash/guests/$vmid
now=$(date +%s%3N)

# The guest's configuration, its first section alone, as rows for the store.
name='' owner=0 rows=''
while IFS= read -r line && [[ $line != '['* ]]; do
    key=${line%%: *} value=${line#*: }
    case $key in
    hostname) name=$value ;;
    unprivileged) [ "$value" = 0 ] || owner=100000 ;;
    net[0-9]*)
        [[ $value =~ (^|,)hwaddr=([0-9A-F:]+) ]] && hwaddr=${BASH_REMATCH[2]}
        [[ $value =~ (^|,)bridge=([a-z0-9]+) ]] && bridge=${BASH_REMATCH[2]}
        rows+="INSERT INTO nic VALUES ($vmid, '$key', '$hwaddr', '$bridge');"
        ;;
    rootfs | mp[0-9]*)
        point=/
        [[ $value =~ ,mp=([^,]+) ]] && point=${BASH_REMATCH[1]}
        rows+="INSERT INTO mount VALUES ($vmid, '$key', '${value%%,*}', '$point');"
        ;;
    esac
done <"$config"

id=$(openssl rand -hex 4)
token=fh1_${id}_$(openssl rand -hex 32)
hash=$(printf %s "$token" | sha256sum)
sqlite3 "$store" >/dev/null <<END
.timeout 5000
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
BEGIN IMMEDIATE;
INSERT INTO guest VALUES ($vmid, '${name//\'/\'\'}', 'starting', $owner, $now)
    ON CONFLICT (vmid) DO UPDATE SET name = excluded.name, state = excluded.state, owner = excluded.owner, changed_at_ms = excluded.changed_at_ms;
DELETE FROM nic WHERE vmid = $vmid;
DELETE FROM mount WHERE vmid = $vmid;
$rows
INSERT INTO token VALUES ('$id', $vmid, x'${hash%% *}', $now, NULL);
INSERT INTO event (at_ms, vmid, kind, outcome) VALUES ($now, $vmid, 'pre-start', 'ok');
COMMIT;
END

# Whole files, with the guest's owner, before any that is there is replaced.
spki=$(<"$HOST/bash/spki") leaf=$(<"$HOST/bash/leaf") endpoint=$(<"$HOST/bash/endpoint")
mkdir -p "$directory"
drafts=$(mktemp -d "$directory/.new.XXXXXX")
draft() { # NAME MODE: what stands on standard input
    install -m "$2" -o $owner -g $owner /dev/stdin "$drafts/$1"
}
draft token 600 <<<"$token"
draft bootstrap.json 600 <<END
{
  "schema": "spike",
  "vmid": $vmid,
  "host_id": "$HOSTNAME",
  "local_api_endpoint": "https://$endpoint",
  "local_api_pin_spki_sha256": "$spki",
  "local_api_pin_leaf_sha256": "$leaf",
  "local_api_token": "$token",
  "hub_url": "",
  "registry": {"host": "", "username": "", "token": ""},
  "controller_image": ""
}
END
draft controller.yaml 600 <<END
customer:
  id: ""
local_api:
  endpoint: "$endpoint"
  fingerprint: "$leaf"
  token: "$token"
END
draft agent.crt 644 <"$HOST/state/tls/agent.crt"
sync "$drafts"/*
mv -f "$drafts"/* "$directory"
rmdir "$drafts"
chown $owner:$owner "$directory"
sqlite3 "$store" ".timeout 5000" "PRAGMA synchronous = FULL" "UPDATE token SET revoked_at_ms = $now WHERE vmid = $vmid AND id <> '$id' AND revoked_at_ms IS NULL"
echo "felhom: $vmid pre-start: token $id minted, mount populated"
