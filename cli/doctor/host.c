/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what the host gives: bridge, directories, Proxmox's file system, the hook's link; and
 * what any of its guests would take. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/guest_lines.h"
#include "cli/pve/guests.h"
#include "cli/pve/snippet.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/documents/settings.h"
#include "store/files/foreign.h"
#include "store/host/endpoint.h"

/* --- the network --- */

/* Whether the host has the address; 0.0.0.0 it always has. */
static bool is_own(const struct sockaddr_in *address)
{
    struct sockaddr_in any_port = *address;
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    any_port.sin_port = 0;
    return fd >= 0 && bind(fd, (const struct sockaddr *)&any_port, sizeof any_port) == 0;
}

static void check_endpoint(struct doctor *doctor)
{
    struct error error;
    struct sockaddr_in endpoint;
    char address[INET_ADDRSTRLEN];
    const struct config *config = &doctor->config;
    cleanup_free char *remedy = mem_format("editor %s && felhomctl init", settings_path());
    if (endpoint_resolve(config, &endpoint, &error) < 0) {
        doctor_note(doctor, GRADE_ERROR, remedy, "%s", error.message);
        return;
    }
    (void)inet_ntop(AF_INET, &endpoint.sin_addr, address, sizeof address);
    if (!is_own(&endpoint))
        doctor_note(doctor, GRADE_ERROR, remedy, "local_api.listen: this host has no address %s",
                    address);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s:%u%s%s", address, ntohs(endpoint.sin_port),
                    config->local_api.has_listen ? "" : ", of ",
                    config->local_api.has_listen ? "" : config->local_api.bridge);
}

/* --- the directories below /run --- */

/* Containers reach their own through these as the user that their root is. */
static bool is_passable(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && (status.st_mode & S_IXOTH) &&
           !(status.st_mode & (S_IWGRP | S_IWOTH));
}

static void check_directories(struct doctor *doctor)
{
    const struct config *config = &doctor->config;
    const char *const paths[] = {config->paths.run, config->paths.guests, config->paths.export};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        cleanup_free char *remedy =
            mem_format("felhomctl init && chmod 0711 %s %s %s", paths[0], paths[1], paths[2]);
        if (is_passable(paths[i]))
            continue;
        doctor_note(doctor, GRADE_ERROR, remedy,
                    "%s is no directory that all may pass through and none write to", paths[i]);
        return;
    }
    doctor_note(doctor, GRADE_OK, NULL, "%s, %s", config->paths.guests, config->paths.export);
}

/* --- Proxmox's cluster file system --- */

/* It links local to the node's directory, and takes the w bits away where there is no quorum. */
static void check_cluster(struct doctor *doctor)
{
    struct stat status;
    const char *pve = doctor->config.paths.pve;
    cleanup_free char *local = mem_format("%s/local", pve);
    if (access(pve, F_OK) < 0)
        doctor_note(doctor, GRADE_WARNING, "apt install pve-container",
                    "there is no %s: this is no Proxmox host", pve);
    else if (lstat(local, &status) < 0 || !S_ISLNK(status.st_mode))
        doctor_note(doctor, GRADE_ERROR, "systemctl start pve-cluster",
                    "Proxmox's file system is not mounted at %s", pve);
    else if (!(status.st_mode & S_IWUSR))
        doctor_note(doctor, GRADE_ERROR, "pvecm status",
                    "the cluster has no quorum: no guest can start, nothing be enrolled");
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s is mounted, and can be written to", pve);
}

/* --- the hook --- */

static void note_hook(struct doctor *doctor, const char *link, const char *target)
{
    struct stat status;
    cleanup_free char *remedy = mem_format("chmod 0755 %s", target);
    if (stat(link, &status) < 0)
        doctor_note(doctor, GRADE_ERROR, "apt install --reinstall felhom-agent",
                    "%s leads to %s, which is not there: no guest that names it can start", link,
                    target);
    else if (!S_ISREG(status.st_mode) || access(link, X_OK) < 0)
        doctor_note(doctor, GRADE_ERROR, remedy,
                    "%s cannot be run: no guest that names it can start", target);
    else
        doctor_note(doctor, GRADE_OK, NULL, "%s -> %s", link, target);
}

static void check_snippet(struct doctor *doctor)
{
    const char *snippets = doctor->snippets;
    struct stat status;
    if (!snippets)
        return;
    cleanup_free char *link = mem_format("%s/" HOOKSCRIPT_NAME, snippets);
    cleanup_free char *remedy =
        mem_format("mkdir -p %s && ln -s %s %s", snippets, SNIPPET_HOOK, link);
    cleanup_free char *away =
        mem_format("mv %s %s.other && ln -s %s %s", link, link, SNIPPET_HOOK, link);
    char target[512] = "";
    if (lstat(link, &status) < 0)
        doctor_note(doctor, GRADE_ERROR, remedy, "there is no %s, which guests name", link);
    else if (readlink(link, target, sizeof target - 1) < 0)
        doctor_note(doctor, GRADE_ERROR, away, "%s is a file of its own, no link to the hook",
                    link);
    else
        note_hook(doctor, link, target);
}

/* --- what guests would take --- */

/* The message of foreign_check has reason and command. */
static void note_foreign(struct doctor *doctor, struct error *error)
{
    char *remedy = strstr(error->message, FOREIGN_REMEDY);
    if (remedy) {
        *remedy = '\0';
        remedy += strlen(FOREIGN_REMEDY);
    }
    doctor_note(doctor, GRADE_ERROR, remedy, "%s", error->message);
}

/* False where the guest mounts what is not its own. */
static bool is_innocent(struct doctor *doctor, uint32_t vmid)
{
    struct error error;
    struct own_mount own;
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (settings_load_guest(&doctor->config, vmid, &guest, &error) < 0 ||
        foreign_check(&doctor->config, vmid, &guest, &own, &error) == 0)
        return true;
    note_foreign(doctor, &error);
    return false;
}

/* Those that the agent does not serve are looked at, too: a clone is one of them at first. */
static void check_foreign(struct doctor *doctor)
{
    struct error error;
    size_t guilty = 0;
    cleanup(node_guests_free) struct node_guests guests = {0};
    if (node_guests_list(&doctor->config, &guests, &error) < 0)
        return;
    for (size_t i = 0; i < guests.count; i++)
        guilty += !is_innocent(doctor, guests.vmids[i]);
    if (guilty == 0)
        doctor_note(doctor, GRADE_OK, NULL, "none of %zu guests mounts another's directory",
                    guests.count);
}

static const struct check checks[] = {
    {"endpoint", check_endpoint}, {"directories", check_directories}, {"cluster", check_cluster},
    {"snippet", check_snippet},   {"foreign", check_foreign},
};
const struct check_list doctor_host_checks = {checks, ARRAY_SIZE(checks)};
