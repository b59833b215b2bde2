/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/enrolment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

static struct enrolment parse(const char *text)
{
    struct enrolment enrolment;
    struct error error = {.kind = ERROR_NONE};
    if (enrolment_parse("8200.yaml", text, strlen(text), &enrolment, &error))
        fail_msg("refused: %s", error.message);
    assert_int_equal(error.kind, ERROR_NONE);
    return enrolment;
}

static void expect_same(const struct enrolment *a, const struct enrolment *b)
{
    assert_string_equal(a->customer_id, b->customer_id);
    assert_string_equal(a->customer_name, b->customer_name);
    assert_string_equal(a->customer_domain, b->customer_domain);
    assert_string_equal(a->customer_email, b->customer_email);
    assert_string_equal(a->hub_retrieval_password, b->hub_retrieval_password);
    assert_string_equal(a->image, b->image);
    assert_string_equal(a->chain, b->chain);
    assert_string_equal(a->guest_volume, b->guest_volume);
    assert_string_equal(a->guest_hwaddrs, b->guest_hwaddrs);
    assert_string_equal(a->quota_snapshots, b->quota_snapshots);
    assert_string_equal(a->quota_snapshot_interval, b->quota_snapshot_interval);
    assert_string_equal(a->quota_backup_interval, b->quota_backup_interval);
    assert_string_equal(a->run, b->run);
}

static struct enrolment nothing(void)
{
    return (struct enrolment){"", "", "", "", "", "", "", "", "", "", "", "", ""};
}

static void nothing_said_is_nothing(void **state)
{
    static const char *const empty[] = {
        "", "# a comment\n", "{}", "null\n", "customer:\nhub: {}\n", "controller:\n",
    };
    struct enrolment none = nothing();
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
        struct enrolment enrolment = parse(empty[i]);
        expect_same(&enrolment, &none);
        enrolment_free(&enrolment);
    }
}

static void every_key_is_read(void **state)
{
    struct enrolment enrolment =
        parse("customer: {id: acme-1_b.c, name: \"ACME \xC3\x96l\", domain: acme.example, email: "
              "it@acme.example}\n"
              "hub: {retrieval_password: 0123 456}\n"
              "image: registry.example/controller:v1\n"
              "chain: \"local:snippets/a b.pl\"\n"
              "guest: {volume: local-lvm:vm-1-disk-0, hwaddrs: \"BC:24:11:00:00:01\"}\n"
              "quota: {snapshots: 3, snapshot_interval: 0, backup_interval: 1h}\n"
              "run: [--memory=512m, \"--env=MOTTO=a b, c\", --init]\n"
              "controller:\n  customer: {id: mallory}\n  any: [thing, {}, ~]\n");
    (void)state;
    assert_string_equal(enrolment.customer_id, "acme-1_b.c");
    assert_string_equal(enrolment.customer_name, "ACME \xC3\x96l");
    assert_string_equal(enrolment.customer_domain, "acme.example");
    assert_string_equal(enrolment.customer_email, "it@acme.example");
    assert_string_equal(enrolment.hub_retrieval_password, "0123 456");
    assert_string_equal(enrolment.image, "registry.example/controller:v1");
    assert_string_equal(enrolment.chain, "local:snippets/a b.pl");
    assert_string_equal(enrolment.guest_volume, "local-lvm:vm-1-disk-0");
    assert_string_equal(enrolment.guest_hwaddrs, "BC:24:11:00:00:01");
    assert_string_equal(enrolment.quota_snapshots, "3");
    assert_string_equal(enrolment.quota_snapshot_interval, "0");
    assert_string_equal(enrolment.quota_backup_interval, "1h");
    assert_string_equal(enrolment.run, "--memory=512m\n--env=MOTTO=a b, c\n--init");
    enrolment_free(&enrolment);
    assert_null(enrolment.hub_retrieval_password);
    enrolment_free(&enrolment);
}

#define NAME_RULE    "must be letters, digits, - _ and . only, without - or . in front"
#define WORD_RULE    "must be one word without blanks or control characters"
#define RUN_RULE     "each item must be --NAME or --NAME=VALUE, such as --memory=512m"
#define SNIPPET_RULE "must be a hookscript's volume: STORAGE:snippets/NAME"
#define LINE_RULE    "must be one line without control characters"

static void bad_enrolments_are_refused(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } bad[] = {
        {"custmer: {}", "8200.yaml:1:1: custmer: unknown key; did you mean customer?"},
        {"vmid: 8200", "8200.yaml:1:1: vmid: unknown key; known at the top: customer, hub, image, "
                       "chain, guest, quota, run, controller"},
        {"hub:\n  url: a", "8200.yaml:2:3: hub.url: unknown key; known there: retrieval_password"},
        {"customer:\n  id: a b", "8200.yaml:2:7: customer.id: " NAME_RULE},
        {"customer: {id: ../a}", "8200.yaml:1:16: customer.id: " NAME_RULE},
        {"customer: {id: ..}", "8200.yaml:1:16: customer.id: " NAME_RULE},
        {"customer: {id: -a}", "8200.yaml:1:16: customer.id: " NAME_RULE},
        {"customer: {id: \xC3\xB6}", "8200.yaml:1:16: customer.id: " NAME_RULE},
        {"customer: {id: }", "8200.yaml:1:16: customer.id: must be a text, not nothing"},
        {"customer:\n  name: |\n    line\n", "8200.yaml:2:9: customer.name: " LINE_RULE},
        {"customer: {domain: a b}", "8200.yaml:1:20: customer.domain: " WORD_RULE},
        {"customer: {email: \"a@b\\n\"}", "8200.yaml:1:19: customer.email: " WORD_RULE},
        {"image: a b", "8200.yaml:1:8: image: " WORD_RULE},
        {"chain: /usr/bin/x", "8200.yaml:1:8: chain: " SNIPPET_RULE},
        {"chain: local:snippets/a/b", "8200.yaml:1:8: chain: " SNIPPET_RULE},
        {"chain: \"local:snippets/a\\nb\"", "8200.yaml:1:8: chain: " SNIPPET_RULE},
        {"run: --init", "8200.yaml:1:6: run: must be a list, not a text"},
        {"run: [[--init]]",
         "8200.yaml:1:7: run: each item must be a text, such as --memory=512m, not a list"},
        {"run: [--init, -it]", "8200.yaml:1:15: run: " RUN_RULE},
        {"run: [--]", "8200.yaml:1:7: run: " RUN_RULE},
        {"run: [\"--memory 512m\"]", "8200.yaml:1:7: run: " RUN_RULE},
        {"run: [\"--a\\n--b\"]", "8200.yaml:1:7: run: each item " LINE_RULE},
        {"run: [--name=mine]", "8200.yaml:1:7: run: --name=mine is for the guest itself to say"},
        {"run: [--rm]", "8200.yaml:1:7: run: --rm is for the guest itself to say"},
        {"controller: a", "8200.yaml:1:13: controller: must be a map, not a text"},
        {"controller: []", "8200.yaml:1:13: controller: must be a map, not a list"},
        {"controller: {a: 1, a: 2}", "8200.yaml:1:20: controller.a: this key is there twice in the "
                                     "same map, first in line 1: write both as "
                                     "one"},
        {"controller: {a: {b: &x 1, c: *x}}",
         "8200.yaml:1:21: anchors and aliases are not allowed here; write the value out"},
        {"- customer", "8200.yaml:1:1: must be a map, not a list"},
        {"hub: {}\nhub: {}", "8200.yaml:2:1: hub: this key is there twice in the same map, first "
                             "in line 1: write both as "
                             "one"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct enrolment enrolment = {.image = NULL};
        struct error error = {.kind = ERROR_NONE};
        assert_int_equal(
            enrolment_parse("8200.yaml", bad[i].text, strlen(bad[i].text), &enrolment, &error), -1);
        assert_string_equal(error.message, bad[i].message);
        assert_int_equal(error.kind, ERROR_INVALID);
        assert_null(enrolment.customer_id);
    }
}

static void a_password_is_never_told(void **state)
{
    static const char *const slips[] = {
        "hub: {retrieval_password: [hunter2]}",      "hub: {retrieval_password: \"hunter2\\n\"}",
        "hub: {retrieval_password: hunter2, x: 1}",  "hub: hunter2",
        "hub: {retrieval_password: hunter2: again}", "hub: {retrieval_password: !hunter2 a}",
        "hub: {retrieval_password: &hunter2 a}",     "hub: {retrieval_password: *hunter2 }",
        "hub: {retrieval_password: \"hunter2",       "hub: {retrieval_password: {hunter2: a}}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(slips); i++) {
        struct enrolment enrolment;
        struct error error = {.kind = ERROR_NONE};
        assert_int_equal(
            enrolment_parse("8200.yaml", slips[i], strlen(slips[i]), &enrolment, &error), -1);
        assert_null(strstr(error.message, "hunter2"));
    }
}

static void the_longest_customer_id(void **state)
{
    char text[160] = "image: i\ncustomer: {id: ";
    size_t start = strlen(text);
    struct error error = {.kind = ERROR_NONE};
    struct enrolment enrolment;
    (void)state;
    memset(text + start, 'a', 128);
    strcpy(text + start + 128, "}");
    enrolment = parse(text);
    assert_int_equal(strlen(enrolment.customer_id), 128);
    enrolment_free(&enrolment);
    strcpy(text + start + 128, "a}");
    assert_int_equal(enrolment_parse("8200.yaml", text, strlen(text), &enrolment, &error), -1);
    assert_string_equal(error.message,
                        "8200.yaml:2:16: customer.id: must not be longer than 128 bytes");
}

/* --- writing --- */

static void expect_rendered(const struct enrolment *enrolment, const char *text)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    struct error error;
    buffer_add_text(&out, "# kept\n");
    assert_int_equal(enrolment_render(enrolment, &out, &error), 0);
    assert_string_equal(buffer_text(&out) + strlen("# kept\n"), text);
    struct enrolment again = parse(buffer_text(&out));
    expect_same(enrolment, &again);
    enrolment_free(&again);
}

static void only_what_is_set_is_written(void **state)
{
    struct enrolment enrolment = nothing();
    (void)state;
    expect_rendered(&enrolment, "{}\n");
    enrolment.image = (char[]){"r.example/c:v1"};
    expect_rendered(&enrolment, "image: \"r.example/c:v1\"\n");
    enrolment.customer_id = (char[]){"acme"};
    enrolment.customer_email = (char[]){"it@acme.example"};
    enrolment.hub_retrieval_password = (char[]){"s3 cret"};
    expect_rendered(&enrolment, "customer:\n  id: \"acme\"\n  email: \"it@acme.example\"\n"
                                "hub:\n  retrieval_password: \"s3 cret\"\n"
                                "image: \"r.example/c:v1\"\n");
}

static void run_options_are_written_as_a_list(void **state)
{
    struct enrolment enrolment = nothing();
    (void)state;
    enrolment.run = (char[]){"--init\n--env=A=b \"c\""};
    expect_rendered(&enrolment, "run:\n- \"--init\"\n- \"--env=A=b \\\"c\\\"\"\n");
}

static void too_many_run_options(void **state)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    struct enrolment enrolment = {.image = NULL};
    struct error error = {.kind = ERROR_NONE};
    (void)state;
    buffer_add_text(&text, "run:\n");
    for (int i = 0; i < 65; i++)
        buffer_add_text(&text, "- --init\n");
    assert_int_equal(enrolment_parse("e", buffer_text(&text), text.length - strlen("- --init\n"),
                                     &enrolment, &error),
                     0);
    enrolment_free(&enrolment);
    assert_int_equal(enrolment_parse("e", buffer_text(&text), text.length, &enrolment, &error), -1);
    assert_string_equal(error.message, "e:2:1: run: must not have more than 64 items");
}

static void texts_that_yaml_would_take_for_something_else(void **state)
{
    static const char *const odd[] = {
        "~",
        "null",
        "true",
        "0123",
        "1e3",
        "2020-01-01",
        "*a",
        "&a",
        "!a",
        "- a",
        "a: b",
        "a #b",
        "'",
        "\"",
        "\\",
        "\\\"",
        "%",
        "@a",
        "`a`",
        "{",
        "[",
        "]",
        "}",
        ",",
        "?",
        "? a",
        "|",
        ">",
        "<<",
        " a ",
        "---",
        "...",
        "\xC3\x96",
        "\xE2\x80\xA8",
        "\xC2\x85",
        "\xEF\xBB\xBF",
        "\xF0\x9F\x98\x80",
        "a very long password of many words, which an emitter with a line width would fold in two",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        struct enrolment enrolment = nothing();
        cleanup_buffer struct buffer out = BUFFER_EMPTY;
        struct error error;
        enrolment.hub_retrieval_password = (char *)(uintptr_t)odd[i];
        enrolment.customer_name = (char *)(uintptr_t)odd[i];
        assert_int_equal(enrolment_render(&enrolment, &out, &error), 0);
        struct enrolment again = parse(buffer_text(&out));
        expect_same(&enrolment, &again);
        enrolment_free(&again);
    }
}

static void what_would_not_be_read_is_not_written(void **state)
{
    struct enrolment enrolment = nothing();
    struct error error = {.kind = ERROR_NONE};
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    (void)state;
    enrolment.customer_id = (char[]){"a b"};
    assert_int_equal(enrolment_render(&enrolment, &out, &error), -1);
    assert_string_equal(error.message, "customer.id: " NAME_RULE);
    assert_int_equal(error.kind, ERROR_INVALID);
    enrolment.customer_id = (char[]){"a"};
    enrolment.hub_retrieval_password = (char[]){"hunter2\n"};
    assert_int_equal(enrolment_render(&enrolment, &out, &error), -1);
    assert_string_equal(error.message, "hub.retrieval_password: " LINE_RULE);
    enrolment.hub_retrieval_password = (char[]){"\xFF"};
    assert_int_equal(enrolment_render(&enrolment, &out, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_int_equal(out.length, 0);
}

static void what_is_good_in_a_bad_one_can_be_had(void **state)
{
    static const char text[] = "colour: blue\nimage: a b\nchain: local:snippets/a\nrun: -it\n";
    struct enrolment enrolment;
    (void)state;
    enrolment_salvage(text, strlen(text), &enrolment);
    assert_string_equal(enrolment.chain, "local:snippets/a");
    assert_string_equal(enrolment.image, "");
    assert_string_equal(enrolment.run, "");
    enrolment_free(&enrolment);
}

static void expect_quota(const char *text, uint32_t snapshots, uint64_t snapshot_interval_ms,
                         uint64_t backup_interval_ms)
{
    static const struct quota standard = {10, 60000, 600000};
    struct enrolment enrolment;
    enrolment_salvage(text, strlen(text), &enrolment);
    const struct quota quota = enrolment_quota(&enrolment, &standard);
    assert_int_equal(quota.snapshots, snapshots);
    assert_int_equal(quota.snapshot_interval_ms, snapshot_interval_ms);
    assert_int_equal(quota.backup_interval_ms, backup_interval_ms);
    enrolment_free(&enrolment);
}

static void a_quota_is_that_of_all_where_none_is_given(void **state)
{
    (void)state;
    expect_quota("", 10, 60000, 600000);
    expect_quota("quota: {}", 10, 60000, 600000);
    expect_quota("quota: {snapshots: 0}", 0, 60000, 600000);
    expect_quota("quota: {snapshots: 10000, snapshot_interval: 0}", 10000, 0, 600000);
    expect_quota("quota: {backup_interval: 1d}", 10, 60000, 86400000);
    expect_quota("quota: {snapshots: 10001, snapshot_interval: -1, backup_interval: 5}", 10, 60000,
                 600000);
    expect_quota("quota: {snapshots: 1e3, snapshot_interval: 1h}", 10, 3600000, 600000);
    expect_quota("quota: none", 10, 60000, 600000);
}

static void a_quota_that_is_none_is_refused(void **state)
{
    static const char *const bad[][2] = {
        {"quota: {snapshots: 10001}",
         "8200.yaml:1:20: quota.snapshots: must be a number from 0 to 10000"},
        {"quota: {snapshots: -1}",
         "8200.yaml:1:20: quota.snapshots: must be a number from 0 to 10000"},
        {"quota: {snapshot_interval: 5}",
         "8200.yaml:1:28: quota.snapshot_interval: must be a duration: digits and one of s m h d, "
         "such as 30s or 24h, or 0"},
        {"quota: {backups: 5}", "8200.yaml:1:9: quota.backups: unknown key; known there: "
                                "snapshots, snapshot_interval, backup_interval"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct enrolment enrolment;
        struct error error = {.kind = ERROR_NONE};
        assert_int_equal(
            enrolment_parse("8200.yaml", bad[i][0], strlen(bad[i][0]), &enrolment, &error), -1);
        assert_string_equal(error.message, bad[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_nothing),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(bad_enrolments_are_refused),
        cmocka_unit_test(a_quota_is_that_of_all_where_none_is_given),
        cmocka_unit_test(a_quota_that_is_none_is_refused),
        cmocka_unit_test(a_password_is_never_told),
        cmocka_unit_test(the_longest_customer_id),
        cmocka_unit_test(only_what_is_set_is_written),
        cmocka_unit_test(run_options_are_written_as_a_list),
        cmocka_unit_test(too_many_run_options),
        cmocka_unit_test(texts_that_yaml_would_take_for_something_else),
        cmocka_unit_test(what_would_not_be_read_is_not_written),
        cmocka_unit_test(what_is_good_in_a_bad_one_can_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
