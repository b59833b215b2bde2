/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled behind civetweb.c, as its last lines, because what it calls is static there. */
#include "tests/fuzz/civetweb_talk.h"

/* CivetWeb takes no const texts, and changes none. */
static void talk_set_options(char **config)
{
    for (int i = 0; config_options[i].name; i++)
        config[i] = (char *)config_options[i].default_value;
    config[ENABLE_KEEP_ALIVE] = "yes";
    config[DECODE_URL] = "no";
}

/* As after another peer's requests, which the worker served before. */
static char *talk_used_buffer(size_t size)
{
    static const char earlier[] = "GET /earlier HTTP/1.1\r\nHost: x\r\n\r\n";
    char *buffer = mg_malloc(size);
    for (size_t i = 0; i < size; i++)
        buffer[i] = earlier[i % (sizeof earlier - 1)];
    return buffer;
}

void civetweb_talk(const struct mg_callbacks *callbacks, size_t header_limit,
                   struct connection *connection)
{
    struct mg_context context = {.context_type = CONTEXT_SERVER, .callbacks = *callbacks};
    struct mg_connection talk = {
        .phys_ctx = &context,
        .dom_ctx = &context.dd,
        .ssl = connection,
        .client = {.sock = INVALID_SOCKET, .is_ssl = 1},
        .buf = talk_used_buffer(header_limit),
        .buf_size = (int)header_limit,
        .tls_user_ptr = connection,
    };
    talk_set_options(context.dd.config);
    init_connection(&talk);
    talk.connection_type = CONNECTION_TYPE_REQUEST;
    talk.protocol_type = PROTOCOL_TYPE_HTTP1;
    process_new_connection(&talk);
    if (talk.request_info.local_uri != talk.request_info.local_uri_raw)
        mg_free((void *)talk.request_info.local_uri);
    mg_free(talk.buf);
}
