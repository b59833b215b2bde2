/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what the agent stores (state directory, store, TLS identity), and the clock, which is
 * compared with store and certificate. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/base/session.h"
#include "cli/doctor/doctor.h"
#include "cli/pve/host_setup.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "store/base/clock.h"
#include "store/db/token_record.h"
#include "store/host/host.h"
#include "store/identity/identity.h"
#include "store/tables/event.h"
#include "store/tables/token.h"

/* The record of tokens is made anew at each boot, so that it has the owner whom this host means. */
static bool is_of_another_host(const struct doctor *doctor, uid_t uid)
{
    struct stat record;
    cleanup_free char *path = token_record_directory(doctor->config.paths.run);
    return uid != 0 && lstat(path, &record) == 0 && record.st_uid != uid;
}

static void check_state_owner(struct doctor *doctor, uid_t uid)
{
    struct owner owner;
    struct error ignored;
    bool known = false;
    const char *state = doctor->config.paths.state;
    (void)host_setup_owner(STATE_USER, &owner, &known, &ignored);
    bool other = known && geteuid() == 0 && owner.uid != 0 && uid != owner.uid;
    if (other && uid == 0) {
        doctor_fail(doctor, DOCTOR_INIT, "%s belongs to root, not to " STATE_USER, state);
    } else if (other && is_of_another_host(doctor, uid)) {
        cleanup_free char *remedy = mem_format("chown -R " STATE_USER ": %s", state);
        doctor_fail(doctor, remedy,
                    "%s belongs to uid %u, not to " STATE_USER
                    ": on another host, that may have been its number",
                    state, uid);
    } else {
        doctor_ok(doctor, "%s", state);
    }
}

void doctor_check_state(struct doctor *doctor)
{
    struct stat status;
    const char *state = doctor->config.paths.state;
    if (stat(state, &status) < 0 || !S_ISDIR(status.st_mode)) {
        doctor_fail(doctor, DOCTOR_INIT, "there is no directory %s", state);
        return;
    }
    if (status.st_mode & (S_IWGRP | S_IWOTH)) {
        cleanup_free char *remedy = mem_format("chmod 0755 %s", state);
        doctor_fail(doctor, remedy, "%s: users other than its owner may write to it", state);
        return;
    }
    check_state_owner(doctor, status.st_uid);
}

/* --- who holds a lock --- */

/* The words of a line of /proc/locks: "1: POSIX ADVISORY READ 1234 00:2b:5678 123 123". */
enum {
    LOCK_NUMBER,
    LOCK_CLASS,
    LOCK_MODE,
    LOCK_ACCESS,
    LOCK_PID,
    LOCK_FILE,
    LOCK_FIRST,
    LOCK_WORDS
};

/* Locks of one kind: on a file, from one of these bytes on. */
struct lock_kind {
    ino_t file;
    const char *access; /* READ or WRITE */
    long first;
    long last;
};

/* Returns the process that has such a lock by this line; 0 if it is another one. */
static int holder_of_line(char *line, const struct lock_kind *kind)
{
    const char *words[LOCK_WORDS];
    size_t count = 0;
    for (char *word; count < LOCK_WORDS && (word = strsep(&line, " \n"));)
        if (*word)
            words[count++] = word;
    if (count < LOCK_WORDS || strcmp(words[LOCK_CLASS], "POSIX") != 0 ||
        strcmp(words[LOCK_ACCESS], kind->access) != 0)
        return 0;
    const char *inode = strrchr(words[LOCK_FILE], ':');
    long first = strtol(words[LOCK_FIRST], NULL, 10);
    bool held = inode && strtoull(inode + 1, NULL, 10) == kind->file && first >= kind->first &&
                first <= kind->last;
    return held ? (int)strtol(words[LOCK_PID], NULL, 10) : 0;
}

/* Returns the process that has such a lock now, the lowest above after; 0 if there is none. */
static int next_holder(const struct lock_kind *kind, int after)
{
    char line[256];
    int found = 0;
    cleanup_file FILE *locks = fopen("/proc/locks", "re");
    while (locks && fgets(line, sizeof line, locks)) {
        int pid = holder_of_line(line, kind);
        if (pid > after && (found == 0 || pid < found))
            found = pid;
    }
    return found;
}

static void process_name(int pid, char *ret, size_t size)
{
    cleanup_free char *path = mem_format("/proc/%d/comm", pid);
    cleanup_file FILE *file = fopen(path, "re");
    if (!file || !fgets(ret, (int)size, file))
        (void)snprintf(ret, size, "unknown");
    ret[strcspn(ret, "\n")] = '\0';
    text_mask(ret);
}

/* --- the store --- */

/* Enrolments are in Proxmox's file system, so a new store loses only past events and tokens. */
static void note_damaged_store(struct doctor *doctor, const struct error *error)
{
    const char *state = doctor->config.paths.state;
    cleanup_free char *remedy =
        mem_format("systemctl stop felhomd; mv %s/db %s/db.damaged && felhomctl init && systemctl "
                   "start felhomd && felhomctl rotate --all",
                   state, state);
    doctor_fail(doctor, remedy, "%s; a new store knows no token, so running guests need new ones",
                error->message);
}

/* SQLite's exclusive lock is on these bytes of agent.db. */
#define EXCLUSIVE_LOCK_FIRST 0x40000000L
#define EXCLUSIVE_LOCK_LAST  0x400001FFL

/* A process that has the store for itself, as a tool of the operator's may. */
static void note_locked_store(struct doctor *doctor, const struct error *error)
{
    struct stat status;
    char name[32];
    int pid = 0;
    cleanup_free char *path = mem_format("%s/db/agent.db", doctor->config.paths.state);
    if (stat(path, &status) == 0) {
        const struct lock_kind exclusive = {status.st_ino, "WRITE", EXCLUSIVE_LOCK_FIRST,
                                            EXCLUSIVE_LOCK_LAST};
        pid = next_holder(&exclusive, 0);
    }
    if (pid == 0) {
        doctor_fail(doctor, "systemctl restart felhomd", "%s", error->message);
        return;
    }
    process_name(pid, name, sizeof name);
    cleanup_free char *remedy = mem_format("kill %d && tail --pid=%d -f /dev/null", pid, pid);
    doctor_fail(doctor, remedy, "%s: %d (%s)", error->message, pid, name);
}

static void note_bad_store(struct doctor *doctor, const struct error *error)
{
    switch (error->kind) {
    case ERROR_BUSY:
        note_locked_store(doctor, error);
        break;
    case ERROR_MISSING:
        doctor_fail(doctor, DOCTOR_INIT, "%s", error->message);
        break;
    case ERROR_CORRUPT:
    case ERROR_DENIED:
        note_damaged_store(doctor, error);
        break;
    case ERROR_NEWER:
        doctor_fail(doctor, "apt install --only-upgrade felhom-agent", "%s", error->message);
        break;
    case ERROR_CONFLICT:
        doctor_warn(doctor, "felhomctl guests",
                    "%s: the next program that opens the store brings it up to date",
                    error->message);
        break;
    default: /* felhomd may have a file open that has been deleted since */
        doctor_fail(doctor, "systemctl restart felhomd", "%s", error->message);
    }
}

/* doctor->store stays NULL unless the store is intact, as later checks use it. */
void doctor_check_store(struct doctor *doctor)
{
    struct error error;
    cleanup_store struct store *store = NULL;
    const char *state = doctor->config.paths.state;
    if (store_open_read_only(state, SESSION_BUSY_MS, &store, &error) < 0 ||
        store_check(store, &error) < 0) {
        note_bad_store(doctor, &error);
        return;
    }
    doctor->store = steal(store);
    doctor_ok(doctor, "%s/db/agent.db is intact, schema version %d", state, store_schema_version());
}

/* --- the store's log --- */

/* Each commit that makes the log larger than half a MiB has SQLite empty it; when many processes
 * read at the same time, that may fail for a while. */
#define LOG_MIB_MAX 64
#define MIB         ((off_t)1024 * 1024)

/* SQLite's readers hold a lock on one of these bytes of agent.db-shm. */
#define READER_LOCK_FIRST 123
#define READER_LOCK_LAST  127

#define LOOKS    10 /* a process is stuck if each of them finds it reading */
#define PAUSE_NS 100000000L

static bool reads_all_the_time(const struct lock_kind *reading, int pid)
{
    for (int i = 0; i < LOOKS; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        if (next_holder(reading, pid - 1) != pid)
            return false;
    }
    return true;
}

/* Returns a process that has been reading from the store for so long that it keeps the log from
 * being emptied; 0 if none is found. */
static int stuck_reader(const char *state)
{
    struct stat index;
    cleanup_free char *path = mem_format("%s/db/agent.db-shm", state);
    if (stat(path, &index) < 0)
        return 0;
    const struct lock_kind reading = {index.st_ino, "READ", READER_LOCK_FIRST, READER_LOCK_LAST};
    for (int pid = next_holder(&reading, 0); pid > 0; pid = next_holder(&reading, pid))
        if (pid != getpid() && reads_all_the_time(&reading, pid))
            return pid;
    return 0;
}

/* `felhomctl init` commits something, and with that the log is emptied. */
static void note_large_log(struct doctor *doctor, const char *path, long long mib)
{
    char name[32];
    int pid = stuck_reader(doctor->config.paths.state);
    if (pid == 0) {
        doctor_warn(doctor, DOCTOR_INIT, "%s has grown to %lld MiB", path, mib);
        return;
    }
    process_name(pid, name, sizeof name);
    cleanup_free char *remedy =
        strcmp(name, "felhomd") == 0
            ? mem_format("systemctl restart felhomd && " DOCTOR_INIT)
            : mem_format("kill %d && tail --pid=%d -f /dev/null && " DOCTOR_INIT, pid, pid);
    doctor_warn(doctor, remedy,
                "%s has grown to %lld MiB: the process %d (%s) has been reading from the store all "
                "the time, and until it ends the log cannot be emptied",
                path, mib, pid, name);
}

void doctor_check_store_log(struct doctor *doctor)
{
    struct stat status;
    cleanup_free char *path = mem_format("%s/db/agent.db-wal", doctor->config.paths.state);
    if (stat(path, &status) < 0)
        return; /* there is none beside a store that nobody has open */
    if (status.st_size > LOG_MIB_MAX * MIB)
        note_large_log(doctor, path, (long long)(status.st_size / MIB));
    else
        doctor_ok(doctor, "%s has %lld KiB", path, (long long)status.st_size / 1024);
}

/* Both root's programs and felhomd, which owns the state directory, work there; no other user. */
static bool record_is_private(const struct config *config, const char *path)
{
    struct stat state;
    struct stat status;
    return stat(config->paths.state, &state) == 0 && lstat(path, &status) == 0 &&
           status.st_mode == (S_IFDIR | 0700) && status.st_uid == state.st_uid;
}

/* Whether the record, or what tells felhom-token-age.path to look at it, has files of that name. */
static bool is_of_record(const char *name)
{
    return strcmp(name, "renew") == 0 || (*name && strspn(name, DIGITS) == strlen(name)) ||
           (strspn(name, DIGITS) > 0 && strcmp(name + strspn(name, DIGITS), ".new") == 0);
}

/* Reports what is in the way of a file of the record, and then returns false. */
static bool check_record_files(struct doctor *doctor, const char *path)
{
    cleanup_directory DIR *directory = opendir(path);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat status;
        if (!is_of_record(entry->d_name) ||
            fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            S_ISREG(status.st_mode))
            continue;
        cleanup_free char *remedy = mem_format("mv %s/%s %s/%s.other && felhomctl rotate --all",
                                               path, entry->d_name, path, entry->d_name);
        doctor_fail(doctor, remedy, "%s/%s is not a regular file", path, entry->d_name);
        return false;
    }
    return true;
}

/* What is found twice is not just being changed. */
void doctor_check_store_record(struct doctor *doctor)
{
    struct error error;
    cleanup_free char *path = token_record_directory(doctor->config.paths.run);
    struct token_audit found = {.count = 1};
    if (!doctor->store)
        return;
    if (!record_is_private(&doctor->config, path)) {
        doctor_fail(doctor, DOCTOR_INIT,
                    "%s is not a directory of mode 0700 of the state directory's owner: without it "
                    "no token is good",
                    path);
        return;
    }
    if (!check_record_files(doctor, path))
        return;
    for (int i = 0; found.count > 0 && i < 2; i++) {
        if (token_audit_look(doctor->store, clock_wall_ms(), &found, &error) < 0) {
            doctor_fail(doctor, "felhomctl rotate --all", "%s", error.message);
            return;
        }
    }
    if (found.count == 0)
        doctor_ok(doctor, "the store agrees with what this boot has seen of the guests' tokens");
    else
        doctor_fail(doctor, "felhomctl rotate --all",
                    "the store has gone back to an earlier state, or is damaged, or files in %s "
                    "are gone: it does not agree with what this boot has seen of %d guest%s (%u%s)",
                    path, found.count, found.count == 1 ? "" : "s", found.vmid,
                    found.count == 1 ? "" : " and others");
}

/* --- owners and modes --- */

struct private_file {
    const char *name;
    mode_t mode; /* with its type */
};

/* A file that is missing or has another type is reported by another check. */
static bool is_private(const char *path, uid_t uid, mode_t mode)
{
    struct stat status;
    if (lstat(path, &status) < 0 || (status.st_mode & S_IFMT) != (mode & S_IFMT))
        return true;
    return status.st_uid == uid && status.st_mode == mode;
}

/* Returns the path of the first file whose owner or mode is wrong, which the caller frees with
 * free(); NULL if all are right. */
static char *first_exposed(const char *state, const struct private_file *files, size_t count)
{
    struct stat status;
    if (stat(state, &status) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        char *path = mem_format("%s/%s", state, files[i].name);
        if (!is_private(path, status.st_uid, files[i].mode))
            return path;
        free(path);
    }
    return NULL;
}

/* secrets: the pattern of the files in the directory that must have mode 0600. */
static void check_privacy(struct doctor *doctor, const char *directory, const char *secrets,
                          const struct private_file *files, size_t count)
{
    const char *state = doctor->config.paths.state;
    cleanup_free char *path = mem_format("%s/%s", state, directory);
    cleanup_free char *exposed = first_exposed(state, files, count);
    if (access(path, F_OK) < 0)
        return; /* doctor_check_store and doctor_check_identity report it */
    if (!exposed) {
        doctor_ok(doctor, "%s is accessible to its owner alone", path);
        return;
    }
    cleanup_free char *remedy =
        mem_format("chown -R --reference=%s %s; chmod 0700 %s; chmod 0600 %s/%s", state, path, path,
                   path, secrets);
    doctor_fail(doctor, remedy, "%s has a wrong owner or mode", exposed);
}

void doctor_check_store_privacy(struct doctor *doctor)
{
    static const struct private_file files[] = {
        {"db", S_IFDIR | 0700},
        {"db/agent.db", S_IFREG | 0600},
        {"db/agent.db-wal", S_IFREG | 0600},
        {"db/agent.db-shm", S_IFREG | 0600},
    };
    check_privacy(doctor, "db", "agent.db*", files, ARRAY_SIZE(files));
}

void doctor_check_identity_privacy(struct doctor *doctor)
{
    static const struct private_file files[] = {
        {"tls", S_IFDIR | 0700},
        {"tls/agent.pem", S_IFREG | 0600},
    };
    check_privacy(doctor, "tls", "agent.pem", files, ARRAY_SIZE(files));
}

/* --- the identity --- */

/* A lost or damaged key cannot be restored; the remedy makes a new one. */
void doctor_check_identity(struct doctor *doctor)
{
    struct error error;
    cleanup(identity_free) struct identity identity = {0};
    const char *state = doctor->config.paths.state;
    cleanup_free char *renew =
        mem_format("rm %s/tls/agent.* && felhomctl init && systemctl restart felhomd", state);
    if (identity_load(state, &identity, &error) < 0)
        doctor_fail(doctor, DOCTOR_INIT, "%s", error.message);
    else if (identity_verify(state, &error) < 0)
        doctor_fail(doctor, error.kind == ERROR_CORRUPT ? renew : DOCTOR_INIT, "%s", error.message);
    else
        doctor_ok(doctor, "%s/tls, leaf pin %s", state, identity.pins.leaf);
}

/* What the store records about the host: guests get this endpoint and these pins while the bridge
 * has no address. */
void doctor_check_host_record(struct doctor *doctor)
{
    struct error ignored;
    struct host known;
    struct host now;
    cleanup(identity_free) struct identity identity = {0};
    if (!doctor->store || identity_load(doctor->config.paths.state, &identity, &ignored) < 0 ||
        host_describe(&doctor->config, &identity.pins, &now, &ignored) < 0)
        return; /* other checks report it */
    if (host_get(doctor->store, &known, &ignored) < 0)
        doctor_warn(doctor, DOCTOR_INIT, "the store has no record of this host");
    else if (strcmp(known.endpoint, now.endpoint) != 0)
        doctor_warn(doctor, DOCTOR_INIT, "the store has the endpoint %s, but the endpoint is %s",
                    known.endpoint, now.endpoint);
    else if (strcmp(known.pins.leaf, now.pins.leaf) != 0)
        doctor_warn(doctor, DOCTOR_INIT, "the store has the pin of another certificate");
    else
        doctor_ok(doctor, "host %s on node %s", known.host_id, known.node);
}

/* --- the clock --- */

#define SET_CLOCK "timedatectl set-ntp true"

static int take_event_time(const struct event *event, void *context)
{
    int64_t *at_ms = context;
    *at_ms = event->at_ms;
    return 1;
}

/* Returns 0 if it cannot be known. */
static int64_t newest_event_ms(struct store *store)
{
    struct error ignored;
    int64_t seq = 0;
    int64_t at_ms = 0;
    if (store && event_newest(store, &seq, &ignored) == 0)
        (void)event_each(store, 0, seq - 1, 1, take_event_time, &at_ms, &ignored);
    return at_ms;
}

enum validity { VALIDITY_UNKNOWN, VALIDITY_FUTURE, VALIDITY_NOW, VALIDITY_PAST };

/* Compares the certificate's validity with this host's clock. */
static enum validity certificate_validity(const char *state)
{
    struct error ignored;
    cleanup(identity_free) struct identity identity = {0};
    int64_t now_ms = clock_wall_ms();
    if (identity_load(state, &identity, &ignored) < 0)
        return VALIDITY_UNKNOWN;
    if (identity.valid_from_ms > now_ms)
        return VALIDITY_FUTURE;
    return identity.valid_to_ms < now_ms ? VALIDITY_PAST : VALIDITY_NOW;
}

void doctor_check_clock(struct doctor *doctor)
{
    enum validity validity = certificate_validity(doctor->config.paths.state);
    if (clock_wall_ms() < newest_event_ms(doctor->store))
        doctor_fail(doctor, SET_CLOCK, "the clock is behind the newest event in the store");
    else if (validity == VALIDITY_FUTURE)
        doctor_fail(doctor, SET_CLOCK, "by the clock, the certificate is not yet valid");
    else if (validity == VALIDITY_PAST)
        doctor_fail(doctor, SET_CLOCK, "by the clock, the certificate is no longer valid");
    else
        doctor_ok(doctor, "the clock agrees with the store and the certificate");
}
