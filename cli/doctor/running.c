/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: a guest that runs: its directory, the token and the pin in it, what it sees of it. One
 * that does not run gets all of these at its next start. */
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "cli/doctor/doctor.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/base/running.h"
#include "store/files/file.h"
#include "store/files/foreign.h"
#include "store/identity/identity.h"
#include "store/tables/token.h"

#define FILE_LIMIT  ((size_t)65536)
#define MS_PER_HOUR ((int64_t)3600 * 1000)

/* To be freed with free(). */
static char *path_in(const char *root, const struct patient *patient, const char *name)
{
    return mem_format("%s/%u%s%s", root, patient->vmid, *name ? "/" : "", name);
}

static char *restart_of(const struct patient *patient)
{
    return mem_format("pct reboot %u", patient->vmid);
}

static char *rotate_of(const struct patient *patient)
{
    return mem_format("felhomctl rotate %u", patient->vmid);
}

/* A container that runs, and whose configuration can be read: no other has a directory now. */
static bool has_directory(const struct patient *patient)
{
    return patient->here && patient->config.kind == GUEST_LXC && patient->running;
}

static struct own_mount mount_of(const struct doctor *doctor)
{
    struct error ignored;
    struct own_mount own = {MOUNT_FORM_NONE, NULL};
    const struct patient *patient = doctor->patient;
    (void)foreign_check(&doctor->config, patient->vmid, &patient->config, &own, &ignored);
    return own;
}

/* --- the directory --- */

struct entry {
    const char *name; /* "": the directory itself */
    mode_t mode;
};

/* What is wrong with it: to be freed with free(); NULL: nothing. */
static char *fault_of(const char *path, mode_t mode, uint32_t uid, uint32_t gid)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return mem_format("there is no %s", path);
    if (status.st_mode != mode)
        return mem_format("%s has mode %06o, not %06o", path, status.st_mode, mode);
    if (status.st_uid != uid || status.st_gid != gid)
        return mem_format("%s belongs to %u:%u, the guest's root is %u:%u", path, status.st_uid,
                          status.st_gid, uid, gid);
    return NULL;
}

static char *first_fault(const struct doctor *doctor, uint32_t uid, uint32_t gid)
{
    static const struct entry entries[] = {
        {"", S_IFDIR | 0700},
        {"token", S_IFREG | 0600},
        {"bootstrap.json", S_IFREG | 0600},
        {"controller.yaml", S_IFREG | 0600},
        {"agent.crt", S_IFREG | 0644},
    };
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        cleanup_free char *path =
            path_in(doctor->config.paths.guests, doctor->patient, entries[i].name);
        char *fault = fault_of(path, entries[i].mode, uid, gid);
        if (fault)
            return fault;
    }
    return NULL;
}

static void check_directory(struct doctor *doctor)
{
    uint32_t uid;
    uint32_t gid;
    const struct patient *patient = doctor->patient;
    if (!has_directory(patient))
        return;
    const struct own_mount own = mount_of(doctor);
    cleanup_free char *restart = restart_of(patient);
    guest_config_disk_ids(&patient->config, own.volume ? own.volume->idmap : NULL, &uid, &gid);
    cleanup_free char *fault = first_fault(doctor, uid, gid);
    if (fault)
        doctor_note(doctor, GRADE_ERROR, restart, "%s", fault);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s/%u, of %u:%u", doctor->config.paths.guests,
                    patient->vmid, uid, gid);
}

/* Read-only from the host's side, as the guest's own root could undo anything else. */
static bool is_exported(const char *inner, const char *outer)
{
    struct stat of_inner;
    struct stat of_outer;
    struct statvfs flags;
    return stat(inner, &of_inner) == 0 && stat(outer, &of_outer) == 0 &&
           of_inner.st_dev == of_outer.st_dev && of_inner.st_ino == of_outer.st_ino &&
           statvfs(outer, &flags) == 0 && (flags.f_flag & ST_RDONLY);
}

static void check_export(struct doctor *doctor)
{
    const struct patient *patient = doctor->patient;
    if (!has_directory(patient) || mount_of(doctor).form != MOUNT_FORM_ENTRY)
        return;
    cleanup_free char *restart = restart_of(patient);
    cleanup_free char *inner = path_in(doctor->config.paths.guests, patient, "");
    cleanup_free char *outer = path_in(doctor->config.paths.export, patient, "");
    if (is_exported(inner, outer))
        doctor_note(doctor, GRADE_OK, NULL, "%s, read-only", outer);
    else
        doctor_note(doctor, GRADE_ERROR, restart, "%s does not show its directory read-only",
                    outer);
}

/* --- the token --- */

/* Judges the token that lies in the directory; TOKEN_MALFORMED where none does. */
static enum token_verdict judge_token(const struct doctor *doctor, struct token_check *ret)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *path = path_in(doctor->config.paths.guests, doctor->patient, "token");
    *ret = (struct token_check){.verdict = TOKEN_MALFORMED};
    if (file_read(path, FILE_LIMIT, &text, &ignored) == 0 && text.length > 0)
        (void)token_check(doctor->store, buffer_text(&text), text.length - 1, clock_wall_ms(), ret,
                          &ignored);
    if (ret->verdict == TOKEN_GOOD && ret->vmid != doctor->patient->vmid)
        ret->verdict = TOKEN_UNKNOWN;
    return ret->verdict;
}

/* When rotate --due would have replaced it long ago. */
static bool is_old(const struct doctor *doctor, const struct token_check *token)
{
    struct error ignored;
    struct token_life life = {.generation = 0};
    int64_t max_age_ms = (int64_t)doctor->config.token.max_age_ms;
    if (max_age_ms == 0 || token_find(doctor->store, token->id, &life, &ignored) < 0)
        return false;
    int64_t left_ms = life.created_at_ms + max_age_ms - clock_wall_ms();
    return left_ms < MS_PER_HOUR && left_ms < max_age_ms / 4;
}

static void check_token(struct doctor *doctor)
{
    struct token_check token;
    const struct patient *patient = doctor->patient;
    if (!doctor->store || !has_directory(patient))
        return;
    cleanup_free char *restart = restart_of(patient);
    cleanup_free char *rotate = rotate_of(patient);
    enum token_verdict verdict = judge_token(doctor, &token);
    if (verdict == TOKEN_EXPIRED)
        doctor_note(doctor, GRADE_ERROR, rotate, "the token in its directory has expired");
    else if (verdict == TOKEN_MALFORMED)
        doctor_note(doctor, GRADE_ERROR, restart, "there is no token in its directory");
    else if (verdict != TOKEN_GOOD)
        doctor_note(doctor, GRADE_ERROR, restart, "the token in its directory is %s",
                    token_verdict_name(verdict));
    else if (is_old(doctor, &token))
        doctor_note(doctor, GRADE_WARNING, rotate,
                    "its token ends soon, by token.max_age; is felhom-token-age.timer at work?");
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s is good", token.id);
}

/* --- the pin --- */

static void check_pin(struct doctor *doctor)
{
    struct error ignored;
    const struct patient *patient = doctor->patient;
    cleanup_buffer struct buffer shown = BUFFER_EMPTY;
    cleanup(identity_free) struct identity identity = {0};
    if (!has_directory(patient) ||
        identity_load(doctor->config.paths.state, &identity, &ignored) < 0)
        return;
    cleanup_free char *rotate = rotate_of(patient);
    cleanup_free char *path = path_in(doctor->config.paths.guests, patient, "agent.crt");
    if (file_read(path, FILE_LIMIT, &shown, &ignored) < 0)
        return; /* another check's */
    if (strcmp(buffer_text(&shown), buffer_text(&identity.certificate_pem)) == 0)
        doctor_note(doctor, GRADE_OK, NULL, "it is given the certificate in force");
    else
        doctor_note(doctor, GRADE_ERROR, rotate,
                    "the certificate in its directory is not the one in force");
}

/* --- what it sees --- */

static void check_sight(struct doctor *doctor)
{
    const struct patient *patient = doctor->patient;
    const char *path = doctor->config.bootstrap.guest_path;
    if (!has_directory(patient))
        return;
    cleanup_free char *restart = restart_of(patient);
    enum sighting sighting = sighting_of(&doctor->config, patient->vmid);
    if (sighting == SIGHTING_SEEN)
        doctor_note(doctor, GRADE_OK, NULL, "it sees its directory at %s", path);
    else if (sighting == SIGHTING_MISSING)
        doctor_note(doctor, GRADE_ERROR, restart, "it does not see its directory at %s", path);
}

static const struct check checks[] = {
    {"guest.directory", check_directory}, {"guest.export", check_export},
    {"guest.token", check_token},         {"guest.pin", check_pin},
    {"guest.sight", check_sight},
};
const struct check_list doctor_running_checks = {checks, ARRAY_SIZE(checks)};
