/* SPDX-License-Identifier: Apache-2.0 */
/* A real listener on a free port of the loopback, with a temporary certificate, for tests that
 * connect to it. */
#ifndef FELHOM_TEST_LOCAL_LISTENER_H
#define FELHOM_TEST_LOCAL_LISTENER_H

#include <arpa/inet.h>
#include <civetweb.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "server/net/acceptor.h"
#include "server/net/connection.h"
#include "server/net/gate.h"
#include "server/net/listener.h"
#include "server/tls/session.h"
#include "tests/unit/test.h"
#include "tests/unit/test_clock.h"

#define THREADS 8
#define HANDSHAKE_MS \
    3600000 /* no machine is as slow as these; a test hurries the clock on where they are to pass \
             */
#define REQUEST_MS 7200000
#define PATIENCE_S 600 /* of real time, after which what does not come is given up */
#define BIG_ANSWER ((size_t)16 << 20)

static struct local {
    char directory[64];
    char pem[96]; /* key and certificate */
    char url[64];
    char endpoint[32];
    char pin[64];
    struct sockaddr_in address;
    int socket; /* 0: nothing listens there */
    struct gate *gate;
    struct listener *listener;
} local;

/* Returns a command's output, both streams; its exit status is in *ret_status (may be NULL). */
static char *run(int *ret_status, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *run(int *ret_status, const char *format, ...)
{
    static char output[65536];
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t length = fread(output, 1, sizeof(output) - 1, pipe);
    output[length] = '\0';
    int status = pclose(pipe);
    if (ret_status)
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return output;
}

static void answer_text(struct mg_connection *connection, int status, const char *text)
{
    char response[512];
    int length = snprintf(response, sizeof(response),
                          "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          status, strlen(text), text);
    (void)mg_write(connection, response, (size_t)length);
}

static atomic_bool body_is_over; /* or cut */

static void answer_body_size(struct mg_connection *connection)
{
    char body[1024];
    char text[64];
    int total = 0;
    int count;
    while ((count = mg_read(connection, body, sizeof(body))) > 0)
        total += count;
    atomic_store(&body_is_over, true);
    (void)snprintf(text, sizeof(text), "{\"body\":%d}", total);
    answer_text(connection, 200, text);
}

/* The deadline for the body begins anew. */
static void answer_body_size_after_continue(struct mg_connection *connection)
{
    static const char head[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct connection *own = mg_get_thread_pointer(connection);
    (void)mg_write(connection, head, strlen(head));
    tls_expect_rest(own->session);
    answer_body_size(connection);
}

static void answer_big(struct mg_connection *connection)
{
    char *bytes = calloc(1, BIG_ANSWER);
    (void)mg_write(connection, bytes, BIG_ANSWER);
    free(bytes);
}

static atomic_bool answering; /* slowly */

/* Answers in two writes, with the beginning of a stop between them. */
static void answer_slowly(struct mg_connection *connection)
{
    static const char head[] = "HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\n";
    (void)mg_write(connection, head, strlen(head));
    atomic_store(&answering, true);
    while (!listener_crowded(local.listener))
        (void)usleep(1000);
    (void)mg_write(connection, "slow", 4);
}

static int test_handle(struct mg_connection *connection, void *context)
{
    char text[128];
    const char *path = mg_get_request_info(connection)->local_uri;
    assert_ptr_equal(context, &local);
    if (strcmp(path, "/body") == 0)
        answer_body_size(connection);
    else if (strcmp(path, "/continue") == 0)
        answer_body_size_after_continue(connection);
    else if (strcmp(path, "/big") == 0)
        answer_big(connection);
    else if (strcmp(path, "/slow") == 0)
        answer_slowly(connection);
    else {
        const struct connection *ours = mg_get_thread_pointer(connection);
        (void)snprintf(text, sizeof(text), "{\"peer\":\"%s\"}", ours->peer.address_text);
        answer_text(connection, 200, text);
    }
    return 200;
}

static void test_handle_error(struct mg_connection *connection, int status, void *context)
{
    char text[64];
    assert_ptr_equal(context, &local);
    (void)snprintf(text, sizeof(text), "{\"refused\":%d}", status);
    answer_text(connection, status, text);
}

static enum refusal_reason test_identify(int socket, struct peer *peer, void *context)
{
    (void)socket;
    (void)context;
    peer->identity = PEER_HOST;
    return REFUSAL_NONE;
}

static void test_refused(const struct peer *peer, enum refusal_reason refusal, uint32_t count,
                         void *context)
{
    (void)peer;
    (void)refusal;
    (void)count;
    (void)context;
}

static struct gate *make_gate(uint32_t connections)
{
    static const struct gate_callbacks callbacks = {test_identify, test_refused, NULL};
    struct config config = {.local_api.source_binding = BINDING_AUTO};
    struct cidr allow = {.family = AF_INET, .prefix = 24};
    config.limits.connections_per_source = connections;
    config.limits.requests_per_source = 1000;
    config.limits.failures_per_source = 20;
    (void)inet_pton(AF_INET, "127.0.0.0", &allow.address.v4);
    return gate_new(&config, &allow, 1, &callbacks);
}

/* Returns a port that is free now. */
static void choose_endpoint(void)
{
    socklen_t size = sizeof(local.address);
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    local.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)&local.address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&local.address, &size), 0);
    (void)snprintf(local.endpoint, sizeof(local.endpoint), "127.0.0.1:%u",
                   ntohs(local.address.sin_port));
    (void)snprintf(local.url, sizeof(local.url), "https://%s", local.endpoint);
}

/* Another process may have taken the port since it was chosen. */
static int local_socket(void)
{
    struct error error;
    for (int i = 0; local.socket == 0 && listening_open(&local.address, &local.socket, &error) < 0;
         i++) {
        const struct in_addr host = local.address.sin_addr;
        assert_true(i < 100);
        choose_endpoint();
        local.address.sin_addr = host;
    }
    return local.socket;
}

static struct listener_options local_options(void)
{
    int socket = local_socket();
    return (struct listener_options){
        .address = local.address,
        .socket = socket,
        .pem_file = local.pem,
        .threads = THREADS,
        .handshake_ms = HANDSHAKE_MS,
        .request_ms = REQUEST_MS,
        .gate = local.gate,
        .handle = test_handle,
        .handle_error = test_handle_error,
        .context = &local,
    };
}

/* For the whole group: a directory with a certificate. */
static int make_certificate(void **state)
{
    int status;
    (void)state;
    (void)strcpy(local.directory, "/tmp/felhom-listener-XXXXXX");
    assert_non_null(mkdtemp(local.directory));
    (void)snprintf(local.pem, sizeof(local.pem), "%s/agent.pem", local.directory);
    (void)run(&status,
              "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
              "-keyout key -out cert -subj /CN=test -days 2 2>&1 && cat key cert > agent.pem",
              local.directory);
    assert_int_equal(status, 0);
    const char *pin = run(&status,
                          "openssl x509 -in %s -pubkey -noout | openssl pkey -pubin -outform der | "
                          "openssl dgst -sha256 -binary | base64",
                          local.pem);
    (void)snprintf(local.pin, sizeof(local.pin), "%.44s", pin);
    return status;
}

static int remove_certificate(void **state)
{
    int status;
    (void)state;
    (void)run(&status, "rm -rf %s", local.directory);
    return status;
}

/* Starts a listener. However slow the machine is, and whatever the clock does before and after, its
 * thread begins in time. */
static inline int start_in_time(const struct listener_options *settings, struct listener **ret,
                                struct error *error)
{
    int rate = test_clock.rate;
    clock_stand();
    int result = listener_start(settings, ret, error);
    clock_change(rate, 0);
    return result;
}

/* For each test: a gate and a listener; both are removed completely afterwards. */
static inline int start_local(void **state)
{
    struct error error = {0};
    (void)state;
    local.gate = make_gate(THREADS);
    choose_endpoint();
    const struct listener_options settings = local_options();
    if (start_in_time(&settings, &local.listener, &error) == 0)
        return 0;
    print_error("%s\n", error.message);
    return -1;
}

static void close_local_socket(void)
{
    if (local.socket > 0)
        (void)close(local.socket);
    local.socket = 0;
}

static int stop_local(void **state)
{
    (void)state;
    listener_stop(local.listener);
    close_local_socket();
    clock_go();
    uint32_t left = gate_connections(local.gate);
    gate_free(local.gate);
    local.listener = NULL;
    local.gate = NULL;
    return (int)left;
}

/* Lets the connections that a failed test has left open come to their deadlines. */
static inline int end_local(void **state)
{
    clock_hurry();
    return stop_local(state);
}

#define LOCAL_TEST(name) cmocka_unit_test_setup_teardown(name, start_local, end_local)

#endif
