-- SPDX-License-Identifier: Apache-2.0
-- due: a backup that was due when the guest asked for it.
ALTER TABLE job ADD COLUMN due INTEGER NOT NULL DEFAULT 0 CHECK (due IN (0, 1));
