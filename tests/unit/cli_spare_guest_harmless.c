/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of an original's configuration remain in its copy. */
#include "tests/unit/test.h"

#include <string.h>

#include "cli/restore/spare_guest.h"
#include "schema/base/cleanup.h"

#define ORIGINAL_LXC \
    "rootfs: tank:subvol-8200-disk-0,size=8G\nmp0: tank:subvol-8200-disk-1,mp=/srv\n"
#define ORIGINAL_VM "scsi0: tank:vm-8200-disk-0,size=8G\nefidisk0: tank:vm-8200-disk-1,size=4M\n"

static struct error error;

static int make(enum guest_kind kind, const char *before, struct buffer *text)
{
    const char *original_text = kind == GUEST_LXC ? ORIGINAL_LXC : ORIGINAL_VM;
    cleanup(guest_config_free) struct guest_config original = {0};
    assert_int_equal(
        guest_config_parse(kind, original_text, strlen(original_text), &original, &error), 0);
    buffer_add_text(text, before);
    return spare_guest_make_harmless(9000, &original, text, &error);
}

static void assert_becomes(enum guest_kind kind, const char *before, const char *after)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    assert_int_equal(make(kind, before, &text), 0);
    assert_string_equal(buffer_text(&text), after);
}

static void assert_refused(enum guest_kind kind, const char *before, const char *after,
                           const char *message)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    assert_int_equal(make(kind, before, &text), -1);
    assert_int_equal(error.kind, ERROR_CONFLICT);
    assert_string_equal(error.message, message);
    assert_string_equal(buffer_text(&text), after);
}

#define LXC(before, after)  assert_becomes(GUEST_LXC, before, after)
#define QEMU(before, after) assert_becomes(GUEST_QEMU, before, after)

static void what_is_harmless_stays(void **state)
{
    (void)state;
    static const char lxc[] = "#a mark\n"
                              "#with a second line\n"
                              "arch: amd64\n"
                              "features: nesting=1,keyctl=1\n"
                              "hostname: web\n"
                              "memory: 512\n"
                              "mp0: tank:subvol-9000-disk-1,mp=/srv\n"
                              "rootfs: tank:subvol-9000-disk-0,size=8G\n"
                              "unprivileged: 1\n"
                              "lxc.idmap: u 0 100000 65536\n"
                              "lxc.environment.runtime: A=b\n";
    LXC(lxc, lxc);
    static const char qemu[] = "boot: order=scsi0\n"
                               "ide2: tank:vm-9000-cloudinit,media=cdrom\n"
                               "ipconfig0: ip=dhcp\n"
                               "numa0: cpus=0,memory=512\n"
                               "scsi0: tank:vm-9000-disk-0,size=8G\n"
                               "scsihw: virtio-scsi-single\n"
                               "tpmstate0: tank:vm-9000-disk-2,size=4M\n";
    QEMU(qemu, qemu);
    LXC("", "");
    QEMU("\n#\n\n", "\n#\n\n");
}

static void nics_are_unplugged(void **state)
{
    (void)state;
    LXC("net0: name=eth0,bridge=vmbr0\n", "net0: name=eth0,bridge=vmbr0,link_down=1\n");
    LXC("net0: name=eth0,link_down=0,bridge=vmbr0\n", "net0: name=eth0,bridge=vmbr0,link_down=1\n");
    LXC("net0: name=eth0,link_down=1\n", "net0: name=eth0,link_down=1\n");
    LXC("net0: link_down=0,link_down=off,name=a\n", "net0: name=a,link_down=1\n");
    LXC("net0: name=a\nnet15: name=b\n", "net0: name=a,link_down=1\nnet15: name=b,link_down=1\n");
    LXC("net0: name=a\nnet0: name=b\n", "net0: name=a,link_down=1\nnet0: name=b,link_down=1\n");
    LXC("net0: name=a", "net0: name=a,link_down=1\n");
    QEMU("net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n",
         "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,link_down=1\n");
    QEMU("net0: virtio\n", "net0: virtio,link_down=1\n");
}

static void what_reaches_beyond_goes(void **state)
{
    (void)state;
    LXC("hookscript: local:snippets/x\nonboot: 1\nstartup: order=1\nprotection: 1\n", "");
    LXC("dev0: /dev/ttyUSB0\nmp1: /srv,mp=/srv\nmp2: volume=/dev/sdb,mp=/x\nmp3: mp=/x\n", "");
    LXC("lxc.mount.entry: /a b none bind 0 0\nlxc.mount.entry = /c d none bind 0 0\n", "");
    LXC("lxc.hook.mount: /x\nlxc.include: /x\nlxc.net.1.type: veth\nlxc.cgroup2.devices.allow: a\n"
        "lxc.rootfs.mount: /x\nlxc.apparmor.profile: unconfined\nlxc.mount: /x\n",
        "");
    LXC("lxc.idmap: u 0 1 1\nlxc.idmapped: x\n", "lxc.idmap: u 0 1 1\n");
    LXC("unused0: tank:subvol-8200-disk-9\nsome_future_thing: 1\nnonsense\n", "");
    LXC("hostname: a\n[snap]\nnet0: name=b\nhookscript: x\n", "hostname: a\n");
    LXC("[pve:pending]\nmp1: /srv,mp=/srv\n", "");
    QEMU("args: -x\nusb0: host=1:2\nhostpci0: 0000:01:00.0\nvirtiofs0: a\nparallel0: /dev/x\n"
         "ivshmem: size=1\nvmstate: tank:vm-8200-state\namd-sev: type=std\nscsi1: /dev/sdb\n",
         "");
    QEMU("scsi1: file=/dev/sdb\nide1: tank:iso/x.iso,media=cdrom\nide2: cdrom,media=cdrom\n",
         "ide1: none,media=cdrom\nide2: none,media=cdrom\n");
    QEMU("ide2: media=cdrom,file=tank:vm-8200-cloudinit\n", "ide2: none,media=cdrom\n");
    QEMU("ide2: none,media=cdrom\nserial0: socket\nserial1: /dev/ttyS0\n",
         "ide2: none,media=cdrom\nserial0: socket\nserial1: socket\n");
    QEMU("memory: 512\n[special:cloudinit]\nhookscript: x\n", "memory: 512\n");
}

/* Only keys with a number match a pattern with a number. */
static void keys_are_read_whole(void **state)
{
    (void)state;
    LXC("net: name=a\nnetx: 1\nmp: tank:subvol-9000-disk-0\nhostname0: x\n", "");
    QEMU("scsi: tank:vm-9000-disk-0\nscsihw0: x\nnuma: 1\nnumax: 1\n", "numa: 1\n");
}

static void crlf_is_kept(void **state)
{
    (void)state;
    LXC("#mark\r\nhostname: a\r\nonboot: 1\r\nnet0: name=a\r\n",
        "#mark\r\nhostname: a\r\nnet0: name=a,link_down=1\r\n");
}

static void originals_volumes_are_refused(void **state)
{
    (void)state;
    assert_refused(GUEST_LXC,
                   "mp0: tank:subvol-8200-disk-1,mp=/srv\nnet0: name=a\nrootfs: "
                   "tank:subvol-9000-disk-0\n",
                   "rootfs: tank:subvol-9000-disk-0\nnet0: name=a,link_down=1\n",
                   "the copy's mp0 is the original's own volume: tank:subvol-8200-disk-1");
    assert_refused(GUEST_LXC, "rootfs: volume=tank:subvol-8200-disk-0\n", "",
                   "the copy's rootfs is the original's own volume: tank:subvol-8200-disk-0");
    assert_refused(GUEST_LXC, "mp5: mp=/x,volume=tank:subvol-8200-disk-0\n", "",
                   "the copy's mp5 is the original's own volume: tank:subvol-8200-disk-0");
    assert_refused(GUEST_LXC, "rootfs: /srv/root\n", "",
                   "the copy's rootfs is not a volume of Proxmox: /srv/root");
    assert_refused(GUEST_QEMU, "efidisk0: file=tank:vm-8200-disk-1\nscsi0: tank:vm-8200-disk-0\n",
                   "", "the copy's efidisk0 is the original's own volume: tank:vm-8200-disk-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_harmless_stays),
        cmocka_unit_test(nics_are_unplugged),
        cmocka_unit_test(what_reaches_beyond_goes),
        cmocka_unit_test(keys_are_read_whole),
        cmocka_unit_test(crlf_is_kept),
        cmocka_unit_test(originals_volumes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
