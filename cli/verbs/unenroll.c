/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unenroll: undoes what enroll and the hook did for a guest. It first revokes the tokens, so that
 * they are refused whatever fails afterwards, then removes the lines in the configuration, the
 * export and the directory, the enrolment file, and the guest's row in the store. It also works for
 * a guest that was destroyed.
 */
#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/verbs/enrolment.h"
#include "cli/verbs/revocation.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/config_file.h"
#include "store/files/guest_directory.h"
#include "store/files/guest_mount.h"
#include "store/tables/guest.h"

#define NEXT "a running guest keeps its mount, now empty, until it stops"

static const char *removal_word(bool removed)
{
    return removed ? "removed" : "there is no";
}

/* *ret_found: a guest that was destroyed has no configuration left. */
static int load_guest(const struct session *session, uint32_t vmid, struct guest_config *ret,
                      bool *ret_found, struct error *error)
{
    struct error problem;
    *ret_found = config_file_load_guest(&session->config, vmid, ret, &problem) == 0;
    return *ret_found ? 0 : fail_unless_missing(error, &problem);
}

/* Whether another hookscript, which ours has called, is to be put back. An enrolment file that
 * cannot be read is a warning only: the guest must not stay enrolled for it. */
static bool find_chain(const struct session *session, uint32_t vmid, char **ret,
                       struct steps *steps)
{
    struct error problem;
    if (enrolment_file_chain(&session->config, vmid, ret, &problem) == 0)
        return **ret;
    steps_add(steps, STEP_WARNING, "enrolment", "the other hookscript is not put back: %s",
              problem.message);
    return false;
}

static int restore_config(const struct session *session, uint32_t vmid, struct steps *steps,
                          struct error *error)
{
    cleanup(guest_config_free) struct guest_config guest = {0};
    cleanup_free char *chain = NULL;
    struct guest_lines_desired desired = {.vmid = vmid};
    bool found;
    size_t before = json_array_size(steps->list);
    if (find_chain(session, vmid, &chain, steps))
        desired.other = chain;
    if (load_guest(session, vmid, &guest, &found, error) < 0 ||
        (found && enrolment_change_config(&session->config, guest.kind, desired, steps, error) < 0))
        return -1;
    if (json_array_size(steps->list) == before)
        steps_add(steps, STEP_ALREADY, "configuration", "%s",
                  found ? "has no line of ours" : "there is none on this node");
    return 0;
}

/* Proxmox keeps an mp of a running guest until it stops; a reboot inside fails where its directory
 * is gone. */
static int mounts_directory(const struct session *session, uint32_t vmid, bool *ret,
                            struct error *error)
{
    cleanup(guest_config_free) struct guest_config guest = {0};
    bool found;
    if (load_guest(session, vmid, &guest, &found, error) < 0)
        return -1;
    *ret = guest_lines_mount_form(&session->config, vmid, &guest) == MOUNT_FORM_MP;
    return 0;
}

static int remove_directories(const struct session *session, uint32_t vmid, struct steps *steps,
                              struct error *error)
{
    const struct config *config = &session->config;
    bool mounted;
    bool removed;
    if (mounts_directory(session, vmid, &mounted, error) < 0 ||
        guest_mount_unexport(config, vmid, &removed, error) < 0)
        return -1;
    steps_add(steps, removed ? STEP_DONE : STEP_ALREADY, "export", "%s %s/%u",
              removal_word(removed), config->paths.export, vmid);
    if (mounted) {
        steps_add(steps, STEP_WARNING, "directory",
                  "%s/%u stays, empty, as Proxmox keeps the mount until the guest stops: unenroll "
                  "again then",
                  config->paths.guests, vmid);
        return 0;
    }
    return guest_directory_remove(config->paths.guests, vmid, error);
}

static int remove_enrolment(const struct session *session, uint32_t vmid, struct steps *steps,
                            struct error *error)
{
    bool removed;
    if (enrolment_file_remove(&session->config, vmid, &removed, error) < 0)
        return -1;
    steps_add(steps, removed ? STEP_DONE : STEP_ALREADY, "enrolment", "%s %s/%u.yaml",
              removal_word(removed), session->config.paths.enrolment, vmid);
    return 0;
}

static int remove_from_store(const struct session *session, uint32_t vmid, struct steps *steps,
                             struct error *error)
{
    struct guest guest;
    struct error unknown;
    bool known = guest_find(session->store, vmid, &guest, &unknown) == 0;
    if ((!known && fail_unless_missing(error, &unknown) < 0) ||
        guest_remove(session->store, vmid, error) < 0)
        return -1;
    steps_add(steps, known ? STEP_DONE : STEP_ALREADY, "store", "%s guest %u", removal_word(known),
              vmid);
    return steps->changed ? session_event(session, vmid, "unenroll", "", error) : 0;
}

static int unenroll(struct session *session, uint32_t vmid, struct steps *steps,
                    struct error *error)
{
    int count;
    if (session_open(session, error) < 0 ||
        revocation_run(session, vmid, "felhomctl unenroll", steps, &count, error) < 0 ||
        restore_config(session, vmid, steps, error) < 0 ||
        remove_directories(session, vmid, steps, error) < 0 ||
        remove_enrolment(session, vmid, steps, error) < 0)
        return -1;
    return remove_from_store(session, vmid, steps, error);
}

static int run_unenroll(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup(steps_free) struct steps steps = steps_new();
    cleanup_json json_t *report = json_object();
    int result = unenroll(&session, invocation->vmid, &steps, error);
    output_put_int(report, "vmid", invocation->vmid);
    if (result == 0)
        output_put_text(report, "next", steps.changed ? NEXT : "nothing, it was gone already");
    steps_print(&steps, invocation, report);
    return result;
}

const struct verb verb_unenroll = {
    .name = "unenroll",
    .operand = OPERAND_VMID,
    .help = "Undo enroll: remove a guest's lines, tokens, directory and enrolment file",
    .run = run_unenroll,
};
