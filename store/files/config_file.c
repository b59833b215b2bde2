/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/pve/storage_config.h"
#include "store/files/file.h"

#define DOCUMENT_LIMIT ((size_t)1 << 20)

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

int config_file_load(struct config *ret, struct error *error)
{
    const char *path = config_file_path();
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read_if_exists(path, &text, NULL, error) < 0)
        return -1;
    return config_parse(basename(path), buffer_text(&text), text.length, ret, error);
}

bool config_file_recover(struct config *ret)
{
    struct error ignored;
    cleanup_buffer struct buffer kept = BUFFER_EMPTY;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *kept_path = mem_format("%s" CONFIG_FILE_KEPT, config_file_path());
    if (file_read(kept_path, DOCUMENT_LIMIT, &kept, &ignored) == 0 &&
        config_parse("", buffer_text(&kept), kept.length, ret, &ignored) == 0)
        return true;
    (void)file_read_if_exists(config_file_path(), &text, NULL, &ignored);
    config_salvage(buffer_text(&text), text.length, ret);
    return false;
}

int config_file_keep(struct error *error)
{
    struct error ignored;
    cleanup(config_free) struct config config = {0};
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_buffer struct buffer kept = BUFFER_EMPTY;
    const char *path = config_file_path();
    cleanup_free char *directory = mem_copy_text_n(path, (size_t)(basename(path) - path));
    cleanup_free char *name = mem_format("%s" CONFIG_FILE_KEPT, basename(path));
    if (file_read(path, DOCUMENT_LIMIT, &text, &ignored) < 0 ||
        config_parse("", buffer_text(&text), text.length, &config, &ignored) < 0)
        return 0;
    cleanup_close int fd = open(*directory ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "cannot open %s", directory);
    if (file_read_at(fd, name, DOCUMENT_LIMIT, &kept, &ignored) == 0 && buffer_equals(&kept, &text))
        return 0;
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

int config_file_read_enrolment(const struct config *config, uint32_t vmid, struct buffer *out,
                               struct error *error)
{
    cleanup_free char *path = mem_format("%s/%u.yaml", config->paths.enrolment, vmid);
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
