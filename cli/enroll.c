/* SPDX-License-Identifier: Apache-2.0 */
/* enroll: makes a guest one that the agent serves: hook, mount, enrolment file. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/enrolment_file.h"
#include "cli/guest_change.h"
#include "cli/guest_place.h"
#include "cli/output.h"
#include "cli/pve_config.h"
#include "cli/session.h"
#include "cli/snippet.h"
#include "cli/steps.h"
#include "cli/verb.h"
#include "schema/cleanup.h"
#include "schema/memory.h"
#include "store/cgroup.h"
#include "store/clock.h"
#include "store/guest.h"
#include "store/settings.h"

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
};

/* What is done, for whom. */
struct enrolling {
    const struct invocation *invocation;
    struct session session;
    struct guest_config guest;
    struct enrolment_plan plan;
    enum mount_form form;
    struct steps steps;
};

static void enrolling_free(struct enrolling *enrolling)
{
    session_close(&enrolling->session);
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
    enum mount_form found = directory_line_find(&enrolling->session.config,
                                                enrolling->invocation->vmid, &enrolling->guest);
    return found == MOUNT_FORM_NONE ? MOUNT_FORM_ENTRY : found;
}

/* All that can be refused without having touched anything. */
static int prepare(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session.config;
    uint32_t vmid = enrolling->invocation->vmid;
    struct enrolment_wish wish = wish_of(enrolling->invocation);
    if (settings_load_guest(config, vmid, &enrolling->guest, error) < 0 ||
        pve_config_check_unlocked(vmid, &enrolling->guest, error) < 0)
        return -1;
    const char *hookscript = enrolling->guest.hookscript;
    if (hookscript && guest_lines_check_hookscript(vmid, hookscript, error) < 0)
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
    return !pve_is_real(&enrolling->session.config) && !invocation->values[OPTION_SNIPPETS] &&
           !invocation->values[OPTION_HOOK];
}

static int link_hook(struct enrolling *enrolling, struct error *error)
{
    if (wants_no_link(enrolling))
        return 0;
    const char *directory = value_or(enrolling->invocation, OPTION_SNIPPETS, SNIPPET_DIRECTORY);
    const char *hook = value_or(enrolling->invocation, OPTION_HOOK, SNIPPET_HOOK);
    return snippet_make(directory, hook, &enrolling->steps, error);
}

static int write_enrolment(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session.config;
    const struct enrolment_plan *plan = &enrolling->plan;
    if (enrolment_plan_apply(config, enrolling->invocation->vmid, plan, error) < 0)
        return -1;
    steps_add(&enrolling->steps, plan->write ? STEP_DONE : STEP_ALREADY, "enrolment",
              "%s/%u.yaml%s", config->paths.enrolment, enrolling->invocation->vmid,
              plan->write && plan->exists ? " (comments in it are not kept)" : "");
    return 0;
}

/* Proxmox mounts an mp into a running guest at once, so what it names must be there. */
static int make_place(struct enrolling *enrolling, struct error *error)
{
    const struct config *config = &enrolling->session.config;
    uint32_t vmid = enrolling->invocation->vmid;
    bool made;
    if (enrolling->form != MOUNT_FORM_MP)
        return 0;
    if (guest_place_make(config, vmid, &enrolling->guest, &made, error) < 0)
        return -1;
    steps_add(&enrolling->steps, made ? STEP_DONE : STEP_ALREADY, "directory", "%s/%u",
              config->paths.guests, vmid);
    return 0;
}

static int change_config(struct enrolling *enrolling, struct error *error)
{
    struct guest_lines_wish wish = {
        .vmid = enrolling->invocation->vmid,
        .hookscript = true,
        .form = enrolling->form,
    };
    size_t before = json_array_size(enrolling->steps.list);
    if (guest_change(&enrolling->session.config, enrolling->guest.kind, wish, &enrolling->steps,
                     error) < 0)
        return -1;
    if (json_array_size(enrolling->steps.list) == before)
        steps_add(&enrolling->steps, STEP_ALREADY, "configuration", "hookscript%s as wished",
                  enrolling->form == MOUNT_FORM_NONE ? "" : " and mount");
    return 0;
}

/* A guest that the hook has already seen keeps its state. */
static int describe(const struct enrolling *enrolling, struct guest *ret, struct error *error)
{
    const struct config *config = &enrolling->session.config;
    const struct guest_config *guest = &enrolling->guest;
    uint32_t vmid = enrolling->invocation->vmid;
    struct error unknown;
    if (guest_find(enrolling->session.store, vmid, ret, &unknown) < 0) {
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
    (void)snprintf(ret->mount_form, sizeof ret->mount_form, "%s", mount_form_name(enrolling->form));
    guest_config_disk_ids(guest, NULL, &ret->root_uid, &ret->root_gid);
    return 0;
}

static int put_all(const struct enrolling *enrolling, const struct guest *guest,
                   struct error *error)
{
    struct store *store = enrolling->session.store;
    const struct buffer *text = &enrolling->plan.text;
    if (guest_put(store, guest, error) < 0 ||
        guest_set_enrolment(store, guest->vmid, buffer_text(text), text->length, error) < 0)
        return -1;
    return enrolling->steps.changed
               ? session_event(&enrolling->session, guest->vmid, "enroll", guest->mount_form, error)
               : 0;
}

static int remember(const struct enrolling *enrolling, struct error *error)
{
    struct store *store = enrolling->session.store;
    struct guest guest;
    if (store_begin(store, error) < 0)
        return -1;
    if (describe(enrolling, &guest, error) == 0 && put_all(enrolling, &guest, error) == 0 &&
        store_commit(store, error) == 0)
        return 0;
    store_rollback(store);
    return -1;
}

static int enroll(struct enrolling *enrolling, struct error *error)
{
    if (session_open(&enrolling->session, error) < 0 || prepare(enrolling, error) < 0)
        return -1;
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

static int run(const struct invocation *invocation, struct error *error)
{
    cleanup(enrolling_free) struct enrolling enrolling = {
        .invocation = invocation,
        .steps = steps_new(),
    };
    cleanup_json json_t *report = json_object();
    int result = enroll(&enrolling, error);
    output_put_int(report, "vmid", invocation->vmid);
    output_put_text(report, "mount", mount_form_name(enrolling.form));
    if (result == 0)
        output_put_text(report, "next", next_of(&enrolling));
    steps_print(&enrolling.steps, invocation, report);
    return result;
}

const struct verb verb_enroll = {
    .name = "enroll",
    .operand = OPERAND_VMID,
    .help = "Have the agent serve a guest: hook, mount, enrolment file",
    .run = run,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
