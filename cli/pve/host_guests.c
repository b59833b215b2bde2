/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/host_guests.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"

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

static int compare(const void *left, const void *right)
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
        qsort(guests.vmids, guests.count, sizeof *guests.vmids, compare);
    *ret = guests;
    return 0;
}

void host_guests_free(struct host_guests *guests)
{
    free(guests->vmids);
}
