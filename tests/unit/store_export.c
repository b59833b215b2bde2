/* SPDX-License-Identifier: Apache-2.0 */
/* The read-only export, and the look through a process's root; in a mount namespace of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/guest_mount.h"
#include "tests/unit/test.h"

static struct config config;
static char root[] = "/tmp/felhom-export.XXXXXX";

static void run(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    struct error error;
    (void)state;
    if (!mkdtemp(root))
        return -1;
    cleanup_free char *text =
        mem_format("bootstrap: {guest_path: %s/seen}\n"
                   "paths: {guests: %s/guests, export: %s/export, cgroup: %s/cgroup}\n",
                   root, root, root, root);
    if (config_parse("agent.yaml", text, strlen(text), &config, &error) < 0)
        return -1;
    run("mkdir -p %s/guests/8200 %s/seen && chmod 711 %s/guests", root, root, root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cleanup_free char *path = mem_format("%s/export/8200", root);
    while (umount2(path, MNT_DETACH) == 0)
        ;
    run("rm -rf %s", root);
    config_free(&config);
    return 0;
}

static int mounts_on_export(void)
{
    char line[1024];
    int count = 0;
    cleanup_free char *wanted = mem_format(" %s/export/8200 ", root);
    cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, wanted) != NULL;
    return count;
}

static int export(uint32_t vmid, struct error *error)
{
    cleanup_free char *path = mem_format("%s/guests/%u", root, vmid);
    cleanup_close int source = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(source >= 0);
    return guest_mount_export(&config, vmid, source, error);
}

static void test_export_is_read_only_and_found_again(void **state)
{
    struct error error;
    (void)state;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        skip();
    assert_int_equal(export(8200, &error), 0);
    assert_int_equal(export(8200, &error), 0);
    assert_int_equal(mounts_on_export(), 1);
    cleanup_free char *file = mem_format("%s/export/8200/new", root);
    assert_int_equal(open(file, O_WRONLY | O_CREAT, 0600), -1);
    assert_int_equal(errno, EROFS);
    run("echo live > %s/guests/8200/new", root);
    assert_int_equal(access(file, R_OK), 0);
}

static void test_stale_export_is_replaced(void **state)
{
    struct error error;
    (void)state;
    if (mounts_on_export() == 0)
        skip();
    run("mv %s/guests/8200 %s/guests/old && mkdir %s/guests/8200 && touch %s/guests/8200/fresh",
        root, root, root, root);
    assert_int_equal(export(8200, &error), 0);
    assert_int_equal(mounts_on_export(), 1);
    cleanup_free char *file = mem_format("%s/export/8200/fresh", root);
    assert_int_equal(access(file, F_OK), 0);
}

static void test_what_is_in_the_way_is_named(void **state)
{
    struct error error;
    (void)state;
    run("mkdir -p %s/guests/8201 %s/export && : > %s/export/8201", root, root, root);
    assert_int_equal(export(8201, &error), -1);
    assert_non_null(strstr(error.message, "/export/8201: Not a directory"));
}

static void test_visibility(void **state)
{
    (void)state;
    assert_int_equal(guest_mount_visibility(&config, 8200), VISIBILITY_UNKNOWN);
    run("mkdir -p %s/cgroup/lxc/8200/ns/init.scope && : > %s/cgroup/lxc/8200/cgroup.procs && "
        "echo %d > %s/cgroup/lxc/8200/ns/init.scope/cgroup.procs",
        root, root, getpid(), root);
    assert_int_equal(guest_mount_visibility(&config, 8200), VISIBILITY_MISSING);
    if (mounts_on_export() == 0)
        skip();
    run("mount --bind %s/export/8200 %s/seen", root, root);
    assert_int_equal(guest_mount_visibility(&config, 8200), VISIBILITY_SEEN);
    run("umount %s/seen && rmdir %s/seen", root, root);
    assert_int_equal(guest_mount_visibility(&config, 8200), VISIBILITY_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export_is_read_only_and_found_again),
        cmocka_unit_test(test_stale_export_is_replaced),
        cmocka_unit_test(test_what_is_in_the_way_is_named),
        cmocka_unit_test(test_visibility),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
