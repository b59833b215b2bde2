/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's firewall files: whether the firewall is on, and whether a rule accepts the port. */
#include "cli/pve/firewall_file.h"

#include "tests/unit/test.h"

static void the_switch(void **state)
{
    (void)state;
    assert_int_equal(firewall_file_switch(""), FIREWALL_UNSAID);
    assert_int_equal(firewall_file_switch("enable: 1\n"), FIREWALL_UNSAID);
    assert_int_equal(firewall_file_switch("[OPTIONS]\n\nenable: 1\n"), FIREWALL_ON);
    assert_int_equal(firewall_file_switch("[OPTIONS]\nenable: 0\n"), FIREWALL_OFF);
    assert_int_equal(firewall_file_switch("[options]\nebtables: 1\nenable:1"), FIREWALL_ON);
    assert_int_equal(firewall_file_switch("[OPTIONS]\n# enable: 1\n"), FIREWALL_UNSAID);
    assert_int_equal(firewall_file_switch("[OPTIONS]\n[RULES]\nenable: 1\n"), FIREWALL_UNSAID);
}

#define assert_lets_in(line)   assert_true(firewall_file_lets_in("[RULES]\n" line "\n", 8443))
#define assert_keeps_out(line) assert_false(firewall_file_lets_in("[RULES]\n" line "\n", 8443))

static void rules_that_let_in(void **state)
{
    (void)state;
    assert_lets_in("IN ACCEPT -i vmbr0 -source 192.168.0.0/24 -p tcp -dport 8443");
    assert_lets_in("IN ACCEPT -p tcp -dport 8443 -log nolog # guests");
    assert_lets_in("IN ACCEPT --proto tcp --dport 22,8000:9000");
    assert_lets_in("in accept -source +dc/felhom-guests");
    assert_lets_in("IN DROP -p tcp -dport 8443\nIN ACCEPT -p tcp -dport 8443");
    assert_true(firewall_file_lets_in("[group guests]\nIN ACCEPT -p tcp -dport 8443\n", 8443));
}

static void rules_that_do_not(void **state)
{
    (void)state;
    assert_keeps_out("");
    assert_keeps_out("IN DROP -p tcp -dport 8443");
    assert_keeps_out("OUT ACCEPT -p tcp -dport 8443");
    assert_keeps_out("|IN ACCEPT -p tcp -dport 8443");
    assert_keeps_out("# IN ACCEPT -p tcp -dport 8443");
    assert_keeps_out("IN ACCEPT -p udp -dport 8443");
    assert_keeps_out("IN ACCEPT -p tcp -dport 22,8444:9000");
    assert_keeps_out("IN ACCEPT -p tcp -dport ssh");
    assert_keeps_out("IN SSH(ACCEPT)");
    assert_keeps_out("IN");
    assert_false(firewall_file_lets_in("[IPSET x]\nIN ACCEPT\n", 8443));
    assert_false(firewall_file_lets_in("IN ACCEPT -p tcp -dport 8443\n", 8443));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_switch),
        cmocka_unit_test(rules_that_let_in),
        cmocka_unit_test(rules_that_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
