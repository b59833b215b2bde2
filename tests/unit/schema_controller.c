/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/guest_documents.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

static struct yaml_source source(const char *name, const char *text)
{
    return (struct yaml_source){name, text, text ? strlen(text) : 0};
}

/* Nothing but these three texts. */
static struct controller sources(const char *template, const char *hub, const char *enrolment)
{
    return (struct controller){
        .template = source("template.yaml", template),
        .hub = source("hub.yaml", hub),
        .enrolment = source("8200.yaml", enrolment),
        .customer_id = "",
        .hub_url = "",
        .endpoint = "",
        .fingerprint = "",
        .fingerprint_next = "",
        .token = "",
    };
}

static void assert_rendered(const struct controller *controller, const char *expected)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    struct error error = {0};
    int result = controller_render(controller, &out, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(result, 0);
    assert_string_equal(buffer_text(&out), expected);
}

static void assert_merged(const char *template, const char *hub, const char *enrolment,
                          const char *expected)
{
    const struct controller controller = sources(template, hub, enrolment);
    assert_rendered(&controller, expected);
}

static void assert_failed(const struct controller *controller, const char *message)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    struct error error = {0};
    buffer_add_text(&out, "before");
    assert_int_equal(controller_render(controller, &out, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_string_equal(error.message, message);
    assert_string_equal(buffer_text(&out), "before");
}

static void merges_all_sources_by_weight(void **state)
{
    (void)state;
    struct controller controller = sources("log: {level: info, file: /var/log/c}\n"
                                           "customer: {id: template, plan: basic, name: T}\n"
                                           "apps: [one, two]\n",
                                           "customer: {id: hub, name: H, domain: h.example}\n"
                                           "log: {level: debug}\n"
                                           "apps: [three]\n"
                                           "hub: {url: https://old.example, interval: 15m}\n",
                                           "customer: {id: wish, name: E}\n"
                                           "hub: {retrieval_password: secret}\n"
                                           "image: example/controller:v1\n"
                                           "controller: {log: {level: warn}, extra: 1}\n");
    controller.customer_id = "acme";
    controller.hub_url = "https://hub.example";
    controller.endpoint = "192.168.0.162:8443";
    controller.fingerprint = "12:34:56";
    controller.token = "fh1_token";
    assert_rendered(&controller, "log:\n"
                                 "  level: warn\n"
                                 "  file: /var/log/c\n"
                                 "customer:\n"
                                 "  id: \"acme\"\n"
                                 "  plan: basic\n"
                                 "  name: E\n"
                                 "  domain: h.example\n"
                                 "apps:\n"
                                 "- three\n"
                                 "hub:\n"
                                 "  url: \"https://hub.example\"\n"
                                 "  interval: 15m\n"
                                 "extra: 1\n"
                                 "local_api:\n"
                                 "  endpoint: \"192.168.0.162:8443\"\n"
                                 "  fingerprint: \"12:34:56\"\n"
                                 "  token: \"fh1_token\"\n");
}

static void names_the_fingerprint_to_come(void **state)
{
    (void)state;
    struct controller controller = sources("", "", "");
    controller.fingerprint = "12:34:56";
    controller.fingerprint_next = "AB:CD:EF";
    controller.token = "fh1_token";
    assert_rendered(&controller, "local_api:\n"
                                 "  fingerprint: \"12:34:56\"\n"
                                 "  fingerprint_next: \"AB:CD:EF\"\n"
                                 "  token: \"fh1_token\"\n");
}

static void renders_own_keys_alone(void **state)
{
    (void)state;
    struct controller controller = sources(NULL, NULL, NULL);
    controller.endpoint = "10.0.0.1:8443";
    controller.token = "1e5";
    assert_rendered(&controller, "local_api:\n"
                                 "  endpoint: \"10.0.0.1:8443\"\n"
                                 "  token: \"1e5\"\n");
}

static void leaves_out_what_is_not_known(void **state)
{
    (void)state;
    assert_merged("customer: {id: kept}\nlocal_api: {endpoint: kept}\n", "hub: {url: kept}", NULL,
                  "customer:\n  id: kept\nlocal_api:\n  endpoint: kept\nhub:\n  url: kept\n");
}

static void renders_nothing_as_an_empty_map(void **state)
{
    (void)state;
    static const char *const empty[] = {
        NULL,    "",
        "\n\n",  "# only a comment\n",
        "---\n", "---\n# still nothing\n...\n",
        "{}",    "\xEF\xBB\xBF",
    };
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++)
        assert_merged(empty[i], empty[i], empty[i], "{}\n");
}

static void replaces_unless_both_are_maps(void **state)
{
    (void)state;
    assert_merged("map: {a: 1}\nlist: [1, 2]\nscalar: 1\nnull:\nsame: {a: {b: {c: 1, d: 2}}}\n",
                  "map: 5\nlist: {a: 1}\nscalar: [1]\nnull: {a: 1}\nsame: {a: {b: {d: 3, e: 4}}}\n",
                  NULL,
                  "map: 5\n"
                  "list:\n  a: 1\n"
                  "scalar:\n- 1\n"
                  "null:\n  a: 1\n"
                  "same:\n  a:\n    b:\n      c: 1\n      d: 3\n      e: 4\n");
}

static void replaces_a_scalar_where_it_needs_a_map(void **state)
{
    (void)state;
    struct controller controller = sources("customer: none\nlocal_api: [x]\n", NULL, NULL);
    controller.customer_id = "acme";
    controller.token = "t";
    assert_rendered(&controller, "customer:\n  id: \"acme\"\nlocal_api:\n  token: \"t\"\n");
}

static void takes_keys_as_equal_whatever_their_quotes(void **state)
{
    (void)state;
    assert_merged("\"a\": 1\n'b': 1\n!!str c: 1\nd: 1\n", "a: 2\nb: 2\nc: 2\n!!int d: 2\n", NULL,
                  "\"a\": 2\n'b': 2\n!!str c: 2\nd: 1\n!!int d: 2\n");
}

static void takes_the_later_style_and_tag(void **state)
{
    (void)state;
    assert_merged("a: 1\nb: '1'\nc: {k: 1}\nd: !!map {k: 1}\ne: !!str 1\n",
                  "a: \"1\"\nb: 1\nc: !!map {l: 2}\nd: {l: 2}\ne: !!int 1\n", NULL,
                  "a: \"1\"\nb: 1\nc: !!map\n  k: 1\n  l: 2\nd: !!map\n  k: 1\n  l: 2\n"
                  "e: !!int 1\n");
}

static void lets_no_other_enrolment_key_in(void **state)
{
    (void)state;
    assert_merged(NULL, NULL,
                  "hub: {url: x, retrieval_password: secret}\nimage: i\nother: o\n"
                  "customer: {id: acme, email: it@acme.example}\n",
                  "customer:\n  id: acme\n  email: it@acme.example\n");
}

static void takes_enrolment_parts_that_say_nothing(void **state)
{
    (void)state;
    assert_merged("a: 1\n", NULL, "customer:\ncontroller:\n", "a: 1\n");
    assert_merged("customer: {id: x}\n", NULL, "customer: {}\ncontroller: {}\n",
                  "customer:\n  id: x\n");
}

static void refuses_enrolment_parts_that_are_no_maps(void **state)
{
    (void)state;
    static const struct {
        const char *enrolment, *message;
    } cases[] = {
        {"customer: acme\n", "8200.yaml:1:11: must be a map"},
        {"image: i\ncontroller: [a]\n", "8200.yaml:2:13: must be a map"},
        {"customer: {}\ncontroller: ''\n", "8200.yaml:2:13: must be a map"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct controller controller = sources(NULL, NULL, cases[i].enrolment);
        assert_failed(&controller, cases[i].message);
    }
}

static void always_quotes_its_own_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"12:34:56", "null",       "yes",    "1.0",
                                        "~",        "2001-12-14", "<<",     "",
                                        " a: b #c", "\"",         "\\\t\n", "K\xC3\xB6ln"};
    static const char *const quoted[] = {
        "\"12:34:56\"", "\"null\"",       "\"yes\"",        "\"1.0\"",
        "\"~\"",        "\"2001-12-14\"", "\"<<\"",         NULL,
        "\" a: b #c\"", "\"\\\"\"",       "\"\\\\\\t\\n\"", "\"K\xC3\xB6ln\""};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct controller controller = sources("a: 1\n", NULL, NULL);
        controller.token = texts[i];
        char *expected = mem_format("a: 1\n%s%s%s", quoted[i] ? "local_api:\n  token: " : "",
                                    quoted[i] ? quoted[i] : "", quoted[i] ? "\n" : "");
        assert_rendered(&controller, expected);
        free(expected);
    }
}

static void refuses_own_texts_that_are_not_utf8(void **state)
{
    (void)state;
    struct controller controller = sources("a: 1\n", NULL, NULL);
    controller.hub_url = "https://k\xF6ln.example";
    assert_failed(&controller, "cannot be written as YAML: a text is not UTF-8");
}

static void changes_only_the_copy_that_an_alias_made(void **state)
{
    (void)state;
    assert_merged("base: &base {a: 1}\none: *base\ntwo: {<<: *base}\n",
                  "one: {a: 2}\ntwo: {a: 3}\n", NULL,
                  "base:\n  a: 1\none:\n  a: 2\ntwo:\n  a: 3\n");
}

/* A `<<` that stayed a key would have less precedence than the template's own key. */
static void lets_a_later_merge_key_win(void **state)
{
    (void)state;
    assert_merged("a: 1\n<<: {b: 1}\n", "<<: {a: 2, b: 2}\n", NULL, "a: 2\nb: 2\n");
}

static void names_the_source_at_fault(void **state)
{
    (void)state;
    const struct controller hub = sources("a: 1\n", "b: [\n", NULL);
    assert_failed(&hub,
                  "hub.yaml:2:1: while parsing a flow node: did not find expected node content");
    const struct controller enrolment = sources("a: 1\n", "b: 1\n", "[x]\n");
    assert_failed(&enrolment, "8200.yaml:1:1: the document must be a map");
}

/* The text ends where its length says, not at a NUL. */
static void reads_no_further_than_told(void **state)
{
    (void)state;
    struct controller controller = sources("a: 1\nb: [", NULL, NULL);
    controller.template.length = 5;
    assert_rendered(&controller, "a: 1\n");
    controller.template.length = 0;
    assert_rendered(&controller, "{}\n");
}

/* The output of one run can be the template of the next. */
static void changes_nothing_when_rendered_again(void **state)
{
    (void)state;
    struct controller controller =
        sources("a: {b: [1, {c: 'd'}]}\ncustomer: {id: x}\n", NULL, NULL);
    controller.customer_id = "acme";
    controller.token = "t";
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    struct error error;
    assert_int_equal(controller_render(&controller, &out, &error), 0);
    controller.template = (struct yaml_source){"again", out.data, out.length};
    assert_rendered(&controller, buffer_text(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_all_sources_by_weight),
        cmocka_unit_test(names_the_fingerprint_to_come),
        cmocka_unit_test(renders_own_keys_alone),
        cmocka_unit_test(leaves_out_what_is_not_known),
        cmocka_unit_test(renders_nothing_as_an_empty_map),
        cmocka_unit_test(replaces_unless_both_are_maps),
        cmocka_unit_test(replaces_a_scalar_where_it_needs_a_map),
        cmocka_unit_test(takes_keys_as_equal_whatever_their_quotes),
        cmocka_unit_test(takes_the_later_style_and_tag),
        cmocka_unit_test(lets_no_other_enrolment_key_in),
        cmocka_unit_test(takes_enrolment_parts_that_say_nothing),
        cmocka_unit_test(refuses_enrolment_parts_that_are_no_maps),
        cmocka_unit_test(always_quotes_its_own_texts),
        cmocka_unit_test(refuses_own_texts_that_are_not_utf8),
        cmocka_unit_test(changes_only_the_copy_that_an_alias_made),
        cmocka_unit_test(lets_a_later_merge_key_win),
        cmocka_unit_test(names_the_source_at_fault),
        cmocka_unit_test(reads_no_further_than_told),
        cmocka_unit_test(changes_nothing_when_rendered_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
