/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: whether a guest is set up to be served: its configuration and its enrolment. */
#include <string.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/guest_lines.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/documents/settings.h"
#include "store/files/foreign.h"

static const char *command_of(const struct patient *patient)
{
    return patient->config.kind == GUEST_LXC ? "pct" : "qm";
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

static const struct check checks[] = {
    {"guest", check_config},
    {"guest.enrolment", check_enrolment},
    {"guest.hook", check_hookscript},
    {"guest.mount", check_mount},
};
const struct check_list doctor_guest_checks = {checks, ARRAY_SIZE(checks)};
