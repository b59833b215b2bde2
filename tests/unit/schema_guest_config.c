/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent reads from a guest's configuration: fields, warnings, ids, limits, and QEMU
 * guests. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/pve/guest_config.h"
#include "schema/pve/guest_property.h"
#include "tests/unit/test.h"

static void parse(enum guest_kind kind, const char *text, struct guest_config *ret)
{
    struct error error;
    assert_int_equal(guest_config_parse(kind, text, strlen(text), ret, &error), 0);
}

static const struct volume *volume(const struct guest_config *config, const char *key)
{
    const struct volume *found = guest_config_volume(config, key);
    assert_non_null(found);
    return found;
}

static const char *property(const struct property *properties, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(properties[i].key, key) == 0)
            return properties[i].value;
    return NULL;
}

static void assert_warnings(const struct guest_config *config, const char *const *expected,
                            size_t count)
{
    for (size_t i = 0; i < config->warning_count && i < count; i++)
        assert_string_equal(config->warnings[i], expected[i]);
    assert_int_equal(config->warning_count, count);
}

static void test_empty_is_a_configuration(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC, "", &config);
    assert_string_equal(config.name, "");
    assert_null(config.hookscript);
    assert_null(config.lock);
    assert_false(config.template);
    assert_int_equal(config.unprivileged, -1);
    assert_int_equal(config.root_uid, 0);
    assert_int_equal(config.volume_count + config.nic_count + config.raw_count, 0);
    assert_int_equal(config.warning_count, 0);
    assert_null(guest_config_volume(&config, "rootfs"));
    guest_config_free(&config);
}

static void test_what_is_no_configuration_is_refused(void **state)
{
    (void)state;
    struct guest_config config;
    struct error error;
    static const char nul[] = "hostname: a\0b\n";
    assert_int_equal(guest_config_parse(GUEST_LXC, nul, sizeof nul - 1, &config, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_string_equal(error.message, "there is a NUL byte in it");

    size_t length = 1024 * 1024;
    cleanup_free char *large = malloc(length + 1);
    memset(large, '\n', length + 1);
    assert_int_equal(guest_config_parse(GUEST_LXC, large, length, &config, &error), 0);
    guest_config_free(&config);
    assert_int_equal(guest_config_parse(GUEST_LXC, large, length + 1, &config, &error), -1);
    assert_string_equal(error.message, "1048577 bytes are more than a guest's configuration has");
}

static void test_only_length_bytes_are_read(void **state)
{
    (void)state;
    struct guest_config config;
    struct error error;
    assert_int_equal(guest_config_parse(GUEST_LXC, "hostname: abc", 11, &config, &error), 0);
    assert_string_equal(config.name, "a");
    guest_config_free(&config);
}

static void test_lxc_fields(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC,
          "hostname: ct\nhookscript: local:snippets/felhom-hook\nlock: backup\ntemplate: yes\n"
          "mp10: nfs:1/vm-1-disk-1.raw,mp=/ten,ro=on,backup=1,size=1.5G\n"
          "mp2: /srv,mp=/two,backup=1\nmp3: /dev/sdb,mp=/three,backup=1,idmap=passthrough\n"
          "rootfs: local-lvm:vm-1-disk-0\nnet10: name=b,ip=dhcp\n"
          "net9: name=a,bridge=vmbr0,hwaddr=bc:24:11:00:00:01,ip=192.0.2.1/24\n",
          &config);
    assert_int_equal(config.kind, GUEST_LXC);
    assert_string_equal(config.name, "ct");
    assert_string_equal(config.hookscript, "local:snippets/felhom-hook");
    assert_string_equal(config.lock, "backup");
    assert_true(config.template);

    static const char *const keys[] = {"rootfs", "mp2", "mp3", "mp10"};
    assert_int_equal(config.volume_count, ARRAY_SIZE(keys));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_string_equal(config.volumes[i].key, keys[i]);

    const struct volume *rootfs = volume(&config, "rootfs");
    assert_int_equal(rootfs->kind, VOLUME_STORAGE);
    assert_string_equal(rootfs->storage, "local-lvm");
    assert_string_equal(rootfs->mount_point, "/");
    assert_true(rootfs->backup);
    assert_int_equal(rootfs->size_bytes, -1);

    const struct volume *ten = volume(&config, "mp10");
    assert_string_equal(ten->source, "nfs:1/vm-1-disk-1.raw");
    assert_string_equal(ten->storage, "nfs");
    assert_string_equal(ten->mount_point, "/ten");
    assert_true(ten->read_only);
    assert_true(ten->backup);
    assert_int_equal(ten->size_bytes, 1610612736);
    assert_string_equal(property(ten->properties, ten->property_count, "ro"), "1");

    assert_int_equal(volume(&config, "mp2")->kind, VOLUME_BIND);
    assert_false(volume(&config, "mp2")->backup);
    assert_string_equal(volume(&config, "mp2")->storage, "");
    assert_int_equal(volume(&config, "mp3")->kind, VOLUME_DEVICE);
    assert_false(volume(&config, "mp3")->backup);
    assert_string_equal(volume(&config, "mp3")->idmap, "passthrough");

    assert_int_equal(config.nic_count, 2);
    assert_string_equal(config.nics[0].key, "net9");
    assert_true(config.nics[0].has_hwaddr);
    assert_int_equal(config.nics[0].hwaddr.bytes[5], 1);
    assert_string_equal(config.nics[0].bridge, "vmbr0");
    assert_string_equal(config.nics[0].ip, "192.0.2.1/24");
    assert_string_equal(config.nics[1].key, "net10");
    assert_false(config.nics[1].has_hwaddr);
    assert_string_equal(config.nics[1].bridge, "");
    assert_string_equal(config.nics[1].ip, "dhcp");
    assert_int_equal(config.warning_count, 0);
    guest_config_free(&config);
}

static void test_backup_needs_to_be_asked_for(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC, "mp0: ab:c,mp=/a\nmp1: ab:c,mp=/a,backup=0\nmp2: ab:c,mp=/a,backup=TRUE\n",
          &config);
    assert_false(volume(&config, "mp0")->backup);
    assert_false(volume(&config, "mp1")->backup);
    assert_true(volume(&config, "mp2")->backup);
    guest_config_free(&config);
}

static void test_a_source_that_names_no_storage(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC, "mp0: novolume,mp=/a\nmp1: 1x:c,mp=/a\n", &config);
    assert_int_equal(volume(&config, "mp0")->kind, VOLUME_STORAGE);
    assert_string_equal(volume(&config, "mp0")->storage, "");
    assert_string_equal(volume(&config, "mp1")->storage, "");
    guest_config_free(&config);
}

static void assert_source(const char *text, bool is_drive, const char *expected)
{
    cleanup_free char *source = property_source(text, is_drive);
    assert_string_equal(source, expected);
}

/* A drive's first name counts even if it is empty; a mount point's empty one does not. */
static void test_the_source_of_a_property_string(void **state)
{
    (void)state;
    assert_source("tank:a,mp=/x", false, "tank:a");
    assert_source("mp=/x,volume=tank:a", false, "tank:a");
    assert_source("volume=,mp=/x,tank:a", false, "tank:a");
    assert_source("file=tank:a,mp=/x", false, "");
    assert_source("size=1G,file=tank:a", true, "tank:a");
    assert_source("size=1G,volume=tank:a", true, "tank:a");
    assert_source("volume=,file=tank:a", true, "");
    assert_source("volume=,tank:a", true, "");
}

static void test_every_skipped_line_is_named(void **state)
{
    (void)state;
    struct guest_config config;
    static const char *const warnings[] = {
        "line 1: unable to read 'not a line'",
        "line 3: unable to read 'mp0': property 'mp' is missing",
        "line 4: unable to read 'mp1': property 'mp' is there twice",
        "line 5: unable to read 'mp2': there is no property 'frob'",
        "line 6: unable to read 'mp3': 'maybe' is no good value for 'ro'",
        "line 7: unable to read 'net0': 'eth0' is a value without a key",
        "line 8: unable to read 'net1': 'name=' lacks a key or a value",
        "line 9: unknown setting 'weird_key'",
        "line 10: unknown key 'lxc.bogus'",
        "line 11: 'lxc.rootfs.path' is made by Proxmox from the rootfs setting",
        "line 12: 'lxc.utsname' is an outdated key",
        "line 13: 'x 0 1 1' is no id mapping: Proxmox will not start the guest",
        "line 14: unable to read 'lxc.idmap : u 0 1 1'",
        "line 15: 'delete' belongs into the section of pending changes",
        "line 16: unable to read 'hostname': 'a_b' has not the right form",
        "line 17: unable to read 'unprivileged': 'maybe' is no boolean",
        "line 18: unable to read 'cores': '1.5' is no integer",
        "line 19: unable to read 'cpulimit': '1e3' is no number",
        "line 20: unable to read 'lock': there is a carriage return in it",
        "line 21: unable to read '?[31m'",
        "line 22: unable to read 'mp4': property 'volume' is there twice",
        "line 23: unable to read 'mp5': property 'volume' is there twice",
    };
    parse(GUEST_LXC,
          "not a line\n\nmp0: /a\nmp1: /a,mp=/b,mp=/c\nmp2: /a,mp=/b,frob=1\n"
          "mp3: /a,mp=/b,ro=maybe\nnet0: eth0\nnet1: name=\nweird_key: x\nlxc.bogus: x\n"
          "lxc.rootfs.path: x\nlxc.utsname: x\nlxc.idmap: x 0 1 1\nlxc.idmap : u 0 1 1\n"
          "delete: mp0\nhostname: a_b\nunprivileged: maybe\ncores: 1.5\ncpulimit: 1e3\n"
          "lock: a\rb\n\x1b[31m\nmp4: /a,/b,mp=/c\nmp5: volume=/a,/b,mp=/c\n"
          "[snapshot]\nnot a line either\n",
          &config);
    assert_warnings(&config, warnings, ARRAY_SIZE(warnings));
    assert_int_equal(config.volume_count + config.nic_count, 0);
    guest_config_free(&config);
}

static void test_a_bad_last_duplicate_hides_a_good_one(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC, "mp0: /a,mp=/a\nmp0: bad\nmp1: bad\nmp1: /b,mp=/b\n", &config);
    assert_null(guest_config_volume(&config, "mp0"));
    assert_string_equal(volume(&config, "mp1")->source, "/b");
    guest_config_free(&config);
}

static void assert_root(const char *text, uint32_t uid, uint32_t gid, bool uid_mapped)
{
    struct guest_config config;
    parse(GUEST_LXC, text, &config);
    assert_int_equal(config.root_uid, uid);
    assert_int_equal(config.root_gid, gid);
    assert_int_equal(config.root_uid_mapped, uid_mapped);
    guest_config_free(&config);
}

static void test_root_ids(void **state)
{
    (void)state;
    assert_root("unprivileged: 0\n", 0, 0, false);
    assert_root("unprivileged: 1\n", 100000, 100000, false);
    assert_root("unprivileged: nonsense\n", 100000, 100000, false);
    assert_root("unprivileged: 1\nlxc.idmap: u 0 165536 65536\nlxc.idmap: g 0 265536 65536\n",
                165536, 265536, true);
    assert_root("lxc.idmap: u 0 165536 65536\n", 165536, 0, true);
    assert_root("unprivileged: 1\nlxc.idmap: u 1000 1000 1\n", 0, 0, false);
    assert_root("lxc.idmap: u 0 1 1\nlxc.idmap: u 00 2 1\n", 2, 0, true);
    assert_root("lxc.idmap: u 0 99999999999999999999999 1\n", UINT32_MAX, 0, true);
    assert_root("unprivileged: 1\n[snap]\nlxc.idmap: u 0 5 1\n", 100000, 100000, false);
}

static void assert_disk_ids(const char *text, const char *idmap, uint32_t uid, uint32_t gid)
{
    struct guest_config config;
    uint32_t disk_uid;
    uint32_t disk_gid;
    parse(GUEST_LXC, text, &config);
    guest_config_disk_ids(&config, idmap, &disk_uid, &disk_gid);
    assert_int_equal(disk_uid, uid);
    assert_int_equal(disk_gid, gid);
    guest_config_free(&config);
}

static void test_ids_on_disk(void **state)
{
    (void)state;
    static const char mapped[] = "lxc.idmap: u 0 7000 10\nlxc.idmap: g 0 8000 10\n";
    assert_disk_ids("unprivileged: 1\n", NULL, 100000, 100000);
    assert_disk_ids("unprivileged: 1\n", "passthrough", 0, 0);
    assert_disk_ids("unprivileged: 1\n", "u:0:5:1", 5, 100000);
    assert_disk_ids("unprivileged: 1\n", "u:1:5:9;g:5:7:1;g:0:6:1", 100000, 6);
    assert_disk_ids(mapped, NULL, 7000, 8000);
    assert_disk_ids(mapped, "passthrough", 0, 0);
    assert_disk_ids(mapped, "u:00:3:2;g:0:4:1", 3, 4);
    assert_disk_ids("lxc.idmap: u 0 7000 10\n", "passthrough", 0, 0);
    assert_disk_ids("lxc.idmap: u 1 7000 10\n", "u:0:5:1", 0, 0);
    assert_disk_ids("unprivileged: 0\n", "u:0:5:1;g:0:5:1", 0, 0);
    assert_disk_ids("unprivileged: 1\n", "u", 100000, 100000);
}

static void assert_size(const char *text, long double bytes)
{
    long double size;
    assert_true(guest_size_parse(text, &size));
    assert_true(size == bytes);
}

static void test_sizes(void **state)
{
    (void)state;
    assert_size("0", 0);
    assert_size("1.999", 1);
    assert_size("32K", 32768);
    assert_size("1.5G", 1610612736);
    assert_size("1.1G", 1181116006);
    assert_size("2TiB", 2199023255552);
    assert_size("9007199254740993", 9007199254740993);
    assert_size("18446744073709551615", 18446744073709551615ULL);
    static const char *const bad[] = {"",   "K",   "1.",   ".5",    "-1",  "+1",  "1 K",
                                      "1k", "1KB", "1Kib", "1KiBx", "1e3", "0x1", "1.5.5"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        long double size = 7;
        assert_false(guest_size_parse(bad[i], &size));
        assert_true(size == 7);
    }
}

static void test_a_huge_size_is_the_largest(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC, "rootfs: ab:c,size=99999999999T\n", &config);
    assert_int_equal(volume(&config, "rootfs")->size_bytes, INT64_MAX);
    guest_config_free(&config);
}

static void test_qemu_fields(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_QEMU,
          "name: vm\nhookscript: local:snippets/x\nlock: migrate\ntemplate: 1\nbios: ovmf\n"
          "net1: model=e1000,macaddr=BC:24:11:00:00:02\n"
          "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\n"
          "scsi10: local-lvm:vm-1-disk-1,size=32G,backup=0\n"
          "scsi2: local-lvm:vm-1-disk-0,ro=1,iothread=1\nvirtio0: /dev/sdb\n"
          "ide2: local:iso/x.iso,media=cdrom\nide0: none,media=cdrom\nsata0: none\n"
          "efidisk0: local-lvm:vm-1-disk-2,efitype=4m,size=4M\ntpmstate0: nfs:1/x.raw\n"
          "lxc.idmap: u 0 5 1\n[PENDING]\nname: later\n",
          &config);
    static const char *const keys[] = {"efidisk0", "scsi2", "scsi10", "tpmstate0", "virtio0"};
    assert_int_equal(config.volume_count, ARRAY_SIZE(keys));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_string_equal(config.volumes[i].key, keys[i]);
    assert_string_equal(config.name, "vm");
    assert_string_equal(config.hookscript, "local:snippets/x");
    assert_string_equal(config.lock, "migrate");
    assert_true(config.template);
    assert_int_equal(config.root_uid, 0);
    assert_int_equal(config.raw_count, 0);
    assert_true(volume(&config, "scsi2")->backup);
    assert_true(volume(&config, "scsi2")->read_only);
    assert_string_equal(volume(&config, "scsi2")->mount_point, "");
    assert_false(volume(&config, "scsi10")->backup);
    assert_int_equal(volume(&config, "scsi10")->size_bytes, 34359738368);
    assert_int_equal(volume(&config, "virtio0")->kind, VOLUME_DEVICE);
    assert_true(volume(&config, "efidisk0")->backup);

    assert_int_equal(config.nic_count, 2);
    const struct nic *nic = &config.nics[0];
    assert_string_equal(nic->key, "net0");
    assert_true(nic->has_hwaddr);
    assert_int_equal(nic->hwaddr.bytes[5], 1);
    assert_string_equal(nic->bridge, "vmbr0");
    assert_string_equal(nic->ip, "");
    assert_string_equal(property(nic->properties, nic->property_count, "model"), "virtio");
    assert_int_equal(config.nics[1].hwaddr.bytes[5], 2);
    guest_config_free(&config);
}

static void test_qemu_keeps_what_was_good_before(void **state)
{
    (void)state;
    struct guest_config config;
    static const char *const warnings[] = {
        "line 2: unable to read 'name': '-bad' has not the right form",
        "line 4: unable to read 'scsi0': there is no property 'mp'",
        "line 5: unable to read 'net0': '01:24:11:00:00:01' is no good value for 'macaddr'",
        "line 6: unable to read 'net1': property 'model' is there twice",
    };
    parse(GUEST_QEMU,
          "name: good\nname: -bad\nscsi0: ab:c\nscsi0: ab:d,mp=/x\n"
          "net0: virtio=01:24:11:00:00:01\nnet1: model=virtio,e1000=BC:24:11:00:00:01\n"
          "net32: virtio\nscsi31: ab:c\ncdrom: ab:c\ncdrom: ab:d,media=cdrom\n"
          "efidisk0: ab:c\nfoo-bar: x\n",
          &config);
    assert_string_equal(config.name, "good");
    assert_int_equal(config.volume_count, 2);
    assert_string_equal(volume(&config, "scsi0")->source, "ab:c");
    assert_false(volume(&config, "efidisk0")->backup);
    assert_int_equal(config.nic_count, 0);
    assert_warnings(&config, warnings, ARRAY_SIZE(warnings));
    guest_config_free(&config);
}

static void test_qemu_stops_at_any_section(void **state)
{
    (void)state;
    static const char *const sections[] = {"[PENDING]", "[snap]", "[special:cloudinit]",
                                           "[ what ever ]", "[]\r"};
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        struct guest_config config;
        char text[100];
        (void)snprintf(text, sizeof text, "name: a\n%s\nname: b\n", sections[i]);
        parse(GUEST_QEMU, text, &config);
        assert_string_equal(config.name, "a");
        guest_config_free(&config);
    }
}

static void assert_json(enum guest_kind kind, const char *text, const char *expected)
{
    struct guest_config config;
    parse(kind, text, &config);
    json_t *json = guest_config_to_json(&config);
    cleanup_free char *actual = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(actual, expected);
    json_decref(json);
    guest_config_free(&config);
}

static void assert_renewed(enum guest_kind kind, const char *text, const char *expected)
{
    struct guest_config config;
    parse(kind, text, &config);
    cleanup_free char *value =
        nic_changed(&config.nics[0], kind, kind == GUEST_LXC ? "hwaddr" : "macaddr", NULL);
    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
    guest_config_free(&config);
}

static void test_a_nic_without_its_address(void **state)
{
    (void)state;
    assert_renewed(GUEST_LXC,
                   "net0: name=eth0,hwaddr=BC:24:11:00:00:01,bridge=vmbr0,firewall=on,trunks=2;3\n",
                   "name=eth0,bridge=vmbr0,firewall=1,trunks=2;3,type=veth");
    assert_renewed(GUEST_QEMU, "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,queues=2\n",
                   "virtio,bridge=vmbr0,queues=2");
    assert_renewed(GUEST_QEMU, "net0: bridge=vmbr0,model=e1000,macaddr=BC:24:11:00:00:01\n",
                   "bridge=vmbr0,e1000");
    assert_renewed(GUEST_LXC, "lxc.net.0.hwaddr: BC:24:11:00:00:01\n", NULL);
}

static void assert_changed(const char *text, const char *key, const char *value,
                           const char *expected)
{
    struct guest_config config;
    parse(GUEST_LXC, text, &config);
    cleanup_free char *changed = nic_changed(&config.nics[0], GUEST_LXC, key, value);
    assert_string_equal(changed, expected);
    guest_config_free(&config);
}

static void test_a_nic_with_another_property(void **state)
{
    (void)state;
    assert_changed("net0: name=eth0,bridge=vnet7,tag=5\n", "bridge", "vmbr0",
                   "name=eth0,bridge=vmbr0,tag=5,type=veth");
    assert_changed("net0: name=eth0,bridge=vmbr0\n", "gw", "10.0.0.1",
                   "name=eth0,bridge=vmbr0,type=veth,gw=10.0.0.1");
    assert_changed("net0: name=eth0,bridge=vmbr0\n", "link_down", NULL,
                   "name=eth0,bridge=vmbr0,type=veth");
}

static void test_pending_changes(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC,
          "mp0: /a,mp=/b\n[PVE:Pending]\ndelete: mp0,!net1 swap\nmp2: /c,mp=/d\nlxc.x: y\n"
          "[snap]\nmp3: /e,mp=/f\ndelete: mp4\n",
          &config);
    assert_int_equal(config.volume_count, 1);
    assert_string_equal(guest_config_pending(&config, "mp0"), "");
    assert_string_equal(guest_config_pending(&config, "net1"), "");
    assert_string_equal(guest_config_pending(&config, "swap"), "");
    assert_string_equal(guest_config_pending(&config, "mp2"), "/c,mp=/d");
    assert_null(guest_config_pending(&config, "mp1"));
    assert_null(guest_config_pending(&config, "mp3"));
    assert_null(guest_config_pending(&config, "mp4"));
    guest_config_free(&config);
    parse(GUEST_LXC, "[snap]\nmp3: /e,mp=/f\n[pve:pending]\ndelete: mp0\n", &config);
    assert_int_equal(config.pending_count, 0);
    guest_config_free(&config);
    parse(GUEST_QEMU, "name: a\n[PENDING]\ndelete: net0\ncores: 2\n[snap]\ncores: 3\n", &config);
    assert_string_equal(guest_config_pending(&config, "net0"), "");
    assert_string_equal(guest_config_pending(&config, "cores"), "2");
    guest_config_free(&config);
    parse(GUEST_QEMU, "name: a\n[pve:pending]\ndelete: net0\n", &config);
    assert_int_equal(config.pending_count, 0);
    guest_config_free(&config);
}

static void test_nics_of_raw_lines(void **state)
{
    (void)state;
    struct guest_config config;
    parse(GUEST_LXC,
          "lxc.net.1.type: veth\n"
          "lxc.net.1.link = vmbr1\n"
          "lxc.net.1.hwaddr: 'bc:24:11:00:00:07'\n"
          "lxc.net.1.hwaddr: \"bc:24:11:00:00:08\"\n"
          "lxc.net.1.ipv4.address = 192.0.2.8/24\n"
          "lxc.net.10.hwaddr: 00:16:3e:xx:xx:xx\n"
          "lxc.net.2.hwaddr: BC:24:11:00:00:09\n"
          "lxc.net.3.type: empty\n"
          "lxc.net.4.type: none\n"
          "lxc.net.5.flags: up\n"
          "lxc.net.x.hwaddr: BC:24:11:00:00:0A\n"
          "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01\n",
          &config);
    assert_int_equal(config.nic_count, 4);
    assert_string_equal(config.nics[0].key, "net0");
    assert_false(config.nics[0].raw);
    assert_string_equal(config.nics[1].key, "lxc.net.1");
    assert_true(config.nics[1].raw);
    assert_true(config.nics[1].has_hwaddr);
    assert_int_equal(config.nics[1].hwaddr.bytes[5], 8);
    assert_string_equal(config.nics[1].bridge, "vmbr1");
    assert_string_equal(config.nics[1].ip, "192.0.2.8/24");
    assert_string_equal(config.nics[2].key, "lxc.net.2");
    assert_int_equal(config.nics[2].hwaddr.bytes[5], 9);
    assert_string_equal(config.nics[2].bridge, "");
    assert_string_equal(config.nics[3].key, "lxc.net.10");
    assert_false(config.nics[3].has_hwaddr);
    json_t *json = guest_config_to_json(&config);
    assert_int_equal(json_object_size(json_object_get(json, "nets")), 1);
    json_decref(json);
    guest_config_free(&config);
}

static void test_json(void **state)
{
    (void)state;
    assert_json(
        GUEST_LXC, "",
        "{\"hookscript\":null,\"hostname\":null,\"lxc\":null,\"mountpoints\":{},\"nets\":{},"
        "\"root_gid\":0,\"root_uid\":0,\"unprivileged\":null}");
    assert_json(GUEST_QEMU,
                "name: vm\nscsi0: ab:c,size=1K,backup=no,iops=7\nnet0: virtio,firewall=on\n",
                "{\"disks\":{\"scsi0\":{\"backup\":0,\"file\":\"ab:c\",\"iops\":\"7\","
                "\"size\":1024,\"type\":\"volume\"}},\"hookscript\":null,\"name\":\"vm\","
                "\"nets\":{\"net0\":{\"firewall\":1,\"model\":\"virtio\"}}}");
}

static void test_json_of_what_is_no_utf8(void **state)
{
    (void)state;
    assert_json(GUEST_QEMU, "hookscript: ab:\xff\n",
                "{\"disks\":{},\"hookscript\":\"ab:\xef\xbf\xbd\",\"name\":null,\"nets\":{}}");
}

static void test_kind_names(void **state)
{
    (void)state;
    assert_string_equal(guest_kind_names[GUEST_LXC], "lxc");
    assert_string_equal(guest_kind_names[GUEST_QEMU], "qemu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_is_a_configuration),
        cmocka_unit_test(test_what_is_no_configuration_is_refused),
        cmocka_unit_test(test_only_length_bytes_are_read),
        cmocka_unit_test(test_lxc_fields),
        cmocka_unit_test(test_backup_needs_to_be_asked_for),
        cmocka_unit_test(test_a_source_that_names_no_storage),
        cmocka_unit_test(test_the_source_of_a_property_string),
        cmocka_unit_test(test_every_skipped_line_is_named),
        cmocka_unit_test(test_a_bad_last_duplicate_hides_a_good_one),
        cmocka_unit_test(test_root_ids),
        cmocka_unit_test(test_ids_on_disk),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_a_huge_size_is_the_largest),
        cmocka_unit_test(test_qemu_fields),
        cmocka_unit_test(test_qemu_keeps_what_was_good_before),
        cmocka_unit_test(test_qemu_stops_at_any_section),
        cmocka_unit_test(test_a_nic_without_its_address),
        cmocka_unit_test(test_a_nic_with_another_property),
        cmocka_unit_test(test_pending_changes),
        cmocka_unit_test(test_nics_of_raw_lines),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_of_what_is_no_utf8),
        cmocka_unit_test(test_kind_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
