/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of felhomctl: a scratch host below /tmp, and felhomctl run against it in a child. */
#ifndef FELHOM_TESTS_CLI_SCRATCH_H
#define FELHOM_TESTS_CLI_SCRATCH_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "store/files/file.h"
#include "tests/unit/test.h"

/* The program itself, under another name. */
int felhomctl_main(int argc, char **argv);
#define main felhomctl_main
#include "cli/main.c"
#undef main

static char scratch_root[64];

struct outcome {
    int status; /* what felhomctl exited with */
    struct buffer out;
    struct buffer err;
};

static inline void outcome_free(struct outcome *outcome)
{
    buffer_free(&outcome->out);
    buffer_free(&outcome->err);
}
#define cleanup_outcome cleanup(outcome_free)

/* A path on the scratch host; the caller frees it. */
static inline char *scratch_path(const char *name)
{
    return mem_format("%s/%s", scratch_root, name);
}

static inline void scratch_write(const char *name, const char *content)
{
    cleanup_free char *path = scratch_path(name);
    cleanup_file FILE *file = fopen(path, "we");
    if (!file || fputs(content, file) < 0)
        abort();
}

/* The content of a file, "" where there is none. */
static inline struct buffer scratch_read(const char *name)
{
    struct error ignored;
    struct buffer content = BUFFER_EMPTY;
    cleanup_free char *path = scratch_path(name);
    (void)file_read(path, (size_t)1 << 20, &content, &ignored);
    return content;
}

static inline bool scratch_exists(const char *name)
{
    cleanup_free char *path = scratch_path(name);
    return access(path, F_OK) == 0;
}

static inline unsigned int scratch_mode(const char *name)
{
    struct stat status;
    cleanup_free char *path = scratch_path(name);
    return lstat(path, &status) < 0 ? 0 : status.st_mode & 07777;
}

static inline void scratch_make_directory(const char *name)
{
    cleanup_free char *path = scratch_path(name);
    if (mkdir(path, 0755) < 0)
        abort();
}

/* Directories as on a Proxmox node, and an agent.yaml that names them all. */
static inline void scratch_make(void)
{
    static const char *const directories[] = {
        "pve",    "pve/nodes", "pve/nodes/n1", "pve/nodes/n1/lxc", "pve/nodes/n1/qemu-server",
        "cgroup",
    };
    const char *r = scratch_root;
    (void)umask(022);
    (void)snprintf(scratch_root, sizeof scratch_root, "/tmp/felhomctl.XXXXXX");
    if (!mkdtemp(scratch_root))
        abort();
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        scratch_make_directory(directories[i]);
    cleanup_free char *local = scratch_path("pve/local");
    cleanup_free char *lxc = scratch_path("pve/lxc");
    cleanup_free char *qemu = scratch_path("pve/qemu-server");
    if (symlink("nodes/n1", local) < 0 || symlink("nodes/n1/lxc", lxc) < 0 ||
        symlink("nodes/n1/qemu-server", qemu) < 0)
        abort();
    cleanup_free char *settings = mem_format(
        "host_id: test\n"
        "local_api: {listen: \"127.0.0.1:18443\"}\n"
        "paths: {state: %s/state, guests: %s/run/guests, export: %s/run/export, run: %s/run,\n"
        "        pve: %s/pve, enrolment: %s/pve/priv/felhom, cgroup: %s/cgroup}\n",
        r, r, r, r, r, r, r);
    cleanup_free char *settings_file = scratch_path("agent.yaml");
    scratch_write("agent.yaml", settings);
    (void)setenv("FELHOM_AGENT_CONFIG", settings_file, 1);
}

static inline void scratch_remove(void)
{
    cleanup_free char *command = mem_format("rm -rf '%s'", scratch_root);
    if (strncmp(scratch_root, "/tmp/felhomctl.", 15) != 0 || system(command) != 0)
        abort();
}

/* Runs felhomctl in a child with the words as arguments; ends with NULL. */
static inline struct outcome felhomctl(const char *word, ...)
{
    char *argv[32] = {mem_copy_text("felhomctl")};
    int argc = 1;
    int status = 0;
    struct outcome outcome = {.status = -1};
    cleanup_free char *out = scratch_path("stdout");
    cleanup_free char *err = scratch_path("stderr");
    va_list words;
    va_start(words, word);
    for (const char *next = word; next; next = va_arg(words, const char *))
        argv[argc++] = mem_copy_text(next);
    va_end(words);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen(out, "we", stdout) || !freopen(err, "we", stderr))
            abort();
        exit(felhomctl_main(argc, argv));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.out = scratch_read("stdout");
    outcome.err = scratch_read("stderr");
    return outcome;
}

static inline void assert_contains(const struct buffer *text, const char *part)
{
    if (!strstr(buffer_text(text), part))
        fail_test("'%s' lacks '%s'", buffer_text(text), part);
}

#endif
