/* SPDX-License-Identifier: Apache-2.0 */
/* A client that misbehaves on purpose, as curl would not. */
#ifndef FELHOM_TEST_TLS_CLIENT_H
#define FELHOM_TEST_TLS_CLIENT_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#include "tests/unit/test.h"

struct client {
    mbedtls_net_context socket;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    int ended; /* what mbedTLS said at the end of the last client_receive; 0: it went on */
};

/* A connection without TLS, on which a receive waits ten minutes at most. */
static int plain_connect(const struct sockaddr_in *address)
{
    const struct timeval patience = {.tv_sec = 600};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

/* TLS over an open connection, which then belongs to the client. */
static void client_shake_hands(struct client *client, int fd)
{
    client->socket.fd = fd;
    mbedtls_entropy_init(&client->entropy);
    mbedtls_ctr_drbg_init(&client->random);
    mbedtls_ssl_config_init(&client->config);
    mbedtls_ssl_init(&client->ssl);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
#endif
    assert_int_equal(
        mbedtls_ctr_drbg_seed(&client->random, mbedtls_entropy_func, &client->entropy, NULL, 0), 0);
    assert_int_equal(mbedtls_ssl_config_defaults(&client->config, MBEDTLS_SSL_IS_CLIENT,
                                                 MBEDTLS_SSL_TRANSPORT_STREAM,
                                                 MBEDTLS_SSL_PRESET_DEFAULT),
                     0);
    mbedtls_ssl_conf_authmode(&client->config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&client->config, mbedtls_ctr_drbg_random, &client->random);
    assert_int_equal(mbedtls_ssl_setup(&client->ssl, &client->config), 0);
    mbedtls_ssl_set_bio(&client->ssl, &client->socket, mbedtls_net_send, mbedtls_net_recv, NULL);
    assert_int_equal(mbedtls_ssl_handshake(&client->ssl), 0);
}

static void client_connect(struct client *client, const struct sockaddr_in *address)
{
    client_shake_hands(client, plain_connect(address));
}

/* Returns -1 once the server has closed. */
static int client_send(struct client *client, const char *bytes, size_t length)
{
    int count = mbedtls_ssl_write(&client->ssl, (const unsigned char *)bytes, length);
    return count == (int)length ? 0 : -1;
}

static int client_send_text(struct client *client, const char *text)
{
    return client_send(client, text, strlen(text));
}

/* As mbedtls_ssl_read. */
static int client_read(struct client *client, char *bytes, size_t size)
{
    int count;
    do
        count = mbedtls_ssl_read(&client->ssl, (unsigned char *)bytes, size);
#if defined(MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
    while (count == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET);
#else
    while (false);
#endif
    return count;
}

/* Returns what came until the server closed or, if enough is given, until the text contains it. */
static const char *client_receive(struct client *client, const char *enough)
{
    static char text[65536];
    size_t length = 0;
    text[0] = '\0';
    client->ended = 0;
    while (length < sizeof(text) - 1 && !(enough && strstr(text, enough))) {
        int count = client_read(client, text + length, sizeof(text) - 1 - length);
        client->ended = count < 0 ? count : 0;
        if (count <= 0)
            break;
        length += (size_t)count;
        text[length] = '\0';
    }
    return text;
}

static void client_close(struct client *client)
{
    (void)mbedtls_ssl_close_notify(&client->ssl);
    (void)close(client->socket.fd);
    mbedtls_ssl_free(&client->ssl);
    mbedtls_ssl_config_free(&client->config);
    mbedtls_ctr_drbg_free(&client->random);
    mbedtls_entropy_free(&client->entropy);
}

#endif
