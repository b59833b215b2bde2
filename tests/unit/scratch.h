/* SPDX-License-Identifier: Apache-2.0 */
/* A directory below /tmp for each test, and what tests do in it. */
#ifndef FELHOM_TEST_SCRATCH_H
#define FELHOM_TEST_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

static char scratch[32];

static inline int scratch_make(void **state)
{
    (void)state;
    (void)strcpy(scratch, "/tmp/felhom-unit.XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

/* Runs a shell command in the scratch directory, which must succeed. */
__attribute__((format(printf, 1, 2))) static inline void shell(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof command, format, args);
    va_end(args);
    cleanup_free char *line = mem_format("cd %s && { %s ; }", scratch, command);
    assert_int_equal(system(line), 0);
}

static inline int scratch_remove(void **state)
{
    (void)state;
    cleanup_free char *line = mem_format("chmod -R u+rwx %s && rm -rf %s", scratch, scratch);
    return system(line);
}

/* A test between a set-up that calls scratch_make and scratch_remove. */
#define scratch_test(function, setup) \
    cmocka_unit_test_setup_teardown(function, setup, scratch_remove)

/* Returns SCRATCH/NAME, valid until the fourth next call. */
static inline const char *in_scratch(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

static inline struct stat status_of(const char *name)
{
    struct stat status = {0};
    assert_int_equal(lstat(in_scratch(name), &status), 0);
    return status;
}

static inline bool is_there(const char *name)
{
    struct stat status;
    return lstat(in_scratch(name), &status) == 0;
}

/* Returns how many entries a directory has, drafts included. */
static inline int count_entries(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(directory);
    return count;
}

static inline void assert_content(const char *name, const char *expected)
{
    char text[512] = "";
    FILE *file = fopen(in_scratch(name), "re");
    assert_non_null(file);
    (void)!fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    assert_string_equal(text, expected);
}

/* Returns the first line of the output of a command in the scratch directory. */
static inline void output_of(const char *command, char ret[static 256])
{
    cleanup_free char *line = mem_format("cd %s && %s", scratch, command);
    FILE *pipe = popen(line, "re");
    assert_non_null(pipe);
    ret[0] = '\0';
    (void)!fgets(ret, 256, pipe);
    (void)pclose(pipe);
    ret[strcspn(ret, "\n")] = '\0';
}

static inline void assert_output(const char *command, const char *expected)
{
    char text[256];
    output_of(command, text);
    assert_string_equal(text, expected);
}

static inline void needs_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* Runs check in a child, which may unshare, set limits and change its user; check returns 0 if all
 * is well. */
static inline void in_child(int (*check)(void))
{
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(check());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* For in_child: prints the failed condition and ends the check. */
#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            return 1; \
        } \
    } while (0)

#endif
