/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/daemon_sight.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pve/command.h"
#include "cli/pve/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"

#define LISTENING       0x0a /* in /proc/net/tcp */
#define SYSTEMD_RUNS    "/run/systemd/system"
#define SYSTEMCTL       "/usr/bin/systemctl"
#define SYSTEMCTL_US    ((int64_t)3 * 1000000)
#define NO_INODE        UINT64_C(0)
#define DESCRIPTOR_SIZE 64

const char *daemon_state_text(enum daemon_state state)
{
    static const char *const texts[] = {
        [DAEMON_ABSENT] = "does not run",
        [DAEMON_STARTING] = "runs, but does not listen",
        [DAEMON_FOREIGN] = "something else listens there",
        [DAEMON_LISTENING] = "listens",
    };
    return texts[state];
}

static bool parse_endpoint(const char *endpoint, struct sockaddr_in *ret)
{
    char host[INET_ADDRSTRLEN] = "";
    const char *colon = strchr(endpoint, ':');
    if (!colon || (size_t)(colon - endpoint) >= sizeof host)
        return false;
    memcpy(host, endpoint, (size_t)(colon - endpoint));
    ret->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

/* The inode of a line of /proc/net/tcp, if it is of a socket that listens there. */
static uint64_t listening_inode(const char *line, const struct sockaddr_in *wanted)
{
    uint32_t address;
    unsigned int port;
    unsigned int state;
    uint64_t inode;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes it. */
    int count = sscanf(line,
                       " %*u: %8" SCNx32 ":%4x %*8x:%*4x %2x %*8x:%*8x %*x:%*8x %*8x %*u %*u "
                       "%" SCNu64,
                       &address, &port, &state, &inode);
    bool fits = count == 4 && state == LISTENING && address == wanted->sin_addr.s_addr &&
                htons((uint16_t)port) == wanted->sin_port;
    return fits ? inode : NO_INODE;
}

static uint64_t find_listener(const char *endpoint)
{
    char line[512];
    struct sockaddr_in wanted = {0};
    uint64_t inode = NO_INODE;
    cleanup_file FILE *table = fopen("/proc/net/tcp", "re");
    if (!table || !parse_endpoint(endpoint, &wanted))
        return NO_INODE;
    while (inode == NO_INODE && fgets(line, sizeof line, table))
        inode = listening_inode(line, &wanted);
    return inode;
}

static void close_directory(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

static bool holds(const char *process, const char *socket)
{
    char target[DESCRIPTOR_SIZE];
    const struct dirent *entry;
    cleanup_free char *path = mem_format("/proc/%s/fd", process);
    cleanup(close_directory) DIR *descriptors = opendir(path);
    while (descriptors && (entry = readdir(descriptors))) {
        ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof target);
        if (length == (ssize_t)strlen(socket) && memcmp(target, socket, (size_t)length) == 0)
            return true;
    }
    return false;
}

/* Of another user's processes root alone sees the descriptors. */
static pid_t find_holder(uint64_t inode)
{
    const struct dirent *entry;
    cleanup_free char *socket = mem_format("socket:[%" PRIu64 "]", inode);
    cleanup(close_directory) DIR *processes = opendir("/proc");
    while (processes && (entry = readdir(processes))) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && holds(entry->d_name, socket))
            return (pid_t)pid;
    }
    return 0;
}

/* A scratch host's daemon is no unit. */
static void ask_systemd(const struct config *config, char *ret, size_t size)
{
    static const char *const argv[] = {
        SYSTEMCTL, "show", "--property=ActiveState", "--value", "felhomd.service", NULL,
    };
    struct error ignored;
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    const struct pve_command command = {
        .argv = argv,
        .output = &output,
        .limits = {clock_steady_us() + SYSTEMCTL_US, -1},
    };
    if (!pve_is_real(config) || access(SYSTEMD_RUNS, F_OK) < 0 ||
        pve_command_run_as(&command, &ignored) < 0)
        return;
    (void)snprintf(ret, size, "%.*s", (int)strcspn(buffer_text(&output), "\n"),
                   buffer_text(&output));
}

struct daemon_sight daemon_look(const struct config *config, const char *endpoint)
{
    static const enum daemon_state states[2][2] = {{DAEMON_ABSENT, DAEMON_FOREIGN},
                                                   {DAEMON_STARTING, DAEMON_LISTENING}};
    uint64_t inode = find_listener(endpoint);
    struct daemon_sight sight = {
        .state = states[nudge_has_listener(config->paths.state)][inode != NO_INODE],
        .pid = inode == NO_INODE ? 0 : find_holder(inode),
    };
    ask_systemd(config, sight.unit, sizeof sight.unit);
    return sight;
}
