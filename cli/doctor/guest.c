/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: whether a guest is set up to be served (configuration, enrolment, hookscript, mount
 * line), and, while it runs, whether it has all that it was given: its directory, the token and the
 * certificate in it, and the mount through which it sees them.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/guest_lines.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/documents/issue.h"
#include "store/files/config_file.h"
#include "store/files/file.h"
#include "store/files/guest_directory.h"
#include "store/host/host.h"
#include "store/identity/rollover.h"
#include "store/tables/token.h"

#define FILE_LIMIT (64 * KIB)

/* Returns ROOT/VMID or, with a name, ROOT/VMID/NAME; the caller frees it with free(). */
static char *guest_path(const struct doctor *doctor, const char *root, const char *name)
{
    return mem_format("%s/%u%s%s", root, doctor->guest->vmid, *name ? "/" : "", name);
}

/* --- how it is set up --- */

void doctor_check_guest(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    const char *name = guest->config.name;
    const char *problem = guest->problem.message;
    cleanup_free char *edit = mem_format("editor %.*s", (int)strcspn(problem, ":"), problem);
    if (!guest->here)
        doctor_fail(doctor, guest->problem.kind == ERROR_INVALID ? edit : NULL, "%s", problem);
    else if (doctor->store && !guest->known)
        doctor_warn(doctor, guest->enroll,
                    "%s is not known to the store; its next start adds it as well", name);
    else
        doctor_ok(doctor, "%s, %s", name, guest->running ? "running" : "not running");
}

static int load_enrolment(const struct doctor *doctor, struct enrolment *ret, struct error *error)
{
    uint32_t vmid = doctor->guest->vmid;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *name = mem_format("%u.yaml", vmid);
    if (config_file_read_enrolment(&doctor->config, vmid, &text, error) < 0)
        return -1;
    return enrolment_parse(name, buffer_text(&text), text.length, ret, error);
}

/* Returns the command that mends the enrolment's file, which the caller frees with free(). */
static char *enrolment_remedy(const struct doctor *doctor)
{
    struct stat status;
    const struct doctor_guest *guest = doctor->guest;
    cleanup_free char *path = mem_format("%s/%u.yaml", doctor->config.paths.enrolment, guest->vmid);
    bool is_other = stat(path, &status) == 0 && !S_ISREG(status.st_mode);
    cleanup_free char *mend =
        is_other ? mem_format("mv %s %s.other", path, path) : mem_format("editor %s", path);
    return mem_format("%s && %s%s%s", mend, guest->enroll, guest->running ? " && " : "",
                      guest->running ? guest->rotate : "");
}

void doctor_check_guest_enrolment(struct doctor *doctor)
{
    struct error error;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    cleanup_free char *remedy = enrolment_remedy(doctor);
    cleanup_free char *anew = mem_format("felhomctl unenroll %u && felhomctl enroll %u",
                                         doctor->guest->vmid, doctor->guest->vmid);
    cleanup_free char *another = NULL;
    if (load_enrolment(doctor, &enrolment, &error) < 0)
        doctor_fail(doctor, remedy, "%s", error.message);
    else if ((another = guest_fingerprint_differs(&doctor->config, doctor->guest->vmid, &enrolment,
                                                  &doctor->guest->config)))
        doctor_fail(doctor, anew,
                    "%u.yaml is of %s; to take it over all the same: felhomctl enroll %u --keep",
                    doctor->guest->vmid, another, doctor->guest->vmid);
    else if (*enrolment.customer_id)
        doctor_ok(doctor, "customer %s", enrolment.customer_id);
    else
        doctor_ok(doctor, "no customer");
}

/* Reports whether Proxmox would run the hookscript that ours calls. */
static void note_chain(struct doctor *doctor, const char *chain)
{
    struct error error;
    cleanup_free char *path = NULL;
    cleanup_free char *edit =
        mem_format("editor %s/%u.yaml", doctor->config.paths.enrolment, doctor->guest->vmid);
    if (guest_lines_check_runnable(&doctor->config, chain, &path, &error) == 0) {
        doctor_ok(doctor, HOOKSCRIPT_VALUE ", which calls %s", chain);
        return;
    }
    cleanup_free char *mode = path ? mem_format("chmod a+x '%s'", path) : NULL;
    doctor_fail(doctor, error.kind == ERROR_DENIED ? mode : edit,
                "the guest does not start, as its chained hookscript %s cannot be run: %s", chain,
                error.message);
}

/* Returns the hookscript that ours calls, "" if there is none or the enrolment cannot be read,
 * which doctor_check_guest_enrolment reports. The caller frees it. */
static char *find_chain(const struct doctor *doctor)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (config_file_read_enrolment(&doctor->config, doctor->guest->vmid, &text, &ignored) < 0)
        return mem_copy_text("");
    enrolment_salvage(buffer_text(&text), text.length, &enrolment);
    return steal(enrolment.chain);
}

void doctor_check_guest_hook(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    cleanup_free char *chain = find_chain(doctor);
    const char *hookscript = guest->config.hookscript;
    cleanup_free char *replace =
        mem_format("%s set %u --delete hookscript && %s",
                   guest->config.kind == GUEST_LXC ? "pct" : "qm", guest->vmid, guest->enroll);
    if (!hookscript)
        doctor_fail(doctor, guest->enroll, "the guest has no hookscript");
    else if (strcmp(hookscript, HOOKSCRIPT_VALUE) != 0)
        doctor_fail(doctor, replace, "the hookscript is %s, not " HOOKSCRIPT_VALUE, hookscript);
    else if (*chain)
        note_chain(doctor, chain);
    else
        doctor_ok(doctor, HOOKSCRIPT_VALUE);
}

/* felhomd tells such guests apart by their ports alone, and where it does not know those it refuses
 * both. */
void doctor_check_guest_nic(struct doctor *doctor)
{
    const struct guest_config *config = &doctor->guest->config;
    const struct reach_host host = {.pve = doctor->config.paths.pve};
    const struct reach_guest guest = {doctor->guest->vmid, config};
    size_t faults = 0;
    for (size_t i = 0; i < config->nic_count; i++) {
        uint32_t other = node_nics_sharing(&doctor->nics, guest.vmid, &config->nics[i]);
        if (!other)
            continue;
        const struct reach reach = reach_of_shared(&config->nics[i], other);
        cleanup_free char *words = reach_words(&host, &guest, &reach);
        cleanup_free char *remedy = reach_remedy(&host, &guest, &reach);
        doctor_warn(doctor, remedy, "%s", words);
        faults++;
    }
    if (faults == 0 && config->nic_count > 0)
        doctor_ok(doctor, "no other guest has the addresses of its %zu NICs", config->nic_count);
}

/* An mp may have more options than enroll sets, but it must have these. */
static bool is_mp_right(const struct config *config, const struct volume *volume)
{
    return volume->read_only && strcmp(volume->mount_point, config->bootstrap.guest_path) == 0;
}

static bool is_entry_right(const struct config *config, const struct doctor_guest *guest)
{
    for (size_t i = 0; i < guest->config.raw_count; i++)
        if (guest_lines_mount_is_right(config, MOUNT_FORM_ENTRY, guest->vmid,
                                       guest->config.raw[i].key, guest->config.raw[i].value))
            return true;
    return false;
}

/* doctor_check_foreign reports another guest's directory. */
void doctor_check_guest_mount(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    const char *form = mount_form_name(guest->mount.form);
    if (guest->foreign)
        return;
    bool right = guest->mount.form == MOUNT_FORM_MP
                     ? is_mp_right(&doctor->config, guest->mount.volume)
                     : is_entry_right(&doctor->config, guest);
    const char *key = guest->mount.volume ? guest->mount.volume->key : "";
    if (guest_config_pending(&guest->config, key))
        doctor_fail(doctor, guest->enroll,
                    "%s mounts the guest's directory, but the guest's next start takes it away, as "
                    "Proxmox has a pending change of it",
                    key);
    else if (guest->mount.form == MOUNT_FORM_NONE)
        doctor_fail(doctor, guest->enroll, "no line mounts the guest's directory");
    else if (!right)
        doctor_warn(doctor, guest->enroll,
                    "the guest's directory is mounted, but not as enroll would do it (form %s)",
                    form);
    else
        doctor_ok(doctor, "the guest's own directory, form %s", form);
}

/* --- its directory --- */

struct entry {
    const char *name; /* "": the directory itself */
    mode_t mode;
};

/* Returns what is wrong with the file, which the caller frees with free(); NULL if nothing is.
 * *ret_remedy: the command that mends it, to be freed as well. */
static char *entry_fault(const struct doctor_guest *guest, const char *path, mode_t mode,
                         uint32_t uid, uint32_t gid, char **ret_remedy)
{
    struct stat status;
    if (lstat(path, &status) < 0) {
        *ret_remedy = mem_copy_text(guest->rotate);
        return mem_format("there is no %s", path);
    }
    if ((status.st_mode & S_IFMT) != (mode & S_IFMT)) {
        /* Out of the guest's directory, which holds nothing but what the guest is given. */
        *ret_remedy = mem_format("mv %s \"$(mktemp -d)\" && %s", path, guest->rotate);
        return mem_format("%s is not a %s", path, S_ISDIR(mode) ? "directory" : "regular file");
    }
    if (status.st_mode != mode) {
        *ret_remedy = mem_copy_text(guest->rotate);
        return mem_format("%s has mode %06o, not %06o", path, status.st_mode, mode);
    }
    if (status.st_uid != uid || status.st_gid != gid) {
        *ret_remedy = mem_copy_text(guest->reboot);
        return mem_format("%s belongs to %u:%u, the guest's root is %u:%u", path, status.st_uid,
                          status.st_gid, uid, gid);
    }
    return NULL;
}

/* True if there is no controller.yaml because the template or the enrolment is at fault, which
 * other checks report. */
static bool is_left_out(const struct doctor *doctor, const char *name, const char *path)
{
    struct error ignored;
    struct stat status;
    struct named_file files[NAMED_FILES_MAX];
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (strcmp(name, "controller.yaml") != 0 || lstat(path, &status) == 0)
        return false;
    size_t count = config_file_list_named(&doctor->config, files);
    for (size_t i = 0; i < count; i++)
        if (files[i].kind == NAMED_TEMPLATE && config_file_check_named(&files[i], &ignored) < 0)
            return true;
    return load_enrolment(doctor, &enrolment, &ignored) < 0;
}

static char *first_fault(const struct doctor *doctor, uint32_t uid, uint32_t gid, char **ret_remedy)
{
    static const struct entry entries[] = {
        {"", S_IFDIR | 0700},
        {"token", S_IFREG | 0600},
        {"bootstrap.json", S_IFREG | 0600},
        {"controller.yaml", S_IFREG | 0600},
        {"agent.crt", S_IFREG | 0644},
    };
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        cleanup_free char *path = guest_path(doctor, doctor->config.paths.guests, entries[i].name);
        if (is_left_out(doctor, entries[i].name, path))
            continue;
        char *fault = entry_fault(doctor->guest, path, entries[i].mode, uid, gid, ret_remedy);
        if (fault)
            return fault;
    }
    return NULL;
}

void doctor_check_guest_directory(struct doctor *doctor)
{
    uint32_t uid;
    uint32_t gid;
    cleanup_free char *remedy = NULL;
    const struct doctor_guest *guest = doctor->guest;
    const struct volume *volume = guest->mount.volume;
    if (guest->ended.generation)
        return; /* doctor_check_guest_token reports it */
    guest_config_disk_ids(&guest->config, volume ? volume->idmap : NULL, &uid, &gid);
    cleanup_free char *fault = first_fault(doctor, uid, gid, &remedy);
    if (fault)
        doctor_fail(doctor, remedy, "%s", fault);
    else
        doctor_ok(doctor, "%s/%u, of %u:%u", doctor->config.paths.guests, guest->vmid, uid, gid);
}

/* Returns true if outer is a mount of inner that is read-only as a whole: the guest's root could
 * undo anything less. */
static bool is_exported(const char *inner, const char *outer)
{
    struct stat of_inner;
    struct stat of_outer;
    struct statvfs flags;
    return stat(inner, &of_inner) == 0 && stat(outer, &of_outer) == 0 &&
           of_inner.st_dev == of_outer.st_dev && of_inner.st_ino == of_outer.st_ino &&
           statvfs(outer, &flags) == 0 && (flags.f_flag & ST_RDONLY);
}

void doctor_check_guest_export(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    if (guest->mount.form != MOUNT_FORM_ENTRY)
        return;
    cleanup_free char *inner = guest_path(doctor, doctor->config.paths.guests, "");
    cleanup_free char *outer = guest_path(doctor, doctor->config.paths.export, "");
    if (is_exported(inner, outer))
        doctor_ok(doctor, "%s, read-only", outer);
    else
        doctor_fail(doctor, guest->reboot, "%s does not show the guest's directory read-only",
                    outer);
}

/* --- what is in it --- */

/* Returns true if the token has less life left than rotate --due allows. */
static bool is_overdue(const struct doctor *doctor, const struct token_life *token)
{
    int64_t max_age_ms = (int64_t)doctor->config.token.max_age_ms;
    int64_t left_ms = token->created_at_ms + max_age_ms - clock_wall_ms();
    return max_age_ms && left_ms < HOUR_MS && left_ms < max_age_ms / 4;
}

/* Whoever ended it may want it so: what else the guest lacks then, the same remedy gives it. */
static void note_ended_token(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    cleanup_json json_t *at = json_time(guest->ended.revoked_at_ms);
    if (strcmp(guest->ended.revoked_reason, TOKEN_REVOKED_BY_OPERATOR) == 0)
        doctor_warn(doctor, guest->rotate,
                    "the operator has revoked the guest's tokens (" TOKEN_REVOKED_BY_OPERATOR
                    ", %s): it has none until its next start",
                    json_is_string(at) ? json_string_value(at) : "at an unknown time");
    else
        doctor_warn(doctor, guest->rotate,
                    "the guest has no token until its next start: it was revoked, or the guest "
                    "stopped, before the store went back to an earlier state");
}

static void note_bad_token(struct doctor *doctor, enum token_verdict verdict)
{
    const struct doctor_guest *guest = doctor->guest;
    if (guest->sight != VISIBILITY_REMOVED)
        vmids_add(&doctor->lost, guest->vmid);
    if (verdict == TOKEN_MALFORMED)
        doctor_fail(doctor, guest->rotate, "there is no token in the guest's directory");
    else if (verdict == TOKEN_EXPIRED)
        doctor_fail(doctor, guest->rotate, "the token in the guest's directory has expired");
    else
        doctor_fail(doctor, guest->rotate, "the token in the guest's directory is %s",
                    token_verdict_name(verdict));
}

void doctor_check_guest_token(struct doctor *doctor)
{
    struct error error;
    enum token_verdict verdict;
    struct guest_directory directory;
    struct token_life token = {.generation = 0};
    const struct config *config = &doctor->config;
    const struct doctor_guest *guest = doctor->guest;
    if (!doctor->store)
        return;
    if (guest->ended.generation) {
        note_ended_token(doctor);
        return;
    }
    if (issue_check(config, doctor->store, guest->vmid, &directory, &verdict, &error) < 0 ||
        token_find(doctor->store, directory.token_id, &token, &error) < 0)
        doctor_fail(doctor, NULL, "%s", error.message);
    else if (verdict != TOKEN_GOOD)
        note_bad_token(doctor, verdict);
    else if (is_overdue(doctor, &token))
        doctor_warn(doctor, guest->rotate,
                    "the guest's token is about to reach token.max_age; is "
                    "felhom-token-age.timer active?");
    else
        doctor_ok(doctor, "token %s is good", token.id);
}

static bool holds_certificate(const struct buffer *certificates, const struct identity *identity)
{
    return strstr(buffer_text(certificates), buffer_text(&identity->certificate_pem));
}

static void note_unpinned(struct doctor *doctor, const char *reason)
{
    const struct doctor_guest *guest = doctor->guest;
    if (guest->sight != VISIBILITY_REMOVED)
        vmids_add(&doctor->unpinned, guest->vmid);
    doctor_fail(doctor, guest->rotate, "%s", reason);
}

/* Several certificates lie there while one replaces another: first the one that felhomd shows. */
void doctor_check_guest_pin(struct doctor *doctor)
{
    struct error ignored;
    struct host host;
    cleanup_buffer struct buffer known = BUFFER_EMPTY;
    cleanup(rollover_free) struct rollover rollover = {0};
    cleanup_free char *path = guest_path(doctor, doctor->config.paths.guests, "agent.crt");
    if (doctor->guest->ended.generation ||
        rollover_load(doctor->config.paths.state, &rollover, &ignored) < 0 ||
        file_read(path, FILE_LIMIT, &known, &ignored) < 0)
        return; /* other checks report it */
    bool recorded = doctor->store && host_get(doctor->store, &host, &ignored) == 0;
    const struct pins *pins = recorded ? &host.pins : NULL;
    const struct identity *coming = rollover_coming(&rollover, pins);
    if (!holds_certificate(&known, rollover_shown(&rollover, pins)))
        note_unpinned(doctor, "the certificate in the guest's directory is not the current one");
    else if (coming && !holds_certificate(&known, coming))
        note_unpinned(doctor,
                      "the guest's directory lacks the certificate that felhomd is to show next");
    else
        doctor_ok(doctor, "the guest has the current certificate%s",
                  coming ? ", and the next one" : "");
}

/* Reports nothing if it cannot be known. */
void doctor_check_guest_sight(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    const char *path = doctor->config.bootstrap.guest_path;
    switch (guest->sight) {
    case VISIBILITY_SEEN:
        doctor_ok(doctor, "the guest sees its directory at %s", path);
        break;
    case VISIBILITY_MISSING:
        doctor_fail(doctor, guest->reboot, "the guest does not see its directory at %s", path);
        break;
    case VISIBILITY_REMOVED:
        doctor_fail(doctor, guest->reboot,
                    "what the guest sees at %s is a directory that was removed from the host: it "
                    "needs a restart",
                    path);
        break;
    case VISIBILITY_UNKNOWN:
        break;
    }
}
