/* SPDX-License-Identifier: Apache-2.0 */
/* init: directories, store, TLS identity, the hook's link, what the store knows of the host, and on
 * request Proxmox's token. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "cli/pve/config.h"
#include "cli/pve/host_setup.h"
#include "cli/pve/token.h"
#include "cli/verbs/report.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/db/token_record.h"
#include "store/files/config_file.h"
#include "store/files/file.h"
#include "store/host/host.h"
#include "store/identity/identity.h"
#include "store/identity/rollover.h"

enum { OPTION_USER, OPTION_PVE_TOKEN };
static const struct verb_option options[] = {
    [OPTION_USER] = {"user", "NAME", "the user that owns the state (default: " STATE_USER ")"},
    [OPTION_PVE_TOKEN] = {"pve-token", NULL,
                          "make Proxmox role, user and API token too, for snapshots and backups"},
};

static void add_step(struct steps *steps, bool changed, const char *about, const char *detail)
{
    steps_add(steps, changed ? STEP_DONE : STEP_ALREADY, about, "%s%s", detail,
              changed ? "" : ": already there");
}

static int make_state(const struct config *config, const char *user, struct steps *steps,
                      struct error *error)
{
    struct owner owner;
    bool known;
    bool changed;
    if (host_setup_owner(user, &owner, &known, error) < 0 ||
        host_setup_state(config->paths.state, owner, &changed, error) < 0)
        return -1;
    add_step(steps, changed, "state", config->paths.state);
    if (!known)
        steps_add(steps, STEP_WARNING, "user", "there is no user %s: uid %u keeps the files", user,
                  geteuid());
    return 0;
}

static int make_directory(const char *about, const char *path, mode_t mode, struct steps *steps,
                          struct error *error)
{
    cleanup_close int fd = -1;
    bool missing = access(path, F_OK) < 0 && errno == ENOENT;
    if (directory_make(path, mode, (uid_t)-1, (gid_t)-1, &fd, error) < 0)
        return -1;
    add_step(steps, missing, about, path);
    return 0;
}

/*
 * On a Proxmox host the enrolment directory waits for the first enroll: init is run by the
 * package's scripts too, which must not write to the cluster's file system, and before that is
 * mounted it would make the directory on the disk below.
 */
static bool is_for_enroll(const struct config *config)
{
    size_t length = strlen(config->paths.pve);
    return pve_is_real(config) &&
           strncmp(config->paths.enrolment, config->paths.pve, length) == 0 &&
           config->paths.enrolment[length] == '/';
}

static int make_directories(const struct config *config, struct steps *steps, struct error *error)
{
    if (make_directory("run", config->paths.run, 0711, steps, error) < 0 ||
        make_directory("guests", config->paths.guests, 0711, steps, error) < 0 ||
        make_directory("export", config->paths.export, 0711, steps, error) < 0)
        return -1;
    if (is_for_enroll(config))
        return 0;
    return make_directory("enrolment", config->paths.enrolment, 0700, steps, error);
}

/* Both root's programs and felhomd write there; no other user may. */
static int make_records(const struct config *config, struct steps *steps, struct error *error)
{
    struct stat state;
    cleanup_close int fd = -1;
    cleanup_free char *path = token_record_directory(config->paths.run);
    bool missing = access(path, F_OK) < 0 && errno == ENOENT;
    if (stat(config->paths.state, &state) < 0)
        return fail_errno(error, errno, "%s", config->paths.state);
    if (directory_make(path, 0700, state.st_uid, state.st_gid, &fd, error) < 0)
        return -1;
    if (file_settle(fd, 0700, state.st_uid, state.st_gid) < 0)
        return fail_errno(error, errno, "cannot set owner and mode of %s", path);
    add_step(steps, missing, "tokens", path);
    return 0;
}

static int make_store(struct session *session, struct steps *steps, struct error *error)
{
    const char *state = session->config.paths.state;
    cleanup_free char *path = mem_format("%s/db/agent.db", state);
    bool missing = access(path, F_OK) < 0 && errno == ENOENT;
    token_record_use(session->config.paths.run);
    if (store_open(state, STORE_OPEN_CREATE, SESSION_BUSY_MS, &session->store, error) < 0)
        return -1;
    add_step(steps, missing, "store", path);
    return 0;
}

static int advise_on_endpoint(struct error *error)
{
    struct error cause = *error;
    if (cause.kind != ERROR_MISSING)
        return -1;
    return fail(error, ERROR_MISSING, "%.400s, or bring it up; then run felhomctl init again",
                cause.message);
}

/* The pins of the certificate that felhomd shows: after a switch that felhomd has not taken up yet
 * this is not the current certificate's file. */
static int find_shown_pins(const struct session *session, struct pins *ret, struct error *error)
{
    struct host recorded;
    struct error ignored;
    cleanup(rollover_free) struct rollover rollover = {0};
    bool is_recorded = host_get(session->store, &recorded, &ignored) == 0;
    if (rollover_load(session->config.paths.state, &rollover, error) < 0)
        return -1;
    *ret = rollover_shown(&rollover, is_recorded ? &recorded.pins : NULL)->pins;
    return 0;
}

static int make_identity(const struct session *session, struct host *ret, struct steps *steps,
                         struct error *error)
{
    const struct pins none = {.spki = ""};
    struct sockaddr_in endpoint;
    cleanup(identity_free) struct identity identity = {0};
    bool made;
    if (host_endpoint(&session->config, &endpoint, error) < 0 ||
        host_describe(&session->config, &none, ret, error) < 0)
        return advise_on_endpoint(error);
    if (identity_ensure(session->config.paths.state, ret->node, endpoint.sin_addr, &identity, &made,
                        error) < 0)
        return -1;
    add_step(steps, made, "identity", "key and certificate");
    if (find_shown_pins(session, &ret->pins, error) < 0)
        return -1;
    return host_put(session->store, ret, error);
}

/*
 * A guest that is migrated to this node names the hook already, and could not start without it.
 * Where Proxmox's storage is not there, no guest is.
 */
static void make_snippet(const struct config *config, struct steps *steps)
{
    struct error error;
    if (!pve_is_real(config) || access(SNIPPET_STORAGE, F_OK) < 0)
        return;
    if (host_setup_snippet(SNIPPET_DIRECTORY, SNIPPET_HOOK, steps, NULL, &error) < 0)
        steps_add(steps, STEP_WARNING, "snippet", "%s", error.message);
}

static int make_pve(const struct config *config, const char *user, const struct host *host,
                    struct steps *steps, struct error *error)
{
    struct owner owner;
    bool known;
    if (host_setup_owner(user, &owner, &known, error) < 0)
        return -1;
    return pve_token_ready(config, host->node, owner, steps, error);
}

static int make_all(struct session *session, const struct invocation *invocation,
                    struct steps *steps, struct host *ret, struct error *error)
{
    const char *user = invocation->values[OPTION_USER];
    if (!user)
        user = STATE_USER;
    if (config_file_load(&session->config, error) < 0 ||
        make_state(&session->config, user, steps, error) < 0 ||
        make_directories(&session->config, steps, error) < 0 ||
        make_records(&session->config, steps, error) < 0 || make_store(session, steps, error) < 0)
        return -1;
    make_snippet(&session->config, steps);
    if (make_identity(session, ret, steps, error) < 0)
        return -1;
    if (invocation->values[OPTION_PVE_TOKEN] &&
        make_pve(&session->config, user, ret, steps, error) < 0)
        return -1;
    return steps->changed ? session_event(session, 0, "init", "", error) : 0;
}

static int run_init(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup(steps_free) struct steps steps = steps_new();
    cleanup_json json_t *report = NULL;
    struct host host;
    int result = make_all(&session, invocation, &steps, &host, error);
    if (result == 0)
        report = host_report(&session.config, &host);
    steps_print(&steps, invocation, report);
    if (report && invocation->format == OUTPUT_TEXT)
        host_report_print(invocation->out, report);
    return result;
}

const struct verb verb_init = {
    .name = "init",
    .help = "Make missing directories, store, TLS identity and hook link; show the pins",
    .run = run_init,
    VERB_OPTIONS(options),
};
