/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/yaml/tree.h"

#include <string.h>

#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "tests/unit/test.h"

/* Reads the text and writes it again. */
static void rewrite(const char *text, size_t length, struct buffer *out)
{
    cleanup_yaml_tree struct yaml_tree *tree = NULL;
    struct error error = {0};
    (void)yaml_tree_load("x.yaml", text, length, &tree, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(yaml_tree_emit(tree, out, &error), 0);
}

static void assert_rewritten(const char *text, const char *expected)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    rewrite(text, strlen(text), &out);
    assert_string_equal(buffer_text(&out), expected);
}

static void assert_refused_n(const char *text, size_t length, const char *message)
{
    struct yaml_tree *tree = NULL;
    struct error error = {0};
    assert_int_equal(yaml_tree_load("x.yaml", text, length, &tree, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_string_equal(error.message, message);
    assert_null(tree);
}

static void assert_refused(const char *text, const char *message)
{
    assert_refused_n(text, strlen(text), message);
}

/* --- meaning --- */

static void describe(const yaml_event_t *event, struct buffer *out)
{
    buffer_add_format(out, "%d", (int)event->type);
    if (event->type == YAML_SCALAR_EVENT) {
        buffer_add_format(out, " plain=%d tag=%s text=", event->data.scalar.plain_implicit,
                          event->data.scalar.tag ? (char *)event->data.scalar.tag : "");
        buffer_add(out, event->data.scalar.value, event->data.scalar.length);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        buffer_add_format(out, " tag=%s", (char *)event->data.mapping_start.tag);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        buffer_add_format(out, " tag=%s", (char *)event->data.sequence_start.tag);
    }
    buffer_add_text(out, "\n");
}

/* What a parser reports about a document: exactly what its meaning depends on. */
static void hear(const char *text, size_t length, struct buffer *out)
{
    yaml_parser_t parser;
    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    for (bool more = true; more;) {
        yaml_event_t event;
        assert_true(yaml_parser_parse(&parser, &event));
        describe(&event, out);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}

static void assert_heard_alike(const char *text)
{
    cleanup_buffer struct buffer rewritten = BUFFER_EMPTY;
    cleanup_buffer struct buffer expected = BUFFER_EMPTY;
    cleanup_buffer struct buffer heard = BUFFER_EMPTY;
    rewrite(text, strlen(text), &rewritten);
    hear(text, strlen(text), &expected);
    hear(rewritten.data, rewritten.length, &heard);
    assert_string_equal(buffer_text(&heard), buffer_text(&expected));
}

static void keeps_every_meaning(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a: \"1.0\"\nb: 'yes'\nc: yes\nd: 1.0\ne: 0x10\nf: 010\ng: 1e3\nh: .inf\ni: -.5\n",
        "a: null\nb: ~\nc:\nd: 'null'\ne: \"\"\nf: ''\n",
        "a: 2001-12-14\nb: 2001-12-14t21:59:43.10-05:00\nc: '2001-12-14'\n",
        "a: 12:34:56\nb: [12:34, 1_000, http://x.example/y?z=1#frag, 'a,b']\n",
        "12:34: x\n1: y\n'1.0': z\ntrue: t\n",
        "a: !!str 12\nb: !!int '12'\nc: !!null ''\nd: !!bool 'no'\ne: !!float '1'\n",
        "a: !!map {b: !!seq [c]}\n",
        "%TAG !x! tag:yaml.org,2002:\n---\na: !x!str z\n",
        "a: ! '12'\nb: ! \"x\"\n",
        "a: |\n  literal\n    indented\n\n  end\nb: |-\n  stripped\nc: |+\n  kept\n\n\nd: x\n",
        "a: |2\n    leading\n  less\nb: |\n\n  blank first\n",
        "a: >\n  folded\n  text\n\n  paragraph\n    more\n  end\nb: >-\n  x\n  y\n",
        "a: plain over\n  two lines\nb: 'single\n\n  quoted'\nc: \"double\n  folded\\\n   here\"\n",
        "a: \" leading\"\nb: 'trailing '\nc: \"tab\\t\"\nd: \"\\x07\\e\\0\"\ne: \"\\n\"\nf: "
        "\"a\\r\\nb\"\n",
        "K\xC3\xB6ln: \xE2\x98\x83\na: \"\xF0\x9F\x98\x80\"\nb: "
        "\"\\u2028\\x85\\uFEFF\\U0001F600\"\n",
        "a: \xE6\x97\xA5\xE6\x9C\xAC\nb: '\xD8\xB9'\nc: |\n  \xF0\x9F\x98\x80\n  x\n",
        "a: [[], {}, [[]], {b: []}]\nb: {}\nc: []\nd: [[1, 2], [3]]\n",
        "? [x, y]\n: complex\n? {a: b}\n: map\n? |\n  literal\n: v\n",
        "a: '- x'\nb: '# x'\nc: 'x: y'\nd: '{x'\ne: '&x'\nf: '*x'\ng: '%x'\nh: '@x'\ni: '`'\nj: "
        "'<<'\n",
        "-a: -b\n?a: ?b\n:a: :b\na#b: c#d\n'---': '...'\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_heard_alike(texts[i]);
}

/* libyaml does not write tabs and empty keys plainly; their meaning must be kept nevertheless. */
static void keeps_the_meaning_of_what_must_be_quoted(void **state)
{
    (void)state;
    assert_rewritten("a: 2001-12-14\t21:59:43\n? \n: x\n",
                     "a: ! \"2001-12-14\\t21:59:43\"\n! '': x\n");
    assert_rewritten("a: ---x\nb: \xF0\x9F\x98\x80\n", "a: '---x'\nb: \"\\U0001F600\"\n");
}

static void keeps_styles_and_order(void **state)
{
    (void)state;
    static const char text[] = "zebra: \"double\"\n"
                               "apple: 'single'\n"
                               "mango: plain\n"
                               "literal: |\n"
                               "  one\n"
                               "    two\n"
                               "folded: >-\n"
                               "  one two\n"
                               "K\xC3\xB6ln: \xE2\x98\x83\n"
                               "empty:\n"
                               "tagged: !!str 12\n"
                               "list:\n"
                               "- a\n"
                               "- b: 1\n"
                               "  c: 2\n";
    assert_rewritten(text, text);
}

static void refuses_tags_of_other_schemas(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line, column;
    } cases[] = {
        {"a: !<!x,y> 1\n", 1, 4},
        {"a: !local v\n", 1, 4},
        {"a: !<!!int> 1\n", 1, 4},
        {"a: !<!x!y> []\n", 1, 4},
        {"a: !!x%2Cy {}\n", 1, 4},
        {"a: !!binary aGk=\n", 1, 4},
        {"a: !!set {x, y}\n", 1, 4},
        {"b: 1\na: [1, !!omap [x: 1]]\n", 2, 8},
        {"a: !<tag:yaml.org,2002:> z\n", 1, 4},
        {"a: !<tag:x.example,2020:str> z\n", 1, 4},
        {"a: !!python/object/apply:os.system [id]\n", 1, 4},
        {"local_api: 1\n!foo local_api: 2\n", 2, 1},
        {"%TAG !x! tag:yaml.org,2002:tag:x.example,2020:\n---\na: !x!y z\n", 3, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *message = mem_format("x.yaml:%d:%d: only the tags !!null, !!bool, "
                                                "!!int, !!float, !!str, !!seq and !!map are "
                                                "allowed",
                                                cases[i].line, cases[i].column);
        assert_refused(cases[i].text, message);
    }
}

static void folds_no_long_line(void **state)
{
    (void)state;
    cleanup_free char *word = mem_new_array(1, 5001);
    for (size_t i = 0; i < 5000; i++)
        word[i] = i % 10 == 9 ? ' ' : 'x';
    word[4999] = 'x';
    cleanup_free char *text = mem_format(
        "plain: %s\nsingle: '%s'\ndouble: \"%s\"\nfolded: >\n  %s\n", word, word, word, word);
    assert_rewritten(text, text);
}

/* --- anchors and merge keys --- */

static void resolves_aliases(void **state)
{
    (void)state;
    assert_rewritten(
        "base: &base {a: 1, b: [x, 'y']}\none: *base\ntwo: &base second\nthree: *base\n"
        "&k key: *k\n",
        "base:\n  a: 1\n  b:\n  - x\n  - 'y'\n"
        "one:\n  a: 1\n  b:\n  - x\n  - 'y'\n"
        "two: second\nthree: second\nkey: key\n");
}

static void expands_merge_keys(void **state)
{
    (void)state;
    assert_rewritten("base: &base {a: 1, b: {c: 1}}\n"
                     "one: {<<: *base, a: 2}\n"
                     "two: {<<: [{x: 1}, {x: 2, y: 2}], z: 3}\n"
                     "three: {<<: {<<: *base, d: 4}}\n"
                     "four: {\"<<\": kept}\n",
                     "base:\n  a: 1\n  b:\n    c: 1\n"
                     "one:\n  a: 2\n  b:\n    c: 1\n"
                     "two:\n  z: 3\n  x: 1\n  y: 2\n"
                     "three:\n  d: 4\n  a: 1\n  b:\n    c: 1\n"
                     "four:\n  \"<<\": kept\n");
}

/* The anchor is in a value of a map that has been processed when the alias is used. */
static void resolves_an_alias_into_a_merge_key(void **state)
{
    (void)state;
    assert_rewritten("a: {<<: &in {x: &deep [1]}, x: 2}\nb: *in\nc: *deep\n",
                     "a:\n  x: 2\nb:\n  x:\n  - 1\nc:\n- 1\n");
}

/* --- refusals --- */

static void refuses_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n",
         "x.yaml:3:1: a: this key is there twice in the same map, first in line 1: write both as "
         "one"},
        {"a: {b: 1, 'b': 2}\n", "x.yaml:1:11: a.b: this key is there twice in the same map, first "
                                "in line 1: write both as "
                                "one"},
        {"- {[x]: 1, [x]: 2}\n",
         "x.yaml:1:12: this key is there twice in the same map, first in line 1: write both as "
         "one"},
        {"k: {[x]: 1, [x]: 2}\n",
         "x.yaml:1:13: this key is there twice in the same map, first in line 1: write both as "
         "one"},
        {"just text\n", "x.yaml:1:1: the document must be a map"},
        {"null\n", "x.yaml:1:1: the document must be a map"},
        {"a: 1\n---\nb: 2\n", "x.yaml:2:1: there must be only one document in the file"},
        {"---\n---\na: 1\n", "x.yaml:2:1: there must be only one document in the file"},
        {"a: *nowhere\n", "x.yaml:1:4: this alias has no anchor before it"},
        {"a: &a {b: [*a]}\n", "x.yaml:1:12: this alias stands inside what it names"},
        {"a: &a 1\nb: &a [*a]\n", "x.yaml:2:8: this alias stands inside what it names"},
        {"a: {<<: 5}\n", "x.yaml:1:9: << takes maps only"},
        {"a: {<<: [{x: 1}, 5]}\n", "x.yaml:1:18: << takes maps only"},
        {"a: {<<: [[{x: 1}]]}\n", "x.yaml:1:10: << takes maps only"},
        {"a: [1\nb: 2\n",
         "x.yaml:2:2: while parsing a flow sequence: did not find expected ',' or ']'"},
        {"a: 1\n b: 2\n", "x.yaml:2:3: mapping values are not allowed in this context"},
        {"a: \"open\n",
         "x.yaml:2:1: while scanning a quoted scalar: found unexpected end of stream"},
        {"a:\n\tb: 1\n", "x.yaml:2:1: while scanning for the next token: found character that "
                         "cannot start any token (a tab: YAML is indented with spaces)"},
        {"\u00e9: 1\nb: \u00e9\tc\n\td: e\n",
         "x.yaml:3:1: while scanning a plain scalar: found a tab character that "
         "violates indentation (a tab: YAML is indented with spaces)"},
        {"a: 1\nb: \xFF\n", "x.yaml:2:4: invalid leading UTF-8 octet"},
        {"a: \x01\n", "x.yaml:1:4: control characters are not allowed"},
        {"a: \xC3", "x.yaml:1:4: incomplete UTF-8 octet sequence"},
        {"%YAML 3.0\n---\na: 1\n", "x.yaml:1:1: found incompatible YAML document"},
        {"a: !x!y 1\n", "x.yaml:1:4: while parsing a node: found undefined tag handle"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_refused(cases[i].text, cases[i].message);
}

/* Returns "a: [[[...]]]" with the innermost list at this level; the root is level 1. */
static char *nested(size_t levels)
{
    char *text = mem_new_array(2 * levels + 8, 1);
    char *end = stpcpy(text, "a: ");
    end = memset(end, '[', levels - 1);
    memset(end + levels - 1, ']', levels - 1);
    return text;
}

static void refuses_deep_nesting(void **state)
{
    (void)state;
    cleanup_free char *fits = nested(64);
    cleanup_free char *too_deep = nested(65);
    cleanup_free char *far_too_deep = nested(500000);
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    rewrite(fits, strlen(fits), &out);
    assert_refused(too_deep, "x.yaml:1:67: nested deeper than 64 levels");
    assert_refused(far_too_deep, "x.yaml:1:67: nested deeper than 64 levels");
}

static void refuses_deep_nesting_by_alias(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "l0: &l0 [x]\n");
    for (int i = 1; i < 70; i++)
        buffer_add_format(&text, "l%d: &l%d [*l%d]\n", i, i, i - 1);
    assert_refused(buffer_text(&text), "x.yaml:63:12: nested deeper than 64 levels");
}

#define TOO_MANY "too many nodes, or too large with its aliases resolved"

static void refuses_to_blow_up(void **state)
{
    (void)state;
    assert_refused("a: &a [x, x, x, x, x, x, x, x, x, x]\n"
                   "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
                   "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
                   "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
                   "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
                   "x.yaml:4:32: " TOO_MANY);
}

static void refuses_to_copy_a_long_text_over_and_over(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "a: &a ");
    memset(buffer_reserve(&text, 600000), 'x', 600000);
    text.length += 600000;
    buffer_add_text(&text, "\nb: *a\n");
    assert_refused(buffer_text(&text), "x.yaml:2:4: " TOO_MANY);
}

static void bounds_the_size(void **state)
{
    (void)state;
    size_t limit = MIB;
    cleanup_free char *text = mem_new_array(limit + 1, 1);
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    memset(text, '#', limit + 1);
    rewrite(text, limit, &out);
    assert_string_equal(buffer_text(&out), "{}\n");
    assert_refused_n(text, limit + 1, "x.yaml:1:1: the document is larger than 1 MiB");
}

static void bounds_the_number_of_nodes(void **state)
{
    (void)state;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "a:\n"); /* with the root and the list these are 3 */
    for (int i = 0; i < 8192 - 3; i++)
        buffer_add_text(&text, "- x\n");
    assert_rewritten(buffer_text(&text), buffer_text(&text));
    buffer_add_text(&text, "- x\n");
    assert_refused(buffer_text(&text), "x.yaml:8191:3: " TOO_MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_meaning),
        cmocka_unit_test(keeps_the_meaning_of_what_must_be_quoted),
        cmocka_unit_test(keeps_styles_and_order),
        cmocka_unit_test(refuses_tags_of_other_schemas),
        cmocka_unit_test(folds_no_long_line),
        cmocka_unit_test(resolves_aliases),
        cmocka_unit_test(expands_merge_keys),
        cmocka_unit_test(resolves_an_alias_into_a_merge_key),
        cmocka_unit_test(refuses_with_the_place),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(refuses_deep_nesting_by_alias),
        cmocka_unit_test(refuses_to_blow_up),
        cmocka_unit_test(refuses_to_copy_a_long_text_over_and_over),
        cmocka_unit_test(bounds_the_size),
        cmocka_unit_test(bounds_the_number_of_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
