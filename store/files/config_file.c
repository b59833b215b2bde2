/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/error.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/pve/reply.h"
#include "schema/pve/storage_config.h"
#include "schema/yaml/tree.h"
#include "store/files/file.h"

#define DOCUMENT_LIMIT     MIB
#define SECRET_LIMIT       (4 * KIB)
#define CERTIFICATES_LIMIT (8 * MIB)
#define TAKEN_FILE         "agent.yaml.taken" /* in the state directory */

const char *config_file_path(void)
{
    const char *path = secure_getenv(CONFIG_FILE_VARIABLE);
    return path && path[0] ? path : CONFIG_FILE_PATH;
}

/* Like file_read, but a missing file adds nothing and is no failure. ret_found may be NULL. */
static int file_read_if_exists(const char *path, struct buffer *out, bool *ret_found,
                               struct error *error)
{
    struct error problem;
    int result = file_read(path, DOCUMENT_LIMIT, out, &problem);
    if (result < 0 && fail_unless_missing(error, &problem) < 0)
        return -1;
    if (ret_found)
        *ret_found = result == 0;
    return 0;
}

static int config_read(struct buffer *text, struct config *ret, struct error *error)
{
    const char *path = config_file_path();
    if (file_read_if_exists(path, text, NULL, error) < 0)
        return -1;
    return config_parse(basename(path), buffer_text(text), text->length, ret, error);
}

int config_file_load(struct config *ret, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    return config_read(&text, ret, error);
}

static void mark_text(const struct buffer *text, char ret[static CONFIG_MARK_SIZE])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(buffer_text(text), text->length, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

int config_file_load_marked(struct config *ret, char ret_mark[static CONFIG_MARK_SIZE],
                            struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (config_read(&text, ret, error) < 0)
        return -1;
    mark_text(&text, ret_mark);
    return 0;
}

int config_file_note_taken(const char *state_dir, const char *mark, struct error *error)
{
    struct stat state;
    cleanup_close int fd = -1;
    cleanup_free char *line = mem_format("%s\n", mark);
    if (stat(state_dir, &state) < 0)
        return fail_errno(error, errno, "%s", state_dir);
    if (directory_open_of(state_dir, state.st_uid, &fd, error) < 0)
        return -1;
    return file_replace_at(fd, TAKEN_FILE, 0600, state.st_uid, state.st_gid, line, strlen(line),
                           false, error);
}

bool config_file_taken(const char *state_dir, char ret_mark[static CONFIG_MARK_SIZE])
{
    struct error ignored;
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    cleanup_close int fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || file_read_at(fd, TAKEN_FILE, CONFIG_MARK_SIZE, &line, &ignored) < 0 ||
        line.length != CONFIG_MARK_SIZE || line.data[line.length - 1] != '\n')
        return false;
    memcpy(ret_mark, line.data, CONFIG_MARK_SIZE - 1);
    ret_mark[CONFIG_MARK_SIZE - 1] = '\0';
    return true;
}

static char *kept_path(void)
{
    return mem_format("%s" CONFIG_FILE_KEPT, config_file_path());
}

bool config_file_recover(struct config *ret)
{
    struct error ignored;
    cleanup_buffer struct buffer kept = BUFFER_EMPTY;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *path = kept_path();
    if (file_read(path, DOCUMENT_LIMIT, &kept, &ignored) == 0 &&
        config_parse("", buffer_text(&kept), kept.length, ret, &ignored) == 0)
        return true;
    (void)file_read_if_exists(config_file_path(), &text, NULL, &ignored);
    config_salvage(buffer_text(&text), text.length, ret);
    return false;
}

int config_file_kept_is_same(bool *ret, struct error *error)
{
    cleanup_free char *path = kept_path();
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_buffer struct buffer kept = BUFFER_EMPTY;
    if (file_read(path, DOCUMENT_LIMIT, &kept, error) < 0 ||
        file_read(config_file_path(), DOCUMENT_LIMIT, &text, error) < 0)
        return -1;
    *ret = buffer_equals(&text, &kept);
    return 0;
}

static int check_taken(const struct config *config, const struct buffer *text, struct error *error)
{
    char now[CONFIG_MARK_SIZE];
    char taken[CONFIG_MARK_SIZE];
    mark_text(text, now);
    if (config_file_taken(config->paths.state, taken) && strcmp(now, taken) == 0)
        return 0;
    return fail(error, ERROR_CONFLICT, "felhomd has not taken up this %s: systemctl reload felhomd",
                config_file_path());
}

int config_file_keep(struct error *error)
{
    bool same = false;
    struct error ignored;
    cleanup(config_free) struct config config = {0};
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    const char *path = config_file_path();
    cleanup_free char *directory = mem_copy_text_n(path, (size_t)(basename(path) - path));
    cleanup_free char *name = mem_format("%s" CONFIG_FILE_KEPT, basename(path));
    if (file_read(path, DOCUMENT_LIMIT, &text, &ignored) < 0 ||
        config_parse("", buffer_text(&text), text.length, &config, &ignored) < 0)
        return 0;
    if (check_taken(&config, &text, error) < 0)
        return -1;
    if (config_file_kept_is_same(&same, &ignored) == 0 && same)
        return 0;
    cleanup_close int fd = open(*directory ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", directory);
    return file_replace_at(fd, name, 0644, (uid_t)-1, (gid_t)-1, text.data, text.length, true,
                           error);
}

static const struct {
    enum guest_kind kind;
    const char *directory; /* below paths.pve */
} guest_kinds[] = {
    {GUEST_LXC, "lxc"},
    {GUEST_QEMU, "qemu-server"},
};

static char *guest_config_path(const struct config *config, size_t kind, uint32_t vmid)
{
    return mem_format("%s/%s/%u.conf", config->paths.pve, guest_kinds[kind].directory, vmid);
}

/* Reads the configuration of a guest of one kind. *ret_found becomes false if there is no such
 * file. */
static int guest_load_of_kind(const struct config *config, size_t kind, uint32_t vmid,
                              struct guest_config *ret, bool *ret_found, struct error *error)
{
    cleanup_free char *path = guest_config_path(config, kind, vmid);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read_if_exists(path, &text, ret_found, error) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    if (guest_config_parse(guest_kinds[kind].kind, buffer_text(&text), text.length, ret, error) < 0)
        return fail_context(error, "%s", path);
    return 0;
}

int config_file_load_guest(const struct config *config, uint32_t vmid, struct guest_config *ret,
                           struct error *error)
{
    bool found = false;
    for (size_t kind = 0; !found && kind < ARRAY_SIZE(guest_kinds); kind++) {
        if (guest_load_of_kind(config, kind, vmid, ret, &found, error) < 0)
            return -1;
    }
    if (found)
        return 0;
    cleanup_free char *path = guest_config_path(config, 0, vmid);
    return fail(error, ERROR_MISSING, "%s: no such guest configuration on this node", path);
}

char *config_file_enrolment_path(const struct config *config, uint32_t vmid)
{
    return mem_format("%s/%u.yaml", config->paths.enrolment, vmid);
}

int config_file_read_enrolment(const struct config *config, uint32_t vmid, struct buffer *out,
                               struct error *error)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    return file_read_if_exists(path, out, NULL, error);
}

int config_file_hookscript_path(const struct config *config, const char *volume, char **ret,
                                struct error *error)
{
    cleanup_free char *path = mem_format("%s/storage.cfg", config->paths.pve);
    cleanup_buffer struct buffer storages = BUFFER_EMPTY;
    if (file_read_if_exists(path, &storages, NULL, error) < 0)
        return -1;
    return snippet_path(buffer_text(&storages), volume, ret, error);
}

int config_file_read_template(const struct config *config, struct buffer *out, struct error *error)
{
    return file_read_if_exists(config->controller.template_file, out, NULL, error);
}

/* --- the files that agent.yaml names --- */

size_t config_file_list_named(const struct config *config,
                              struct named_file ret[static NAMED_FILES_MAX])
{
    struct error ignored;
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    bool has_registry = config->registry.mode != REGISTRY_NONE;
    bool has_hub = *config->hub.url;
    /* Without its token felhomd does not talk to Proxmox. */
    bool has_token = file_read(config->pve.token_file, SECRET_LIMIT, &token, &ignored) == 0 ||
                     ignored.kind != ERROR_MISSING;
    const struct {
        bool needed;
        struct named_file file;
    } files[NAMED_FILES_MAX] = {
        {true, {"controller.template", NAMED_TEMPLATE, config->controller.template_file}},
        {has_hub, {"hub.api_key_file", NAMED_KEY, config->hub.api_key_file}},
        {has_hub, {"hub.ca_file", NAMED_CERTIFICATES, config->hub.ca_file}},
        {has_registry, {"registry.secret_file", NAMED_PASSWORD, config->registry.secret_file}},
        {has_registry, {"registry.ca_file", NAMED_CERTIFICATES, config->registry.ca_file}},
        {has_token, {"pve.token_file", NAMED_API_TOKEN, config->pve.token_file}},
        {has_token, {"pve.ca_file", NAMED_CERTIFICATES, config->pve.ca_file}},
    };
    size_t count = 0;
    for (size_t i = 0; i < NAMED_FILES_MAX; i++)
        if (files[i].needed && *files[i].file.path)
            ret[count++] = files[i].file;
    return count;
}

static int check_template(const struct named_file *file, const struct buffer *text,
                          struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    return yaml_tree_load(file->path, buffer_text(text), text->length, &root, error);
}

/* Blanks may belong to a password; the line end that editors add does not. */
static struct slice password_in(struct slice text)
{
    struct slice line = slice_trim_end(text, "\r\n");
    for (size_t i = 0; i < line.length; i++)
        if (iscntrl((unsigned char)line.text[i]))
            return (struct slice){"", 0};
    return line;
}

/* A key goes into a header, which has visible characters alone. */
static struct slice key_in(struct slice text)
{
    struct slice line = slice_trim(text, " \t\r\n");
    for (size_t i = 0; i < line.length; i++)
        if (line.text[i] <= ' ' || line.text[i] > '~')
            return (struct slice){"", 0};
    return line;
}

static struct slice api_token_in(struct slice text)
{
    size_t length = text.length;
    if (length > 0 && text.text[length - 1] == '\n')
        length--;
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    buffer_add(&line, text.text, length);
    bool is_token = strlen(buffer_text(&line)) == length && /* no NUL hides what follows it */
                    api_token_user_length(buffer_text(&line)) > 0;
    return is_token ? (struct slice){text.text, length} : (struct slice){"", 0};
}

/* Fails if the file holds no secret of its kind. */
static int find_secret(const struct named_file *file, const struct buffer *text, struct slice *ret,
                       struct error *error)
{
    const struct slice whole = {buffer_text(text), text->length};
    const char *what = "with a secret";
    if (file->kind == NAMED_API_TOKEN) {
        *ret = api_token_in(whole);
        what = "USER@REALM!TOKENID=UUID";
    } else if (file->kind == NAMED_KEY) {
        *ret = key_in(whole);
        what = "with a key";
    } else {
        *ret = password_in(whole);
    }
    if (ret->length > 0)
        return 0;
    return fail(error, ERROR_INVALID, "%s: does not hold one line %s", file->path, what);
}

static int check_secret(const struct named_file *file, const struct buffer *text,
                        struct error *error)
{
    struct slice ignored;
    return find_secret(file, text, &ignored, error);
}

static int check_certificates(const struct named_file *file, const struct buffer *text,
                              struct error *error)
{
    char reason[128];
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt chain;
    mbedtls_x509_crt_init(&chain);
    errno = 0; /* see mbedtls_check_memory */
    int result =
        mbedtls_x509_crt_parse(&chain, (const unsigned char *)buffer_text(text), text->length + 1);
    /* A positive number counts those that mbedTLS does not understand; libcurl may. */
    if (result >= 0)
        return 0;
    mbedtls_check_memory(result);
    mbedtls_strerror(result, reason, sizeof reason);
    return fail(error, ERROR_INVALID, "%s: holds no certificate in PEM (%s)", file->path, reason);
}

int config_file_check_named(const struct named_file *file, struct error *error)
{
    static const struct {
        size_t limit;
        int (*check)(const struct named_file *file, const struct buffer *text, struct error *error);
    } kinds[] = {
        [NAMED_TEMPLATE] = {DOCUMENT_LIMIT, check_template},
        [NAMED_CERTIFICATES] = {CERTIFICATES_LIMIT, check_certificates},
        [NAMED_PASSWORD] = {SECRET_LIMIT, check_secret},
        [NAMED_KEY] = {SECRET_LIMIT, check_secret},
        [NAMED_API_TOKEN] = {SECRET_LIMIT, check_secret},
    };
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read(file->path, kinds[file->kind].limit, &text, error) < 0) {
        if (error->kind == ERROR_MISSING && file->kind == NAMED_TEMPLATE)
            return 0;
        return fail_context(error, "%s", file->key);
    }
    if (kinds[file->kind].check(file, &text, error) < 0)
        return fail_context(error, "%s", file->key);
    return 0;
}

int config_file_read_secret(const struct named_file *file, struct buffer *out, struct error *error)
{
    struct slice secret = {"", 0};
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read(file->path, SECRET_LIMIT, &text, error) < 0 ||
        find_secret(file, &text, &secret, error) < 0)
        return fail_context(error, "%s", file->key);
    buffer_add(out, secret.text, secret.length);
    return 0;
}
