/* SPDX-License-Identifier: Apache-2.0 */
/* Where the operator's documents are searched, and the messages if they cannot be read. */

#include "store/files/config_file.h"
#include "tests/unit/scratch.h"

static struct error error;
static struct config config;

static int set_up(void **state)
{
    cleanup_free char *text = NULL;
    if (scratch_make(state) < 0)
        return -1;
    text = mem_format("paths: {pve: %s/pve, enrolment: %s/enrolment}\n"
                      "controller: {template: %s/template.yaml}\n",
                      scratch, scratch, scratch);
    (void)unsetenv(CONFIG_FILE_VARIABLE);
    return config_parse("agent.yaml", text, strlen(text), &config, &error);
}

static int tear_down(void **state)
{
    config_free(&config);
    return scratch_remove(state);
}

static void use(const char *name)
{
    assert_int_equal(setenv(CONFIG_FILE_VARIABLE, in_scratch(name), 1), 0);
}

static void assert_fails(enum error_kind kind, int result, const char *ending)
{
    size_t length = strlen(error.message);
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, kind);
    assert_true(length >= strlen(ending));
    assert_string_equal(error.message + length - strlen(ending), ending);
}

static void test_path(void **state)
{
    (void)state;
    assert_string_equal(config_file_path(), "/etc/felhom-agent/agent.yaml");
    use("mine.yaml");
    assert_string_equal(config_file_path(), in_scratch("mine.yaml"));
    assert_int_equal(setenv(CONFIG_FILE_VARIABLE, "", 1), 0);
    assert_string_equal(config_file_path(), CONFIG_FILE_PATH);
}

static void test_missing_or_empty_file_is_all_defaults(void **state)
{
    (void)state;
    struct config loaded;
    shell(": >empty.yaml");
    static const char *const names[] = {"none.yaml", "empty.yaml"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        use(names[i]);
        assert_int_equal(config_file_load(&loaded, &error), 0);
        assert_string_equal(loaded.local_api.bridge, "vmbr0");
        assert_string_equal(loaded.paths.state, "/var/lib/felhom-agent");
        config_free(&loaded);
    }
}

static void test_load(void **state)
{
    (void)state;
    struct config loaded;
    shell("echo 'host_id: demo-felhom' >agent.yaml; ln -s agent.yaml link.yaml");
    use("link.yaml");
    assert_int_equal(config_file_load(&loaded, &error), 0);
    assert_string_equal(loaded.host_id, "demo-felhom");
    config_free(&loaded);
}

static void test_mistakes_are_named_by_file_and_line(void **state)
{
    (void)state;
    struct config loaded;
    shell("printf 'host_id: a\\nhostid: b\\n' >mine.yaml");
    use("mine.yaml");
    assert_int_equal(config_file_load(&loaded, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_int_equal(strncmp(error.message, "mine.yaml:2:1: hostid: ", 23), 0);
}

static void test_unreadable_file_is_no_default(void **state)
{
    (void)state;
    struct config loaded;
    shell("mkdir directory; touch file; head -c 1048577 /dev/zero >large");
    use("directory");
    assert_fails(ERROR_INVALID, config_file_load(&loaded, &error),
                 "/directory: not a regular file");
    use("file/agent.yaml");
    assert_fails(ERROR_SYSTEM, config_file_load(&loaded, &error),
                 "/file/agent.yaml: Not a directory");
    use("large");
    assert_fails(ERROR_INVALID, config_file_load(&loaded, &error),
                 "/large: larger than 1048576 bytes");
}

#define TAKEN "state/agent.yaml.taken"

/* Writes an agent.yaml with this host_id, and what follows. */
static void write_settings(const char *id, const char *rest)
{
    shell("printf 'host_id: %s\\npaths: {state: %s}\\n%s' >agent.yaml", id, in_scratch("state"),
          rest);
}

/* As felhomd does when it has started or reloaded. */
static void take_up(void)
{
    struct config taken;
    char mark[CONFIG_MARK_SIZE];
    assert_int_equal(config_file_load_marked(&taken, mark, &error), 0);
    assert_int_equal(config_file_note_taken(taken.paths.state, mark, &error), 0);
    config_free(&taken);
}

static void assert_kept(const char *id)
{
    struct config found;
    assert_true(config_file_recover(&found));
    assert_string_equal(found.host_id, id);
    config_free(&found);
}

static void test_last_good_one(void **state)
{
    (void)state;
    bool same;
    use("agent.yaml");
    assert_int_equal(config_file_keep(&error), 0); /* there is none */
    assert_int_equal(count_entries(scratch), 0);
    shell("mkdir -m 755 state");
    write_settings("first", "");
    take_up();
    assert_int_equal(config_file_keep(&error), 0);
    assert_kept("first");
    assert_int_equal(config_file_kept_is_same(&same, &error), 0);
    assert_true(same);
    write_settings("second", "hook: [");
    assert_int_equal(config_file_keep(&error), 0);
    assert_kept("first");
    shell("rm agent.yaml; mkdir agent.yaml");
    assert_int_equal(config_file_keep(&error), 0);
    assert_kept("first");
    shell("rmdir agent.yaml");
    write_settings("third", "");
    take_up();
    assert_int_equal(config_file_keep(&error), 0);
    assert_kept("third");
    assert_int_equal(count_entries(scratch), 3);
}

/* What felhomd has not taken up is not kept, whatever stands in the place of its note. */
static void test_only_what_was_taken_up_is_kept(void **state)
{
    (void)state;
    static const char *const notes[] = {"rm " TAKEN,
                                        ": >" TAKEN,
                                        "echo x >" TAKEN,
                                        "head -c 65 /dev/zero >" TAKEN,
                                        "rm " TAKEN "; mkdir " TAKEN,
                                        "rmdir " TAKEN "; ln -s ../mine " TAKEN,
                                        "rm -r state"};
    bool same;
    use("agent.yaml");
    shell("mkdir -m 755 state");
    write_settings("first", "");
    take_up();
    shell("cp " TAKEN " mine");
    assert_int_equal(config_file_keep(&error), 0);
    write_settings("second", "");
    assert_fails(ERROR_CONFLICT, config_file_keep(&error), "/agent.yaml: systemctl reload felhomd");
    assert_kept("first");
    assert_int_equal(config_file_kept_is_same(&same, &error), 0);
    assert_false(same);
    write_settings("first", "");
    for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
        shell("%s", notes[i]);
        assert_fails(ERROR_CONFLICT, config_file_keep(&error),
                     "/agent.yaml: systemctl reload felhomd");
    }
}

static void test_no_last_good_one(void **state)
{
    (void)state;
    struct config found;
    use("agent.yaml");
    shell("printf 'host_id: mine\\nhook: [' >agent.yaml; echo 'hook: 7' >agent.yaml.good");
    assert_false(config_file_recover(&found));
    assert_string_equal(found.host_id, "mine");
    config_free(&found);
}

static int load_without_permission(void)
{
    struct config loaded;
    EXPECT(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
    EXPECT(config_file_load(&loaded, &error) == -1);
    EXPECT(strstr(error.message, "/agent.yaml: Permission denied") != NULL);
    return 0;
}

static void test_file_without_permission(void **state)
{
    (void)state;
    shell("chmod 711 .; touch agent.yaml; chmod 0 agent.yaml");
    use("agent.yaml");
    in_child(load_without_permission);
}

static void test_guest(void **state)
{
    (void)state;
    struct guest_config guest;
    shell("mkdir -p pve/nodes/pve1/lxc pve/nodes/pve1/qemu-server; "
          "ln -s nodes/pve1/lxc pve/lxc; ln -s nodes/pve1/qemu-server pve/qemu-server; "
          "echo 'hostname: box' >pve/lxc/8200.conf; echo 'name: vm' >pve/qemu-server/8300.conf");
    assert_int_equal(config_file_load_guest(&config, 8200, &guest, &error), 0);
    assert_int_equal(guest.kind, GUEST_LXC);
    assert_string_equal(guest.name, "box");
    guest_config_free(&guest);
    assert_int_equal(config_file_load_guest(&config, 8300, &guest, &error), 0);
    assert_int_equal(guest.kind, GUEST_QEMU);
    assert_string_equal(guest.name, "vm");
    guest_config_free(&guest);
}

static void test_guest_that_is_not_there(void **state)
{
    (void)state;
    struct guest_config guest;
    assert_fails(ERROR_MISSING, config_file_load_guest(&config, 8200, &guest, &error),
                 "/pve/lxc/8200.conf: no such guest configuration on this node");
    assert_int_equal(error.message[0], '/');
    shell("mkdir -p pve/lxc; echo >pve/lxc/82000.conf");
    assert_fails(ERROR_MISSING, config_file_load_guest(&config, 8200, &guest, &error),
                 "/pve/lxc/8200.conf: no such guest configuration on this node");
}

static void test_guest_that_cannot_be_read(void **state)
{
    (void)state;
    struct guest_config guest;
    shell("mkdir -p pve/lxc/8200.conf pve/qemu-server; echo 'name: vm' >pve/qemu-server/8200.conf; "
          "printf 'hostname: a\\0b\\n' >pve/lxc/8300.conf");
    assert_fails(ERROR_INVALID, config_file_load_guest(&config, 8200, &guest, &error),
                 "/pve/lxc/8200.conf: not a regular file");
    assert_int_equal(config_file_load_guest(&config, 8300, &guest, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_non_null(strstr(error.message, "/pve/lxc/8300.conf: "));
}

static void test_enrolment_and_template(void **state)
{
    (void)state;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    assert_int_equal(config_file_read_enrolment(&config, 8200, &out, &error), 0);
    assert_int_equal(config_file_read_template(&config, &out, &error), 0);
    assert_int_equal(out.length, 0);
    shell("mkdir enrolment; echo enrolled >enrolment/8200.yaml; echo template >template.yaml");
    assert_int_equal(config_file_read_enrolment(&config, 8200, &out, &error), 0);
    assert_int_equal(config_file_read_template(&config, &out, &error), 0);
    assert_string_equal(buffer_text(&out), "enrolled\ntemplate\n");
    shell("rm template.yaml; mkdir template.yaml enrolment/8300.yaml");
    assert_fails(ERROR_INVALID, config_file_read_template(&config, &out, &error),
                 "/template.yaml: not a regular file");
    assert_fails(ERROR_INVALID, config_file_read_enrolment(&config, 8300, &out, &error),
                 "/enrolment/8300.yaml: not a regular file");
    assert_string_equal(buffer_text(&out), "enrolled\ntemplate\n");
}

/* What is told of a file is what felhomd makes of it when it reads it. */
static void assert_secret(enum named_file_kind kind, const char *content, const char *secret)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    const struct named_file file = {"the.key", kind, in_scratch("secret")};
    shell("printf '%s' >secret", content);
    assert_int_equal(config_file_check_named(&file, &error), secret ? 0 : -1);
    assert_int_equal(config_file_read_secret(&file, &out, &error), secret ? 0 : -1);
    assert_string_equal(buffer_text(&out), secret ? secret : "");
    if (!secret) {
        assert_int_equal(error.kind, ERROR_INVALID);
        assert_memory_equal(error.message, "the.key: ", strlen("the.key: "));
        assert_non_null(strstr(error.message, "/secret: does not hold one line "));
    }
}

#define TOKEN "felhom-agent@pve!agent=0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa"

static void test_secrets(void **state)
{
    static const char *const neither[] = {"", "\\n\\r\\n", "a\\nb", "a\\000b", "a\\000", "\\001"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(neither); i++) {
        assert_secret(NAMED_PASSWORD, neither[i], NULL);
        assert_secret(NAMED_KEY, neither[i], NULL);
    }
    assert_secret(NAMED_API_TOKEN, TOKEN "\\n", TOKEN);
    assert_secret(NAMED_API_TOKEN, TOKEN, TOKEN);
    assert_secret(NAMED_API_TOKEN, "", NULL);
    assert_secret(NAMED_API_TOKEN, TOKEN "\\n\\n", NULL);
    assert_secret(NAMED_API_TOKEN, TOKEN "\\000\\n", NULL);
    assert_secret(NAMED_API_TOKEN, "felhom:agent@pve!agent=short", NULL);
    assert_secret(NAMED_PASSWORD, "pass\\r\\n", "pass");
    assert_secret(NAMED_KEY, "key\\r\\n", "key");
    assert_secret(NAMED_PASSWORD, " two w\\303\\266rter ", " two w\303\266rter ");
    assert_secret(NAMED_KEY, "two words", NULL);
    assert_secret(NAMED_KEY, "w\\303\\266rt", NULL);
    assert_secret(NAMED_KEY, " \\tkey ", "key");
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_path),
        test(test_missing_or_empty_file_is_all_defaults),
        test(test_load),
        test(test_mistakes_are_named_by_file_and_line),
        test(test_unreadable_file_is_no_default),
        test(test_file_without_permission),
        test(test_last_good_one),
        test(test_only_what_was_taken_up_is_kept),
        test(test_no_last_good_one),
        test(test_guest),
        test(test_guest_that_is_not_there),
        test(test_guest_that_cannot_be_read),
        test(test_enrolment_and_template),
        test(test_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
