/* SPDX-License-Identifier: Apache-2.0 */
#include "store/host/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "store/base/clock.h"

#define ANSWER_MAX 4096
#define CHUNK      512

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: felhomd\r\nConnection: close\r\n\r\n";
static const char good_answer[] = "HTTP/1.1 200 ";
static const char unready_answer[] = "HTTP/1.1 503 ";

struct client {
    int64_t deadline_us;
    mbedtls_net_context socket;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
};

static void client_init(struct client *client, int64_t timeout_us)
{
    client->deadline_us = clock_steady_us() + timeout_us;
    mbedtls_net_init(&client->socket);
    mbedtls_entropy_init(&client->entropy);
    mbedtls_ctr_drbg_init(&client->random);
    mbedtls_ssl_config_init(&client->config);
    mbedtls_ssl_init(&client->ssl);
}

static void client_free(struct client *client)
{
    cleanup_close_fn(&client->socket.fd);
    mbedtls_ssl_free(&client->ssl);
    mbedtls_ssl_config_free(&client->config);
    mbedtls_ctr_drbg_free(&client->random);
    mbedtls_entropy_free(&client->entropy);
}

/* --- waiting --- */

/* Returns false at the deadline. */
static bool probe_wait(const struct client *client, short events)
{
    struct pollfd polled = {.fd = client->socket.fd, .events = events};
    int ready = 0;
    int64_t left_us;
    while (ready == 0 && (left_us = client->deadline_us - clock_steady_us()) > 0) {
        ready = poll(&polled, 1, (int)((left_us + 999) / 1000));
        if (ready < 0 && errno == EINTR)
            ready = 0;
    }
    return ready > 0;
}

/* If mbedTLS returned because it must wait, waits and returns true. Returns false for any other
 * code and at the deadline. */
static bool probe_can_go_on(const struct client *client, int code)
{
    switch (code) {
    case MBEDTLS_ERR_SSL_WANT_READ:
        return probe_wait(client, POLLIN);
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return probe_wait(client, POLLOUT);
#if defined(MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
    case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET:
        return true;
#endif
    default:
        return false;
    }
}

static int probe_fail_tls(int code, const char *what, struct error *error)
{
    char reason[128];
    mbedtls_strerror(code, reason, sizeof reason);
    return fail(error, ERROR_SYSTEM, "%s: %s", what, reason);
}

static int probe_fail_late(const char *what, struct error *error)
{
    return fail(error, ERROR_BUSY, "%s: timed out", what);
}

static int probe_fail_step(int code, const char *what, struct error *error)
{
    if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE)
        return probe_fail_late(what, error);
    return probe_fail_tls(code, what, error);
}

/* --- the connection --- */

static struct sockaddr_in reachable_address(const struct probe *probe)
{
    struct sockaddr_in address = probe->listening;
    if (!probe->from_guest && address.sin_addr.s_addr == htonl(INADDR_ANY))
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Opens a socket and binds it to a port of its own. Closing it sends a reset. */
static int probe_open_socket(struct client *client, struct in_addr address,
                             struct sockaddr_in *ret_own, struct error *error)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = address};
    socklen_t size = sizeof own;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    client->socket.fd = fd;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0)
        return fail_errno(error, errno, "cannot open a socket");
    if (bind(fd, (const struct sockaddr *)&own, size) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &size) < 0)
        return fail_errno(error, errno, "cannot bind a socket to felhomd's address");
    *ret_own = own;
    return 0;
}

static int probe_connect_socket(const struct client *client, const struct sockaddr_in *address,
                                struct error *error)
{
    int problem = 0;
    socklen_t size = sizeof problem;
    int fd = client->socket.fd;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno != EINPROGRESS)
        return fail_errno(error, errno, "no connection");
    if (!probe_wait(client, POLLOUT))
        return probe_fail_late("no connection", error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0)
        problem = errno;
    return problem == 0 ? 0 : fail_errno(error, problem, "no connection");
}

/* --- TLS --- */

static int mbedtls_library_start(void)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    return psa_crypto_init() == PSA_SUCCESS ? 0 : MBEDTLS_ERR_SSL_HW_ACCEL_FAILED;
#else
    return 0;
#endif
}

static int client_configure(struct client *client, struct error *error)
{
    int code = mbedtls_library_start();
    if (code == 0)
        code =
            mbedtls_ctr_drbg_seed(&client->random, mbedtls_entropy_func, &client->entropy, NULL, 0);
    if (code == 0)
        code =
            mbedtls_ssl_config_defaults(&client->config, MBEDTLS_SSL_IS_CLIENT,
                                        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    /* The pin is checked instead of a certificate chain. */
    mbedtls_ssl_conf_authmode(&client->config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&client->config, mbedtls_ctr_drbg_random, &client->random);
    if (code == 0)
        code = mbedtls_ssl_setup(&client->ssl, &client->config);
    mbedtls_ssl_set_bio(&client->ssl, &client->socket, mbedtls_net_send, mbedtls_net_recv, NULL);
    return code == 0 ? 0 : probe_fail_tls(code, "cannot set up TLS", error);
}

static int client_handshake(struct client *client, struct error *error)
{
    int code;
    do
        code = mbedtls_ssl_handshake(&client->ssl);
    while (probe_can_go_on(client, code));
    return code == 0 ? 0 : probe_fail_step(code, "no TLS handshake", error);
}

static int probe_check_certificate(const struct client *client, const struct pins *expected,
                                   struct error *error)
{
    struct pins shown;
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&client->ssl);
    if (!certificate)
        return fail(error, ERROR_INVALID, "felhomd shows no certificate");
    pins_make(certificate->pk_raw.p, certificate->pk_raw.len, certificate->raw.p,
              certificate->raw.len, &shown);
    if (strcmp(shown.leaf, expected->leaf) == 0)
        return 0;
    return fail(error, ERROR_INVALID, "felhomd's certificate is not the one that guests pin");
}

/* --- the request --- */

static int probe_send_request(struct client *client, struct error *error)
{
    int code;
    do
        code = mbedtls_ssl_write(&client->ssl, (const unsigned char *)request, strlen(request));
    while (probe_can_go_on(client, code));
    return code > 0 ? 0 : probe_fail_step(code, "cannot send the request", error);
}

static int probe_read_some(struct client *client, struct buffer *answer)
{
    int count;
    unsigned char *bytes = (unsigned char *)buffer_reserve(answer, CHUNK);
    do
        count = mbedtls_ssl_read(&client->ssl, bytes, CHUNK);
    while (probe_can_go_on(client, count));
    answer->length += count > 0 ? (size_t)count : 0;
    return count;
}

static bool is_end_of_stream(int code)
{
    return code == 0 || code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ||
           code == MBEDTLS_ERR_SSL_CONN_EOF;
}

static int probe_read_answer(struct client *client, struct buffer *answer, struct error *error)
{
    int count;
    do
        count = probe_read_some(client, answer);
    while (count > 0 && answer->length < ANSWER_MAX);
    return count > 0 || is_end_of_stream(count) ? 0 : probe_fail_step(count, "no answer", error);
}

static int probe_check_answer(const struct buffer *answer, struct error *error)
{
    const char *text = buffer_text(answer);
    if (strncmp(text, good_answer, strlen(good_answer)) == 0)
        return 0;
    bool unready = strncmp(text, unready_answer, strlen(unready_answer)) == 0;
    return fail(error, unready ? ERROR_CONFLICT : ERROR_INVALID, "felhomd answered \"%.*s\"",
                (int)strcspn(text, "\r\n"), text);
}

static int probe_ask(struct client *client, const struct probe *probe, struct error *error)
{
    struct sockaddr_in own;
    cleanup_buffer struct buffer answer = BUFFER_EMPTY;
    const struct sockaddr_in address = reachable_address(probe);
    const struct in_addr any = {htonl(INADDR_ANY)};
    if (probe_open_socket(client, probe->from_guest ? any : address.sin_addr, &own, error) < 0 ||
        client_configure(client, error) < 0)
        return -1;
    if (probe->announce)
        probe->announce(probe->context, &own);
    if (probe_connect_socket(client, &address, error) < 0 || client_handshake(client, error) < 0 ||
        probe_check_certificate(client, &probe->pins, error) < 0 ||
        probe_send_request(client, error) < 0 || probe_read_answer(client, &answer, error) < 0)
        return -1;
    return probe_check_answer(&answer, error);
}

int probe_run(const struct probe *probe, struct error *error)
{
    char host[INET_ADDRSTRLEN];
    struct client client;
    client_init(&client, probe->timeout_us);
    int result = probe_ask(&client, probe, error);
    /* Announce the end before the socket is closed and another process can get the port. */
    if (probe->announce)
        probe->announce(probe->context, NULL);
    client_free(&client);
    if (result == 0)
        return 0;
    (void)inet_ntop(AF_INET, &probe->listening.sin_addr, host, sizeof host);
    return fail_context(error, "%s:%u", host, ntohs(probe->listening.sin_port));
}
