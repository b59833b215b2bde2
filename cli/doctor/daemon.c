/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: whether guests reach felhomd: its unit, its answer, the firewall before it. */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"
#include "cli/pve/command.h"
#include "cli/pve/firewall_file.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/files/file.h"
#include "store/host/endpoint.h"
#include "store/host/probe.h"
#include "store/identity/identity.h"

#define SYSTEMD     "/run/systemd/system"
#define SYSTEMCTL   "/usr/bin/systemctl"
#define PATIENCE_US ((int64_t)5000000)
#define FILE_LIMIT  ((size_t)1 << 20)

/* --- the unit --- */

static void check_unit(struct doctor *doctor)
{
    static const char *const argv[] = {SYSTEMCTL, "is-active", "--quiet", "felhomd.service", NULL};
    const struct pve_limits limits = {clock_steady_us() + PATIENCE_US, -1};
    const struct pve_command command = {argv, NULL, limits};
    struct error ignored;
    if (access(SYSTEMD, F_OK) < 0)
        return;
    if (pve_command_run_as(&command, &ignored) == 0)
        doctor_note(doctor, GRADE_OK, NULL, "felhomd.service is active");
    else
        doctor_note(doctor, GRADE_ERROR, "systemctl enable --now felhomd",
                    "felhomd.service is not active; journalctl -u felhomd says why");
}

/* --- the answer --- */

/* Whether felhomd closes what the host itself opens, whatever certificate it has: by source binding
 * or as no network of the host's is allowed. */
static bool keeps_host_out(const struct config *config, const struct sockaddr_in *endpoint)
{
    if (config->local_api.source_binding == BINDING_REQUIRE)
        return true;
    for (size_t i = 0; i < config->local_api.allow_count; i++)
        if (cidr_contains(&config->local_api.allow[i], (const struct sockaddr *)endpoint))
            return false;
    return config->local_api.allow_count > 0;
}

static bool is_listening(const struct sockaddr_in *endpoint)
{
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)endpoint, sizeof *endpoint) == 0;
}

static int ask(const struct sockaddr_in *endpoint, const struct pins *pins, struct error *error)
{
    const struct probe probe = {
        .listening = *endpoint,
        .pins = *pins,
        .patience_us = PATIENCE_US,
    };
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    int result = probe_run(&probe, error);
    (void)signal(SIGPIPE, before);
    return result;
}

static void check_answer(struct doctor *doctor)
{
    struct error error;
    struct sockaddr_in endpoint;
    const char *remedy = "systemctl restart felhomd";
    cleanup(identity_free) struct identity identity = {0};
    if (endpoint_resolve(&doctor->config, &endpoint, &error) < 0 ||
        identity_load(doctor->config.paths.state, &identity, &error) < 0)
        return; /* other checks' */
    bool kept_out = keeps_host_out(&doctor->config, &endpoint);
    if (kept_out && is_listening(&endpoint))
        doctor_note(doctor, GRADE_OK, NULL,
                    "felhomd takes connections; local_api forbids the host itself to ask more");
    else if (kept_out)
        doctor_note(doctor, GRADE_ERROR, remedy, "nobody takes connections to felhomd's port");
    else if (ask(&endpoint, &identity.pins, &error) < 0)
        doctor_note(doctor, GRADE_ERROR, remedy, "felhomd does not answer as guests need it: %s",
                    error.message);
    else
        doctor_note(doctor, GRADE_OK, NULL, "felhomd answers, with the certificate of its pin");
}

/* --- the firewall --- */

/* "" where there is none. */
static void read_file(const struct doctor *doctor, const char *name, struct buffer *out)
{
    struct error ignored;
    cleanup_free char *path = mem_format("%s/%s", doctor->config.paths.pve, name);
    (void)file_read(path, FILE_LIMIT, out, &ignored);
}

static void check_firewall(struct doctor *doctor)
{
    struct error ignored;
    struct sockaddr_in endpoint = {.sin_port = htons(ENDPOINT_PORT)};
    cleanup_buffer struct buffer cluster = BUFFER_EMPTY;
    cleanup_buffer struct buffer host = BUFFER_EMPTY;
    read_file(doctor, "firewall/cluster.fw", &cluster);
    read_file(doctor, "local/host.fw", &host);
    (void)endpoint_resolve(&doctor->config, &endpoint, &ignored);
    uint16_t port = ntohs(endpoint.sin_port);
    if (firewall_file_switch(buffer_text(&cluster)) != FIREWALL_ON ||
        firewall_file_switch(buffer_text(&host)) == FIREWALL_OFF)
        doctor_note(doctor, GRADE_OK, NULL, "Proxmox's firewall is off on this host");
    else if (firewall_file_lets_in(buffer_text(&host), port) ||
             firewall_file_lets_in(buffer_text(&cluster), port))
        doctor_note(doctor, GRADE_OK, NULL, "Proxmox's firewall has a rule for port %u", port);
    else
        doctor_note(doctor, GRADE_WARNING, "felhomctl firewall",
                    "Proxmox's firewall is on, and no rule is seen that lets guests in at port %u; "
                    "put in what the command prints",
                    port);
}

static const struct check checks[] = {
    {"unit", check_unit},
    {"answer", check_answer},
    {"firewall", check_firewall},
};
const struct check_list doctor_daemon_checks = {checks, ARRAY_SIZE(checks)};
