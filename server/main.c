/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhomd serves the local API to the guests of this host. This file has its arguments, --check,
 * and the main thread, which
 *
 *   - waits until the host has the address to listen on,
 *   - starts the agent (server/agent.h), whose other threads serve the requests,
 *   - then handles signals, feeds the watchdog, and every ten seconds looks for stopped guests
 *     (server/sweep.h), for guests whose NICs or mounts have changed (server/base/guest_refresh.h),
 *     for a store that has gone back and for a new certificate.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/units.h"
#include "schema/base/version.h"
#include "server/agent.h"
#include "server/base/guest_refresh.h"
#include "server/base/host_figures.h"
#include "server/events/wakeup.h"
#include "server/privileges.h"
#include "server/sweep.h"
#include "server/systemd/notify.h"
#include "server/systemd/reload.h"
#include "server/systemd/watchdog.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/db/store.h"
#include "store/db/token_record.h"
#include "store/files/config_file.h"

/* --- felhomd --check: would it start, and what would it lack? --- */

static bool report_error(FILE *out, const struct error *error)
{
    (void)fprintf(out, "error: %s\n", error->message);
    return false;
}

static bool check_store(const struct config *config, FILE *out)
{
    struct error error;
    int version;
    int newest = store_schema_version();
    if (store_peek_version(config->paths.state, &version, &error) < 0) {
        if (error.kind != ERROR_MISSING)
            return report_error(out, &error);
        (void)fprintf(out, "warning: %s: felhomd will make it\n", error.message);
    } else if (version > newest) {
        (void)fprintf(out, "error: the store has version %d, this program knows %d: upgrade it\n",
                      version, newest);
        return false;
    } else if (version < newest) {
        (void)fprintf(out, "warning: the store has version %d and will be brought to %d\n", version,
                      newest);
    } else {
        (void)fprintf(out, "ok: store version %d\n", version);
    }
    return true;
}

static bool check_identity(const struct server_config *config, FILE *out)
{
    struct error error;
    struct pins pins;
    if (agent_load_identity(config, &pins, &error) < 0)
        return report_error(out, &error);
    (void)fprintf(out, "ok: TLS identity, leaf pin %s\n", pins.leaf);
    return true;
}

/* An address that the host does not have yet is only a warning, because felhomd waits for it. */
static bool check_address(struct server_config *current, FILE *out)
{
    struct error error;
    if (server_config_locate(current, &error) == 0) {
        char host[INET_ADDRSTRLEN];
        (void)inet_ntop(AF_INET, &current->address.sin_addr, host, sizeof host);
        (void)fprintf(out, "ok: address %s:%u\n", host, ntohs(current->address.sin_port));
        return true;
    }
    if (error.kind != ERROR_MISSING)
        return report_error(out, &error);
    (void)fprintf(out, "warning: %s: felhomd will wait for it\n", error.message);
    return true;
}

/* The files that agent.yaml names: felhomd starts without them, but guests or Proxmox's jobs miss
 * what is in them. */
static bool check_named_files(const struct config *config, FILE *out)
{
    struct error error;
    bool good = true;
    struct named_file files[NAMED_FILES_MAX];
    size_t count = config_file_list_named(config, files);
    for (size_t i = 0; i < count; i++)
        if (config_file_check_named(&files[i], &error) < 0)
            good = report_error(out, &error);
    return good;
}

/* Writes one line for each finding, "ok: ...", "warning: ..." or "error: ...", and changes
 * nothing. False if one of them is an error. */
static bool check_all(FILE *out)
{
    struct error error;
    cleanup_server_config struct server_config *current = NULL;
    if (server_config_load(&current, &error) < 0)
        return report_error(out, &error);
    if (access(config_file_path(), F_OK) == 0)
        (void)fprintf(out, "ok: configuration %s\n", config_file_path());
    else
        (void)fprintf(out, "warning: there is no %s: defaults are in force\n", config_file_path());
    bool address = check_address(current, out);
    bool store = check_store(&current->config, out);
    bool identity = check_identity(current, out);
    bool files = check_named_files(&current->config, out);
    return address && store && identity && files;
}

/* --- the main thread --- */

#define SWEEP_US      (10 * SECOND_US)
#define RETRY_US      SECOND_US        /* until the next self-test, after one that failed */
#define BOOT_WAIT_US  (15 * SECOND_US) /* how long the boot of the host waits for felhomd */
#define CLOCK_STEP_MS MINUTE_MS        /* by how much the wall clock may be corrected unnoticed */

/* The wait for the address to listen on. */
struct address_wait {
    int64_t since_us;
    struct error logged;
};

/* What the main thread does besides handling signals; all but reload once the daemon listens. */
struct main_duties {
    struct reload reload;
    struct watchdog watchdog;
    int64_t next_test_us;
    struct sweep sweep;
    int64_t next_sweep_us;
    int64_t clock_ahead_ms; /* of the wall clock before that since the boot; 0: not known yet */
};

/* Blocks the signals in this thread and in all that it starts, so that only wait_for_signal
 * receives them. */
static sigset_t block_signals(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGNAL_NEW_IDENTITY);
    (void)sigaddset(&signals, SIGNAL_STORE_IN_DOUBT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signals;
}

/* Returns the number of the signal that came; 0 if none came within wait_us. */
static int wait_for_signal(const sigset_t *signals, int64_t wait_us)
{
    const struct timespec wait = {wait_us / SECOND_US, wait_us % SECOND_US * 1000};
    int number = sigtimedwait(signals, NULL, &wait);
    return number > 0 ? number : 0;
}

/* What felhomd goes on without, and the operator should know of. */
static void log_named_files(struct agent *agent)
{
    struct error error;
    struct named_file files[NAMED_FILES_MAX];
    cleanup_server_config struct server_config *current = context_config(&agent->context);
    size_t count = config_file_list_named(&current->config, files);
    for (size_t i = 0; i < count; i++)
        if (config_file_check_named(&files[i], &error) < 0)
            log_line(LOG_ERR, "%s; felhomctl doctor says how to mend it", error.message);
}

static void daemon_reload(struct agent *agent, struct reload *reload)
{
    struct error error;
    reload_accept(reload);
    if (agent_reload(agent, &error) < 0) {
        log_line(LOG_ERR, "reload failed, the old configuration stays in force: %s", error.message);
        reload_finish(reload, &error);
        return;
    }
    log_named_files(agent);
    log_line(LOG_NOTICE, "configuration reloaded");
    reload_finish(reload, NULL);
}

/* Feeds the watchdog and tells the service manager what felhomd waits for. The log gets a line
 * only when that changes, not each second. */
static void notify_waiting_for(struct address_wait *waiting, const struct error *error)
{
    bool holds_boot_up = clock_steady_us() - waiting->since_us < BOOT_WAIT_US;
    notify_waiting(error->message, !holds_boot_up);
    notify_watchdog();
    if (strcmp(waiting->logged.message, error->message) == 0)
        return;
    log_line(LOG_WARNING, "waiting: %s", error->message);
    waiting->logged = *error;
}

/* Waits for the address, then starts the agent. *ret_ended becomes true if a signal ended the
 * daemon before the address was there. */
static int daemon_start(struct agent *agent, struct reload *reload, const sigset_t *signals,
                        bool *ret_ended, struct error *error)
{
    struct address_wait waiting = {.since_us = clock_steady_us()};
    while (agent_locate(agent, error) < 0) {
        if (error->kind != ERROR_MISSING)
            return -1;
        notify_waiting_for(&waiting, error);
        int number = wait_for_signal(signals, SECOND_US);
        if (number == SIGHUP)
            daemon_reload(agent, reload);
        *ret_ended = number == SIGTERM || number == SIGINT;
        if (*ret_ended)
            return 0;
    }
    return agent_start(agent, error);
}

static void sweep_guests(struct main_duties *duties, struct context *context)
{
    struct error error;
    cleanup_server_config struct server_config *current = context_config(context);
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(context->stores, &loan, &error) == 0 &&
        sweep_run(&duties->sweep, &current->config, loan.store, clock_steady_us(), clock_wall_ms(),
                  &error) == 0)
        return;
    store_loan_failed(&loan, &error);
    throttled_log_line(&context->log, LOG_ERR, "the sweep for stopped guests failed: %s",
                       error.message);
}

static void refresh_guests(struct context *context)
{
    cleanup_server_config struct server_config *current = context_config(context);
    guest_refresh_look(context->guest_refresh, context->stores, &current->config, &context->log);
}

/* Returns the time between two self-tests: half the interval of the watchdog, but at least one
 * second; without a watchdog, which needs no test, that of the sweep. */
static int64_t self_test_interval_us(void)
{
    int64_t half_us = (int64_t)(notify_watchdog_us() / 2);
    if (half_us == 0)
        return SWEEP_US;
    return half_us < SECOND_US ? SECOND_US : half_us;
}

static void self_test_if_due(struct agent *agent, struct main_duties *duties)
{
    if (clock_steady_us() < duties->next_test_us)
        return;
    bool answers = watchdog_feed(&duties->watchdog, &agent->context, &agent->pins);
    duties->next_test_us = clock_steady_us() + (answers ? self_test_interval_us() : RETRY_US);
}

/* If the wall clock was set, tokens with a date of expiry may have come to their end, or do not
 * come to it in time: has those replaced now that are due, and not when the timer asks. */
static void watch_clock(struct main_duties *duties)
{
    const int64_t ahead_ms = clock_wall_ms() - clock_boot_ms();
    const int64_t step_ms = ahead_ms - duties->clock_ahead_ms;
    const bool is_known = duties->clock_ahead_ms != 0;
    if (is_known && step_ms > -CLOCK_STEP_MS && step_ms < CLOCK_STEP_MS)
        return;
    duties->clock_ahead_ms = ahead_ms;
    if (!is_known)
        return;
    log_line(LOG_NOTICE,
             "the clock was set %s by %lld seconds: guests get new tokens if theirs are due",
             step_ms > 0 ? "forward" : "back", llabs(step_ms) / SECOND_MS);
    token_record_ask_renewal();
}

static void sweep_if_due(struct agent *agent, struct main_duties *duties)
{
    if (clock_steady_us() < duties->next_sweep_us)
        return;
    watch_clock(duties);
    sweep_guests(duties, &agent->context);
    refresh_guests(&agent->context);
    agent_watch_store(agent);
    agent_follow_identity(agent);
    host_figures_sample(agent->context.figures);
    /* Returns to the system what a burst of connections has left free in the heap. */
    (void)malloc_trim(0);
    duties->next_sweep_us = clock_steady_us() + SWEEP_US;
}

/* Does what is due. Returns in how many microseconds the next duty is. */
static int64_t daemon_tick(struct agent *agent, struct main_duties *duties)
{
    self_test_if_due(agent, duties);
    sweep_if_due(agent, duties);
    int64_t next_us =
        duties->next_test_us < duties->next_sweep_us ? duties->next_test_us : duties->next_sweep_us;
    int64_t wait_us = next_us - clock_steady_us();
    return wait_us > 0 ? wait_us : 0;
}

/* Returns 0 when a signal has ended the daemon; -1 if no listener could be kept running. */
static int daemon_serve(struct agent *agent, struct main_duties *duties, const sigset_t *signals,
                        struct error *error)
{
    for (;;) {
        int number = wait_for_signal(signals, daemon_tick(agent, duties));
        if (number == SIGTERM || number == SIGINT)
            return 0;
        if (number == SIGNAL_NEW_IDENTITY)
            agent_follow_identity(agent);
        if (number == SIGNAL_STORE_IN_DOUBT)
            agent_watch_store(agent);
        if (number != SIGHUP)
            continue;
        notify_reloading();
        daemon_reload(agent, &duties->reload);
        if (!agent_listens(agent))
            return fail(error, ERROR_SYSTEM, "nothing is listened on any more, see above");
        notify_ready();
    }
}

/* Returns 0 when a signal has ended the daemon; -1 if it could not start or continue. */
static int daemon_run(struct error *error)
{
    bool ended = false;
    struct agent agent;
    struct main_duties duties = {.reload = {.socket = -1}};
    const sigset_t signals = block_signals();
    int result = agent_open(&agent, error);
    if (result == 0) {
        reload_begin(&duties.reload, agent.context.config->config.paths.state);
        result = daemon_start(&agent, &duties.reload, &signals, &ended, error);
    }
    if (result == 0 && !ended) {
        log_named_files(&agent);
        notify_ready();
        result = daemon_serve(&agent, &duties, &signals, error);
    }
    notify_stopping();
    reload_end(&duties.reload);
    agent_stop(&agent);
    agent_close(&agent);
    sweep_clear(&duties.sweep);
    return result;
}

/* --- arguments --- */

#define EXIT_USAGE 2

static const char usage[] =
    "usage: felhomd [--check | --reload | --open-packet-socket | --keep-settings | --version |\n"
    "               --help]\n"
    "Serves the local API to the guests of this host.\n"
    "\n"
    "  --check    say whether felhomd would start and what it would lack, and change nothing\n"
    "  --reload   have the felhomd that runs read agent.yaml again, and fail if it refuses it\n"
    "  --open-packet-socket\n"
    "             open the socket that shows where connections come from, and leave it\n"
    "             with systemd for the felhomd that starts next; for felhomd.service\n"
    "  --keep-settings\n"
    "             copy the agent.yaml that felhomd has taken up to agent.yaml.good, by which\n"
    "             felhom-hook goes while agent.yaml is bad; for felhomd.service\n"
    "  --version  print the version\n"
    "  --help     print this text\n";

enum action {
    ACTION_RUN,
    ACTION_CHECK,
    ACTION_RELOAD,
    ACTION_OPEN,
    ACTION_KEEP,
    ACTION_VERSION,
    ACTION_HELP,
    ACTION_INVALID
};

static enum action parse_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"check", no_argument, NULL, ACTION_CHECK},
        {"reload", no_argument, NULL, ACTION_RELOAD},
        {"open-packet-socket", no_argument, NULL, ACTION_OPEN},
        {"keep-settings", no_argument, NULL, ACTION_KEEP},
        {"version", no_argument, NULL, ACTION_VERSION},
        {"help", no_argument, NULL, ACTION_HELP},
        {NULL, 0, NULL, 0},
    };
    int action = ACTION_RUN;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?' || action != ACTION_RUN)
            return ACTION_INVALID;
        action = option;
    }
    return optind == argc ? (enum action)action : ACTION_INVALID;
}

static int run_daemon(void)
{
    struct error error;
    privileges_seal();
    if (daemon_run(&error) == 0)
        return EXIT_SUCCESS;
    log_line(LOG_ERR, "felhomd: %s", error.message);
    return EXIT_FAILURE;
}

/* Without it felhomd still starts, if the configuration lets it. */
static int open_packet_socket(void)
{
    struct error error;
    if (agent_leave_packet_socket(&error) < 0)
        log_line(LOG_WARNING, "felhomd --open-packet-socket: %s", error.message);
    return EXIT_SUCCESS;
}

/* Less than systemd allows for a reload. */
#define RELOAD_WAIT_MS 60000

static int reload_daemon(void)
{
    struct error error;
    cleanup(config_free) struct config config = {0};
    if (config_file_load(&config, &error) == 0 &&
        reload_request(config.paths.state, RELOAD_WAIT_MS, &error) == 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "felhomd --reload: %s\n", error.message);
    return EXIT_FAILURE;
}

static int keep_settings(void)
{
    struct error error;
    if (config_file_keep(&error) == 0)
        return EXIT_SUCCESS;
    log_line(LOG_ERR, "felhomd --keep-settings: %s", error.message);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    switch (parse_arguments(argc, argv)) {
    case ACTION_RUN:
        return run_daemon();
    case ACTION_CHECK:
        return check_all(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
    case ACTION_RELOAD:
        return reload_daemon();
    case ACTION_OPEN:
        return open_packet_socket();
    case ACTION_KEEP:
        return keep_settings();
    case ACTION_VERSION:
        (void)puts("felhomd " FELHOM_VERSION);
        return EXIT_SUCCESS;
    case ACTION_HELP:
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    case ACTION_INVALID:
        break;
    }
    (void)fputs(usage, stderr);
    return EXIT_USAGE;
}
