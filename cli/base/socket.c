/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/socket.h"

#include <inttypes.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define LISTENING       0x0a /* in /proc/net/tcp */
#define DESCRIPTOR_SIZE 64

/* The inode in a line of /proc/net/tcp if that socket listens at the wanted address. */
static ino_t listening_inode(const char *line, const struct sockaddr_in *wanted)
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
    return fits ? (ino_t)inode : 0;
}

ino_t socket_listening(const struct sockaddr_in *address)
{
    char line[512];
    ino_t inode = 0;
    cleanup_file FILE *table = fopen("/proc/net/tcp", "re");
    while (table && inode == 0 && fgets(line, sizeof line, table))
        inode = listening_inode(line, address);
    return inode;
}

static bool process_has_socket(const char *process, ino_t inode)
{
    char target[DESCRIPTOR_SIZE];
    const struct dirent *entry;
    cleanup_free char *socket = mem_format("socket:[%ju]", (uintmax_t)inode);
    cleanup_free char *path = mem_format("/proc/%s/fd", process);
    cleanup_directory DIR *descriptors = opendir(path);
    while (descriptors && (entry = readdir(descriptors))) {
        ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof target);
        if (length == (ssize_t)strlen(socket) && memcmp(target, socket, (size_t)length) == 0)
            return true;
    }
    return false;
}

pid_t socket_holder(ino_t socket)
{
    const struct dirent *entry;
    cleanup_directory DIR *processes = opendir("/proc");
    while (processes && (entry = readdir(processes))) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && process_has_socket(entry->d_name, socket))
            return (pid_t)pid;
    }
    return 0;
}

/* The inode in a line of /proc/net/packet if that socket sees the packets of all protocols. */
static ino_t packet_inode(const char *line)
{
    unsigned int protocol;
    uint64_t inode;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes it. */
    int count = sscanf(line, "%*s %*d %*d %4x %*d %*d %*u %*u %" SCNu64, &protocol, &inode);
    return count == 2 && protocol == ETH_P_ALL ? (ino_t)inode : 0;
}

bool socket_packet_is_held(pid_t process)
{
    char line[512];
    bool held = false;
    cleanup_free char *name = mem_format("%ld", (long)process);
    cleanup_file FILE *table = fopen("/proc/net/packet", "re");
    while (table && !held && fgets(line, sizeof line, table)) {
        ino_t inode = packet_inode(line);
        held = inode != 0 && process_has_socket(name, inode);
    }
    return held;
}
