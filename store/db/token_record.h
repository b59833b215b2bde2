/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this boot of the host knows of the guests' tokens without the database: RUN/tokens/VMID, in
 * memory (tmpfs), says how often the guest's tokens have changed, and names those that have not
 * been revoked by their public ids, with their ends as times since the host's boot: a token that
 * has come to its end stays ended if the wall clock is set back.
 *
 * A database can go back to an earlier state without a word: an old copy is put back, or a flipped
 * bit in its log hides the commits after it. Tokens that had ended would be good again. So a token
 * is good only if the record lists it as well, and a database that knows of fewer changes than the
 * record is behind (store/tables/token.h ends all tokens then). After a loss of power both the
 * record and the guests are gone, and nothing is missed.
 *
 * The record is written right after the commit (store_commit), in the order of the commits. A kill
 * in between leaves a record that knows of fewer changes than the database; that is no harm, and
 * the next change mends it. Both root's programs and felhomd write it; no guest can reach it.
 */
#ifndef FELHOM_TOKEN_RECORD_H
#define FELHOM_TOKEN_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/token.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/vmid.h"

struct store;

/* The version of the schema that has the columns for this. */
#define TOKEN_RECORD_SCHEMA 6

/* From now on this process reads and writes the records in RUN_DIR/tokens. To be called before the
 * store is opened, and before there are threads. NULL, as at the beginning: there are none, and
 * every token is good that the database says is good. */
void token_record_use(const char *run_dir);

/* Returns RUN_DIR/tokens, the directory of the records. The caller frees it. */
char *token_record_directory(const char *run_dir);

struct token_record_item {
    char id[TOKEN_ID_LENGTH + 1];
    int64_t end_ms; /* since the host's boot (clock_boot_ms); 0: never */
};

struct token_record {
    bool exists;     /* false: nothing has been recorded in this boot, or it is lost */
    int64_t changes; /* how often the guest's tokens have changed */
    struct token_record_item *items;
    size_t count;
};

/* Reads a guest's record. A damaged file counts as none. Free *ret with token_record_free. */
int token_record_read(uint32_t vmid, struct token_record *ret, struct error *error);
void token_record_free(struct token_record *record);
#define cleanup_token_record cleanup(token_record_free)

/* Returns true if records are kept (token_record_use). */
bool token_record_is_kept(void);

/* Returns true if the record lists the token. */
bool token_record_lists(const struct token_record *record, const char *id);

/* Returns in how many milliseconds the token comes to its end by the record; INT64_MAX if never, or
 * if the record does not list it. */
int64_t token_record_left_ms(const struct token_record *record, const char *id);

/* Returns true if the record lists the token and it has come to its end. */
bool token_record_is_over(const struct token_record *record, const char *id);

/* Returns the id of this boot of the host, borrowed from the store; NULL on failure. */
const char *token_record_boot(struct store *store, struct error *error);

/*
 * Has the next commit write the guest's record. changes: the guest's count of changes, this one
 * included. before: the record as it is now. fresh: the id of the token that this transaction
 * mints, or NULL. The record will list that one and those that it has listed and that the database
 * says are not revoked, even if they have expired: by a clock that is set back they might not have.
 * Any other that is not revoked, because a process was killed before it gave it out or because the
 * database is behind, is revoked. *ret_good (may be NULL) is the number of tokens that have not
 * ended at now_ms, those of earlier boots included.
 */
int token_record_queue(struct store *store, uint32_t vmid, int64_t changes,
                       const struct token_record *before, const char *fresh, int64_t now_ms,
                       int *ret_good, struct error *error);

/* For the migration to TOKEN_RECORD_SCHEMA: tokens that were minted in this boot are good in it,
 * and every guest gets its first record. */
int token_record_adopt(struct store *store, struct error *error);

/* For store_commit: what comes before, and what after the commit. If the record cannot be written,
 * the transaction fails before it is committed, unless it leaves the guest without a good token:
 * then the record is removed. */
int token_record_prepare(struct store *store, struct error *error);
int token_record_write(struct store *store, struct error *error);

/* Waits, within an open transaction, until the records of all commits before are written; they stay
 * as they are until the transaction ends. The waits of a transaction, this one and that for the
 * database, take as long as store_open was told at most; ERROR_BUSY. Besides root felhomd's user
 * can hold that lock. */
int token_record_settle(struct store *store, struct error *error);

/* Drops what is queued: the transaction was rolled back. */
void token_record_drop(struct store *store);

/* Adds the guests that have a record. */
void token_record_list(struct vmids *vmids);

/* Asks for new tokens for the guests that have lost theirs: makes RUN/tokens/renew, for which
 * felhom-token-age.path starts `felhomctl rotate --due`. */
void token_record_ask_renewal(void);
/* Takes the request back, before it is fulfilled. */
void token_record_take_renewal(void);

#endif
