/* SPDX-License-Identifier: Apache-2.0 */
/* Which file a hookscript's volume id names. */
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/pve/storage_config.h"
#include "tests/unit/test.h"

#define STORAGES \
    "# a note\n" \
    "dir: local\n\tpath /var/lib/vz\n\tcontent iso,snippets\n\n" \
    "lvmthin: local-lvm\n\tthinpool data\n\tvgname pve\n\n" \
    "dir: own\n\tcontent-dirs backup=dump2,snippets=hooks\n\tpath /srv/own \n\n" \
    "nfs: share\n\texport /x\n\tserver 192.0.2.1\n" \
    "cifs: other\n\tpath /mnt/else\n\n" \
    "dir: bare"

static void assert_path(const char *storages, const char *volume, const char *expected)
{
    struct error error;
    cleanup_free char *path = NULL;
    if (snippet_path(storages, volume, &path, &error) < 0)
        fail_test("%s: %s", volume, error.message);
    assert_string_equal(path, expected);
}

static void assert_no_path(const char *volume, enum error_kind kind, const char *message)
{
    struct error error;
    char *path = NULL;
    assert_int_equal(snippet_path(STORAGES, volume, &path, &error), -1);
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.message, message);
}

static void places(void **state)
{
    (void)state;
    assert_path(STORAGES, "local:snippets/a b.pl", "/var/lib/vz/snippets/a b.pl");
    assert_path(STORAGES, "own:snippets/x", "/srv/own/hooks/x");
    assert_path(STORAGES, "share:snippets/x", "/mnt/pve/share/snippets/x");
    assert_path(STORAGES, "other:snippets/x", "/mnt/else/snippets/x");
}

/* Proxmox has this storage at this place, whatever the file says. */
static void local_is_always_there(void **state)
{
    (void)state;
    assert_path("", "local:snippets/x", "/var/lib/vz/snippets/x");
    assert_path("dir: local\n\tpath /elsewhere\n\tcontent-dirs snippets=s\n", "local:snippets/x",
                "/var/lib/vz/s/x");
    assert_path("dir: local", "local:snippets/x", "/var/lib/vz/snippets/x");
}

static void storages_without_a_directory(void **state)
{
    (void)state;
    assert_no_path("local-lvm:snippets/x", ERROR_MISSING,
                   "local-lvm:snippets/x: storage.cfg has no storage local-lvm with a directory");
    assert_no_path("bare:snippets/x", ERROR_MISSING,
                   "bare:snippets/x: storage.cfg has no storage bare with a directory");
    assert_no_path("loca:snippets/x", ERROR_MISSING,
                   "loca:snippets/x: storage.cfg has no storage loca with a directory");
}

static void what_is_no_snippet(void **state)
{
    (void)state;
    static const char *const volumes[] = {
        "",        "x",           "/usr/bin/x",         ":snippets/x",       "local:snippets/",
        "local:x", "local:iso/x", "local:snippets/a/b", "local:snippets/..", "local:snippets/.",
    };
    for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
        struct error error;
        char *path = NULL;
        assert_int_equal(snippet_path(STORAGES, volumes[i], &path, &error), -1);
        assert_int_equal(error.kind, ERROR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(local_is_always_there),
        cmocka_unit_test(storages_without_a_directory),
        cmocka_unit_test(what_is_no_snippet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
