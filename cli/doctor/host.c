/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what the host provides (an address to listen on, directories, Proxmox's file system, the
 * link to the hook), and that no guest of it mounts another guest's directory. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/guest_lines.h"
#include "cli/pve/guests.h"
#include "cli/pve/host_setup.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/config_file.h"
#include "store/files/guest_mount.h"
#include "store/host/host.h"

/* Returns true if this host has the address; it always has 0.0.0.0. */
static bool is_own_address(const struct sockaddr_in *address)
{
    struct sockaddr_in any_port = *address;
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    any_port.sin_port = 0;
    return fd >= 0 && bind(fd, (const struct sockaddr *)&any_port, sizeof any_port) == 0;
}

void doctor_check_endpoint(struct doctor *doctor)
{
    struct error error;
    struct sockaddr_in endpoint;
    char address[INET_ADDRSTRLEN];
    const struct config *config = &doctor->config;
    cleanup_free char *remedy = mem_format("editor %s && " DOCTOR_INIT, config_file_path());
    if (host_endpoint(config, &endpoint, &error) < 0) {
        doctor_fail(doctor, remedy, "%s", error.message);
        return;
    }
    (void)inet_ntop(AF_INET, &endpoint.sin_addr, address, sizeof address);
    if (!is_own_address(&endpoint))
        doctor_fail(doctor, remedy, "local_api.listen: this host has no address %s", address);
    else if (config->local_api.has_listen)
        doctor_ok(doctor, "%s:%u", address, ntohs(endpoint.sin_port));
    else
        doctor_ok(doctor, "%s:%u, of %s", address, ntohs(endpoint.sin_port),
                  config->local_api.bridge);
}

/* A container's root, an unprivileged user of the host, reaches its own directory through these. */
static bool is_passable(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && (status.st_mode & S_IXOTH) &&
           !(status.st_mode & (S_IWGRP | S_IWOTH));
}

static bool is_lock(const char *name)
{
    size_t length = strlen(name);
    return length > 5 && strcmp(name + length - 5, ".lock") == 0;
}

/* Reports if the file that exists only to be locked cannot be, and then returns false. Opening it
 * changes nothing. */
static bool check_lock(struct doctor *doctor, const char *path)
{
    struct stat status;
    cleanup_close int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int errnum = fd < 0 ? errno : 0;
    if (errnum == ENOENT || (errnum == EACCES && geteuid() != 0) ||
        (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)))
        return true;
    cleanup_free char *remedy = mem_format("mv %s %s.other", path, path);
    doctor_fail(doctor, remedy,
                "%s cannot be locked: %s: hooks and felhomctl that need the lock fail", path,
                errnum ? strerror(errnum) : "it is not a regular file");
    return false;
}

static bool check_locks(struct doctor *doctor)
{
    bool good = true;
    const char *run = doctor->config.paths.run;
    cleanup_directory DIR *directory = opendir(run);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        cleanup_free char *path = mem_format("%s/%s", run, entry->d_name);
        if (is_lock(entry->d_name) && !check_lock(doctor, path))
            good = false;
    }
    return good;
}

/* Reports what has the name of a socket by which felhomd is told something, and then returns
 * false. */
static bool check_socket(struct doctor *doctor, const char *name)
{
    struct stat status;
    cleanup_free char *path = mem_format("%s/%s", doctor->config.paths.state, name);
    if (lstat(path, &status) < 0 || S_ISSOCK(status.st_mode))
        return true;
    cleanup_free char *remedy =
        mem_format("mv %s %s.other && systemctl restart felhomd", path, path);
    doctor_fail(doctor, remedy, "%s is in the way of a socket of felhomd's", path);
    return false;
}

void doctor_check_directories(struct doctor *doctor)
{
    const struct config *config = &doctor->config;
    const char *const paths[] = {config->paths.run, config->paths.guests, config->paths.export};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (is_passable(paths[i]))
            continue;
        cleanup_free char *remedy =
            mem_format(DOCTOR_INIT " && chmod 0711 %s %s %s", paths[0], paths[1], paths[2]);
        doctor_fail(doctor, remedy,
                    "%s is not a directory that all users can enter and only its owner can write "
                    "to",
                    paths[i]);
        return;
    }
    bool locks = check_locks(doctor);
    bool nudge = check_socket(doctor, "nudge");
    bool reload = check_socket(doctor, "reload");
    if (locks && nudge && reload)
        doctor_ok(doctor, "%s, %s", config->paths.guests, config->paths.export);
}

/* Proxmox's cluster file system has a link "local" to this node's directory, and removes the w bits
 * while there is no quorum. */
void doctor_check_cluster(struct doctor *doctor)
{
    struct stat status;
    const char *pve = doctor->config.paths.pve;
    cleanup_free char *local = mem_format("%s/local", pve);
    if (access(pve, F_OK) < 0)
        doctor_warn(doctor, "apt install pve-container",
                    "there is no %s: this is not a Proxmox host", pve);
    else if (lstat(local, &status) < 0 || !S_ISLNK(status.st_mode))
        doctor_fail(doctor, "systemctl start pve-cluster",
                    "Proxmox's file system is not mounted at %s", pve);
    else if (!(status.st_mode & S_IWUSR))
        doctor_fail(doctor, "pvecm status",
                    "the cluster has no quorum: no guest can be started or enrolled");
    else
        doctor_ok(doctor, "%s is mounted and writable", pve);
}

static void note_hook(struct doctor *doctor, const char *link, const char *target)
{
    struct stat status;
    cleanup_free char *remedy = mem_format("chmod 0755 %s", target);
    if (stat(link, &status) < 0)
        doctor_fail(doctor, "apt install --reinstall felhom-agent",
                    "%s links to %s, which does not exist: no guest with this hookscript can start",
                    link, target);
    else if (!S_ISREG(status.st_mode) || access(link, X_OK) < 0)
        doctor_fail(doctor, remedy, "%s cannot be run: no guest with this hookscript can start",
                    target);
    else
        doctor_ok(doctor, "%s -> %s", link, target);
}

void doctor_check_snippet(struct doctor *doctor)
{
    const char *snippets = doctor->snippets;
    struct stat status;
    if (!snippets)
        return;
    cleanup_free char *link = mem_format("%s/" HOOKSCRIPT_NAME, snippets);
    cleanup_free char *make =
        mem_format("mkdir -p %s && ln -s %s %s", snippets, SNIPPET_HOOK, link);
    cleanup_free char *replace =
        mem_format("mv %s %s.other && ln -s %s %s", link, link, SNIPPET_HOOK, link);
    char target[512] = "";
    if (lstat(link, &status) < 0)
        doctor_fail(doctor, make, "there is no %s, which guests have as their hookscript", link);
    else if (readlink(link, target, sizeof target - 1) < 0)
        doctor_fail(doctor, replace, "%s is a file, not a link to the hook", link);
    else
        note_hook(doctor, link, target);
}

/* The message of guest_mount_check contains the reason and the command. */
static void note_foreign(struct doctor *doctor, struct error *error)
{
    char *remedy = strstr(error->message, GUEST_MOUNT_REMEDY);
    if (remedy) {
        *remedy = '\0';
        remedy += strlen(GUEST_MOUNT_REMEDY);
    }
    doctor_fail(doctor, remedy, "%s", error->message);
}

/* Reports if the guest mounts another guest's directory, and then returns false. */
static bool check_mounts_of(struct doctor *doctor, uint32_t vmid)
{
    struct error error;
    struct guest_mount own;
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (config_file_load_guest(&doctor->config, vmid, &guest, &error) < 0 ||
        guest_mount_check(&doctor->config, vmid, &guest, &own, &error) == 0)
        return true;
    note_foreign(doctor, &error);
    return false;
}

/* Checks guests that are not enrolled as well, as a clone is not enrolled at first. */
void doctor_check_foreign(struct doctor *doctor)
{
    struct error error;
    size_t faults = 0;
    cleanup(vmids_free) struct vmids guests = {0};
    if (node_guests_list(&doctor->config, &guests, &error) < 0)
        return;
    for (size_t i = 0; i < guests.count; i++)
        faults += !check_mounts_of(doctor, guests.items[i]);
    if (faults == 0)
        doctor_ok(doctor, "none of %zu guests mounts another guest's directory", guests.count);
}

void doctor_check_former(struct doctor *doctor)
{
    struct error error;
    cleanup(vmids_free) struct vmids guests = {0};
    if (node_former_guests_list(&doctor->config, &guests, &error) < 0) {
        doctor_fail(doctor, NULL, "%s", error.message);
        return;
    }
    for (size_t i = 0; i < guests.count; i++) {
        cleanup_free char *remedy = mem_format("felhomctl unenroll %u", guests.items[i]);
        doctor_warn(doctor, remedy,
                    "there is an enrolment of guest %u, but no such guest on any node",
                    guests.items[i]);
    }
    if (guests.count == 0)
        doctor_ok(doctor, "each enrolment is of a guest that exists");
}
