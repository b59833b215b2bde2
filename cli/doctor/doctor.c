/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: whether all is there that host and guests need, and how what is not is mended. */
#include "cli/doctor/doctor.h"

#include <stdio.h>

#include "cli/base/output.h"
#include "cli/pve/config.h"
#include "cli/pve/guests.h"
#include "cli/pve/snippet.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "store/base/running.h"
#include "store/documents/settings.h"

enum { EXIT_WARNINGS = 3, EXIT_ERRORS = 4 };

static const char *const grade_names[GRADE_MAX] = {"ok", "warning", "error"};

struct findings findings_new(void)
{
    return (struct findings){.list = json_array()};
}

void findings_free(struct findings *findings)
{
    json_decref(findings->list);
}

void findings_add(struct findings *findings, const char *check, uint32_t vmid, enum grade grade,
                  const char *remedy, const char *format, va_list arguments)
{
    json_t *finding = json_object();
    cleanup_free char *reason = NULL;
    if (vasprintf(&reason, format, arguments) < 0)
        mem_exhausted();
    output_put_text(finding, "id", check);
    output_put_vmid(finding, "vmid", vmid);
    output_put_text(finding, "result", grade_names[grade]);
    output_put_text(finding, "reason", reason);
    if (remedy)
        output_put_text(finding, "remedy", remedy);
    else
        json_set(finding, "remedy", json_null());
    json_append(findings->list, finding);
    findings->counts[grade]++;
}

static enum grade worst(const struct findings *findings)
{
    for (enum grade grade = GRADE_ERROR; grade > GRADE_OK; grade--)
        if (findings->counts[grade] > 0)
            return grade;
    return GRADE_OK;
}

int findings_status(const struct findings *findings)
{
    static const int statuses[GRADE_MAX] = {0, EXIT_WARNINGS, EXIT_ERRORS};
    return statuses[worst(findings)];
}

static void print_heading(FILE *out, json_int_t vmid, bool first)
{
    if (vmid == 0)
        (void)fprintf(out, "host\n");
    else
        (void)fprintf(out, "%sguest %" JSON_INTEGER_FORMAT "\n", first ? "" : "\n", vmid);
}

static void print_finding(FILE *out, const json_t *finding)
{
    const char *remedy = json_string_value(json_object_get(finding, "remedy"));
    cleanup_free char *reason =
        output_printable(json_string_value(json_object_get(finding, "reason")));
    (void)fprintf(out, "  %-8s %-18s %s\n", json_string_value(json_object_get(finding, "result")),
                  json_string_value(json_object_get(finding, "id")), reason);
    if (!remedy)
        return;
    cleanup_free char *command = output_printable(remedy);
    (void)fprintf(out, "  %-8s %-18s mend it by: %s\n", "", "", command);
}

static void print_text(FILE *out, const struct findings *findings)
{
    size_t i;
    const json_t *finding;
    json_int_t last = -1;
    json_array_foreach(findings->list, i, finding)
    {
        json_int_t vmid = json_integer_value(json_object_get(finding, "vmid"));
        if (vmid != last)
            print_heading(out, vmid, i == 0);
        print_finding(out, finding);
        last = vmid;
    }
    (void)fprintf(out, "\n%zu ok, %zu to look at, %zu wrong\n", findings->counts[GRADE_OK],
                  findings->counts[GRADE_WARNING], findings->counts[GRADE_ERROR]);
}

static void print_value(const struct invocation *invocation, const struct findings *findings)
{
    cleanup_json json_t *report = json_object();
    output_put_text(report, "result", grade_names[worst(findings)]);
    output_put_int(report, "warnings", (int64_t)findings->counts[GRADE_WARNING]);
    output_put_int(report, "errors", (int64_t)findings->counts[GRADE_ERROR]);
    json_set(report, "checks", json_incref(findings->list));
    output_value(invocation, report);
}

void findings_print(const struct findings *findings, const struct invocation *invocation)
{
    if (invocation->format != OUTPUT_TEXT)
        print_value(invocation, findings);
    else
        print_text(invocation->out, findings);
}

enum { OPTION_SNIPPETS };
static const struct verb_option options[] = {
    [OPTION_SNIPPETS] = {"snippets", "DIR", "default: " SNIPPET_DIRECTORY},
};

void doctor_note(struct doctor *doctor, enum grade grade, const char *remedy, const char *format,
                 ...)
{
    va_list arguments;
    va_start(arguments, format);
    findings_add(&doctor->findings, doctor->check, doctor->patient ? doctor->patient->vmid : 0,
                 grade, remedy, format, arguments);
    va_end(arguments);
}

static void doctor_free(struct doctor *doctor)
{
    store_close(doctor->store);
    config_free(&doctor->config);
    findings_free(&doctor->findings);
}

static void run_checks(struct doctor *doctor, struct check_list checks)
{
    for (size_t i = 0; i < checks.count; i++) {
        doctor->check = checks.items[i].id;
        checks.items[i].run(doctor);
    }
}

/* --- the host --- */

static bool check_settings(struct doctor *doctor)
{
    struct error error;
    doctor->check = "settings";
    if (settings_load(&doctor->config, &error) == 0) {
        doctor_note(doctor, GRADE_OK, NULL, "%s", settings_path());
        return true;
    }
    cleanup_free char *remedy = mem_format("editor %s", settings_path());
    doctor_note(doctor, GRADE_ERROR, remedy, "%s; nothing else can be checked", error.message);
    return false;
}

static void check_host(struct doctor *doctor)
{
    run_checks(doctor, doctor_state_checks);
    run_checks(doctor, doctor_host_checks);
    run_checks(doctor, doctor_daemon_checks);
    run_checks(doctor, doctor_pve_checks);
}

/* --- the guests --- */

static void patient_free(struct patient *patient)
{
    guest_config_free(&patient->config);
}

static void describe(const struct doctor *doctor, uint32_t vmid, struct patient *ret)
{
    struct error ignored;
    const struct config *config = &doctor->config;
    ret->vmid = vmid;
    ret->here = settings_load_guest(config, vmid, &ret->config, &ret->problem) == 0;
    ret->known = doctor->store && guest_find(doctor->store, vmid, &ret->guest, &ignored) == 0;
    ret->running = cgroup_has_guest(config->paths.cgroup, ret->config.kind, vmid) ||
                   (ret->known && ret->guest.state == GUEST_RUNNING);
}

static void check_guest(struct doctor *doctor, uint32_t vmid)
{
    cleanup(patient_free) struct patient patient = {.vmid = vmid};
    describe(doctor, vmid, &patient);
    doctor->patient = &patient;
    run_checks(doctor, doctor_guest_checks);
    run_checks(doctor, doctor_running_checks);
    doctor->patient = NULL;
}

static int check_enrolled(struct doctor *doctor, struct error *error)
{
    cleanup(node_guests_free) struct node_guests guests = {0};
    if (node_guests_list(&doctor->config, &guests, error) < 0)
        return error->kind == ERROR_MISSING ? 0 : -1; /* no Proxmox: no guests */
    for (size_t i = 0; i < guests.count; i++)
        if (node_guest_is_enrolled(&doctor->config, guests.vmids[i]))
            check_guest(doctor, guests.vmids[i]);
    return 0;
}

static int check_all(struct doctor *doctor, uint32_t vmid, struct error *error)
{
    if (!check_settings(doctor))
        return 0;
    if (!doctor->snippets && pve_is_real(&doctor->config))
        doctor->snippets = SNIPPET_DIRECTORY;
    check_host(doctor);
    if (vmid == 0)
        return check_enrolled(doctor, error);
    check_guest(doctor, vmid);
    return 0;
}

static int run(const struct invocation *invocation, struct error *error)
{
    cleanup(doctor_free) struct doctor doctor = {
        .snippets = invocation->values[OPTION_SNIPPETS],
        .findings = findings_new(),
    };
    if (check_all(&doctor, invocation->vmid, error) < 0)
        return -1;
    findings_print(&doctor.findings, invocation);
    return findings_status(&doctor.findings);
}

const struct verb verb_doctor = {
    .name = "doctor",
    .operand = OPERAND_VMID_OR_NONE,
    .help = "Check all that host and guests need, and tell how to mend it",
    .run = run,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
