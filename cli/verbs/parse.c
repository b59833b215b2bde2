/* SPDX-License-Identifier: Apache-2.0 */
/* parse: a guest's configuration as the agent, and Proxmox, understand it. */
#include <string.h>
#include <unistd.h>

#include "cli/base/output.h"
#include "cli/base/verb.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"
#include "schema/pve/guest_config.h"
#include "store/files/file.h"

#define INPUT_LIMIT ((size_t)1 << 20)
#define INPUT_CHUNK ((size_t)16384)

enum { OPTION_KIND };
static const struct verb_option options[] = {
    [OPTION_KIND] = {"kind", "lxc|qemu", "what kind of guest the file is for (default: lxc)"},
};

/* More than Proxmox allows is left to the parser to refuse. */
static int read_standard_input(struct buffer *out, struct error *error)
{
    size_t count = 1;
    while (count > 0 && out->length <= INPUT_LIMIT) {
        count = fread(buffer_reserve(out, INPUT_CHUNK), 1, INPUT_CHUNK, stdin);
        out->length += count;
    }
    return ferror(stdin) ? fail(error, ERROR_SYSTEM, "cannot read standard input") : 0;
}

static int read_input(const char *file, struct buffer *out, struct error *error)
{
    return strcmp(file, "-") == 0 ? read_standard_input(out, error)
                                  : file_read(file, INPUT_LIMIT, out, error);
}

static void print_text(FILE *out, const struct guest_config *guest)
{
    cleanup_json json_t *summary = json_object();
    output_put_texts(summary, "kind", guest_kind_names[guest->kind], "name", guest->name,
                     "hookscript", guest->hookscript ? guest->hookscript : "", "lock",
                     guest->lock ? guest->lock : "");
    output_put_bool(summary, "template", guest->template);
    json_set(summary, "unprivileged",
             guest->unprivileged < 0 ? json_null() : json_boolean(guest->unprivileged));
    output_put_int(summary, "root_uid", guest->root_uid);
    output_put_int(summary, "root_gid", guest->root_gid);
    static const struct output_column columns[] = {
        {"kind", "kind", SHAPE_PLAIN},
        {"name", "name", SHAPE_PLAIN},
        {"hookscript", "hookscript", SHAPE_PLAIN},
        {"lock", "lock", SHAPE_PLAIN},
        {"template", "template", SHAPE_PLAIN},
        {"unprivileged", "unprivileged", SHAPE_PLAIN},
        {"root uid", "root_uid", SHAPE_PLAIN},
        {"root gid", "root_gid", SHAPE_PLAIN},
    };
    output_fields(out, columns, ARRAY_SIZE(columns), summary);
}

static void print_volumes(FILE *out, const struct guest_config *guest)
{
    static const struct output_column columns[] = {
        {"KEY", "key", SHAPE_PLAIN},       {"SOURCE", "source", SHAPE_PLAIN},
        {"AT", "at", SHAPE_PLAIN},         {"READ-ONLY", "read_only", SHAPE_PLAIN},
        {"BACKUP", "backup", SHAPE_PLAIN}, {"SIZE", "size", SHAPE_SIZE},
    };
    cleanup_json json_t *rows = json_array();
    for (size_t i = 0; i < guest->volume_count; i++) {
        const struct volume *volume = &guest->volumes[i];
        json_t *row = json_object();
        output_put_texts(row, "key", volume->key, "source", volume->source, "at",
                         volume->mount_point);
        output_put_bool(row, "read_only", volume->read_only);
        output_put_bool(row, "backup", volume->backup);
        output_put_int(row, "size", volume->size_bytes);
        json_append(rows, row);
    }
    output_section(out, columns, ARRAY_SIZE(columns), rows);
}

static void print_nics(FILE *out, const struct guest_config *guest)
{
    static const struct output_column columns[] = {
        {"KEY", "key", SHAPE_PLAIN},
        {"HWADDR", "hwaddr", SHAPE_PLAIN},
        {"BRIDGE", "bridge", SHAPE_PLAIN},
        {"IP", "ip", SHAPE_PLAIN},
    };
    cleanup_json json_t *rows = json_array();
    for (size_t i = 0; i < guest->nic_count; i++) {
        const struct nic *nic = &guest->nics[i];
        char hwaddr[HWADDR_TEXT_SIZE] = "";
        json_t *row = json_object();
        if (nic->has_hwaddr)
            hwaddr_format(&nic->hwaddr, hwaddr);
        output_put_texts(row, "key", nic->key, "hwaddr", hwaddr, "bridge", nic->bridge, "ip",
                         nic->ip);
        json_append(rows, row);
    }
    output_section(out, columns, ARRAY_SIZE(columns), rows);
}

static void print_guest(const struct invocation *invocation, const struct guest_config *guest)
{
    cleanup_json json_t *json = guest_config_to_json(guest);
    if (output_value(invocation, json))
        return;
    print_text(invocation->out, guest);
    print_volumes(invocation->out, guest);
    print_nics(invocation->out, guest);
}

static int run_parse(const struct invocation *invocation, struct error *error)
{
    const char *kind_name = invocation->values[OPTION_KIND];
    enum guest_kind kind = kind_name && strcmp(kind_name, "qemu") == 0 ? GUEST_QEMU : GUEST_LXC;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (read_input(invocation->file, &text, error) < 0)
        return -1;
    if (guest_config_parse(kind, buffer_text(&text), text.length, &guest, error) < 0)
        return fail_context(error, "%s", invocation->file);
    for (size_t i = 0; i < guest.warning_count; i++)
        (void)fprintf(invocation->warnings, "felhomctl: warning: %s\n", guest.warnings[i]);
    print_guest(invocation, &guest);
    return 0;
}

const struct verb verb_parse = {
    .name = "parse",
    .operand = OPERAND_FILE,
    .help = "Show what a guest's configuration file says ('-': standard input)",
    .run = run_parse,
    VERB_OPTIONS(options),
};
