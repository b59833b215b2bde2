/* SPDX-License-Identifier: Apache-2.0 */
#include "server/outbound/curl.h"

#include <dlfcn.h>
#include <pthread.h>

#include "tests/unit/scratch.h"

static void *load(void *context)
{
    struct error error;
    (void)context;
    return (void *)curl_load(&error);
}

static void test_all_threads_get_the_same(void **state)
{
    (void)state;
    pthread_t threads[4];
    void *found[4];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_join(threads[i], &found[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_ptr_equal(found[i], load(NULL));
    assert_non_null(found[0]);
}

static void test_every_function_is_there(void **state)
{
    (void)state;
    struct error error;
    void *functions[sizeof(struct curl) / sizeof(void *)];
    const struct curl *curl = curl_load(&error);
    assert_non_null(curl);
    memcpy(functions, curl, sizeof functions);
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
        assert_non_null(functions[i]);
    assert_string_equal(curl->easy_strerror(CURLE_OK), "No error");
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

static int tell_load(void)
{
    struct error error = {0};
    const struct curl *first = curl_load(&error);
    const struct curl *second = curl_load(&error);
    (void)puts(first || second || error.kind != ERROR_SYSTEM ? "loaded" : error.message);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_threads_get_the_same),
        cmocka_unit_test(test_every_function_is_there),
        cmocka_unit_test_setup_teardown(test_not_installed, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_library_without_the_functions, scratch_make,
                                        scratch_remove),
    };
    if (argc == 2 && strcmp(argv[1], "load") == 0)
        return tell_load();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
