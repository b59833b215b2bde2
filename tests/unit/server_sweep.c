/* SPDX-License-Identifier: Apache-2.0 */
#include "server/sweep.h"

#include "schema/base/units.h"
#include "store/tables/event.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"
#include "tests/unit/scratch.h"

#define NOW_MS ((int64_t)1700000000000)

/* A host of files in the scratch directory, with one running container. */
struct world {
    struct config config;
    struct store *store;
    struct sweep sweep;
    struct error error;
};

static void add_guest(struct world *world, enum guest_kind kind, uint32_t vmid)
{
    struct token token;
    const struct guest guest = {
        .vmid = vmid, .kind = kind, .state = GUEST_RUNNING, .changed_at_ms = NOW_MS - 3600000};
    assert_int_equal(guest_put(world->store, &guest, &world->error), 0);
    assert_int_equal(token_mint(world->store, vmid, NOW_MS, 0, &token, &world->error), 0);
}

static int set_up(void **state)
{
    struct world *world = mem_new(struct world);
    assert_int_equal(scratch_make(state), 0);
    shell("mkdir -m 700 state && mkdir -p pve/lxc pve/qemu-server cgroup/lxc/8200 && "
          "touch pve/lxc/8200.conf");
    assert_int_equal(config_parse("agent.yaml", "", 0, &world->config, &world->error), 0);
    free(world->config.paths.pve);
    free(world->config.paths.cgroup);
    world->config.paths.pve = mem_copy_text(in_scratch("pve"));
    world->config.paths.cgroup = mem_copy_text(in_scratch("cgroup"));
    assert_int_equal(
        store_open(in_scratch("state"), STORE_OPEN_CREATE, 1000, &world->store, &world->error), 0);
    add_guest(world, GUEST_LXC, 8200);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    sweep_clear(&world->sweep);
    store_close(world->store);
    config_free(&world->config);
    free(world);
    return scratch_remove(state);
}

static void look(struct world *world, int64_t second)
{
    assert_int_equal(sweep_run(&world->sweep, &world->config, world->store, second * SECOND_US,
                               NOW_MS + second * 1000, &world->error),
                     0);
}

static int good_tokens(struct world *world, uint32_t vmid)
{
    int count;
    assert_int_equal(
        token_count_before(world->store, vmid, INT64_MAX, NOW_MS, &count, &world->error), 0);
    return count;
}

static int keep_detail(const struct event *event, void *context)
{
    assert_string_equal(event->kind, "revoke");
    (void)snprintf(context, 128, "%u: %s", event->vmid, event->detail);
    return 0;
}

static void assert_event(struct world *world, const char *expected)
{
    char detail[128] = "";
    assert_int_equal(event_each(world->store, 0, 0, 10, keep_detail, detail, &world->error), 0);
    assert_string_equal(detail, expected);
}

static void test_a_running_guest_is_left_alone(void **state)
{
    look(*state, 1);
    look(*state, 1000);
    assert_int_equal(good_tokens(*state, 8200), 1);
    assert_event(*state, "");
}

static void test_configuration_gone(void **state)
{
    struct world *world = *state;
    shell("rm pve/lxc/8200.conf");
    look(world, 1);
    assert_int_equal(good_tokens(world, 8200), 0);
    assert_event(world, "8200: 1 token revoked: its configuration is gone from this node");
}

static int count_event(const struct event *event, void *context)
{
    (void)event;
    ++*(int *)context;
    return 0;
}

static int own_events(struct world *world, uint32_t vmid)
{
    int count = 0;
    assert_int_equal(event_each_own(world->store, vmid, 0, 10, count_event, &count, &world->error),
                     0);
    return count;
}

static void record(struct world *world, uint32_t vmid)
{
    const struct event event = {.vmid = vmid, .kind = "post-stop", .outcome = "ok"};
    assert_int_equal(event_add(world->store, &event, &world->error), 0);
}

/* The next guest with the VMID sees no events of this one, including its revocation. */
static void test_who_is_gone_has_no_past(void **state)
{
    struct world *world = *state;
    record(world, 8200);
    look(world, 1);
    assert_int_equal(own_events(world, 8200), 1);
    shell("mv pve/lxc/8200.conf . && touch pve/lxc/100.conf");
    look(world, 2);
    assert_int_equal(own_events(world, 8200), 0);
    shell("mv 8200.conf pve/lxc/");
    record(world, 8200);
    look(world, 3);
    assert_int_equal(own_events(world, 8200), 1);
}

/* The guest's tokens were revoked by its stop, before it was removed. */
static void test_who_is_gone_after_its_stop_has_none_either(void **state)
{
    struct world *world = *state;
    assert_int_equal(
        token_revoke_before(world->store, 8200, INT64_MAX, NOW_MS, "x", NULL, &world->error), 0);
    record(world, 8200);
    shell("mv pve/lxc/8200.conf pve/lxc/100.conf");
    look(world, 1);
    assert_int_equal(own_events(world, 8200), 0);
    bool past = true;
    assert_int_equal(guest_has_past(world->store, 8200, &past, &world->error), 0);
    assert_false(past);
}

static void test_an_unmounted_pve_revokes_nothing(void **state)
{
    struct world *world = *state;
    shell("rm -r pve/*");
    look(world, 1);
    shell("rmdir pve");
    look(world, 2);
    assert_int_equal(good_tokens(world, 8200), 1);
}

static void test_not_running_for_a_minute(void **state)
{
    struct world *world = *state;
    struct guest guest;
    shell("rmdir cgroup/lxc/8200");
    look(world, 100);
    look(world, 159);
    assert_int_equal(good_tokens(world, 8200), 1);
    look(world, 160);
    assert_int_equal(good_tokens(world, 8200), 0);
    assert_event(world, "8200: 1 token revoked: it has not been running for a minute");
    assert_int_equal(guest_find(world->store, 8200, &guest, &world->error), 0);
    assert_int_equal(guest.state, GUEST_STOPPED);
}

static void test_a_short_absence_is_forgotten(void **state)
{
    struct world *world = *state;
    shell("rmdir cgroup/lxc/8200");
    look(world, 100);
    shell("mkdir cgroup/lxc/8200");
    look(world, 130);
    shell("rmdir cgroup/lxc/8200");
    look(world, 140);
    look(world, 170);
    assert_int_equal(good_tokens(world, 8200), 1);
}

static void test_a_starting_guest_has_its_minute(void **state)
{
    struct world *world = *state;
    shell("rmdir cgroup/lxc/8200");
    look(world, 1);
    assert_int_equal(
        guest_set_state(world->store, 8200, GUEST_STARTING, NOW_MS + 30000, &world->error), 0);
    look(world, 61);
    look(world, 89);
    assert_int_equal(good_tokens(world, 8200), 1);
    look(world, 95);
    look(world, 154);
    assert_int_equal(good_tokens(world, 8200), 1);
    look(world, 155);
    assert_int_equal(good_tokens(world, 8200), 0);
}

static void start(struct world *world, enum guest_state state, int64_t second)
{
    assert_int_equal(
        guest_set_state(world->store, 8200, state, NOW_MS + second * 1000, &world->error), 0);
}

/* Stopped for long, then started: the phases are over before the control group is there. */
static void test_a_guest_that_was_absent_before_its_start_has_its_minute(void **state)
{
    struct world *world = *state;
    struct token token;
    shell("rmdir cgroup/lxc/8200");
    look(world, 100);
    look(world, 200);
    assert_int_equal(good_tokens(world, 8200), 0);
    start(world, GUEST_STARTING, 300);
    assert_int_equal(token_mint(world->store, 8200, NOW_MS, 0, &token, &world->error), 0);
    start(world, GUEST_RUNNING, 301);
    look(world, 302);
    look(world, 361);
    assert_int_equal(good_tokens(world, 8200), 1);
    look(world, 362);
    assert_int_equal(good_tokens(world, 8200), 0);
}

/* The clock of the host may be wrong when it boots, and be set by hours while a guest starts. */
static void test_a_clock_that_is_set_takes_no_minute_away(void **state)
{
    struct world *world = *state;
    shell("rmdir cgroup/lxc/8200");
    look(world, 100);
    look(world, 155);
    start(world, GUEST_RUNNING, -86400);
    look(world, 165);
    look(world, 224);
    assert_int_equal(good_tokens(world, 8200), 1);
    start(world, GUEST_RUNNING, 86400);
    look(world, 226);
    look(world, 285);
    assert_int_equal(good_tokens(world, 8200), 1);
    look(world, 286);
    assert_int_equal(good_tokens(world, 8200), 0);
}

/* The start begins after the sweep has seen the guest absent for a minute. */
static void test_a_phase_within_the_sweep_counts(void **state)
{
    struct world *world = *state;
    shell("rmdir cgroup/lxc/8200");
    look(world, 100);
    start(world, GUEST_STOPPING, 160);
    look(world, 161);
    assert_int_equal(good_tokens(world, 8200), 1);
}

static void test_each_of_many_guests_is_told_apart(void **state)
{
    struct world *world = *state;
    for (uint32_t vmid = 100; vmid < 400; vmid++)
        add_guest(world, vmid % 3 ? GUEST_LXC : GUEST_QEMU, vmid);
    shell("mkdir -p cgroup/qemu.slice; for vmid in $(seq 399 -1 100); do"
          " case $((vmid %% 3)) in 0) touch pve/qemu-server/$vmid.conf; mkdir"
          " cgroup/qemu.slice/$vmid.scope;; 1) touch pve/lxc/$vmid.conf; mkdir cgroup/lxc/$vmid;;"
          " *) touch pve/lxc/$vmid.conf.tmp pve/lxc/x$vmid.conf; mkdir cgroup/lxc/$vmid-1;; esac;"
          " done; rm pve/qemu-server/300.conf; rmdir cgroup/lxc/301");
    look(world, 1);
    for (uint32_t vmid = 100; vmid < 400; vmid++)
        assert_int_equal(good_tokens(world, vmid), vmid % 3 != 2 && vmid != 300);
    look(world, 61);
    for (uint32_t vmid = 100; vmid < 400; vmid++)
        assert_int_equal(good_tokens(world, vmid), vmid % 3 != 2 && vmid != 300 && vmid != 301);
    assert_int_equal(good_tokens(world, 8200), 1);
}

static void test_without_control_groups_nothing_is_known(void **state)
{
    struct world *world = *state;
    shell("rm -r cgroup/lxc");
    look(world, 1);
    look(world, 100);
    assert_int_equal(good_tokens(world, 8200), 1);
}

static void test_presence_in_each_hierarchy(void **state)
{
    const struct world *world = *state;
    const char *cgroup = world->config.paths.cgroup;
    assert_int_equal(presence_running(cgroup, GUEST_LXC, 8200), PRESENCE_YES);
    assert_int_equal(presence_running(cgroup, GUEST_LXC, 820), PRESENCE_NO);
    assert_int_equal(presence_running(cgroup, GUEST_QEMU, 8200), PRESENCE_UNKNOWN);
    shell("mkdir -p cgroup/qemu.slice/9000.scope");
    assert_int_equal(presence_running(cgroup, GUEST_QEMU, 9000), PRESENCE_YES);
    assert_int_equal(presence_running(cgroup, GUEST_QEMU, 8200), PRESENCE_NO);
    shell("mkdir -p cgroup/unified/lxc/300");
    assert_int_equal(presence_running(cgroup, GUEST_LXC, 300), PRESENCE_YES);
    shell("mkdir -p cgroup/systemd/lxc/400");
    assert_int_equal(presence_running(cgroup, GUEST_LXC, 400), PRESENCE_YES);
}

static void test_presence_of_configurations(void **state)
{
    const struct world *world = *state;
    const char *pve = world->config.paths.pve;
    shell("touch pve/qemu-server/9000.conf");
    assert_int_equal(presence_configured(pve, 8200), PRESENCE_YES);
    assert_int_equal(presence_configured(pve, 9000), PRESENCE_YES);
    assert_int_equal(presence_configured(pve, 100), PRESENCE_NO);
    shell("rm -r pve/lxc");
    assert_int_equal(presence_configured(pve, 9000), PRESENCE_YES);
    shell("rm -r pve/qemu-server");
    assert_int_equal(presence_configured(pve, 9000), PRESENCE_UNKNOWN);
    assert_int_equal(presence_configured("/nowhere", 9000), PRESENCE_UNKNOWN);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_running_guest_is_left_alone),
        TEST(test_configuration_gone),
        TEST(test_who_is_gone_has_no_past),
        TEST(test_who_is_gone_after_its_stop_has_none_either),
        TEST(test_an_unmounted_pve_revokes_nothing),
        TEST(test_not_running_for_a_minute),
        TEST(test_a_short_absence_is_forgotten),
        TEST(test_a_starting_guest_has_its_minute),
        TEST(test_a_guest_that_was_absent_before_its_start_has_its_minute),
        TEST(test_a_clock_that_is_set_takes_no_minute_away),
        TEST(test_a_phase_within_the_sweep_counts),
        TEST(test_each_of_many_guests_is_told_apart),
        TEST(test_without_control_groups_nothing_is_known),
        TEST(test_presence_in_each_hierarchy),
        TEST(test_presence_of_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
