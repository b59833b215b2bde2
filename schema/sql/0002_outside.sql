-- SPDX-License-Identifier: Apache-2.0
-- What the agent remembers of its dealings with Proxmox, the hub and the registry.

-- Events up to this one belong to another guest that had the VMID before.
ALTER TABLE guest ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0;

-- called_at_ms: when Proxmox was about to be asked, NULL before that; a job with it and without a upid may or may not have been begun.
ALTER TABLE job ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN called_at_ms INTEGER;
CREATE UNIQUE INDEX job_unfinished ON job (vmid) WHERE finished_at_ms IS NULL;

-- The newest backup of each guest, whoever made it. archive: Proxmox's volume id. size_bytes: -1 where it is not known.
CREATE TABLE backup (
    vmid INTEGER PRIMARY KEY REFERENCES guest (vmid) ON DELETE CASCADE,
    archive TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

-- The last restore test of each guest. spare_vmid: what it was restored to; while finished_at_ms is NULL that one may exist.
CREATE TABLE restore_test (
    vmid INTEGER PRIMARY KEY REFERENCES guest (vmid) ON DELETE CASCADE,
    spare_vmid INTEGER NOT NULL,
    archive TEXT NOT NULL,
    passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
    error TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER
) STRICT;

-- The hub's configuration for the guest's customer. origin: SHA-256 of where and with what it is pulled; another one is another document.
-- state: 'wanted' (try again at next_try_at_ms) or 'refused' (final for this origin). body: the last good one, '' before there is one.
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

-- Registry tokens that were minted for guests, by the name the registry knows them by; the tokens themselves are kept nowhere.
-- They outlive the guest until the registry has deleted them. registry: USERNAME@HOST. state: 'minting' (it may exist), 'live', 'doomed' (to be
-- deleted). minted: whether the registry has said that it exists.
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
CREATE INDEX credential_vmid ON credential (vmid);
