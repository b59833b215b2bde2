/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/token.h"

#include <string.h>

#include "cli/pve/command.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "store/files/file.h"

#define PVEUM      "/usr/sbin/pveum"
#define ROLE       "FelhomAgent"
#define USER       "felhom-agent@pve"
#define FILE_LIMIT (4 * KIB)

/* The privileges that felhomd's endpoints need. One role serves all paths below, as a privilege on
 * guests has no effect on a storage, and the other way round. */
static const struct {
    const char *name;
    const char *why;
} privileges[] = {
    {"VM.Audit", "list a guest's snapshots"},
    {"VM.Snapshot", "make snapshots and go back to them"},
    {"VM.PowerMgmt",
     "start a guest again that went back to one; it lets the token stop guests too"},
    {"VM.Backup", "back guests up and see their backups"},
    {"Datastore.AllocateSpace", "write backups to the storage"},
};

const char *pve_token_privilege(size_t i)
{
    return i < ARRAY_SIZE(privileges) ? privileges[i].name : NULL;
}

struct preparation {
    const struct config *config;
    struct owner owner;
    struct steps *steps;
    char *token_id; /* within USER */
    char *storage_path;
};

static void preparation_free(struct preparation *preparation)
{
    free(preparation->token_id);
    free(preparation->storage_path);
}

/* argv: "pveum OBJECT list ...", which prints a JSON array. */
static int pveum_list(const char *const *argv, json_t **ret, struct error *error)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    cleanup_json json_t *list = NULL;
    if (pve_command_capture(argv, &out, error) < 0 ||
        json_read(buffer_text(&out), out.length, &list, error) < 0)
        return fail_context(error, "pveum %s list", argv[1]);
    if (!json_is_array(list))
        return fail(error, ERROR_CORRUPT, "pveum %s list: the answer is not a list", argv[1]);
    *ret = steal(list);
    return 0;
}

/* Returns the first object of the list with this text at key; NULL if there is none. */
static const json_t *find_object(const json_t *list, const char *key, const char *text)
{
    size_t i;
    const json_t *object;
    json_array_foreach(list, i, object)
    {
        if (strcmp(json_get_text(object, key, ""), text) == 0)
            return object;
    }
    return NULL;
}

static void list_privileges(const char *separator, struct buffer *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(privileges); i++)
        buffer_add_format(out, "%s%s", i > 0 ? separator : "", privileges[i].name);
}

/* Returns true if the comma-separated list contains exactly our privileges. */
static bool has_privileges(const char *list)
{
    size_t found = 0;
    size_t count = 0;
    for (const char *name = list; *name; name += strspn(name, ", ")) {
        size_t length = strcspn(name, ", ");
        for (size_t i = 0; i < ARRAY_SIZE(privileges); i++)
            found += strlen(privileges[i].name) == length &&
                     strncmp(privileges[i].name, name, length) == 0;
        count++;
        name += length;
    }
    return found == ARRAY_SIZE(privileges) && count == found;
}

static void note_role(struct steps *steps)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    for (size_t i = 0; i < ARRAY_SIZE(privileges); i++)
        buffer_add_format(&text, "%s%s (%s)", i > 0 ? ", " : "", privileges[i].name,
                          privileges[i].why);
    steps_add(steps, STEP_DONE, "role", "%s: %s", ROLE, buffer_text(&text));
}

static int ready_role(const struct preparation *preparation, struct error *error)
{
    static const char *const list[] = {PVEUM, "role", "list", "--output-format", "json", NULL};
    cleanup_json json_t *roles = NULL;
    cleanup_buffer struct buffer wanted = BUFFER_EMPTY;
    if (pveum_list(list, &roles, error) < 0)
        return -1;
    const json_t *role = find_object(roles, "roleid", ROLE);
    if (role && has_privileges(json_get_text(role, "privs", ""))) {
        steps_add(preparation->steps, STEP_ALREADY, "role", "%s: already there", ROLE);
        return 0;
    }
    list_privileges(" ", &wanted);
    const char *const make[] = {
        PVEUM, "role", role ? "modify" : "add", ROLE, "--privs", buffer_text(&wanted), NULL,
    };
    if (pve_command_run(make, error) < 0)
        return -1;
    note_role(preparation->steps);
    return 0;
}

static int ready_user(const struct preparation *preparation, struct error *error)
{
    static const char *const list[] = {PVEUM, "user", "list", "--output-format", "json", NULL};
    static const char *const make[] = {
        PVEUM, "user", "add", USER, "--comment", "felhom-agent, by API token only", NULL,
    };
    cleanup_json json_t *users = NULL;
    if (pveum_list(list, &users, error) < 0)
        return -1;
    const json_t *user = find_object(users, "userid", USER);
    if (!user && pve_command_run(make, error) < 0)
        return -1;
    steps_add(preparation->steps, user ? STEP_ALREADY : STEP_DONE, "user", "%s%s", USER,
              user ? ": already there" : "");
    return 0;
}

static bool is_granted(const json_t *list, const char *path)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        if (strcmp(json_get_text(entry, "path", ""), path) == 0 &&
            strcmp(json_get_text(entry, "ugid", ""), USER) == 0 &&
            strcmp(json_get_text(entry, "roleid", ""), ROLE) == 0)
            return true;
    }
    return false;
}

static int grant_role(const struct preparation *preparation, const json_t *list, const char *path,
                      struct error *error)
{
    const char *const make[] = {
        PVEUM, "acl", "modify", path, "--users", USER, "--roles", ROLE, NULL,
    };
    bool granted = is_granted(list, path);
    if (!granted && pve_command_run(make, error) < 0)
        return -1;
    steps_add(preparation->steps, granted ? STEP_ALREADY : STEP_DONE, "access", "%s: %s%s", path,
              ROLE, granted ? ": already there" : "");
    return 0;
}

static int ready_access(const struct preparation *preparation, struct error *error)
{
    static const char *const list[] = {PVEUM, "acl", "list", "--output-format", "json", NULL};
    cleanup_json json_t *entries = NULL;
    if (pveum_list(list, &entries, error) < 0 ||
        grant_role(preparation, entries, "/vms", error) < 0)
        return -1;
    return grant_role(preparation, entries, preparation->storage_path, error);
}

/* Whose token the file has: none, that of our user, or another user's. */
enum file_content { FILE_MISSING, FILE_OURS, FILE_OTHER };

static int read_token_file(const struct preparation *preparation, enum file_content *ret,
                           struct error *error)
{
    struct error problem;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *ours = mem_format("%s!%s=", USER, preparation->token_id);
    if (file_read(preparation->config->pve.token_file, FILE_LIMIT, &text, &problem) < 0) {
        if (fail_unless_missing(error, &problem) < 0)
            return -1;
        *ret = FILE_MISSING;
        return 0;
    }
    bool is_ours = strncmp(buffer_text(&text), ours, strlen(ours)) == 0;
    *ret = is_ours ? FILE_OURS : FILE_OTHER;
    return 0;
}

static int write_token_file(const struct preparation *preparation, const struct buffer *line,
                            struct error *error)
{
    /* agent.yaml allows absolute paths only, so the path has a '/'. */
    const char *path = preparation->config->pve.token_file;
    const char *name = strrchr(path, '/') + 1;
    cleanup_free char *directory = mem_copy_text_n(path, (size_t)(name - path));
    cleanup_close int dirfd = -1;
    if (directory_make(directory, 0755, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0)
        return -1;
    return file_replace_at(dirfd, name, 0600, preparation->owner.uid, preparation->owner.gid,
                           line->data, line->length, true, error);
}

/* Writes the new token to its file: Proxmox shows the secret only once. */
static int save_secret(const struct preparation *preparation, const struct buffer *answer,
                       struct error *error)
{
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    json_t *made = NULL;
    if (json_read(buffer_text(answer), answer->length, &made, error) < 0)
        return fail_context(error, "pveum user token add");
    const char *id = json_get_text(made, "full-tokenid", "");
    const char *value = json_get_text(made, "value", "");
    bool complete = *id && *value;
    buffer_add_format(&line, "%s=%s\n", id, value);
    json_wipe(made);
    if (!complete)
        return fail(error, ERROR_CORRUPT, "pveum user token add: the answer has no token");
    return write_token_file(preparation, &line, error);
}

static int make_token(const struct preparation *preparation, struct error *error)
{
    const char *const make[] = {
        PVEUM,       "user", "token",           "add",  USER, preparation->token_id,
        "--privsep", "0",    "--output-format", "json", NULL,
    };
    cleanup_buffer struct buffer answer = BUFFER_EMPTY;
    if (pve_command_capture(make, &answer, error) < 0 ||
        save_secret(preparation, &answer, error) < 0)
        return -1;
    steps_add(preparation->steps, STEP_DONE, "token", "%s!%s, kept in %s", USER,
              preparation->token_id, preparation->config->pve.token_file);
    return 0;
}

static int drop_token(const struct preparation *preparation, struct error *error)
{
    const char *const drop[] = {
        PVEUM, "user", "token", "delete", USER, preparation->token_id, NULL,
    };
    if (pve_command_run(drop, error) < 0)
        return -1;
    steps_add(preparation->steps, STEP_DONE, "token",
              "the token that Proxmox had is deleted, as its secret was lost");
    return 0;
}

static int ready_token(const struct preparation *preparation, struct error *error)
{
    static const char *const list[] = {
        PVEUM, "user", "token", "list", USER, "--output-format", "json", NULL,
    };
    cleanup_json json_t *tokens = NULL;
    enum file_content content;
    if (read_token_file(preparation, &content, error) < 0 || pveum_list(list, &tokens, error) < 0)
        return -1;
    bool known = find_object(tokens, "tokenid", preparation->token_id) != NULL;
    if (content == FILE_OTHER || (content == FILE_OURS && known)) {
        steps_add(preparation->steps, STEP_ALREADY, "token", "%s: already there%s",
                  preparation->config->pve.token_file,
                  content == FILE_OTHER ? ", of another user: it stays" : "");
        return 0;
    }
    if (known && drop_token(preparation, error) < 0)
        return -1;
    return make_token(preparation, error);
}

int pve_token_ready(const struct config *config, const char *node, struct owner owner,
                    struct steps *steps, struct error *error)
{
    cleanup(preparation_free) struct preparation preparation = {
        .config = config,
        .owner = owner,
        .steps = steps,
        .token_id = mem_format("agent-%s", node),
        .storage_path = mem_format("/storage/%s", config->backup.storage),
    };
    if (ready_role(&preparation, error) < 0 || ready_user(&preparation, error) < 0 ||
        ready_access(&preparation, error) < 0)
        return -1;
    return ready_token(&preparation, error);
}
