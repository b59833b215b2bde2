/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/guest_documents.h"

#include <string.h>

#include <jansson.h>

#include "schema/base/cleanup.h"
#include "schema/json/json.h"
#include "tests/unit/test.h"

static const struct pins pins = {.spki = "c3BraQ==", .leaf = "AA:BB"};

static struct bootstrap full(void)
{
    return (struct bootstrap){
        .vmid = 8200,
        .host_id = "demo-felhom",
        .endpoint = "192.168.0.162:8443",
        .pins = &pins,
        .token = "fh1_token",
        .hub_url = "https://hub.example",
        .hub_retrieval_password = "correct horse",
        .customer_id = "acme",
        .registry_host = "gitea.example",
        .registry_username = "felhom",
        .controller_image = "gitea.example/admin/felhom-controller:v0.34.0",
        .controller_path = "",
        .controller_run = "",
    };
}

static void renders_the_spike(void **state)
{
    (void)state;
    const struct bootstrap bootstrap = full();
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    bootstrap_render(BOOTSTRAP_SPIKE, &bootstrap, &out);
    assert_string_equal(buffer_text(&out),
                        "{\n"
                        "  \"schema\": \"spike\",\n"
                        "  \"vmid\": 8200,\n"
                        "  \"hub_url\": \"https://hub.example\",\n"
                        "  \"host_id\": \"demo-felhom\",\n"
                        "  \"local_api_endpoint\": \"https://192.168.0.162:8443\",\n"
                        "  \"local_api_pin_spki_sha256\": \"c3BraQ==\",\n"
                        "  \"local_api_pin_leaf_sha256\": \"AA:BB\",\n"
                        "  \"local_api_token\": \"fh1_token\",\n"
                        "  \"registry\": {\n"
                        "    \"host\": \"gitea.example\",\n"
                        "    \"username\": \"felhom\",\n"
                        "    \"token\": \"\"\n"
                        "  },\n"
                        "  \"controller_image\": "
                        "\"gitea.example/admin/felhom-controller:v0.34.0\"\n"
                        "}\n");
}

static void renders_v2(void **state)
{
    (void)state;
    const struct bootstrap bootstrap = full();
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    bootstrap_render(BOOTSTRAP_V2, &bootstrap, &out);
    assert_string_equal(buffer_text(&out), "{\n"
                                           "  \"schema\": \"felhom.bootstrap/v2\",\n"
                                           "  \"customer\": {\n"
                                           "    \"id\": \"acme\"\n"
                                           "  },\n"
                                           "  \"hub\": {\n"
                                           "    \"url\": \"https://hub.example\",\n"
                                           "    \"retrieval_password\": \"correct horse\"\n"
                                           "  },\n"
                                           "  \"local_api\": {\n"
                                           "    \"endpoint\": \"192.168.0.162:8443\",\n"
                                           "    \"fingerprint\": \"AA:BB\",\n"
                                           "    \"token\": \"fh1_token\"\n"
                                           "  }\n"
                                           "}\n");
}

static void names_the_pins_to_come(void **state)
{
    (void)state;
    static const struct pins coming = {.spki = "bmV4dA==", .leaf = "CC:DD"};
    struct bootstrap bootstrap = full();
    cleanup_buffer struct buffer spike = BUFFER_EMPTY;
    cleanup_buffer struct buffer v2 = BUFFER_EMPTY;
    bootstrap.coming = &coming;
    bootstrap_render(BOOTSTRAP_SPIKE, &bootstrap, &spike);
    bootstrap_render(BOOTSTRAP_V2, &bootstrap, &v2);
    assert_non_null(strstr(buffer_text(&spike),
                           "  \"local_api_pin_leaf_sha256\": \"AA:BB\",\n"
                           "  \"local_api_pin_spki_sha256_next\": \"bmV4dA==\",\n"
                           "  \"local_api_pin_leaf_sha256_next\": \"CC:DD\",\n"
                           "  \"local_api_token\": \"fh1_token\",\n"));
    assert_non_null(strstr(buffer_text(&v2), "    \"fingerprint\": \"AA:BB\",\n"
                                             "    \"fingerprint_next\": \"CC:DD\",\n"
                                             "    \"token\": \"fh1_token\"\n"));
}

/* Without any of them the document is unchanged. */
static void names_no_pins_where_none_are_to_come(void **state)
{
    (void)state;
    static const struct pins none = {"", ""};
    struct bootstrap bootstrap = full();
    for (enum bootstrap_schema schema = BOOTSTRAP_SPIKE; schema <= BOOTSTRAP_V2; schema++) {
        cleanup_buffer struct buffer absent = BUFFER_EMPTY;
        cleanup_buffer struct buffer empty = BUFFER_EMPTY;
        bootstrap.coming = NULL;
        bootstrap_render(schema, &bootstrap, &absent);
        bootstrap.coming = &none;
        bootstrap_render(schema, &bootstrap, &empty);
        assert_string_equal(buffer_text(&absent), buffer_text(&empty));
        assert_null(strstr(buffer_text(&absent), "next"));
    }
}

static void keeps_every_key_when_nothing_is_known(void **state)
{
    (void)state;
    static const struct pins none = {"", ""};
    const struct bootstrap bootstrap = {
        .vmid = 999999999,
        .host_id = "",
        .endpoint = "",
        .pins = &none,
        .token = "",
        .hub_url = "",
        .hub_retrieval_password = "",
        .customer_id = "",
        .registry_host = "",
        .registry_username = "",
        .controller_image = "",
        .controller_path = "",
        .controller_run = "",
    };
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    bootstrap_render(BOOTSTRAP_SPIKE, &bootstrap, &out);
    assert_string_equal(buffer_text(&out), "{\n"
                                           "  \"schema\": \"spike\",\n"
                                           "  \"vmid\": 999999999,\n"
                                           "  \"hub_url\": \"\",\n"
                                           "  \"host_id\": \"\",\n"
                                           "  \"local_api_endpoint\": \"\",\n"
                                           "  \"local_api_pin_spki_sha256\": \"\",\n"
                                           "  \"local_api_pin_leaf_sha256\": \"\",\n"
                                           "  \"local_api_token\": \"\",\n"
                                           "  \"registry\": {\n"
                                           "    \"host\": \"\",\n"
                                           "    \"username\": \"\",\n"
                                           "    \"token\": \"\"\n"
                                           "  },\n"
                                           "  \"controller_image\": \"\"\n"
                                           "}\n");
}

/* Keys that the platform does not need are present only if an operator configured them. */
static void tells_what_the_operator_wishes_of_the_container(void **state)
{
    (void)state;
    struct bootstrap bootstrap = full();
    bootstrap.controller_path = "/srv/c/controller.yaml";
    bootstrap.controller_run = "--init\n--env=A=b, c";
    for (enum bootstrap_schema schema = BOOTSTRAP_SPIKE; schema <= BOOTSTRAP_V2; schema++) {
        cleanup_buffer struct buffer out = BUFFER_EMPTY;
        bootstrap_render(schema, &bootstrap, &out);
        assert_non_null(strstr(buffer_text(&out),
                               "  \"controller_path\": \"/srv/c/controller.yaml\",\n"
                               "  \"controller_run\": [\n"
                               "    \"--init\",\n"
                               "    \"--env=A=b, c\"\n"
                               "  ]\n"
                               "}\n"));
    }
}

static void adds_to_what_is_there(void **state)
{
    (void)state;
    const struct bootstrap bootstrap = full();
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    buffer_add_text(&out, "before\n");
    bootstrap_render(BOOTSTRAP_V2, &bootstrap, &out);
    assert_memory_equal(buffer_text(&out), "before\n{\n", 9);
}

/* Returns what a text becomes when the document is parsed. */
static void assert_read_as(const char *text, const char *expected)
{
    struct bootstrap bootstrap = full();
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    bootstrap.host_id = text;
    bootstrap_render(BOOTSTRAP_SPIKE, &bootstrap, &out);
    json_error_t error;
    json_t *document = json_loadb(out.data, out.length, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(document);
    assert_string_equal(json_string_value(json_object_get(document, "host_id")), expected);
    json_decref(document);
}

static void keeps_any_valid_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "quote \" backslash \\ slash / tab \t newline \n bell \a delete \x7F",
        "K\xC3\xB6ln",
        "\xC2\x80 \xDF\xBF",                                   /* the two-byte sequences' ends */
        "\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF", /* three, around the surrogates */
        "\xF0\x90\x80\x80 \xF0\x9F\x98\x80 \xF4\x8F\xBF\xBF",  /* four */
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_read_as(texts[i], texts[i]);
}

#define R "\xEF\xBF\xBD"

static void replaces_what_is_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"k\xF6ln", "k" R "ln"},       /* Latin-1 */
        {"\x80", R},                   /* a continuation alone */
        {"\xC0\xAF", R R},             /* overlong */
        {"\xC1\xBF", R R},             /* overlong */
        {"\xE0\x9F\xBF", R R R},       /* overlong */
        {"\xF0\x8F\xBF\xBF", R R R R}, /* overlong */
        {"\xED\xA0\x80", R R R},       /* a surrogate */
        {"\xF4\x90\x80\x80", R R R R}, /* beyond U+10FFFF */
        {"\xF5\x80\x80\x80", R R R R}, /* beyond */
        {"\xFF\xFE", R R},             /* no UTF-8 at all */
        {"a\xE2\x82", "a" R R},        /* cut at the end */
        {"a\xF0\x9F\x98", "a" R R R},  /* cut at the end */
        {"\xE2\x82z", R R "z"},        /* cut inside */
        {"\xF0\x9F\x98\xF0\x9F\x98\x80", R R R "\xF0\x9F\x98\x80"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_read_as(cases[i].text, cases[i].expected);
}

static void survives_rubbish_in_every_text(void **state)
{
    (void)state;
    static const char rubbish[] = "\xFF\"\\\x01";
    static const struct pins strange = {"\xFF", "\xFF"};
    const struct bootstrap bootstrap = {
        .vmid = 100,
        .host_id = rubbish,
        .endpoint = rubbish,
        .pins = &strange,
        .token = rubbish,
        .hub_url = rubbish,
        .hub_retrieval_password = rubbish,
        .customer_id = rubbish,
        .registry_host = rubbish,
        .registry_username = rubbish,
        .controller_image = rubbish,
        .controller_path = rubbish,
        .controller_run = rubbish,
    };
    for (enum bootstrap_schema schema = BOOTSTRAP_SPIKE; schema <= BOOTSTRAP_V2; schema++) {
        cleanup_buffer struct buffer out = BUFFER_EMPTY;
        bootstrap_render(schema, &bootstrap, &out);
        json_t *document = json_loadb(out.data, out.length, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(document);
        json_decref(document);
    }
}

/* json_wipe must get the only reference; a second one here lets the test look at what is left. */
static void wipes_every_string_below(void **state)
{
    (void)state;
    json_t *inner = json_text("secret");
    json_t *listed = json_text("another");
    json_wipe(json_pack("{s:{s:O}, s:[i, O]}", "a", "b", inner, "c", 1, listed));
    assert_memory_equal(json_string_value(inner), "\0\0\0\0\0\0", 6);
    assert_memory_equal(json_string_value(listed), "\0\0\0\0\0\0\0", 7);
    json_decref(inner);
    json_decref(listed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_the_spike),
        cmocka_unit_test(renders_v2),
        cmocka_unit_test(names_the_pins_to_come),
        cmocka_unit_test(names_no_pins_where_none_are_to_come),
        cmocka_unit_test(keeps_every_key_when_nothing_is_known),
        cmocka_unit_test(tells_what_the_operator_wishes_of_the_container),
        cmocka_unit_test(adds_to_what_is_there),
        cmocka_unit_test(keeps_any_valid_text),
        cmocka_unit_test(replaces_what_is_not_utf8),
        cmocka_unit_test(survives_rubbish_in_every_text),
        cmocka_unit_test(wipes_every_string_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
