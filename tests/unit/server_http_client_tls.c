/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPS: which certificates are accepted, and the messages about those that are not. */
#include <signal.h>
#include <sys/prctl.h>

#include "tests/unit/http_rig.h"

static const char reply_file[] = "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n\r\nhello";

/* openssl as a server; it answers with a file of the scratch directory, headers included. */
static struct server {
    pid_t pid;
    char url[64];
    FILE *output;
} server;

/* NAME.pem: a CA, and NAME.key, which signs. */
static void make_ca(const char *name)
{
    shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
          "-subj '/CN=felhom test CA' -keyout %s.key -out %s.pem 2>/dev/null",
          name, name);
}

/* Makes NAME.pem with key and certificate, signed by that CA. options: those of openssl ca */
static void make_certificate(const char *name, const char *ca, const char *names,
                             const char *options)
{
    shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s "
          "-keyout %s.key -out %s.csr 2>/dev/null && "
          "printf '%%s\\n' '[ca]' 'default_ca = it' '[it]' 'new_certs_dir = .' 'database = index' "
          "'rand_serial = yes' 'default_md = sha256' 'policy = any' 'unique_subject = no' '[any]' "
          "'commonName = supplied' '[names]' 'subjectAltName = %s' > ca.conf && : > index && "
          "openssl ca -batch -notext -config ca.conf -extensions names -cert %s.pem -keyfile "
          "%s.key -in %s.csr -out %s.crt %s 2>/dev/null && cat %s.key %s.crt > %s.pem",
          name, name, name, names, ca, ca, name, name, options, name, name, name);
}

static int make_certificates(void **state)
{
    FILE *file;
    assert_int_equal(scratch_make(state), 0);
    make_ca("ca");
    make_ca("other-ca");
    make_certificate("good", "ca", "IP:127.0.0.1,DNS:localhost", "-days 2");
    make_certificate("elsewhere", "ca", "DNS:elsewhere.example,IP:127.0.0.2", "-days 2");
    make_certificate("expired", "ca", "IP:127.0.0.1",
                     "-startdate 20200101000000Z -enddate 20200102000000Z");
    make_certificate("early", "ca", "IP:127.0.0.1",
                     "-startdate 20900101000000Z -enddate 20910102000000Z");
    shell("echo no certificate > garbage.pem && mkdir www");
    file = fopen(in_scratch("www/reply"), "we");
    assert_non_null(file);
    assert_int_equal(fwrite(reply_file, 1, strlen(reply_file), file), strlen(reply_file));
    return fclose(file);
}

static void run_openssl(const char *certificate, const char *option)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (chdir(in_scratch("www")) == 0)
        (void)execlp("openssl", "openssl", "s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cert",
                     in_scratch(certificate), "-cipher", "ALL:@SECLEVEL=0", option, NULL);
    _exit(127);
}

/* openssl prints the port that it has chosen. */
static void start_server(const char *certificate, const char *option)
{
    int ends[2];
    char line[256];
    unsigned port = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        run_openssl(certificate, option);
    }
    (void)close(ends[1]);
    server.output = fdopen(ends[0], "re");
    while (port == 0 && fgets(line, sizeof line, server.output))
        (void)sscanf(line, "ACCEPT 127.0.0.1:%u", &port);
    assert_int_not_equal(port, 0);
    (void)snprintf(server.url, sizeof server.url, "https://127.0.0.1:%u", port);
}

static void stop_server(void)
{
    if (server.pid == 0)
        return;
    (void)kill(server.pid, SIGKILL);
    (void)waitpid(server.pid, NULL, 0);
    (void)fclose(server.output);
    server.pid = 0;
}

static int tear_down_server(void **state)
{
    stop_server();
    return tear_down(state);
}

/* ca_file: in the scratch directory; "": the system's CAs. */
static int ask(const char *method, const char *url, const char *ca_file, uint64_t timeout_ms)
{
    cleanup_free char *whole = mem_format("%s/reply", url);
    const struct http_request request = {
        .method = method,
        .url = whole,
        .ca_file = *ca_file ? in_scratch(ca_file) : "",
        .timeout_ms = timeout_ms,
        .reply_limit = 1024,
    };
    http_reply_free(&reply);
    return http_client_perform(client, &request, &reply, &error);
}

static void assert_error(enum error_kind kind, const char *url, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void assert_error(enum error_kind kind, const char *url, const char *format, ...)
{
    char text[256];
    char expected[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)snprintf(expected, sizeof expected, "%s: %s", url, text);
    assert_string_equal(error.message, expected);
    assert_int_equal(error.kind, kind);
    assert_false(http_client_may_have_sent(client));
}

static void assert_fine(const char *ca_file)
{
    if (ask("GET", server.url, ca_file, PATIENCE_MS) < 0)
        fail_test("%s", error.message);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.reason, "Fine");
    assert_string_equal(reply.body.data, "hello");
}

static void test_right_ca(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_3");
    assert_fine("ca.pem");
    assert_fine("ca.pem");
}

static void test_tls12(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_2");
    assert_fine("ca.pem");
}

static void test_old_tls_is_refused(void **state)
{
    (void)state;
    static const char beginning[] = "no connection by TLS: ";
    start_server("good.pem", "-tls1_1");
    assert_int_equal(ask("POST", server.url, "ca.pem", PATIENCE_MS), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_memory_equal(error.message + strlen(server.url) + 2, beginning, strlen(beginning));
    assert_false(http_client_may_have_sent(client));
}

/* From a CA with the same name and another key. */
static void test_wrong_ca(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_3");
    assert_int_equal(ask("POST", server.url, "other-ca.pem", PATIENCE_MS), -1);
    assert_error(ERROR_DENIED, server.url, "its certificate is not signed by %s",
                 in_scratch("other-ca.pem"));
}

static void test_system_ca(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_3");
    assert_int_equal(ask("POST", server.url, "", PATIENCE_MS), -1);
    assert_error(ERROR_DENIED, server.url,
                 "its certificate is not signed by a CA that this system trusts");
}

static void test_another_name(void **state)
{
    (void)state;
    start_server("elsewhere.pem", "-tls1_3");
    assert_int_equal(ask("POST", server.url, "ca.pem", PATIENCE_MS), -1);
    assert_error(ERROR_DENIED, server.url, "its certificate is for another name");
}

static void test_expired(void **state)
{
    (void)state;
    start_server("expired.pem", "-tls1_3");
    assert_int_equal(ask("POST", server.url, "ca.pem", PATIENCE_MS), -1);
    assert_error(ERROR_DENIED, server.url, "its certificate has expired");
}

static void test_not_yet_valid(void **state)
{
    (void)state;
    start_server("early.pem", "-tls1_3");
    assert_int_equal(ask("POST", server.url, "ca.pem", PATIENCE_MS), -1);
    assert_error(ERROR_DENIED, server.url, "its certificate is not valid yet");
}

/* The same path with a new content, as after a renewal. */
static void test_new_ca_counts_at_once(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_3");
    shell("cp other-ca.pem renewed.pem");
    assert_int_equal(ask("GET", server.url, "renewed.pem", PATIENCE_MS), -1);
    shell("cp ca.pem renewed.pem");
    assert_fine("renewed.pem");
}

/* A certificate accepted with one CA file is not accepted with another. openssl serves one
 * connection at a time, so the new one may have to wait. */
static void test_connection_is_not_lent_to_another_ca(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_3");
    assert_fine("ca.pem");
    assert_int_equal(ask("GET", server.url, "other-ca.pem", 500), -1);
    assert_fine("ca.pem");
}

static void test_ca_file_is_missing(void **state)
{
    (void)state;
    peer = peer_start(NULL, 0);
    assert_int_equal(ask("POST", peer->url, "none.pem", PATIENCE_MS), -1);
    peer_end(peer);
    assert_error(ERROR_SYSTEM, peer->url, "%s: No such file or directory", in_scratch("none.pem"));
    assert_int_equal(peer->connection_count, 0);
}

static int check_unreadable_ca_file(void)
{
    const uid_t nobody = 65534;
    EXPECT(geteuid() != 0 || setresuid(nobody, nobody, nobody) == 0);
    EXPECT(ask("POST", "https://127.0.0.1:1", "secret.pem", PATIENCE_MS) < 0);
    cleanup_free char *expected =
        mem_format("https://127.0.0.1:1: %s: Permission denied", in_scratch("secret.pem"));
    EXPECT(strcmp(error.message, expected) == 0);
    EXPECT(error.kind == ERROR_SYSTEM);
    return 0;
}

static void test_ca_file_is_unreadable(void **state)
{
    (void)state;
    shell("cp ca.pem secret.pem && chmod 0 secret.pem && chmod 711 .");
    in_child(check_unreadable_ca_file);
}

static void test_ca_file_holds_none(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_3");
    assert_int_equal(ask("POST", server.url, "garbage.pem", PATIENCE_MS), -1);
    assert_error(ERROR_SYSTEM, server.url, "%s: no CA certificate to be read in it",
                 in_scratch("garbage.pem"));
}

static void test_peer_without_tls(void **state)
{
    (void)state;
    static const char beginning[] = "no connection by TLS: ";
    peer = peer_start(NULL, 0);
    peer->greeting = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";
    cleanup_free char *url = mem_format("https%s", peer->url + strlen("http"));
    assert_int_equal(ask("POST", url, "ca.pem", PATIENCE_MS), -1);
    peer_end(peer);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_memory_equal(error.message + strlen(url) + 2, beginning, strlen(beginning));
    assert_false(http_client_may_have_sent(client));
}

/* The server then sends an alert. */
static void test_tls_is_spoken_where_none_is_expected(void **state)
{
    (void)state;
    start_server("good.pem", "-tls1_3");
    cleanup_free char *url = mem_format("http%s", server.url + strlen("https"));
    assert_int_equal(ask("POST", url, "", PATIENCE_MS), -1);
    assert_true(http_client_may_have_sent(client));
}

/* The peer accepts the connection and never answers the handshake. */
static void test_silent_handshake(void **state)
{
    (void)state;
    pthread_t thread;
    peer = peer_start(NULL, 0);
    cleanup_free char *url = mem_format("https%s", peer->url + strlen("http"));
    int64_t begin_us = clock_steady_us();
    assert_int_equal(ask("POST", url, "ca.pem", 2000), -1);
    assert_error(ERROR_BUSY, url, "no answer within 2000 ms");
    assert_int_equal(pthread_create(&thread, NULL, abort_soon, NULL), 0);
    assert_int_equal(ask("POST", url, "ca.pem", PATIENCE_MS), -1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_error(ERROR_BUSY, url, "given up because felhomd is stopping");
    assert_true((clock_steady_us() - begin_us) / 1000 < PATIENCE_MS / 2);
    peer_end(peer);
    assert_true(peer->bytes_count > 0);
}

static void test_proxies_of_the_environment_are_not_used(void **state)
{
    (void)state;
    struct peer *proxy = peer_start(NULL, 0);
    start_server("good.pem", "-tls1_3");
    assert_int_equal(setenv("https_proxy", proxy->url, 1), 0);
    assert_int_equal(setenv("ALL_PROXY", proxy->url, 1), 0);
    assert_fine("ca.pem");
    assert_int_equal(unsetenv("https_proxy"), 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
    peer_end(proxy);
    assert_int_equal(proxy->connection_count, 0);
    free(proxy);
}

#define TLS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS_TEST(test_right_ca),
        TLS_TEST(test_tls12),
        TLS_TEST(test_old_tls_is_refused),
        TLS_TEST(test_wrong_ca),
        TLS_TEST(test_system_ca),
        TLS_TEST(test_another_name),
        TLS_TEST(test_expired),
        TLS_TEST(test_not_yet_valid),
        TLS_TEST(test_new_ca_counts_at_once),
        TLS_TEST(test_connection_is_not_lent_to_another_ca),
        TLS_TEST(test_ca_file_is_missing),
        TLS_TEST(test_ca_file_is_unreadable),
        TLS_TEST(test_ca_file_holds_none),
        TLS_TEST(test_peer_without_tls),
        TLS_TEST(test_tls_is_spoken_where_none_is_expected),
        TLS_TEST(test_silent_handshake),
        TLS_TEST(test_proxies_of_the_environment_are_not_used),
    };
    return cmocka_run_group_tests(tests, make_certificates, scratch_remove);
}
