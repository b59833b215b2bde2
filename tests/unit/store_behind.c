/* SPDX-License-Identifier: Apache-2.0 */
/* A store that goes back to an earlier state, or is damaged: no token that had ended is good. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/file.h>

#include "store/base/clock.h"
#include "store/db/token_record.h"
#include "store/tables/event.h"
#include "store/tables/token.h"
#include "tests/unit/store_fixture.h"

/* AddressSanitizer makes each round take as long as six. */
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 80
#else
#define ROUNDS 500
#endif

static int setup(void **state)
{
    if (state_make(state))
        return -1;
    token_record_use(in_scratch("run"));
    return 0;
}

static struct store *open_store(void)
{
    struct store *store = NULL;
    OK(store_open(in_scratch("state"), STORE_OPEN_EXISTING, BUSY_MS, &store, &error));
    return store;
}

static struct token_text mint(struct store *store, uint32_t vmid)
{
    struct token token;
    int64_t now_ms = clock_wall_ms();
    OK(token_mint(store, vmid, now_ms, 0, &token, &error));
    return token.text;
}

static void end_tokens(struct store *store, uint32_t vmid)
{
    OK(token_revoke_before(store, vmid, INT64_MAX, clock_wall_ms(), "the guest stopped", NULL,
                           &error));
}

/* Returns -1 if the store cannot be read. */
static int verdict_of(struct store *store, const struct token_text *token)
{
    struct token_check check;
    if (token_check(store, token->text, strlen(token->text), clock_wall_ms(), &check, &error) < 0)
        return -1;
    return (int)check.verdict;
}

static void assert_verdict(struct store *store, const struct token_text *token,
                           enum token_verdict expected)
{
    assert_int_equal(verdict_of(store, token), expected);
}

static struct token_audit audit(struct store *store)
{
    struct token_audit found;
    OK(token_audit(store, clock_wall_ms(), &found, &error));
    return found;
}

static int count_events(void)
{
    char count[256];
    output_of("sqlite3 state/db/agent.db \"SELECT count(*) FROM event WHERE kind = 'store'\"",
              count);
    return atoi(count);
}

static void keep(void)
{
    shell("rm -rf kept && mkdir kept && cp -a state/db run/tokens kept/");
}

static void put_back(const char *what)
{
    shell("rm -rf state/db && cp -a kept/db state/ && %s", what);
}

/* Two guests: of the first, a token ends after the copy was made. */
struct pair {
    struct token_text ended;
    struct token_text good;
};

static struct pair grow_old(const char *before_copy)
{
    struct pair pair;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    put_guest(store, 8300);
    pair.ended = mint(store, 8200);
    pair.good = mint(store, 8300);
    shell("%s", before_copy);
    keep();
    end_tokens(store, 8200);
    assert_verdict(store, &pair.ended, TOKEN_REVOKED);
    return pair;
}

static void test_an_older_copy(void **state)
{
    (void)state;
    struct pair pair = grow_old("true");
    put_back("true");
    cleanup_store struct store *store = open_store();
    assert_verdict(store, &pair.ended, TOKEN_BEHIND);
    assert_verdict(store, &pair.good, TOKEN_GOOD);
    struct token_audit found = audit(store);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.vmid, 8200);
    assert_int_equal(found.ended, 2);
    assert_verdict(store, &pair.ended, TOKEN_REVOKED);
    assert_verdict(store, &pair.good, TOKEN_REVOKED);
    assert_int_equal(count_events(), 1);
    assert_true(is_there("run/tokens/renew"));
    assert_int_equal(audit(store).count, 0);
    struct token_text new = mint(store, 8300);
    assert_verdict(store, &new, TOKEN_GOOD);
    assert_verdict(store, &pair.good, TOKEN_REVOKED);
}

/* What had ended before the copy was put back may have been the operator's wish: that is kept, and
 * the operator is not said to have revoked what may have ended with a stop. */
static void test_who_gets_a_new_token(void **state)
{
    (void)state;
    struct token_life life;
    (void)grow_old("true");
    put_back("true");
    cleanup_store struct store *store = open_store();
    (void)audit(store);
    OK(token_newest(store, 8200, &life, &error));
    assert_string_equal(life.revoked_reason, TOKEN_REVOKED_BEFORE);
    assert_true(token_ended_on_purpose(life.revoked_reason));
    OK(token_newest(store, 8300, &life, &error));
    assert_string_equal(life.revoked_reason, TOKEN_REVOKED_BEHIND);
    assert_false(token_ended_on_purpose(life.revoked_reason));
}

static void test_a_copy_without_its_log(void **state)
{
    (void)state;
    struct pair pair =
        grow_old("sqlite3 state/db/agent.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null");
    shell("rm state/db/agent.db-wal state/db/agent.db-shm");
    cleanup_store struct store *store = open_store();
    assert_verdict(store, &pair.ended, TOKEN_BEHIND);
    assert_int_equal(audit(store).count, 1);
    assert_verdict(store, &pair.ended, TOKEN_REVOKED);
}

/* Without an audit, a mint of the guest's own notices and brings nothing back. */
static void test_a_mint_in_an_older_copy(void **state)
{
    (void)state;
    struct pair pair = grow_old("true");
    put_back("true");
    cleanup_store struct store *store = open_store();
    struct token_text new = mint(store, 8200);
    assert_verdict(store, &new, TOKEN_GOOD);
    assert_verdict(store, &pair.ended, TOKEN_REVOKED);
    assert_verdict(store, &pair.good, TOKEN_GOOD);
    assert_int_equal(count_events(), 1);
    assert_int_equal(audit(store).count, 0);
}

static void test_a_lost_record(void **state)
{
    (void)state;
    struct pair pair = grow_old("true");
    shell("rm run/tokens/8300");
    cleanup_store struct store *store = open_store();
    assert_verdict(store, &pair.good, TOKEN_BEHIND);
    assert_int_equal(audit(store).vmid, 8300);
    assert_verdict(store, &pair.good, TOKEN_REVOKED);
    shell("rm -r run/tokens");
    assert_int_equal(audit(store).count, 0); /* nothing is good that could be wrong */
    struct token_text new = mint(store, 8300);
    assert_verdict(store, &new, TOKEN_GOOD);
    assert_int_equal(audit(store).count, 0);
}

/* Record and guests are gone, and the host has another boot id. */
static void test_a_loss_of_power(void **state)
{
    (void)state;
    struct pair pair = grow_old("true");
    run_raw("UPDATE token SET boot_id = 'an earlier one'");
    shell("rm -r run");
    cleanup_store struct store *store = open_store();
    assert_verdict(store, &pair.good, TOKEN_EXPIRED);
    assert_verdict(store, &pair.ended, TOKEN_REVOKED);
    assert_int_equal(audit(store).count, 0);
    assert_int_equal(count_events(), 0);
    struct token_text new = mint(store, 8300);
    assert_verdict(store, &new, TOKEN_GOOD);
    assert_verdict(store, &pair.good, TOKEN_EXPIRED);
    assert_int_equal(audit(store).count, 0);
}

/* A process is killed between the commit and the record. */
static void test_a_record_that_lags(void **state)
{
    (void)state;
    struct pair pair = grow_old("true");
    shell("cp -a run/tokens lagging");
    cleanup_store struct store *store = open_store();
    struct token_text lost = mint(store, 8300);
    shell("rm -r run/tokens && cp -a lagging run/tokens");
    assert_verdict(store, &pair.good, TOKEN_GOOD);
    assert_int_equal(audit(store).count, 0);
    struct token_text new = mint(store, 8300);
    assert_verdict(store, &new, TOKEN_GOOD);
    assert_verdict(store, &pair.good, TOKEN_GOOD);
    assert_verdict(store, &lost, TOKEN_REVOKED); /* it was never given out */
    assert_int_equal(audit(store).count, 0);
}

static void test_the_first_record_is_made_before_the_commit(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    run_raw("CREATE TRIGGER refuse BEFORE INSERT ON token BEGIN SELECT RAISE(ABORT, 'no'); END");

    struct token token;
    assert_int_equal(token_mint(store, 8200, 1, 0, &token, &error), -1);
    run_raw("DROP TRIGGER refuse");
    assert_int_equal(audit(store).count, 0);
    shell("mkdir -p run && rm -rf run/tokens && touch run/tokens");
    assert_int_equal(token_mint(store, 8200, clock_wall_ms(), 0, &token, &error), -1);
    assert_non_null(strstr(error.message, "run/tokens"));
    shell("rm run/tokens");
    (void)mint(store, 8200);
    assert_int_equal(audit(store).count, 0);
}

/* A guest that is new to the store while the host remembers one with its VMID. */
static void test_a_new_store(void **state)
{
    (void)state;
    struct pair pair = grow_old("true");
    shell("rm -r state/db");
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    put_guest(store, 8300);
    assert_int_equal(audit(store).count, 0);
    struct token_text new = mint(store, 8300);
    assert_verdict(store, &new, TOKEN_GOOD);
    assert_verdict(store, &pair.good, TOKEN_UNKNOWN);
    assert_int_equal(count_events(), 0);
    assert_int_equal(audit(store).count, 0);
}

static void forget_migration(void)
{
    run_raw("ALTER TABLE token DROP COLUMN boot_id; ALTER TABLE guest DROP COLUMN token_changes;"
            " PRAGMA user_version = 5");
}

/* Tokens of this boot are adopted, once. */
static void test_the_migration(void **state)
{
    (void)state;
    struct pair pair = grow_old("true");
    {
        cleanup_store struct store *store = open_store();
        run_raw("UPDATE token SET created_at_ms = 1000 WHERE vmid = 8200");
        (void)mint(store, 8200);
    }
    forget_migration();
    shell("rm -r run");
    shell("cp -a state/db old");
    {
        cleanup_store struct store *store = open_store();
        assert_verdict(store, &pair.good, TOKEN_GOOD);
        assert_int_equal(audit(store).count, 0);
        end_tokens(store, 8300);
    }
    shell("rm -r state/db && cp -a old state/db");
    cleanup_store struct store *store = open_store();
    assert_verdict(store, &pair.good, TOKEN_BEHIND);
    assert_int_equal(audit(store).count, 1);
    assert_verdict(store, &pair.good, TOKEN_REVOKED);
}

/* --- flipped bits --- */

#define GUESTS 12

static struct token_text ended[2 * GUESTS];
static struct token_text good[GUESTS];

/* Each guest has an ended token in the database, one whose end is in the log alone, and a good
 * one. */
static void fill(void)
{
    cleanup_store struct store *store = store_of_scratch();
    for (uint32_t i = 0; i < GUESTS; i++) {
        put_guest(store, 8200 + i);
        ended[i] = mint(store, 8200 + i);
        end_tokens(store, 8200 + i);
        ended[GUESTS + i] = mint(store, 8200 + i);
    }
    store_checkpoint(store);
    for (uint32_t i = 0; i < GUESTS; i++) {
        end_tokens(store, 8200 + i);
        good[i] = mint(store, 8200 + i);
    }
    keep();
}

/* In a child: closing a file of the database releases the locks of this process on it. */
static void flip_bit(const char *name)
{
    struct stat status = status_of(name);
    off_t at = random() % (status.st_size > 0 ? status.st_size : 1);
    uint8_t bit = (uint8_t)(1U << (random() % 8));
    pid_t child = fork();
    if (child == 0) {
        uint8_t byte;
        int fd = open(in_scratch(name), O_RDWR | O_CLOEXEC);
        bool ok = fd >= 0 && pread(fd, &byte, 1, at) == 1;
        byte ^= bit;
        _exit(!(ok && pwrite(fd, &byte, 1, at) == 1));
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static int count_accepted(struct store *store)
{
    int count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ended); i++)
        count += verdict_of(store, &ended[i]) == TOKEN_GOOD;
    return count;
}

static bool serves_all(struct store *store)
{
    for (size_t i = 0; i < GUESTS; i++)
        if (verdict_of(store, &good[i]) != TOKEN_GOOD)
            return false;
    return true;
}

/* What else keeps a guest from being served: its token is not the one that was given out, which
 * nobody but the guest can know. doctor, which may read the guest's file, finds that. */
static bool hash_is_hurt(struct store *store)
{
    for (size_t i = 0; i < GUESTS; i++)
        if (verdict_of(store, &good[i]) == TOKEN_UNKNOWN)
            return true;
    return false;
}

/* Returns true if the damage is called so. */
static bool is_found(struct store *store)
{
    struct token_audit found;
    return token_audit(store, clock_wall_ms(), &found, &error) < 0 || found.count > 0 ||
           store_check(store, &error) < 0;
}

static void try_damaged(int round, struct store *store)
{
    if (count_accepted(store) > 0)
        fail_test("round %d: a token that had ended is good", round);
    bool served = serves_all(store);
    if (!is_found(store) && !served && !hash_is_hurt(store))
        fail_test("round %d: a guest is not served, and nobody says why", round);
    if (count_accepted(store) > 0)
        fail_test("round %d: a token that had ended is good after the audit", round);
}

static void test_flipped_bits(void **state)
{
    (void)state;
    static const char *const files[] = {"state/db/agent.db", "state/db/agent.db-wal",
                                        "state/db/agent.db-shm"};
    fill();
    srandom(20261130);
    for (int round = 0; round < ROUNDS; round++) {
        struct store *open = NULL;
        struct store *store = NULL;
        put_back("rm -rf run/tokens && cp -a kept/tokens run/");
        const char *file = files[round % 3];
        /* The index of the log counts only while a process has it open. */
        if (round % 3 == 2 || round % 2 == 0) {
            open = open_store();
            assert_true(serves_all(open));
        }
        if (open || round % 3 < 2)
            flip_bit(file);
        if (open)
            try_damaged(round, open);
        if (store_open(in_scratch("state"), STORE_OPEN_EXISTING, 1000, &store, &error) == 0)
            try_damaged(round, store);
        store_close(store);
        store_close(open);
    }
}

static enum token_verdict verdict_at(struct store *store, const struct token_text *token,
                                     int64_t now_ms)
{
    struct token_check check;
    OK(token_check(store, token->text, strlen(token->text), now_ms, &check, &error));
    return check.verdict;
}

#define HOUR ((int64_t)3600000)
#define YEAR ((int64_t)365 * 24 * HOUR)

/* Waits until the token has come to its end by a clock that stands at now_ms. */
static void await_end(struct store *store, const struct token_text *token, int64_t now_ms)
{
    const int64_t give_up_us = clock_steady_us() + INT64_C(120000000);
    while (verdict_at(store, token, now_ms) == TOKEN_GOOD && clock_steady_us() < give_up_us)
        (void)usleep(10000);
    assert_int_equal(verdict_at(store, token, now_ms), TOKEN_EXPIRED);
}

/* The end of a token is that of a time that passes, not of a date. */
static void test_a_clock_that_is_set_back(void **state)
{
    (void)state;
    struct token new;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    const struct token_text old = mint(store, 8200);
    const int64_t now_ms = clock_wall_ms();
    OK(token_mint(store, 8200, now_ms, 0, &new, &error));
    OK(token_end_before(store, 8200, new.generation, now_ms + 200, now_ms, &error));
    await_end(store, &old, now_ms - HOUR);
    assert_int_equal(verdict_at(store, &new.text, now_ms - HOUR), TOKEN_GOOD);
    /* What is done while the clock is wrong does not make it good for longer either. */
    OK(token_mint(store, 8200, now_ms - HOUR, 0, &new, &error));
    assert_int_equal(verdict_at(store, &old, now_ms - HOUR), TOKEN_EXPIRED);
    enum token_verdict again;
    OK(token_recheck(store, old.id, now_ms - HOUR, &again, &error));
    assert_int_equal(again, TOKEN_EXPIRED);
}

/* A rotation while the clock was a year ahead: afterwards the store is not taken for one that has
 * gone back, and the overlap is as long as it should be. */
static void test_a_clock_that_was_ahead(void **state)
{
    (void)state;
    struct token new;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 8200);
    struct token aged;
    const int64_t now_ms = clock_wall_ms();
    const int64_t ahead_ms = now_ms + YEAR;
    OK(token_mint(store, 8200, now_ms, now_ms + HOUR, &aged, &error));
    const struct token_text unlimited = mint(store, 8200);
    OK(token_mint(store, 8200, ahead_ms, 0, &new, &error));
    OK(token_end_before(store, 8200, new.generation, ahead_ms + 200, ahead_ms, &error));
    assert_int_equal(audit(store).count, 0);
    assert_int_equal(count_events(), 0);
    assert_int_equal(verdict_at(store, &new.text, now_ms), TOKEN_GOOD);
    assert_int_equal(verdict_at(store, &aged.text, now_ms), TOKEN_EXPIRED);
    await_end(store, &unlimited, now_ms);
    assert_int_equal(audit(store).count, 0);
}

/* It counts as no record: no other guest's token is concerned, and the next one replaces it. */
static void test_something_else_in_a_records_place(void **state)
{
    (void)state;
    static const char *const ways[] = {"ln -s /etc/hostname", "mkfifo", "mkdir"};
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        shell("rm -rf state run && mkdir state");
        cleanup_store struct store *store = store_of_scratch();
        put_guest(store, 8200);
        put_guest(store, 8300);
        const struct token_text one = mint(store, 8200);
        shell("rm run/tokens/8200; %s run/tokens/8200", ways[i]);
        assert_verdict(store, &one, TOKEN_BEHIND);
        assert_int_equal(audit(store).count, 1);
        const struct token_text other = mint(store, 8300);
        assert_verdict(store, &other, TOKEN_GOOD);
        const struct token_text again = mint(store, 8200);
        assert_verdict(store, &again, TOKEN_GOOD);
    }
}

/* Whoever asks for new tokens waits for nobody, whatever felhomd's user has put there. */
static void test_something_else_in_the_requests_place(void **state)
{
    (void)state;
    static const char *const ways[] = {"ln -s nowhere", "mkfifo", "mkdir"};
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        shell("rm -rf run && mkdir -p run/tokens && %s run/tokens/renew", ways[i]);
        token_record_ask_renewal();
        assert_false(is_there("run/tokens/nowhere"));
    }
    shell("rm -rf run && mkdir -p run/tokens");
    token_record_ask_renewal();
    assert_true(is_there("run/tokens/renew"));
}

/* The user whom felhomd runs as can lock the directory of the records for ever. */
static void test_the_lock_of_the_records(void **state)
{
    struct token token;
    cleanup_store struct store *made = store_of_scratch();
    cleanup_store struct store *store = NULL;
    (void)state;
    put_guest(made, 8200);
    OK(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 20, &store, &error));
    const struct token_text first = mint(store, 8200);
    assert_verdict(store, &first, TOKEN_GOOD);
    cleanup_close int fd = open(in_scratch("run/tokens"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);

    assert_int_equal(token_mint(store, 8200, clock_wall_ms(), 0, &token, &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_non_null(strstr(error.message, in_scratch("run/tokens")));
    assert_verdict(store, &first, TOKEN_GOOD);
    end_tokens(store, 8200);
    assert_verdict(store, &first, TOKEN_REVOKED);
    assert_false(is_there("run/tokens/8200"));
    assert_int_equal(audit(store).count, 0);

    assert_int_equal(flock(fd, LOCK_UN), 0);
    const struct token_text second = mint(store, 8200);
    assert_verdict(store, &second, TOKEN_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_a_clock_that_is_set_back, setup),
        scratch_test(test_a_clock_that_was_ahead, setup),
        scratch_test(test_something_else_in_a_records_place, setup),
        scratch_test(test_something_else_in_the_requests_place, setup),
        scratch_test(test_an_older_copy, setup),
        scratch_test(test_who_gets_a_new_token, setup),
        scratch_test(test_a_copy_without_its_log, setup),
        scratch_test(test_a_mint_in_an_older_copy, setup),
        scratch_test(test_a_lost_record, setup),
        scratch_test(test_a_loss_of_power, setup),
        scratch_test(test_a_record_that_lags, setup),
        scratch_test(test_the_first_record_is_made_before_the_commit, setup),
        scratch_test(test_a_new_store, setup),
        scratch_test(test_the_migration, setup),
        scratch_test(test_the_lock_of_the_records, setup),
        scratch_test(test_flipped_bits, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
