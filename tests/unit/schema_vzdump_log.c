/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/reply.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

/* Reads lines up to NULL; returns the line after which services can start again, NULL if there is
 * none. */
static const char *follow(struct vzdump_log *log, const char *const *lines)
{
    const char *found = NULL;
    *log = (struct vzdump_log){0};
    for (; *lines; lines++) {
        vzdump_log_take(log, *lines);
        if (log->snapshotted && !found)
            found = *lines;
    }
    return found;
}

#define CONTAINER_HEAD \
    "INFO: starting new backup job: vzdump 8200 --storage local --mode snapshot --compress zstd", \
        "INFO: Starting Backup of VM 8200 (lxc)", "INFO: Backup started at 2026-08-01 02:00:03", \
        "INFO: status = running", "INFO: CT Name: web", \
        "INFO: including mount point rootfs ('/') in backup"
#define ARCHIVE \
    "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-8200-2026_08_01-02_00_03.tar.zst'"
#define CONTAINER_TAIL \
    "INFO: Total bytes written: 1234567890 (1.2GiB, 95MiB/s)", "INFO: archive file size: 517MB", \
        "INFO: cleanup temporary 'vzdump' snapshot", \
        "  Logical volume \"snap_vm-8200-disk-0_vzdump\" successfully removed.", \
        "INFO: Finished Backup of VM 8200 (00:00:23)", \
        "INFO: Backup finished at 2026-08-01 02:00:26", "INFO: Backup job finished successfully", \
        "TASK OK"

static void test_one_volume(void **state)
{
    (void)state;
    static const char *const lines[] = {
        CONTAINER_HEAD,
        "INFO: backup mode: snapshot",
        "INFO: ionice priority: 7",
        "INFO: create storage snapshot 'vzdump'",
        "  WARNING: You have not turned on protection against thin pools running out of space.",
        "  Logical volume \"snap_vm-8200-disk-0_vzdump\" created.",
        "  WARNING: Sum of all thin volume sizes (24.00 GiB) exceeds the size of thin pool.",
        ARCHIVE,
        CONTAINER_TAIL,
        NULL,
    };
    struct vzdump_log log;
    assert_string_equal(follow(&log, lines), ARCHIVE);
    assert_true(log.is_snapshot_mode && log.began_snapshot);
    assert_string_equal(log.problem, "");
}

static void test_several_volumes(void **state)
{
    (void)state;
    static const char *const lines[] = {
        CONTAINER_HEAD,
        "INFO: including mount point mp0 ('/data') in backup",
        "INFO: excluding bind mount point mp1 ('/etc/felhom-bootstrap') from backup (not a volume)",
        "INFO: backup mode: snapshot",
        "INFO: bandwidth limit: 10240 KiB/s",
        "INFO: ionice priority: 7",
        "INFO: suspend vm to make snapshot",
        "INFO: create storage snapshot 'vzdump'",
        "  Logical volume \"snap_vm-8200-disk-0_vzdump\" created.",
        "  Logical volume \"snap_vm-8200-disk-1_vzdump\" created.",
        "INFO: resume vm",
        "INFO: guest is online again after <1 seconds",
        ARCHIVE,
        CONTAINER_TAIL,
        NULL,
    };
    struct vzdump_log log;
    assert_string_equal(follow(&log, lines), ARCHIVE);
}

/* The guest is thawed here as well, but there is no snapshot. */
static void test_snapshot_failed(void **state)
{
    (void)state;
    static const char *const lines[] = {
        CONTAINER_HEAD,
        "INFO: backup mode: snapshot",
        "INFO: ionice priority: 7",
        "INFO: suspend vm to make snapshot",
        "INFO: create storage snapshot 'vzdump'",
        "snapshot create failed: starting cleanup",
        "INFO: resume vm",
        "INFO: guest is online again after 1 seconds",
        "ERROR: Backup of VM 8200 failed - lvcreate snapshot 'pve/snap_vm-8200-disk-0_vzdump' "
        "error:   Cannot create new thin volume, free space in thin pool pve/data reached "
        "threshold.",
        "INFO: Failed at 2026-08-01 02:00:05",
        "INFO: Backup job finished with errors",
        "TASK ERROR: job errors",
        NULL,
    };
    struct vzdump_log log;
    assert_null(follow(&log, lines));
    assert_true(log.began_snapshot);
    assert_string_equal(log.problem,
                        "lvcreate snapshot 'pve/snap_vm-8200-disk-0_vzdump' error:   Cannot create "
                        "new thin volume, free space in thin pool pve/data reached threshold.");
}

static void test_backup_server(void **state)
{
    (void)state;
    static const char *const lines[] = {
        CONTAINER_HEAD,
        "INFO: backup mode: snapshot",
        "INFO: create storage snapshot 'vzdump'",
        "INFO: creating Proxmox Backup Server archive 'ct/8200/2026-08-01T02:00:03Z'",
        NULL,
    };
    struct vzdump_log log;
    assert_string_equal(follow(&log, lines), lines[ARRAY_SIZE(lines) - 2]);
}

/* rsync copies while the guest runs, and again while the guest is suspended. */
static void test_fallback_to_suspend(void **state)
{
    (void)state;
    static const char *const lines[] = {
        CONTAINER_HEAD,
        "INFO: mode failure - some volumes do not support snapshots",
        "INFO: trying 'suspend' mode instead",
        "INFO: backup mode: suspend",
        "INFO: ionice priority: 7",
        "INFO: CT Name: web",
        "INFO: starting first sync /proc/4711/root/ to /var/tmp/vzdumptmp4711_8200/",
        "INFO: first sync finished - transferred 101.50M bytes in 2s",
        "INFO: suspending guest",
        "INFO: starting final sync /proc/4711/root/ to /var/tmp/vzdumptmp4711_8200/",
        "INFO: final sync finished - transferred 0 bytes in 0s",
        "INFO: resuming guest",
        "INFO: guest is online again after <1 seconds",
        ARCHIVE,
        "TASK OK",
        NULL,
    };
    struct vzdump_log log;
    assert_null(follow(&log, lines));
    assert_false(log.is_snapshot_mode || log.began_snapshot);
}

static void test_stop_mode(void **state)
{
    (void)state;
    static const char *const lines[] = {
        CONTAINER_HEAD, "INFO: backup mode: stop", "INFO: stopping virtual guest", ARCHIVE, NULL,
    };
    struct vzdump_log log;
    assert_null(follow(&log, lines));
}

#define MACHINE_HEAD \
    "INFO: Starting Backup of VM 8300 (qemu)", "INFO: status = running", "INFO: VM Name: db", \
        "INFO: include disk 'scsi0' 'local-lvm:vm-8300-disk-0' 32G"
#define STARTED "INFO: started backup task 'f8a4d6a5-5d5c-4d6e-9c3b-6d1b2f0a7c11'"

static void test_machine(void **state)
{
    (void)state;
    static const char *const lines[] = {
        MACHINE_HEAD,
        "INFO: backup mode: snapshot",
        "INFO: ionice priority: 7",
        "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-qemu-8300-X.vma.zst'",
        "INFO: issuing guest-agent 'fs-freeze' command",
        "INFO: starting backup via QMP command",
        "INFO: issuing guest-agent 'fs-thaw' command",
        STARTED,
        "INFO: resuming VM again",
        "INFO:   3% (1.1 GiB of 32.0 GiB) in 3s, read: 375.5 MiB/s, write: 230.4 MiB/s",
        NULL,
    };
    struct vzdump_log log;
    assert_string_equal(follow(&log, lines), STARTED);
    assert_false(log.began_snapshot);
}

static void test_machine_in_stop_mode(void **state)
{
    (void)state;
    static const char *const lines[] = {
        MACHINE_HEAD, "INFO: backup mode: stop", "INFO: creating vzdump archive '/x.vma'", STARTED,
        NULL,
    };
    struct vzdump_log log;
    assert_null(follow(&log, lines));
}

static void test_machine_with_provider(void **state)
{
    (void)state;
    static const char *const lines[] = {
        MACHINE_HEAD,
        "INFO: backup mode: snapshot",
        "INFO: creating Example archive 'x'",
        "INFO: setting up snapshot-access for backup",
        "INFO: resuming VM again",
        "INFO: starting NBD server",
        NULL,
    };
    struct vzdump_log log;
    assert_string_equal(follow(&log, lines), "INFO: starting NBD server");
}

/* The text before a message may change in later versions. */
static void test_other_prefixes(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "info: ", "INFO:", "  Info:\t"};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        static const char *const messages[] = {"Backup Mode: snapshot",
                                               "create storage snapshot 'vzdump'",
                                               "Creating vzdump archive '/x.tar'"};
        struct vzdump_log log = {0};
        for (size_t j = 0; j < ARRAY_SIZE(messages); j++) {
            char line[128];
            assert_false(log.snapshotted);
            (void)snprintf(line, sizeof line, "%s%s", prefixes[i], messages[j]);
            vzdump_log_take(&log, line);
        }
        assert_true(log.snapshotted);
    }
}

/* Similar texts: a file's name in a message of tar, a mode that begins like another. */
static void test_lookalikes(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "INFO:",
        "INFO: backup mode: snapshots",
        "INFO: backup mode: ",
        "INFO: tar: ./backup mode: snapshot: file changed as we read it",
        "INFO: create storage snapshot 'vzdump'",
        ARCHIVE,
        STARTED,
        NULL,
    };
    struct vzdump_log log;
    assert_null(follow(&log, lines));
    assert_false(log.is_snapshot_mode);
    vzdump_log_take(&log, "INFO: backup mode: snapshot\r");
    assert_true(log.is_snapshot_mode);
    vzdump_log_take(&log, "INFO: tar: ./creating vzdump archive 'x': file removed");
    vzdump_log_take(&log, "INFO: creating something else");
    vzdump_log_take(&log, "creating");
    assert_false(log.snapshotted);
}

static void test_first_problem_counts(void **state)
{
    (void)state;
    struct vzdump_log log = {0};
    vzdump_log_take(&log, "INFO: Backup of VM 8200 went well");
    assert_string_equal(log.problem, "");
    vzdump_log_take(&log, "ERROR: Backup of VM 8200 failed - CT is locked\x1B (snapshot)\n");
    vzdump_log_take(&log, "ERROR: Backup of VM 8200 failed - another thing");
    assert_string_equal(log.problem, "CT is locked? (snapshot)");
}

static void test_long_problem_is_cut(void **state)
{
    (void)state;
    char line[1024] = "ERROR: Backup of VM 8200 failed - ";
    size_t used = strlen(line);
    memset(line + used, 'x', sizeof line - used - 1);
    struct vzdump_log log = {0};
    vzdump_log_take(&log, line);
    assert_int_equal(strlen(log.problem), sizeof log.problem - 1);
    assert_string_equal(log.problem + sizeof log.problem - 6, "xx...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_volume),
        cmocka_unit_test(test_several_volumes),
        cmocka_unit_test(test_snapshot_failed),
        cmocka_unit_test(test_backup_server),
        cmocka_unit_test(test_fallback_to_suspend),
        cmocka_unit_test(test_stop_mode),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_machine_in_stop_mode),
        cmocka_unit_test(test_machine_with_provider),
        cmocka_unit_test(test_other_prefixes),
        cmocka_unit_test(test_lookalikes),
        cmocka_unit_test(test_first_problem_counts),
        cmocka_unit_test(test_long_problem_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
