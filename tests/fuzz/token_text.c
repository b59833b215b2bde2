/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token's text from an Authorization header. What is accepted has one spelling: made anew from
 * its own secret and id, it is the same; and every token that can be made is accepted.
 */
#include <stdlib.h>
#include <string.h>

#include "schema/agent/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_parse(const char *text, size_t length)
{
    struct token_text token;
    memset(&token, 'x', sizeof token);
    const struct token_text untouched = token;
    if (!token_text_parse(text, length, &token)) {
        must(memcmp(&token, &untouched, sizeof token) == 0);
        return;
    }
    must(length == TOKEN_TEXT_LENGTH && memcmp(token.text, text, length) == 0);
    must(strlen(token.text) == TOKEN_TEXT_LENGTH && strlen(token.id) == TOKEN_ID_LENGTH);
}

/* One changed byte must never go unnoticed: a CRC finds every burst of up to 32 bits. */
static void check_made(const uint8_t *data, size_t changed, uint8_t with)
{
    struct token_text token;
    struct token_text parsed;
    token_text_make(data, data + 8, &token);
    must(token_text_parse(token.text, TOKEN_TEXT_LENGTH, &parsed));
    must(memcmp(&token, &parsed, sizeof token) == 0);
    token.text[changed % TOKEN_TEXT_LENGTH] ^= (char)with;
    must(token_text_parse(token.text, TOKEN_TEXT_LENGTH, &parsed) == (with == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_parse(size ? (const char *)data : "", size);
    if (size >= 8 + TOKEN_SECRET_BYTES + 2)
        check_made(data, data[40], data[41]);
    return 0;
}
