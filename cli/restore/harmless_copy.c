/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/restore/harmless_copy.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pve/config_text.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/pve/guest_property.h"

#define DIGITS "0123456789"

struct making {
    uint32_t vmid;
    const struct guest_config *original;
    struct buffer *text;
    struct property_list added; /* lines in place of others */
    struct error *error;
    bool failed;
};

/* What becomes of a line's value: fresh memory with what it should be, NULL where the line goes. */
typedef char *treatment(struct making *making, const char *key, const char *value);

struct rule {
    const char *name; /* with a number behind it where it ends in '*' */
    treatment *treat;
};

static void refuse(struct making *making, const char *key, const char *why, const char *source)
{
    if (!making->failed)
        (void)fail(making->error, ERROR_CONFLICT, "the copy's %.20s %s: %.200s", key, why, source);
    making->failed = true;
}

/* --- property strings --- */

/* Not ended by a NUL. */
struct part {
    const char *text;
    size_t length;
};

static bool next_part(const char **rest, struct part *ret)
{
    if (!*rest)
        return false;
    size_t length = strcspn(*rest, ",");
    *ret = (struct part){*rest, length};
    *rest = (*rest)[length] ? *rest + length + 1 : NULL;
    return true;
}

static bool has_key(struct part part, const char *key)
{
    size_t length = strlen(key);
    return part.length > length && memcmp(part.text, key, length) == 0 && part.text[length] == '=';
}

/* Of "SOURCE,..." or one of the forms with its name; "" where there is none. In fresh memory. */
static char *source_of(const char *value)
{
    struct part part;
    for (const char *rest = value; next_part(&rest, &part);) {
        if (!memchr(part.text, '=', part.length))
            return mem_copy_text_n(part.text, part.length);
        const char *equals = memchr(part.text, '=', part.length);
        size_t skipped = (size_t)(equals - part.text) + 1;
        if (has_key(part, "volume") || has_key(part, "file"))
            return mem_copy_text_n(part.text + skipped, part.length - skipped);
    }
    return mem_copy_text("");
}

static bool is_cdrom(const char *value)
{
    static const char cdrom[] = "media=cdrom";
    struct part part;
    for (const char *rest = value; next_part(&rest, &part);)
        if (part.length == sizeof cdrom - 1 && memcmp(part.text, cdrom, part.length) == 0)
            return true;
    return false;
}

/* --- what is done to lines --- */

static char *keep(struct making *making, const char *key, const char *value)
{
    (void)making;
    (void)key;
    return mem_copy_text(value);
}

static char *unplug(struct making *making, const char *key, const char *value)
{
    (void)making;
    (void)key;
    struct part part;
    cleanup_buffer struct buffer unplugged = BUFFER_EMPTY;
    for (const char *rest = value; next_part(&rest, &part);)
        if (!has_key(part, "link_down"))
            buffer_add_format(&unplugged, "%.*s,", (int)part.length, part.text);
    buffer_add_text(&unplugged, "link_down=1");
    return mem_copy_text(buffer_text(&unplugged));
}

static bool is_originals(const struct making *making, const char *source)
{
    for (size_t i = 0; i < making->original->volume_count; i++)
        if (strcmp(making->original->volumes[i].source, source) == 0)
            return true;
    return false;
}

/* Keeps volumes of the copy's own. */
static char *keep_volume(struct making *making, const char *key, const char *value)
{
    cleanup_free char *source = source_of(value);
    bool foreign = source[0] == '/' || source[0] == '\0';
    if (!foreign && !is_originals(making, source))
        return mem_copy_text(value);
    if (!foreign)
        refuse(making, key, "is the original's own volume", source);
    else if (strcmp(key, "rootfs") == 0)
        refuse(making, key, "is no volume of Proxmox's", source);
    return NULL;
}

/* A cloud-init disk is made for each guest; any other medium is empty, not gone: the boot order
 * may name the drive. */
static char *keep_drive(struct making *making, const char *key, const char *value)
{
    if (!is_cdrom(value))
        return keep_volume(making, key, value);
    cleanup_free char *source = source_of(value);
    cleanup_free char *own = mem_format("vm-%u-cloudinit", making->vmid);
    return strstr(source, own) ? mem_copy_text(value) : mem_copy_text("none,media=cdrom");
}

/* The host's port becomes a socket, as the screen may be on it. */
static char *disconnect(struct making *making, const char *key, const char *value)
{
    (void)making;
    (void)key;
    (void)value;
    return mem_copy_text("socket");
}

/* clang-format off */
static const struct rule lxc_rules[] = {
    {"arch", keep}, {"cmode", keep}, {"console", keep}, {"cores", keep}, {"cpulimit", keep},
    {"cpuunits", keep}, {"debug", keep}, {"description", keep}, {"entrypoint", keep},
    {"features", keep}, {"hostname", keep}, {"memory", keep}, {"nameserver", keep},
    {"ostype", keep}, {"searchdomain", keep}, {"swap", keep}, {"tags", keep}, {"template", keep},
    {"timezone", keep}, {"tty", keep}, {"unprivileged", keep},
    {"lxc.idmap", keep}, {"lxc.environment", keep}, {"lxc.environment.runtime", keep},
    {"net*", unplug}, {"rootfs", keep_volume}, {"mp*", keep_volume},
};
static const struct rule qemu_rules[] = {
    {"acpi", keep}, {"affinity", keep}, {"agent", keep}, {"arch", keep}, {"balloon", keep},
    {"bios", keep}, {"boot", keep}, {"bootdisk", keep}, {"cicustom", keep}, {"cipassword", keep},
    {"citype", keep}, {"ciupgrade", keep}, {"ciuser", keep}, {"cores", keep}, {"cpu", keep},
    {"cpulimit", keep}, {"cpuunits", keep}, {"description", keep}, {"hugepages", keep},
    {"ipconfig*", keep}, {"keyboard", keep}, {"kvm", keep}, {"localtime", keep},
    {"machine", keep}, {"memory", keep}, {"meta", keep}, {"name", keep}, {"nameserver", keep},
    {"numa", keep}, {"numa*", keep}, {"ostype", keep}, {"rng*", keep}, {"scsihw", keep},
    {"searchdomain", keep}, {"shares", keep}, {"smbios*", keep}, {"smp", keep},
    {"sockets", keep}, {"sshkeys", keep}, {"startdate", keep}, {"tablet", keep}, {"tags", keep},
    {"tdf", keep}, {"template", keep}, {"vcpus", keep}, {"vga", keep}, {"vmgenid", keep},
    {"net*", unplug}, {"serial*", disconnect},
    {"ide*", keep_drive}, {"sata*", keep_drive}, {"scsi*", keep_drive}, {"virtio*", keep_drive},
    {"efidisk*", keep_drive}, {"tpmstate*", keep_drive},
};
/* clang-format on */

static bool matches(const char *name, const char *key)
{
    size_t length = strlen(name) - 1;
    if (name[length] != '*')
        return strcmp(name, key) == 0;
    const char *number = key + length;
    return strncmp(name, key, length) == 0 && *number && !number[strspn(number, DIGITS)];
}

static char *treat(struct making *making, const char *key, const char *value)
{
    bool lxc = making->original->kind == GUEST_LXC;
    const struct rule *rules = lxc ? lxc_rules : qemu_rules;
    size_t count = lxc ? ARRAY_SIZE(lxc_rules) : ARRAY_SIZE(qemu_rules);
    for (size_t i = 0; i < count; i++)
        if (matches(rules[i].name, key))
            return rules[i].treat(making, key, value);
    return NULL;
}

/* --- the text --- */

/* Comments are the description, which says whose the copy is. */
static bool is_inert(const struct buffer *text, const struct config_line *line)
{
    const char *start = buffer_text(text) + line->start;
    size_t blanks = strspn(start, " \t\r");
    return line->key_length == 0 &&
           (*start == '#' || blanks >= line->size || start[blanks] == '\n');
}

static void treat_line(struct making *making, struct config_line *line)
{
    if (is_inert(making->text, line))
        return;
    cleanup_free char *key = config_line_key(making->text, line);
    cleanup_free char *value = config_line_value(making->text, line);
    cleanup_free char *better = treat(making, key, value);
    if (better && strcmp(better, value) == 0)
        return;
    if (better)
        property_list_add(&making->added, key, better);
    config_text_remove(making->text, line);
}

/* Snapshots, and changes that would come into force at the start. */
static void cut_sections(struct buffer *text, size_t end)
{
    struct buffer live = BUFFER_EMPTY;
    buffer_add(&live, buffer_text(text), end);
    buffer_free(text);
    *text = live;
}

int harmless_copy_make(uint32_t vmid, const struct guest_config *original, struct buffer *text,
                       struct error *error)
{
    struct making making = {.vmid = vmid, .original = original, .text = text, .error = error};
    struct config_line line = {0};
    while (config_line_next(text, &line))
        treat_line(&making, &line);
    cut_sections(text, line.start + line.size);
    for (size_t i = 0; i < making.added.count; i++)
        config_text_insert(text, making.added.items[i].key, making.added.items[i].value);
    property_list_free(&making.added);
    return making.failed ? -1 : 0;
}
