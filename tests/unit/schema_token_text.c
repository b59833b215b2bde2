/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/token.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

/* Computed with Python's zlib.crc32, base64.urlsafe_b64encode and hashlib.sha256. */
static const struct vector {
    uint8_t id_first, id_step; /* id byte i is id_first + i * id_step, and so is the secret's */
    const char *text;
    const uint8_t hash[TOKEN_HASH_BYTES];
} vectors[] = {
    {0,
     1,
     "fh1_IYT0XLWR_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_2vr19P",
     {0x02, 0x3c, 0x69, 0x3c, 0x62, 0x35, 0x6b, 0xfa, 0x87, 0xbe, 0xbb,
      0xae, 0x20, 0x0d, 0x91, 0xda, 0x3c, 0xd8, 0xdf, 0x0f, 0x9f, 0x18,
      0x00, 0xdd, 0x2e, 0x16, 0x32, 0xd3, 0xc9, 0xa6, 0x22, 0xf1}},
    {0xFF,
     0,
     "fh1_Ha16AHYF___________________________________________8_0unxtU",
     {0x26, 0x53, 0xf9, 0xd0, 0x18, 0x36, 0x6b, 0x4b, 0xd5, 0xf7, 0xa8,
      0xb0, 0x01, 0x23, 0xc4, 0x4f, 0xd3, 0x5e, 0x7f, 0x53, 0x84, 0x3a,
      0xce, 0xfb, 0xd7, 0xd1, 0x4b, 0x26, 0xd7, 0xe7, 0x4f, 0x16}},
    {0,
     0,
     "fh1_00000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_1YySpW",
     {0xdd, 0x35, 0x6b, 0xf8, 0x03, 0xad, 0x46, 0x6d, 0x06, 0x3b, 0x66,
      0x06, 0x94, 0x22, 0x43, 0x39, 0x6e, 0x2b, 0xb0, 0x05, 0x90, 0xe8,
      0xe8, 0xa4, 0x04, 0xa6, 0xcc, 0x62, 0x66, 0x57, 0x17, 0x3e}},
};

static void make(const struct vector *vector, struct token_text *ret)
{
    uint8_t bytes[TOKEN_SECRET_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(vector->id_first + i * vector->id_step);
    token_text_make(bytes, bytes, ret);
}

static void makes_known_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        cleanup_token_text struct token_text token;
        make(&vectors[i], &token);
        assert_string_equal(token.text, vectors[i].text);
        assert_memory_equal(token.id, vectors[i].text + 4, TOKEN_ID_LENGTH);
        assert_int_equal(token.id[TOKEN_ID_LENGTH], '\0');
    }
}

static void hashes_the_whole_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        cleanup_token_text struct token_text token;
        uint8_t hash[TOKEN_HASH_BYTES];
        make(&vectors[i], &token);
        token_text_hash(&token, hash);
        assert_memory_equal(hash, vectors[i].hash, sizeof hash);
    }
}

static void parses_what_it_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        struct token_text made;
        struct token_text parsed;
        make(&vectors[i], &made);
        assert_true(token_text_parse(vectors[i].text, TOKEN_TEXT_LENGTH, &parsed));
        assert_memory_equal(&parsed, &made, sizeof made);
    }
}

/* As in a header line, where more text follows. */
static void reads_no_further_than_told(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_LENGTH];
    struct token_text token;
    memcpy(text, vectors[0].text, sizeof text);
    assert_true(token_text_parse(text, sizeof text, &token));
    assert_string_equal(token.text, vectors[0].text);
}

static void assert_refused(const char *text, size_t length)
{
    struct token_text token;
    memset(&token, 'x', sizeof token);
    const struct token_text untouched = token;
    assert_false(token_text_parse(text, length, &token));
    assert_memory_equal(&token, &untouched, sizeof token);
}

static void refuses_other_lengths(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_LENGTH + 2] = "";
    memcpy(text, vectors[0].text, TOKEN_TEXT_LENGTH);
    for (size_t length = 0; length < TOKEN_TEXT_LENGTH; length++)
        assert_refused(text, length);
    text[TOKEN_TEXT_LENGTH] = '\n';
    assert_refused(text, TOKEN_TEXT_LENGTH + 1);
    assert_refused(text, SIZE_MAX);
}

/* At each position, each byte but the right one. */
static void refuses_any_changed_byte(void **state)
{
    (void)state;
    char text[TOKEN_TEXT_LENGTH + 1];
    memcpy(text, vectors[0].text, sizeof text);
    for (size_t place = 0; place < TOKEN_TEXT_LENGTH; place++) {
        for (unsigned change = 1; change < 256; change++) {
            text[place] = (char)((uint8_t)vectors[0].text[place] ^ change);
            assert_refused(text, TOKEN_TEXT_LENGTH);
        }
        text[place] = vectors[0].text[place];
    }
}

/* The checksums of these texts are right, so each is refused for the reason in its comment. */
static void refuses_wrong_form_with_right_check(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "fh1_IYT0XLWR_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9_3wJXgD", /* a spare bit is set */
        "fh1_IYT0XLWR_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-_3lr5PE", /* both are */
        "fh1_IYT0XLWR_AAECAw+FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_1XCfom", /* not base64url */
        "fh1_IYT0XLWR_AAECAw=FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_2RBTA5", /* padding */
        "fh1_IYT0XL-R_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_1bEF7J", /* id not base62 */
        "fh1_IYT0XL_R_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_4G09gP", /* id not base62 */
        "fh2_IYT0XLWR_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_2yo2sT", /* another prefix */
        "FH1_IYT0XLWR_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_19n3LD", /* another prefix */
        "fh1_IYT0XLWR-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_4TixlV", /* no underscore */
        "fh1_IYT0XLWR_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8-2vr19P", /* no underscore */
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_refused(wrong[i], TOKEN_TEXT_LENGTH);
}

static void wipes_everything(void **state)
{
    (void)state;
    static const struct token_text wiped;
    struct token_text token;
    make(&vectors[1], &token);
    token_text_wipe(&token);
    assert_memory_equal(&token, &wiped, sizeof token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_known_texts),
        cmocka_unit_test(hashes_the_whole_text),
        cmocka_unit_test(parses_what_it_made),
        cmocka_unit_test(reads_no_further_than_told),
        cmocka_unit_test(refuses_other_lengths),
        cmocka_unit_test(refuses_any_changed_byte),
        cmocka_unit_test(refuses_wrong_form_with_right_check),
        cmocka_unit_test(wipes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
