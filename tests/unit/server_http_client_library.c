/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl, which the first request loads. */
#include <dlfcn.h>
#include <pthread.h>

#include "tests/unit/http_rig.h"

/* Asks a port where nobody listens, with a client of its own. */
static void *ask_nobody(void *context)
{
    struct error *failure = context;
    struct http_reply none = {0};
    struct http_client *own = http_client_new(NULL, NULL);
    const struct http_request request = request_for("GET", "http://127.0.0.1:1/");
    assert_int_equal(http_client_perform(own, &request, &none, failure), -1);
    http_client_free(own);
    return NULL;
}

static void test_many_threads_need_it_at_once(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct error failures[ARRAY_SIZE(threads)];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_nobody, &failures[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i].kind, ERROR_BUSY);
    }
}

/* This program again, with a libcurl.so.4 of the scratch directory in place of the system's. */
static void assert_not_loaded(const char *message)
{
    char program[256];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    assert_true(length > 0);
    program[length] = '\0';
    cleanup_free char *command = mem_format("LD_LIBRARY_PATH=%s %s load", scratch, program);
    assert_output(command, message);
}

static void test_not_installed(void **state)
{
    (void)state;
    shell("echo broken > libcurl.so.4");
    assert_not_loaded("libcurl is not installed: apt-get install libcurl4 (libcurl4t64 on Debian "
                      "13), then restart felhomd");
}

static void test_library_without_the_functions(void **state)
{
    (void)state;
    Dl_info other;
    assert_int_not_equal(dladdr(dlsym(RTLD_DEFAULT, "_cmocka_run_group_tests"), &other), 0);
    shell("cp %s libcurl.so.4", other.dli_fname);
    assert_not_loaded("the installed libcurl has no curl_global_init: update it");
}

/* The second request fails like the first. */
static int tell_load(void)
{
    struct error first;
    struct error second;
    (void)ask_nobody(&first);
    (void)ask_nobody(&second);
    bool same = first.kind == ERROR_SYSTEM && strcmp(first.message, second.message) == 0;
    (void)puts(same ? first.message : "loaded");
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads_need_it_at_once),
        cmocka_unit_test_setup_teardown(test_not_installed, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_library_without_the_functions, scratch_make,
                                        scratch_remove),
    };
    if (argc == 2 && strcmp(argv[1], "load") == 0)
        return tell_load();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
