/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of felhomctl: a scratch host below /tmp, and felhomctl run against it in a child. */
#ifndef FELHOM_TESTS_CLI_SCRATCH_H
#define FELHOM_TESTS_CLI_SCRATCH_H

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/memory.h"
#include "store/db/token_record.h"
#include "store/files/file.h"
#include "tests/unit/scratch.h"

/* The program itself; its main() has another name here. */
int felhomctl_main(int argc, char **argv);
#define main felhomctl_main
#include "cli/main.c"
#undef main

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
    return mem_copy_text(in_scratch(name));
}

static inline void scratch_write(const char *name, const char *content)
{
    cleanup_file FILE *file = fopen(in_scratch(name), "we");
    if (!file || fputs(content, file) < 0)
        abort();
}

/* Returns the content of a file, "" if it does not exist. */
static inline struct buffer scratch_read(const char *name)
{
    struct error ignored;
    struct buffer content = BUFFER_EMPTY;
    (void)file_read(in_scratch(name), (size_t)1 << 20, &content, &ignored);
    return content;
}

static inline bool scratch_exists(const char *name)
{
    return access(in_scratch(name), F_OK) == 0;
}

static inline unsigned int scratch_mode(const char *name)
{
    struct stat status;
    return lstat(in_scratch(name), &status) < 0 ? 0 : status.st_mode & 07777;
}

static inline void scratch_make_directory(const char *name)
{
    if (mkdir(in_scratch(name), 0755) < 0)
        abort();
}

/* Makes directories as on a Proxmox node, and an agent.yaml with their paths. */
static inline int node_make(void **state)
{
    const char *r = scratch;
    (void)umask(022);
    if (scratch_make(state) < 0)
        return -1;
    shell("mkdir -p pve/nodes/n1/lxc pve/nodes/n1/qemu-server cgroup; ln -s nodes/n1 pve/local; "
          "ln -s nodes/n1/lxc pve/lxc; ln -s nodes/n1/qemu-server pve/qemu-server");
    cleanup_free char *settings = mem_format(
        "host_id: test\n"
        "local_api: {listen: \"127.0.0.1:18443\"}\n"
        "paths: {state: %s/state, guests: %s/run/guests, export: %s/run/export, run: %s/run,\n"
        "        pve: %s/pve, enrolment: %s/pve/priv/felhom, cgroup: %s/cgroup}\n",
        r, r, r, r, r, r, r);
    scratch_write("agent.yaml", settings);
    token_record_use(in_scratch("run")); /* by the test itself, as by felhomctl */
    return setenv("FELHOM_AGENT_CONFIG", in_scratch("agent.yaml"), 1);
}

/* Runs felhomctl in a child with the words as arguments; ends with NULL. */
static inline struct outcome felhomctl(const char *word, ...)
{
    char *argv[32] = {mem_copy_text("felhomctl")};
    int argc = 1;
    int status = 0;
    struct outcome outcome = {.status = -1};
    va_list words;
    va_start(words, word);
    for (const char *next = word; next; next = va_arg(words, const char *))
        argv[argc++] = mem_copy_text(next);
    va_end(words);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen(in_scratch("stdout"), "we", stdout) ||
            !freopen(in_scratch("stderr"), "we", stderr))
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

/* A node after felhomctl init. */
static inline int node_init(void **state)
{
    if (node_make(state) < 0)
        return -1;
    cleanup_outcome struct outcome init = felhomctl("init", NULL);
    return init.status;
}

static inline void assert_contains(const struct buffer *text, const char *part)
{
    if (!strstr(buffer_text(text), part))
        fail_test("'%s' lacks '%s'", buffer_text(text), part);
}

#endif
