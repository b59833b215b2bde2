/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of guest 8200 (a container) and 8203 (a QEMU guest), a store, and a stand-in for Proxmox
 * over TLS. */
#ifndef FELHOM_TEST_JOB_WORLD_H
#define FELHOM_TEST_JOB_WORLD_H

#include "server/jobs/job_step.h"
#include "store/base/clock.h"
#include "tests/unit/standin.h"

#include "tests/unit/store_fixture.h"

#define USER   "felhom-agent@pve!agent"
#define SECRET "0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa"

#define RIGHTS "[\"VM.Audit\", \"VM.Snapshot\", \"VM.PowerMgmt\", \"VM.Backup\"]"
#define TOKENS \
    "{\"" USER "\": {\"secret\": \"" SECRET "\", \"privileges\": {\"/vms/8200\": " RIGHTS \
    ", \"/vms/8203\": " RIGHTS ", \"/vms/8204\": " RIGHTS \
    ", \"/storage/local\": [\"Datastore.AllocateSpace\"]}}}"
#define GUESTS \
    "{\"8200\": {\"type\": \"lxc\", \"running\": true, \"snapshots\": {\"before\": {}}}," \
    " \"8202\": {\"type\": \"lxc\"}, \"8203\": {\"type\": \"qemu\", \"running\": true}," \
    " \"8204\": {\"type\": \"lxc\", \"node\": \"elsewhere\"}}"

static struct config config;
static struct store *store;
static struct store_pool *stores;
static atomic_bool stopping;
static struct pve_client *client;
static struct job_world world;
static struct job_memory memory;

static inline void configure(const char *storage)
{
    cleanup_free char *text =
        mem_format("pve: {endpoint: '%s', token_file: %s/pve.token, ca_file: %s/ca.pem}\n"
                   "backup: {storage: %s}\npaths: {state: %s/state}\n",
                   standin.url, scratch, scratch, storage, scratch);
    config_free(&config);
    OK(config_parse("agent.yaml", text, strlen(text), &config, &error));
}

static inline int begin_group(void **state)
{
    if (scratch_make(state) < 0)
        return -1;
    standin_certificates();
    standin_write("tokens.json", TOKENS);
    standin_write("guests.json", GUESTS);
    standin_start("proxmox");
    return 0;
}

static inline int end_group(void **state)
{
    standin_stop();
    config_free(&config);
    return scratch_remove(state);
}

static inline void put_guest_of(uint32_t vmid, enum guest_kind kind)
{
    struct guest guest = guest_named(vmid, "web");
    guest.kind = kind;
    OK(guest_put(store, &guest, &error));
}

static inline void standin_reset(void)
{
    cleanup_close int lock = standin_lock();
    standin_write("tasks.json", "[]");
    standin_write("content.json", "{}");
    standin_write("guests.json", GUESTS);
    standin_write("requests.jsonl", "");
    standin_write("control.json", "{\"task_seconds\": 0.2}");
}

static inline int set_up(void **state)
{
    (void)state;
    shell("rm -rf state && mkdir state");
    standin_reset();
    standin_write("pve.token", USER "=" SECRET "\n");
    configure("local");
    store = store_of_scratch();
    OK(store_pool_new(in_scratch("state"), &stores, &error));
    put_guest_of(8200, GUEST_LXC);
    put_guest_of(8203, GUEST_QEMU);
    put_guest_of(8204, GUEST_LXC);
    atomic_store(&stopping, false);
    client = pve_client_new(&stopping, NULL);
    world = (struct job_world){stores, client, &config, "pve", &stopping};
    memory = (struct job_memory){0};
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    pve_client_free(client);
    store_pool_free(stores);
    store_close(store);
    return 0;
}

#define job_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

/* --- jobs --- */

/* As if the guest's request had come two seconds ago. */
static inline int64_t add_job(uint32_t vmid, enum job_kind kind, const char *name)
{
    int64_t job_id = 0;
    struct job_obstacle running;
    struct job job = {.vmid = vmid, .kind = kind};
    (void)snprintf(job.name, sizeof job.name, "%s", name);
    OK(job_add(store, &job, NULL, clock_wall_ms() - 2000, &job_id, &running, &error));
    return job_id;
}

/* Makes the job look as if it had been requested and the reply had not come. */
static inline void make_called(int64_t job_id)
{
    OK(job_call(store, job_id, clock_wall_ms(), &error));
}

static inline struct job unfinished(uint32_t vmid)
{
    struct job job = {0};
    OK(job_unfinished(store, vmid, &job, &error));
    assert_int_not_equal(job.job_id, 0);
    return job;
}

/* Runs the next step of the guest's job; returns after how many seconds the next is due (-1: the
 * job has ended). */
static inline double step(uint32_t vmid)
{
    const struct job job = unfinished(vmid);
    const int64_t wait_us = job_step(&world, &job, &memory);
    return wait_us == INT64_MAX ? -1 : (double)wait_us / 1e6;
}

/* Runs all steps of the job, with short pauses only. */
static inline void run_to_end(uint32_t vmid)
{
    for (int i = 0; i < 30000; i++) {
        if (step(vmid) < 0)
            return;
        (void)poll(NULL, 0, 20);
    }
    fail_test("the job of guest %u does not end", vmid);
}

#define assert_seconds(expression, expected) \
    do { \
        double seconds = (expression); \
        if (seconds < (expected) || seconds > (expected)) \
            fail_test("%s: %f s", #expression, seconds); \
    } while (0)

/* Returns "PHASE ERROR" of the guest's newest job. */
static inline void assert_end(uint32_t vmid, const char *expected)
{
    cleanup_free char *sql = mem_format("SELECT phase || ' ' || error FROM job WHERE vmid = %u"
                                        " AND finished_at_ms IS NOT NULL ORDER BY job_id DESC",
                                        vmid);
    assert_raw(sql, expected);
}

static inline void assert_events(const char *expected)
{
    assert_raw("SELECT group_concat(outcome || ' ' || detail, '; ') FROM"
               " (SELECT * FROM event ORDER BY seq)",
               expected);
}

/* --- Proxmox --- */

/* Returns how many requests with this text the stand-in has recorded. */
static inline void assert_asked(const char *text, int times)
{
    cleanup_free char *command = mem_format("grep -cF '%s' requests.jsonl", text);
    cleanup_free char *expected = mem_format("%d", times);
    assert_output(command, expected);
}

static inline void control(const char *text)
{
    standin_write("control.json", text);
}

/* Adds a successful task of ours that began that many seconds ago. */
static inline void write_task(const char *type, uint32_t vmid, int64_t seconds_ago,
                              char ret_upid[static UPID_SIZE])
{
    const long long started_at = (long long)(clock_wall_ms() / 1000 - seconds_ago);
    (void)snprintf(ret_upid, UPID_SIZE, "UPID:pve:00004711:12345678:%08llX:%s:%u:" USER ":",
                   started_at, type, vmid);
    cleanup_free char *text = mem_format(
        "[{\"upid\": \"%s\", \"node\": \"pve\", \"type\": \"%s\", \"id\": \"%u\", \"user\": \"" USER
        "\", \"parameters\": {}, \"begun_at\": 1, \"starttime\": %lld, \"endtime\": %lld,"
        " \"steps\": [], \"step\": 0, \"log\": [\"TASK OK\"], \"exitstatus\": \"OK\"}]",
        ret_upid, type, vmid, started_at, started_at);
    standin_write("tasks.json", text);
}

#endif
