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

#define ON "[OPTIONS]\nenable: 1\n"

#define assert_drops_out(text) assert_true(firewall_file_drops_out(ON text "\n", 8443))
#define assert_lets_out(text)  assert_false(firewall_file_drops_out(ON text "\n", 8443))

static void what_a_guest_sends(void **state)
{
    (void)state;
    assert_lets_out("");
    assert_drops_out("policy_out: DROP");
    assert_drops_out("policy_out: REJECT # all");
    assert_drops_out("Policy_Out:drop");
    assert_lets_out("policy_out: ACCEPT");
    assert_lets_out("policy_in: DROP");
    assert_false(firewall_file_drops_out("[OPTIONS]\nenable: 0\npolicy_out: DROP\n", 8443));
    assert_false(firewall_file_drops_out("[OPTIONS]\npolicy_out: DROP\n", 8443));
    assert_drops_out("[RULES]\nOUT DROP");
    assert_drops_out("[RULES]\nOUT REJECT -p tcp -dport 8000:9000");
    assert_drops_out("[RULES]\nOUT DROP -p tcp\nOUT ACCEPT -p tcp -dport 8443");
    assert_drops_out("policy_out: DROP\n[RULES]\n|OUT ACCEPT\nIN ACCEPT\nOUT ACCEPT -p udp");
    assert_lets_out("policy_out: DROP\n[RULES]\nOUT ACCEPT -p tcp -dport 8443");
    assert_lets_out("[RULES]\nOUT ACCEPT\nOUT DROP");
    assert_lets_out("[RULES]\nOUT DROP -p tcp -dport 22");
    assert_lets_out("[RULES]\n|OUT DROP");
    assert_lets_out("[RULES]\nIN DROP");
}

/* What is for some alone, or is said elsewhere, cannot be judged. */
static void what_a_guest_may_send(void **state)
{
    (void)state;
    assert_lets_out("[RULES]\nOUT DROP -dest 192.0.2.1");
    assert_lets_out("[RULES]\nOUT DROP -source +internal");
    assert_lets_out("[RULES]\nOUT DROP -i net1");
    assert_lets_out("policy_out: DROP\n[RULES]\nGROUP web");
}

static void the_host_and_the_cluster(void **state)
{
    (void)state;
    const char *rule = ON "[RULES]\nIN ACCEPT -p tcp -dport 8443\n";
    assert_true(firewall_files_drop_in(ON, "", 8443));
    assert_true(firewall_files_drop_in(ON, ON, 8443));
    assert_false(firewall_files_drop_in("", "", 8443));
    assert_false(firewall_files_drop_in("", ON, 8443));
    assert_false(firewall_files_drop_in(ON, "[OPTIONS]\nenable: 0\n", 8443));
    assert_false(firewall_files_drop_in(rule, "", 8443));
    assert_false(firewall_files_drop_in(ON, rule, 8443));
    assert_true(firewall_files_drop_in(rule, rule, 8444));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_switch),
        cmocka_unit_test(rules_that_let_in),
        cmocka_unit_test(rules_that_do_not),
        cmocka_unit_test(what_a_guest_sends),
        cmocka_unit_test(what_a_guest_may_send),
        cmocka_unit_test(the_host_and_the_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
