/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/etag.h"

#include <stdio.h>
#include <string.h>

#include "schema/base/mbedtls.h"

#define TAG_BYTES 16

void etag_make(const struct buffer *content, char ret[static ETAG_SIZE])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(buffer_text(content), content->length, digest);
    char *end = ret;
    *end++ = '"';
    for (size_t i = 0; i < TAG_BYTES; i++, end += 2)
        (void)snprintf(end, 3, "%02x", digest[i]);
    memcpy(end, "\"", 2);
}

/* The first character after separators of a list. */
static const char *next_member(const char *text)
{
    return text + strspn(text, " \t,");
}

/* The end of the quoted tag that begins here; NULL where none does. */
static const char *end_of_tag(const char *text)
{
    const char *closing = text[0] == '"' ? strchr(text + 1, '"') : NULL;
    return closing ? closing + 1 : NULL;
}

bool etag_matches(const char *if_none_match, const char *etag)
{
    const char *member = next_member(if_none_match);
    if (member[0] == '*')
        return next_member(member + 1)[0] == '\0';
    while (member[0]) {
        const char *tag = strncmp(member, "W/", 2) == 0 ? member + 2 : member;
        const char *end = end_of_tag(tag);
        if (!end)
            return false;
        if ((size_t)(end - tag) == strlen(etag) && memcmp(tag, etag, (size_t)(end - tag)) == 0)
            return true;
        member = next_member(end);
    }
    return false;
}
