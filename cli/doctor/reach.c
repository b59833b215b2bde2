/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: whether a guest reaches felhomd: by what the host knows of its NICs, and, if the operator
 * wants it, by trying: a child process enters the guest's network namespace and does what the guest
 * does, with the endpoint and the pin that the guest was given.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/guest_reach.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "store/base/cgroup.h"
#include "store/files/file.h"
#include "store/host/host.h"
#include "store/host/probe.h"
#include "store/identity/identity.h"

#define BOOTSTRAP_LIMIT (64 * KIB)
#define PROBE_WAIT_US   (5 * SECOND_US)

/* --- what the host knows --- */

/* Another check reports what keeps all guests, or is about the hardware addresses. */
static bool is_reported_elsewhere(enum reach_reason reason)
{
    return reason == REACH_NO_LISTENER || reason == REACH_HOST_FIREWALL ||
           reason == REACH_SAME_HWADDR;
}

void doctor_check_guest_reach(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    const struct reach_host *host = &doctor->reach.facts.host;
    if (!doctor->reach.is_loaded || guest->config.template)
        return;
    cleanup(guest_reach_free) struct guest_reach reach =
        node_reach_judge(&doctor->reach, guest->vmid, &guest->config);
    cleanup_free char *words = reach_words(host, &reach.guest, &reach.whole);
    cleanup_free char *remedy = reach_remedy(host, &reach.guest, &reach.whole);
    if (reach.whole.verdict == REACH_YES)
        doctor_ok(doctor, "%s", words);
    else if (doctor->reached)
        doctor_ok(doctor, "the guest has just reached felhomd, though %s", words);
    else if (is_reported_elsewhere(reach.whole.reason))
        return;
    else if (reach.whole.verdict == REACH_NO)
        doctor_fail(doctor, remedy, "%s", words);
    else /* the remedy is to try, which --probe has done */
        doctor_warn(doctor, doctor->probes ? NULL : remedy, "%s", words);
}

/* --- trying --- */

/* What the guest was told. */
struct told {
    struct sockaddr_in endpoint;
    struct pins pins;
};

/* A guest that was told nothing, as it has not started since, is to be told this. */
static int told_by_host(const struct doctor *doctor, struct told *ret, struct error *error)
{
    cleanup(identity_free) struct identity identity = {0};
    if (host_endpoint(&doctor->config, &ret->endpoint, error) < 0 ||
        identity_load(doctor->config.paths.state, &identity, error) < 0)
        return -1;
    ret->pins = identity.pins;
    return 0;
}

static bool told_read(const json_t *bootstrap, struct told *ret)
{
    const char *url = json_get_text(bootstrap, "local_api_endpoint", "");
    const char *endpoint = text_after(url, "https://");
    const char *leaf = json_get_text(bootstrap, "local_api_pin_leaf_sha256", "");
    if (!endpoint || !endpoint_parse(endpoint, &ret->endpoint) ||
        strlen(leaf) >= sizeof ret->pins.leaf)
        return false;
    (void)snprintf(ret->pins.leaf, sizeof ret->pins.leaf, "%s", leaf);
    return true;
}

static bool told_by_bootstrap(const struct doctor *doctor, struct told *ret)
{
    struct error ignored;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    json_t *bootstrap = NULL;
    cleanup_free char *path =
        mem_format("%s/%u/bootstrap.json", doctor->config.paths.guests, doctor->guest->vmid);
    if (file_read(path, BOOTSTRAP_LIMIT, &text, &ignored) < 0 ||
        json_read(buffer_text(&text), text.length, &bootstrap, &ignored) < 0)
        return false;
    bool is_told = told_read(bootstrap, ret);
    json_wipe(bootstrap); /* it holds the guest's token */
    return is_told;
}

/* How the child's try went; in memory that it shares with its parent. */
struct
try {
    enum { TRY_DIED, TRY_OUTSIDE, TRY_REFUSED, TRY_ANSWERED } outcome;
    struct error error; /* unless TRY_ANSWERED */
};

static void try_inside(int namespace, const struct told *told, struct try *try)
{
    const struct probe probe = {
        .listening = told->endpoint,
        .pins = told->pins,
        .timeout_us = PROBE_WAIT_US,
        .from_guest = true,
    };
    (void)signal(SIGPIPE, SIG_IGN);
    if (setns(namespace, CLONE_NEWNET) < 0) {
        (void)fail_errno(&try->error, errno, "its network cannot be entered");
        try->outcome = TRY_OUTSIDE;
    } else {
        try->outcome = probe_run(&probe, &try->error) == 0 ? TRY_ANSWERED : TRY_REFUSED;
    }
}

static void try_in_child(int namespace, const struct told *told, struct try *try)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        try_inside(namespace, told, try);
        _exit(0);
    }
    if (child < 0)
        (void)fail_errno(&try->error, errno, "no process can be started");
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
}

/* Opens the network namespace of the guest's init. That is still the guest's if the cgroup has the
 * same init afterwards. */
static int open_namespace(const struct doctor *doctor, int *ret_fd, struct error *error)
{
    const char *cgroup = doctor->config.paths.cgroup;
    uint32_t vmid = doctor->guest->vmid;
    pid_t init = cgroup_container_init(cgroup, vmid);
    cleanup_free char *path = mem_format("/proc/%d/ns/net", (int)init);
    if (init == 0)
        return fail(error, ERROR_MISSING, "no init of it is found below %s/lxc/%u", cgroup, vmid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(error, errno, "its network cannot be entered: %s", path);
    if (cgroup_container_init(cgroup, vmid) != init)
        return fail(error, ERROR_BUSY, "it has just started anew");
    *ret_fd = steal_fd(&fd);
    return 0;
}

static void note_refused(struct doctor *doctor, const struct told *told, const struct error *error)
{
    struct error ignored;
    struct sockaddr_in endpoint;
    char text[INET_ADDRSTRLEN];
    const struct doctor_guest *guest = doctor->guest;
    bool moved = host_endpoint(&doctor->config, &endpoint, &ignored) == 0 &&
                 (endpoint.sin_addr.s_addr != told->endpoint.sin_addr.s_addr ||
                  endpoint.sin_port != told->endpoint.sin_port);
    if (moved) {
        (void)inet_ntop(AF_INET, &endpoint.sin_addr, text, sizeof text);
        doctor_fail(doctor, guest->rotate,
                    "from inside the guest, felhomd is not where the guest was told; it is at "
                    "%s:%u now: %s",
                    text, ntohs(endpoint.sin_port), error->message);
    } else {
        doctor_fail(doctor, error->kind == ERROR_INVALID ? guest->rotate : NULL,
                    "from inside the guest, felhomd does not answer: %s", error->message);
    }
}

static void note_try(struct doctor *doctor, const struct told *told, const struct try *try)
{
    char text[INET_ADDRSTRLEN];
    switch (try->outcome) {
    case TRY_ANSWERED:
        (void)inet_ntop(AF_INET, &told->endpoint.sin_addr, text, sizeof text);
        doctor->reached = true;
        doctor_ok(doctor, "from inside the guest, felhomd answers at %s:%u", text,
                  ntohs(told->endpoint.sin_port));
        break;
    case TRY_REFUSED:
        note_refused(doctor, told, &try->error);
        break;
    case TRY_OUTSIDE:
    case TRY_DIED:
        doctor_warn(doctor, NULL, "not tried: %s", try->error.message);
        break;
    }
}

static void probe_guest(struct doctor *doctor)
{
    struct error error;
    struct told told = {.pins = {.leaf = ""}};
    cleanup_close int namespace = -1;
    if ((!told_by_bootstrap(doctor, &told) && told_by_host(doctor, &told, &error) < 0) ||
        open_namespace(doctor, &namespace, &error) < 0) {
        doctor_warn(doctor, NULL, "not tried: %s", error.message);
        return;
    }
    struct try *try =
        mmap(NULL, sizeof *try, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (try == MAP_FAILED)
        mem_exhausted();
    (void)fail(&try->error, ERROR_SYSTEM, "the process that tried has died");
    try_in_child(namespace, &told, try);
    note_try(doctor, &told, try);
    (void)munmap(try, sizeof *try);
}

void doctor_check_guest_probe(struct doctor *doctor)
{
    const struct doctor_guest *guest = doctor->guest;
    doctor->reached = false;
    if (!doctor->probes)
        return;
    if (guest->config.kind != GUEST_LXC)
        doctor_ok(doctor, "not tried: a virtual machine's network cannot be entered from here");
    else if (!guest->running)
        doctor_ok(doctor, "not tried: the guest is not running");
    else if (geteuid() != 0)
        doctor_warn(doctor, NULL, "not tried: only root can enter a guest's network");
    else
        probe_guest(doctor);
}
