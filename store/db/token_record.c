/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db/token_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/buffer.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"
#include "store/base/clock.h"
#include "store/db/sql.h"
#include "store/files/file.h"

#define RECORD_LIMIT 65536
#define RENEWAL      "renew"
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

/* Set before there are threads. */
static char *records_dir;

char *token_record_directory(const char *run_dir)
{
    return mem_format("%s/tokens", run_dir);
}

void token_record_use(const char *run_dir)
{
    free(records_dir);
    records_dir = run_dir ? token_record_directory(run_dir) : NULL;
}

bool token_record_is_kept(void)
{
    return records_dir != NULL;
}

/* --- reading --- */

void token_record_free(struct token_record *record)
{
    free(record->items);
    *record = (struct token_record){0};
}

/* Parses "ID END"; returns the end of the line, or NULL. */
static const char *record_parse_item(const char *line, struct token_record_item *ret)
{
    char *end;
    if (strcspn(line, " ") != TOKEN_ID_LENGTH)
        return NULL;
    memcpy(ret->id, line, TOKEN_ID_LENGTH);
    ret->id[TOKEN_ID_LENGTH] = '\0';
    ret->end_ms = strtoll(line + TOKEN_ID_LENGTH + 1, &end, 10);
    return *end == '\n' ? end + 1 : NULL;
}

static bool record_parse(const char *text, struct token_record *record)
{
    char *end;
    record->changes = strtoll(text, &end, 10);
    if (end == text || *end != '\n' || record->changes < 0)
        return false;
    for (const char *line = end + 1; *line;) {
        struct token_record_item item;
        line = record_parse_item(line, &item);
        if (!line)
            return false;
        record->items = mem_resize(record->items, record->count + 1, sizeof item);
        record->items[record->count++] = item;
    }
    record->exists = true;
    return true;
}

/* Something else is in the file's place: a symbolic link, a directory, a socket. */
static bool is_no_file(int errnum)
{
    return errnum == ELOOP || errnum == EISDIR || errnum == ENXIO;
}

/* Returns the file's text, which the caller frees; NULL if it cannot be read. It is replaced, never
 * written in place. */
static char *record_read_file(int fd)
{
    struct stat about;
    if (fstat(fd, &about) < 0)
        return NULL;
    size_t limit = about.st_size < RECORD_LIMIT ? (size_t)about.st_size : RECORD_LIMIT;
    char *text = mem_new_array(limit + 1, 1);
    ssize_t length = read(fd, text, limit);
    if (length >= 0)
        return text;
    free(text);
    return NULL;
}

int token_record_read(uint32_t vmid, struct token_record *ret, struct error *error)
{
    *ret = (struct token_record){0};
    if (!records_dir)
        return 0;
    cleanup_free char *path = mem_format("%s/%u", records_dir, vmid);
    cleanup_close int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    cleanup_free char *text = fd < 0 ? NULL : record_read_file(fd);
    if (!text && (errno == ENOENT || is_no_file(errno)))
        return 0;
    if (!text)
        return fail_errno(error, errno, "cannot read %s", path);
    if (!record_parse(text, ret))
        token_record_free(ret);
    return 0;
}

static const struct token_record_item *record_find(const struct token_record *record,
                                                   const char *id)
{
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->items[i].id, id) == 0)
            return &record->items[i];
    return NULL;
}

bool token_record_lists(const struct token_record *record, const char *id)
{
    return record_find(record, id) != NULL;
}

int64_t token_record_left_ms(const struct token_record *record, const char *id)
{
    const struct token_record_item *item = record_find(record, id);
    return item && item->end_ms ? item->end_ms - clock_boot_ms() : INT64_MAX;
}

bool token_record_is_over(const struct token_record *record, const char *id)
{
    return token_record_left_ms(record, id) <= 0;
}

const char *token_record_boot(struct store *store, struct error *error)
{
    char id[sizeof store->boot_id] = "";
    if (*store->boot_id)
        return store->boot_id;
    cleanup_close int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, id, sizeof id - 1) <= 0) {
        (void)fail_errno(error, errno, "cannot read " BOOT_ID_FILE);
        return NULL;
    }
    id[strcspn(id, "\n")] = '\0';
    (void)snprintf(store->boot_id, sizeof store->boot_id, "%s", id);
    return store->boot_id;
}

/* --- queueing --- */

static struct sql_queued_record *queue_place(struct store *store, uint32_t vmid)
{
    for (size_t i = 0; i < store->queued_count; i++)
        if (store->queued[i].vmid == vmid)
            return &store->queued[i];
    store->queued = mem_resize(store->queued, store->queued_count + 1, sizeof *store->queued);
    struct sql_queued_record *place = &store->queued[store->queued_count++];
    *place = (struct sql_queued_record){.vmid = vmid};
    return place;
}

/* What the list of a guest's tokens is made of. */
struct listing {
    const struct token_record *before; /* NULL: whatever the database has not revoked is listed */
    const char *fresh;                 /* NULL: none */
    int64_t now_ms;
    struct buffer text;
    struct token_record_item *dropped;
    size_t dropped_count;
    int good;      /* by the database, of whatever boot */
    bool has_good; /* one of them is listed */
};

static void listing_free(struct listing *listing)
{
    buffer_free(&listing->text);
    free(listing->dropped);
}

/* By the wall clock of now. What is over was over at the boot at the latest. */
static int64_t end_since_boot(int64_t expires_at_ms, int64_t now_ms)
{
    int64_t end_ms = clock_boot_ms() + (expires_at_ms - now_ms);
    if (expires_at_ms == 0)
        return 0;
    return end_ms > 0 ? end_ms : 1;
}

/* No change makes a token good for longer. */
static void listing_limit(struct token_record_item *item, const struct token_record_item *before)
{
    if (before->end_ms && (item->end_ms == 0 || item->end_ms > before->end_ms))
        item->end_ms = before->end_ms;
}

static void listing_drop(struct listing *listing, const struct token_record_item *item)
{
    listing->dropped = mem_resize(listing->dropped, listing->dropped_count + 1, sizeof *item);
    listing->dropped[listing->dropped_count++] = *item;
}

static void listing_add(struct listing *listing, const struct sql_query *query, bool is_good)
{
    struct token_record_item item = {.end_ms =
                                         end_since_boot(sql_column_int(query, 1), listing->now_ms)};
    sql_column_copy(query, 0, item.id, sizeof item.id);
    if (listing->before && (!listing->fresh || strcmp(item.id, listing->fresh) != 0)) {
        const struct token_record_item *before = record_find(listing->before, item.id);
        if (!before) {
            listing_drop(listing, &item);
            return;
        }
        listing_limit(&item, before);
    }
    listing->has_good |= is_good;
    buffer_add_format(&listing->text, "%s %" PRId64 "\n", item.id, item.end_ms);
}

static int listing_read(struct listing *listing, struct store *store, uint32_t vmid,
                        struct error *error)
{
    const char *boot = token_record_boot(store, error);
    cleanup_query struct sql_query query = {0};
    if (!boot)
        return -1;
    int row = sql_first(
        store,
        "SELECT id, expires_at_ms, boot_id = ?3, expires_at_ms = 0 OR expires_at_ms > ?2"
        " FROM token WHERE vmid = ?1 AND revoked_at_ms IS NULL",
        sql_values(sql_int(vmid), sql_int(listing->now_ms), sql_text(boot)), &query, error);
    for (; row > 0; row = sql_step(&query, error)) {
        const bool is_good = sql_column_int(&query, 3) != 0;
        listing->good += is_good;
        if (sql_column_int(&query, 2))
            listing_add(listing, &query, is_good);
    }
    return row;
}

static int listing_revoke_dropped(const struct listing *listing, struct store *store,
                                  struct error *error)
{
    for (size_t i = 0; i < listing->dropped_count; i++)
        if (sql_run(store,
                    "UPDATE token SET revoked_at_ms = ?2, revoked_reason = 'it is not on record'"
                    " WHERE id = ?1",
                    sql_values(sql_text(listing->dropped[i].id), sql_int(listing->now_ms)),
                    error) < 0)
            return -1;
    return 0;
}

static void listing_queue(struct listing *listing, struct store *store, uint32_t vmid, bool missing)
{
    struct sql_queued_record *place = queue_place(store, vmid);
    buffer_free(&place->text);
    place->text = steal(listing->text);
    place->missing |= missing;
    place->must = listing->has_good;
}

int token_record_queue(struct store *store, uint32_t vmid, int64_t changes,
                       const struct token_record *before, const char *fresh, int64_t now_ms,
                       int *ret_good, struct error *error)
{
    cleanup(listing_free) struct listing listing = {
        .before = before, .fresh = fresh, .now_ms = now_ms};
    if (!records_dir)
        listing.before = NULL;
    buffer_add_format(&listing.text, "%" PRId64 "\n", changes);
    if (listing_read(&listing, store, vmid, error) < 0 ||
        listing_revoke_dropped(&listing, store, error) < 0)
        return -1;
    if (ret_good)
        *ret_good = listing.good;
    if (records_dir)
        listing_queue(&listing, store, vmid, before && !before->exists);
    return 0;
}

void token_record_drop(struct store *store)
{
    for (size_t i = 0; i < store->queued_count; i++)
        buffer_free(&store->queued[i].text);
    free(store->queued);
    store->queued = NULL;
    store->queued_count = 0;
    if (store->records_fd >= 0)
        (void)close(steal_fd(&store->records_fd));
    store->records_locked = false;
}

/* --- writing --- */

/* The directory belongs to the owner of the database, so that felhomd can write to it. */
static int records_make_directory(const struct store *store, int *ret_fd, struct error *error)
{
    struct stat database;
    if (stat(store->path, &database) < 0)
        return fail_errno(error, errno, "%s", store->path);
    return directory_make(records_dir, 0700, database.st_uid, database.st_gid, ret_fd, error);
}

/* Only root has to make the directory, in programs without threads. */
static int records_open(const struct store *store, int *ret_fd, struct error *error)
{
    int fd = open(records_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return records_make_directory(store, ret_fd, error);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", records_dir);
    *ret_fd = fd;
    return 0;
}

struct record_names {
    char name[VMID_TEXT_SIZE];
    char draft[VMID_TEXT_SIZE + 4];
};

static struct record_names record_names_of(uint32_t vmid)
{
    struct record_names names;
    (void)snprintf(names.name, sizeof names.name, "%u", vmid);
    (void)snprintf(names.draft, sizeof names.draft, "%u.new", vmid);
    return names;
}

static int record_open_draft(int directory, const char *draft)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(directory, draft, flags, 0644);
    if (fd >= 0 || errno != EEXIST || unlinkat(directory, draft, 0) < 0)
        return fd;
    return openat(directory, draft, flags, 0644); /* a killed process had left one */
}

/* The directory keeps others out; felhomd reads what root has written. */
static int record_draft(int directory, uint32_t vmid, const char *text, size_t length,
                        struct error *error)
{
    const struct record_names names = record_names_of(vmid);
    cleanup_close int fd = record_open_draft(directory, names.draft);
    if (fd >= 0 && fchmod(fd, 0644) == 0 && file_write_all(fd, text, length) == 0)
        return 0;
    (void)fail_errno(error, errno, "cannot write %s/%s", records_dir, names.draft);
    (void)unlinkat(directory, names.draft, 0);
    return -1;
}

static int record_publish(int directory, uint32_t vmid, struct error *error)
{
    const struct record_names names = record_names_of(vmid);
    if (renameat(directory, names.draft, directory, names.name) == 0)
        return 0;
    if (errno == EISDIR && unlinkat(directory, names.name, AT_REMOVEDIR) == 0 &&
        renameat(directory, names.draft, directory, names.name) == 0)
        return 0;
    (void)fail_errno(error, errno, "cannot replace %s/%s", records_dir, names.name);
    (void)unlinkat(directory, names.draft, 0);
    return -1;
}

/* Without the first step, a kill between the commit and the first record would look like a record
 * that was lost. */
static int record_prepare(int directory, const struct sql_queued_record *record,
                          struct error *error)
{
    if (record->missing && (record_draft(directory, record->vmid, "0\n", 2, error) < 0 ||
                            record_publish(directory, record->vmid, error) < 0))
        return -1;
    return record_draft(directory, record->vmid, buffer_text(&record->text), record->text.length,
                        error);
}

int token_record_settle(struct store *store, struct error *error)
{
    if (!records_dir || store->records_locked)
        return 0;
    if ((store->records_fd < 0 && records_open(store, &store->records_fd, error) < 0) ||
        file_lock_until(store->records_fd, records_dir,
                        store->begun_us + (int64_t)store->busy_ms * 1000, error) < 0)
        return -1;
    store->records_locked = true;
    return 0;
}

/* The lock is held until the records are written: they are written in the order of the commits. */
int token_record_prepare(struct store *store, struct error *error)
{
    struct error problem;
    bool usable = store->queued_count == 0 || token_record_settle(store, &problem) == 0;
    for (size_t i = 0; i < store->queued_count; i++) {
        struct sql_queued_record *record = &store->queued[i];
        record->drafted = usable && record_prepare(store->records_fd, record, &problem) == 0;
        if (!record->drafted && record->must) {
            *error = problem;
            return -1;
        }
    }
    return 0;
}

/* Without a record no token is good; a record that names some that have ended is not to stay. */
static int record_write(int directory, const struct sql_queued_record *record, struct error *error)
{
    struct error ignored;
    const struct record_names names = record_names_of(record->vmid);
    if (record->must)
        return record_publish(directory, record->vmid, error);
    if (!record->drafted || record_publish(directory, record->vmid, &ignored) < 0)
        (void)unlinkat(directory, names.name, 0);
    return 0;
}

int token_record_write(struct store *store, struct error *error)
{
    int result = 0;
    for (size_t i = 0; store->records_fd >= 0 && i < store->queued_count; i++)
        if (record_write(store->records_fd, &store->queued[i], error) < 0)
            result = -1;
    token_record_drop(store);
    return result;
}

/* --- the migration --- */

static int adopt_guest(struct store *store, uint32_t vmid, struct error *error)
{
    cleanup_token_record struct token_record record = {0};
    if (token_record_read(vmid, &record, error) < 0)
        return -1;
    if (record.exists)
        return 0;
    return token_record_queue(store, vmid, 1, NULL, NULL, clock_wall_ms(), NULL, error);
}

int token_record_adopt(struct store *store, struct error *error)
{
    const char *boot = token_record_boot(store, error);
    cleanup_query struct sql_query query = {0};
    if (!boot ||
        sql_run(store,
                "UPDATE token SET boot_id = ?1"
                " WHERE revoked_at_ms IS NULL AND created_at_ms >= ?2",
                sql_values(sql_text(boot), sql_int(clock_wall_ms() - clock_boot_ms())), error) < 0)
        return -1;
    int row = sql_first(store, "SELECT vmid FROM guest", SQL_NO_VALUES, &query, error);
    for (; row > 0; row = sql_step(&query, error))
        if (adopt_guest(store, (uint32_t)sql_column_int(&query, 0), error) < 0)
            return -1;
    return row;
}

void token_record_list(struct vmids *vmids)
{
    cleanup_directory DIR *directory = records_dir ? opendir(records_dir) : NULL;
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        uint32_t vmid;
        if (vmid_parse(entry->d_name, &vmid))
            vmids_add(vmids, vmid);
    }
}

/* --- renewal --- */

/* The directory is felhomd's, and the hook waits for nothing there: O_NONBLOCK is for a pipe. */
void token_record_ask_renewal(void)
{
    const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    cleanup_close int directory =
        records_dir ? open(records_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (directory >= 0)
        cleanup_close_fn(&(int){openat(directory, RENEWAL, flags, 0600)});
}

void token_record_take_renewal(void)
{
    cleanup_free char *path = records_dir ? mem_format("%s/" RENEWAL, records_dir) : NULL;
    if (path)
        (void)unlink(path);
}
