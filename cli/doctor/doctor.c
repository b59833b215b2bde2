/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhomctl doctor: whether everything is there that the host and its guests need. The table below
 * lists all checks in the order in which they run: first those of the host, then those of each
 * guest. Each check reports a grade, a reason and, where something is wrong, the command that mends
 * it; the findings are collected as JSON and printed at the end. Ids stay the same from release to
 * release, as scripts select by them.
 */
#include "cli/doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/base/output.h"
#include "cli/base/verb.h"
#include "cli/pve/config.h"
#include "cli/pve/guests.h"
#include "cli/pve/host_setup.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "store/db/token_record.h"
#include "store/documents/issue.h"
#include "store/files/config_file.h"
#include "store/identity/rollover.h"

#define ROTATE           "felhomctl rotate %u"
#define ROTATE_ALL       "felhomctl rotate --all"
#define CHECK_IDENTITIES "identities"
#define CHECK_PINS       "pins"

enum { EXIT_WARNINGS = 3, EXIT_ERRORS = 4 };
enum { OPTION_SNIPPETS, OPTION_PROBE };

/* What a check is about. */
enum check_subject {
    HOST,
    GUEST,      /* any, even one whose configuration cannot be read */
    CONFIGURED, /* a guest whose configuration is here */
    CONTAINER,  /* such a guest that is a container: virtual machines have no directory */
    RUNNING,    /* such a container that runs: any other is put in order by its next start */
};

static const struct check {
    const char *id;
    enum check_subject subject;
    void (*run)(struct doctor *doctor);
} checks[] = {
    {"state", HOST, doctor_check_state}, /* the state directory and its owner */
    {"store", HOST, doctor_check_store}, /* can be opened and is intact; sets doctor->store */
    {"store.privacy", HOST, doctor_check_store_privacy},
    {"store.log", HOST, doctor_check_store_log},       /* SQLite's log is taken into the database */
    {"store.record", HOST, doctor_check_store_record}, /* has not gone back: RUN/tokens */
    {"identity", HOST, doctor_check_identity},         /* key and certificate belong together */
    {"identity.privacy", HOST, doctor_check_identity_privacy},
    {"host", HOST, doctor_check_host_record},        /* what the store has of the host is current */
    {"clock", HOST, doctor_check_clock},             /* not behind the store or the certificate */
    {"endpoint", HOST, doctor_check_endpoint},       /* an address of this host */
    {"directories", HOST, doctor_check_directories}, /* those below /run */
    {"cluster", HOST, doctor_check_cluster},         /* /etc/pve is mounted and writable */
    {"snippet", HOST, doctor_check_snippet},         /* the link to the hook */
    {"neighbours", HOST, doctor_check_neighbours},   /* the kernel remembers enough of them */
    {"rp_filter", HOST, doctor_check_rp_filter},     /* guests behind the firewall get through */
    {"foreign", HOST, doctor_check_foreign},         /* no guest mounts another guest's directory */
    {"former", HOST, doctor_check_former},       /* no enrolment is of a guest that is no more */
    {"unit", HOST, doctor_check_unit},           /* felhomd.service is active */
    {"answer", HOST, doctor_check_answer},       /* felhomd answers a request */
    {"ports", HOST, doctor_check_ports},         /* felhomd sees who connects by which port */
    {"settings.kept", HOST, doctor_check_kept},  /* agent.yaml is taken up, its copy is the same */
    {"firewall", HOST, doctor_check_firewall},   /* Proxmox's firewall lets guests in */
    {"files", HOST, doctor_check_files},         /* those that agent.yaml names */
    {"pve-token", HOST, doctor_check_pve_token}, /* the file of the API token */
    {"pve-token.privileges", HOST, doctor_check_pve_privileges},
    {"pve-token.secret", HOST, doctor_check_pve_secret},

    {"guest", GUEST, doctor_check_guest}, /* is on this node and in the store */
    {"guest.enrolment", CONFIGURED, doctor_check_guest_enrolment}, /* VMID.yaml can be read */
    {"guest.hook", CONFIGURED, doctor_check_guest_hook},           /* the hookscript is ours */
    {"guest.nic", CONFIGURED, doctor_check_guest_nic},             /* no other has its addresses */
    {"guest.port", CONFIGURED, doctor_check_guest_port},           /* known by more than its MAC */
    {"guest.probe", CONFIGURED, doctor_check_guest_probe},      /* with --probe: it gets through */
    {"guest.reach", CONFIGURED, doctor_check_guest_reach},      /* by a NIC, to felhomd */
    {"guest.mount", CONTAINER, doctor_check_guest_mount},       /* a line mounts its directory */
    {"guest.directory", RUNNING, doctor_check_guest_directory}, /* files, modes, owners */
    {"guest.export", RUNNING, doctor_check_guest_export},       /* the read-only mount of it */
    {"guest.token", RUNNING, doctor_check_guest_token},         /* the token in it is good */
    {"guest.pin", RUNNING, doctor_check_guest_pin},             /* its agent.crt is current */
    {"guest.sight", RUNNING, doctor_check_guest_sight},         /* the guest sees it */
};

/* --- findings --- */

static const char *const grade_names[GRADE_MAX] = {"ok", "warning", "error"};

void doctor_note(struct doctor *doctor, enum grade grade, const char *remedy, const char *format,
                 ...)
{
    json_t *finding = json_object();
    cleanup_free char *reason = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&reason, format, arguments) < 0)
        mem_exhausted();
    va_end(arguments);
    output_put_text(finding, "id", doctor->check);
    output_put_vmid(finding, "vmid", doctor->guest ? doctor->guest->vmid : 0);
    output_put_texts(finding, "result", grade_names[grade], "reason", reason);
    if (remedy)
        output_put_text(finding, "remedy", remedy);
    else
        json_set(finding, "remedy", json_null());
    json_append(doctor->findings, finding);
    doctor->counts[grade]++;
}

static enum grade worst_grade(const struct doctor *doctor)
{
    for (enum grade grade = GRADE_ERROR; grade > GRADE_OK; grade--)
        if (doctor->counts[grade] > 0)
            return grade;
    return GRADE_OK;
}

static void print_heading(FILE *out, json_int_t vmid, bool first)
{
    if (vmid == 0)
        (void)fprintf(out, "host\n");
    else
        (void)fprintf(out, "%sguest %" JSON_INTEGER_FORMAT "\n", first ? "" : "\n", vmid);
}

/* Whether a finding about the host names the command that mends the same for several guests. */
static bool is_mended_with_others(const struct doctor *doctor, const json_t *finding)
{
    char rotate[DOCTOR_COMMAND_SIZE];
    uint32_t vmid = (uint32_t)json_integer_value(json_object_get(finding, "vmid"));
    (void)snprintf(rotate, sizeof rotate, ROTATE, vmid);
    return strcmp(json_get_text(finding, "remedy", ""), rotate) == 0 &&
           ((doctor->lost.count > 1 && vmids_has(&doctor->lost, vmid)) ||
            (doctor->unpinned.count > 1 && vmids_has(&doctor->unpinned, vmid)));
}

static void print_finding(FILE *out, const struct doctor *doctor, const json_t *finding)
{
    const char *remedy = json_get_text(finding, "remedy", NULL);
    cleanup_free char *reason = output_printable(json_get_text(finding, "reason", ""));
    (void)fprintf(out, "  %-8s %-18s %s\n", json_get_text(finding, "result", ""),
                  json_get_text(finding, "id", ""), reason);
    if (!remedy || is_mended_with_others(doctor, finding))
        return;
    cleanup_free char *command = output_printable(remedy);
    (void)fprintf(out, "  %-8s %-18s to fix it: %s\n", "", "", command);
}

static void print_findings(FILE *out, const struct doctor *doctor)
{
    size_t i;
    const json_t *finding;
    json_int_t last = -1;
    json_array_foreach(doctor->findings, i, finding)
    {
        json_int_t vmid = json_integer_value(json_object_get(finding, "vmid"));
        if (vmid != last)
            print_heading(out, vmid, i == 0);
        print_finding(out, doctor, finding);
        last = vmid;
    }
    (void)fprintf(out, "\n%zu ok, %zu warnings, %zu errors\n", doctor->counts[GRADE_OK],
                  doctor->counts[GRADE_WARNING], doctor->counts[GRADE_ERROR]);
}

static void output_findings(const struct invocation *invocation, const struct doctor *doctor)
{
    cleanup_json json_t *report = json_object();
    output_put_text(report, "result", grade_names[worst_grade(doctor)]);
    output_put_int(report, "warnings", (int64_t)doctor->counts[GRADE_WARNING]);
    output_put_int(report, "errors", (int64_t)doctor->counts[GRADE_ERROR]);
    json_set(report, "checks", json_incref(doctor->findings));
    if (!output_value(invocation, report))
        print_findings(invocation->out, doctor);
}

/* --- running the checks --- */

/* guest: NULL while the host is checked. */
static bool is_applicable(enum check_subject subject, const struct doctor_guest *guest)
{
    bool container = guest && guest->here && guest->config.kind == GUEST_LXC;
    switch (subject) {
    case HOST:
        return !guest;
    case GUEST:
        return guest;
    case CONFIGURED:
        return guest && guest->here;
    case CONTAINER:
        return container;
    case RUNNING:
        return container && guest->running;
    }
    return false;
}

/* Runs the checks of doctor->guest, or those of the host if that is NULL. */
static void run_checks(struct doctor *doctor)
{
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        if (!is_applicable(checks[i].subject, doctor->guest))
            continue;
        doctor->check = checks[i].id;
        checks[i].run(doctor);
    }
}

static void note_no_settings(struct doctor *doctor, const char *path)
{
    cleanup_free char *kept = mem_format("%s" CONFIG_FILE_KEPT, path);
    cleanup_free char *remedy = mem_format("cp -p %s %s && systemctl reload felhomd", kept, path);
    doctor_warn(doctor, access(kept, F_OK) == 0 ? remedy : NULL,
                "there is no %s: defaults are in force", path);
}

/* Without agent.yaml no other check knows the paths. */
static bool check_settings(struct doctor *doctor)
{
    struct error error;
    struct stat status;
    const char *path = config_file_path();
    bool there = stat(path, &status) == 0;
    bool other = there && !S_ISREG(status.st_mode);
    doctor->check = "settings";
    if (config_file_load(&doctor->config, &error) < 0) {
        cleanup_free char *remedy =
            other ? mem_format("mv %s %s.other && editor %s", path, path, path)
                  : mem_format("editor %s", path);
        doctor_fail(doctor, remedy, "%s; nothing else can be checked", error.message);
        return false;
    }
    token_record_use(doctor->config.paths.run);
    if (there)
        doctor_ok(doctor, "%s", path);
    else
        note_no_settings(doctor, path);
    return true;
}

/* What ended with a stop of the guest is no concern once it runs again: then it has a newer one. */
static void doctor_guest_load_ended(const struct doctor *doctor, struct doctor_guest *ret)
{
    struct error ignored;
    struct token_life newest;
    if (ret->known && token_newest(doctor->store, ret->vmid, &newest, &ignored) == 0 &&
        newest.revoked_at_ms != 0 && token_ended_on_purpose(newest.revoked_reason))
        ret->ended = newest;
}

static void doctor_guest_load(const struct doctor *doctor, uint32_t vmid, struct doctor_guest *ret)
{
    struct error ignored;
    struct guest row;
    const struct config *config = &doctor->config;
    ret->vmid = vmid;
    ret->here = config_file_load_guest(config, vmid, &ret->config, &ret->problem) == 0;
    ret->known = doctor->store && guest_find(doctor->store, vmid, &row, &ignored) == 0;
    ret->running = issue_guest_runs(config, ret->config.kind, vmid, ret->known ? &row : NULL);
    if (ret->running && ret->config.kind == GUEST_LXC)
        ret->sight = guest_mount_visibility(config, vmid);
    if (ret->here && ret->config.kind == GUEST_LXC)
        ret->foreign = guest_mount_check(config, vmid, &ret->config, &ret->mount, &ignored) < 0;
    doctor_guest_load_ended(doctor, ret);
    (void)snprintf(ret->enroll, sizeof ret->enroll, "felhomctl enroll %u", vmid);
    (void)snprintf(ret->reboot, sizeof ret->reboot, "pct reboot %u", vmid);
    if (ret->sight == VISIBILITY_REMOVED)
        (void)snprintf(ret->rotate, sizeof ret->rotate, "%s", ret->reboot);
    else
        (void)snprintf(ret->rotate, sizeof ret->rotate, ROTATE, vmid);
}

static void doctor_guest_free(struct doctor_guest *guest)
{
    guest_config_free(&guest->config);
}

static void check_guest(struct doctor *doctor, uint32_t vmid)
{
    cleanup(doctor_guest_free) struct doctor_guest guest = {0};
    doctor_guest_load(doctor, vmid, &guest);
    doctor->guest = &guest;
    run_checks(doctor);
    doctor->guest = NULL;
}

/* Reports what several guests lack with the one command that mends it, among the findings about the
 * host, which end before the index first_guest. */
static void note_guests(struct doctor *doctor, size_t first_guest, const char *check,
                        const struct vmids *guests, const char *remedy, const char *what)
{
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    if (guests->count < 2)
        return;
    for (size_t i = 0; i < guests->count; i++)
        buffer_add_format(&list, "%s%u", i ? ", " : "", guests->items[i]);
    doctor->check = check;
    doctor_fail(doctor, remedy, "%zu running guests %s: %s", guests->count, what,
                buffer_text(&list));
    size_t last = json_array_size(doctor->findings) - 1;
    json_t *finding = json_incref(json_array_get(doctor->findings, last));
    if (json_array_remove(doctor->findings, last) < 0 ||
        json_array_insert_new(doctor->findings, first_guest, finding) < 0)
        mem_exhausted();
}

/* A step of a rollover that was interrupted is completed by the same step; it changes no token. */
static const char *pins_remedy(const struct doctor *doctor)
{
    struct error ignored;
    cleanup(rollover_free) struct rollover rollover = {0};
    if (rollover_load(doctor->config.paths.state, &rollover, &ignored) < 0)
        return ROTATE_ALL;
    if (rollover_has(&rollover.next))
        return "felhomctl identity stage";
    return rollover_has(&rollover.previous) ? "felhomctl identity switch" : ROTATE_ALL;
}

static int check_enrolled_guests(struct doctor *doctor, struct error *error)
{
    size_t first_guest = json_array_size(doctor->findings);
    cleanup(vmids_free) struct vmids guests = {0};
    if (node_guests_list(&doctor->config, &guests, error) < 0)
        return error->kind == ERROR_MISSING ? 0 : -1; /* no Proxmox: no guests */
    for (size_t i = 0; i < guests.count; i++)
        if (node_guest_is_enrolled(&doctor->config, guests.items[i]))
            check_guest(doctor, guests.items[i]);
    note_guests(doctor, first_guest, CHECK_IDENTITIES, &doctor->lost, ROTATE_ALL,
                "have no good token");
    note_guests(doctor, first_guest, CHECK_PINS, &doctor->unpinned, pins_remedy(doctor),
                "lack a certificate of felhomd's");
    return 0;
}

/* vmid 0: each enrolled guest. */
static int check_host_and_guests(struct doctor *doctor, uint32_t vmid, struct error *error)
{
    if (!check_settings(doctor))
        return 0;
    if (!doctor->snippets && pve_is_real(&doctor->config))
        doctor->snippets = SNIPPET_DIRECTORY;
    run_checks(doctor);
    doctor->nics = node_nics_load(&doctor->config);
    doctor->reach = node_reach_load(&doctor->config, &doctor->nics);
    if (vmid == 0)
        return check_enrolled_guests(doctor, error);
    check_guest(doctor, vmid);
    return 0;
}

static void doctor_free(struct doctor *doctor)
{
    node_reach_free(&doctor->reach);
    node_nics_free(&doctor->nics);
    store_close(doctor->store);
    config_free(&doctor->config);
    json_decref(doctor->findings);
    vmids_free(&doctor->lost);
    vmids_free(&doctor->unpinned);
}

static int doctor_run(const struct invocation *invocation, struct error *error)
{
    static const int statuses[GRADE_MAX] = {0, EXIT_WARNINGS, EXIT_ERRORS};
    cleanup(doctor_free) struct doctor doctor = {
        .snippets = invocation->values[OPTION_SNIPPETS],
        .probes = invocation->values[OPTION_PROBE],
        .findings = json_array(),
    };
    if (check_host_and_guests(&doctor, invocation->vmid, error) < 0)
        return -1;
    output_findings(invocation, &doctor);
    return statuses[worst_grade(&doctor)];
}

static const struct verb_option options[] = {
    [OPTION_SNIPPETS] = {"snippets", "DIR", "default: " SNIPPET_DIRECTORY},
    [OPTION_PROBE] = {"probe", NULL, "connect to felhomd from inside each running container"},
};

const struct verb verb_doctor = {
    .name = "doctor",
    .operand = OPERAND_VMID_OR_NONE,
    .help = "Check everything that host and guests need, and print how to fix it",
    .run = doctor_run,
    VERB_OPTIONS(options),
};
