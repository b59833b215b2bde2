-- SPDX-License-Identifier: Apache-2.0
-- Times are milliseconds since 1970, UTC. Comments stand outside the statements: SQLite keeps and reads those whole.
-- Choices among more than two are written with OR: for an IN of them SQLite makes a table of its own at each row that is written.

-- One row.
CREATE TABLE host (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    host_id TEXT NOT NULL,
    node TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    pin_spki TEXT NOT NULL,
    pin_leaf TEXT NOT NULL
) STRICT;

-- generation: of the newest token. enrolment: the operator's document, NULL where there is none.
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
) STRICT;

-- hwaddr: XX:XX:XX:XX:XX:XX in upper case, NULL where the configuration gives none.
CREATE TABLE nic (
    vmid INTEGER NOT NULL REFERENCES guest (vmid) ON DELETE CASCADE,
    key TEXT NOT NULL,
    hwaddr TEXT,
    bridge TEXT NOT NULL,
    ip TEXT NOT NULL,
    PRIMARY KEY (vmid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX nic_hwaddr ON nic (hwaddr);

-- size_bytes: -1 where it is not known.
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

-- hash: SHA-256 of the token's text, which is kept nowhere. expires_at_ms: 0 never by itself. revoked_at_ms: NULL while it is not.
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
CREATE UNIQUE INDEX token_vmid ON token (vmid, generation);

-- A task that the agent has Proxmox do for a guest. upid: Proxmox's name for it, '' before there is one. finished_at_ms: NULL while it runs.
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
) STRICT;
CREATE INDEX job_vmid ON job (vmid, kind, job_id);

-- The audit trail; it outlives the guests. vmid: 0 of no guest. duration_us: -1 has none.
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
CREATE INDEX event_vmid ON event (vmid, seq);
