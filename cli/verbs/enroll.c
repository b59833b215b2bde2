/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll: has the agent serve guests. For each one: the hook's link in Proxmox's snippets, the
 * enrolment file, for an mp the guest's directory, then hookscript and mount in the guest's
 * configuration, and last the guest's row in the store. All that can be refused is checked before
 * anything is changed; what was changed is taken back if a later step fails; and each step can be
 * repeated: a run that was cut short is run again.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/pve/config.h"
#include "cli/pve/guest_lines.h"
#include "cli/pve/guest_reach.h"
#include "cli/pve/guests.h"
#include "cli/pve/host_setup.h"
#include "cli/verbs/enrolment.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "schema/pve/guest_config.h"
#include "store/base/cgroup.h"
#include "store/base/clock.h"
#include "store/documents/issue.h"
#include "store/files/config_file.h"
#include "store/files/guest_directory.h"
#include "store/tables/guest.h"

enum {
    OPTION_MOUNT,
    OPTION_CUSTOMER,
    OPTION_CUSTOMER_ID,
    OPTION_CUSTOMER_NAME,
    OPTION_CUSTOMER_DOMAIN,
    OPTION_CUSTOMER_EMAIL,
    OPTION_IMAGE,
    OPTION_PASSWORD_FILE,
    OPTION_SNIPPETS,
    OPTION_HOOK,
    OPTION_ALL,
    OPTION_CHAIN,
    OPTION_KEEP,
    OPTION_QUOTA_SNAPSHOTS,
    OPTION_QUOTA_SNAPSHOT_INTERVAL,
    OPTION_QUOTA_BACKUP_INTERVAL,
};
static const struct verb_option options[] = {
    [OPTION_MOUNT] = {"mount", "entry|mp",
                      "how the guest mounts its directory (default: unchanged, else entry)"},
    [OPTION_CUSTOMER] = {"customer", "ID", "same as --customer-id"},
    [OPTION_CUSTOMER_ID] = {"customer-id", "ID", "the customer's id"},
    [OPTION_CUSTOMER_NAME] = {"customer-name", "NAME", "the customer's name"},
    [OPTION_CUSTOMER_DOMAIN] = {"customer-domain", "DOMAIN", "the customer's domain"},
    [OPTION_CUSTOMER_EMAIL] = {"customer-email", "ADDRESS", "the customer's address"},
    [OPTION_IMAGE] = {"image", "IMAGE", "the controller's image, instead of controller.image"},
    [OPTION_PASSWORD_FILE] = {"retrieval-password-file", "FILE",
                              "holds the hub's retrieval password"},
    [OPTION_SNIPPETS] = {"snippets", "DIR", "default: " SNIPPET_DIRECTORY},
    [OPTION_HOOK] = {"hook", "PATH", "default: " SNIPPET_HOOK},
    [OPTION_ALL] = {"all", NULL, "all containers of this host except templates"},
    [OPTION_CHAIN] = {"chain", NULL, "keep the guest's other hookscript: felhom-hook calls it"},
    [OPTION_KEEP] = {"keep", NULL, "keep the enrolment, though it looks like another guest's"},
    [OPTION_QUOTA_SNAPSHOTS] = {"quota-snapshots", "COUNT",
                                "how many snapshots it may have, instead of agent.yaml's quota"},
    [OPTION_QUOTA_SNAPSHOT_INTERVAL] = {"quota-snapshot-interval", "DURATION",
                                        "from one request for a snapshot to the next"},
    [OPTION_QUOTA_BACKUP_INTERVAL] = {"quota-backup-interval", "DURATION",
                                      "from one request for a backup to the next"},
};

/* One guest that is being enrolled. */
struct enrolling {
    const struct invocation *invocation;
    struct session *session;  /* borrowed */
    struct node_nics *nics;   /* of all guests here; borrowed */
    struct node_reach *reach; /* borrowed */
    uint32_t vmid;
    struct guest_config guest;
    struct enrolment_plan plan;
    enum mount_form form;
    const char *other; /* hookscript, which is chained from now on; NULL: none */
    struct steps steps;
    /* What is taken back if a later step fails. */
    struct snippet_made snippet;
    bool directory_made;
    bool put;                /* the guest's row */
    bool known;              /* there was one before: */
    struct guest row;        /* this */
    struct buffer enrolment; /* with this enrolment */
    bool written;            /* the enrolment file, of which there was before: */
    struct saved_enrolment file;
    struct config_undo config;
};

static void enrolling_free(struct enrolling *enrolling)
{
    guest_config_free(&enrolling->guest);
    enrolment_plan_free(&enrolling->plan);
    steps_free(&enrolling->steps);
    buffer_free(&enrolling->enrolment);
    saved_enrolment_free(&enrolling->file);
    config_undo_free(&enrolling->config);
}

static const char *value_or(const struct invocation *invocation, int option, const char *otherwise)
{
    const char *value = invocation->values[option];
    return value ? value : otherwise;
}

/* "default" takes the value out of the enrolment again, so that agent.yaml's is in force. */
static const char *quota_value(const struct invocation *invocation, int option)
{
    const char *value = invocation->values[option];
    return value && strcmp(value, "default") == 0 ? "" : value;
}

static struct enrolment_values given_values(const struct invocation *invocation)
{
    return (struct enrolment_values){
        .customer_id =
            value_or(invocation, OPTION_CUSTOMER_ID, invocation->values[OPTION_CUSTOMER]),
        .customer_name = invocation->values[OPTION_CUSTOMER_NAME],
        .customer_domain = invocation->values[OPTION_CUSTOMER_DOMAIN],
        .customer_email = invocation->values[OPTION_CUSTOMER_EMAIL],
        .image = invocation->values[OPTION_IMAGE],
        .keep = invocation->values[OPTION_KEEP],
        .retrieval_password_file = invocation->values[OPTION_PASSWORD_FILE],
        .quota_snapshots = quota_value(invocation, OPTION_QUOTA_SNAPSHOTS),
        .quota_snapshot_interval = quota_value(invocation, OPTION_QUOTA_SNAPSHOT_INTERVAL),
        .quota_backup_interval = quota_value(invocation, OPTION_QUOTA_BACKUP_INTERVAL),
    };
}

/* Without --mount the form stays: enrolling again to set a customer must not move the mount. */
static enum mount_form choose_mount_form(const struct enrolling *enrolling)
{
    const char *wished = enrolling->invocation->values[OPTION_MOUNT];
    if (enrolling->guest.kind == GUEST_QEMU)
        return MOUNT_FORM_NONE;
    if (wished)
        return strcmp(wished, "mp") == 0 ? MOUNT_FORM_MP : MOUNT_FORM_ENTRY;
    enum mount_form found =
        guest_lines_mount_form(&enrolling->session->config, enrolling->vmid, &enrolling->guest);
    return found == MOUNT_FORM_NONE ? MOUNT_FORM_ENTRY : found;
}

/* A hookscript other than ours is refused, or chained with --chain if it can be run. */
static int check_hookscript(struct enrolling *enrolling, struct enrolment_values *values,
                            struct error *error)
{
    const char *hookscript = enrolling->guest.hookscript;
    cleanup_free char *path = NULL;
    if (!hookscript || strcmp(hookscript, HOOKSCRIPT_VALUE) == 0)
        return 0;
    if (!enrolling->invocation->values[OPTION_CHAIN])
        return guest_lines_check_hookscript(enrolling->vmid, hookscript, error);
    if (guest_lines_check_runnable(&enrolling->session->config, hookscript, &path, error) < 0)
        return fail_context(
            error, "guest %u cannot start with its hookscript %.100s, so it is not chained",
            enrolling->vmid, hookscript);
    enrolling->other = values->chain = hookscript;
    return 0;
}

static struct guest_lines_desired enrolled_lines(const struct enrolling *enrolling)
{
    return (struct guest_lines_desired){
        .vmid = enrolling->vmid,
        .hookscript = true,
        .other = enrolling->other,
        .form = enrolling->form,
    };
}

/* The guest must be able to start with its new configuration: with our hook, no guest that mounts
 * another's directory does. */
static int check_new_config(const struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    cleanup(guest_config_free) struct guest_config guest = {0};
    struct guest_mount own;
    if (enrolment_try_config(config, enrolling->guest.kind, enrolled_lines(enrolling), &guest,
                             error) < 0)
        return -1;
    return guest.kind == GUEST_LXC ? guest_mount_check(config, enrolling->vmid, &guest, &own, error)
                                   : 0;
}

/* Makes all checks that can be made before anything is changed. */
static int prepare_enroll(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    uint32_t vmid = enrolling->vmid;
    struct enrolment_values values = given_values(enrolling->invocation);
    if (config_file_load_guest(config, vmid, &enrolling->guest, error) < 0 ||
        pve_config_check_unlocked(vmid, &enrolling->guest, error) < 0 ||
        check_hookscript(enrolling, &values, error) < 0)
        return -1;
    enrolling->form = choose_mount_form(enrolling);
    if (enrolment_plan_make(config, vmid, &enrolling->guest, &values, &enrolling->plan, error) <
            0 ||
        enrolment_file_save(config, vmid, &enrolling->file, error) < 0)
        return -1;
    return check_new_config(enrolling, error);
}

static void warn_of_shared_addresses(struct enrolling *enrolling)
{
    const struct guest_config *config = &enrolling->guest;
    const struct reach_host host = {.pve = enrolling->session->config.paths.pve};
    const struct reach_guest guest = {enrolling->vmid, config};
    for (size_t i = 0; i < config->nic_count; i++) {
        uint32_t other = node_nics_sharing(enrolling->nics, enrolling->vmid, &config->nics[i]);
        if (!other)
            continue;
        const struct reach reach = reach_of_shared(&config->nics[i], other);
        cleanup_free char *sentence = reach_sentence(&host, &guest, &reach);
        steps_add(&enrolling->steps, STEP_WARNING, "reach", "%s", sentence);
    }
}

/* warn_of_shared_addresses names those that it is about. */
static void warn_of_reach(struct enrolling *enrolling)
{
    if (!enrolling->reach->is_loaded || enrolling->guest.template)
        return;
    cleanup(guest_reach_free) struct guest_reach reach =
        node_reach_judge(enrolling->reach, enrolling->vmid, &enrolling->guest);
    if (reach.whole.verdict == REACH_YES || reach.whole.reason == REACH_SAME_HWADDR)
        return;
    cleanup_free char *sentence =
        reach_sentence(&enrolling->reach->facts.host, &reach.guest, &reach.whole);
    steps_add(&enrolling->steps, STEP_WARNING, "reach", "%s", sentence);
}

static void add_warnings(struct enrolling *enrolling)
{
    warn_of_shared_addresses(enrolling);
    if (enrolling->guest.template)
        steps_add(&enrolling->steps, STEP_WARNING, "template",
                  "this is a template: each clone of it has to be enrolled by itself");
    if (enrolling->guest.kind == GUEST_QEMU)
        steps_add(&enrolling->steps, STEP_WARNING, "mount",
                  "this is a virtual machine: it gets the hook, but no mount");
}

/* A scratch host (for tests) does not use the machine's own snippets directory. */
static bool wants_no_link(const struct enrolling *enrolling)
{
    const struct invocation *invocation = enrolling->invocation;
    return !pve_is_real(&enrolling->session->config) && !invocation->values[OPTION_SNIPPETS] &&
           !invocation->values[OPTION_HOOK];
}

static int link_hook(struct enrolling *enrolling, struct error *error)
{
    if (wants_no_link(enrolling))
        return 0;
    const char *directory = value_or(enrolling->invocation, OPTION_SNIPPETS, SNIPPET_DIRECTORY);
    const char *hook = value_or(enrolling->invocation, OPTION_HOOK, SNIPPET_HOOK);
    return host_setup_snippet(directory, hook, &enrolling->steps, &enrolling->snippet, error);
}

static int write_enrolment(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    const struct enrolment_plan *plan = &enrolling->plan;
    enrolling->written = plan->write;
    if (enrolment_plan_apply(config, enrolling->vmid, plan, error) < 0)
        return -1;
    const char *kept = !plan->write || !plan->exists ? ""
                       : plan->replaces              ? " (nothing of the former guest's is kept)"
                                                     : " (comments in it are not kept)";
    steps_add(&enrolling->steps, plan->write ? STEP_DONE : STEP_ALREADY, "enrolment",
              "%s/%u.yaml%s", config->paths.enrolment, enrolling->vmid, kept);
    return 0;
}

/* Proxmox mounts an mp into a running guest at once, so what it names must be there. */
static int make_directory(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    uint32_t vmid = enrolling->vmid;
    uint32_t uid;
    uint32_t gid;
    if (enrolling->form != MOUNT_FORM_MP)
        return 0;
    guest_config_disk_ids(&enrolling->guest, NULL, &uid, &gid);
    if (guest_directory_make(config->paths.guests, vmid, uid, gid, &enrolling->directory_made,
                             error) < 0)
        return -1;
    steps_add(&enrolling->steps, enrolling->directory_made ? STEP_DONE : STEP_ALREADY, "directory",
              "%s/%u", config->paths.guests, vmid);
    return 0;
}

static int change_config(struct enrolling *enrolling, struct error *error)
{
    size_t before = json_array_size(enrolling->steps.list);
    if (enrolment_change_config(&enrolling->session->config, enrolling->guest.kind,
                                enrolled_lines(enrolling), &enrolling->steps, &enrolling->config,
                                error) < 0)
        return -1;
    if (json_array_size(enrolling->steps.list) == before)
        steps_add(&enrolling->steps, STEP_ALREADY, "configuration", "hookscript%s as requested",
                  enrolling->form == MOUNT_FORM_NONE ? "" : " and mount");
    return 0;
}

/* --- the guest's row in the store --- */

static int find_row(struct enrolling *enrolling, struct error *error)
{
    struct store *store = enrolling->session->store;
    struct error unknown;
    if (guest_find(store, enrolling->vmid, &enrolling->row, &unknown) < 0)
        return fail_unless_missing(error, &unknown);
    enrolling->known = true;
    return guest_get_enrolment(store, enrolling->vmid, &enrolling->enrolment, error);
}

/* A guest that the hook has already seen keeps its state. */
static struct guest new_row(const struct enrolling *enrolling)
{
    const struct guest_config *config = &enrolling->guest;
    uint32_t vmid = enrolling->vmid;
    struct guest row = enrolling->row;
    if (!enrolling->known) {
        bool runs = cgroup_guest_state(enrolling->session->config.paths.cgroup, config->kind,
                                       vmid) == CGROUP_RUNS;
        row = (struct guest){
            .vmid = vmid,
            .state = runs ? GUEST_RUNNING : GUEST_STOPPED,
            .changed_at_ms = clock_wall_ms(),
        };
    }
    row.kind = config->kind;
    (void)snprintf(row.name, sizeof row.name, "%s", config->name);
    (void)snprintf(row.mount_form, sizeof row.mount_form, "%s", mount_form_name(enrolling->form));
    guest_config_disk_ids(config, NULL, &row.root_uid, &row.root_gid);
    return row;
}

static int write_store(struct enrolling *enrolling, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(enrolling->session->store, &transaction, error) < 0 ||
        find_row(enrolling, error) < 0)
        return -1;
    struct guest row = new_row(enrolling);
    if (guest_put_enrolled(enrolling->session->store, &row, &enrolling->plan.text, error) < 0 ||
        transaction_commit(&transaction, error) < 0)
        return -1;
    enrolling->put = true;
    return 0;
}

/* What the hook has recorded of the guest meanwhile stays. */
static int restore_row(const struct enrolling *enrolling, struct error *error)
{
    struct store *store = enrolling->session->store;
    struct guest row;
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0)
        return -1;
    if (!enrolling->known) {
        if (guest_remove(store, enrolling->vmid, error) < 0)
            return -1;
    } else {
        if (guest_find(store, enrolling->vmid, &row, error) < 0)
            return -1;
        memcpy(row.mount_form, enrolling->row.mount_form, sizeof row.mount_form);
        memcpy(row.name, enrolling->row.name, sizeof row.name);
        row.kind = enrolling->row.kind;
        row.root_uid = enrolling->row.root_uid;
        row.root_gid = enrolling->row.root_gid;
        if (guest_put_enrolled(store, &row, &enrolling->enrolment, error) < 0)
            return -1;
    }
    return transaction_commit(&transaction, error);
}

/* --- one guest --- */

static int write_event(const struct enrolling *enrolling, struct error *error)
{
    return enrolling->steps.changed ? session_event(enrolling->session, enrolling->vmid, "enroll",
                                                    mount_form_name(enrolling->form), error)
                                    : 0;
}

/* Comes last, as it cannot be taken back: the former guest's tokens end, and its events are not the
 * new one's. */
static int end_former_guest(struct enrolling *enrolling, struct error *error)
{
    int count;
    if (!enrolling->plan.replaces)
        return 0;
    if (guest_forget_past(enrolling->session->store, enrolling->vmid, error) < 0)
        return -1;
    if (session_revoke(enrolling->session, enrolling->vmid, "the VMID is a new guest's", &count,
                       error) < 0)
        return -1;
    steps_add_revoked(&enrolling->steps, count);
    return 0;
}

static int make_changes(struct enrolling *enrolling, struct error *error)
{
    if (link_hook(enrolling, error) < 0 || write_store(enrolling, error) < 0 ||
        write_enrolment(enrolling, error) < 0 || make_directory(enrolling, error) < 0 ||
        change_config(enrolling, error) < 0 || write_event(enrolling, error) < 0)
        return -1;
    return end_former_guest(enrolling, error);
}

static void undo_enroll(struct enrolling *enrolling, const char *why)
{
    struct steps *steps = &enrolling->steps;
    const struct config *config = &enrolling->session->config;
    const char *snippets = value_or(enrolling->invocation, OPTION_SNIPPETS, SNIPPET_DIRECTORY);
    uint32_t vmid = enrolling->vmid;
    struct error problem;
    steps_undo(steps);
    if (enrolment_undo_config(config, &enrolling->config, &problem) < 0)
        steps_add_not_undone(steps, "configuration", &problem);
    if (enrolling->directory_made &&
        guest_directory_remove(config->paths.guests, vmid, &problem) < 0)
        steps_add_not_undone(steps, "directory", &problem);
    if (enrolling->written && enrolment_file_restore(config, vmid, &enrolling->file, &problem) < 0)
        steps_add_not_undone(steps, "enrolment", &problem);
    if (enrolling->put && restore_row(enrolling, &problem) < 0)
        steps_add_not_undone(steps, "store", &problem);
    if (host_setup_remove_snippet(snippets, &enrolling->snippet, &problem) < 0)
        steps_add_not_undone(steps, "snippet", &problem);
    session_event_failed(enrolling->session, vmid, "enroll", why);
}

static int enroll(struct enrolling *enrolling, struct error *error)
{
    if (prepare_enroll(enrolling, error) < 0)
        return -1;
    if (enrolling->invocation->values[OPTION_ALL] && enrolling->guest.template) {
        steps_add(&enrolling->steps, STEP_ALREADY, "template", "is left out of --all");
        return 0;
    }
    add_warnings(enrolling);
    if (make_changes(enrolling, error) == 0) {
        node_nics_set_enrolled(enrolling->nics, enrolling->vmid);
        warn_of_reach(enrolling);
        return 0;
    }
    undo_enroll(enrolling, error->message);
    return -1;
}

static bool sets_quota(const struct invocation *invocation)
{
    return invocation->values[OPTION_QUOTA_SNAPSHOTS] ||
           invocation->values[OPTION_QUOTA_SNAPSHOT_INTERVAL] ||
           invocation->values[OPTION_QUOTA_BACKUP_INTERVAL];
}

/* The caller frees it. */
static char *next_text(const struct enrolling *enrolling)
{
    static const char *const texts[] = {
        [MOUNT_FORM_NONE] = "the hook runs at the machine's next start",
        [MOUNT_FORM_ENTRY] = "it takes effect at the guest's next start; a reboot from inside the "
                             "guest does not count",
        [MOUNT_FORM_MP] = "a running guest sees the directory now; felhomctl rotate fills it, or "
                          "its next start; a reboot from inside the guest does not count",
    };
    if (!enrolling->steps.changed)
        return mem_format("nothing, all was as requested");
    return mem_format(
        "%s%s",
        sets_quota(enrolling->invocation) ? "the quota is in force now; as for the rest, " : "",
        texts[enrolling->form]);
}

static json_t *enroll_report(const struct enrolling *enrolling, bool enrolled)
{
    json_t *report = json_object();
    output_put_int(report, "vmid", enrolling->vmid);
    output_put_text(report, "mount", mount_form_name(enrolling->form));
    if (enrolled) {
        cleanup_free char *next = next_text(enrolling);
        output_put_text(report, "next", next);
    }
    return report;
}

static int enroll_one(const struct invocation *invocation, struct session *session,
                      struct node_nics *nics, struct node_reach *reach, struct error *error)
{
    cleanup(enrolling_free) struct enrolling enrolling = {
        .invocation = invocation,
        .session = session,
        .nics = nics,
        .reach = reach,
        .vmid = invocation->vmids.items[0],
        .steps = steps_new(),
    };
    int result = enroll(&enrolling, error);
    cleanup_json json_t *report = enroll_report(&enrolling, result == 0);
    steps_print(&enrolling.steps, invocation, report);
    return result;
}

struct enroll_run {
    const struct invocation *invocation;
    struct session *session;
    struct node_nics *nics;
    struct node_reach *reach;
    json_t *guests;
    struct vmids failed;
};

static void enroll_run_free(struct enroll_run *run)
{
    json_decref(run->guests);
    vmids_free(&run->failed);
}

/* Text is printed guest by guest, other formats at the end. */
static void show_guest(const struct enroll_run *run, const struct enrolling *enrolling,
                       bool enrolled)
{
    const struct invocation *invocation = run->invocation;
    json_t *report = enroll_report(enrolling, enrolled);
    output_put_bool(report, "enrolled", enrolled);
    steps_report(&enrolling->steps, report);
    json_append(run->guests, report);
    if (invocation->format != OUTPUT_TEXT)
        return;
    (void)fprintf(invocation->out, "%sguest %u\n", json_array_size(run->guests) > 1 ? "\n" : "",
                  enrolling->vmid);
    steps_print(&enrolling->steps, invocation, NULL);
}

static void enroll_listed(struct enroll_run *run, uint32_t vmid)
{
    struct error problem;
    cleanup(enrolling_free) struct enrolling enrolling = {
        .invocation = run->invocation,
        .session = run->session,
        .nics = run->nics,
        .reach = run->reach,
        .vmid = vmid,
        .steps = steps_new(),
    };
    bool enrolled = enroll(&enrolling, &problem) == 0;
    if (!enrolled) {
        steps_add(&enrolling.steps, STEP_WARNING, "failed", "%s", problem.message);
        vmids_add(&run->failed, vmid);
    }
    show_guest(run, &enrolling, enrolled);
}

/* A failure for one guest does not keep the others from being enrolled. */
static int enroll_several(const struct invocation *invocation, struct session *session,
                          struct node_nics *nics, struct node_reach *reach,
                          const struct vmids *guests, struct error *error)
{
    cleanup(enroll_run_free) struct enroll_run run = {
        .invocation = invocation,
        .session = session,
        .nics = nics,
        .reach = reach,
        .guests = json_array(),
    };
    for (size_t i = 0; i < guests->count; i++)
        enroll_listed(&run, guests->items[i]);
    (void)output_value(invocation, run.guests);
    return steps_fail_guests(&run.failed, "not all guests could be enrolled", error);
}

static int enroll_all(const struct invocation *invocation, struct session *session,
                      struct node_nics *nics, struct node_reach *reach, struct error *error)
{
    cleanup(vmids_free) struct vmids guests = {0};
    if (node_containers_list(&session->config, &guests, error) < 0)
        return -1;
    return enroll_several(invocation, session, nics, reach, &guests, error);
}

static int run_enroll(const struct invocation *invocation, struct error *error)
{
    bool all = invocation->values[OPTION_ALL];
    const struct vmids named = {invocation->vmids.items, invocation->vmids.count};
    cleanup_session struct session session = {.store = NULL};
    if (all == (named.count > 0))
        return fail(error, ERROR_INVALID, "enroll: give VMID... or --all");
    if (session_open(&session, error) < 0)
        return -1;
    cleanup(node_nics_free) struct node_nics nics = node_nics_load(&session.config);
    cleanup(node_reach_free) struct node_reach reach = node_reach_load(&session.config, &nics);
    if (all)
        return enroll_all(invocation, &session, &nics, &reach, error);
    return named.count == 1 ? enroll_one(invocation, &session, &nics, &reach, error)
                            : enroll_several(invocation, &session, &nics, &reach, &named, error);
}

const struct verb verb_enroll = {
    .name = "enroll",
    .operand = OPERAND_VMIDS,
    .instead = "--all",
    .help = "Have the agent serve guests: hook, mount, enrolment file",
    .run = run_enroll,
    VERB_OPTIONS(options),
};
