/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/token.h"

#include <endian.h>
#include <mbedtls/base64.h>
#include <string.h>

#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"

#define PREFIX        "fh1_"
#define CHECK_LENGTH  6
#define SECRET_LENGTH 43

#define ID_AT     (sizeof PREFIX - 1)
#define SECRET_AT (ID_AT + TOKEN_ID_LENGTH + 1)
#define CHECK_AT  (SECRET_AT + SECRET_LENGTH + 1)

_Static_assert(CHECK_AT + CHECK_LENGTH == TOKEN_TEXT_LENGTH, "the parts make up the whole");

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Writes the count lowest base-62 digits of number, most significant first, without a NUL. */
static void write_base62(uint64_t number, char *digits, size_t count)
{
    while (count-- > 0) {
        digits[count] = base62[number % 62];
        number /= 62;
    }
}

/*
 * CRC-32 as in IEEE 802.3 (reflected), which zlib and secret scanners compute too. Processes four
 * bits at a time; the table has what four steps with the polynomial 0xEDB88320 give for each value.
 */
static uint32_t crc32(const char *bytes, size_t length)
{
    static const uint32_t half_byte[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, //
        0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C, //
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, //
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= (uint8_t)bytes[i];
        crc = crc >> 4 ^ half_byte[crc & 15];
        crc = crc >> 4 ^ half_byte[crc & 15];
    }
    return ~crc;
}

static void token_write_secret(const uint8_t secret[static TOKEN_SECRET_BYTES], char *ret)
{
    char base64[SECRET_LENGTH + 2]; /* with padding and a NUL */
    size_t written;
    if (mbedtls_base64_encode((unsigned char *)base64, sizeof base64, &written, secret,
                              TOKEN_SECRET_BYTES) != 0)
        mem_exhausted();
    for (size_t i = 0; i < SECRET_LENGTH; i++) {
        ret[i] = base64[i];
        if (base64[i] == '+')
            ret[i] = '-';
        else if (base64[i] == '/')
            ret[i] = '_';
    }
    explicit_bzero(base64, sizeof base64);
}

static void token_copy_id(struct token_text *token)
{
    memcpy(token->id, token->text + ID_AT, TOKEN_ID_LENGTH);
    token->id[TOKEN_ID_LENGTH] = '\0';
}

void token_text_make(const uint8_t id_random[static 8],
                     const uint8_t secret[static TOKEN_SECRET_BYTES], struct token_text *ret)
{
    char *text = ret->text;
    uint64_t number;
    memcpy(&number, id_random, sizeof number);
    memcpy(text, PREFIX, ID_AT);
    write_base62(be64toh(number), text + ID_AT, TOKEN_ID_LENGTH);
    text[SECRET_AT - 1] = '_';
    token_write_secret(secret, text + SECRET_AT);
    text[CHECK_AT - 1] = '_';
    write_base62(crc32(text, CHECK_AT - 1), text + CHECK_AT, CHECK_LENGTH);
    text[TOKEN_TEXT_LENGTH] = '\0';
    token_copy_id(ret);
}

static bool consists_of(const char *text, size_t length, const char *alphabet)
{
    return slice_span((struct slice){text, length}, alphabet) == length;
}

/* 43 base64url characters hold 258 bits. The lowest two bits of the last one are unused and must be
 * 0, so that each secret has only one text. */
static bool is_secret(const char *text)
{
    if (!consists_of(text, SECRET_LENGTH, base64url))
        return false;
    return ((strchr(base64url, text[SECRET_LENGTH - 1]) - base64url) & 3) == 0;
}

static bool token_check_fits(const char *text)
{
    char check[CHECK_LENGTH];
    write_base62(crc32(text, CHECK_AT - 1), check, CHECK_LENGTH);
    return memcmp(check, text + CHECK_AT, CHECK_LENGTH) == 0;
}

bool token_text_parse(const char *text, size_t length, struct token_text *ret)
{
    if (length != TOKEN_TEXT_LENGTH || memcmp(text, PREFIX, ID_AT) != 0)
        return false;
    if (text[SECRET_AT - 1] != '_' || text[CHECK_AT - 1] != '_')
        return false;
    if (!consists_of(text + ID_AT, TOKEN_ID_LENGTH, base62) || !is_secret(text + SECRET_AT))
        return false;
    if (!token_check_fits(text))
        return false;
    memcpy(ret->text, text, length);
    ret->text[length] = '\0';
    token_copy_id(ret);
    return true;
}

void token_text_hash(const struct token_text *token, uint8_t ret[static TOKEN_HASH_BYTES])
{
    _Static_assert(TOKEN_HASH_BYTES == DIGEST_BYTES, "the hash is a SHA-256");
    digest_sha256(token->text, TOKEN_TEXT_LENGTH, ret);
}

void token_text_wipe(struct token_text *token)
{
    explicit_bzero(token, sizeof *token);
}
