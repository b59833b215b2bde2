/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS identity: made completely and once by one of many processes; checked with openssl. */
#include <arpa/inet.h>
#include <fcntl.h>

#include "store/identity/identity.h"
#include "tests/unit/scratch.h"

#define USER 12345u

static struct error error;

static struct in_addr address(void)
{
    return (struct in_addr){htonl(INADDR_LOOPBACK)};
}

static int ensure(const char *host_name, struct identity *ret, bool *ret_made)
{
    return identity_ensure(scratch, host_name, address(), ret, ret_made, &error);
}

/* Makes the identity if it is missing and returns its pins; made is the expected *ret_made. */
static struct pins pins_of(const char *host_name, bool made)
{
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    bool really = !made;
    assert_int_equal(ensure(host_name, &identity, &really), 0);
    assert_int_equal(really, made);
    return identity.pins;
}

static void test_made(void **state)
{
    (void)state;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    bool made = false;
    mode_t mask = umask(0);
    assert_int_equal(ensure("pve1", &identity, &made), 0);
    (void)umask(mask);
    assert_true(made);
    assert_int_equal(status_of("tls").st_mode, S_IFDIR | 0700);
    assert_int_equal(status_of("tls/agent.pem").st_mode, S_IFREG | 0600);
    assert_int_equal(status_of("tls/agent.crt").st_mode, S_IFREG | 0644);
    assert_int_equal(count_entries(in_scratch("tls")), 2);
    shell("test \"$(cat tls/agent.crt)\" = \"$(openssl x509 -in tls/agent.pem)\"");
}

static void test_kept(void **state)
{
    (void)state;
    struct pins first = pins_of("pve1", true);
    struct stat pem = status_of("tls/agent.pem");
    struct stat crt = status_of("tls/agent.crt");
    struct pins second = pins_of("another-name", false);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(status_of("tls/agent.pem").st_ino, pem.st_ino);
    assert_int_equal(status_of("tls/agent.crt").st_ino, crt.st_ino);
}

static void test_pins_are_what_openssl_computes(void **state)
{
    (void)state;
    struct pins pins = pins_of("pve1", true);
    assert_output(
        "openssl x509 -in tls/agent.crt -pubkey -noout | openssl pkey -pubin -outform der | "
        "openssl dgst -sha256 -binary | base64",
        pins.spki);
    assert_output("openssl x509 -in tls/agent.crt -noout -fingerprint -sha256 | cut -d= -f2",
                  pins.leaf);
    assert_output("openssl x509 -in tls/agent.pem -noout -fingerprint -sha256 | cut -d= -f2",
                  pins.leaf);
    assert_output("openssl pkey -in tls/agent.pem -pubout -outform der | "
                  "openssl dgst -sha256 -binary | base64",
                  pins.spki);
}

static void test_load(void **state)
{
    (void)state;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    struct pins pins = pins_of("pve1", true);
    shell("rm tls/agent.pem");
    assert_int_equal(identity_load(scratch, &identity, &error), 0);
    assert_memory_equal(&pins, &identity.pins, sizeof pins);
    shell("test $(wc -c <tls/agent.crt) = %zu", identity.certificate_pem.length);
    assert_int_equal(strncmp(buffer_text(&identity.certificate_pem), "-----BEGIN CERTIFICATE-", 23),
                     0);
}

/* An operator's mistake must not give the key to every guest. */
static void test_load_never_yields_the_key(void **state)
{
    (void)state;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    (void)pins_of("pve1", true);
    shell("cp tls/agent.pem tls/agent.crt");
    assert_int_equal(identity_load(scratch, &identity, &error), 0);
    assert_null(strstr(buffer_text(&identity.certificate_pem), "PRIVATE"));
    (void)pins_of("pve1", false);
    shell("! grep -q PRIVATE tls/agent.crt");
}

static void assert_load_fails(enum error_kind kind, const char *message)
{
    struct identity identity;
    cleanup_free char *expected = mem_format("%s/%s", scratch, message);
    assert_int_equal(identity_load(scratch, &identity, &error), -1);
    assert_int_equal(error.kind, kind);
    assert_int_equal(strncmp(error.message, expected, strlen(expected)), 0);
}

static void test_load_failures(void **state)
{
    (void)state;
    assert_load_fails(ERROR_MISSING, "tls/agent.crt is missing: run felhomctl init");
    shell("mkdir -m 700 tls");
    assert_load_fails(ERROR_MISSING, "tls/agent.crt is missing: run felhomctl init");
    shell("printf '%%s\\n' '-----BEGIN CERTIFICATE-----' AAAA '-----END CERTIFICATE-----' "
          ">tls/agent.crt");
    assert_load_fails(ERROR_CORRUPT, "tls/agent.crt is damaged (");
    shell(": >tls/agent.crt");
    assert_load_fails(ERROR_CORRUPT, "tls/agent.crt is damaged (");
    shell("printf x >other; ln -sf ../other tls/agent.crt");
    assert_load_fails(ERROR_DENIED, "tls: agent.crt: a symbolic link");
    shell("chmod 777 tls");
    assert_load_fails(ERROR_DENIED, "tls may be written to by others");
    shell("rm -r tls; ln -s . tls");
    assert_load_fails(ERROR_DENIED, "tls is a symbolic link");
}

static void test_no_state_directory(void **state)
{
    (void)state;
    struct identity identity;
    bool made;
    const char *none = in_scratch("none");
    assert_int_equal(identity_load(none, &identity, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_int_equal(identity_ensure(none, "h", address(), &identity, &made, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_non_null(strstr(error.message, "/none: no such directory: run felhomctl init"));
    assert_false(is_there("none"));
}

/* As if killed between the two renames. */
static void test_certificate_is_restored(void **state)
{
    (void)state;
    struct pins first = pins_of("pve1", true);
    shell("cp tls/agent.crt keep; cp tls/agent.pem keep.pem; rm tls/agent.crt");
    struct pins second = pins_of("pve1", false);
    assert_memory_equal(&first, &second, sizeof first);
    shell("cmp keep tls/agent.crt");
    assert_int_equal(status_of("tls/agent.crt").st_mode, S_IFREG | 0644);
    static const char *const spoilers[] = {"echo rubbish >tls/agent.crt", ": >tls/agent.crt",
                                           "ln -sf ../keep.pem tls/agent.crt",
                                           "head -c -1 keep >tls/agent.crt"};
    for (size_t i = 0; i < ARRAY_SIZE(spoilers); i++) {
        shell("%s", spoilers[i]);
        (void)pins_of("pve1", false);
        shell("test ! -L tls/agent.crt && cmp keep tls/agent.crt");
    }
    shell("cmp keep.pem tls/agent.pem");
}

static void test_drafts_of_a_killed_run_go(void **state)
{
    (void)state;
    shell("mkdir -m 700 tls; touch tls/.agent.pem.0123456789abcdef tls/other");
    (void)pins_of("pve1", true);
    assert_int_equal(count_entries(in_scratch("tls")), 3);
    shell("touch tls/.agent.crt.0123456789abcdef");
    (void)pins_of("pve1", false);
    assert_int_equal(count_entries(in_scratch("tls")), 3);
}

static void assert_refused(enum error_kind kind, const char *message)
{
    struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    bool made = true;
    cleanup_free char *expected = mem_format("%s/%s", scratch, message);
    assert_int_equal(ensure("pve1", &identity, &made), -1);
    assert_int_equal(error.kind, kind);
    assert_int_equal(strncmp(error.message, expected, strlen(expected)), 0);
    assert_null(identity.certificate_pem.data);
    assert_true(made);
}

static void test_damaged_identity_is_not_replaced(void **state)
{
    (void)state;
    (void)pins_of("pve1", true);
    shell("cp tls/agent.pem keep.pem; openssl ecparam -name prime256v1 -genkey -noout >other.key");
    static const char *const spoilers[] = {
        ": >tls/agent.pem",
        "head -c 300 keep.pem >tls/agent.pem",
        "cp tls/agent.crt tls/agent.pem",
        "openssl pkey -in keep.pem >tls/agent.pem",
        "cat other.key tls/agent.crt >tls/agent.pem",
        "printf '\\0' >tls/agent.pem",
    };
    for (size_t i = 0; i < ARRAY_SIZE(spoilers); i++) {
        shell("%s; cp tls/agent.pem spoiled", spoilers[i]);
        assert_refused(ERROR_CORRUPT, "tls/agent.pem is damaged (");
        assert_non_null(strstr(error.message, "): restore it from a backup, or remove both files "
                                              "and run felhomctl init for a new identity"));
        shell("cmp spoiled tls/agent.pem");
    }
}

static void test_certificate_without_its_key_is_not_replaced(void **state)
{
    (void)state;
    (void)pins_of("pve1", true);
    shell("rm tls/agent.pem");
    assert_refused(ERROR_CORRUPT, "tls/agent.pem is missing, though agent.crt is there: restore");
    assert_false(is_there("tls/agent.pem"));
}

static void test_what_stands_in_the_way_is_not_replaced(void **state)
{
    (void)state;
    shell("mkdir -m 700 tls; ln -s ../elsewhere tls/agent.pem");
    assert_refused(ERROR_DENIED, "tls: agent.pem: a symbolic link");
    shell("rm tls/agent.pem; mkdir tls/agent.pem");
    assert_refused(ERROR_INVALID, "tls: agent.pem: not a regular file");
    shell("rm -r tls; ln -s elsewhere tls");
    assert_refused(ERROR_DENIED, "tls is a symbolic link");
    shell("rm tls; touch tls");
    assert_refused(ERROR_DENIED, "tls is not a directory");
    assert_false(is_there("elsewhere"));
}

static void test_owner_is_the_state_directorys(void **state)
{
    (void)state;
    static const char *const names[] = {"tls", "tls/agent.pem", "tls/agent.crt"};
    needs_root();
    shell("chown %u:%u .", USER, USER + 1);
    (void)pins_of("pve1", true);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(status_of(names[i]).st_uid, USER);
        assert_int_equal(status_of(names[i]).st_gid, USER + 1);
    }
    /* As if killed before the directory was given away. */
    shell("chown root:root tls; chmod 755 tls");
    (void)pins_of("pve1", false);
    assert_int_equal(status_of("tls").st_uid, USER);
    assert_int_equal(status_of("tls").st_mode, S_IFDIR | 0700);
    shell("chown 4711 tls");
    assert_refused(ERROR_DENIED, "tls belongs to uid 4711");
}

static int load_as_daemon(void)
{
    struct identity identity;
    bool made = true;
    EXPECT(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
    EXPECT(identity_load(scratch, &identity, &error) == 0);
    identity_free(&identity);
    EXPECT(ensure("pve1", &identity, &made) == 0 && !made);
    identity_free(&identity);
    return 0;
}

static void test_daemon_reads_what_root_made(void **state)
{
    (void)state;
    needs_root();
    shell("chown %u:%u .", USER, USER);
    (void)pins_of("pve1", true);
    in_child(load_as_daemon);
}

/* Prints the result of one of many processes at once. */
struct report {
    bool made;
    struct pins pins;
};

static int contend(int pipe_fd)
{
    struct report report;
    struct identity identity;
    memset(&report, 0, sizeof report);
    EXPECT(ensure("pve1", &identity, &report.made) == 0);
    report.pins = identity.pins;
    identity_free(&identity);
    EXPECT(write(pipe_fd, &report, sizeof report) == (ssize_t)sizeof report);
    return 0;
}

static void test_eight_processes_make_one_identity(void **state)
{
    (void)state;
    enum { PROCESSES = 8 };
    int ends[2];
    int made = 0;
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() == 0)
            _exit(contend(ends[1]));
    }
    (void)close(ends[1]);
    struct report first;
    struct report next;
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        assert_int_equal(read(ends[0], &next, sizeof next), sizeof next);
        first = i == 0 ? next : first;
        assert_memory_equal(&first.pins, &next.pins, sizeof first.pins);
        made += next.made;
    }
    (void)close(ends[0]);
    assert_int_equal(made, 1);
    assert_int_equal(count_entries(in_scratch("tls")), 2);
}

#define test(function) cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_made),
        test(test_kept),
        test(test_pins_are_what_openssl_computes),
        test(test_load),
        test(test_load_never_yields_the_key),
        test(test_load_failures),
        test(test_no_state_directory),
        test(test_certificate_is_restored),
        test(test_drafts_of_a_killed_run_go),
        test(test_damaged_identity_is_not_replaced),
        test(test_certificate_without_its_key_is_not_replaced),
        test(test_what_stands_in_the_way_is_not_replaced),
        test(test_owner_is_the_state_directorys),
        test(test_daemon_reads_what_root_made),
        test(test_eight_processes_make_one_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
