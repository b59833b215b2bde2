/* SPDX-License-Identifier: Apache-2.0 */
/* enroll: makes guests such that the agent serves: hook, mount, enrolment file. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/base/vmids.h"
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
#include "store/documents/settings.h"
#include "store/files/guest_directory.h"
#include "store/tables/guest.h"

/* What the store is told of a guest that was enrolled. */

struct guest_memory {
    uint32_t vmid;
    const struct guest_config *guest;
    enum mount_form form;
    const struct buffer *enrolment;
    bool changed; /* an event tells of it */
};

/* A guest that the hook has already seen keeps its state. */
static int describe(const struct session *session, const struct guest_memory *memory,
                    struct guest *ret, struct error *error)
{
    const struct config *config = &session->config;
    const struct guest_config *guest = memory->guest;
    uint32_t vmid = memory->vmid;
    struct error unknown;
    if (guest_find(session->store, vmid, ret, &unknown) < 0) {
        if (unknown.kind != ERROR_MISSING) {
            *error = unknown;
            return -1;
        }
        *ret = (struct guest){
            .vmid = vmid,
            .state = cgroup_has_guest(config->paths.cgroup, guest->kind, vmid) ? GUEST_RUNNING
                                                                               : GUEST_STOPPED,
            .changed_at_ms = clock_wall_ms(),
        };
    }
    ret->kind = guest->kind;
    (void)snprintf(ret->name, sizeof ret->name, "%s", guest->name);
    (void)snprintf(ret->mount_form, sizeof ret->mount_form, "%s", mount_form_name(memory->form));
    guest_config_disk_ids(guest, NULL, &ret->root_uid, &ret->root_gid);
    return 0;
}

static int put_all(const struct session *session, const struct guest_memory *memory,
                   const struct guest *guest, struct error *error)
{
    struct store *store = session->store;
    const struct buffer *text = memory->enrolment;
    if (guest_put(store, guest, error) < 0 ||
        guest_set_enrolment(store, guest->vmid, buffer_text(text), text->length, error) < 0)
        return -1;
    return memory->changed ? session_event(session, guest->vmid, "enroll", guest->mount_form, error)
                           : 0;
}

/* All at once, or nothing. */
static int guest_remember(const struct session *session, const struct guest_memory *memory,
                          struct error *error)
{
    struct store *store = session->store;
    struct guest guest;
    if (store_begin(store, error) < 0)
        return -1;
    if (describe(session, memory, &guest, error) == 0 &&
        put_all(session, memory, &guest, error) == 0 && store_commit(store, error) == 0)
        return 0;
    store_rollback(store);
    return -1;
}

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
                      "how the directory gets into the guest (default: as it is, else entry)"},
    [OPTION_CUSTOMER] = {"customer", "ID", "the same as --customer-id"},
    [OPTION_CUSTOMER_ID] = {"customer-id", "ID", "whose guest it is"},
    [OPTION_CUSTOMER_NAME] = {"customer-name", "NAME", "the customer's name"},
    [OPTION_CUSTOMER_DOMAIN] = {"customer-domain", "DOMAIN", "the customer's domain"},
    [OPTION_CUSTOMER_EMAIL] = {"customer-email", "ADDRESS", "the customer's address"},
    [OPTION_IMAGE] = {"image", "IMAGE", "the controller's image, instead of controller.image"},
    [OPTION_PASSWORD_FILE] = {"retrieval-password-file", "FILE",
                              "holds the hub's retrieval password"},
    [OPTION_SNIPPETS] = {"snippets", "DIR", "default: " SNIPPET_DIRECTORY},
    [OPTION_HOOK] = {"hook", "PATH", "default: " SNIPPET_HOOK},
    [OPTION_ALL] = {"all", NULL, "each container of this host that is no template"},
    [OPTION_CHAIN] = {"chain", NULL, "have our hookscript call the one that is there"},
};

/* What is done, for whom. */
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

static struct enrolment_wish wish_of(const struct invocation *invocation)
{
    return (struct enrolment_wish){
        .customer_id =
            value_or(invocation, OPTION_CUSTOMER_ID, invocation->values[OPTION_CUSTOMER]),
        .customer_name = invocation->values[OPTION_CUSTOMER_NAME],
        .customer_domain = invocation->values[OPTION_CUSTOMER_DOMAIN],
        .customer_email = invocation->values[OPTION_CUSTOMER_EMAIL],
        .image = invocation->values[OPTION_IMAGE],
        .retrieval_password_file = invocation->values[OPTION_PASSWORD_FILE],
    };
}

/* What is not asked for stays as it is: enrolling again to name a customer moves no mount. */
static enum mount_form form_of(const struct enrolling *enrolling)
{
    const char *wished = enrolling->invocation->values[OPTION_MOUNT];
    if (enrolling->guest.kind == GUEST_QEMU)
        return MOUNT_FORM_NONE;
    if (wished)
        return strcmp(wished, "mp") == 0 ? MOUNT_FORM_MP : MOUNT_FORM_ENTRY;
    enum mount_form found =
        directory_line_find(&enrolling->session->config, enrolling->vmid, &enrolling->guest);
    return found == MOUNT_FORM_NONE ? MOUNT_FORM_ENTRY : found;
}

/* Another's is refused, or chained, if that is wished for. */
static int judge_hookscript(struct enrolling *enrolling, struct enrolment_wish *wish,
                            struct error *error)
{
    const char *hookscript = enrolling->guest.hookscript;
    if (!hookscript || strcmp(hookscript, HOOKSCRIPT_VALUE) == 0)
        return 0;
    if (!enrolling->invocation->values[OPTION_CHAIN])
        return guest_lines_check_hookscript(enrolling->vmid, hookscript, error);
    enrolling->other = wish->chain = hookscript;
    return 0;
}

/* All that can be refused without having touched anything. */
static int prepare(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session->config;
    uint32_t vmid = enrolling->vmid;
    struct enrolment_wish wish = wish_of(enrolling->invocation);
    if (settings_load_guest(config, vmid, &enrolling->guest, error) < 0 ||
        pve_config_check_unlocked(vmid, &enrolling->guest, error) < 0)
        return -1;
    if (judge_hookscript(enrolling, &wish, error) < 0)
        return -1;
    enrolling->form = form_of(enrolling);
    return enrolment_plan_make(config, vmid, &wish, &enrolling->plan, error);
}

static void warn(struct enrolling *enrolling)
{
    if (enrolling->guest.template)
        steps_add(&enrolling->steps, STEP_WARNING, "template",
                  "this is a template: each clone of it has to be enrolled by itself");
    if (enrolling->guest.kind == GUEST_QEMU)
        steps_add(&enrolling->steps, STEP_WARNING, "mount",
                  "this is a virtual machine: it gets the hook, but no mount");
}

/* On a scratch host nothing looks hooks up in the machine's own snippets. */
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
static int make_place(struct enrolling *enrolling, struct error *error)
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
    struct guest_lines_wish wish = {
        .vmid = enrolling->vmid,
        .hookscript = true,
        .other = enrolling->other,
        .form = enrolling->form,
    };
    size_t before = json_array_size(enrolling->steps.list);
    if (enrolment_change_config(&enrolling->session->config, enrolling->guest.kind, wish,
                                &enrolling->steps, error) < 0)
        return -1;
    if (json_array_size(enrolling->steps.list) == before)
        steps_add(&enrolling->steps, STEP_ALREADY, "configuration", "hookscript%s as wished",
                  enrolling->form == MOUNT_FORM_NONE ? "" : " and mount");
    return 0;
}

static int remember(const struct enrolling *enrolling, struct error *error)
{
    const struct guest_memory memory = {
        .vmid = enrolling->vmid,
        .guest = &enrolling->guest,
        .form = enrolling->form,
        .enrolment = &enrolling->plan.text,
        .changed = enrolling->steps.changed,
    };
    return guest_remember(enrolling->session, &memory, error);
}

static int enroll(struct enrolling *enrolling, struct error *error)
{
    if (prepare(enrolling, error) < 0)
        return -1;
    if (enrolling->invocation->values[OPTION_ALL] && enrolling->guest.template) {
        steps_add(&enrolling->steps, STEP_ALREADY, "template", "is left out of --all");
        return 0;
    }
    warn(enrolling);
    if (link_hook(enrolling, error) < 0 || write_enrolment(enrolling, error) < 0 ||
        make_place(enrolling, error) < 0 || change_config(enrolling, error) < 0)
        return -1;
    return remember(enrolling, error);
}

static const char *next_of(const struct enrolling *enrolling)
{
    static const char *const texts[] = {
        [MOUNT_FORM_NONE] = "the hook runs at the machine's next start",
        [MOUNT_FORM_ENTRY] = "it takes effect at the guest's next start; a reboot from inside the "
                             "guest is none",
        [MOUNT_FORM_MP] = "a running guest sees the directory now; it is filled at its next "
                          "start; a reboot from inside the guest is none",
    };
    return enrolling->steps.changed ? texts[enrolling->form] : "nothing, all was as wished";
}

static json_t *report_of(const struct enrolling *enrolling, bool enrolled)
{
    json_t *report = json_object();
    output_put_int(report, "vmid", enrolling->vmid);
    output_put_text(report, "mount", mount_form_name(enrolling->form));
    if (enrolled)
        output_put_text(report, "next", next_of(enrolling));
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
    cleanup_json json_t *report = report_of(&enrolling, result == 0);
    steps_print(&enrolling.steps, invocation, report);
    return result;
}

/* --- several guests --- */

struct crowd {
    const struct invocation *invocation;
    struct session *session;
    json_t *guests;
    struct vmids failed;
};

static void crowd_free(struct crowd *crowd)
{
    json_decref(crowd->guests);
    vmids_free(&crowd->failed);
}

static void note_failure(struct crowd *crowd, struct enrolling *enrolling,
                         const struct error *problem)
{
    steps_add(&enrolling->steps, STEP_WARNING, "failed", "%s", problem->message);
    vmids_add(&crowd->failed, enrolling->vmid);
}

/* As text each guest is shown as soon as it is done. */
static void show(const struct crowd *crowd, const struct enrolling *enrolling, bool enrolled)
{
    const struct invocation *invocation = crowd->invocation;
    json_t *report = report_of(enrolling, enrolled);
    output_put_bool(report, "enrolled", enrolled);
    steps_report(&enrolling->steps, report);
    json_append(crowd->guests, report);
    if (invocation->format != OUTPUT_TEXT)
        return;
    (void)fprintf(invocation->out, "%sguest %u\n", json_array_size(crowd->guests) > 1 ? "\n" : "",
                  enrolling->vmid);
    steps_print(&enrolling->steps, invocation, NULL);
}

static void enroll_any(struct crowd *crowd, uint32_t vmid)
{
    struct error problem;
    cleanup(enrolling_free) struct enrolling enrolling = {
        .invocation = crowd->invocation,
        .session = crowd->session,
        .vmid = vmid,
        .steps = steps_new(),
    };
    bool enrolled = enroll(&enrolling, &problem) == 0;
    if (!enrolled)
        note_failure(crowd, &enrolling, &problem);
    show(crowd, &enrolling, enrolled);
}

/* A failure does not keep the others from it. */
static int enroll_several(const struct invocation *invocation, struct session *session,
                          const struct vmids *guests, struct error *error)
{
    cleanup(crowd_free) struct crowd crowd = {invocation, session, json_array(), {0}};
    for (size_t i = 0; i < guests->count; i++)
        enroll_any(&crowd, guests->items[i]);
    if (invocation->format != OUTPUT_TEXT)
        output_value(invocation, crowd.guests);
    return vmids_fail(&crowd.failed, "not all could be enrolled", error);
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
        return fail(error, ERROR_INVALID, "enroll: one of VMID... and --all, please");
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
    .help = "Have the agent serve guests: hook, mount, enrolment file",
    .run = run_enroll,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
