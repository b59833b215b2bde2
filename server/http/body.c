/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/body.h"

#include <string.h>
#include <strings.h>

#include "server/http/reply.h"
#include "server/http/request.h"

#define BLANKS " \t"

/* Whether the next piece of a header, up to its end or a semicolon, is this word; *text is moved
 * behind it. */
static bool take_piece(const char **text, const char *word)
{
    const char *start = *text + strspn(*text, BLANKS);
    size_t length = strcspn(start, ";");
    *text = start + length + (start[length] == ';');
    while (length > 0 && strchr(BLANKS, start[length - 1]))
        length--;
    return length == strlen(word) && strncasecmp(start, word, length) == 0;
}

static bool is_json_type(const char *type)
{
    if (!take_piece(&type, "application/json"))
        return false;
    const char *charset = type;
    const char *quoted = type;
    return *type == '\0' || (take_piece(&charset, "charset=utf-8") && *charset == '\0') ||
           (take_piece(&quoted, "charset=\"utf-8\"") && *quoted == '\0');
}

static bool is_json(const struct request *request)
{
    const char *type = request_header(request, "Content-Type", 0);
    return type && is_json_type(type) && !request_header(request, "Content-Type", 1);
}

bool body_read(const struct request *request, const struct json_body_key *keys, size_t count,
               char **ret_values, struct reply *reply)
{
    struct error error;
    const struct buffer *body = &request->body;
    if (body->length > 0 && !is_json(request)) {
        reply_error(reply, 415, "the body must be sent as Content-Type: application/json");
        return false;
    }
    if (json_body_parse(buffer_text(body), body->length, keys, count, ret_values, &error) == 0)
        return true;
    reply_error(reply, 400, error.message);
    return false;
}
