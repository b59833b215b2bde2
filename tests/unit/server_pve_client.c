/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a stand-in for Proxmox, over TLS. */
#include "server/jobs/pve_client.h"

#include <inttypes.h>

#include "schema/base/units.h"
#include "store/base/clock.h"
#include "tests/unit/standin.h"

#define USER   "felhom-agent@pve!agent"
#define SECRET "0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa"
#define TOKEN  USER "=" SECRET "\n"

#define GUESTS \
    "{\"8200\": {\"type\": \"lxc\", \"running\": true}, \"8201\": {\"type\": \"lxc\"}," \
    " \"8202\": {\"type\": \"lxc\", \"running\": true, \"node\": \"elsewhere\"}," \
    " \"8203\": {\"type\": \"qemu\", \"running\": true}}"

#define PRIVILEGES "[\"VM.Audit\", \"VM.Snapshot\", \"VM.PowerMgmt\", \"VM.Backup\"]"
#define TOKENS \
    "{\"" USER "\": {\"secret\": \"" SECRET "\", \"privileges\": {\"/vms/8200\": " PRIVILEGES \
    ", \"/vms/8203\": " PRIVILEGES ", \"/vms/8202\": " PRIVILEGES \
    ", \"/storage/local\": [\"Datastore.AllocateSpace\"]}}}"

static const struct pve_guest container = {GUEST_LXC, 8200};

static struct config config;
static struct pve_client *client;
static atomic_bool aborted;
static struct pve_call call;
static struct error error;
static char upid[UPID_SIZE];

/* --- before and after --- */

static void read_config(const char *ca_file, const char *storage)
{
    cleanup_free char *text = mem_format(
        "pve: {endpoint: '%s', token_file: %s/pve.token, ca_file: %s/%s}\nbackup: {storage: %s}\n",
        standin.url, scratch, scratch, ca_file, storage);
    config_free(&config);
    if (config_parse("agent.yaml", text, strlen(text), &config, &error) < 0)
        fail_test("%s", error.message);
}

static int begin_group(void **state)
{
    if (scratch_make(state) < 0)
        return -1;
    standin_certificates();
    standin_write("tokens.json", TOKENS);
    standin_start("proxmox");
    return 0;
}

static int end_group(void **state)
{
    standin_stop();
    config_free(&config);
    return scratch_remove(state);
}

static void standin_reset(void)
{
    cleanup_close int lock = standin_lock();
    standin_write("guests.json", GUESTS);
    standin_write("tasks.json", "[]");
    standin_write("content.json", "{}");
    standin_write("control.json", "{\"task_seconds\": 0.2}");
}

static int set_up(void **state)
{
    (void)state;
    standin_reset();
    standin_write("pve.token", TOKEN);
    read_config("ca.pem", "local");
    error = (struct error){.kind = ERROR_NONE};
    (void)strcpy(upid, "untouched");
    atomic_store(&aborted, false);
    client = pve_client_new(&aborted, NULL);
    call = (struct pve_call){client, &config, "pve", clock_steady_us() + 600 * SECOND_US};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pve_client_free(client);
    return 0;
}

/* Checks a failure's message, and that it contains no secret. */
static void assert_failed(int result, enum error_kind kind, const char *message)
{
    assert_int_equal(result, -1);
    assert_string_equal(error.message, message);
    assert_int_equal(error.kind, kind);
    assert_null(strstr(error.message, SECRET));
}

/* The same for a failure below HTTP: its message names the peer. */
static void assert_failed_beneath(int result, enum error_kind kind, const char *what)
{
    cleanup_free char *message = mem_format("%s: %s", standin.url, what);
    assert_failed(result, kind, message);
}

static void assert_done(int result)
{
    if (result != 0)
        fail_test("%s", error.message);
}

static int create(const char *name)
{
    return pve_snapshot_create(&call, &container, name, NULL, upid, &error);
}

static int begin_backup(void)
{
    return pve_backup_begin(&call, 8200, upid, &error);
}

static struct pve_task_status wait_for_end(void)
{
    struct pve_task_status status;
    for (int i = 0; i < 30000; i++) {
        assert_done(pve_task_status(&call, upid, &status, &error));
        if (!status.running)
            return status;
        (void)poll(NULL, 0, 20);
    }
    fail_test("%s does not end", upid);
    return status;
}

static void assert_succeeds(void)
{
    const struct pve_task_status status = wait_for_end();
    assert_string_equal(status.exitstatus, "OK");
    assert_true(status.succeeded);
}

static void assert_exits(const char *exitstatus)
{
    const struct pve_task_status status = wait_for_end();
    assert_string_equal(status.exitstatus, exitstatus);
    assert_false(status.succeeded);
}

/* --- the token --- */

static void test_token(void **state)
{
    (void)state;
    static const char *const users[] = {
        USER,
        "root@pam!x1",
        "a=b@pve!agent",
        "m\xC3\xBCller@ldap.example-1!a-b_c.d",
        "a@b@pve!agent",
        "a!b@pve!agent",
    };
    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        char user[API_TOKEN_USER_SIZE];
        cleanup_free char *line = mem_format("%s=%s", users[i], SECRET);
        standin_write("pve.token", line);
        assert_done(pve_token_check(&config, user, &error));
        assert_string_equal(user, users[i]);
    }
    assert_done(pve_token_check(&config, NULL, &error));
}

static void test_no_token(void **state)
{
    (void)state;
    shell("rm pve.token");
    static const char message[] =
        "there is no Proxmox API token: felhomctl init --pve-token makes one";
    assert_failed(pve_token_check(&config, NULL, &error), ERROR_MISSING, message);
    assert_failed(create("before"), ERROR_MISSING, message);
    assert_false(pve_may_have_begun(client));
}

static void test_odd_tokens(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n",
        USER,
        USER "=",
        USER "=" SECRET "\n\n",
        USER "=" SECRET "\r\n",
        USER "=" SECRET " ",
        " " USER "=" SECRET,
        USER "=" SECRET "\n" USER "=" SECRET,
        USER "=0f4a1c5297d34bb58a556d4f0e21c9aa",
        USER "=0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9ag",
        USER "=" SECRET "a",
        "PVEAPIToken=" USER " " SECRET,
        "felhom-agent@pve=" SECRET,
        "felhom-agent!agent=" SECRET,
        "@pve!agent=" SECRET,
        "felhom-agent@!agent=" SECRET,
        "felhom-agent@pve!=" SECRET,
        "felhom-agent@pve!a=" SECRET,
        "felhom-agent@pve!1ab=" SECRET,
        "felhom-agent@p/e!agent=" SECRET,
        "felhom agent@pve!agent=" SECRET,
        "felhom:agent@pve!agent=" SECRET,
        "felhom%agent@pve!agent=" SECRET,
        "felhom;agent@pve!agent=" SECRET,
        "felhom\x7F"
        "agent@pve!agent=" SECRET,
    };
    cleanup_free char *message = mem_format("pve.token_file: %s/pve.token: does not hold one line "
                                            "USER@REALM!TOKENID=UUID",
                                            scratch);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        standin_write("pve.token", texts[i]);
        if (pve_token_check(&config, NULL, &error) == 0)
            fail_test("accepted: %s", texts[i]);
        assert_failed(-1, ERROR_INVALID, message);
    }
    shell("printf '%%s\\0\\n' '%s=%s' >pve.token", USER, SECRET);
    assert_failed(pve_token_check(&config, NULL, &error), ERROR_INVALID, message);
}

static void test_token_of_length(void **state)
{
    (void)state;
    static const struct {
        int letters;
        int result;
    } cases[] = {{API_TOKEN_USER_SIZE - 1 - 10, 0}, {API_TOKEN_USER_SIZE - 10, -1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char user[API_TOKEN_USER_SIZE];
        cleanup_free char *line = mem_format("%0*d@pve!agent=%s", cases[i].letters, 0, SECRET);
        standin_write("pve.token", line);
        assert_int_equal(pve_token_check(&config, user, &error), cases[i].result);
    }
    shell("head -c 5000 /dev/zero >pve.token");
    cleanup_free char *message =
        mem_format("pve.token_file: %s/pve.token: larger than 4096 bytes", scratch);
    assert_failed(pve_token_check(&config, NULL, &error), ERROR_INVALID, message);
}

static int check_unreadable(void)
{
    struct error problem;
    if (geteuid() == 0)
        EXPECT(setgid(65534) == 0 && setuid(65534) == 0);
    EXPECT(pve_token_check(&config, NULL, &problem) == -1);
    EXPECT(problem.kind == ERROR_DENIED);
    EXPECT(strstr(problem.message, "pve.token: Permission denied"));
    return 0;
}

static void test_unreadable_token(void **state)
{
    (void)state;
    shell("chmod 0 pve.token");
    in_child(check_unreadable);
    shell("mv pve.token pve.token.away && mkdir pve.token");
    cleanup_free char *message =
        mem_format("pve.token_file: %s/pve.token: not a regular file", scratch);
    assert_failed(pve_token_check(&config, NULL, &error), ERROR_INVALID, message);
    shell("rmdir pve.token");
}

/* --- snapshots --- */

static void test_snapshot(void **state)
{
    (void)state;
    static const char description[] = "a&b=c+d %41;\n\xC3\xA4 \"q\" ?#/";
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    assert_done(pve_snapshot_create(&call, &container, "first", description, upid, &error));
    assert_succeeds();
    assert_done(create("second"));
    assert_succeeds();
    assert_done(pve_snapshots(&call, &container, &snapshots, &error));
    assert_int_equal(snapshots.count, 2);
    assert_string_equal(snapshots.items[0].name, "first");
    assert_string_equal(snapshots.items[0].description, description);
    assert_string_equal(snapshots.items[0].parent, "");
    assert_true(snapshots.items[0].at > 1700000000);
    assert_string_equal(snapshots.items[1].name, "second");
    assert_string_equal(snapshots.items[1].parent, "first");
    assert_string_equal(snapshots.items[1].description, "");
}

/* A request that starts a task may still fail in the task. */
static void test_snapshot_exists(void **state)
{
    (void)state;
    assert_done(create("twice"));
    assert_succeeds();
    assert_done(create("twice"));
    assert_exits("snapshot name 'twice' already used");
}

static void test_snapshot_of_machine(void **state)
{
    (void)state;
    const struct pve_guest machine = {GUEST_QEMU, 8203};
    struct upid parsed;
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    assert_done(pve_snapshot_create(&call, &machine, "first", "", upid, &error));
    assert_true(upid_parse(upid, &parsed));
    assert_string_equal(parsed.type, "qmsnapshot");
    assert_succeeds();
    assert_done(pve_snapshots(&call, &machine, &snapshots, &error));
    assert_int_equal(snapshots.count, 1);
    assert_done(pve_snapshot_rollback(&call, &machine, "first", true, upid, &error));
    assert_succeeds();
}

static void assert_runs(bool expected)
{
    bool runs = !expected;
    assert_done(pve_guest_runs(&call, &container, &runs, &error));
    assert_int_equal(runs, expected);
}

static void test_rollback(void **state)
{
    (void)state;
    assert_done(create("before"));
    assert_succeeds();
    assert_done(pve_snapshot_rollback(&call, &container, "before", false, upid, &error));
    assert_succeeds();
    assert_runs(false);
    assert_done(pve_snapshot_rollback(&call, &container, "before", true, upid, &error));
    assert_succeeds();
    /* The start is a task of its own. */
    assert_done(pve_task_find(&call, "vzstart", 8200, 0, upid, &error));
    assert_succeeds();
    assert_runs(true);
    assert_done(pve_snapshot_rollback(&call, &container, "nowhere", true, upid, &error));
    assert_exits("snapshot 'nowhere' does not exist");
}

/* A name with slashes and dots stays a name and leads to no other path. */
static void test_name_is_escaped(void **state)
{
    (void)state;
    assert_failed(pve_snapshot_rollback(&call, &container, "a?b#c%2F&d", false, upid, &error),
                  ERROR_INVALID,
                  "Proxmox: 400 Parameter verification failed: snapname: invalid format - invalid "
                  "configuration ID 'a?b#c%2F&d'");
}

/* --- backups --- */

struct reading {
    struct vzdump_log log;
    int64_t last;
    size_t count;
    char text[256];
};

static void read_line(int64_t number, const char *line, void *context)
{
    struct reading *reading = context;
    assert_int_equal(number, reading->last + 1);
    reading->last = number;
    reading->count++;
    (void)snprintf(reading->text, sizeof reading->text, "%s", line);
    vzdump_log_take(&reading->log, line);
}

static int read_log(struct reading *reading, int limit)
{
    return pve_task_log(&call, upid, reading->last, limit, read_line, reading, &error);
}

static void test_backup(void **state)
{
    (void)state;
    struct reading reading = {0};
    struct pve_backup backup;
    assert_done(pve_newest_backup(&call, 8200, &backup, &error));
    assert_string_equal(backup.archive, "");
    assert_done(begin_backup());
    assert_succeeds();
    assert_done(read_log(&reading, 500));
    assert_string_equal(reading.text, "TASK OK");
    assert_true(reading.log.snapshotted);
    assert_done(pve_newest_backup(&call, 8200, &backup, &error));
    assert_memory_equal(backup.archive, "local:backup/vzdump-lxc-8200-", 29);
    assert_int_equal(backup.size_bytes, 123456789);
    assert_true(backup.at > 1700000000);
    assert_done(pve_newest_backup(&call, 8201, &backup, &error));
    assert_string_equal(backup.archive, "");
}

static void test_backup_parameters(void **state)
{
    (void)state;
    assert_done(begin_backup());
    assert_succeeds();
    assert_output("jq -c '.[0].parameters' tasks.json",
                  "{\"vmid\":\"8200\",\"storage\":\"local\",\"mode\":\"snapshot\",\"compress\":"
                  "\"zstd\"}");
}

/* Reads the log as it grows; the first request may come before the first line. */
static void test_log_in_pieces(void **state)
{
    (void)state;
    struct reading reading = {0};
    standin_write("control.json", "{\"task_seconds\": 1}");
    assert_done(begin_backup());
    for (int i = 0; i < 30000 && strncmp(reading.text, "TASK", 4) != 0; i++)
        assert_done(read_log(&reading, 3));
    assert_string_equal(reading.text, "TASK OK");
    assert_true(reading.log.snapshotted);
    size_t count = reading.count;
    assert_done(read_log(&reading, 3));
    assert_int_equal(reading.count, count);
}

static void test_failed_backup(void **state)
{
    (void)state;
    struct reading reading = {0};
    standin_write("control.json", "{\"task_seconds\": 0.1, \"task_fail\": \"no space\", "
                                  "\"task_fail_after\": \"create storage\"}");
    assert_done(begin_backup());
    assert_exits("job errors");
    assert_done(read_log(&reading, 500));
    assert_string_equal(reading.log.problem, "no space");
    assert_false(reading.log.snapshotted);
}

static void test_warnings(void **state)
{
    (void)state;
    standin_write("control.json", "{\"task_seconds\": 0.1, \"task_warnings\": 2}");
    assert_done(begin_backup());
    const struct pve_task_status status = wait_for_end();
    assert_string_equal(status.exitstatus, "WARNINGS: 2");
    assert_true(status.succeeded);
}

static void test_permission_in_task(void **state)
{
    (void)state;
    assert_done(pve_backup_begin(&call, 8201, upid, &error));
    assert_exits("403 Permission check failed (/vms/8201, VM.Backup)");
}

static void test_backup_elsewhere(void **state)
{
    (void)state;
    assert_failed(pve_backup_begin(&call, 8202, upid, &error), ERROR_MISSING,
                  "Proxmox: it has begun nothing, as the guest is not on this node");
    assert_false(pve_may_have_begun(client));
    assert_string_equal(upid, "untouched");
}

/* --- tasks --- */

static void test_find_task(void **state)
{
    (void)state;
    char found[UPID_SIZE];
    struct upid parsed;
    assert_done(create("first"));
    assert_true(upid_parse(upid, &parsed));
    assert_done(pve_task_find(&call, "vzsnapshot", 8200, parsed.started_at, found, &error));
    assert_string_equal(found, upid); /* while it runs */
    assert_succeeds();
    assert_done(pve_task_find(&call, "vzsnapshot", 8200, parsed.started_at, found, &error));
    assert_string_equal(found, upid); /* and afterwards */
    assert_done(pve_task_find(&call, "vzsnapshot", 8200, parsed.started_at + 1, found, &error));
    assert_string_equal(found, "");
    assert_done(pve_task_find(&call, "vzrollback", 8200, parsed.started_at, found, &error));
    assert_string_equal(found, "");
    assert_done(pve_task_find(&call, "vzsnapshot", 8203, parsed.started_at, found, &error));
    assert_string_equal(found, "");
}

static void test_lost_task(void **state)
{
    (void)state;
    struct pve_task_status status;
    char found[UPID_SIZE];
    standin_write("control.json", "{\"task_lost\": true}");
    assert_done(create("first"));
    assert_failed(pve_task_status(&call, upid, &status, &error), ERROR_MISSING,
                  "Proxmox: 400 Parameter verification failed: upid: no such task");
    assert_done(pve_task_find(&call, "vzsnapshot", 8200, 0, found, &error));
    assert_string_equal(found, "");
}

static void test_task_over_a_restart(void **state)
{
    (void)state;
    struct pve_task_status status;
    standin_write("control.json", "{\"task_seconds\": 1}");
    assert_done(begin_backup());
    standin_stop();
    assert_int_equal(pve_task_status(&call, upid, &status, &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    standin_start("proxmox");
    assert_succeeds();
}

/* --- refusals --- */

static void test_wrong_token(void **state)
{
    (void)state;
    standin_write("pve.token", "nobody@pve!agent=" SECRET "\n");
    assert_failed(create("first"), ERROR_DENIED, "Proxmox: 401 Authentication failed!");
    assert_false(pve_may_have_begun(client));
    standin_write("pve.token", TOKEN); /* counts at once */
    assert_done(create("first"));
    assert_succeeds();
}

static void test_missing_privileges(void **state)
{
    (void)state;
    const struct pve_guest other = {GUEST_LXC, 8201};
    struct pve_snapshots snapshots;
    struct pve_backup backup;
    assert_failed(pve_snapshot_create(&call, &other, "first", NULL, upid, &error), ERROR_DENIED,
                  "Proxmox: 403 Permission check failed (/vms/8201, VM.Snapshot)");
    assert_false(pve_may_have_begun(client));
    assert_failed(pve_snapshots(&call, &other, &snapshots, &error), ERROR_DENIED,
                  "Proxmox: 403 Permission check failed (/vms/8201, VM.Audit)");
    read_config("ca.pem", "usb-backup");
    assert_failed(begin_backup(), ERROR_DENIED,
                  "Proxmox: 403 Permission check failed (/storage/usb-backup, "
                  "Datastore.AllocateSpace)");
    assert_failed(pve_newest_backup(&call, 8200, &backup, &error), ERROR_DENIED,
                  "Proxmox: 403 Permission check failed (/storage/usb-backup, "
                  "Datastore.Audit|Datastore.AllocateSpace)");
}

static void test_invalid_parameter(void **state)
{
    (void)state;
    assert_failed(create("no good"), ERROR_INVALID,
                  "Proxmox: 400 Parameter verification failed: snapname: invalid format - invalid "
                  "configuration ID 'no good'");
    assert_false(pve_may_have_begun(client));
}

static void test_unknown_node(void **state)
{
    (void)state;
    standin_write("control.json", "{\"node\": \"pve\"}");
    call.node = "p v/e";
    assert_failed(create("first"), ERROR_CONFLICT,
                  "Proxmox: 501 Method 'POST /nodes/p v/e/lxc/8200/snapshot' not implemented");
}

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum error_kind kind;
        bool may_have_begun;
    } cases[] = {
        {301, ERROR_CONFLICT, true}, {400, ERROR_INVALID, false},  {401, ERROR_DENIED, false},
        {403, ERROR_DENIED, false},  {404, ERROR_MISSING, false},  {429, ERROR_CONFLICT, false},
        {500, ERROR_CONFLICT, true}, {501, ERROR_CONFLICT, false}, {502, ERROR_BUSY, true},
        {503, ERROR_BUSY, true},     {504, ERROR_BUSY, true},      {595, ERROR_BUSY, false},
        {596, ERROR_BUSY, true},     {599, ERROR_BUSY, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *control =
            mem_format("{\"status\": %d, \"reason\": \"so it is\"}", cases[i].status);
        cleanup_free char *message = mem_format("Proxmox: %d so it is", cases[i].status);
        standin_write("control.json", control);
        assert_failed(begin_backup(), cases[i].kind, message);
        assert_int_equal(pve_may_have_begun(client), cases[i].may_have_begun);
    }
}

/* --- trouble on the way --- */

static void test_wrong_ca(void **state)
{
    (void)state;
    read_config("other-ca.pem", "local");
    cleanup_free char *what =
        mem_format("its certificate is not signed by %s/other-ca.pem", scratch);
    assert_failed_beneath(begin_backup(), ERROR_DENIED, what);
    assert_false(pve_may_have_begun(client));
    assert_output("jq -c length tasks.json", "0");
}

static void test_nobody_listens(void **state)
{
    (void)state;
    standin_stop();
    assert_failed_beneath(begin_backup(), ERROR_BUSY, "no connection: Connection refused");
    assert_false(pve_may_have_begun(client));
    standin_start("proxmox");
}

static void test_too_slow(void **state)
{
    (void)state;
    standin_write("control.json", "{\"hold\": true}");
    call.deadline_us = clock_steady_us() + 3 * SECOND_US;
    const int64_t begun_us = clock_steady_us();
    assert_int_equal(begin_backup(), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_true(pve_may_have_begun(client));
    assert_true(clock_steady_us() - begun_us < 600 * SECOND_US);
    standin_write("control.json", "{}");
    call.deadline_us = clock_steady_us() + 600 * SECOND_US;
    (void)strcpy(upid, "");
    for (int i = 0; i < 30000 && !*upid; i++) {
        assert_done(pve_task_find(&call, "vzdump", 8200, 0, upid, &error));
        (void)poll(NULL, 0, 20);
    }
    assert_succeeds(); /* so it had been begun */
}

static void test_too_late(void **state)
{
    (void)state;
    call.deadline_us = clock_steady_us();
    assert_failed(begin_backup(), ERROR_BUSY, "no time was left to ask Proxmox");
    assert_false(pve_may_have_begun(client));
}

static void test_stopping(void **state)
{
    (void)state;
    atomic_store(&aborted, true);
    assert_int_equal(begin_backup(), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_false(pve_may_have_begun(client));
}

static void test_half_an_answer(void **state)
{
    (void)state;
    standin_write("control.json", "{\"half\": true}");
    assert_failed_beneath(begin_backup(), ERROR_BUSY, "hung up in the middle of its answer");
    assert_true(pve_may_have_begun(client));
}

static void test_garbage(void **state)
{
    (void)state;
    struct pve_task_status status;
    standin_write("control.json", "{\"garbage\": true}");
    assert_int_equal(begin_backup(), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
    assert_true(pve_may_have_begun(client));
    assert_int_equal(pve_task_status(&call, "UPID:x", &status, &error), -1);
    assert_int_equal(error.kind, ERROR_CORRUPT);
}

static void test_no_answer(void **state)
{
    (void)state;
    char found[UPID_SIZE];
    standin_write("control.json", "{\"drop\": true}");
    assert_failed_beneath(begin_backup(), ERROR_BUSY, "hung up without an answer");
    assert_true(pve_may_have_begun(client));
    standin_write("control.json", "{}");
    assert_done(pve_task_find(&call, "vzdump", 8200, 0, found, &error));
    assert_string_equal(found, "");
}

static void test_lost_answer(void **state)
{
    (void)state;
    standin_write("control.json", "{\"lose_answer\": true, \"task_seconds\": 0.1}");
    assert_int_equal(begin_backup(), -1);
    assert_true(pve_may_have_begun(client));
    standin_write("control.json", "{}");
    assert_done(pve_task_find(&call, "vzdump", 8200, 0, upid, &error));
    assert_succeeds();
    assert_output("jq -c length tasks.json", "1");
}

/* A failure leaves no trace in the next failure's message. */
static void test_may_have_begun_is_of_the_last_call(void **state)
{
    (void)state;
    standin_write("control.json", "{\"drop\": true}");
    assert_int_equal(begin_backup(), -1);
    assert_true(pve_may_have_begun(client));
    shell("rm pve.token");
    assert_int_equal(begin_backup(), -1);
    assert_false(pve_may_have_begun(client));
}

static void test_never_used(void **state)
{
    (void)state;
    assert_false(pve_may_have_begun(client));
    pve_client_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_token),
        TEST(test_no_token),
        TEST(test_odd_tokens),
        TEST(test_token_of_length),
        TEST(test_unreadable_token),
        TEST(test_snapshot),
        TEST(test_snapshot_exists),
        TEST(test_snapshot_of_machine),
        TEST(test_rollback),
        TEST(test_name_is_escaped),
        TEST(test_backup),
        TEST(test_backup_parameters),
        TEST(test_log_in_pieces),
        TEST(test_failed_backup),
        TEST(test_warnings),
        TEST(test_permission_in_task),
        TEST(test_backup_elsewhere),
        TEST(test_find_task),
        TEST(test_lost_task),
        TEST(test_task_over_a_restart),
        TEST(test_wrong_token),
        TEST(test_missing_privileges),
        TEST(test_invalid_parameter),
        TEST(test_unknown_node),
        TEST(test_statuses),
        TEST(test_wrong_ca),
        TEST(test_nobody_listens),
        TEST(test_too_slow),
        TEST(test_too_late),
        TEST(test_stopping),
        TEST(test_half_an_answer),
        TEST(test_garbage),
        TEST(test_no_answer),
        TEST(test_lost_answer),
        TEST(test_may_have_begun_is_of_the_last_call),
        TEST(test_never_used),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
