/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: the API token by which felhomd asks Proxmox. Without one there are no snapshots, backups
 * and rollbacks, and all else goes on. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/command.h"
#include "cli/pve/query.h"
#include "cli/pve/token.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/files/file.h"

#define MAKE_TOKEN  "felhomctl init --pve-token"
#define FILE_LIMIT  ((size_t)4096)
#define LIST_LIMIT  ((size_t)1 << 20)
#define UUID_LENGTH ((size_t)36)
#define PATIENCE_US ((int64_t)10000000)

/* --- the file --- */

/* USER@REALM!TOKENID of the file's line, without its secret; NULL where the file has none. To be
 * freed with free(). */
static char *token_name(const struct doctor *doctor)
{
    struct error ignored;
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    if (file_read(doctor->config.pve.token_file, FILE_LIMIT, &line, &ignored) < 0)
        return NULL;
    const char *text = buffer_text(&line);
    const char *secret = strchr(text, '=');
    const char *id = strchr(text, '!');
    if (!secret || !id || id > secret || !memchr(text, '@', (size_t)(id - text)))
        return NULL;
    return mem_copy_text_n(text, (size_t)(secret - text));
}

/* felhomd runs as the state's owner, and nobody but it and root may read the file. */
static bool is_daemons_alone(const struct doctor *doctor, const struct stat *file)
{
    struct stat state;
    if (stat(doctor->config.paths.state, &state) < 0)
        return true; /* another check's */
    bool to_owner = file->st_uid == state.st_uid && (file->st_mode & S_IRUSR);
    bool to_group = file->st_gid == state.st_gid && (file->st_mode & S_IRGRP);
    bool to_others = (file->st_mode & S_IRWXO) || ((file->st_mode & S_IRWXG) && !to_group) ||
                     (file->st_uid != 0 && file->st_uid != state.st_uid);
    return (to_owner || to_group) && !to_others;
}

static void check_file(struct doctor *doctor)
{
    struct stat status;
    const char *path = doctor->config.pve.token_file;
    cleanup_free char *name = token_name(doctor);
    cleanup_free char *settle = mem_format("chown --reference=%s %s; chmod 0600 %s",
                                           doctor->config.paths.state, path, path);
    cleanup_free char *anew = mem_format("rm %s && " MAKE_TOKEN, path);
    if (stat(path, &status) < 0)
        doctor_note(doctor, GRADE_WARNING, MAKE_TOKEN,
                    "there is no %s: guests can have no snapshots and backups", path);
    else if (!is_daemons_alone(doctor, &status))
        doctor_note(doctor, GRADE_ERROR, settle, "%s is not felhomd's alone", path);
    else if (!name)
        doctor_note(doctor, GRADE_ERROR, anew, "%s: not one line USER@REALM!TOKENID=UUID", path);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s: %s", path, name);
}

/* --- what Proxmox makes of it --- */

/* *ret: the privileges that the token has on the path, an object. */
static int ask_for_path(const char *name, const char *path, json_t **ret, struct error *error)
{
    const char *const options[] = {"--userid", name, "--path", path, NULL};
    const struct pve_limits limits = {clock_steady_us() + PATIENCE_US, -1};
    return pve_query("/access/permissions", options, limits, ret, error);
}

/* The first privilege that the token lacks; NULL where it has all. of_storage: those that matter
 * there. */
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

/* False once something was said. */
static bool check_path(struct doctor *doctor, const char *name, const char *path, bool of_storage)
{
    struct error error;
    cleanup_json json_t *answer = NULL;
    if (ask_for_path(name, path, &answer, &error) < 0) {
        doctor_note(doctor, GRADE_WARNING, NULL, "%s", error.message);
        return false;
    }
    const char *missing = first_missing(answer, path, of_storage);
    if (missing)
        doctor_note(doctor, GRADE_ERROR, MAKE_TOKEN,
                    "Proxmox does not know the token %s, or gives it no %s on %s", name, missing,
                    path);
    return !missing;
}

static void check_privileges(struct doctor *doctor)
{
    cleanup_free char *name = token_name(doctor);
    cleanup_free char *storage = mem_format("/storage/%s", doctor->config.backup.storage);
    if (!name || access(PVE_COMMAND_API, X_OK) < 0)
        return;
    if (check_path(doctor, name, "/vms", false) && check_path(doctor, name, storage, true))
        doctor_note(doctor, GRADE_OK, NULL, "Proxmox knows %s, with all that it needs", name);
}

/* --- its secret --- */

/* Whether Proxmox's own list has the token with another secret than ours; where it does not list
 * it, that is not known. Both are USER@REALM!TOKENID, one character, UUID. */
static bool is_other_secret(const char *list, const char *ours)
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

static void check_secret(struct doctor *doctor)
{
    struct error ignored;
    const char *path = doctor->config.pve.token_file;
    cleanup_free char *list_path = mem_format("%s/priv/token.cfg", doctor->config.paths.pve);
    cleanup_free char *anew = mem_format("rm %s && " MAKE_TOKEN, path);
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    cleanup_buffer struct buffer ours = BUFFER_EMPTY;
    cleanup_free char *name = token_name(doctor);
    if (!name || file_read(path, FILE_LIMIT, &ours, &ignored) < 0 ||
        file_read(list_path, LIST_LIMIT, &list, &ignored) < 0)
        return;
    if (is_other_secret(buffer_text(&list), buffer_text(&ours)))
        doctor_note(doctor, GRADE_ERROR, anew, "Proxmox has another secret for the token %s", name);
    else
        doctor_note(doctor, GRADE_OK, NULL, "as Proxmox has it");
}

static const struct check checks[] = {
    {"pve-token", check_file},
    {"pve-token.privileges", check_privileges},
    {"pve-token.secret", check_secret},
};
const struct check_list doctor_pve_checks = {checks, ARRAY_SIZE(checks)};
