/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what the agent keeps: the store, the TLS identity; and the clock that both are held
 * against. */
#include <mbedtls/x509_crt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/base/session.h"
#include "cli/doctor/doctor.h"
#include "cli/pve/state_owner.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/host/endpoint.h"
#include "store/identity/identity.h"
#include "store/tables/event.h"
#include "store/tables/host.h"

#define INIT "felhomctl init"

static const char *state_of(const struct doctor *doctor)
{
    return doctor->config.paths.state;
}

/* --- the directory --- */

static void check_directory(struct doctor *doctor)
{
    struct stat status;
    struct owner owner;
    struct error ignored;
    bool known = false;
    const char *state = state_of(doctor);
    if (stat(state, &status) < 0 || !S_ISDIR(status.st_mode)) {
        doctor_note(doctor, GRADE_ERROR, INIT, "there is no directory %s", state);
        return;
    }
    if (status.st_mode & (S_IWGRP | S_IWOTH)) {
        cleanup_free char *remedy = mem_format("chmod 0755 %s", state);
        doctor_note(doctor, GRADE_ERROR, remedy, "%s: others may write to it", state);
        return;
    }
    (void)state_owner_find(STATE_USER, &owner, &known, &ignored);
    if (known && geteuid() == 0 && owner.uid != 0 && status.st_uid == 0)
        doctor_note(doctor, GRADE_ERROR, INIT, "%s belongs to root, not to " STATE_USER, state);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s", state);
}

/* --- the store --- */

/* Enrolments lie in Proxmox's file system, so that nothing but the past is lost. */
static void note_damaged_store(struct doctor *doctor, const struct error *error)
{
    const char *state = state_of(doctor);
    cleanup_free char *remedy =
        mem_format("systemctl stop felhomd; mv %s/db %s/db.damaged && felhomctl init && systemctl "
                   "start felhomd",
                   state, state);
    doctor_note(doctor, GRADE_ERROR, remedy,
                "%s; in a new one each guest gets a token at its next start, and until then has "
                "none",
                error->message);
}

static void note_bad_store(struct doctor *doctor, const struct error *error)
{
    switch (error->kind) {
    case ERROR_MISSING:
        doctor_note(doctor, GRADE_ERROR, INIT, "%s", error->message);
        break;
    case ERROR_CORRUPT:
    case ERROR_DENIED:
        note_damaged_store(doctor, error);
        break;
    case ERROR_NEWER:
        doctor_note(doctor, GRADE_ERROR, "apt install --only-upgrade felhom-agent", "%s",
                    error->message);
        break;
    case ERROR_CONFLICT:
        doctor_note(doctor, GRADE_WARNING, "felhomctl guests",
                    "%s: whoever opens it next brings it up to date", error->message);
        break;
    default: /* felhomd may have open what is not there any more */
        doctor_note(doctor, GRADE_ERROR, "systemctl restart felhomd", "%s", error->message);
    }
}

/* Where the guests are to be found in the store, it must be a good one. */
static void check_store(struct doctor *doctor)
{
    struct error error;
    cleanup_store struct store *store = NULL;
    if (store_open_read_only(state_of(doctor), SESSION_BUSY_MS, &store, &error) < 0 ||
        store_check(store, &error) < 0) {
        note_bad_store(doctor, &error);
        return;
    }
    doctor->store = steal(store);
    doctor_note(doctor, GRADE_OK, NULL, "%s/db/agent.db, whole, version %d", state_of(doctor),
                store_schema_version());
}

/* A file or directory whose owner and mode matter; that one is not there, or is something else, is
 * another check's. */
static bool is_private(const char *path, uid_t uid, mode_t mode)
{
    struct stat status;
    if (lstat(path, &status) < 0 || (status.st_mode & S_IFMT) != (mode & S_IFMT))
        return true;
    return status.st_uid == uid && status.st_mode == mode;
}

struct private_file {
    const char *name;
    mode_t mode;
};

/* The first of the files that is not as it should be; NULL where all are. To be freed with free().
 */
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

static void check_privacy(struct doctor *doctor, const char *directory, const char *secrets,
                          const struct private_file *files, size_t count)
{
    const char *state = state_of(doctor);
    cleanup_free char *path = mem_format("%s/%s", state, directory);
    cleanup_free char *exposed = first_exposed(state, files, count);
    if (access(path, F_OK) < 0)
        return; /* another check's */
    if (!exposed) {
        doctor_note(doctor, GRADE_OK, NULL, "%s/%s is its owner's alone", state, directory);
        return;
    }
    cleanup_free char *remedy =
        mem_format("chown -R --reference=%s %s/%s; chmod 0700 %s/%s; chmod 0600 %s/%s/%s", state,
                   state, directory, state, directory, state, directory, secrets);
    doctor_note(doctor, GRADE_ERROR, remedy, "%s has a wrong owner or mode", exposed);
}

static void check_store_privacy(struct doctor *doctor)
{
    static const struct private_file files[] = {
        {"db", S_IFDIR | 0700},
        {"db/agent.db", S_IFREG | 0600},
        {"db/agent.db-wal", S_IFREG | 0600},
        {"db/agent.db-shm", S_IFREG | 0600},
    };
    check_privacy(doctor, "db", "agent.db*", files, ARRAY_SIZE(files));
}

/* --- the identity --- */

/* A key that is gone does not come back: what can be said is what to do about it. */
static void check_identity(struct doctor *doctor)
{
    struct error error;
    cleanup(identity_free) struct identity identity = {0};
    const char *state = state_of(doctor);
    cleanup_free char *anew =
        mem_format("rm %s/tls/agent.* && felhomctl init && systemctl restart felhomd", state);
    if (identity_load(state, &identity, &error) < 0)
        doctor_note(doctor, GRADE_ERROR, INIT, "%s", error.message);
    else if (identity_verify(state, &error) < 0)
        doctor_note(doctor, GRADE_ERROR, error.kind == ERROR_CORRUPT ? anew : INIT, "%s",
                    error.message);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s/tls, leaf pin %s", state, identity.pins.leaf);
}

static void check_identity_privacy(struct doctor *doctor)
{
    static const struct private_file files[] = {{"tls", S_IFDIR | 0700},
                                                {"tls/agent.pem", S_IFREG | 0600}};
    check_privacy(doctor, "tls", "agent.pem", files, ARRAY_SIZE(files));
}

/* --- what the store has of the host --- */

/* The endpoint and the pins that guests are told while the bridge has no address. */
static void check_host(struct doctor *doctor)
{
    struct error ignored;
    struct host known;
    struct host now;
    cleanup(identity_free) struct identity identity = {0};
    if (!doctor->store || identity_load(state_of(doctor), &identity, &ignored) < 0 ||
        endpoint_describe_host(&doctor->config, &identity.pins, &now, &ignored) < 0)
        return; /* other checks' */
    if (host_get(doctor->store, &known, &ignored) < 0)
        doctor_note(doctor, GRADE_WARNING, INIT, "the store knows nothing of its host");
    else if (strcmp(known.endpoint, now.endpoint) != 0)
        doctor_note(doctor, GRADE_WARNING, INIT, "the store has the endpoint %s, it is %s",
                    known.endpoint, now.endpoint);
    else if (strcmp(known.pins.leaf, now.pins.leaf) != 0)
        doctor_note(doctor, GRADE_WARNING, INIT, "the store has the pin of another certificate");
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s on node %s", known.host_id, known.node);
}

/* --- the clock --- */

#define SET_CLOCK "timedatectl set-ntp true"

static int take_time(const struct event *event, void *context)
{
    int64_t *at_ms = context;
    *at_ms = event->at_ms;
    return 1;
}

/* When the store was told something last; 0 where it cannot be known. */
static int64_t newest_event_ms(struct store *store)
{
    struct error ignored;
    int64_t seq = 0;
    int64_t at_ms = 0;
    if (store && event_newest(store, &seq, &ignored) == 0)
        (void)event_each(store, 0, seq - 1, 1, take_time, &at_ms, &ignored);
    return at_ms;
}

enum validity { VALIDITY_UNKNOWN, VALIDITY_FUTURE, VALIDITY_NOW, VALIDITY_PAST };

static enum validity validity_of(const char *state)
{
    struct error ignored;
    enum validity validity = VALIDITY_UNKNOWN;
    cleanup(identity_free) struct identity identity = {0};
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    if (identity_load(state, &identity, &ignored) < 0)
        return validity;
    const struct buffer *pem = &identity.certificate_pem;
    if (mbedtls_x509_crt_parse(&certificate, (const unsigned char *)buffer_text(pem),
                               pem->length + 1) == 0)
        validity = mbedtls_x509_time_is_future(&certificate.valid_from) ? VALIDITY_FUTURE
                   : mbedtls_x509_time_is_past(&certificate.valid_to)   ? VALIDITY_PAST
                                                                        : VALIDITY_NOW;
    return validity;
}

static void check_clock(struct doctor *doctor)
{
    enum validity validity = validity_of(state_of(doctor));
    if (clock_wall_ms() < newest_event_ms(doctor->store))
        doctor_note(doctor, GRADE_ERROR, SET_CLOCK,
                    "the clock is behind the newest event in the store");
    else if (validity == VALIDITY_FUTURE)
        doctor_note(doctor, GRADE_ERROR, SET_CLOCK,
                    "the clock says that the certificate is not valid yet");
    else if (validity == VALIDITY_PAST)
        doctor_note(doctor, GRADE_ERROR, SET_CLOCK,
                    "the clock says that the certificate is not valid any more");
    else
        doctor_note(doctor, GRADE_OK, NULL, "behind neither the store nor the certificate");
}

static const struct check checks[] = {
    {"state", check_directory},
    {"store", check_store},
    {"store.privacy", check_store_privacy},
    {"identity", check_identity},
    {"identity.privacy", check_identity_privacy},
    {"host", check_host},
    {"clock", check_clock},
};
const struct check_list doctor_state_checks = {checks, ARRAY_SIZE(checks)};
