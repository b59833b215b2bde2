-- SPDX-License-Identifier: Apache-2.0
-- Why requests were refused, for the operator alone: the newest of them, as a ring. request_id: what the reply named. vmid: the guest of the
-- token, 0 of none that is known. token_id: its public id, '' likewise. path: '' where it is none of ours.
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
