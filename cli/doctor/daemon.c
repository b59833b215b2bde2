/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: whether guests reach felhomd (its unit, its answer to a request, Proxmox's firewall
 * before it), whether it can use the files that agent.yaml names, and whether it reaches Proxmox by
 * its API token. Without a token there are no snapshots, backups and rollbacks; everything else
 * works.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/command.h"
#include "cli/pve/firewall_file.h"
#include "cli/pve/query.h"
#include "cli/pve/token.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "schema/pve/reply.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/files/config_file.h"
#include "store/files/file.h"
#include "store/host/host.h"
#include "store/host/probe.h"
#include "store/identity/identity.h"

#define SYSTEMD          "/run/systemd/system"
#define SYSTEMCTL        "/usr/bin/systemctl"
#define RESTART          "systemctl restart felhomd"
#define RELOAD           "systemctl reload felhomd"
#define MAKE_TOKEN       "felhomctl init --pve-token"
#define TOKEN_FILE_LIMIT (4 * KIB)
#define PVE_FILE_LIMIT   MIB
#define UUID_LENGTH      ((size_t)36)
#define DAEMON_WAIT_US   (5 * SECOND_US)
#define PVE_WAIT_US      (10 * SECOND_US)

/* --- felhomd --- */

void doctor_check_unit(struct doctor *doctor)
{
    static const char *const argv[] = {SYSTEMCTL, "is-active", "--quiet", "felhomd.service", NULL};
    const struct pve_limits limits = {clock_steady_us() + DAEMON_WAIT_US, -1};
    const struct pve_command command = {argv, NULL, limits};
    struct error ignored;
    if (access(SYSTEMD, F_OK) < 0)
        return;
    if (pve_command_run_as(&command, &ignored) == 0)
        doctor_ok(doctor, "felhomd.service is active");
    else
        doctor_fail(doctor, "systemctl enable --now felhomd",
                    "felhomd.service is not active; journalctl -u felhomd says why");
}

/* Whether felhomd closes connections from the host itself: by source binding, or because no allowed
 * network holds the host's address. */
static bool is_host_shut_out(const struct config *config, const struct sockaddr_in *endpoint)
{
    if (config->local_api.source_binding == BINDING_REQUIRE)
        return true;
    for (size_t i = 0; i < config->local_api.allow_count; i++)
        if (cidr_contains(&config->local_api.allow[i], (const struct sockaddr *)endpoint))
            return false;
    return config->local_api.allow_count > 0;
}

static bool is_listening(const struct sockaddr_in *endpoint)
{
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)endpoint, sizeof *endpoint) == 0;
}

static int request_health(const struct sockaddr_in *endpoint, const struct pins *pins,
                          struct error *error)
{
    const struct probe probe = {
        .listening = *endpoint,
        .pins = *pins,
        .timeout_us = DAEMON_WAIT_US,
    };
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    int result = probe_run(&probe, error);
    (void)signal(SIGPIPE, before);
    return result;
}

/* Whatever keeps felhomd from its store, another check may have found. */
static const char *store_remedy(const struct doctor *doctor)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(doctor->findings, i, finding)
    {
        const char *id = json_get_text(finding, "id", "");
        const char *remedy = json_get_text(finding, "remedy", NULL);
        if (remedy && (strcmp(id, "state") == 0 || strcmp(id, "store") == 0 ||
                       strcmp(id, "store.privacy") == 0))
            return remedy;
    }
    return RESTART;
}

void doctor_check_answer(struct doctor *doctor)
{
    struct error error;
    struct sockaddr_in endpoint;
    const char *remedy = RESTART;
    cleanup(identity_free) struct identity identity = {0};
    if (host_endpoint(&doctor->config, &endpoint, &error) < 0 ||
        identity_load(doctor->config.paths.state, &identity, &error) < 0)
        return; /* doctor_check_endpoint and doctor_check_identity report it */
    bool shut_out = is_host_shut_out(&doctor->config, &endpoint);
    if (shut_out && is_listening(&endpoint))
        doctor_ok(doctor, "felhomd accepts connections; local_api forbids the host any requests");
    else if (shut_out)
        doctor_fail(doctor, remedy, "nothing listens on felhomd's port");
    else if (request_health(&endpoint, &identity.pins, &error) == 0)
        doctor_ok(doctor, "felhomd answers with the certificate that guests pin");
    else if (error.kind == ERROR_CONFLICT)
        doctor_fail(doctor, store_remedy(doctor),
                    "felhomd answers, but cannot read its store, so it accepts no token; "
                    "journalctl -u felhomd says why");
    else
        doctor_fail(doctor, remedy, "felhomd does not answer as guests require: %s", error.message);
}

/* --- Proxmox's firewall --- */

void doctor_check_firewall(struct doctor *doctor)
{
    struct error ignored;
    struct sockaddr_in endpoint = {.sin_port = htons(ENDPOINT_PORT)};
    cleanup_buffer struct buffer cluster = BUFFER_EMPTY;
    cleanup_buffer struct buffer host = BUFFER_EMPTY;
    firewall_file_load(&doctor->config, "firewall/cluster.fw", &cluster);
    firewall_file_load(&doctor->config, "local/host.fw", &host);
    (void)host_endpoint(&doctor->config, &endpoint, &ignored);
    uint16_t port = ntohs(endpoint.sin_port);
    if (firewall_files_drop_in(buffer_text(&cluster), buffer_text(&host), port)) {
        struct reach_listener listener = {.link = 0};
        const struct reach reach = {.reason = REACH_HOST_FIREWALL, .listener = &listener};
        memcpy(&listener.address, &endpoint, sizeof endpoint);
        cleanup_free char *words = reach_words(&(struct reach_host){0}, NULL, &reach);
        doctor_warn(doctor, "felhomctl firewall", "%s", words);
    } else if (firewall_file_switch(buffer_text(&cluster)) != FIREWALL_ON ||
               firewall_file_switch(buffer_text(&host)) == FIREWALL_OFF)
        doctor_ok(doctor, "Proxmox's firewall is off on this host");
    else
        doctor_ok(doctor, "Proxmox's firewall has a rule that accepts port %u", port);
}

/* --- the API token --- */

/* Returns USER@REALM!TOKENID of the line in the token's file, without the secret; the caller frees
 * it with free(). NULL if there is no such line. */
static char *token_name(const struct doctor *doctor)
{
    struct error ignored;
    const struct named_file file = {"pve.token_file", NAMED_API_TOKEN,
                                    doctor->config.pve.token_file};
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    if (config_file_read_secret(&file, &token, &ignored) < 0)
        return NULL;
    return mem_copy_text_n(buffer_text(&token), api_token_user_length(buffer_text(&token)));
}

/* felhomd runs as the owner of the state directory: only that user and root may read the file. */
static bool is_for_daemon_alone(const struct doctor *doctor, const struct stat *file)
{
    struct stat state;
    if (stat(doctor->config.paths.state, &state) < 0)
        return true; /* doctor_check_state reports it */
    bool to_owner = file->st_uid == state.st_uid && (file->st_mode & S_IRUSR);
    bool to_group = file->st_gid == state.st_gid && (file->st_mode & S_IRGRP);
    bool to_others = (file->st_mode & S_IRWXO) || ((file->st_mode & S_IRWXG) && !to_group) ||
                     (file->st_uid != 0 && file->st_uid != state.st_uid);
    return (to_owner || to_group) && !to_others;
}

void doctor_check_pve_token(struct doctor *doctor)
{
    struct stat status;
    const char *path = doctor->config.pve.token_file;
    cleanup_free char *name = token_name(doctor);
    cleanup_free char *protect = mem_format("chown --reference=%s %s; chmod 0600 %s",
                                            doctor->config.paths.state, path, path);
    cleanup_free char *renew = mem_format("rm %s && " MAKE_TOKEN, path);
    if (stat(path, &status) < 0)
        doctor_warn(doctor, MAKE_TOKEN, "there is no %s: guests have no snapshots and backups",
                    path);
    else if (!is_for_daemon_alone(doctor, &status))
        doctor_fail(doctor, protect, "only felhomd may be able to read %s", path);
    else if (!name)
        doctor_fail(doctor, renew, "%s does not hold one line USER@REALM!TOKENID=UUID", path);
    else
        doctor_ok(doctor, "%s: %s", path, name);
}

/* --- the files that agent.yaml names --- */

static bool is_readable_by_daemon(const struct doctor *doctor, const struct stat *file)
{
    struct stat state;
    const struct group *of_proxmox = getgrnam("www-data"); /* felhomd is a member */
    if (stat(doctor->config.paths.state, &state) < 0)
        return true; /* doctor_check_state reports it */
    if (file->st_uid == state.st_uid)
        return file->st_mode & S_IRUSR;
    if (file->st_gid == state.st_gid || (of_proxmox && file->st_gid == of_proxmox->gr_gid))
        return file->st_mode & S_IRGRP;
    return (file->st_mode & S_IROTH) || state.st_uid == 0;
}

static bool is_secret(const struct named_file *file)
{
    return file->kind == NAMED_PASSWORD || file->kind == NAMED_KEY || file->kind == NAMED_API_TOKEN;
}

/* Returns the command that mends the file, which the caller frees with free(). problem: of
 * config_file_check_named, or of kind ERROR_DENIED if its owner or mode is wrong. */
static char *named_file_remedy(const struct doctor *doctor, const struct named_file *file,
                               const struct error *problem)
{
    struct stat status;
    const char *path = file->path;
    if (problem->kind == ERROR_MISSING)
        return mem_format("editor %s && systemctl reload felhomd", config_file_path());
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return file->kind == NAMED_TEMPLATE
                   ? mem_format("mv %s %s.other && felhomctl rotate --all", path, path)
                   : mem_format("mv %s %s.other && editor %s", path, path, path);
    if (problem->kind == ERROR_DENIED && is_secret(file))
        return mem_format("chown --reference=%s %s; chmod 0600 %s", doctor->config.paths.state,
                          path, path);
    if (problem->kind == ERROR_DENIED)
        return mem_format("chmod 0644 %s", path);
    return mem_format(
        file->kind == NAMED_TEMPLATE ? "editor %s && felhomctl rotate --all" : "editor %s", path);
}

static bool check_named_file(struct doctor *doctor, const struct named_file *file)
{
    struct stat status;
    struct error problem;
    bool right = config_file_check_named(file, &problem) == 0;
    if (right && stat(file->path, &status) == 0) {
        right = is_secret(file) ? is_for_daemon_alone(doctor, &status)
                                : is_readable_by_daemon(doctor, &status);
        if (!right)
            (void)fail(&problem, ERROR_DENIED,
                       is_secret(file) ? "%s: only felhomd may be able to read %s"
                                       : "%s: felhomd cannot read %s",
                       file->key, file->path);
    }
    if (right)
        return true;
    cleanup_free char *remedy = named_file_remedy(doctor, file, &problem);
    doctor_fail(doctor, remedy, "%s", problem.message);
    return false;
}

void doctor_check_files(struct doctor *doctor)
{
    const struct named_file settings = {"agent.yaml", NAMED_TEMPLATE, config_file_path()};
    struct named_file files[NAMED_FILES_MAX];
    size_t count = config_file_list_named(&doctor->config, files);
    size_t faults = !check_named_file(doctor, &settings);
    for (size_t i = 0; i < count; i++)
        if (strcmp(files[i].key, "pve.token_file") != 0) /* doctor_check_pve_token is about it */
            faults += !check_named_file(doctor, &files[i]);
    if (faults == 0)
        doctor_ok(doctor, "felhomd can use agent.yaml and all files that it names");
}

/* --- the copy of agent.yaml that felhom-hook goes by while agent.yaml is bad --- */

/* Returns the command after which root can write to the file or directory, which the caller frees
 * with free(). errnum: why root cannot now. */
static char *writable_remedy(const char *path, int errnum)
{
    if (errnum == EROFS)
        return mem_format("mount -o remount,rw \"$(findmnt -no TARGET -T %s)\"", path);
    return mem_format("chattr -i %s", path);
}

/* Reports if there can be no new copy, and then returns false. */
static bool check_kept_place(struct doctor *doctor, const char *kept)
{
    struct stat status;
    cleanup_free char *directory = mem_copy_text(kept);
    const char *const places[] = {dirname(directory), kept};
    if (lstat(kept, &status) == 0 && !S_ISREG(status.st_mode)) {
        cleanup_free char *remedy = mem_format("mv %s %s.other && " RELOAD, kept, kept);
        doctor_fail(doctor, remedy, "%s is not a regular file: no agent.yaml can be kept in it",
                    kept);
        return false;
    }
    for (size_t i = 0; geteuid() == 0 && i < ARRAY_SIZE(places); i++) {
        if (access(places[i], W_OK) == 0 || errno == ENOENT)
            continue;
        int errnum = errno;
        cleanup_free char *remedy = writable_remedy(places[i], errnum);
        doctor_fail(doctor, remedy, "no agent.yaml can be kept in %s: %s", kept, strerror(errnum));
        return false;
    }
    return true;
}

void doctor_check_kept(struct doctor *doctor)
{
    struct error ignored;
    bool same = false;
    char now[CONFIG_MARK_SIZE];
    char taken[CONFIG_MARK_SIZE];
    struct config config;
    const char *state = doctor->config.paths.state;
    const char *path = config_file_path();
    cleanup_free char *kept = mem_format("%s" CONFIG_FILE_KEPT, path);
    if (!check_kept_place(doctor, kept) || access(path, F_OK) < 0 || !nudge_has_listener(state) ||
        !config_file_taken(state, taken) || config_file_load_marked(&config, now, &ignored) < 0)
        return; /* other checks report the rest */
    config_free(&config);
    if (strcmp(now, taken) != 0)
        doctor_warn(doctor, RELOAD, "%s has been changed since felhomd has taken it up", path);
    else if (config_file_kept_is_same(&same, &ignored) < 0 || !same)
        doctor_warn(doctor, "felhomd --keep-settings",
                    "%s is not the agent.yaml that felhomd has taken up", kept);
    else
        doctor_ok(doctor, "felhomd has taken %s up, and %s is its copy", path, kept);
}

/* --- what the token may do --- */

/* *ret: an object with the privileges that the token has on each path. */
static int query_privileges(const char *name, const char *path, json_t **ret, struct error *error)
{
    const char *const options[] = {"--userid", name, "--path", path, NULL};
    const struct pve_limits limits = {clock_steady_us() + PVE_WAIT_US, -1};
    return pve_query("/access/permissions", options, limits, ret, error);
}

/* Returns the first privilege that the token lacks on the path; NULL if it has all. of_storage:
 * checks the privileges that it needs on a storage, else those that it needs on guests. */
static const char *first_missing(const json_t *answer, const char *path, bool of_storage)
{
    const char *privilege;
    const json_t *held = json_object_get(answer, path);
    for (size_t i = 0; (privilege = pve_token_privilege(i)); i++)
        if (of_storage == (strncmp(privilege, "Datastore.", 10) == 0) &&
            !json_object_get(held, privilege))
            return privilege;
    return NULL;
}

/* Reports a missing privilege, or that Proxmox cannot be queried, and then returns false. */
static bool check_privileges_on(struct doctor *doctor, const char *name, const char *path,
                                bool of_storage)
{
    struct error error;
    cleanup_json json_t *answer = NULL;
    if (query_privileges(name, path, &answer, &error) < 0) {
        doctor_warn(doctor, NULL, "%s", error.message);
        return false;
    }
    const char *missing = first_missing(answer, path, of_storage);
    if (missing)
        doctor_fail(doctor, MAKE_TOKEN,
                    "Proxmox does not know the token %s, or does not grant it %s on %s", name,
                    missing, path);
    return !missing;
}

void doctor_check_pve_privileges(struct doctor *doctor)
{
    cleanup_free char *name = token_name(doctor);
    cleanup_free char *storage = mem_format("/storage/%s", doctor->config.backup.storage);
    if (!name || access(PVE_COMMAND_API, X_OK) < 0)
        return;
    if (check_privileges_on(doctor, name, "/vms", false) &&
        check_privileges_on(doctor, name, storage, true))
        doctor_ok(doctor, "Proxmox knows %s and grants it all that it needs", name);
}

/* Returns true if Proxmox's own list has the token with another secret. False if the list lacks the
 * token. A line of the list is USER@REALM!TOKENID UUID; our file has '=' in place of the blank. */
static bool has_other_secret(const char *list, const char *ours)
{
    size_t name = strcspn(ours, "=");
    for (const char *line = list; *line; line += strspn(line, "\n")) {
        size_t length = strcspn(line, "\n");
        if (length == name + 1 + UUID_LENGTH && strncmp(line, ours, name) == 0 && line[name] == ' ')
            return strncmp(line + name + 1, ours + name + 1, UUID_LENGTH) != 0;
        line += length;
    }
    return false;
}

void doctor_check_pve_secret(struct doctor *doctor)
{
    struct error ignored;
    const char *path = doctor->config.pve.token_file;
    cleanup_free char *list_path = mem_format("%s/priv/token.cfg", doctor->config.paths.pve);
    cleanup_free char *renew = mem_format("rm %s && " MAKE_TOKEN, path);
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    cleanup_buffer struct buffer ours = BUFFER_EMPTY;
    cleanup_free char *name = token_name(doctor);
    if (!name || file_read(path, TOKEN_FILE_LIMIT, &ours, &ignored) < 0 ||
        file_read(list_path, PVE_FILE_LIMIT, &list, &ignored) < 0)
        return;
    if (has_other_secret(buffer_text(&list), buffer_text(&ours)))
        doctor_fail(doctor, renew, "Proxmox has another secret for the token %s", name);
    else
        doctor_ok(doctor, "Proxmox has the same secret");
}
