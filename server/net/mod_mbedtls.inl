/* SPDX-License-Identifier: Apache-2.0 */
/*
 * civetweb.c includes this file when it is built with USE_MBEDTLS, in place of CivetWeb's own file
 * of the same name (the Makefile puts this folder first). The two types and six functions that
 * civetweb.c needs call connection.h and server/tls/session.h, and two system calls are replaced by
 * functions of acceptor.h. It works with CivetWeb 1.15 and 1.16, which are compiled unmodified.
 */
#include <limits.h>
#include <mbedtls/ssl.h> /* the MBEDTLS_ERR_SSL_WANT_... that civetweb.c names; none is ever returned to it */

/* CivetWeb 1.16 has defined macros of these names, which our headers must not see. */
#pragma push_macro("free")
#pragma push_macro("ARRAY_SIZE")
#undef free
#undef ARRAY_SIZE
#include "server/net/acceptor.h"
#include "server/net/connection.h"
#include "server/tls/session.h"
#pragma pop_macro("ARRAY_SIZE")
#pragma pop_macro("free")

typedef struct connection SSL;

/* CivetWeb makes one and passes it to the functions below, which do not use it: the listener's
 * struct tls_context takes its place. */
typedef struct {
    char unused;
} SSL_CTX;

/*
 * civetweb.c polls with a timeout of its own unless it learns that there are bytes to read. If it
 * always learns that, it leaves the waiting to tls_read(), which knows the deadlines and never
 * spins.
 */
#define mbedtls_ssl_get_bytes_avail(connection) INT_MAX

/* civetweb.c reports every end of a connection on standard error, as "SSL read failed". */
static int no_output(void)
{
    return 0;
}
#undef fprintf
#define fprintf(stream, ...) ((stream) == stderr ? no_output() : (fprintf)((stream), __VA_ARGS__))

/* civetweb.c calls each in one place only, where the server's variable has the name used here. */
#define bind(socket, address, size)   acceptor_bind(mg_get_user_data(phys_ctx), (socket))
#define accept(socket, address, size) acceptor_accept(mg_get_user_data(ctx), (address), (size))

static int mbed_sslctx_init(SSL_CTX *context, const char *pem_file)
{
    (void)context;
    (void)pem_file;
    return 0;
}

static void mbed_sslctx_uninit(SSL_CTX *context)
{
    (void)context;
}

static int mbed_ssl_accept(SSL **ret, SSL_CTX *context, int *socket, struct mg_context *server)
{
    struct connection *connection = mg_get_thread_pointer(NULL);
    (void)context;
    (void)server;
    *ret = connection_open(connection, *socket) == 0 ? connection : NULL;
    return *ret ? 0 : -1;
}

static void mbed_ssl_close(SSL *connection)
{
    connection_close(connection);
}

static int mbed_ssl_read(SSL *connection, unsigned char *bytes, int size)
{
    int count = connection->session ? tls_read(connection->session, bytes, (size_t)size) : -1;
    connection_blank(connection, bytes, count > 0 ? (size_t)count : 0, (size_t)size);
    return count;
}

static int mbed_ssl_write(SSL *connection, const unsigned char *bytes, int size)
{
    return connection->session ? tls_write(connection->session, bytes, (size_t)size) : -1;
}
