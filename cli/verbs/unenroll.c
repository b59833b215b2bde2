/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unenroll: undoes what enroll and the hook did for a guest. All that can be refused is checked
 * before anything is changed. Then the lines in the configuration and the enrolment file go, which
 * can be taken back; then, in one transaction, the tokens and the guest's row; and when that is
 * committed, the export and the directory. It also works for a guest that was destroyed.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/verbs/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/documents/issue.h"
#include "store/files/config_file.h"
#include "store/files/guest_directory.h"
#include "store/files/guest_mount.h"
#include "store/tables/credential.h"
#include "store/tables/guest.h"

struct unenrolling {
    struct session session;
    uint32_t vmid;
    struct steps steps;
    bool found;                /* the guest's configuration is on this node: */
    struct guest_config guest; /* this */
    bool runs;                 /* as a container, which keeps its mount until it stops */
    char *chain;               /* another hookscript, which takes the place of ours again */
    /* What is taken back if a later step fails. */
    struct config_undo config;
    bool file_removed; /* the enrolment file */
};

static void unenrolling_free(struct unenrolling *unenrolling)
{
    session_close(&unenrolling->session);
    steps_free(&unenrolling->steps);
    guest_config_free(&unenrolling->guest);
    free(unenrolling->chain);
    config_undo_free(&unenrolling->config);
}

static const char *removal_word(bool removed)
{
    return removed ? "removed" : "there is no";
}

/* --- what is checked --- */

/* *ret_found: a guest that was destroyed has no configuration left. */
static int load_guest(const struct unenrolling *unenrolling, struct guest_config *ret,
                      bool *ret_found, struct error *error)
{
    struct error problem;
    *ret_found =
        config_file_load_guest(&unenrolling->session.config, unenrolling->vmid, ret, &problem) == 0;
    return *ret_found ? 0 : fail_unless_missing(error, &problem);
}

/*
 * Finds the other hookscript, which ours has called. Proxmox takes only one that can be run, and no
 * guest starts with any other: where ours cannot be replaced, it is removed. An enrolment file that
 * cannot be read is a warning only, too: the guest must not stay enrolled for it.
 */
static void find_chain(struct unenrolling *unenrolling)
{
    struct error problem;
    const struct config *config = &unenrolling->session.config;
    cleanup_free char *chain = NULL;
    cleanup_free char *path = NULL;
    if (enrolment_file_chain(config, unenrolling->vmid, &chain, &problem) == 0) {
        if (!*chain)
            return;
        if (guest_lines_check_runnable(config, chain, &path, &problem) == 0) {
            unenrolling->chain = steal(chain);
            return;
        }
    }
    steps_add(&unenrolling->steps, STEP_WARNING, "chain",
              "the other hookscript%s%s is not put back: %s", chain ? " " : "", chain ? chain : "",
              problem.message);
}

static struct guest_lines_desired unenrolled_lines(const struct unenrolling *unenrolling)
{
    return (struct guest_lines_desired){.vmid = unenrolling->vmid, .other = unenrolling->chain};
}

static int prepare_unenroll(struct unenrolling *unenrolling, struct error *error)
{
    const struct config *config = &unenrolling->session.config;
    uint32_t vmid = unenrolling->vmid;
    cleanup(guest_config_free) struct guest_config changed = {0};
    if (load_guest(unenrolling, &unenrolling->guest, &unenrolling->found, error) < 0)
        return -1;
    if (unenrolling->found) {
        find_chain(unenrolling);
        if (enrolment_try_config(config, unenrolling->guest.kind, unenrolled_lines(unenrolling),
                                 &changed, error) < 0)
            return -1;
    }
    if (guest_mount_check_export(config, vmid, error) < 0)
        return -1;
    return guest_directory_check_removable(config->paths.guests, vmid, error);
}

/* The store may know that it runs, and is told to forget the guest. */
static void note_whether_it_runs(struct unenrolling *unenrolling)
{
    struct guest row;
    struct error ignored;
    const struct session *session = &unenrolling->session;
    bool known = guest_find(session->store, unenrolling->vmid, &row, &ignored) == 0;
    unenrolling->runs = unenrolling->found && unenrolling->guest.kind == GUEST_LXC &&
                        issue_guest_runs(&session->config, unenrolling->guest.kind,
                                         unenrolling->vmid, known ? &row : NULL);
}

/* --- what can be taken back --- */

static int restore_config(struct unenrolling *unenrolling, struct error *error)
{
    struct steps *steps = &unenrolling->steps;
    size_t before = json_array_size(steps->list);
    if (unenrolling->found &&
        enrolment_change_config(&unenrolling->session.config, unenrolling->guest.kind,
                                unenrolled_lines(unenrolling), steps, &unenrolling->config,
                                error) < 0)
        return -1;
    if (json_array_size(steps->list) == before)
        steps_add(steps, STEP_ALREADY, "configuration", "%s",
                  unenrolling->found ? "has no line of ours" : "there is none on this node");
    return 0;
}

static int remove_enrolment(struct unenrolling *unenrolling, struct error *error)
{
    const struct config *config = &unenrolling->session.config;
    bool removed;
    if (enrolment_file_set_aside(config, unenrolling->vmid, &removed, error) < 0)
        return -1;
    unenrolling->file_removed = removed;
    steps_add(&unenrolling->steps, removed ? STEP_DONE : STEP_ALREADY, "enrolment", "%s %s/%u.yaml",
              removal_word(removed), config->paths.enrolment, unenrolling->vmid);
    return 0;
}

static void undo_unenroll(struct unenrolling *unenrolling, const char *why)
{
    const struct config *config = &unenrolling->session.config;
    struct steps *steps = &unenrolling->steps;
    struct error problem;
    steps_undo(steps);
    if (unenrolling->file_removed &&
        enrolment_file_put_back(config, unenrolling->vmid, &problem) < 0)
        steps_add_not_undone(steps, "enrolment", &problem);
    if (enrolment_undo_config(config, &unenrolling->config, &problem) < 0)
        steps_add_not_undone(steps, "configuration", &problem);
    session_event_failed(&unenrolling->session, unenrolling->vmid, "unenroll", why);
}

/* --- what cannot be taken back, and is done again by another run --- */

static int remove_from_store(struct unenrolling *unenrolling, struct error *error)
{
    struct store *store = unenrolling->session.store;
    struct steps *steps = &unenrolling->steps;
    uint32_t vmid = unenrolling->vmid;
    struct guest guest;
    struct error unknown;
    int count;
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0)
        return -1;
    bool known = guest_find(store, vmid, &guest, &unknown) == 0;
    if ((!known && fail_unless_missing(error, &unknown) < 0) ||
        credential_revoke_all(store, vmid, clock_wall_ms(), "felhomctl unenroll", &count, error) <
            0 ||
        guest_remove(store, vmid, error) < 0)
        return -1;
    if ((steps->changed || known || count > 0) &&
        session_event(&unenrolling->session, vmid, "unenroll", "", error) < 0)
        return -1;
    if (transaction_commit(&transaction, error) < 0)
        return -1;
    steps_add_revoked(steps, count);
    steps_add(steps, known ? STEP_DONE : STEP_ALREADY, "store", "%s guest %u", removal_word(known),
              vmid);
    return 0;
}

/* Proxmox keeps an mp of a running guest until it stops; a reboot inside fails where its directory
 * is gone. */
static int is_mounted(const struct unenrolling *unenrolling, bool *ret, struct error *error)
{
    cleanup(guest_config_free) struct guest_config guest = {0};
    bool found;
    if (load_guest(unenrolling, &guest, &found, error) < 0)
        return -1;
    *ret = guest_lines_has_mp(&unenrolling->session.config, unenrolling->vmid, &guest);
    return 0;
}

static int remove_directories(struct unenrolling *unenrolling, struct error *error)
{
    const struct config *config = &unenrolling->session.config;
    struct steps *steps = &unenrolling->steps;
    uint32_t vmid = unenrolling->vmid;
    bool mounted;
    bool removed;
    if (enrolment_file_drop(config, vmid, error) < 0 ||
        guest_directory_scrub(config->paths.guests, vmid, error) < 0 ||
        is_mounted(unenrolling, &mounted, error) < 0 ||
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

/* The guest's lock keeps a start or a rotation from writing a new token meanwhile. */
static int unenroll(struct unenrolling *unenrolling, struct error *error)
{
    cleanup_close int lock = -1;
    const struct config *config = &unenrolling->session.config;
    if (prepare_unenroll(unenrolling, error) < 0)
        return -1;
    note_whether_it_runs(unenrolling);
    if (restore_config(unenrolling, error) < 0 || remove_enrolment(unenrolling, error) < 0 ||
        guest_directory_lock(config, unenrolling->vmid, &lock, error) < 0 ||
        remove_from_store(unenrolling, error) < 0) {
        undo_unenroll(unenrolling, error->message);
        return -1;
    }
    if (remove_directories(unenrolling, error) == 0)
        return 0;
    return fail_context(error,
                        "the guest is unenrolled and its tokens are revoked, but something is "
                        "left: unenroll again once this is mended");
}

/* What is left for the operator to know. The caller frees it with free(). */
static char *next_text(const struct unenrolling *unenrolling)
{
    if (!unenrolling->steps.changed)
        return mem_copy_text("nothing, it was gone already");
    if (!unenrolling->found)
        return mem_format("nothing, as there is no guest %u on this node", unenrolling->vmid);
    return mem_copy_text(unenrolling->runs ? "the guest keeps its mount, now empty, until it stops"
                                           : "nothing");
}

static int run_unenroll(const struct invocation *invocation, struct error *error)
{
    cleanup(unenrolling_free) struct unenrolling unenrolling = {
        .vmid = invocation->vmid,
        .steps = steps_new(),
    };
    cleanup_json json_t *report = json_object();
    if (session_open(&unenrolling.session, error) < 0)
        return -1;
    int result = unenroll(&unenrolling, error);
    output_put_int(report, "vmid", invocation->vmid);
    cleanup_free char *next = next_text(&unenrolling);
    if (result == 0)
        output_put_text(report, "next", next);
    steps_print(&unenrolling.steps, invocation, report);
    return result;
}

const struct verb verb_unenroll = {
    .name = "unenroll",
    .operand = OPERAND_VMID,
    .help = "Undo enroll: remove a guest's lines, tokens, directory and enrolment file",
    .run = run_unenroll,
};
