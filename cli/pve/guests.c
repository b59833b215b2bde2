/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/guests.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pve/guest_lines.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/vmid.h"
#include "store/files/config_file.h"

#define FINGERPRINT_MAX 1000 /* bytes of a fingerprint's text */

/* Reads the VMID of a file VMID.SUFFIX; returns false for any other name. */
static bool vmid_of_file(const char *name, const char *suffix, uint32_t *ret)
{
    const char *dot = strchr(name, '.');
    if (!dot || strcmp(dot, suffix) != 0)
        return false;
    cleanup_free char *digits = mem_copy_text_n(name, (size_t)(dot - name));
    return vmid_parse(digits, ret);
}

/* Adds the guests of PVE/NAME to the list. */
static int list_directory(const struct config *config, const char *name, struct vmids *guests,
                          struct error *error)
{
    const struct dirent *entry;
    uint32_t vmid;
    cleanup_free char *path = mem_format("%s/%s", config->paths.pve, name);
    cleanup_directory DIR *directory = opendir(path);
    if (!directory && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such directory", path);
    if (!directory)
        return fail_errno(error, errno, "cannot list %s", path);
    while ((entry = readdir(directory)))
        if (vmid_of_file(entry->d_name, ".conf", &vmid))
            vmids_add(guests, vmid);
    return 0;
}

static int list_guests(const struct config *config, bool containers_only, struct vmids *ret,
                       struct error *error)
{
    cleanup(vmids_free) struct vmids guests = {0};
    if (list_directory(config, "lxc", &guests, error) < 0 ||
        (!containers_only && list_directory(config, "qemu-server", &guests, error) < 0))
        return -1;
    vmids_sort(&guests);
    *ret = steal(guests);
    return 0;
}

int node_containers_list(const struct config *config, struct vmids *ret, struct error *error)
{
    return list_guests(config, true, ret, error);
}

int node_guests_list(const struct config *config, struct vmids *ret, struct error *error)
{
    return list_guests(config, false, ret, error);
}

/* Besides the directories of this node, which PVE/lxc leads to, those of all nodes are looked at.
 */
static bool exists_anywhere(const struct config *config, uint32_t vmid)
{
    static const char *const places[] = {"", "nodes/*/"};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_free char *pattern =
            mem_format("%s/%s{lxc,qemu-server}/%u.conf", config->paths.pve, places[i], vmid);
        glob_t found;
        int result = glob(pattern, GLOB_BRACE | GLOB_NOSORT, NULL, &found);
        globfree(&found);
        if (result != GLOB_NOMATCH) /* what cannot be looked at counts as there */
            return true;
    }
    return false;
}

int node_former_guests_list(const struct config *config, struct vmids *ret, struct error *error)
{
    const struct dirent *entry;
    uint32_t vmid;
    cleanup(vmids_free) struct vmids guests = {0};
    cleanup_directory DIR *directory = opendir(config->paths.enrolment);
    if (!directory && errno == ENOENT)
        return 0;
    if (!directory)
        return fail_errno(error, errno, "cannot list %s", config->paths.enrolment);
    while ((entry = readdir(directory)))
        if (vmid_of_file(entry->d_name, ".yaml", &vmid) && !exists_anywhere(config, vmid))
            vmids_add(&guests, vmid);
    vmids_sort(&guests);
    *ret = steal(guests);
    return 0;
}

static bool has_enrolment(const struct config *config, uint32_t vmid)
{
    cleanup_free char *path = config_file_enrolment_path(config, vmid);
    return access(path, F_OK) == 0;
}

static bool is_enrolled(const struct config *config, uint32_t vmid,
                        const struct guest_config *guest)
{
    return has_enrolment(config, vmid) ||
           (guest->hookscript && strcmp(guest->hookscript, HOOKSCRIPT_VALUE) == 0) ||
           guest_lines_mount_form(config, vmid, guest) != MOUNT_FORM_NONE;
}

bool node_guest_is_enrolled(const struct config *config, uint32_t vmid)
{
    struct error ignored;
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (has_enrolment(config, vmid))
        return true;
    return config_file_load_guest(config, vmid, &guest, &ignored) == 0 &&
           is_enrolled(config, vmid, &guest);
}

/* --- hardware addresses --- */

static void node_nics_add(struct node_nics *nics, const struct config *config, uint32_t vmid)
{
    struct error ignored;
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (config_file_load_guest(config, vmid, &guest, &ignored) < 0)
        return;
    bool enrolled = is_enrolled(config, vmid, &guest);
    for (size_t i = 0; i < guest.nic_count; i++) {
        if (!guest.nics[i].has_hwaddr)
            continue;
        nics->items = mem_resize(nics->items, nics->count + 1, sizeof *nics->items);
        nics->items[nics->count++] = (struct node_nic){guest.nics[i].hwaddr, vmid, enrolled};
    }
}

struct node_nics node_nics_load(const struct config *config)
{
    struct error ignored;
    struct node_nics nics = {0};
    cleanup(vmids_free) struct vmids guests = {0};
    (void)node_guests_list(config, &guests, &ignored);
    for (size_t i = 0; i < guests.count; i++)
        node_nics_add(&nics, config, guests.items[i]);
    return nics;
}

void node_nics_free(struct node_nics *nics)
{
    free(nics->items);
    *nics = (struct node_nics){0};
}

void node_nics_set_enrolled(struct node_nics *nics, uint32_t vmid)
{
    for (size_t i = 0; i < nics->count; i++)
        if (nics->items[i].vmid == vmid)
            nics->items[i].enrolled = true;
}

uint32_t node_nics_sharing(const struct node_nics *nics, uint32_t vmid, const struct nic *nic)
{
    for (size_t i = 0; nic->has_hwaddr && i < nics->count; i++) {
        const struct node_nic *other = &nics->items[i];
        if (other->vmid != vmid && other->enrolled &&
            memcmp(&other->hwaddr, &nic->hwaddr, sizeof nic->hwaddr) == 0)
            return other->vmid;
    }
    return 0;
}

/* --- which guest it is --- */

/* A text of other characters would be no valid enrolment. */
static char *plain_or_empty(const char *text)
{
    bool plain = strlen(text) < FINGERPRINT_MAX;
    for (const char *c = text; *c; c++)
        plain = plain && *c > ' ' && *c < 0x7f;
    return mem_copy_text(plain ? text : "");
}

static char *describe_volume(const struct guest_config *guest)
{
    for (size_t i = 0; i < guest->volume_count; i++)
        if (guest->volumes[i].kind == VOLUME_STORAGE)
            return plain_or_empty(guest->volumes[i].source);
    return mem_copy_text("");
}

static char *describe_hwaddrs(const struct guest_config *guest)
{
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    char hwaddr[HWADDR_TEXT_SIZE];
    for (size_t i = 0; i < guest->nic_count; i++) {
        if (!guest->nics[i].has_hwaddr || list.length + sizeof hwaddr > FINGERPRINT_MAX)
            continue;
        hwaddr_format(&guest->nics[i].hwaddr, hwaddr);
        buffer_add_format(&list, "%s%s", list.length ? "," : "", hwaddr);
    }
    return mem_copy_text(buffer_text(&list));
}

static bool has_common_part(const char *left, const char *right)
{
    struct slice rest = slice_of(left);
    while (rest.length > 0) {
        struct slice part = slice_take(&rest, ',');
        cleanup_free char *text = mem_copy_text_n(part.text, part.length);
        if (*text && strcasestr(right, text))
            return true;
    }
    return false;
}

struct guest_fingerprint guest_fingerprint_of(const struct guest_config *guest)
{
    return (struct guest_fingerprint){describe_volume(guest), describe_hwaddrs(guest)};
}

void guest_fingerprint_free(struct guest_fingerprint *fingerprint)
{
    free(fingerprint->volume);
    free(fingerprint->hwaddrs);
}

char *guest_fingerprint_differs(const struct config *config, uint32_t vmid,
                                const struct enrolment *enrolment, const struct guest_config *guest)
{
    cleanup(guest_fingerprint_free) struct guest_fingerprint fingerprint =
        guest_fingerprint_of(guest);
    const char *volume = fingerprint.volume;
    const char *hwaddrs = fingerprint.hwaddrs;
    bool same;
    if (*enrolment->guest_hwaddrs && *hwaddrs)
        same = has_common_part(enrolment->guest_hwaddrs, hwaddrs);
    else
        same =
            !*enrolment->guest_volume || !*volume || strcmp(enrolment->guest_volume, volume) == 0;
    if (same || guest_lines_has_mp(config, vmid, guest) ||
        guest_lines_mount_form(config, vmid, guest) != MOUNT_FORM_NONE)
        return NULL;
    return mem_format("another guest that had the VMID (%.60s %.60s, customer %.60s); this one is "
                      "%.60s %.60s",
                      enrolment->guest_volume, enrolment->guest_hwaddrs,
                      *enrolment->customer_id ? enrolment->customer_id : "none", volume, hwaddrs);
}
