/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in of tests/standins with its state in the scratch directory, on a free port of the
 * loopback, with a certificate of the CA ca.pem. */
#ifndef FELHOM_TEST_STANDIN_H
#define FELHOM_TEST_STANDIN_H

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "tests/unit/scratch.h"

static struct {
    pid_t pid;
    uint16_t port;
    char url[64];
} standin;

static inline void standin_certificates(void)
{
    shell("for ca in ca other-ca; do openssl req -x509 -newkey ec -pkeyopt "
          "ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=stand-in CA' -keyout $ca.key "
          "-out $ca.pem 2>/dev/null || exit; done");
    shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 "
          "-keyout key.pem -out request.pem 2>/dev/null && "
          "echo subjectAltName=IP:127.0.0.1 >names && "
          "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
          "-extfile names -out cert.pem 2>/dev/null && cat key.pem cert.pem >server.pem");
}

static inline struct sockaddr_in standin_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static inline uint16_t standin_free_port(void)
{
    struct sockaddr_in address = standin_address(0);
    socklen_t size = sizeof address;
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static inline bool standin_answers(void)
{
    const struct sockaddr_in address = standin_address(standin.port);
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
}

/* name: in tests/standins */
static inline void standin_start(const char *name)
{
    cleanup_free char *path = mem_format("tests/standins/%s", name);
    cleanup_free char *port = NULL;
    if (standin.port == 0)
        standin.port = standin_free_port();
    port = mem_format("%u", standin.port);
    (void)snprintf(standin.url, sizeof standin.url, "https://127.0.0.1:%u", standin.port);
    standin.pid = fork();
    assert_true(standin.pid >= 0);
    if (standin.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execlp("python3", "python3", "-B", path, scratch, port, NULL);
        _exit(127);
    }
    for (int i = 0; i < 30000 && !standin_answers(); i++)
        (void)poll(NULL, 0, 20);
    assert_true(standin_answers());
}

static inline void standin_stop(void)
{
    if (standin.pid > 0) {
        (void)kill(standin.pid, SIGKILL);
        (void)waitpid(standin.pid, NULL, 0);
    }
    standin.pid = 0;
}

/* Keeps the stand-in for Proxmox from executing a step of a task until the descriptor is closed:
 * tasks of the test before must not change the state that a test begins with. */
static inline int standin_lock(void)
{
    int fd = open(in_scratch("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    return fd;
}

/* Replaces a file of the stand-in's directory at once. */
static inline void standin_write(const char *name, const char *text)
{
    cleanup_free char *draft = mem_format("%s/%s.draft", scratch, name);
    FILE *file = fopen(draft, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(draft, in_scratch(name)), 0);
}

/* Returns the result of a jq filter on its tokens. */
static inline void standin_holds(const char *filter, const char *expected)
{
    cleanup_free char *command = mem_format("jq -c '%s' tokens.json", filter);
    assert_output(command, expected);
}

/* Returns the same for all requests, as one array. */
static inline void standin_was_asked(const char *filter, const char *expected)
{
    cleanup_free char *command = mem_format("jq -s -c '%s' requests.jsonl", filter);
    assert_output(command, expected);
}

#endif
