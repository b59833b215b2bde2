/* SPDX-License-Identifier: Apache-2.0 */
/* status: the state of host, felhomd, guests and store on one screen. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/socket.h"
#include "cli/base/verb.h"
#include "cli/pve/command.h"
#include "cli/pve/config.h"
#include "cli/verbs/report.h"
#include "schema/agent/config.h"
#include "schema/base/address.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/base/version.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/host/host.h"
#include "store/tables/statistics.h"

/* The state of felhomd as far as it can be seen without sending a request, which would show in its
 * log and count against its limits. */

enum daemon_state {
    DAEMON_ABSENT,   /* nothing listens at the endpoint, nobody waits for wakeups of this store */
    DAEMON_STARTING, /* felhomd waits for wakeups but does not listen: its address may be missing */
    DAEMON_FOREIGN,  /* something listens that is not this store's felhomd */
    DAEMON_LISTENING, /* both */
};

struct daemon_status {
    enum daemon_state state;
    pid_t pid;     /* of the process that listens; 0: not known */
    char unit[16]; /* systemd's word for felhomd.service: "active", ...; "" where there is none */
};

#define SYSTEMD_RUNS "/run/systemd/system"
#define SYSTEMCTL    "/usr/bin/systemctl"
#define SYSTEMCTL_US (3 * SECOND_US)

static const char *daemon_state_text(enum daemon_state state)
{
    static const char *const texts[] = {
        [DAEMON_ABSENT] = "does not run",
        [DAEMON_STARTING] = "runs, but does not listen",
        [DAEMON_FOREIGN] = "something else listens there",
        [DAEMON_LISTENING] = "listens",
    };
    return texts[state];
}

/* On a scratch host felhomd is not a unit of systemd. */
static void unit_state(const struct config *config, char *ret, size_t size)
{
    static const char *const argv[] = {
        SYSTEMCTL, "show", "--property=ActiveState", "--value", "felhomd.service", NULL,
    };
    struct error ignored;
    cleanup_buffer struct buffer output = BUFFER_EMPTY;
    const struct pve_command command = {
        .argv = argv,
        .output = &output,
        .limits = {clock_steady_us() + SYSTEMCTL_US, -1},
    };
    if (!pve_is_real(config) || access(SYSTEMD_RUNS, F_OK) < 0 ||
        pve_command_run_as(&command, &ignored) < 0)
        return;
    (void)snprintf(ret, size, "%.*s", (int)strcspn(buffer_text(&output), "\n"),
                   buffer_text(&output));
}

/* endpoint: A.B.C.D:PORT. */
static struct daemon_status daemon_status_get(const struct config *config, const char *endpoint)
{
    static const enum daemon_state states[2][2] = {{DAEMON_ABSENT, DAEMON_FOREIGN},
                                                   {DAEMON_STARTING, DAEMON_LISTENING}};
    struct sockaddr_in address;
    ino_t inode = endpoint_parse(endpoint, &address) ? socket_listening(&address) : 0;
    struct daemon_status status = {
        .state = states[nudge_has_listener(config->paths.state)][inode != 0],
        .pid = inode == 0 ? 0 : socket_holder(inode),
    };
    unit_state(config, status.unit, sizeof status.unit);
    return status;
}

#define REFUSALS_SHOWN 5

static const struct output_column fields[] = {
    {"host id", "host_id", SHAPE_PLAIN},   {"node", "node", SHAPE_PLAIN},
    {"endpoint", "endpoint", SHAPE_PLAIN}, {"felhomd", "daemon", SHAPE_PLAIN},
    {"guests", "guests", SHAPE_PLAIN},     {"tokens", "tokens", SHAPE_PLAIN},
    {"jobs", "jobs", SHAPE_PLAIN},         {"events", "events", SHAPE_PLAIN},
    {"store", "store_bytes", SHAPE_SIZE},  {"schema", "schema", SHAPE_PLAIN},
    {"version", "version", SHAPE_PLAIN},   {"SQLite", "sqlite", SHAPE_PLAIN},
};
static const struct output_column refusals[] = {
    {"REFUSED", "at", SHAPE_PLAIN},         {"ANSWER", "status", SHAPE_PLAIN},
    {"REASON", "reason", SHAPE_PLAIN},      {"TOKEN OF", "vmid", SHAPE_PLAIN},
    {"REQUEST", "request_id", SHAPE_PLAIN}, {"SOURCE", "source", SHAPE_PLAIN},
};

/* A number under a name, in JSON and in words. */
struct count {
    const char *name;
    int64_t number;
};

static json_t *counts_json(const struct count *counts, size_t length)
{
    json_t *object = json_object();
    for (size_t i = 0; i < length; i++)
        output_put_int(object, counts[i].name, counts[i].number);
    return object;
}

/* "2 running, 1 stopped"; "none" where there are none of any. */
static json_t *counts_text(const struct count *counts, size_t length)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    for (size_t i = 0; i < length; i++)
        if (counts[i].number > 0)
            buffer_add_format(&text, "%s%" PRId64 " %s", text.length ? ", " : "", counts[i].number,
                              counts[i].name);
    return json_string(text.length ? buffer_text(&text) : "none");
}

static void put_counts(json_t *report, const char *key, const struct count *counts, size_t length,
                       bool words)
{
    json_set(report, key, words ? counts_text(counts, length) : counts_json(counts, length));
}

static void put_statistics(json_t *report, const struct statistics *statistics, bool words)
{
    const struct count guests[] = {
        {"starting", statistics->guests_starting},
        {"running", statistics->guests_running},
        {"stopping", statistics->guests_stopping},
        {"stopped", statistics->guests_stopped},
    };
    const struct count tokens[] = {
        {"good", statistics->tokens.good},
        {"expired", statistics->tokens.expired},
        {"revoked", statistics->tokens.revoked},
    };
    const struct count jobs[] = {{"running", statistics->jobs_running}};
    put_counts(report, "guests", guests, ARRAY_SIZE(guests), words);
    put_counts(report, "tokens", tokens, ARRAY_SIZE(tokens), words);
    put_counts(report, "jobs", jobs, ARRAY_SIZE(jobs), words);
    output_put_int(report, "events", statistics->events);
}

static json_t *daemon_status_json(const struct daemon_status *status)
{
    json_t *object = json_object();
    output_put_bool(object, "listens", status->state == DAEMON_LISTENING);
    output_put_text(object, "state", daemon_state_text(status->state));
    json_set(object, "pid", status->pid ? json_integer(status->pid) : json_null());
    json_set(object, "unit", *status->unit ? json_string(status->unit) : json_null());
    return object;
}

/* "listens (pid 1234, unit active)" */
static json_t *daemon_status_text(const struct daemon_status *status)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (status->pid)
        buffer_add_format(&text, "pid %ld", (long)status->pid);
    if (*status->unit)
        buffer_add_format(&text, "%sunit %s", text.length ? ", " : "", status->unit);
    cleanup_free char *whole =
        text.length ? mem_format("%s (%s)", daemon_state_text(status->state), buffer_text(&text))
                    : mem_copy_text(daemon_state_text(status->state));
    return json_string(whole);
}

static int64_t store_file_size(const struct config *config, const char *suffix)
{
    struct stat status;
    cleanup_free char *path = mem_format("%s/db/agent.db%s", config->paths.state, suffix);
    return stat(path, &status) < 0 ? 0 : status.st_size;
}

static void put_versions(json_t *report, const struct config *config)
{
    output_put_int(report, "store_bytes",
                   store_file_size(config, "") + store_file_size(config, "-wal"));
    output_put_int(report, "schema", store_schema_version());
    output_put_texts(report, "version", FELHOM_VERSION, "sqlite", sqlite3_libversion());
}

static int visit_refusal(const struct explanation *explanation, void *context)
{
    json_append(context, refusal_report(explanation));
    return 0;
}

/* words: values as text for a person rather than as JSON. */
static int make_status_report(const struct session *session, bool words, json_t *report,
                              struct error *error)
{
    struct host host;
    struct statistics statistics;
    json_t *list = json_array();
    json_set(report, "refusals", list);
    if (host_get(session->store, &host, error) < 0 ||
        statistics_get(session->store, clock_wall_ms(), &statistics, error) < 0 ||
        explanation_each(session->store, REFUSALS_SHOWN, visit_refusal, list, error) < 0)
        return -1;
    struct daemon_status daemon = daemon_status_get(&session->config, host.endpoint);
    output_put_texts(report, "host_id", host.host_id, "node", host.node, "endpoint", host.endpoint);
    json_set(report, "daemon", words ? daemon_status_text(&daemon) : daemon_status_json(&daemon));
    put_statistics(report, &statistics, words);
    put_versions(report, &session->config);
    return 0;
}

static int run_status(const struct invocation *invocation, struct error *error)
{
    bool words = invocation->format == OUTPUT_TEXT;
    cleanup_session struct session session = {.store = NULL};
    cleanup_json json_t *report = json_object();
    if (session_open(&session, error) < 0 || make_status_report(&session, words, report, error) < 0)
        return -1;
    if (output_value(invocation, report))
        return 0;
    output_fields(invocation->out, fields, ARRAY_SIZE(fields), report);
    output_section(invocation->out, refusals, ARRAY_SIZE(refusals),
                   json_object_get(report, "refusals"));
    return 0;
}

const struct verb verb_status = {
    .name = "status",
    .help = "Show the state of host, felhomd, guests and store on one screen",
    .run = run_status,
};
