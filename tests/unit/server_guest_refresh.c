/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at /etc/pve that do not end: opening a file of it waits until this test allows it. */
#include "server/base/guest_refresh.h"

#include <pthread.h>
#include <sys/fanotify.h>
#include <time.h>

#include "store/tables/event.h"
#include "store/tables/guest.h"
#include "tests/unit/scratch.h"

#define ASKED 200

static struct world {
    struct config config;
    struct store_pool *stores;
    struct guest_refresh *refresh;
    struct throttled_log log;
} world;

static void look(void)
{
    guest_refresh_look(world.refresh, world.stores, &world.config, &world.log);
}

static void *look_in_thread(void *data)
{
    (void)data;
    look();
    return NULL;
}

static void write_pve(int number, const char *hwaddr)
{
    shell("echo '{\"starttime\": 1, \"vmlist\": %d}' >pve/.version; "
          "echo '{\"ids\": {\"8200\": {\"version\": %d}}}' >pve/.vmlist; "
          "echo 'net0: name=eth0,bridge=vmbr0,hwaddr=%s,type=veth' >pve/lxc/8200.conf",
          number, number, hwaddr);
}

static int set_up(void **state)
{
    struct error error;
    const struct guest guest = {.vmid = 8200, .kind = GUEST_LXC, .state = GUEST_RUNNING};
    assert_int_equal(scratch_make(state), 0);
    shell("mkdir -m 700 state && mkdir -p pve/lxc pve/qemu-server");
    assert_int_equal(config_parse("agent.yaml", "", 0, &world.config, &error), 0);
    free(world.config.paths.pve);
    world.config.paths.pve = mem_copy_text(in_scratch("pve"));
    free(world.config.paths.state);
    world.config.paths.state = mem_copy_text(in_scratch("state"));
    world.log = THROTTLED_LOG_NEW;
    assert_int_equal(store_pool_new(in_scratch("state"), &world.stores, &error), 0);
    cleanup_store_loan struct store_loan loan = {0};
    assert_int_equal(store_borrow(world.stores, &loan, &error), 0);
    assert_int_equal(guest_put(loan.store, &guest, &error), 0);
    world.refresh = guest_refresh_new();
    return 0;
}

static int tear_down(void **state)
{
    guest_refresh_free(world.refresh);
    store_pool_free(world.stores);
    config_free(&world.config);
    return scratch_remove(state);
}

/* From now on whoever opens the file waits. */
static int hold_up(const char *path)
{
    if (geteuid() != 0)
        skip();
    int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, path) < 0)
        skip(); /* not allowed in some containers */
    return fd;
}

static void let_go(int fd, const struct fanotify_event_metadata *event)
{
    const struct fanotify_response response = {.fd = event->fd, .response = FAN_ALLOW};
    assert_int_equal(write(fd, &response, sizeof response), sizeof response);
    assert_int_equal(close(event->fd), 0);
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_one_look_that_hangs(void **state)
{
    pthread_t thread;
    struct fanotify_event_metadata event;
    (void)state;
    write_pve(1, "BC:24:11:00:00:01");
    look();
    uint64_t serial = guest_refresh_serial(world.refresh);
    assert_true(serial > 0);
    write_pve(2, "BC:24:11:00:00:02");
    (void)usleep(GUEST_REFRESH_PAUSE_US);
    int fd = hold_up(in_scratch("pve/.version"));
    assert_int_equal(pthread_create(&thread, NULL, look_in_thread, NULL), 0);
    assert_int_equal(read(fd, &event, sizeof event), sizeof event); /* it has begun */

    /* All that ask meanwhile go on: if each waited for it, that would take them 100 s. */
    double begun = seconds();
    for (int i = 0; i < ASKED; i++)
        look();
    assert_true(seconds() - begun < 50);
    assert_int_equal(guest_refresh_serial(world.refresh), serial);

    let_go(fd, &event);
    assert_int_equal(close(fd), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(guest_refresh_serial(world.refresh) > serial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_look_that_hangs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
