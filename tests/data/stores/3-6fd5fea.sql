-- token of 8200: fh1_uO2fIXZ1_heFQrjDEMB0hE6okOqpLLM69VL6KQzDJoCsSw4Z-sYM_21fl8E
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE host (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    host_id TEXT NOT NULL,
    node TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    pin_spki TEXT NOT NULL,
    pin_leaf TEXT NOT NULL
) STRICT;
INSERT INTO host VALUES(1,'vm','pve1','192.168.0.162:8443','NyxoBiqClIOIqUx2+SmIH87ulfvp2ZfbAFPNgzAuYh8=','AF:BF:EC:50:53:47:50:D7:BB:81:6C:F1:D1:1E:50:2A:E7:E4:64:7C:38:E6:C9:00:8E:48:5C:C4:04:25:9A:57');
CREATE TABLE guest (
    vmid INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('lxc', 'qemu')),
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state = 'starting' OR state = 'running' OR state = 'stopping' OR state = 'stopped'),
    root_uid INTEGER NOT NULL,
    root_gid INTEGER NOT NULL,
    mount_form TEXT NOT NULL CHECK (mount_form = '' OR mount_form = 'entry' OR mount_form = 'mp'),
    generation INTEGER NOT NULL DEFAULT 0,
    changed_at_ms INTEGER NOT NULL,
    enrolment BLOB
, first_seq INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO guest VALUES(8200,'lxc','guest8200','running',100000,100000,'',1,1700000000000,X'637573746f6d65723a207b69643a2061636d652c206e616d653a2041434d457d0a',1);
INSERT INTO guest VALUES(8300,'lxc','guest8300','stopped',100000,100000,'',1,1700000000000,X'',4);
CREATE TABLE nic (
    vmid INTEGER NOT NULL REFERENCES guest (vmid) ON DELETE CASCADE,
    key TEXT NOT NULL,
    hwaddr TEXT,
    bridge TEXT NOT NULL,
    ip TEXT NOT NULL,
    PRIMARY KEY (vmid, key)
) STRICT, WITHOUT ROWID;
INSERT INTO nic VALUES(8200,'net0','BC:24:11:00:20:08','vmbr0','dhcp');
INSERT INTO nic VALUES(8300,'net0','BC:24:11:00:20:6C','vmbr0','dhcp');
CREATE TABLE mount (
    vmid INTEGER NOT NULL REFERENCES guest (vmid) ON DELETE CASCADE,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind = 'storage' OR kind = 'bind' OR kind = 'device'),
    storage TEXT NOT NULL,
    source TEXT NOT NULL,
    mount_point TEXT NOT NULL,
    read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),
    backup INTEGER NOT NULL CHECK (backup IN (0, 1)),
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (vmid, key)
) STRICT, WITHOUT ROWID;
INSERT INTO mount VALUES(8200,'mp0','storage','usb-backup','usb-backup:vm-8200-disk-1','/srv/data',0,1,107374182400);
INSERT INTO mount VALUES(8200,'rootfs','storage','local-lvm','local-lvm:vm-8200-disk-0','/',0,1,8589934592);
INSERT INTO mount VALUES(8300,'mp0','storage','usb-backup','usb-backup:vm-8300-disk-1','/srv/data',0,1,107374182400);
INSERT INTO mount VALUES(8300,'rootfs','storage','local-lvm','local-lvm:vm-8300-disk-0','/',0,1,8589934592);
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    vmid INTEGER NOT NULL REFERENCES guest (vmid) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER,
    revoked_reason TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO token VALUES('gEPGbTBD',8300,1,X'c6c77cc3ab2be583ab25f4031b1d2d16811e0dec83ae61683198ff18a067357b',1700000000000,0,1700000000000,'the guest stopped');
INSERT INTO token VALUES('uO2fIXZ1',8200,1,X'f016073cb3dc45ff8be106d81b49a4eaf20101ec4c44efaac672c5a3db28a889',1700000000000,0,NULL,NULL);
CREATE TABLE job (
    job_id INTEGER PRIMARY KEY AUTOINCREMENT,
    vmid INTEGER NOT NULL REFERENCES guest (vmid) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind = 'snapshot' OR kind = 'rollback' OR kind = 'backup'),
    phase TEXT NOT NULL CHECK (phase = 'running' OR phase = 'snapshotted' OR phase = 'done' OR phase = 'failed'),
    upid TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    created_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER
, description TEXT NOT NULL DEFAULT '', called_at_ms INTEGER) STRICT;
INSERT INTO job VALUES(1,8200,'backup','done','UPID:pve1:00001234:0005F5E1:6553F100:vzdump:8200:root@pam!felhom:','','',1,1,1,'',NULL);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    vmid INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome = 'ok' OR outcome = 'warning' OR outcome = 'error'),
    detail TEXT NOT NULL,
    source TEXT NOT NULL,
    duration_us INTEGER NOT NULL
) STRICT;
INSERT INTO event VALUES(1,1700000000000,0,'init','ok','','felhomctl',-1);
INSERT INTO event VALUES(2,1700000000000,8200,'mint','ok','token uO2fIXZ1 gen 1','',3472);
INSERT INTO event VALUES(3,1700000000000,8200,'pre-start','warning','nothing mounts /tmp/felhom-world.zJDsxH/run/export/8200 into the guest; felhomctl enroll 8200 sets it up','',3669);
INSERT INTO event VALUES(4,1700000000000,8200,'post-start','ok','','',1582);
INSERT INTO event VALUES(5,1700000000000,8300,'mint','ok','token gEPGbTBD gen 1','',1305);
INSERT INTO event VALUES(6,1700000000000,8300,'pre-start','warning','nothing mounts /tmp/felhom-world.zJDsxH/run/export/8300 into the guest; felhomctl enroll 8300 sets it up','',1480);
INSERT INTO event VALUES(7,1700000000000,8300,'post-start','ok','','',1247);
INSERT INTO event VALUES(8,1700000000000,8300,'revoke','ok','1: the guest stopped','',858);
INSERT INTO event VALUES(9,1700000000000,8300,'post-stop','ok','','',902);
INSERT INTO event VALUES(10,1,8200,'refused','warning','no token','192.168.0.200',-1);
CREATE TABLE backup (
    vmid INTEGER PRIMARY KEY REFERENCES guest (vmid) ON DELETE CASCADE,
    archive TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO backup VALUES(8200,'local:backup/vzdump-lxc-8200-2023_11_14-22_13_20.tar.zst',4096,1);
CREATE TABLE restore_test (
    vmid INTEGER PRIMARY KEY REFERENCES guest (vmid) ON DELETE CASCADE,
    spare_vmid INTEGER NOT NULL,
    archive TEXT NOT NULL,
    passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
    error TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER
) STRICT;
INSERT INTO restore_test VALUES(8200,9999,'local:backup/vzdump-lxc-8200-2023_11_14-22_13_20.tar.zst',1,'',1,1);
CREATE TABLE hub_config (
    vmid INTEGER PRIMARY KEY REFERENCES guest (vmid) ON DELETE CASCADE,
    origin BLOB NOT NULL CHECK (length(origin) = 32),
    state TEXT NOT NULL CHECK (state IN ('wanted', 'refused')),
    body BLOB NOT NULL,
    error TEXT NOT NULL,
    failures INTEGER NOT NULL,
    fetched_at_ms INTEGER,
    next_try_at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO hub_config VALUES(8200,X'0000000000000000000000000000000000000000000000000000000000000000','refused',X'','no such customer',1,NULL,1);
CREATE TABLE credential (
    name TEXT PRIMARY KEY,
    registry TEXT NOT NULL,
    vmid INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state = 'minting' OR state = 'live' OR state = 'doomed'),
    minted INTEGER NOT NULL CHECK (minted IN (0, 1)),
    failures INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    next_try_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO credential VALUES('felhom-8200-1','robot@registry.example',8200,'doomed',1,0,1,1);
CREATE TABLE explanation (
    seq INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    at_ms INTEGER NOT NULL,
    status INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    vmid INTEGER NOT NULL,
    token_id TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
INSERT INTO explanation VALUES(1,'8c1f0a5e92d34b67',1,403,'GET','/storage',8300,'','guest 8200(192.168.0.200)','token of another guest','a token of guest 8300 came from guest 8200');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('event',10);
INSERT INTO sqlite_sequence VALUES('job',1);
CREATE INDEX nic_hwaddr ON nic (hwaddr);
CREATE UNIQUE INDEX token_vmid ON token (vmid, generation);
CREATE INDEX job_vmid ON job (vmid, kind, job_id);
CREATE INDEX event_vmid ON event (vmid, seq);
CREATE UNIQUE INDEX job_unfinished ON job (vmid) WHERE finished_at_ms IS NULL;
CREATE INDEX credential_vmid ON credential (vmid);
COMMIT;
PRAGMA user_version = 3;
