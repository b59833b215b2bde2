/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/reply.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

#define UPID "UPID:pve:0000A3F1:01B2C3D4:6553F100:vzdump:8200:felhom-agent@pve!agent:"
#define ODD  "Proxmox: its reply is not as documented: "

static struct error error;

static int set_up(void **state)
{
    (void)state;
    error = (struct error){.kind = ERROR_NONE};
    return 0;
}

static struct pve_reply answer(const char *body)
{
    return (struct pve_reply){200, "OK", body, strlen(body)};
}

/* --- refusals --- */

struct refusal {
    int status;
    const char *reason;
    const char *body;
    enum error_kind kind;
    const char *message;
};

static void check_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pve_reply reply = {cases[i].status, cases[i].reason, cases[i].body,
                                        cases[i].body ? strlen(cases[i].body) : 0};
        assert_int_equal(pve_reply_check(&reply, &error), -1);
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(error.kind, cases[i].kind);
    }
}

static void test_success(void **state)
{
    (void)state;
    static const int statuses[] = {200, 201, 204, 299};
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        const struct pve_reply reply = {statuses[i], "OK", NULL, 0};
        assert_int_equal(pve_reply_check(&reply, &error), 0);
    }
    assert_int_equal(error.kind, ERROR_NONE);
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum error_kind kind;
    } kinds[] = {
        {400, ERROR_INVALID},  {401, ERROR_DENIED},   {403, ERROR_DENIED},   {404, ERROR_MISSING},
        {408, ERROR_CONFLICT}, {500, ERROR_CONFLICT}, {501, ERROR_CONFLICT}, {502, ERROR_BUSY},
        {503, ERROR_BUSY},     {504, ERROR_BUSY},     {595, ERROR_BUSY},     {596, ERROR_BUSY},
        {599, ERROR_BUSY},     {301, ERROR_CONFLICT}, {199, ERROR_CONFLICT}, {0, ERROR_CONFLICT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct pve_reply reply = {kinds[i].status, "why", "", 0};
        assert_int_equal(pve_reply_check(&reply, &error), -1);
        assert_int_equal(error.kind, kinds[i].kind);
    }
}

static void test_reasons(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {403, "Permission check failed (/vms/8200, VM.Backup)",
         "{\"message\":\"Permission check failed (/vms/8200, VM.Backup)\\n\",\"data\":null}",
         ERROR_DENIED, "Proxmox: 403 Permission check failed (/vms/8200, VM.Backup)"},
        {401, "Authentication failed!", "", ERROR_DENIED, "Proxmox: 401 Authentication failed!"},
        {500, "Configuration file 'nodes/pve/lxc/8200.conf' does not exist", NULL, ERROR_CONFLICT,
         "Proxmox: 500 Configuration file 'nodes/pve/lxc/8200.conf' does not exist"},
        {595, "Errors during connection establishment, proxy handshake: Connection refused", "",
         ERROR_BUSY,
         "Proxmox: 595 Errors during connection establishment, proxy handshake: Connection "
         "refused"},
        /* HTTP/2 has no reason phrases. */
        {500, "", "{\"data\":null,\"message\":\"got no worker upid - start worker failed\\n\"}",
         ERROR_CONFLICT, "Proxmox: 500 got no worker upid - start worker failed"},
        {502, NULL, "<html>Bad Gateway</html>", ERROR_BUSY, "Proxmox: 502 no reason given"},
        {500, "", "{\"message\":17}", ERROR_CONFLICT, "Proxmox: 500 no reason given"},
        {500, "a\tb\x1B[2J\n", "", ERROR_CONFLICT, "Proxmox: 500 a?b?[2J"},
        {500, ".", "", ERROR_CONFLICT, "Proxmox: 500"},
    };
    check_refusals(cases, ARRAY_SIZE(cases));
}

static void test_parameter_errors(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {400, "Parameter verification failed.",
         "{\"data\":null,\"errors\":{\"upid\":\"no such task\"},\"message\":\"Parameter "
         "verification failed.\\n\"}",
         ERROR_INVALID, "Proxmox: 400 Parameter verification failed: upid: no such task"},
        {400, "Parameter verification failed.",
         "{\"errors\":{\"snapname\":\"invalid format - invalid configuration ID 'x y'\\n\","
         "\"foo\":\"property is not defined in schema and the schema does not allow additional "
         "properties\"}}",
         ERROR_INVALID,
         "Proxmox: 400 Parameter verification failed: snapname: invalid format - invalid "
         "configuration ID 'x y'; foo: property is not defined in schema and the schema does not "
         "allow additional properties"},
        {400, "Bad\rRequest", "{\"errors\":{\"a\\nb\":[],\"c\":\"d\\ne\"}}", ERROR_INVALID,
         "Proxmox: 400 Bad?Request: a?b: ?; c: d?e"},
        {400, "no", "{\"errors\":[1,2]}", ERROR_INVALID, "Proxmox: 400 no"},
        {400, "no", "{\"errors\":{}}", ERROR_INVALID, "Proxmox: 400 no"},
        {400, "no", "[]", ERROR_INVALID, "Proxmox: 400 no"},
    };
    check_refusals(cases, ARRAY_SIZE(cases));
}

static void test_long_refusal_is_cut(void **state)
{
    (void)state;
    cleanup_buffer struct buffer body = BUFFER_EMPTY;
    buffer_add_text(&body, "{\"errors\":{\"x\":\"");
    for (int i = 0; i < 1000; i++)
        buffer_add_text(&body, "\xE2\x82\xAC");
    buffer_add_text(&body, "\",\"y\":\"z\"}}");
    const struct pve_reply reply = {400, "Parameter verification failed.", body.data, body.length};
    assert_int_equal(pve_reply_check(&reply, &error), -1);
    size_t length = strlen(error.message);
    assert_true(length > sizeof error.message - 16);
    /* Between two characters. */
    const char *end = strstr(error.message, "...");
    assert_non_null(end);
    assert_memory_equal(end - 3, "\xE2\x82\xAC", 3);
}

/* --- whatever the reply is about --- */

struct reading {
    const char *body;
    const char *problem;
};

static int read_upid(const struct pve_reply *reply)
{
    char upid[UPID_SIZE];
    return pve_reply_upid(reply, upid, &error);
}

static int read_status(const struct pve_reply *reply)
{
    struct pve_task_status status;
    return pve_reply_task_status(reply, &status, &error);
}

static void count_line(int64_t number, const char *line, void *context)
{
    (void)number;
    (void)line;
    ++*(size_t *)context;
}

static int read_log(const struct pve_reply *reply)
{
    size_t count = 0;
    int result = pve_reply_task_log(reply, count_line, &count, &error);
    if (result < 0)
        assert_int_equal(count, 0);
    return result;
}

static int read_tasks(const struct pve_reply *reply)
{
    char upid[UPID_SIZE];
    return pve_reply_find_task(reply, "vzdump", 8200, "a@b", 0, upid, &error);
}

static int read_snapshots(const struct pve_reply *reply)
{
    cleanup(pve_snapshots_free) struct pve_snapshots snapshots = {0};
    return pve_reply_snapshots(reply, &snapshots, &error);
}

static int read_guest_runs(const struct pve_reply *reply)
{
    bool runs;
    return pve_reply_guest_runs(reply, &runs, &error);
}

static int read_backups(const struct pve_reply *reply)
{
    struct pve_backup backup;
    return pve_reply_newest_backup(reply, 8200, &backup, &error);
}

typedef int reader(const struct pve_reply *reply);

static void check_odd(reader *read, const struct reading *readings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pve_reply reply = answer(readings[i].body);
        error = (struct error){.kind = ERROR_NONE};
        if (read(&reply) != -1)
            fail_test("accepted: %s", readings[i].body);
        cleanup_free char *message = mem_format(ODD "%s", readings[i].problem);
        assert_string_equal(error.message, message);
        assert_int_equal(error.kind, ERROR_CORRUPT);
    }
}

static void test_no_data(void **state)
{
    (void)state;
    static reader *const readers[] = {read_upid,      read_status,  read_log,       read_tasks,
                                      read_snapshots, read_backups, read_guest_runs};
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "\"data\"",
        "<html>",
        "{\"data\":null}",
        "{\"data\":17}",
        "{\"data\":true}",
        "{\"data\":\"x\",\"data\":[]}",
        "{\"data\":[{\"n\":99999999999999999999}]}",
        "{\"data\":\x01",
        "{\"data\":[]} more",
    };
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(bodies); j++) {
            const struct pve_reply reply = answer(bodies[j]);
            assert_int_equal(readers[i](&reply), -1);
            assert_int_equal(error.kind, ERROR_CORRUPT);
            assert_memory_equal(error.message, ODD, strlen(ODD));
            assert_null(strchr(error.message, '\x01'));
        }
    }
}

static void test_no_data_says_why(void **state)
{
    (void)state;
    static const struct reading readings[] = {
        {"{}", "there is no data"},
        {"{\"data\":17}", "data is of another type"},
        {"{\"data\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", "JSON nested deeper than 16"},
    };
    check_odd(read_upid, readings, ARRAY_SIZE(readings));
}

/* --- a task that was begun --- */

static void test_upid(void **state)
{
    (void)state;
    char upid[UPID_SIZE];
    const struct pve_reply reply = answer("{\"data\":\"" UPID "\"}");
    assert_int_equal(pve_reply_upid(&reply, upid, &error), 0);
    assert_string_equal(upid, UPID);
}

static void test_nothing_begun(void **state)
{
    (void)state;
    char upid[UPID_SIZE] = "untouched";
    const struct pve_reply reply = answer("{\"data\":\"OK\"}");
    assert_int_equal(pve_reply_upid(&reply, upid, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_string_equal(error.message,
                        "Proxmox: it has begun nothing, as the guest is not on this node");
    assert_string_equal(upid, "untouched");
}

static void test_odd_upid(void **state)
{
    (void)state;
    static const struct reading readings[] = {
        {"{\"data\":\"\"}", "the task has no UPID"},
        {"{\"data\":\"ok\"}", "the task has no UPID"},
        {"{\"data\":\"" UPID " \"}", "the task has no UPID"},
        {"{\"data\":\"UPID:pve:../../x\"}", "the task has no UPID"},
        {"{\"data\":[\"" UPID "\"]}", "data is of another type"},
    };
    check_odd(read_upid, readings, ARRAY_SIZE(readings));
}

/* --- how a task is --- */

static struct pve_task_status status_of(const char *body)
{
    struct pve_task_status status;
    const struct pve_reply reply = answer(body);
    if (pve_reply_task_status(&reply, &status, &error) != 0)
        fail_test("%s", error.message);
    return status;
}

static void test_running(void **state)
{
    (void)state;
    const struct pve_task_status status = status_of(
        "{\"data\":{\"status\":\"running\",\"pid\":41969,\"pstart\":28492756,\"node\":\"pve\","
        "\"starttime\":1700000000,\"type\":\"vzdump\",\"id\":\"8200\",\"user\":\"felhom-agent@"
        "pve\","
        "\"tokenid\":\"agent\",\"upid\":\"" UPID "\"}}");
    assert_true(status.running && !status.succeeded);
    assert_string_equal(status.exitstatus, "");
}

static void test_stopped(void **state)
{
    (void)state;
    static const struct {
        const char *exitstatus;
        bool succeeded;
    } cases[] = {
        {"OK", true},
        {"WARNINGS: 1", true},
        {"WARNINGS: 20", true},
        {"WARNINGS: ", false},
        {"WARNINGS: x", false},
        {"WARNINGS: 1x", false},
        {"OK ", false},
        {"ok", false},
        {"job errors", false},
        {"unexpected status", false},
        {"403 Permission check failed (/vms/8200, VM.Backup)", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *body = mem_format(
            "{\"data\":{\"status\":\"stopped\",\"exitstatus\":\"%s\"}}", cases[i].exitstatus);
        const struct pve_task_status status = status_of(body);
        assert_false(status.running);
        assert_int_equal(status.succeeded, cases[i].succeeded);
        assert_memory_equal(status.exitstatus, cases[i].exitstatus, 2);
    }
}

static void test_exitstatus_is_shown_text(void **state)
{
    (void)state;
    char body[2048] = "{\"data\":{\"status\":\"stopped\",\"exitstatus\":\"a\\u001b\\nb";
    size_t used = strlen(body);
    memset(body + used, 'x', 1000);
    strcpy(body + used + 1000, "\"}}");
    const struct pve_task_status status = status_of(body);
    assert_memory_equal(status.exitstatus, "a??bxxx", 7);
    assert_int_equal(strlen(status.exitstatus), sizeof status.exitstatus - 1);
    assert_string_equal(status.exitstatus + sizeof status.exitstatus - 5, "x...");
}

static void test_odd_status(void **state)
{
    (void)state;
    static const char why[] = "the task neither runs nor has it ended";
    static const struct reading readings[] = {
        {"{\"data\":{}}", why},
        {"{\"data\":{\"status\":\"stopped\"}}", why},
        {"{\"data\":{\"status\":\"stopped\",\"exitstatus\":\"\"}}", why},
        {"{\"data\":{\"status\":\"stopped\",\"exitstatus\":0}}", why},
        {"{\"data\":{\"status\":\"Running\"}}", why},
        {"{\"data\":{\"status\":1,\"exitstatus\":\"OK\"}}", why},
        {"{\"data\":{\"exitstatus\":\"OK\"}}", why},
        {"{\"data\":[]}", "data is of another type"},
    };
    check_odd(read_status, readings, ARRAY_SIZE(readings));
}

static void test_guest_runs(void **state)
{
    (void)state;
    static const char why[] = "the guest neither runs nor is it stopped";
    static const struct reading readings[] = {
        {"{\"data\":{}}", why},
        {"{\"data\":{\"status\":\"Running\"}}", why},
        {"{\"data\":{\"status\":1}}", why},
        {"{\"data\":[]}", "data is of another type"},
    };
    bool runs = false;
    struct pve_reply reply = answer("{\"data\":{\"status\":\"running\",\"ha\":{\"managed\":0}}}");
    assert_int_equal(pve_reply_guest_runs(&reply, &runs, &error), 0);
    assert_true(runs);
    reply = answer("{\"data\":{\"status\":\"stopped\"}}");
    assert_int_equal(pve_reply_guest_runs(&reply, &runs, &error), 0);
    assert_false(runs);
    check_odd(read_guest_runs, readings, ARRAY_SIZE(readings));
}

/* --- a task's log --- */

static void write_line(int64_t number, const char *line, void *context)
{
    buffer_add_format(context, "%lld %s\n", (long long)number, line);
}

static void check_log(const char *body, const char *expected)
{
    cleanup_buffer struct buffer seen = BUFFER_EMPTY;
    const struct pve_reply reply = answer(body);
    assert_int_equal(pve_reply_task_log(&reply, write_line, &seen, &error), 0);
    assert_string_equal(buffer_text(&seen), expected);
}

static void test_log(void **state)
{
    (void)state;
    check_log("{\"data\":[{\"n\":1,\"t\":\"INFO: starting new backup job: vzdump 8200\"},"
              "{\"t\":\"\",\"n\":2},{\"n\":\"3\",\"t\":\"TASK OK\"}],\"total\":3}",
              "1 INFO: starting new backup job: vzdump 8200\n2 \n3 TASK OK\n");
    check_log("{\"data\":[{\"n\":9007199254740993,\"t\":\"far\"}]}", "9007199254740993 far\n");
    check_log("{\"data\":[],\"total\":12}", "");
}

static void test_empty_log(void **state)
{
    (void)state;
    check_log("{\"total\":1,\"data\":[{\"t\":\"no content\",\"n\":1}]}", "");
    check_log("{\"data\":[{\"t\":\"no content\",\"n\":2}]}", "2 no content\n");
    check_log("{\"data\":[{\"t\":\"no content\",\"n\":1},{\"n\":2,\"t\":\"x\"}]}",
              "1 no content\n2 x\n");
}

static void test_odd_log(void **state)
{
    (void)state;
    static const char why[] = "the task's log has something else than lines";
    static const struct reading readings[] = {
        {"{\"data\":[{\"n\":1,\"t\":\"good\"},{\"n\":2}]}", why},
        {"{\"data\":[{\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":0,\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":-1,\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":1.5,\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":1e300,\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":\"-1\",\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":\"\",\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":\"1000000000000000000\",\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":true,\"t\":\"x\"}]}", why},
        {"{\"data\":[{\"n\":1,\"t\":17}]}", why},
        {"{\"data\":[\"x\"]}", why},
        {"{\"data\":[null]}", why},
        {"{\"data\":{\"n\":1,\"t\":\"x\"}}", "data is of another type"},
    };
    check_odd(read_log, readings, ARRAY_SIZE(readings));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_success, set_up),
        cmocka_unit_test_setup(test_kinds, set_up),
        cmocka_unit_test_setup(test_reasons, set_up),
        cmocka_unit_test_setup(test_parameter_errors, set_up),
        cmocka_unit_test_setup(test_long_refusal_is_cut, set_up),
        cmocka_unit_test_setup(test_no_data, set_up),
        cmocka_unit_test_setup(test_no_data_says_why, set_up),
        cmocka_unit_test_setup(test_upid, set_up),
        cmocka_unit_test_setup(test_nothing_begun, set_up),
        cmocka_unit_test_setup(test_odd_upid, set_up),
        cmocka_unit_test_setup(test_running, set_up),
        cmocka_unit_test_setup(test_stopped, set_up),
        cmocka_unit_test_setup(test_exitstatus_is_shown_text, set_up),
        cmocka_unit_test_setup(test_odd_status, set_up),
        cmocka_unit_test_setup(test_guest_runs, set_up),
        cmocka_unit_test_setup(test_log, set_up),
        cmocka_unit_test_setup(test_empty_log, set_up),
        cmocka_unit_test_setup(test_odd_log, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
