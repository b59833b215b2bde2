/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/config_file.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

#define DOCUMENT_LIMIT ((size_t)1 << 20)

const char *config_file_path(void)
{
    const char *path = secure_getenv(CONFIG_FILE_VARIABLE);
    return path && path[0] ? path : CONFIG_FILE_PATH;
}

/* Like file_read, but a file that is not there adds nothing and is no failure. *ret_found may be
 * NULL. */
static int read_if_there(const char *path, struct buffer *out, bool *ret_found, struct error *error)
{
    struct error problem;
    int result = file_read(path, DOCUMENT_LIMIT, out, &problem);
    if (result < 0 && problem.kind != ERROR_MISSING) {
        *error = problem;
        return -1;
    }
    if (ret_found)
        *ret_found = result == 0;
    return 0;
}

int config_file_load(struct config *ret, struct error *error)
{
    const char *path = config_file_path();
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (read_if_there(path, &text, NULL, error) < 0)
        return -1;
    return config_parse(basename(path), buffer_text(&text), text.length, ret, error);
}

void config_file_salvage(struct config *ret)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    (void)read_if_there(config_file_path(), &text, NULL, &ignored);
    config_salvage(buffer_text(&text), text.length, ret);
}

static const struct {
    enum guest_kind kind;
    const char *directory; /* below PVE */
} guest_kinds[] = {
    {GUEST_LXC, "lxc"},
    {GUEST_QEMU, "qemu-server"},
};

static char *guest_path(const struct config *config, size_t kind, uint32_t vmid)
{
    return mem_format("%s/%s/%u.conf", config->paths.pve, guest_kinds[kind].directory, vmid);
}

/* *ret_found stays false where there is no such file. */
static int load_guest_of_kind(const struct config *config, size_t kind, uint32_t vmid,
                              struct guest_config *ret, bool *ret_found, struct error *error)
{
    cleanup_free char *path = guest_path(config, kind, vmid);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (read_if_there(path, &text, ret_found, error) < 0)
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
        if (load_guest_of_kind(config, kind, vmid, ret, &found, error) < 0)
            return -1;
    }
    if (found)
        return 0;
    cleanup_free char *path = guest_path(config, 0, vmid);
    return fail(error, ERROR_MISSING, "%s: no such guest configuration on this node", path);
}

int config_file_read_enrolment(const struct config *config, uint32_t vmid, struct buffer *out,
                               struct error *error)
{
    cleanup_free char *path = mem_format("%s/%u.yaml", config->paths.enrolment, vmid);
    return read_if_there(path, out, NULL, error);
}

int config_file_read_template(const struct config *config, struct buffer *out, struct error *error)
{
    return read_if_there(config->controller.template_file, out, NULL, error);
}
