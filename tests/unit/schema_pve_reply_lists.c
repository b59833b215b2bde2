/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/pve/reply.h"
#include "tests/unit/test.h"

#define ODD "Proxmox: its reply is not as documented: "
#define ME  "felhom-agent@pve!agent"

static struct error error;

static struct pve_reply answer(const char *body)
{
    return (struct pve_reply){200, "OK", body, strlen(body)};
}

static void assert_odd(int result, const char *why)
{
    cleanup_free char *message = mem_format(ODD "%s", why);
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
    assert_string_equal(error.message, message);
}

/* --- tasks --- */

/* As Proxmox lists it: a running task has the token's full user name, one that has ended does
 * not. */
#define TASK(upid) \
    "{\"upid\":\"" upid "\",\"user\":\"felhom-agent@pve\",\"id\":\"x\",\"type\":\"y\"}"
#define AT(seconds_hex, type, vmid, user) \
    "UPID:pve:0000A3F1:01B2C3D4:" seconds_hex ":" type ":" vmid ":" user ":"

static void check_found(const char *body, int64_t since, const char *expected)
{
    char upid[UPID_SIZE] = "before";
    const struct pve_reply reply = answer(body);
    assert_int_equal(pve_reply_find_task(&reply, "vzdump", 8200, ME, since, upid, &error), 0);
    assert_string_equal(upid, expected);
}

static void test_oldest_task(void **state)
{
    (void)state;
    static const char body[] = "{\"data\":[" TASK(AT("6553F103", "vzdump", "8200", ME)) "," /**/
        TASK(AT("6553F101", "vzdump", "8200", ME)) ","   /* the oldest that fits */
        TASK(AT("6553F102", "vzdump", "8200", ME)) ","   /**/
        TASK(AT("6553F0FF", "vzdump", "8200", ME)) "]}"; /* too early */
    check_found(body, 0x6553F100, AT("6553F101", "vzdump", "8200", ME));
    check_found(body, 0x6553F101, AT("6553F101", "vzdump", "8200", ME));
    check_found(body, 0x6553F102, AT("6553F102", "vzdump", "8200", ME));
    check_found(body, 0, AT("6553F0FF", "vzdump", "8200", ME));
    check_found(body, 0x6553F104, "");
    check_found(body, INT64_MAX, "");
    check_found(body, INT64_MIN, AT("6553F0FF", "vzdump", "8200", ME));
}

static void test_others_tasks(void **state)
{
    (void)state;
    static const char body[] =
        "{\"data\":[" TASK(AT("6553F101", "vzdump", "8200", "root@pam")) "," TASK(AT("6553F101", "vzdump", "8200", "felhom-agent@pve")) "," TASK(
            AT("6553F101", "vzdump", "8200",
               "felhom-agent@pve!agent2")) "," TASK(AT("6553F101", "vzdump", "82000",
                                                       ME)) "," TASK(AT("6553F101", "vzdump", "",
                                                                        ME)) "," TASK(AT("6553F101",
                                                                                         "vzdump",
                                                                                         "08200",
                                                                                         ME)) "," TASK(AT("6553F101",
                                                                                                          "vzsnapshot",
                                                                                                          "8200",
                                                                                                          ME)) "," TASK("UPID:odd") "]}";
    check_found(body, 0, "");
    check_found("{\"data\":[]}", 0, "");
}

static void test_odd_tasks(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"data\":[{}]}",
        "{\"data\":[{\"upid\":17}]}",
        "{\"data\":[{\"upid\":null}]}",
        "{\"data\":[\"x\"]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        char upid[UPID_SIZE] = "untouched";
        const struct pve_reply reply = answer(bodies[i]);
        assert_odd(pve_reply_find_task(&reply, "vzdump", 8200, ME, 0, upid, &error),
                   "a task has no UPID");
        assert_string_equal(upid, "untouched");
    }
}

/* --- snapshots --- */

static void test_snapshots(void **state)
{
    (void)state;
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    const struct pve_reply reply = answer(
        "{\"data\":["
        "{\"name\":\"later\",\"snaptime\":1700000100,\"description\":\"two\\nlines\\n\","
        "\"parent\":\"first\"},"
        "{\"name\":\"current\",\"digest\":\"0123\",\"running\":1,\"parent\":\"later\","
        "\"description\":\"You are here!\"},"
        "{\"name\":\"vzdump\",\"snaptime\":1700000200,\"description\":\"vzdump backup snapshot\"},"
        "{\"name\":\"half\",\"snaptime\":1700000300,\"description\":\"\",\"snapstate\":\"prepare\"}"
        ","
        "{\"name\":\"first\",\"snaptime\":\"1700000000\",\"description\":\"\",\"vmstate\":0},"
        "{\"name\":\"bb\",\"snaptime\":0},{\"name\":\"aa\",\"parent\":null}]}");
    assert_int_equal(pve_reply_snapshots(&reply, &snapshots, &error), 0);
    assert_int_equal(snapshots.count, 4);
    assert_string_equal(snapshots.items[0].name, "aa");
    assert_string_equal(snapshots.items[1].name, "bb");
    assert_string_equal(snapshots.items[2].name, "first");
    assert_string_equal(snapshots.items[2].parent, "");
    assert_string_equal(snapshots.items[2].description, "");
    assert_int_equal(snapshots.items[2].at, 1700000000);
    assert_string_equal(snapshots.items[3].name, "later");
    assert_string_equal(snapshots.items[3].parent, "first");
    assert_string_equal(snapshots.items[3].description, "two\nlines");
}

/* Proxmox keeps a description as comments and ends each of them with a newline when it reads them.
 */
static void test_newline_of_the_comment(void **state)
{
    (void)state;
    static const char *const descriptions[][2] = {
        {"", ""}, {"plain", "plain"}, {"one\\n", "one"}, {"one\\n\\n", "one\n"}, {"\\n", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(descriptions); i++) {
        cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
        cleanup_free char *body =
            mem_format("{\"data\":[{\"name\":\"aa\",\"description\":\"%s\"}]}", descriptions[i][0]);
        const struct pve_reply reply = answer(body);
        assert_int_equal(pve_reply_snapshots(&reply, &snapshots, &error), 0);
        assert_string_equal(snapshots.items[0].description, descriptions[i][1]);
    }
}

static void test_no_snapshots(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"data\":[]}",
        "{\"data\":[{\"name\":\"current\",\"running\":0}]}",
        /* Proxmox refuses this name for a snapshot. */
        "{\"data\":[{\"name\":\"a23456789012345678901234567890123456789012345\"}]}",
        "{\"data\":[{\"name\":\"../x\"}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
        const struct pve_reply reply = answer(bodies[i]);
        assert_int_equal(pve_reply_snapshots(&reply, &snapshots, &error), 0);
        assert_int_equal(snapshots.count, 0);
    }
}

static void test_odd_parent(void **state)
{
    (void)state;
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    const struct pve_reply reply = answer(
        "{\"data\":[{\"name\":\"aa\",\"parent\":\"a23456789012345678901234567890123456789012\"}]}");
    assert_int_equal(pve_reply_snapshots(&reply, &snapshots, &error), 0);
    assert_string_equal(snapshots.items[0].parent, "");
}

static void test_odd_snapshots(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"data\":[{}]}",
        "{\"data\":[{\"name\":17}]}",
        "{\"data\":[{\"name\":null}]}",
        "{\"data\":[{\"name\":\"aa\"},{\"name\":\"bb\",\"snaptime\":\"yesterday\"}]}",
        "{\"data\":[{\"name\":\"aa\",\"snaptime\":1.5}]}",
        "{\"data\":[{\"name\":\"aa\",\"description\":17}]}",
        "{\"data\":[{\"name\":\"aa\",\"parent\":[]}]}",
        "{\"data\":[\"aa\"]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct pve_snapshots snapshots = {.count = 77};
        const struct pve_reply reply = answer(bodies[i]);
        assert_odd(pve_reply_snapshots(&reply, &snapshots, &error),
                   "a snapshot has no name, or what it has is of another type");
        assert_int_equal(snapshots.count, 77);
    }
}

/* --- backups --- */

#define BACKUP(name, more) "{\"volid\":\"local:backup/" name "\",\"content\":\"backup\"," more "}"

static void check_newest(const char *body, const char *archive, int64_t at, int64_t size_bytes)
{
    struct pve_backup backup = {.archive = "before"};
    const struct pve_reply reply = answer(body);
    assert_int_equal(pve_reply_newest_backup(&reply, 8200, &backup, &error), 0);
    assert_string_equal(backup.archive, archive);
    assert_int_equal(backup.at, at);
    assert_int_equal(backup.size_bytes, size_bytes);
}

static void test_newest_backup(void **state)
{
    (void)state;
    check_newest("{\"data\":["                                                    /**/
                 BACKUP("a", "\"vmid\":8200,\"ctime\":1700000000,\"size\":1") "," /**/
                 BACKUP("b", "\"vmid\":8200,\"ctime\":1700000002,\"size\":4294967296000,"
                             "\"format\":\"tar.zst\",\"subtype\":\"lxc\",\"notes\":\"x\"") "," /**/
                 BACKUP("c", "\"vmid\":8200,\"ctime\":1700000001,\"size\":3") ","              /**/
                 BACKUP("d", "\"vmid\":8300,\"ctime\":1700000009,\"size\":3") "]}",            /**/
                 "local:backup/b", 1700000002, 4294967296000);
}

static void test_same_second(void **state)
{
    (void)state;
    check_newest("{\"data\":[" BACKUP("y", "\"vmid\":8200,\"ctime\":17,\"size\":1") "," /**/
                 BACKUP("z", "\"vmid\":\"8200\",\"ctime\":\"17\",\"size\":\"2\"") ","   /**/
                 BACKUP("x", "\"vmid\":8200,\"ctime\":17,\"size\":3") "]}",             /**/
                 "local:backup/z", 17, 2);
}

static void test_unknown_size(void **state)
{
    (void)state;
    check_newest("{\"data\":[" BACKUP("a", "\"vmid\":8200,\"ctime\":17") "]}", "local:backup/a", 17,
                 -1);
    check_newest("{\"data\":[" BACKUP("a", "\"vmid\":8200,\"ctime\":17,\"size\":-5") "]}",
                 "local:backup/a", 17, -1);
    check_newest("{\"data\":[{\"volid\":\"pbs:backup/ct/8200/x\",\"vmid\":8200,\"size\":null}]}",
                 "pbs:backup/ct/8200/x", 0, -1);
}

/* What a storage reports where the exact size would take long to find out. */
static void test_approximate_size(void **state)
{
    (void)state;
    check_newest(
        "{\"data\":[" BACKUP("a", "\"vmid\":8200,\"ctime\":17,\"approximate-size\":99") "]}",
        "local:backup/a", 17, 99);
    check_newest("{\"data\":[" BACKUP("a", "\"vmid\":8200,\"size\":7,\"approximate-size\":99") "]}",
                 "local:backup/a", 0, 7);
    check_newest("{\"data\":[" BACKUP("a", "\"vmid\":8200,\"size\":null,"
                                           "\"approximate-size\":99") "]}",
                 "local:backup/a", 0, 99);
}

static void test_no_backup(void **state)
{
    (void)state;
    check_newest("{\"data\":[]}", "", 0, -1);
    check_newest("{\"data\":[" BACKUP("a", "\"ctime\":17,\"size\":1") "]}", "", 0, -1);
    check_newest("{\"data\":[{\"volid\":\"local:iso/x.iso\",\"content\":\"iso\",\"vmid\":8200}]}",
                 "", 0, -1);
    check_newest("{\"data\":[" BACKUP("a", "\"vmid\":82000,\"ctime\":17,\"size\":1") "]}", "", 0,
                 -1);
    check_newest("{\"data\":[" BACKUP("a", "\"vmid\":4294975496,\"ctime\":17") "]}", "", 0, -1);
}

static void test_odd_backups(void **state)
{
    (void)state;
    char longest[700];
    memset(longest, 'a', sizeof longest);
    cleanup_free char *too_long =
        mem_format("{\"data\":[{\"volid\":\"%.*s\",\"vmid\":8200}]}", 512, longest);
    const char *const bodies[] = {
        too_long,
        "{\"data\":[{}]}",
        "{\"data\":[{\"volid\":17}]}",
        "{\"data\":[17]}",
        "{\"data\":[" BACKUP("a", "\"vmid\":\"x\"") "]}",
        "{\"data\":[" BACKUP("a", "\"vmid\":8200,\"ctime\":\"x\"") "]}",
        "{\"data\":[" BACKUP("a", "\"vmid\":8200,\"size\":1e20") "]}",
        "{\"data\":[" BACKUP("a", "\"vmid\":8200,\"approximate-size\":\"x\"") "]}",
        "{\"data\":[{\"volid\":\"x\",\"content\":17}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct pve_backup backup = {.archive = "untouched"};
        const struct pve_reply reply = answer(bodies[i]);
        assert_odd(pve_reply_newest_backup(&reply, 8200, &backup, &error),
                   "a backup has no volume id, or what it has is of another type");
        assert_string_equal(backup.archive, "untouched");
    }
    cleanup_free char *just_fits =
        mem_format("{\"data\":[{\"volid\":\"%.*s\",\"vmid\":8200}]}", 511, longest);
    longest[511] = '\0';
    check_newest(just_fits, longest, 0, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oldest_task),
        cmocka_unit_test(test_others_tasks),
        cmocka_unit_test(test_odd_tasks),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_newline_of_the_comment),
        cmocka_unit_test(test_approximate_size),
        cmocka_unit_test(test_no_snapshots),
        cmocka_unit_test(test_odd_parent),
        cmocka_unit_test(test_odd_snapshots),
        cmocka_unit_test(test_newest_backup),
        cmocka_unit_test(test_same_second),
        cmocka_unit_test(test_unknown_size),
        cmocka_unit_test(test_no_backup),
        cmocka_unit_test(test_odd_backups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
