#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One slip takes nobody down: each file that an operator edits, with each kind of mistake in it, against what has to go
# on working. All files are at their default places; felhomd runs from before the mistake.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
unset FELHOM_AGENT_CONFIG

# --- a host whose files are where the package has them ---
mkdir -p "$HOST"/{run,state,over/etc,over/etc-work,over/lib,over/lib-work}
if ! mount -t overlay overlay -o "lowerdir=/etc,upperdir=$HOST/over/etc,workdir=$HOST/over/etc-work" /etc ||
    ! mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$HOST/over/lib,workdir=$HOST/over/lib-work" /var/lib; then
    skip "slips" "no overlay can be mounted here"
    tap_done
fi
mount -t tmpfs run /run
rm -rf /etc/felhom-agent /etc/pve /var/lib/felhom-agent /var/lib/vz
mkdir -p /run/felhom-agent /var/lib/felhom-agent /etc/pve /etc/felhom-agent /var/lib/vz/snippets
mount --bind "$HOST/run" /run/felhom-agent
mount --bind "$HOST/state" /var/lib/felhom-agent
mount --bind "$HOST/pve" /etc/pve
chmod 755 "$HOST/state"
chmod 711 "$HOST/run"
mkdir -p /etc/pve/priv/felhom
SETTINGS=/etc/felhom-agent/agent.yaml
TEMPLATE=/etc/felhom-agent/controller.yaml
PEM=$HOST/any.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=any -keyout /dev/null -out "$PEM" \
    2>/dev/null

# The files that the table names. What is set in agent.yaml differs from the defaults, and shows in bootstrap.json.
place() {
    case $1 in
    settings) echo $SETTINGS ;;
    template) echo $TEMPLATE ;;
    enrolment) echo /etc/pve/priv/felhom/8200.yaml ;;
    guest) echo /etc/pve/lxc/8200.conf ;;
    storages) echo /etc/pve/storage.cfg ;;
    pve.pem) echo /etc/pve/pve-root-ca.pem ;;
    chained) echo /var/lib/vz/snippets/theirs ;;
    *) echo "/etc/felhom-agent/$1" ;;
    esac
}
put_good() {
    local vmid
    # A guest's configuration is never away: felhomd would take the guest for gone.
    mkdir -p "$HOST/guests"
    cp "$HOST"/good/*.conf "$HOST/guests/"
    rm -rf /etc/felhom-agent/*[!d] /etc/pve/priv/felhom/* /etc/pve/storage.cfg* /var/lib/vz/snippets/*
    find /etc/pve/lxc -mindepth 1 ! -name '8?00.conf' -delete -o -type d -delete
    cat >$SETTINGS <<END
host_id: slip-host
bootstrap: {schema: felhom.bootstrap/v2}
hub: {url: "http://127.0.0.1:9/hub", api_key_file: $(place hub.key), ca_file: $(place hub.pem)}
registry: {mode: gitea, host: "127.0.0.1:9", username: u, secret_file: $(place registry.secret), ca_file: $(place registry.pem)}
END
    printf 'web:\n  port: 8080\n' >$TEMPLATE
    echo hub-key >"$(place hub.key)"
    echo registry-secret >"$(place registry.secret)"
    echo 'felhom-agent@pve!agent-pve1=00000000-1111-2222-3333-444444444444' >"$(place pve.token)"
    chmod 600 /etc/felhom-agent/{hub.key,registry.secret,pve.token}
    ! world_is_root || chown daemon /etc/felhom-agent/{hub.key,registry.secret,pve.token}
    rm -rf "$(place pve.pem)"
    for vmid in hub registry pve; do cp "$PEM" "$(place $vmid.pem)"; done
    for vmid in 8200 8300 8400; do
        mv "$HOST/guests/$vmid.conf" "$HOST/pve/lxc/"
        echo "customer: {id: of-$vmid}" >/etc/pve/priv/felhom/$vmid.yaml
    done
    echo 'chain: local:snippets/theirs' >>/etc/pve/priv/felhom/8400.yaml
    printf 'dir: local\n\tpath /var/lib/vz\n\tcontent snippets\n' >/etc/pve/storage.cfg
    printf '#!/bin/sh\nexit 0\n' >"$(place chained)"
    chmod 755 "$(place chained)"
}

# slip PATH KIND: makes the mistake
slip() {
    local path=$1 line
    case $2 in
    tab) printf 'zz:\n\ty: 1\n' >>"$path" ;;
    bracket) echo 'zz: [1' >>"$path" ;;
    twice) line=$(head -n 1 "$path") && echo "$line" >>"$path" ;;
    type)
        case $path in
        "$SETTINGS") sed -i '1s/.*/host_id: [7]/' "$path" ;;
        "$TEMPLATE") echo '- a' >"$path" ;;
        *.yaml) echo 'customer: 7' >"$path" ;;
        *.conf) echo 'memory: a lot' >>"$path" ;;
        *) printf 'two\nlines\n' >"$path" ;;
        esac
        ;;
    mode) chmod 0 "$path" ;;
    wide) chmod 644 "$path" ;;
    missing) rm "$path" ;;
    empty) : >"$path" ;;
    directory) rm "$path" && mkdir "$path" ;;
    huge) truncate -s 100M "$path" ;;
    binary) printf '\377\376\0\1\2\033%.0s' {1..99} >"$path" ;;
    esac
}

# --- what is looked at ---
api() {
    curl -sk -o "$HOST/reply" --max-time 120 -w '%{http_code}' -H "@$(header_file "$(token_of "$1")")" \
        "https://$ENDPOINT/$2"
}
# given VMID: which of its files are right: token (one that is good and has been given just now), bootstrap.json,
# agent.crt, controller.yaml
given() {
    local directory=$HOST/run/guests/$1 got='' token bootstrap controller
    token=$(<"$directory/token")
    bootstrap=$(<"$directory/bootstrap.json")
    [ "$token" != "$(<"$HOST/former.$1")" ] && [ "$(api "$1" storage)" = 200 ] && got+=t
    [ "${bootstrap//"$token"/TOKEN}" = "$(<"$HOST/bootstrap.$1")" ] && got+=b
    [ "$(<"$directory/agent.crt")" = "$(<"$HOST/state/tls/agent.crt")" ] && got+=a
    if [ -e "$directory/controller.yaml" ]; then
        controller=$(<"$directory/controller.yaml")
        [[ $controller == *"$token"* && $controller == *"of-$1"* ]] && got+=c || got+=-with-an-old-controller.yaml
    fi
    echo "$got"
}
start() {
    [ ! -e "$(directory_of "$1")/token" ] || cp "$(directory_of "$1")/token" "$HOST/former.$1"
    phase "$1" pre-start >"$HOST/out.$1" 2>"$HOST/err.$1"
    echo $? >"$HOST/status.$1"
}
# As the user that the unit has, if there is one: root reads everything.
check() { "${as_daemon[@]}" --check >"$HOST/checked" 2>&1; }
doctor() { ctl doctor 8200 --output-format json | jq -r '.checks[] | select(.result != "ok") | "\(.id) \(.reason)\t\(.remedy)"'; }
log_size() { wc -c <"$HOST/felhomd.log"; }
log_since() { tail -c "+$(($1 + 1))" "$HOST/felhomd.log"; }
outcome() { sql "SELECT outcome FROM event WHERE vmid = $1 AND kind = 'pre-start' ORDER BY seq DESC LIMIT 1"; }
# What doctor prints to be done. The editor puts the good content back.
# shellcheck disable=SC2317
editor() { put_good; }
# shellcheck disable=SC2317
felhomctl() { ctl "$@"; }
# shellcheck disable=SC2317
felhomd() { "$BIN/felhomd" "$@"; }
# unit_runs SETTING: runs the commands of that setting of felhomd.service, as systemd does; - whatever it exits with
unit_runs() {
    local line
    while read -r line; do
        "$BIN/felhomd" "${line#*/usr/sbin/felhomd }" || [[ ${line%%/*} == *-* ]] || return 1
    done < <(sed -n "s/^$1=//p" debian/felhom-agent.felhomd.service)
}
# shellcheck disable=SC2317
systemctl() {
    case $1 in
    reload) unit_runs ExecReload ;;
    restart) daemon_stop; daemon_start && unit_runs ExecStartPost ;;
    esac
}

mkdir "$HOST/good"
for vmid in 8200 8300 8400; do
    guest_config $vmid <<END
hookscript: local:snippets/felhom-hook
lxc.mount.entry: /run/felhom-agent/export/$vmid etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0
END
    cp /etc/pve/lxc/$vmid.conf "$HOST/good/"
done
put_good
cp "$BIN/felhomd" /run/felhomd
if world_is_root; then
    as_daemon=(setpriv --reuid daemon --regid daemon --clear-groups /run/felhomd)
    ctl init --user daemon >/dev/null
else
    as_daemon=(/run/felhomd)
    ctl init >/dev/null
fi
for vmid in 8200 8300 8400; do
    start $vmid
    phase $vmid post-start
    sed "s/$(cat "$(token_of $vmid)")/TOKEN/" "$(directory_of $vmid)/bootstrap.json" >"$HOST/bootstrap.$vmid"
    echo none >"$HOST/former.$vmid"
done
daemon_start
unit_runs ExecStartPost
is "without a mistake each guest gets everything" "$(given 8200) $(given 8300) $(given 8400)" "tbac tbac tbac"
is "without a mistake felhomd --check finds nothing" "$(check; grep -v ^ok "$HOST/checked")" ""
is "without a mistake doctor finds nothing" "$(doctor | grep -v '^snippet \|^guest.sight \|^guest.port ')" ""

# row FILE SLIP 8200 8300 8400 WHO NAMED: with this mistake the three guests get these of their files at a start; the
# hook (h), felhomd --check (c), a reload (r), doctor (d), a start of felhomd (s) name it with this pattern
row() {
    [ "$2" != mode ] || world_is_root || return 0
    local file=$1 slip=$2 who=$6 named=$7 what="$1, $2" size vmid path remedy
    put_good
    path=$(place "$file")
    slip "$path" "$slip"
    for vmid in 8200 8300 8400; do start $vmid; done
    is "$what: what each guest gets" "$(given 8200) $(given 8300) $(given 8400)" "$3 $4 $5"
    is "$what: which guests start" "$(cat "$HOST"/status.{8200,8300} | tr -d '\n')" 00
    [[ $who != *h* ]] || like "$what: the hook names it" "$(cat "$HOST/err.8200" "$HOST/err.8400")" "felhom-hook: .*$named"
    [[ $who == *h* ]] || is "$what: the hook has nothing to say" "$(cat "$HOST/err.8200")" ""
    if [[ $who == *c* ]]; then
        not_ok "$what: felhomd --check fails" check
        like "$what: felhomd --check names it" "$(<"$HOST/checked")" "error: .*$named"
    else
        ok "$what: felhomd --check succeeds" check
    fi
    size=$(log_size)
    if [[ $who == *r* ]]; then
        reload
        like "$what: a reload names it" "$(log_since "$size")" "$named"
    fi
    is "$what: felhomd serves the other guest" "$(api 8300 storage)" 200
    if [ "$3" = tba ]; then
        is "$what: controller.yaml cannot be asked for" "$(api 8300 controller.yaml)" 500
        like "$what: and the reply says what to do" "$(<"$HOST/reply")" 'felhomctl doctor on the host says which'
        is "$what: the audit trail has a warning" "$(outcome 8300)" warning
    fi
    [[ $who != *s* ]] || like "$what: felhomd does not start, and names it" "$("$BIN/felhomd" 2>&1)" "$named"
    if [[ $who == *d* ]]; then
        remedy=$(doctor | grep -E "$named" | head -n 1)
        like "$what: doctor names it" "$remedy" "$named"
        eval "${remedy##*$'\t'}" >"$HOST/remedied" 2>&1
        is "$what: what doctor advises mends it" "$(doctor | grep -E "$named")" ""
        [ "$file" != settings ] || start 8200
        is "$what: and the guest has all its files" "$(given 8200 | tr -d t)" bac
    fi
}
# file, slip, 8200, 8300, 8400, who, named
while read -r file slip first second third who named; do
    row "$file" "$slip" "$first" "$second" "$third" "$who" "$named"
done <<'END'
settings        tab       tbac    tbac    tbac    hcrds agent.yaml:6:1: .*a tab
settings        bracket   tbac    tbac    tbac    hcrds agent.yaml:[67]:[0-9]: .*flow
settings        twice     tbac    tbac    tbac    hcrds agent.yaml:5:1: host_id: .*first in line 1
settings        type      tbac    tbac    tbac    hcrds agent.yaml:1:10: host_id: must be a text
settings        directory tbac    tbac    tbac    hcrds agent.yaml: not a regular file
settings        huge      tbac    tbac    tbac    hcrds agent.yaml: larger than
settings        binary    tbac    tbac    tbac    hcrds agent.yaml:1:1: 
settings        mode      tbac    tbac    tbac    cd    agent.yaml: .*ermission denied|agent.yaml: felhomd cannot read
settings        missing   tac     tac     tac     d     settings there is no /etc/felhom-agent/agent.yaml: defaults are in force
settings        empty     tac     tac     tac     -     -
template        mode      tbac    tbac    tbac    cd    controller.template: .*(Permission denied|felhomd cannot read)
template        tab       tba     tba     tba     hcrd  controller.yaml:4:1: .*a tab
template        bracket   tba     tba     tba     hcrd  controller.yaml:[34]:[0-9]: .*flow
template        twice     tba     tba     tba     hcrd  controller.yaml:3:1: web: .*first in line 1
template        type      tba     tba     tba     hcrd  controller.yaml:1:1: the document must be a map
template        missing   tbac    tbac    tbac    -     -
template        empty     tbac    tbac    tbac    -     -
template        directory tba     tba     tba     hcrd  controller.yaml: not a regular file
template        huge      tba     tba     tba     hcrd  controller.yaml: larger than
template        binary    tba     tba     tba     hcrd  controller.yaml:1:1: 
enrolment       tab       tbac    tbac    tbac    hd    8200.yaml:3:1: .*a tab
enrolment       bracket   tbac    tbac    tbac    hd    8200.yaml:[23]:[0-9]: .*flow
enrolment       twice     tbac    tbac    tbac    hd    8200.yaml:2:1: customer: .*first in line 1
enrolment       type      tbac    tbac    tbac    hd    8200.yaml:1:11: customer: must be a map
enrolment       directory tbac    tbac    tbac    hd    8200.yaml: not a regular file
enrolment       huge      tbac    tbac    tbac    hd    8200.yaml: larger than
enrolment       binary    tbac    tbac    tbac    hd    8200.yaml:1:1: 
guest           tab       tbac    tbac    tbac    h     unable to read|zz
guest           bracket   tbac    tbac    tbac    h     zz
guest           twice     tbac    tbac    tbac    -     -
guest           type      tbac    tbac    tbac    h     memory
guest           missing   bac     tbac    tbac    h     8200.conf: no such guest configuration
guest           directory bac     tbac    tbac    h     8200.conf: not a regular file
guest           huge      bac     tbac    tbac    hd    8200.conf: larger than
guest           binary    bac     tbac    tbac    hd    8200.conf: there is a NUL byte in it
storages        missing   tbac    tbac    tbac    -     -
storages        tab       tbac    tbac    tbac    -     -
storages        empty     tbac    tbac    tbac    -     -
storages        directory tbac    tbac    tbac    h     storage.cfg: not a regular file
storages        huge      tbac    tbac    tbac    h     storage.cfg: larger than
storages        binary    tbac    tbac    tbac    -     -
chained         missing   tbac    tbac    tbac    h     snippets/theirs
chained         mode      tbac    tbac    tbac    h     snippets/theirs
chained         directory tbac    tbac    tbac    h     snippets/theirs
chained         binary    tbac    tbac    tbac    h     snippets/theirs
hub.key         type      tbac    tbac    tbac    crd   hub.api_key_file: /etc/felhom-agent/hub.key: does not hold one line
hub.key         wide      tbac    tbac    tbac    d     hub.api_key_file: only felhomd
hub.key         missing   tbac    tbac    tbac    crd   hub.api_key_file: /etc/felhom-agent/hub.key: no such file
hub.key         empty     tbac    tbac    tbac    crd   hub.api_key_file: /etc/felhom-agent/hub.key: does not
hub.key         directory tbac    tbac    tbac    crd   hub.api_key_file: /etc/felhom-agent/hub.key: not a regular file
hub.key         huge      tbac    tbac    tbac    crd   hub.api_key_file: /etc/felhom-agent/hub.key: larger than
hub.key         binary    tbac    tbac    tbac    crd   hub.api_key_file: /etc/felhom-agent/hub.key: does not
hub.key         mode      tbac    tbac    tbac    cd    hub.api_key_file: (cannot open .*Permission denied|only felhomd)
registry.secret type      tbac    tbac    tbac    crd   registry.secret_file: /etc/felhom-agent/registry.secret: does not hold one line
registry.secret missing   tbac    tbac    tbac    crd   registry.secret_file: .*no such file
pve.token       wide      tbac    tbac    tbac    d     pve-token only felhomd may be able to read
pve.token       type      tbac    tbac    tbac    cr    pve.token_file: .*does not hold one line
pve.token       directory tbac    tbac    tbac    cr    pve.token_file: .*not a regular file
hub.pem         missing   tbac    tbac    tbac    crd   hub.ca_file: .*no such file
hub.pem         empty     tbac    tbac    tbac    crd   hub.ca_file: .*holds no certificate
registry.pem    binary    tbac    tbac    tbac    crd   registry.ca_file: .*holds no certificate
pve.pem         directory tbac    tbac    tbac    crd   pve.ca_file: .*not a regular file
pve.pem         huge      tbac    tbac    tbac    crd   pve.ca_file: .*larger than
END

# --- systemctl reload fails where felhomd refuses, and what it has not taken up is not kept ---
# refuses WHAT REASON: agent.yaml has been edited, felhomd --check finds nothing wrong with it, felhomd does
refuses() {
    local before output
    before=$(<$SETTINGS.good)
    ok "$1: felhomd --check finds no error" check
    output=$(systemctl reload felhomd 2>&1)
    is "$1: the reload fails" $? 1
    like "$1: and says why" "$output" "felhomd --reload: felhomd has kept its old configuration: .*$2"
    is "$1: it is not kept for felhom-hook" "$(<$SETTINGS.good)" "$before"
    is "$1: nor on demand" "$("$BIN/felhomd" --keep-settings 2>/dev/null; echo $?) $(<$SETTINGS.good)" "1 $before"
    is "$1: felhomd serves the guests" "$(api 8300 storage)" 200
    kept "$1" warning 'has been changed since felhomd has taken it up$' 'systemctl reload felhomd'
}
# kept WHAT RESULT REASON REMEDY: what doctor says of agent.yaml and its copy
kept() {
    local finding
    finding=$(ctl doctor 8200 --output-format json | jq -r '.checks[] | select(.id == "settings.kept") | "\(.result)|\(.reason)|\(.remedy)"')
    is "$1: doctor's result and remedy" "${finding%%|*}|${finding##*|}" "$2|$4"
    like "$1: doctor's reason" "${finding%|*}" "$3"
    REMEDY=$4
}
mended() {
    eval "$REMEDY" >/dev/null 2>&1
    kept "$1: mended" ok 'has taken .*agent.yaml up, and .*agent.yaml.good is its copy' null
}
put_good
ok "a reload of what is right succeeds" systemctl reload felhomd
kept "a reload of what is right" ok 'is its copy' null
sed -i '$a local_api: {bridge: vmbr9}' $SETTINGS
refuses "a bridge that is not there" 'there is no bridge vmbr9'
put_good
sed -i '$a local_api: {listen: "192.0.2.1:8443"}' $SETTINGS
refuses "an address that is not the host's" '192.0.2.1'
put_good
sed -i '$a local_api: {listen: "192.168.0.162:8444"}' $SETTINGS
refuses "another port" 'the port of local_api cannot change while felhomd runs: systemctl restart felhomd'
put_good
sed -i '$a paths: {run: /run/felhom-other}' $SETTINGS
refuses "another directory" 'paths.run cannot change while felhomd runs: systemctl restart felhomd'
put_good
ip addr add 192.168.0.163/24 dev vmbr0
python3 -c 'import socket, time
listener = socket.create_server(("192.168.0.163", 8443))
time.sleep(86400)' &
other=$!
taken_by_another() { [ -n "$(ss -Hltn 'src 192.168.0.163:8443')" ]; }
eventually taken_by_another
sed -i '$a local_api: {listen: "192.168.0.163:8443"}' $SETTINGS
refuses "an address that another program has" '192.168.0.163:8443.*Address already in use'
kill $other
wait $other 2>/dev/null
put_good
ok "and once all is right again, the reload succeeds" systemctl reload felhomd
sed -i '$a quota: {snapshots: 7}' $SETTINGS
kept "not reloaded yet" warning 'has been changed since' 'systemctl reload felhomd'
mended "not reloaded yet"
like "what was taken up is kept" "$(<$SETTINGS.good)" 'snapshots: 7'
put_good
daemon_stop
sed -i '$a quota: {snapshots: 8}' $SETTINGS
not_ok "without felhomd an edit is not kept" "$BIN/felhomd" --keep-settings 2>/dev/null
like "without felhomd a reload fails" "$(systemctl reload felhomd 2>&1)" \
    'felhomd --reload: no felhomd listens on .*/reload: Connection refused: systemctl restart felhomd'
daemon_start
unit_runs ExecStartPost
like "what felhomd has taken up as it started is kept then" "$(<$SETTINGS.good)" 'snapshots: 8'
put_good
systemctl reload felhomd >/dev/null

# --- the copy itself ---
rm $SETTINGS.good
kept "no copy" warning 'agent.yaml.good is not the agent.yaml that felhomd has taken up' 'felhomd --keep-settings'
mended "no copy"
echo 'host_id: other' >$SETTINGS.good
kept "another copy" warning 'agent.yaml.good is not the agent.yaml that' 'felhomd --keep-settings'
mended "another copy"
rm $SETTINGS.good && mkdir $SETTINGS.good
kept "a directory in its place" error 'agent.yaml.good is not a regular file' \
    "mv $SETTINGS.good $SETTINGS.good.other && systemctl reload felhomd"
mended "a directory in its place"
rm -r $SETTINGS.good.other
if world_is_root && cp -a /etc/felhom-agent "$HOST/etc" && mount -t tmpfs etc /etc/felhom-agent &&
    cp -a "$HOST/etc/." /etc/felhom-agent && mount -o remount,ro /etc/felhom-agent; then
    kept "a read-only file system" error 'can be kept in .*agent.yaml.good: Read-only file system' \
        "mount -o remount,rw \"\$(findmnt -no TARGET -T /etc/felhom-agent)\""
    mended "a read-only file system"
    umount /etc/felhom-agent
else
    skip "a read-only file system" "not root here"
fi
if world_is_root && chattr +i $SETTINGS.good 2>/dev/null; then
    kept "a copy that root may not write" error 'can be kept in .*agent.yaml.good: Operation not permitted' \
        "chattr -i $SETTINGS.good"
    mended "a copy that root may not write"
else
    skip "a copy that root may not write" "chattr does nothing here"
fi

# --- while agent.yaml is bad, nobody gets what is not theirs, and what has ended stays ended ---
put_good
slip $SETTINGS tab
sed -i 's|^lxc.mount.entry:.*|lxc.mount.entry: /run/felhom-agent/export/8200 etc/x none bind,ro 0 0|' /etc/pve/lxc/8300.conf
start 8300
is "agent.yaml is bad: a guest that mounts another's directory does not start" "$(<"$HOST/status.8300")" 1
like "agent.yaml is bad: the message names that mount" "$(<"$HOST/err.8300")" 'mounts the directory of guest 8200'
start 8200
cp "$(token_of 8200)" "$HOST/ended"
phase 8200 post-stop
is "agent.yaml is bad: a stop takes the secrets away" "$(ls "$(directory_of 8200)")" agent.crt
is "agent.yaml is bad: and ends the token" \
    "$(curl -sk -o /dev/null -w '%{http_code}' -H "@$(header_file "$HOST/ended")" "https://$ENDPOINT/storage")" 401

# --- felhomd starts with the mistakes that it can go on with, and names them ---
put_good
daemon_stop
slip $TEMPLATE tab
slip "$(place registry.secret)" empty
size=$(log_size)
daemon_start
like "a start names each file" "$(log_since "$size")" \
    'controller.template: .*controller.yaml:4:1: .*registry.secret_file: .*does not hold one line'
start 8200
is "and serves the guests" "$(given 8200)" tba
daemon_stop
tap_done
