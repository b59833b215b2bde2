/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor/findings.h"

#include <stdio.h>

#include "cli/output.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"

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
