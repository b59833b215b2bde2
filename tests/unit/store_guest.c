/* SPDX-License-Identifier: Apache-2.0 */
/* Host, guests, NICs and mounts. */
#include "tests/unit/test.h"

#include "store/host/host.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

#include "tests/unit/enrolment.h"
#include "tests/unit/store_fixture.h"

static void test_host(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct host put = {"demo-felhom", "pve1", "192.168.0.162:8443", {"spki=", "AA:BB"}};
    struct host got;
    FAILS(host_get(store, &got, &error), ERROR_MISSING,
          "the store knows nothing of its host yet: run `felhomctl init`");
    OK(host_put(store, &put, &error));
    (void)strcpy(put.node, "pve2");
    OK(host_put(store, &put, &error));
    OK(host_get(store, &got, &error));
    assert_string_equal(got.host_id, "demo-felhom");
    assert_string_equal(got.node, "pve2");
    assert_string_equal(got.endpoint, "192.168.0.162:8443");
    assert_string_equal(got.pins.spki, "spki=");
    assert_string_equal(got.pins.leaf, "AA:BB");
    assert_raw("SELECT count(*) FROM host", "1");
}

static void test_state_names(void **state)
{
    (void)state;
    assert_string_equal(guest_state_names[GUEST_STARTING], "starting");
    assert_string_equal(guest_state_names[GUEST_RUNNING], "running");
    assert_string_equal(guest_state_names[GUEST_STOPPING], "stopping");
    assert_string_equal(guest_state_names[GUEST_STOPPED], "stopped");
}

static void assert_same(const struct guest *a, const struct guest *b)
{
    assert_int_equal(a->vmid, b->vmid);
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->root_uid, b->root_uid);
    assert_int_equal(a->root_gid, b->root_gid);
    assert_string_equal(a->mount_form, b->mount_form);
    assert_int_equal(a->changed_at_ms, b->changed_at_ms);
}

static void test_put_and_find(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct guest put = guest_named(8200, "web");
    struct guest got = {.vmid = 1};
    FAILS(guest_find(store, 8200, &got, &error), ERROR_MISSING, "the store knows no guest 8200");
    assert_int_equal(got.vmid, 1);
    put.generation = 99; /* the tokens' to set */
    put.root_uid = UINT32_MAX;
    OK(guest_put(store, &put, &error));
    OK(guest_find(store, 8200, &got, &error));
    assert_same(&got, &put);
    assert_int_equal(got.generation, 0);
}

static void test_the_version_changes_with_whatever_is_recorded(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct guest put = guest_named(8200, "web");
    struct guest_version version;
    struct token token;
    FAILS(guest_version(store, 8200, &version, &error), ERROR_MISSING,
          "the store knows no guest 8200");
    put.changed_at_ms = 1000;
    OK(guest_put(store, &put, &error));
    OK(guest_version(store, 8200, &version, &error));
    assert_int_equal(version.generation, 0);
    assert_int_equal(version.changed_at_ms, 1000);
    OK(token_mint(store, 8200, 1, 0, &token, &error));
    OK(guest_set_state(store, 8200, GUEST_RUNNING, 2000, &error));
    OK(guest_version(store, 8200, &version, &error));
    assert_int_equal(version.generation, 1);
    assert_int_equal(version.changed_at_ms, 2000);
}

static void test_every_kind_and_state(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    for (int kind = GUEST_LXC; kind <= GUEST_QEMU; kind++)
        for (int at = GUEST_STARTING; at <= GUEST_STOPPED; at++) {
            struct guest put = guest_named(100, "x");
            struct guest got;
            put.kind = (enum guest_kind)kind;
            put.state = (enum guest_state)at;
            OK(guest_put(store, &put, &error));
            OK(guest_find(store, 100, &got, &error));
            assert_same(&got, &put);
        }
}

static void test_put_keeps_what_is_not_its_own(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    struct token token;
    struct guest guest;
    put_guest(store, 8200);
    OK(token_mint(store, 8200, 1, 0, &token, &error));
    record_enrolment(store, 8200, "customer: x\n", 12);
    struct guest again = guest_named(8200, "renamed");
    OK(guest_put(store, &again, &error));
    OK(guest_find(store, 8200, &guest, &error));
    assert_string_equal(guest.name, "renamed");
    assert_int_equal(guest.generation, 1);
    OK(guest_get_enrolment(store, 8200, &text, &error));
    assert_string_equal(buffer_text(&text), "customer: x\n");
    assert_raw("SELECT count(*) FROM token", "1");
}

static void test_put_refuses_nonsense(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct guest put = guest_named(8200, "web");
    (void)strcpy(put.mount_form, "other");
    assert_int_equal(guest_put(store, &put, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
}

static void test_set_state(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct guest got;
    FAILS(guest_set_state(store, 8200, GUEST_RUNNING, 5, &error), ERROR_MISSING,
          "the store knows no guest 8200");
    put_guest(store, 8200);
    put_guest(store, 8300);
    OK(guest_set_state(store, 8200, GUEST_STOPPED, 2000, &error));
    OK(guest_find(store, 8200, &got, &error));
    assert_int_equal(got.state, GUEST_STOPPED);
    assert_int_equal(got.changed_at_ms, 2000);
    OK(guest_find(store, 8300, &got, &error));
    assert_int_equal(got.state, GUEST_STARTING);
}

struct visited {
    int count;
    uint32_t vmids[4];
    uint32_t stop_at;
};

static int note(const struct guest *guest, void *context)
{
    struct visited *visited = context;
    visited->vmids[visited->count++] = guest->vmid;
    return guest->vmid == visited->stop_at ? -3 : 0;
}

static void test_each(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct visited all = {0};
    struct visited some = {.stop_at = 8200};
    OK(guest_each(store, note, &all, &error));
    assert_int_equal(all.count, 0);
    put_guest(store, 999999999);
    put_guest(store, 8200);
    put_guest(store, 100);
    OK(guest_each(store, note, &all, &error));
    assert_int_equal(all.count, 3);
    assert_int_equal(all.vmids[0], 100);
    assert_int_equal(all.vmids[1], 8200);
    assert_int_equal(all.vmids[2], 999999999);
    assert_int_equal(guest_each(store, note, &some, &error), -3);
    assert_int_equal(some.count, 2);
    cleanup(vmids_free) struct vmids listed = {0};
    OK(guest_list(store, &listed, &error));
    assert_int_equal(listed.count, 3);
    assert_memory_equal(listed.items, all.vmids, 3 * sizeof *all.vmids);
}

static int stop_guest(const struct guest *guest, void *context)
{
    OK(guest_set_state(context, guest->vmid, GUEST_STOPPED, 9, &error));
    return 0;
}

static void test_visit_may_write(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    put_guest(store, 100);
    put_guest(store, 101);
    OK(guest_each(store, stop_guest, store, &error));
    assert_raw("SELECT count(*) FROM guest WHERE state = 'stopped'", "2");
}

static void test_enrolment(void **state)
{
    (void)state;
    static const char odd[] = "a\0b\xff\n";
    cleanup_store struct store *store = store_of_scratch();
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    OK(guest_get_enrolment(store, 8200, &out, &error));
    put_guest(store, 8200);
    OK(guest_get_enrolment(store, 8200, &out, &error));
    assert_int_equal(out.length, 0);
    record_enrolment(store, 8200, odd, sizeof odd - 1);
    buffer_add_text(&out, ">");
    OK(guest_get_enrolment(store, 8200, &out, &error));
    assert_int_equal(out.length, sizeof odd);
    assert_memory_equal(out.data + 1, odd, sizeof odd - 1);
    record_enrolment(store, 8200, "", 0);
    buffer_free(&out);
    OK(guest_get_enrolment(store, 8200, &out, &error));
    assert_int_equal(out.length, 0);
}

static const struct hwaddr hwaddr_a = {{0xBC, 0x24, 0x11, 0x09, 0xCE, 0x72}};
static const struct hwaddr hwaddr_b = {{0xBC, 0x24, 0x11, 0x09, 0xCE, 0x73}};

static struct nic nic_of(const char *key, const struct hwaddr *hwaddr)
{
    struct nic nic = {.key = (char *)key, .bridge = (char *)"vmbr0", .ip = (char *)"dhcp"};
    if (hwaddr) {
        nic.has_hwaddr = true;
        nic.hwaddr = *hwaddr;
    }
    return nic;
}

static void give_nic(struct store *store, uint32_t vmid, const struct hwaddr *hwaddr)
{
    struct nic nic = nic_of("net0", hwaddr);
    put_guest(store, vmid);
    OK(nic_replace_all(store, vmid, &nic, 1, &error));
}

static void test_nic_replace(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct nic nics[] = {nic_of("net0", &hwaddr_a), nic_of("net1", &hwaddr_b),
                               nic_of("net2", NULL)};
    give_nic(store, 8300, &hwaddr_b);
    put_guest(store, 8200);
    OK(nic_replace_all(store, 8200, nics, 3, &error));
    assert_raw(
        "SELECT group_concat(key || ' ' || ifnull(hwaddr, '-') || ' ' || bridge || ' ' || ip)"
        " FROM (SELECT * FROM nic WHERE vmid = 8200 ORDER BY key)",
        "net0 BC:24:11:09:CE:72 vmbr0 dhcp,net1 BC:24:11:09:CE:73 vmbr0 dhcp,"
        "net2 - vmbr0 dhcp");
    OK(nic_replace_all(store, 8200, nics + 1, 1, &error));
    assert_raw("SELECT group_concat(key) FROM nic WHERE vmid = 8200", "net1");
    OK(nic_replace_all(store, 8200, NULL, 0, &error));
    assert_raw("SELECT group_concat(vmid) FROM nic", "8300");
}

static void test_nic_replace_is_all_or_nothing(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct nic twice[] = {nic_of("net1", &hwaddr_b), nic_of("net1", &hwaddr_b)};
    FAILS(nic_replace_all(store, 8200, twice, 1, &error), ERROR_MISSING,
          "net1 of guest 8200: the store knows no such guest");
    give_nic(store, 8200, &hwaddr_a);
    assert_int_equal(nic_replace_all(store, 8200, twice, 2, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_raw("SELECT group_concat(key) FROM nic", "net0");
}

static void assert_owner(struct store *store, const struct hwaddr *hwaddr, uint32_t prefer,
                         uint32_t expected)
{
    uint32_t vmid = 1;
    OK(nic_find_guest(store, hwaddr, prefer, &vmid, &error));
    assert_int_equal(vmid, expected);
}

static void test_nic_find_guest(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    assert_owner(store, &hwaddr_a, 0, 0);
    give_nic(store, 8300, &hwaddr_a);
    give_nic(store, 8200, &hwaddr_a);
    give_nic(store, 8250, &hwaddr_a);
    give_nic(store, 100, &hwaddr_b);
    give_nic(store, 101, NULL);
    assert_owner(store, &hwaddr_a, 0, 8200);
    assert_owner(store, &hwaddr_a, 8300, 8300);
    assert_owner(store, &hwaddr_a, 8250, 8250);
    assert_owner(store, &hwaddr_a, 100, 8200); /* preferred, but not among them */
    assert_owner(store, &hwaddr_b, 8300, 100);
    assert_owner(store, &(struct hwaddr){{0}}, 101, 0); /* no address is not an address of zeroes */
}

/* Records the NICs; returns whether anything was written. *ret_shared: as of
 * nic_replace_all_and_look. */
static bool nics_were_written(const struct nic *nics, size_t count, const struct nic **ret_shared)
{
    cleanup_store struct store *store = store_of_scratch();
    OK(nic_replace_all_and_look(store, 8200, nics, count, ret_shared, &error));
    return store_has_written(store);
}

static void test_only_other_nics_are_written(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct nic *shared;
    struct nic nics[] = {nic_of("net1", NULL), nic_of("net0", &hwaddr_a)};
    put_guest(store, 8200);
    assert_true(nics_were_written(nics, 2, &shared));
    assert_false(nics_were_written(nics, 2, &shared));
    nics[0].bridge = (char *)"vmbr1";
    assert_true(nics_were_written(nics, 2, &shared));
    nics[0].ip = (char *)"manual";
    assert_true(nics_were_written(nics, 2, &shared));
    nics[0].has_hwaddr = true; /* of zeroes */
    assert_true(nics_were_written(nics, 2, &shared));
    nics[1].hwaddr = hwaddr_b;
    assert_true(nics_were_written(nics, 2, &shared));
    nics[0].key = (char *)"net2";
    assert_true(nics_were_written(nics, 2, &shared));
    assert_false(nics_were_written(nics, 2, &shared));
    assert_raw(
        "SELECT group_concat(key || ' ' || ifnull(hwaddr, '-') || ' ' || bridge || ' ' || ip)"
        " FROM (SELECT * FROM nic ORDER BY key)",
        "net0 BC:24:11:09:CE:73 vmbr0 dhcp,net2 00:00:00:00:00:00 vmbr1 manual");
    assert_true(nics_were_written(nics, 1, &shared));
    assert_false(nics_were_written(nics, 1, &shared));
    assert_true(nics_were_written(NULL, 0, &shared));
    assert_false(nics_were_written(NULL, 0, &shared));
}

/* Whether the guest's own NICs have changed or not. */
static void test_a_shared_address_is_found(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct nic *shared;
    const struct nic nics[] = {nic_of("net9", &hwaddr_a), nic_of("net0", &hwaddr_b),
                               nic_of("net1", NULL)};
    put_guest(store, 8200);
    give_nic(store, 101, NULL);
    assert_true(nics_were_written(nics, 3, &shared));
    assert_null(shared);
    give_nic(store, 8300, &hwaddr_b);
    assert_false(nics_were_written(nics, 3, &shared));
    assert_ptr_equal(shared, &nics[1]);
    give_nic(store, 8400, &hwaddr_a);
    assert_false(nics_were_written(nics, 3, &shared));
    assert_ptr_equal(shared, &nics[0]);
    assert_true(nics_were_written(nics + 1, 2, &shared));
    assert_ptr_equal(shared, &nics[1]);
}

static struct volume volume_of(const char *key, enum volume_kind kind)
{
    return (struct volume){.key = (char *)key,
                           .kind = kind,
                           .storage = (char *)(kind == VOLUME_STORAGE ? "local-lvm" : ""),
                           .source = (char *)"source",
                           .mount_point = (char *)"/",
                           .size_bytes = -1};
}

static void test_mounts(void **state)
{
    (void)state;
    static const char *const order[] = {"rootfs", "mp0", "mp2", "mp9", "mp10", "mp255"};
    cleanup_store struct store *store = store_of_scratch();
    cleanup(mount_list_free) struct mount_list list = {0};
    struct volume volumes[] = {
        volume_of("mp10", VOLUME_BIND),   volume_of("mp2", VOLUME_DEVICE),
        volume_of("mp255", VOLUME_BIND),  volume_of("rootfs", VOLUME_STORAGE),
        volume_of("mp9", VOLUME_STORAGE), volume_of("mp0", VOLUME_STORAGE),
    };
    volumes[3].backup = true;
    volumes[3].size_bytes = INT64_MAX;
    volumes[1].read_only = true;
    put_guest(store, 8200);
    OK(mount_replace_all(store, 8200, volumes, ARRAY_SIZE(volumes), &error));
    OK(mount_list(store, 8200, &list, &error));
    assert_int_equal(list.count, ARRAY_SIZE(order));
    for (size_t i = 0; i < list.count; i++)
        assert_string_equal(list.items[i].key, order[i]);
    const struct mount *root = &list.items[0];
    assert_int_equal(root->kind, VOLUME_STORAGE);
    assert_string_equal(root->storage, "local-lvm");
    assert_string_equal(root->source, "source");
    assert_string_equal(root->mount_point, "/");
    assert_true(root->backup && !root->read_only);
    assert_int_equal(root->size_bytes, INT64_MAX);
    assert_int_equal(list.items[2].kind, VOLUME_DEVICE);
    assert_true(list.items[2].read_only && !list.items[2].backup);
    assert_int_equal(list.items[2].size_bytes, -1);
    assert_int_equal(list.items[4].kind, VOLUME_BIND);
    assert_string_equal(list.items[4].storage, "");
}

static void test_mounts_replace(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    cleanup(mount_list_free) struct mount_list list = {0};
    const struct volume volumes[] = {volume_of("rootfs", VOLUME_STORAGE),
                                     volume_of("mp0", VOLUME_BIND), volume_of("mp0", VOLUME_BIND)};
    FAILS(mount_replace_all(store, 8200, volumes, 1, &error), ERROR_MISSING,
          "rootfs of guest 8200: the store knows no such guest");
    put_guest(store, 8200);
    OK(mount_list(store, 8200, &list, &error));
    assert_int_equal(list.count, 0);
    OK(mount_replace_all(store, 8200, volumes, 2, &error));
    assert_int_equal(mount_replace_all(store, 8200, volumes, 3, &error), -1);
    assert_raw("SELECT group_concat(key) FROM mount", "mp0,rootfs");
    OK(mount_replace_all(store, 8200, volumes, 1, &error));
    assert_raw("SELECT group_concat(key) FROM mount", "rootfs");
    mount_list_free(&list);
    mount_list_free(&list);
}

/* Records the mounts; returns whether anything was written. */
static bool mounts_were_written(const struct volume *volumes, size_t count)
{
    cleanup_store struct store *store = store_of_scratch();
    OK(mount_replace_all(store, 8200, volumes, count, &error));
    return store_has_written(store);
}

static void test_only_other_mounts_are_written(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    struct volume volumes[] = {volume_of("rootfs", VOLUME_STORAGE),
                               volume_of("mp0", VOLUME_STORAGE)};
    struct volume *changing = &volumes[1];
    put_guest(store, 8200);
    assert_true(mounts_were_written(volumes, 2));
    assert_false(mounts_were_written(volumes, 2));
    changing->kind = VOLUME_BIND;
    assert_true(mounts_were_written(volumes, 2));
    changing->storage = (char *)"other";
    assert_true(mounts_were_written(volumes, 2));
    changing->source = (char *)"other:1";
    assert_true(mounts_were_written(volumes, 2));
    changing->mount_point = (char *)"/srv";
    assert_true(mounts_were_written(volumes, 2));
    changing->read_only = true;
    assert_true(mounts_were_written(volumes, 2));
    changing->backup = true;
    assert_true(mounts_were_written(volumes, 2));
    changing->size_bytes = 0;
    assert_true(mounts_were_written(volumes, 2));
    changing->key = (char *)"mp1";
    assert_true(mounts_were_written(volumes, 2));
    assert_false(mounts_were_written(volumes, 2));
    assert_raw("SELECT key || kind || storage || source || mount_point || read_only || backup || "
               "size_bytes"
               " FROM mount WHERE key <> 'rootfs'",
               "mp1bindotherother:1/srv110");
    assert_true(mounts_were_written(volumes, 1));
    assert_false(mounts_were_written(volumes, 1));
}

/* Nothing of a removed guest remains for a new guest with its VMID, and other guests keep their
 * data. */
static void test_remove_cascades(void **state)
{
    (void)state;
    cleanup_store struct store *store = store_of_scratch();
    const struct volume volume = volume_of("rootfs", VOLUME_STORAGE);
    const uint32_t vmids[] = {8200, 8300};
    for (size_t i = 0; i < ARRAY_SIZE(vmids); i++) {
        struct token token;
        give_nic(store, vmids[i], &hwaddr_a);
        OK(mount_replace_all(store, vmids[i], &volume, 1, &error));
        OK(token_mint(store, vmids[i], 1, 0, &token, &error));
        run_raw("INSERT INTO job (vmid, kind, phase, created_at_ms, changed_at_ms)"
                " SELECT max(vmid), 'backup', 'running', 1, 1 FROM guest");
    }
    run_raw("INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us)"
            " VALUES (1, 8200, 'mint', 'ok', '', '', 1)");
    OK(guest_remove(store, 8200, &error));
    OK(guest_remove(store, 8200, &error));
    assert_raw(
        "SELECT (SELECT group_concat(vmid) FROM guest) || (SELECT group_concat(vmid) FROM nic)"
        " || (SELECT group_concat(vmid) FROM mount) ||"
        " (SELECT group_concat(vmid) FROM token) || (SELECT group_concat(vmid) FROM job)",
        "83008300830083008300");
    assert_raw("SELECT count(*) FROM event", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(test_host),
        store_test(test_state_names),
        store_test(test_put_and_find),
        store_test(test_the_version_changes_with_whatever_is_recorded),
        store_test(test_every_kind_and_state),
        store_test(test_put_keeps_what_is_not_its_own),
        store_test(test_put_refuses_nonsense),
        store_test(test_set_state),
        store_test(test_each),
        store_test(test_visit_may_write),
        store_test(test_enrolment),
        store_test(test_nic_replace),
        store_test(test_nic_replace_is_all_or_nothing),
        store_test(test_nic_find_guest),
        store_test(test_mounts),
        store_test(test_mounts_replace),
        store_test(test_only_other_nics_are_written),
        store_test(test_a_shared_address_is_found),
        store_test(test_only_other_mounts_are_written),
        store_test(test_remove_cascades),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
