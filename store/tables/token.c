/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/token.h"

#include <errno.h>
#include <mbedtls/constant_time.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "store/db/sql.h"
#include "store/db/token_record.h"
#include "store/tables/event.h"

int64_t token_life_end(int64_t now_ms, uint64_t max_age_ms)
{
    return max_age_ms ? now_ms + (int64_t)max_age_ms : 0;
}

#define SELECT_LIFE \
    "SELECT id, generation, created_at_ms, expires_at_ms, ifnull(revoked_at_ms, 0)," \
    " ifnull(revoked_reason, ''), boot_id = ?2 FROM token"

static struct token_life token_life_from_row(const struct sql_query *query)
{
    struct token_life life = {
        .generation = sql_column_int(query, 1),
        .created_at_ms = sql_column_int(query, 2),
        .expires_at_ms = sql_column_int(query, 3),
        .revoked_at_ms = sql_column_int(query, 4),
        .other_boot = !sql_column_int(query, 6),
    };
    sql_column_copy(query, 0, life.id, sizeof life.id);
    sql_column_copy(query, 5, life.revoked_reason, sizeof life.revoked_reason);
    return life;
}

static int token_life_first(struct store *store, const char *sql, struct sql_values values,
                            struct token_life *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, sql, values, &query, error);
    if (row < 0)
        return -1;
    *ret = row > 0 ? token_life_from_row(&query) : (struct token_life){0};
    return 0;
}

int token_newest(struct store *store, uint32_t vmid, struct token_life *ret, struct error *error)
{
    const char *boot = token_record_boot(store, error);
    if (!boot)
        return -1;
    return token_life_first(store, SELECT_LIFE " WHERE vmid = ?1 ORDER BY generation DESC LIMIT 1",
                            sql_values(sql_int(vmid), sql_text(boot)), ret, error);
}

int token_find(struct store *store, const char *id, struct token_life *ret, struct error *error)
{
    const char *boot = token_record_boot(store, error);
    if (!boot)
        return -1;
    return token_life_first(store, SELECT_LIFE " WHERE id = ?1",
                            sql_values(sql_text(id), sql_text(boot)), ret, error);
}

int token_each(struct store *store, uint32_t vmid,
               int (*visit)(const struct token_life *token, void *context), void *context,
               struct error *error)
{
    const char *boot = token_record_boot(store, error);
    if (!boot)
        return -1;
    return sql_visit(store, SELECT_LIFE " WHERE vmid = ?1 ORDER BY generation DESC",
                     sql_values(sql_int(vmid), sql_text(boot)), struct token_life,
                     token_life_from_row, visit, context, error);
}

/* Counts a change of the guest's tokens, for the store and for the record, within the open
 * transaction. An unknown guest has no tokens. */
static int token_note_change(struct store *store, uint32_t vmid, int64_t now_ms,
                             struct error *error)
{
    int64_t changes = 0;
    cleanup_token_record struct token_record record = {0};
    if (token_record_read(vmid, &record, error) < 0 ||
        sql_number(store,
                   "UPDATE guest SET token_changes = max(token_changes, ?2) + 1 WHERE vmid = ?1"
                   " RETURNING token_changes",
                   sql_values(sql_int(vmid), sql_int(record.changes)), &changes, error) < 0)
        return -1;
    return changes == 0
               ? 0
               : token_record_queue(store, vmid, changes, &record, NULL, now_ms, NULL, error);
}

int token_end_before(struct store *store, uint32_t vmid, int64_t before, int64_t end_ms,
                     int64_t now_ms, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        sql_run(store,
                "UPDATE token SET expires_at_ms = ?3"
                " WHERE vmid = ?1 AND generation < ?2 AND revoked_at_ms IS NULL"
                " AND (expires_at_ms = 0 OR expires_at_ms > ?3)",
                sql_values(sql_int(vmid), sql_int(before), sql_int(end_ms)), error) < 0)
        return -1;
    if (sql_changes(store) && token_note_change(store, vmid, now_ms, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

/* An id is taken with a chance of 1 in 2^47; this many in a row mean broken random numbers. */
#define MINT_TRIES 8
/* How many generations of ended tokens are kept, so that a token presented late is recognised as
 * revoked or expired. */
#define GENERATIONS_KEPT 100
#define FORGET_EVERY     16 /* generations, as pre-start's time counts */

struct token_random {
    uint8_t id[8];
    uint8_t secret[TOKEN_SECRET_BYTES];
};

static void token_random_wipe(struct token_random *random)
{
    explicit_bzero(random, sizeof *random);
}

static int token_random_fill(struct token_random *ret, struct error *error)
{
    if (getentropy(ret, sizeof *ret) < 0)
        return fail_errno(error, errno, "no random numbers for a token");
    return 0;
}

/* Counts the mint among the changes of the guest's tokens; *ret_changes is the new number of
 * them. */
static int token_next_generation(struct store *store, uint32_t vmid, int64_t *ret,
                                 int64_t *ret_changes, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store,
                        "UPDATE guest SET generation = generation + 1,"
                        " token_changes = token_changes + 1 WHERE vmid = ?1"
                        " RETURNING generation, token_changes",
                        sql_values(sql_int(vmid)), &query, error);
    if (row < 0)
        return -1;
    if (row == 0)
        return fail(error, ERROR_MISSING, "the store knows no guest %u to mint a token for", vmid);
    *ret = sql_column_int(&query, 0);
    *ret_changes = sql_column_int(&query, 1);
    return 0;
}

/* The store knows of fewer changes than the record: it has gone back, unless the guest is new to
 * it. */
static int token_catch_up(struct store *store, uint32_t vmid, int64_t generation,
                          const struct token_record *record, int64_t now_ms, int64_t *changes,
                          struct error *error)
{
    *changes = record->changes + 1;
    if (sql_run(store, "UPDATE guest SET token_changes = ?2 WHERE vmid = ?1",
                sql_values(sql_int(vmid), sql_int(*changes)), error) < 0)
        return -1;
    return generation == 1
               ? 0
               : event_note(store, now_ms, vmid, "store", "error",
                            "the store had gone back to an earlier state of this guest", error);
}

int token_prepare(struct token *ret, struct error *error)
{
    cleanup(token_random_wipe) struct token_random random = {0};
    if (token_random_fill(&random, error) < 0)
        return -1;
    token_text_make(random.id, random.secret, &ret->text);
    ret->generation = 0;
    return 0;
}

static int token_insert(struct store *store, uint32_t vmid, int64_t now_ms, int64_t expires_at_ms,
                        const struct token *token, struct error *error)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    const char *boot = token_record_boot(store, error);
    token_text_hash(&token->text, hash);
    if (!boot ||
        sql_run(store,
                "INSERT INTO token (id, vmid, generation, hash, created_at_ms, expires_at_ms,"
                " boot_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
                sql_values(sql_text(token->text.id), sql_int(vmid), sql_int(token->generation),
                           sql_bytes(hash, sizeof hash), sql_int(now_ms), sql_int(expires_at_ms),
                           sql_text(boot)),
                error) < 0)
        return -1;
    if (sql_changes(store) == 0)
        return fail(error, ERROR_CONFLICT, "the token id %s is taken", token->text.id);
    return 0;
}

static int token_forget_old(struct store *store, uint32_t vmid, int64_t generation, int64_t now_ms,
                            struct error *error)
{
    if (generation % FORGET_EVERY != 0)
        return 0;
    return sql_run(
        store,
        "DELETE FROM token WHERE vmid = ?1 AND generation < ?2 AND"
        " (revoked_at_ms IS NOT NULL OR (expires_at_ms != 0 AND expires_at_ms <= ?3))",
        sql_values(sql_int(vmid), sql_int(generation - GENERATIONS_KEPT), sql_int(now_ms)), error);
}

/* Has the commit put the token on record, and counts the older ones that have not ended. */
static int token_put_on_record(struct store *store, uint32_t vmid, int64_t now_ms,
                               int64_t expires_at_ms, int64_t changes, struct token *token,
                               struct error *error)
{
    int good;
    cleanup_token_record struct token_record record = {0};
    if (token_record_read(vmid, &record, error) < 0)
        return -1;
    if (changes <= record.changes &&
        token_catch_up(store, vmid, token->generation, &record, now_ms, &changes, error) < 0)
        return -1;
    if (token_record_queue(store, vmid, changes, &record, token->text.id, now_ms, &good, error) < 0)
        return -1;
    token->older = good - (expires_at_ms == 0 || expires_at_ms > now_ms);
    return 0;
}

int token_mint_prepared(struct store *store, uint32_t vmid, int64_t now_ms, int64_t expires_at_ms,
                        struct token *token, struct error *error)
{
    int64_t changes = 0;
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        token_next_generation(store, vmid, &token->generation, &changes, error) < 0 ||
        token_insert(store, vmid, now_ms, expires_at_ms, token, error) < 0 ||
        token_forget_old(store, vmid, token->generation, now_ms, error) < 0 ||
        token_put_on_record(store, vmid, now_ms, expires_at_ms, changes, token, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

static void token_wipe(struct token *token)
{
    token_text_wipe(&token->text);
}

int token_mint(struct store *store, uint32_t vmid, int64_t now_ms, int64_t expires_at_ms,
               struct token *ret, struct error *error)
{
    cleanup(token_wipe) struct token token = {0};
    for (int i = 0; i < MINT_TRIES; i++) {
        if (token_prepare(&token, error) < 0)
            return -1;
        if (token_mint_prepared(store, vmid, now_ms, expires_at_ms, &token, error) == 0) {
            *ret = token;
            return 0;
        }
        if (error->kind != ERROR_CONFLICT)
            return -1;
    }
    return fail(error, ERROR_SYSTEM, "no free token id in %d tries: the random numbers repeat",
                MINT_TRIES);
}

static int token_revoke_rows(struct store *store, uint32_t vmid, int64_t before, int64_t now_ms,
                             const char *reason, int *ret_good, int *ret_all, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row =
        sql_first(store,
                  "UPDATE token SET revoked_at_ms = ?3, revoked_reason = ?4"
                  " WHERE vmid = ?1 AND generation < ?2 AND revoked_at_ms IS NULL"
                  " RETURNING expires_at_ms = 0 OR expires_at_ms > ?3",
                  sql_values(sql_int(vmid), sql_int(before), sql_int(now_ms), sql_text(reason)),
                  &query, error);
    for (*ret_good = *ret_all = 0; row > 0; row = sql_step(&query, error)) {
        *ret_good += (int)sql_column_int(&query, 0);
        ++*ret_all;
    }
    return row;
}

int token_revoke_before(struct store *store, uint32_t vmid, int64_t before, int64_t now_ms,
                        const char *reason, int *ret_count, struct error *error)
{
    int good;
    int all;
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        token_revoke_rows(store, vmid, before, now_ms, reason, &good, &all, error) < 0)
        return -1;
    if (all > 0 && token_note_change(store, vmid, now_ms, error) < 0)
        return -1;
    if (transaction_commit(&transaction, error) < 0)
        return -1;
    if (ret_count)
        *ret_count = good;
    return 0;
}

int token_count_before(struct store *store, uint32_t vmid, int64_t before, int64_t now_ms,
                       int *ret_count, struct error *error)
{
    int64_t count = 0;
    if (sql_number(store,
                   "SELECT count(*) FROM token WHERE vmid = ?1 AND generation < ?2"
                   " AND revoked_at_ms IS NULL AND (expires_at_ms = 0 OR expires_at_ms > ?3)",
                   sql_values(sql_int(vmid), sql_int(before), sql_int(now_ms)), &count, error) < 0)
        return -1;
    *ret_count = (int)count;
    return 0;
}

const char *token_verdict_name(enum token_verdict verdict)
{
    static const char *const names[] = {
        [TOKEN_GOOD] = "good",       [TOKEN_MALFORMED] = "malformed",
        [TOKEN_UNKNOWN] = "unknown", [TOKEN_REVOKED] = "revoked",
        [TOKEN_EXPIRED] = "expired", [TOKEN_BEHIND] = "not on record",
    };
    return names[verdict];
}

/* A token as it is stored. All zero if the store does not have the id; no token has a hash of
 * zeros. */
struct kept {
    uint32_t vmid;
    int64_t generation;
    uint8_t hash[TOKEN_HASH_BYTES];
    int64_t expires_at_ms;
    bool revoked;
    bool other_boot;
    int64_t changes; /* of the guest's tokens */
};

static struct kept kept_token_from_row(const struct sql_query *query)
{
    size_t length = 0;
    const void *hash = sql_column_bytes(query, 2, &length);
    struct kept kept = {
        .vmid = (uint32_t)sql_column_int(query, 0),
        .generation = sql_column_int(query, 1),
        .expires_at_ms = sql_column_int(query, 3),
        .revoked = !sql_column_is_null(query, 4),
        .other_boot = !sql_column_int(query, 6),
        .changes = sql_column_int(query, 7),
    };
    if (length == sizeof kept.hash)
        memcpy(kept.hash, hash, length);
    return kept;
}

/* Reads one row in any case, so that a known and an unknown id take the same time: without a row of
 * this id, the row of the next id, or the last. */
static int kept_token_find(struct store *store, const char *id, struct kept *ret,
                           struct error *error)
{
    const char *boot = token_record_boot(store, error);
    cleanup_query struct sql_query query = {0};
    *ret = (struct kept){0};
    if (!boot)
        return -1;
    int row = sql_first(store,
                        "SELECT vmid, generation, hash, expires_at_ms, revoked_at_ms, id = ?1,"
                        " boot_id = ?2,"
                        " (SELECT token_changes FROM guest WHERE guest.vmid = token.vmid)"
                        " FROM token WHERE id >= min(?1, (SELECT max(id) FROM token))"
                        " ORDER BY id LIMIT 1",
                        sql_values(sql_text(id), sql_text(boot)), &query, error);
    if (row <= 0)
        return row;
    const struct kept found = kept_token_from_row(&query);
    if (sql_column_int(&query, 5))
        *ret = found;
    return 0;
}

/* No guest outlives the host's boot, so no token does. */
static enum token_verdict token_verdict_at(bool is_revoked, bool other_boot, int64_t expires_at_ms,
                                           int64_t now_ms)
{
    if (is_revoked)
        return TOKEN_REVOKED;
    return other_boot || (expires_at_ms && now_ms >= expires_at_ms) ? TOKEN_EXPIRED : TOKEN_GOOD;
}

enum token_verdict token_life_verdict(const struct token_life *life, int64_t now_ms)
{
    return token_verdict_at(life->revoked_at_ms != 0, life->other_boot, life->expires_at_ms,
                            now_ms);
}

static enum token_verdict token_verdict_of(bool well_formed, bool same_hash,
                                           const struct kept *kept, int64_t now_ms)
{
    if (!well_formed)
        return TOKEN_MALFORMED;
    return same_hash
               ? token_verdict_at(kept->revoked, kept->other_boot, kept->expires_at_ms, now_ms)
               : TOKEN_UNKNOWN;
}

/* A token that the database says is good has to be on record as well. */
static int token_confirm(const struct kept *kept, const char *id, enum token_verdict *verdict,
                         struct error *error)
{
    cleanup_token_record struct token_record record = {0};
    if (*verdict != TOKEN_GOOD || !token_record_is_kept())
        return 0;
    if (token_record_read(kept->vmid, &record, error) < 0)
        return -1;
    if (record.changes > kept->changes || !token_record_lists(&record, id))
        *verdict = TOKEN_BEHIND;
    else if (token_record_is_over(&record, id))
        *verdict = TOKEN_EXPIRED;
    return 0;
}

/* Used in place of a malformed token. No id contains '-', so this one is never found. */
static const struct token_text nobodys_token = {
    "--------", "fh1_--------_-------------------------------------------_------"};

int token_check(struct store *store, const char *text, size_t length, int64_t now_ms,
                struct token_check *ret, struct error *error)
{
    cleanup_token_text struct token_text presented = nobodys_token;
    uint8_t hash[TOKEN_HASH_BYTES];
    struct kept kept;
    bool well_formed = token_text_parse(text, length, &presented);
    token_text_hash(&presented, hash);
    if (kept_token_find(store, presented.id, &kept, error) < 0)
        return -1;
    bool same_hash = mbedtls_ct_memcmp(hash, kept.hash, sizeof hash) == 0;
    *ret = (struct token_check){
        .verdict = token_verdict_of(well_formed, same_hash, &kept, now_ms),
        .vmid = kept.vmid,
        .generation = kept.generation,
    };
    if (well_formed)
        memcpy(ret->id, presented.id, sizeof ret->id);
    return token_confirm(&kept, presented.id, &ret->verdict, error);
}

int token_recheck(struct store *store, const char *id, int64_t now_ms, enum token_verdict *ret,
                  struct error *error)
{
    struct kept kept;
    if (kept_token_find(store, id, &kept, error) < 0)
        return -1;
    *ret = token_verdict_of(true, kept.vmid != 0, &kept, now_ms);
    return token_confirm(&kept, id, ret, error);
}

/* --- a store that has gone back --- */

struct audited {
    uint32_t vmid;
    int64_t generation;
    int64_t changes;
};

static struct audited audited_from_row(const struct sql_query *query)
{
    return (struct audited){(uint32_t)sql_column_int(query, 0), sql_column_int(query, 1),
                            sql_column_int(query, 2)};
}

/* What an audit works with. */
struct audit {
    struct store *store;
    int64_t now_ms;
    const char *boot;
    struct token_audit *found;
    struct error *error;
};

/* Returns 1 if the store has a good token of this boot that the record does not list, or lacks one
 * that it lists; 0 if not. */
static int audit_compare_lists(const struct audit *audit, uint32_t vmid,
                               const struct token_record *record)
{
    int64_t known = 0;
    cleanup_query struct sql_query query = {0};
    int row = sql_first(audit->store,
                        "SELECT id FROM token WHERE vmid = ?1 AND revoked_at_ms IS NULL"
                        " AND (expires_at_ms = 0 OR expires_at_ms > ?2) AND boot_id = ?3",
                        sql_values(sql_int(vmid), sql_int(audit->now_ms), sql_text(audit->boot)),
                        &query, audit->error);
    for (; row > 0; row = sql_step(&query, audit->error))
        if (!token_record_lists(record, sql_column_text(&query, 0)))
            return 1;
    for (size_t i = 0; row == 0 && i < record->count; i++) {
        if (sql_number(audit->store, "SELECT count(*) FROM token WHERE id = ?1 AND vmid = ?2",
                       sql_values(sql_text(record->items[i].id), sql_int(vmid)), &known,
                       audit->error) < 0)
            return -1;
        if (known == 0)
            return 1;
    }
    return row;
}

/* Returns 1 if the store is behind in what concerns this guest. The record may lag by a change
 * whose process was killed. */
static int audit_judge(const struct audit *audit, const struct audited *guest,
                       const struct token_record *record)
{
    if (record->changes > guest->changes)
        return 1;
    return record->exists && record->changes < guest->changes
               ? 0
               : audit_compare_lists(audit, guest->vmid, record);
}

/* A guest that is new to the store has no token that could have ended. */
static int audit_guest(const struct audited *guest, void *context)
{
    const struct audit *audit = context;
    cleanup_token_record struct token_record record = {0};
    if (guest->generation == 0)
        return 0;
    if (token_record_read(guest->vmid, &record, audit->error) < 0)
        return -1;
    int behind = audit_judge(audit, guest, &record);
    if (behind > 0 && audit->found->count++ == 0)
        audit->found->vmid = guest->vmid;
    return behind < 0 ? -1 : 0;
}

bool token_ended_on_purpose(const char *revoked_reason)
{
    return strcmp(revoked_reason, TOKEN_REVOKED_BY_OPERATOR) == 0 ||
           strcmp(revoked_reason, TOKEN_REVOKED_BEFORE) == 0;
}

int token_audit_look(struct store *store, int64_t now_ms, struct token_audit *ret,
                     struct error *error)
{
    *ret = (struct token_audit){0};
    struct audit audit = {store, now_ms, token_record_boot(store, error), ret, error};
    if (!audit.boot)
        return -1;
    if (!token_record_is_kept())
        return 0;
    return sql_visit(store, "SELECT vmid, generation, token_changes FROM guest", SQL_NO_VALUES,
                     struct audited, audited_from_row, audit_guest, &audit, error);
}

/* The record of a guest whose tokens had ended says so: it keeps none, until it starts again or the
 * operator says so. */
static int audit_end_guest(const struct audited *guest, void *context)
{
    const struct audit *audit = context;
    int good;
    int all;
    cleanup_token_record struct token_record record = {0};
    if (token_record_read(guest->vmid, &record, audit->error) < 0)
        return -1;
    const char *reason =
        record.exists && record.count == 0 ? TOKEN_REVOKED_BEFORE : TOKEN_REVOKED_BEHIND;
    if (token_revoke_rows(audit->store, guest->vmid, INT64_MAX, audit->now_ms, reason, &good, &all,
                          audit->error) < 0)
        return -1;
    audit->found->ended += good;
    return token_note_change(audit->store, guest->vmid, audit->now_ms, audit->error);
}

static int audit_note(const struct audit *audit)
{
    char detail[256];
    (void)snprintf(detail, sizeof detail,
                   "the store has gone back to an earlier state: it does not agree with what this "
                   "boot has seen of guest %u%s; %d tokens are ended, and running guests get new "
                   "ones",
                   audit->found->vmid, audit->found->count > 1 ? " and others" : "",
                   audit->found->ended);
    return event_note(audit->store, audit->now_ms, 0, "store", "error", detail, audit->error);
}

int token_audit(struct store *store, int64_t now_ms, struct token_audit *ret, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (token_audit_look(store, now_ms, ret, error) < 0)
        return -1;
    if (ret->count == 0)
        return 0;
    /* Again, while nobody changes anything. */
    if (transaction_begin(store, &transaction, error) < 0 ||
        token_record_settle(store, error) < 0 || token_audit_look(store, now_ms, ret, error) < 0)
        return -1;
    if (ret->count == 0)
        return 0;
    const struct audit audit = {store, now_ms, token_record_boot(store, error), ret, error};
    if (sql_visit(store, "SELECT vmid, generation, token_changes FROM guest", SQL_NO_VALUES,
                  struct audited, audited_from_row, audit_end_guest, (void *)&audit, error) < 0 ||
        audit_note(&audit) < 0 || transaction_commit(&transaction, error) < 0)
        return -1;
    token_record_ask_renewal();
    return 0;
}

static uint32_t vmid_from_row(const struct sql_query *query)
{
    return (uint32_t)sql_column_int(query, 0);
}

static int vmid_visit(const uint32_t *vmid, void *vmids)
{
    vmids_add(vmids, *vmid);
    return 0;
}

/* The records of guests whose tokens the store has are the other audit's, and not read here. */
static int audit_list_lost(struct store *store, struct token_audit *ret, struct error *error)
{
    cleanup(vmids_free) struct vmids recorded = {0};
    cleanup(vmids_free) struct vmids known = {0};
    *ret = (struct token_audit){0};
    token_record_list(&recorded);
    if (sql_visit(store, "SELECT DISTINCT vmid FROM token ORDER BY vmid", SQL_NO_VALUES, uint32_t,
                  vmid_from_row, vmid_visit, &known, error) < 0)
        return -1;
    for (size_t i = 0; i < recorded.count; i++) {
        const uint32_t vmid = recorded.items[i];
        cleanup_token_record struct token_record record = {0};
        if (vmids_has(&known, vmid))
            continue;
        if (token_record_read(vmid, &record, error) < 0)
            return -1;
        if (record.count > 0 && (ret->count++ == 0 || vmid < ret->vmid))
            ret->vmid = vmid;
    }
    return 0;
}

/* In the caller's transaction. *ret becomes false if there is such an event already. */
static int audit_note_lost(struct store *store, const struct token_audit *found, int64_t now_ms,
                           bool *ret, struct error *error)
{
    char detail[256];
    int64_t told = 0;
    (void)snprintf(detail, sizeof detail,
                   "the store knows nothing of the tokens of guest %u%s: it was lost; running "
                   "guests get new ones",
                   found->vmid, found->count > 1 ? " and others" : "");
    if (sql_number(store, "SELECT count(*) FROM event WHERE kind = 'store' AND detail = ?1",
                   sql_values(sql_text(detail)), &told, error) < 0)
        return -1;
    *ret = told == 0;
    return *ret ? event_note(store, now_ms, 0, "store", "error", detail, error) : 0;
}

int token_audit_lost(struct store *store, int64_t now_ms, struct token_audit *ret,
                     struct error *error)
{
    bool noted;
    cleanup_transaction struct transaction transaction = {0};
    if (audit_list_lost(store, ret, error) < 0)
        return -1;
    if (ret->count == 0)
        return 0;
    /* Again, while nobody changes anything. */
    if (transaction_begin(store, &transaction, error) < 0 ||
        token_record_settle(store, error) < 0 || audit_list_lost(store, ret, error) < 0)
        return -1;
    if (ret->count == 0)
        return 0;
    if (audit_note_lost(store, ret, now_ms, &noted, error) < 0)
        return -1;
    if (!noted) {
        ret->count = 0;
        return 0;
    }
    if (transaction_commit(&transaction, error) < 0)
        return -1;
    token_record_ask_renewal();
    return 0;
}
