/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text form of a bearer token, fh1_ID_SECRET_CHECK: ID is 8 base62 characters (public, may be
 * logged), SECRET is 32 random bytes in base64url (43 characters), and CHECK is the CRC-32 of
 * everything before its underscore in base62 (6 characters), so that a scanner can recognise a
 * leaked token offline. The database stores only the ID and a SHA-256 of the text
 * (store/tables/token.h).
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
    char text[TOKEN_TEXT_LENGTH + 1]; /* secret; wipe it with token_text_wipe */
};

/* Builds the token's text from 8 random bytes for the ID and the secret. */
void token_text_make(const uint8_t id_random[static 8],
                     const uint8_t secret[static TOKEN_SECRET_BYTES], struct token_text *ret);

/*
 * Splits a token of length bytes. Returns false and leaves *ret untouched unless the form is exact
 * and CHECK is right.
 */
bool token_text_parse(const char *text, size_t length, struct token_text *ret);

/* Computes the SHA-256 of the whole text, which the store keeps in place of the token. */
void token_text_hash(const struct token_text *token, uint8_t ret[static TOKEN_HASH_BYTES]);

/* Overwrites the token with zeros. */
void token_text_wipe(struct token_text *token);

#define cleanup_token_text cleanup(token_text_wipe)

#endif
