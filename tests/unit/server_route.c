/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/route.h"

#include <stdio.h>

#include "schema/base/cleanup.h"
#include "tests/unit/test.h"

static const struct route *find(const char *method, const char *path)
{
    return route_resolve(path, method).route;
}

static void test_paths_find_their_handlers(void **state)
{
    (void)state;
    assert_ptr_equal(find("GET", "/storage")->handle, storage_get);
    assert_ptr_equal(find("GET", "/controller.yaml")->handle, controller_yaml_get);
    assert_ptr_equal(find("GET", "/healthz")->handle, healthz_get);
    assert_ptr_equal(find("GET", "/guests/8200/storage")->handle, storage_get);
}

static void test_only_the_exact_path_counts(void **state)
{
    (void)state;
    static const char *const unknown[] = {
        "",
        "/",
        "storage",
        "/storage/",
        "//storage",
        "/Storage",
        "/storage/x",
        "/storag",
        "/storage%00",
        "/guests",
        "/guests/",
        "/guests/8200",
        "/guests/8200/",
        "/guests/8200//storage",
        "/guests//storage",
        "/guests/8200/guests/8200/storage",
    };
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        if (find("GET", unknown[i]))
            fail_test("%s has a route", unknown[i]);
    }
}

static void test_only_the_exact_method_counts(void **state)
{
    (void)state;
    assert_null(find("POST", "/storage"));
    assert_null(find("get", "/storage"));
    assert_null(find("", "/storage"));
}

static void test_vmid_in_the_path(void **state)
{
    (void)state;
    const struct destination destination = route_resolve("/guests/8200/storage", "GET");
    assert_true(destination.has_vmid);
    assert_int_equal(destination.vmid, 8200);
    assert_string_equal(destination.path, "/storage");
}

static void test_malformed_vmids_are_no_path(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "99",  "1000000000", "08200", "+8200", " 8200",
        "abc", "8200x",      "-1",    "82 00", "99999999999999999999"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/guests/%s/storage", malformed[i]);
        assert_false(route_resolve(path, "GET").has_vmid);
        assert_null(find("GET", path));
    }
}

static void test_only_bare_open_paths_are_open(void **state)
{
    (void)state;
    assert_true(route_resolve("/healthz", "GET").open);
    assert_false(route_resolve("/guests/8200/healthz", "GET").open);
    assert_false(route_resolve("/storage", "GET").open);
    assert_false(route_resolve("/controller.yaml", "GET").open);
    assert_false(route_resolve("/nothing", "GET").open);
    assert_false(route_resolve("/healthz/", "GET").open);
}

static void assert_methods(const char *path, const char *expected)
{
    cleanup_buffer struct buffer methods = BUFFER_EMPTY;
    const struct destination destination = route_resolve(path, "GET");
    route_methods(&destination, &methods);
    assert_string_equal(buffer_text(&methods), expected);
}

static void test_methods_for_allow(void **state)
{
    (void)state;
    assert_methods("/storage", "GET, HEAD");
    assert_methods("/guests/8200/storage", "GET, HEAD");
    assert_methods("/nothing", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_find_their_handlers),
        cmocka_unit_test(test_only_the_exact_path_counts),
        cmocka_unit_test(test_only_the_exact_method_counts),
        cmocka_unit_test(test_vmid_in_the_path),
        cmocka_unit_test(test_malformed_vmids_are_no_path),
        cmocka_unit_test(test_only_bare_open_paths_are_open),
        cmocka_unit_test(test_methods_for_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
