/* SPDX-License-Identifier: Apache-2.0 */
/* The read-only export, and looking at it through a process's root; in their own mount
 * namespace. */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include "store/files/guest_mount.h"
#include "tests/unit/scratch.h"

static struct config config;

static int set_up(void **state)
{
    struct error error;
    if (scratch_make(state) < 0)
        return -1;
    cleanup_free char *text =
        mem_format("bootstrap: {guest_path: %s/seen}\n"
                   "paths: {guests: %s/guests, export: %s/export, cgroup: %s/cgroup}\n",
                   scratch, scratch, scratch, scratch);
    if (config_parse("agent.yaml", text, strlen(text), &config, &error) < 0)
        return -1;
    shell("mkdir -p guests/8200 seen && chmod 711 guests");
    return 0;
}

static int tear_down(void **state)
{
    while (umount2(in_scratch("export/8200"), MNT_DETACH) == 0)
        ;
    config_free(&config);
    return scratch_remove(state);
}

static int mounts_on_export(void)
{
    char line[1024];
    int count = 0;
    cleanup_free char *wanted = mem_format(" %s/export/8200 ", scratch);
    cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, wanted) != NULL;
    return count;
}

static int export(uint32_t vmid, struct error *error)
{
    cleanup_free char *path = mem_format("%s/guests/%u", scratch, vmid);
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
    const char *file = in_scratch("export/8200/new");
    assert_int_equal(open(file, O_WRONLY | O_CREAT, 0600), -1);
    assert_int_equal(errno, EROFS);
    shell("echo live > guests/8200/new");
    assert_int_equal(access(file, R_OK), 0);
}

static void test_stale_export_is_replaced(void **state)
{
    struct error error;
    (void)state;
    if (mounts_on_export() == 0)
        skip();
    shell("mv guests/8200 guests/old && mkdir guests/8200 && touch guests/8200/fresh");
    assert_int_equal(export(8200, &error), 0);
    assert_int_equal(mounts_on_export(), 1);
    assert_true(is_there("export/8200/fresh"));
}

static void test_what_is_in_the_way_is_named(void **state)
{
    struct error error;
    (void)state;
    shell("mkdir -p guests/8201 export && : > export/8201");
    assert_int_equal(export(8201, &error), -1);
    assert_non_null(strstr(error.message, "/export/8201: Not a directory"));
}

static void test_visibility(void **state)
{
    (void)state;
    assert_int_equal(guest_mount_visibility(&config, 8200), VISIBILITY_UNKNOWN);
    shell("mkdir -p cgroup/lxc/8200/ns/init.scope && : > cgroup/lxc/8200/cgroup.procs && "
          "echo %d > cgroup/lxc/8200/ns/init.scope/cgroup.procs",
          getpid());
    assert_int_equal(guest_mount_visibility(&config, 8200), VISIBILITY_MISSING);
    if (mounts_on_export() == 0)
        skip();
    shell("mount --bind export/8200 seen");
    assert_int_equal(guest_mount_visibility(&config, 8200), VISIBILITY_SEEN);
    shell("umount seen && rmdir seen");
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
