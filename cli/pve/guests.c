/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/guests.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pve/guest_lines.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"
#include "store/documents/settings.h"

#define SUFFIX ".conf"

static void close_directory(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

static void keep(struct host_guests *guests, const char *name)
{
    uint32_t vmid;
    const char *dot = strchr(name, '.');
    if (!dot || strcmp(dot, SUFFIX) != 0)
        return;
    cleanup_free char *digits = mem_copy_text_n(name, (size_t)(dot - name));
    if (!vmid_parse(digits, &vmid))
        return;
    guests->vmids = mem_resize(guests->vmids, guests->count + 1, sizeof *guests->vmids);
    guests->vmids[guests->count++] = vmid;
}

static int compare_vmids(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int host_guests_list(const struct config *config, struct host_guests *ret, struct error *error)
{
    struct host_guests guests = {0};
    const struct dirent *entry;
    cleanup_free char *path = mem_format("%s/lxc", config->paths.pve);
    cleanup(close_directory) DIR *directory = opendir(path);
    if (!directory)
        return fail_errno(error, errno, "cannot list the containers in %s", path);
    while ((entry = readdir(directory)))
        keep(&guests, entry->d_name);
    if (guests.count > 0)
        qsort(guests.vmids, guests.count, sizeof *guests.vmids, compare_vmids);
    *ret = guests;
    return 0;
}

void host_guests_free(struct host_guests *guests)
{
    free(guests->vmids);
}

static void close_stream(DIR **stream)
{
    if (*stream)
        (void)closedir(*stream);
}

/* VMID.conf; anything else is no guest's. */
static bool vmid_of_file(const char *name, uint32_t *ret)
{
    size_t length = strlen(name);
    size_t suffix = strlen(SUFFIX);
    if (length <= suffix || strcmp(name + length - suffix, SUFFIX) != 0)
        return false;
    cleanup_free char *number = mem_copy_text_n(name, length - suffix);
    return vmid_parse(number, ret);
}

static void append(struct node_guests *guests, uint32_t vmid)
{
    guests->vmids = mem_resize(guests->vmids, guests->count + 1, sizeof *guests->vmids);
    guests->vmids[guests->count++] = vmid;
}

static int list_directory(const char *path, struct node_guests *guests, struct error *error)
{
    struct dirent *entry;
    uint32_t vmid;
    cleanup(close_stream) DIR *stream = opendir(path);
    if (!stream && errno == ENOENT)
        return fail(error, ERROR_MISSING, "%s: no such directory", path);
    if (!stream)
        return fail_errno(error, errno, "cannot list %s", path);
    while ((entry = readdir(stream)))
        if (vmid_of_file(entry->d_name, &vmid))
            append(guests, vmid);
    return 0;
}

static int compare_guests(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

int node_guests_list(const struct config *config, struct node_guests *ret, struct error *error)
{
    cleanup(node_guests_free) struct node_guests guests = {0};
    cleanup_free char *lxc = mem_format("%s/lxc", config->paths.pve);
    cleanup_free char *qemu = mem_format("%s/qemu-server", config->paths.pve);
    if (list_directory(lxc, &guests, error) < 0 || list_directory(qemu, &guests, error) < 0)
        return -1;
    if (guests.count > 0)
        qsort(guests.vmids, guests.count, sizeof *guests.vmids, compare_guests);
    *ret = guests;
    guests.vmids = NULL;
    return 0;
}

void node_guests_free(struct node_guests *guests)
{
    free(guests->vmids);
}

static bool has_enrolment(const struct config *config, uint32_t vmid)
{
    cleanup_free char *path = mem_format("%s/%u.yaml", config->paths.enrolment, vmid);
    return access(path, F_OK) == 0;
}

bool node_guest_is_enrolled(const struct config *config, uint32_t vmid)
{
    struct error ignored;
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (has_enrolment(config, vmid))
        return true;
    if (settings_load_guest(config, vmid, &guest, &ignored) < 0)
        return false;
    return (guest.hookscript && strcmp(guest.hookscript, HOOKSCRIPT_VALUE) == 0) ||
           directory_line_find(config, vmid, &guest) != MOUNT_FORM_NONE;
}
