/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text form of a bearer token: fh1_ID_SECRET_CHECK, where ID is 8 base62 characters (public,
 * fit for logs), SECRET is 32 random bytes in base64url (43 characters) and CHECK is the CRC-32 of
 * all before its underscore in base62 (6 characters), so that a scanner can recognise a leaked
 * token offline.
 */
#ifndef FELHOM_TOKEN_H
#define FELHOM_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_ID_LENGTH    8
#define TOKEN_SECRET_BYTES 32
#define TOKEN_HASH_BYTES   32
#define TOKEN_TEXT_LENGTH  63

struct token_text {
    char id[TOKEN_ID_LENGTH + 1];
    char text[TOKEN_TEXT_LENGTH + 1]; /* secret: wiped by token_text_wipe */
};

/* Builds the text from 8 id bytes (only their randomness counts) and the secret. */
void token_text_make(const uint8_t id_random[static 8],
                     const uint8_t secret[static TOKEN_SECRET_BYTES], struct token_text *ret);

/*
 * Takes length bytes apart. False unless they have the exact form and the check fits; *ret is
 * untouched then.
 */
bool token_text_parse(const char *text, size_t length, struct token_text *ret);

/* SHA-256 over the whole text: what the store keeps of a token. */
void token_text_hash(const struct token_text *token, uint8_t ret[static TOKEN_HASH_BYTES]);

void token_text_wipe(struct token_text *token);

#define cleanup_token_text cleanup(token_text_wipe)

#endif
