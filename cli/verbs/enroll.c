/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll: has the agent serve guests. For each one: the hook's link in Proxmox's snippets, the
 * enrolment file, for an mp the guest's directory, then hookscript and mount in the guest's
 * configuration, and last the guest's row in the store. All that can be refused is checked before
 * anything is changed, and each step can be repeated: a run that was cut short is run again.
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
#include "cli/pve/guests.h"
#include "cli/pve/host_setup.h"
#include "cli/verbs/enrolment.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"
#include "schema/pve/guest_config.h"
#include "store/base/cgroup.h"
#include "store/base/clock.h"
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
};

/* One guest that is being enrolled. */
struct enrolling {
    const struct invocation *invocation;
    struct session *session; /* borrowed */
    uint32_t vmid;
    struct guest_config guest;
    struct enrolment_plan plan;
    enum mount_form form;
    const char *other; /* hookscript, which is chained from now on; NULL: none */
    struct steps steps;
};

static void enrolling_free(struct enrolling *enrolling)
{
    guest_config_free(&enrolling->guest);
    enrolment_plan_free(&enrolling->plan);
    steps_free(&enrolling->steps);
}

static const char *value_or(const struct invocation *invocation, int option, const char *otherwise)
{
    const char *value = invocation->values[option];
    return value ? value : otherwise;
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
        .retrieval_password_file = invocation->values[OPTION_PASSWORD_FILE],
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

/* A hookscript other than ours is refused, or chained with --chain. */
static int check_hookscript(struct enrolling *enrolling, struct enrolment_values *values,
                            struct error *error)
{
    const char *hookscript = enrolling->guest.hookscript;
    if (!hookscript || strcmp(hookscript, HOOKSCRIPT_VALUE) == 0)
        return 0;
    if (!enrolling->invocation->values[OPTION_CHAIN])
        return guest_lines_check_hookscript(enrolling->vmid, hookscript, error);
    enrolling->other = values->chain = hookscript;
    return 0;
}

/* Makes all checks that can be made before anything is changed. */
static int prepare_enroll(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    uint32_t vmid = enrolling->vmid;
    struct enrolment_values values = given_values(enrolling->invocation);
    if (config_file_load_guest(config, vmid, &enrolling->guest, error) < 0 ||
        pve_config_check_unlocked(vmid, &enrolling->guest, error) < 0)
        return -1;
    if (check_hookscript(enrolling, &values, error) < 0)
        return -1;
    enrolling->form = choose_mount_form(enrolling);
    return enrolment_plan_make(config, vmid, &values, &enrolling->plan, error);
}

static void add_warnings(struct enrolling *enrolling)
{
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
    return host_setup_snippet(directory, hook, &enrolling->steps, error);
}

static int write_enrolment(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    const struct enrolment_plan *plan = &enrolling->plan;
    if (enrolment_plan_apply(config, enrolling->vmid, plan, error) < 0)
        return -1;
    steps_add(&enrolling->steps, plan->write ? STEP_DONE : STEP_ALREADY, "enrolment",
              "%s/%u.yaml%s", config->paths.enrolment, enrolling->vmid,
              plan->write && plan->exists ? " (comments in it are not kept)" : "");
    return 0;
}

/* Proxmox mounts an mp into a running guest at once, so what it names must be there. */
static int make_directory(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    uint32_t vmid = enrolling->vmid;
    uint32_t uid;
    uint32_t gid;
    bool made;
    if (enrolling->form != MOUNT_FORM_MP)
        return 0;
    guest_config_disk_ids(&enrolling->guest, NULL, &uid, &gid);
    if (guest_directory_make(config->paths.guests, vmid, uid, gid, &made, error) < 0)
        return -1;
    steps_add(&enrolling->steps, made ? STEP_DONE : STEP_ALREADY, "directory", "%s/%u",
              config->paths.guests, vmid);
    return 0;
}

static int change_config(struct enrolling *enrolling, struct error *error)
{
    struct guest_lines_desired desired = {
        .vmid = enrolling->vmid,
        .hookscript = true,
        .other = enrolling->other,
        .form = enrolling->form,
    };
    size_t before = json_array_size(enrolling->steps.list);
    if (enrolment_change_config(&enrolling->session->config, enrolling->guest.kind, desired,
                                &enrolling->steps, error) < 0)
        return -1;
    if (json_array_size(enrolling->steps.list) == before)
        steps_add(&enrolling->steps, STEP_ALREADY, "configuration", "hookscript%s as requested",
                  enrolling->form == MOUNT_FORM_NONE ? "" : " and mount");
    return 0;
}

/* A guest that the hook has already seen keeps its state. */
static int find_or_make_guest(const struct enrolling *enrolling, struct guest *ret,
                              struct error *error)
{
    const struct guest_config *config = &enrolling->guest;
    uint32_t vmid = enrolling->vmid;
    struct error unknown;
    if (guest_find(enrolling->session->store, vmid, ret, &unknown) < 0) {
        if (fail_unless_missing(error, &unknown) < 0)
            return -1;
        bool runs =
            cgroup_look(enrolling->session->config.paths.cgroup, config->kind, vmid) == CGROUP_RUNS;
        *ret = (struct guest){
            .vmid = vmid,
            .state = runs ? GUEST_RUNNING : GUEST_STOPPED,
            .changed_at_ms = clock_wall_ms(),
        };
    }
    ret->kind = config->kind;
    (void)snprintf(ret->name, sizeof ret->name, "%s", config->name);
    (void)snprintf(ret->mount_form, sizeof ret->mount_form, "%s", mount_form_name(enrolling->form));
    guest_config_disk_ids(config, NULL, &ret->root_uid, &ret->root_gid);
    return 0;
}

static int put_guest(const struct enrolling *enrolling, struct error *error)
{
    struct store *store = enrolling->session->store;
    const struct buffer *text = &enrolling->plan.text;
    struct guest guest;
    if (find_or_make_guest(enrolling, &guest, error) < 0 || guest_put(store, &guest, error) < 0 ||
        guest_set_enrolment(store, guest.vmid, buffer_text(text), text->length, error) < 0)
        return -1;
    return enrolling->steps.changed
               ? session_event(enrolling->session, guest.vmid, "enroll", guest.mount_form, error)
               : 0;
}

/* The guest, its enrolment and the event in one transaction. */
static int write_store(const struct enrolling *enrolling, struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(enrolling->session->store, &transaction, error) < 0 ||
        put_guest(enrolling, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
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
    if (link_hook(enrolling, error) < 0 || write_enrolment(enrolling, error) < 0 ||
        make_directory(enrolling, error) < 0 || change_config(enrolling, error) < 0)
        return -1;
    return write_store(enrolling, error);
}

static const char *next_text(const struct enrolling *enrolling)
{
    static const char *const texts[] = {
        [MOUNT_FORM_NONE] = "the hook runs at the machine's next start",
        [MOUNT_FORM_ENTRY] = "it takes effect at the guest's next start; a reboot from inside the "
                             "guest does not count",
        [MOUNT_FORM_MP] = "a running guest sees the directory now; it is filled at its next "
                          "start; a reboot from inside the guest does not count",
    };
    return enrolling->steps.changed ? texts[enrolling->form] : "nothing, all was as requested";
}

static json_t *enroll_report(const struct enrolling *enrolling, bool enrolled)
{
    json_t *report = json_object();
    output_put_int(report, "vmid", enrolling->vmid);
    output_put_text(report, "mount", mount_form_name(enrolling->form));
    if (enrolled)
        output_put_text(report, "next", next_text(enrolling));
    return report;
}

static int enroll_one(const struct invocation *invocation, struct session *session,
                      struct error *error)
{
    cleanup(enrolling_free) struct enrolling enrolling = {
        .invocation = invocation,
        .session = session,
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
                          const struct vmids *guests, struct error *error)
{
    cleanup(enroll_run_free) struct enroll_run run = {invocation, session, json_array(), {0}};
    for (size_t i = 0; i < guests->count; i++)
        enroll_listed(&run, guests->items[i]);
    (void)output_value(invocation, run.guests);
    return steps_fail_guests(&run.failed, "not all guests could be enrolled", error);
}

static int enroll_all(const struct invocation *invocation, struct session *session,
                      struct error *error)
{
    cleanup(vmids_free) struct vmids guests = {0};
    if (node_containers_list(&session->config, &guests, error) < 0)
        return -1;
    return enroll_several(invocation, session, &guests, error);
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
    if (all)
        return enroll_all(invocation, &session, error);
    return named.count == 1 ? enroll_one(invocation, &session, error)
                            : enroll_several(invocation, &session, &named, error);
}

const struct verb verb_enroll = {
    .name = "enroll",
    .operand = OPERAND_VMIDS,
    .instead = "--all",
    .help = "Have the agent serve guests: hook, mount, enrolment file",
    .run = run_enroll,
    VERB_OPTIONS(options),
};
