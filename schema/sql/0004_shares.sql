-- SPDX-License-Identifier: Apache-2.0
-- Whose events push out whose: each guest has a share of the audit trail for what it does, and another for its requests that are refused; so have
-- the host, and all together who are no guests. origin: of a refused request the guest that sent it, 0 of none; vmid is the token's guest.
ALTER TABLE event ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
ALTER TABLE event ADD COLUMN share INTEGER GENERATED ALWAYS AS (CASE kind WHEN 'refused' THEN -1 - origin ELSE vmid END) VIRTUAL;
DROP INDEX event_vmid;
CREATE INDEX event_share ON event (share, seq);
CREATE INDEX event_refused ON event (vmid, seq) WHERE kind = 'refused';

ALTER TABLE explanation ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
CREATE INDEX explanation_origin ON explanation (origin, seq);
