-- SPDX-License-Identifier: Apache-2.0
-- What makes a store known that has gone back to an earlier state: store/db/token_record.h.

-- boot_id: of the boot of the host in which the token was minted; it is good in no other. '' of none that is known.
ALTER TABLE token ADD COLUMN boot_id TEXT NOT NULL DEFAULT '';

-- token_changes: grows by one with each change of the guest's tokens. The host's memory has it as well.
ALTER TABLE guest ADD COLUMN token_changes INTEGER NOT NULL DEFAULT 0;
UPDATE guest SET token_changes = 1;
