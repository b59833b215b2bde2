-- token of 8200: fh1_8z5jrXnF_PFVAy9UcHudZzek1tvn65nBVMMWSgJDuaeIg-OZZiOk_2Co1S3
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
INSERT INTO host VALUES(1,'vm','pve1','192.168.0.162:8443','jYJV0NNQ+vs8TTUkgjAfgbBHLllUEjUcNpieuRtq97w=','55:CF:6F:EF:D7:CC:1B:1B:49:19:99:32:A5:5C:27:65:85:87:62:5F:DC:9C:E6:48:3F:18:18:2B:82:1E:BC:9A');
CREATE TABLE guest (
    vmid INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('lxc', 'qemu')),
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('starting', 'running', 'stopping', 'stopped')),
    root_uid INTEGER NOT NULL,
    root_gid INTEGER NOT NULL,
    mount_form TEXT NOT NULL CHECK (mount_form IN ('', 'entry', 'mp')),
    generation INTEGER NOT NULL DEFAULT 0,
    changed_at_ms INTEGER NOT NULL,
    enrolment BLOB
) STRICT;
INSERT INTO guest VALUES(8200,'lxc','guest8200','running',100000,100000,'',1,1700000000000,X'637573746f6d65723a207b69643a2061636d652c206e616d653a2041434d457d0a');
INSERT INTO guest VALUES(8300,'lxc','guest8300','stopped',100000,100000,'',1,1700000000000,X'');
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
    kind TEXT NOT NULL CHECK (kind IN ('storage', 'bind', 'device')),
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
INSERT INTO token VALUES('8z5jrXnF',8200,1,X'93770497087fc1424bc18905068e858bf0aa45c3f0c6f3a9354f781c428b77bd',1700000000000,0,NULL,NULL);
INSERT INTO token VALUES('PrUB9EZJ',8300,1,X'5c05e204d61024100e485c461dd110d1b20492cd75a38e68f9a0c8806e8c19c2',1700000000000,0,1700000000000,'the guest stopped');
CREATE TABLE job (
    job_id INTEGER PRIMARY KEY AUTOINCREMENT,
    vmid INTEGER NOT NULL REFERENCES guest (vmid) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('snapshot', 'rollback', 'backup')),
    phase TEXT NOT NULL CHECK (phase IN ('running', 'snapshotted', 'done', 'failed')),
    upid TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    created_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER
) STRICT;
INSERT INTO job VALUES(1,8200,'backup','done','UPID:pve1:00001234:0005F5E1:6553F100:vzdump:8200:root@pam!felhom:','','',1,1,1);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    vmid INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'warning', 'error')),
    detail TEXT NOT NULL,
    source TEXT NOT NULL,
    duration_us INTEGER NOT NULL
) STRICT;
INSERT INTO event VALUES(1,1700000000000,0,'init','ok','','felhomctl',-1);
INSERT INTO event VALUES(2,1700000000000,8200,'mint','ok','token 8z5jrXnF gen 1','',2915);
INSERT INTO event VALUES(3,1700000000000,8200,'pre-start','warning','nothing mounts /tmp/felhom-world.YCrj8h/run/export/8200 into the guest; felhomctl enroll 8200 sets it up','',3244);
INSERT INTO event VALUES(4,1700000000000,8200,'post-start','ok','','',1204);
INSERT INTO event VALUES(5,1700000000000,8300,'mint','ok','token PrUB9EZJ gen 1','',3648);
INSERT INTO event VALUES(6,1700000000000,8300,'pre-start','warning','nothing mounts /tmp/felhom-world.YCrj8h/run/export/8300 into the guest; felhomctl enroll 8300 sets it up','',3954);
INSERT INTO event VALUES(7,1700000000000,8300,'post-start','ok','','',4137);
INSERT INTO event VALUES(8,1700000000000,8300,'revoke','ok','1: the guest stopped','',2307);
INSERT INTO event VALUES(9,1700000000000,8300,'post-stop','ok','','',2350);
INSERT INTO event VALUES(10,1,8200,'refused','warning','no token','192.168.0.200',-1);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('event',10);
INSERT INTO sqlite_sequence VALUES('job',1);
CREATE INDEX nic_hwaddr ON nic (hwaddr);
CREATE UNIQUE INDEX token_vmid ON token (vmid, generation);
CREATE INDEX job_vmid ON job (vmid, kind, job_id);
CREATE INDEX event_vmid ON event (vmid, seq);
COMMIT;
PRAGMA user_version = 1;
