/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/db/sql.h"
#include "store/db/token_record.h"
#include "store/files/file.h"

static int store_make_entry(const struct owned_directory *directory, const char *name, mode_t type,
                            struct error *error)
{
    int r = type == S_IFDIR ? mkdirat(directory->fd, name, 0700)
                            : mknodat(directory->fd, name, S_IFREG | 0600, 0);
    if (r < 0 && errno != EEXIST)
        return fail_errno(error, errno, "cannot make %s/%s", directory->path, name);
    return 0;
}

/* A process that was killed between creating a file and giving it to its owner has left it to
 * root. */
static int store_give_to_owner(int fd, const struct owned_directory *directory, const char *name,
                               const struct stat *now, struct error *error)
{
    if (directory->only_looks || geteuid() != 0 ||
        (now->st_uid == directory->uid && now->st_gid == directory->gid))
        return 0;
    if (S_ISREG(now->st_mode) && now->st_nlink != 1)
        return fail(error, ERROR_DENIED,
                    "%s/%s has a wrong owner and a second name elsewhere: remove one of them",
                    directory->path, name);
    if (fchownat(fd, "", directory->uid, directory->gid, AT_EMPTY_PATH) < 0)
        return fail_errno(error, errno, "cannot give %s/%s to its owner", directory->path, name);
    return 0;
}

/*
 * Opens an entry with O_PATH. Closing an ordinary descriptor of the database would release the
 * locks that other connections of this process hold on it.
 */
static int store_adopt_entry(const struct owned_directory *directory, const char *name, mode_t type,
                             int *ret_fd, off_t *ret_size, struct error *error)
{
    cleanup_close int fd = openat(directory->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat now;
    if (fd < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no store at %s/%s: run `felhomctl init`",
                    directory->path, name);
    if (fd < 0 || fstat(fd, &now) < 0)
        return fail_errno(error, errno, "cannot open %s/%s", directory->path, name);
    if ((now.st_mode & S_IFMT) != type)
        return fail(error, ERROR_DENIED, "%s/%s is not a %s: move it away", directory->path, name,
                    type == S_IFDIR ? "directory" : "regular file");
    if (store_give_to_owner(fd, directory, name, &now, error) < 0)
        return -1;
    *ret_fd = steal_fd(&fd);
    *ret_size = now.st_size;
    return 0;
}

static int store_adopt_file(const struct owned_directory *directory, const char *name,
                            off_t *ret_size, struct error *error)
{
    cleanup_close int fd = -1;
    return store_adopt_entry(directory, name, S_IFREG, &fd, ret_size, error);
}

/* A missing log counts as an empty one. */
static int store_adopt_log(const struct owned_directory *directory, const char *name,
                           off_t *ret_size, struct error *error)
{
    struct error failure;
    *ret_size = 0;
    if (store_adopt_file(directory, name, ret_size, &failure) == 0)
        return 0;
    return fail_unless_missing(error, &failure);
}

/* SQLite would take the log for a stale one and discard it. A crash cannot cause this, because
 * SQLite writes to the log only after the database exists. */
static int store_check_not_emptied(const char *path, off_t size, off_t log_size,
                                   struct error *error)
{
    if (size > 0 || log_size == 0)
        return 0;
    return sql_fail_damaged(path, "it is empty beside its log", error);
}

static int store_adopt_files(const struct owned_directory *db, const char *path,
                             struct error *error)
{
    off_t size;
    off_t log_size;
    off_t index_size;
    if (store_adopt_file(db, "agent.db", &size, error) < 0 ||
        store_adopt_log(db, "agent.db-wal", &log_size, error) < 0 ||
        store_adopt_log(db, "agent.db-shm", &index_size, error) < 0)
        return -1;
    return store_check_not_emptied(path, size, log_size, error);
}

/* Opens the state directory as the operator named it. Symbolic links in that path are the
 * operator's and are followed. */
static int store_open_state_directory(const char *state_dir, struct owned_directory *ret,
                                      struct error *error)
{
    struct stat state;
    ret->path = realpath(state_dir, NULL);
    if (!ret->path && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no state directory %s: run `felhomctl init`",
                    state_dir);
    if (ret->path)
        ret->fd = open(ret->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ret->fd < 0 || fstat(ret->fd, &state) < 0)
        return fail_errno(error, errno, "cannot open the state directory %s", state_dir);
    ret->uid = state.st_uid;
    ret->gid = state.st_gid;
    return 0;
}

static int store_open_directory(const struct owned_directory *state, bool create,
                                struct owned_directory *ret, struct error *error)
{
    off_t ignored;
    if (create && store_make_entry(state, "db", S_IFDIR, error) < 0)
        return -1;
    ret->path = mem_format("%s/db", state->path);
    ret->uid = state->uid;
    ret->gid = state->gid;
    ret->only_looks = state->only_looks;
    return store_adopt_entry(state, "db", S_IFDIR, &ret->fd, &ignored, error);
}

/*
 * Finds STATE_DIR/db/agent.db. With create, makes the directory (0700) and an empty file (0600) if
 * they are missing. If this process is root and does not only look, also makes sure that all files
 * of the database belong to the owner of STATE_DIR, because both root's hook and the unprivileged
 * daemon open them. A symbolic link in place of any of them is ERROR_DENIED, a missing file
 * ERROR_MISSING, and an empty database beside a non-empty log ERROR_CORRUPT. *ret_path is absolute
 * and without links; the caller frees it.
 */
static int store_find_database(const char *state_dir, bool create, bool only_looks, char **ret_path,
                               struct error *error)
{
    cleanup_owned_directory struct owned_directory state = {.fd = -1, .only_looks = only_looks};
    cleanup_owned_directory struct owned_directory db = {.fd = -1};
    cleanup_free char *path = NULL;
    if (store_open_state_directory(state_dir, &state, error) < 0 ||
        store_open_directory(&state, create, &db, error) < 0 ||
        (create && store_make_entry(&db, "agent.db", S_IFREG, error) < 0))
        return -1;
    path = mem_format("%s/agent.db", db.path);
    if (store_adopt_files(&db, path, error) < 0)
        return -1;
    *ret_path = steal(path);
    return 0;
}

static struct store *store_new(void)
{
    struct store *store = mem_new(struct store);
    store->records_fd = -1;
    return store;
}

int store_peek_version(const char *state_dir, int *ret, struct error *error)
{
    int64_t version;
    cleanup_store struct store *store = store_new();
    cleanup_free char *real = realpath(state_dir, NULL);
    store->path = mem_format("%s/db/agent.db", real ? real : state_dir);
    if (access(store->path, F_OK) < 0 && errno == ENOENT)
        return fail(error, ERROR_MISSING, "there is no store %s", store->path);
    if (access(store->path, R_OK) < 0)
        return fail_errno(error, errno, "cannot read the store %s", store->path);
    if (sql_connect_read_only(store, error) < 0 ||
        sql_settle(store, "PRAGMA user_version", &version, error) < 0)
        return -1;
    *ret = (int)version;
    return 0;
}

int store_schema_version(void)
{
    return migration_count;
}

static int store_run_script(struct store *store, const char *script, struct error *error)
{
    if (sqlite3_exec(store->connection, script, NULL, NULL, NULL) != SQLITE_OK)
        return sql_fail(store, error);
    return 0;
}

static int store_read_version(struct store *store, int64_t *ret, struct error *error)
{
    if (sql_settle(store, "PRAGMA user_version", ret, error) < 0)
        return -1;
    if (*ret < 0 || *ret > migration_count)
        return fail(error, ERROR_NEWER,
                    "the store %s has version %lld, written by a newer felhom-agent; this one "
                    "knows versions up to %d: upgrade it",
                    store->path, (long long)*ret, migration_count);
    return 0;
}

/* Runs one migration, unless another process has run it since the version was read. */
static int store_migrate_one_step(struct store *store, int64_t *version, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        store_read_version(store, version, error) < 0)
        return -1;
    if (*version == migration_count)
        return 0;
    int next = (int)*version + 1;
    cleanup_free char *script =
        mem_format("%s; PRAGMA user_version = %d", migrations[*version], next);
    if (store_run_script(store, script, error) < 0)
        return fail_context(error, "migration of %s to version %d", store->path, next);
    if (next == TOKEN_RECORD_SCHEMA && token_record_adopt(store, error) < 0)
        return fail_context(error, "migration of %s to version %d", store->path, next);
    *version = next;
    return transaction_commit(&transaction, error);
}

/* Reads the version before it changes any setting: a newer program's database must stay as it
 * is. */
static int store_migrate(struct store *store, struct error *error)
{
    int64_t version = 0;
    int64_t ignored = 0;
    if (store_read_version(store, &version, error) < 0 ||
        sql_settle(store, "PRAGMA journal_mode = WAL", &ignored, error) < 0 ||
        sql_settle(store, "PRAGMA synchronous = FULL", &ignored, error) < 0)
        return -1;
    if (version == migration_count)
        return 0;
    while (version < migration_count)
        if (store_migrate_one_step(store, &version, error) < 0)
            return -1;
    sql_checkpoint(store); /* If the log were lost now, the whole schema would be lost with it. */
    return 0;
}

void store_use_little_memory(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

int store_open(const char *state_dir, enum store_open_mode mode, uint32_t busy_ms,
               struct store **ret, struct error *error)
{
    cleanup_store struct store *store = store_new();
    store->busy_ms = busy_ms;
    if (store_find_database(state_dir, mode == STORE_OPEN_CREATE, false, &store->path, error) < 0 ||
        sql_connect(store, error) < 0 || store_migrate(store, error) < 0)
        return -1;
    *ret = steal(store);
    return 0;
}

static int store_require_newest(struct store *store, struct error *error)
{
    int64_t version;
    if (store_read_version(store, &version, error) < 0)
        return -1;
    if (version == migration_count)
        return 0;
    if (version == 0)
        return fail(error, ERROR_MISSING, "the store %s is empty", store->path);
    return fail(error, ERROR_CONFLICT, "the store has version %d, this program's is %d",
                (int)version, migration_count);
}

int store_open_read_only(const char *state_dir, uint32_t busy_ms, struct store **ret,
                         struct error *error)
{
    cleanup_store struct store *store = store_new();
    store->busy_ms = busy_ms;
    if (store_find_database(state_dir, false, true, &store->path, error) < 0 ||
        sql_connect_read_only(store, error) < 0 || store_require_newest(store, error) < 0)
        return -1;
    *ret = steal(store);
    return 0;
}

int store_check(struct store *store, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    int row = sql_first(store, "PRAGMA integrity_check(1)", SQL_NO_VALUES, &query, error);
    if (row < 0)
        return -1;
    const char *verdict = row > 0 ? sql_column_text(&query, 0) : "no answer";
    if (strcmp(verdict, "ok") == 0)
        return 0;
    const char *heading_end = strchr(verdict, '\n');
    cleanup_free char *why = sql_plain(heading_end ? heading_end + 1 : verdict);
    return fail(error, ERROR_CORRUPT, "the store %s is damaged: %s", store->path, why);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    token_record_drop(store);
    sql_disconnect(store);
    free(store->path);
    free(store);
}

int store_begin(struct store *store, struct error *error)
{
    store->begun_us = clock_steady_us();
    return sql_run(store, "BEGIN IMMEDIATE", SQL_NO_VALUES, error);
}

int store_begin_view(struct store *store, struct error *error)
{
    return sql_run(store, "BEGIN", SQL_NO_VALUES, error);
}

int store_commit(struct store *store, struct error *error)
{
    if (token_record_prepare(store, error) < 0 ||
        sql_run(store, "COMMIT", SQL_NO_VALUES, error) < 0)
        return -1;
    return token_record_write(store, error);
}

void store_rollback(struct store *store)
{
    struct error ignored;
    token_record_drop(store);
    if (!sqlite3_get_autocommit(store->connection))
        (void)sql_run(store, "ROLLBACK", SQL_NO_VALUES, &ignored);
}

int transaction_begin(struct store *store, struct transaction *ret, struct error *error)
{
    ret->store = NULL;
    if (!sqlite3_get_autocommit(store->connection))
        return 0;
    if (store_begin(store, error) < 0)
        return -1;
    ret->store = store;
    return 0;
}

int transaction_commit(struct transaction *transaction, struct error *error)
{
    if (transaction->store && store_commit(transaction->store, error) < 0)
        return -1;
    transaction->store = NULL;
    return 0;
}

void transaction_end(struct transaction *transaction)
{
    if (transaction->store)
        store_rollback(transaction->store);
}

void store_checkpoint(struct store *store)
{
    sql_checkpoint(store);
}

int store_data_version(struct store *store, int64_t *ret, struct error *error)
{
    return sql_settle(store, "PRAGMA data_version", ret, error);
}

bool store_has_written(const struct store *store)
{
    return sqlite3_total_changes(store->connection) > 0;
}
