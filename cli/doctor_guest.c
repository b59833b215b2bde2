/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: one guest: what its configuration says, what lies in its directory, what it sees of it.
 */
#include <string.h>
#include <sys/stat.h>

#include "cli/directory_line.h"
#include "cli/doctor.h"
#include "cli/guest_lines.h"
#include "schema/cleanup.h"
#include "schema/enrolment.h"
#include "schema/memory.h"
#include "store/clock.h"
#include "store/file.h"
#include "store/foreign.h"
#include "store/settings.h"
#include "store/sighting.h"
#include "store/token.h"
#include "store/token_life.h"

#define TOKEN_LIMIT ((size_t)4096)
#define MS_PER_HOUR ((int64_t)3600 * 1000)

static const char *command_of(const struct patient *patient)
{
    return patient->config.kind == GUEST_LXC ? "pct" : "qm";
}

/* What brings a guest everything anew. To be freed with free(). */
static char *restart_of(const struct patient *patient)
{
    return mem_format("%s reboot %u", command_of(patient), patient->vmid);
}

static char *enroll_of(const struct patient *patient)
{
    return mem_format("felhomctl enroll %u", patient->vmid);
}

/* A container whose configuration can be read: others have no directory. */
static bool has_directory(const struct patient *patient)
{
    return patient->here && patient->config.kind == GUEST_LXC;
}

/* --- its configuration --- */

static void check_config(struct doctor *doctor)
{
    const struct patient *patient = doctor->patient;
    cleanup_free char *enroll = enroll_of(patient);
    if (!patient->here)
        doctor_note(doctor, GRADE_ERROR, NULL, "%s", patient->problem.message);
    else if (doctor->store && !patient->known)
        doctor_note(doctor, GRADE_WARNING, enroll,
                    "%s is not known to the store; its next start makes it known too",
                    patient->config.name);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s, %s", patient->config.name,
                    patient->running ? "running" : "not running");
}

static void check_enrolment(struct doctor *doctor)
{
    struct error error;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    const char *directory = doctor->config.paths.enrolment;
    if (!doctor->patient->here)
        return;
    cleanup_free char *name = mem_format("%u.yaml", doctor->patient->vmid);
    cleanup_free char *remedy = mem_format("editor %s/%s", directory, name);
    if (settings_read_enrolment(&doctor->config, doctor->patient->vmid, &text, &error) == 0 &&
        enrolment_parse(name, buffer_text(&text), text.length, &enrolment, &error) == 0)
        doctor_note(doctor, GRADE_OK, NULL, "%s%s",
                    *enrolment.customer_id ? "customer " : "no customer", enrolment.customer_id);
    else
        doctor_note(doctor, GRADE_ERROR, remedy, "%s", error.message);
}

static void check_hookscript(struct doctor *doctor)
{
    const struct patient *patient = doctor->patient;
    const char *hookscript = patient->config.hookscript;
    if (!patient->here)
        return;
    cleanup_free char *enroll = enroll_of(patient);
    cleanup_free char *replace = mem_format("%s set %u --delete hookscript && %s",
                                            command_of(patient), patient->vmid, enroll);
    if (!hookscript)
        doctor_note(doctor, GRADE_ERROR, enroll, "it has no hookscript");
    else if (strcmp(hookscript, HOOKSCRIPT_VALUE) != 0)
        doctor_note(doctor, GRADE_ERROR, replace, "its hookscript is %s, not " HOOKSCRIPT_VALUE,
                    hookscript);
    else
        doctor_note(doctor, GRADE_OK, NULL, HOOKSCRIPT_VALUE);
}

/* An mp may have more options than enroll gives it, but not less than these. */
static bool is_mp_right(const struct config *config, const struct volume *volume)
{
    return volume->read_only && strcmp(volume->mount_point, config->bootstrap.guest_path) == 0;
}

static bool is_entry_right(const struct config *config, const struct patient *patient)
{
    for (size_t i = 0; i < patient->config.raw_count; i++)
        if (directory_line_is_right(config, MOUNT_FORM_ENTRY, patient->vmid,
                                    patient->config.raw[i].key, patient->config.raw[i].value))
            return true;
    return false;
}

/* A foreign one is told of among the checks of the host. */
static void check_mount(struct doctor *doctor)
{
    struct error ignored;
    struct own_mount own;
    const struct patient *patient = doctor->patient;
    const struct config *config = &doctor->config;
    if (!has_directory(patient) ||
        foreign_check(config, patient->vmid, &patient->config, &own, &ignored) < 0)
        return;
    cleanup_free char *enroll = enroll_of(patient);
    bool right = own.form == MOUNT_FORM_MP ? is_mp_right(config, own.volume)
                                           : is_entry_right(config, patient);
    if (own.form == MOUNT_FORM_NONE)
        doctor_note(doctor, GRADE_ERROR, enroll, "no line mounts its directory");
    else if (!right)
        doctor_note(doctor, GRADE_WARNING, enroll,
                    "its directory is mounted otherwise than enroll does it (form %s)",
                    mount_form_name(own.form));
    else
        doctor_note(doctor, GRADE_OK, NULL, "its own directory, form %s",
                    mount_form_name(own.form));
}

/* --- its directory --- */

static void wanted_owner(const struct config *config, const struct patient *patient,
                         uint32_t *ret_uid, uint32_t *ret_gid)
{
    struct error ignored;
    struct own_mount own = {MOUNT_FORM_NONE, NULL};
    (void)foreign_check(config, patient->vmid, &patient->config, &own, &ignored);
    guest_config_disk_ids(&patient->config, own.volume ? own.volume->idmap : NULL, ret_uid,
                          ret_gid);
}

static void check_directory(struct doctor *doctor)
{
    struct stat status;
    uint32_t uid;
    uint32_t gid;
    const struct patient *patient = doctor->patient;
    if (!has_directory(patient) || !patient->running)
        return; /* its next start makes it */
    cleanup_free char *restart = restart_of(patient);
    cleanup_free char *path = mem_format("%s/%u", doctor->config.paths.guests, patient->vmid);
    wanted_owner(&doctor->config, patient, &uid, &gid);
    if (lstat(path, &status) < 0 || !S_ISDIR(status.st_mode))
        doctor_note(doctor, GRADE_ERROR, restart, "there is no directory %s", path);
    else if (status.st_uid != uid || status.st_gid != gid)
        doctor_note(doctor, GRADE_ERROR, restart, "%s belongs to %u:%u, the guest's root is %u:%u",
                    path, status.st_uid, status.st_gid, uid, gid);
    else if ((status.st_mode & 07777) != 0700)
        doctor_note(doctor, GRADE_ERROR, restart, "%s has mode %04o, not 0700", path,
                    status.st_mode & 07777);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s, of %u:%u", path, uid, gid);
}

/* --- its token --- */

/* Judges the token that lies in the directory; TOKEN_MALFORMED where none does. */
static enum token_verdict judge_token(const struct doctor *doctor, struct token_check *ret)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *path =
        mem_format("%s/%u/token", doctor->config.paths.guests, doctor->patient->vmid);
    *ret = (struct token_check){.verdict = TOKEN_MALFORMED};
    if (file_read(path, TOKEN_LIMIT, &text, &ignored) == 0 && text.length > 0)
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
    if (!doctor->store || !has_directory(patient) || !patient->running)
        return;
    cleanup_free char *restart = restart_of(patient);
    cleanup_free char *rotate = mem_format("felhomctl rotate %u", patient->vmid);
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

/* --- what it sees --- */

static void check_sight(struct doctor *doctor)
{
    const struct patient *patient = doctor->patient;
    const char *path = doctor->config.bootstrap.guest_path;
    if (!has_directory(patient) || !patient->running)
        return;
    cleanup_free char *restart = restart_of(patient);
    enum sighting sighting = sighting_of(&doctor->config, patient->vmid);
    if (sighting == SIGHTING_SEEN)
        doctor_note(doctor, GRADE_OK, NULL, "it sees its directory at %s", path);
    else if (sighting == SIGHTING_MISSING)
        doctor_note(doctor, GRADE_ERROR, restart, "it does not see its directory at %s", path);
}

static const struct check checks[] = {
    {"guest", check_config},
    {"guest.enrolment", check_enrolment},
    {"guest.hook", check_hookscript},
    {"guest.mount", check_mount},
    {"guest.directory", check_directory},
    {"guest.token", check_token},
    {"guest.sight", check_sight},
};
const struct check_list doctor_guest_checks = {checks, ARRAY_SIZE(checks)};
