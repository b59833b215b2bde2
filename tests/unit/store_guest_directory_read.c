/* SPDX-License-Identifier: Apache-2.0 */
/* What can be read from a guest's directory, and what counts as none. */
#include "tests/unit/test.h"

#include "schema/agent/token.h"
#include "store/files/guest_directory.h"

#include "tests/unit/scratch.h"

static struct error error;

static int look(struct guest_directory *ret)
{
    return guest_directory_inspect(in_scratch("guests"), 8200, ret, &error);
}

static int make(void **state)
{
    if (scratch_make(state) != 0)
        return -1;
    shell("umask 022; mkdir -p guests/8200; cd guests/8200;"
          " touch controller.yaml bootstrap.json token agent.crt");
    return 0;
}

static bool is_live(void)
{
    struct guest_directory live;
    assert_int_equal(look(&live), 0);
    return live.live;
}

static void test_live(void **state)
{
    (void)state;
    static const uint8_t id[8] = {1, 2, 3}, secret[TOKEN_SECRET_BYTES] = {4};
    struct token_text token;
    struct guest_directory live;
    token_text_make(id, secret, &token);
    shell("echo %s >guests/8200/token", token.text);
    if (geteuid() == 0)
        shell("chown 100000:100001 guests/8200");
    assert_int_equal(look(&live), 0);
    assert_true(live.live);
    assert_string_equal(live.token_id, token.id);
    assert_int_equal(live.uid, geteuid() == 0 ? 100000 : geteuid());
    assert_int_equal(live.gid, geteuid() == 0 ? 100001 : getegid());
}

static void test_content(void **state)
{
    (void)state;
    static const uint8_t id[8] = {1, 2, 3}, secret[TOKEN_SECRET_BYTES] = {4};
    struct token_text token;
    struct token_text found;
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    token_text_make(id, secret, &token);
    shell("echo %s >guests/8200/token; printf xyz >guests/8200/agent.crt", token.text);
    assert_int_equal(guest_directory_read_token(in_scratch("guests"), 8200, &found, &error), 0);
    assert_string_equal(found.text, token.text);
    assert_int_equal(
        guest_directory_read(in_scratch("guests"), 8200, "agent.crt", &content, &error), 0);
    assert_string_equal(buffer_text(&content), "xyz");
}

static void assert_unread(uint32_t vmid, const char *name, enum error_kind kind)
{
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    assert_int_equal(guest_directory_read(in_scratch("guests"), vmid, name, &content, &error), -1);
    assert_int_equal(error.kind, kind);
    assert_int_equal(content.length, 0);
}

static void test_no_content(void **state)
{
    (void)state;
    struct token_text token;
    assert_unread(8300, "token", ERROR_MISSING);
    assert_unread(8200, "nothing", ERROR_MISSING);
    shell("ln -sf /etc/passwd guests/8200/agent.crt");
    assert_unread(8200, "agent.crt", ERROR_DENIED);
    shell("echo rubbish >guests/8200/token");
    assert_int_equal(guest_directory_read_token(in_scratch("guests"), 8200, &token, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
}

/* As an interrupted scrub leaves it. */
static void test_one_document_is_gone(void **state)
{
    (void)state;
    static const char *const names[] = {"bootstrap.json", "token"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_true(is_live());
        shell("rm guests/8200/%s", names[i]);
        assert_false(is_live());
        shell("touch guests/8200/%s", names[i]);
    }
    shell("rm guests/8200/agent.crt");       /* it is no secret: no stop takes it away */
    shell("rm guests/8200/controller.yaml"); /* cannot always be made */
    assert_true(is_live());
}

static void test_no_directory(void **state)
{
    (void)state;
    shell("rm -r guests/8200");
    assert_false(is_live());
    shell("rmdir guests");
    assert_false(is_live());
}

static void test_what_is_no_token(void **state)
{
    (void)state;
    static const char *const contents[] = {"", "x", "fh1_", "fh1_00000000_x"};
    struct guest_directory live;
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        shell("printf %%s '%s' >guests/8200/token", contents[i]);
        assert_int_equal(look(&live), 0);
        assert_true(live.live);
        assert_string_equal(live.token_id, "");
    }
}

static void assert_refused(const char *part)
{
    struct guest_directory live = {.uid = 77};
    assert_int_equal(look(&live), -1);
    assert_int_equal(live.uid, 77);
    if (!strstr(error.message, part))
        fail_test("'%s' lacks '%s'", error.message, part);
}

static void test_links_lead_nowhere(void **state)
{
    (void)state;
    shell("rm guests/8200/token; ln -s /etc/passwd guests/8200/token");
    assert_refused("/guests/8200: ");
    shell("mv guests/8200 guests/8300; ln -s 8300 guests/8200");
    assert_refused("/guests/8200");
    shell("mv guests other; ln -s other guests");
    assert_refused("/guests");
}

static void test_a_parent_of_others(void **state)
{
    (void)state;
    shell("chmod 777 guests");
    assert_refused("/guests");
}

#define live_test(function) cmocka_unit_test_setup_teardown(function, make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        live_test(test_live),
        live_test(test_content),
        live_test(test_no_content),
        live_test(test_one_document_is_gone),
        live_test(test_no_directory),
        live_test(test_what_is_no_token),
        live_test(test_links_lead_nowhere),
        live_test(test_a_parent_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
