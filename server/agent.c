/* SPDX-License-Identifier: Apache-2.0 */
#include "server/agent.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/answer.h"
#include "server/base/host_figures.h"
#include "server/events/watch.h"
#include "server/http/kept_answers.h"
#include "server/http/request.h"
#include "server/hub/hub.h"
#include "server/jobs/jobs.h"
#include "server/jobs/pve_client.h"
#include "server/metrics/exporter.h"
#include "server/privileges.h"
#include "server/registry/registry.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/host/endpoint.h"
#include "store/identity/identity.h"
#include "store/tables/guest.h"

#define PEM_FILE              "tls/agent.pem"
#define RETRY_SECONDS         2
#define OUTSIDE_RETRY_SECONDS "30"

struct setup *agent_setup(struct agent *agent)
{
    (void)pthread_mutex_lock(&agent->lock);
    struct setup *setup = setup_hold(agent->setup);
    (void)pthread_mutex_unlock(&agent->lock);
    return setup;
}

/* Takes over the caller's hold on setup, and hands over the one on the old. */
static struct setup *swap_setup(struct agent *agent, struct setup *setup)
{
    (void)pthread_mutex_lock(&agent->lock);
    struct setup *old = agent->setup;
    agent->setup = setup;
    (void)pthread_mutex_unlock(&agent->lock);
    return old;
}

bool agent_listens(struct agent *agent)
{
    return atomic_load(&agent->listener) != NULL;
}

bool agent_crowded(struct agent *agent)
{
    const struct listener *listener = atomic_load(&agent->listener);
    return listener && listener_crowded(listener);
}

void agent_outside_fail(struct agent *agent, const struct error *error, struct reply *reply)
{
    throttled_log_line(&agent->log, LOG_WARNING, "a guest had to be told: %s", error->message);
    reply_error(reply, 503, error->message);
    reply_header(reply, "Retry-After", OUTSIDE_RETRY_SECONDS);
}

int64_t agent_request_deadline_us(const struct request *request)
{
    return clock_steady_us() + (int64_t)request->setup->config.limits.request_ms * 1000;
}

void agent_fail(struct agent *agent, struct store_loan *loan, const struct error *error,
                struct reply *reply)
{
    throttled_log_line(&agent->log, LOG_ERR, "a request could not be answered: %s", error->message);
    if (loan)
        store_loan_failed(loan, error);
    if (error->kind == ERROR_INVALID)
        reply_error(reply, 500, NULL);
    else
        reply_later(reply, 503, RETRY_SECONDS);
    reply_because(reply, error->message);
}

static int is_enrolled(const struct hwaddr *hwaddr, void *context)
{
    struct agent *agent = context;
    struct error error;
    uint32_t vmid;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(agent->stores, &loan, &error) == 0 &&
        nic_find_guest(loan.store, hwaddr, 0, &vmid, &error) == 0)
        return vmid != 0;
    store_loan_failed(&loan, &error);
    throttled_log_line(&agent->log, LOG_ERR, "a connection's guest could not be found: %s",
                       error.message);
    return -1;
}

static void connection_refused(const struct peer *peer, enum gate_refusal reason, uint32_t count,
                               void *context)
{
    struct agent *agent = context;
    const struct refusal refusal = {.reason = gate_refusal_name(reason), .detail = "connection"};
    refusal_tell(agent->stores, peer, &refusal, count);
}

/* What the certificate says that lies there. */
static int load_pins(const struct setup *setup, struct pins *ret, struct error *error)
{
    cleanup(identity_free) struct identity identity = {0};
    if (identity_load(setup->config.paths.state, &identity, error) == 0) {
        *ret = identity.pins;
        return 0;
    }
    if (error->kind == ERROR_MISSING)
        (void)fail(error, ERROR_MISSING,
                   "there is no TLS identity in %s: run felhomctl init as root",
                   setup->config.paths.state);
    return -1;
}

int agent_open(struct agent *agent, struct error *error)
{
    *agent = (struct agent){.log = THROTTLED_LOG_NEW, .refusals = refusals_new()};
    (void)pthread_mutex_init(&agent->lock, NULL);
    handover_begin(&agent->handover);
    turnstile_init(&agent->pve_turnstile);
    agent->pve_client = pve_client_new(NULL);
    pve_client_count(agent->pve_client, &agent->tally.proxmox);
    agent->figures = host_figures_new("");
    agent->storage_answers = kept_answers_new();
    if (setup_load(&agent->setup, error) < 0 ||
        privileges_drop(agent->setup->config.paths.state, error) < 0 ||
        load_pins(agent->setup, &agent->pins, error) < 0)
        return -1;
    return store_pool_new(agent->setup->config.paths.state, &agent->stores, error);
}

void agent_close(struct agent *agent)
{
    exporter_free(agent->exporter);
    watch_stop(agent->watch); /* it wakes the others */
    registry_stop(agent->registry);
    hub_stop(agent->hub);
    jobs_stop(agent->jobs);
    host_figures_free(agent->figures);
    pve_client_free(agent->pve_client);
    turnstile_destroy(&agent->pve_turnstile);
    gate_free(agent->gate);
    sweep_clear(&agent->sweep);
    refusals_free(agent->refusals);
    kept_answers_free(agent->storage_answers);
    store_pool_free(agent->stores);
    handover_end(&agent->handover);
    setup_drop(agent->setup);
    (void)pthread_mutex_destroy(&agent->log.lock);
    (void)pthread_mutex_destroy(&agent->lock);
}

static char *pem_file_of(const struct setup *setup)
{
    return mem_format("%s/" PEM_FILE, setup->config.paths.state);
}

static int start_listener(struct agent *agent, const struct setup *setup, struct error *error)
{
    cleanup_free char *pem_file = pem_file_of(setup);
    struct listener *listener;
    struct listener_options settings = {
        .address = setup->address,
        .pem_file = pem_file,
        .threads = setup->config.limits.threads,
        .handshake_ms = setup->config.limits.handshake_ms,
        .request_ms = setup->config.limits.request_ms,
        .gate = agent->gate,
        .tally = &agent->tally,
        .handle = answer_request,
        .handle_error = answer_malformed,
        .context = agent,
    };
    if (handover_socket(&agent->handover, &setup->address, &settings.socket, error) < 0 ||
        listener_start(&settings, &listener, error) < 0)
        return -1;
    atomic_store(&agent->listener, listener);
    watch_admit(agent->watch);
    return 0;
}

/* What the hooks write into each guest's directory comes from here. */
static int refresh_host(struct agent *agent, const struct setup *setup, struct error *error)
{
    struct host host;
    cleanup_store_loan struct store_loan loan = {0};
    if (endpoint_describe_host(&setup->config, &agent->pins, &host, error) < 0 ||
        store_borrow(agent->stores, &loan, error) < 0)
        return -1;
    if (host_put(loan.store, &host, error) == 0)
        return 0;
    store_loan_failed(&loan, error);
    return -1;
}

static void tell_host(struct agent *agent)
{
    struct error error;
    cleanup_setup struct setup *setup = agent_setup(agent);
    agent->untold = refresh_host(agent, setup, &error) < 0;
    if (agent->untold)
        throttled_log_line(&agent->log, LOG_ERR,
                           "guests will not be told of the new configuration: %s", error.message);
}

/* Whether what is shown is another than before: a listener that starts takes what lies there then.
 */
static bool adopt_pins(struct agent *agent)
{
    const struct pins before = agent->pins;
    const struct listener *listener = atomic_load(&agent->listener);
    if (listener)
        listener_pins(listener, &agent->pins);
    return strcmp(agent->pins.leaf, before.leaf) != 0;
}

int agent_start(struct agent *agent, struct error *error)
{
    struct setup *setup = agent->setup;
    const struct gate_callbacks callbacks = {is_enrolled, connection_refused, agent};
    if (setup_locate(setup, error) < 0 || refresh_host(agent, setup, error) < 0)
        return -1;
    agent->gate = gate_new(&setup->config, setup->allow, setup->allow_count, &callbacks);
    agent->jobs = jobs_start(agent);
    agent->hub = hub_start(agent);
    agent->registry = registry_start(agent);
    if (watch_start(agent, &agent->watch, error) < 0)
        return -1;
    if (start_listener(agent, setup, error) < 0)
        return -1;
    if (adopt_pins(agent))
        tell_host(agent);
    agent->exporter = exporter_new(agent);
    exporter_apply(agent->exporter, &setup->config);
    return 0;
}

void agent_stop(struct agent *agent)
{
    watch_dismiss(agent->watch);
    listener_stop(atomic_load(&agent->listener));
    atomic_store(&agent->listener, NULL);
}

static void enforce(struct agent *agent, struct setup *setup)
{
    gate_reconfigure(agent->gate, &setup->config, setup->allow, setup->allow_count);
    setup_drop(swap_setup(agent, setup_hold(setup)));
}

/* An address can be listened on by one listener only: the old one has to go before the new one's
 * luck is known. */
static int replace_listener(struct agent *agent, struct setup *old, struct setup *new,
                            struct error *error)
{
    struct error ignored;
    agent_stop(agent);
    enforce(agent, new);
    if (start_listener(agent, new, error) == 0)
        return 0;
    enforce(agent, old);
    (void)start_listener(agent, old, &ignored);
    return -1;
}

static int renew_certificate(struct agent *agent, const struct setup *setup, struct error *error)
{
    struct pins there;
    struct listener *listener = atomic_load(&agent->listener);
    cleanup_free char *pem_file = pem_file_of(setup);
    if (load_pins(setup, &there, error) < 0)
        return -1;
    if (!listener || strcmp(there.leaf, agent->pins.leaf) == 0)
        return 0;
    return listener_renew(listener, pem_file, error);
}

/* The certificate first: as long as that fails, nothing has changed. */
static int put_in_force(struct agent *agent, struct setup *new, struct error *error)
{
    cleanup_setup struct setup *old = agent_setup(agent);
    if (setup_locate(new, error) < 0 || renew_certificate(agent, new, error) < 0)
        return -1;
    if (setup_moves_listener(old, new))
        return replace_listener(agent, old, new, error);
    enforce(agent, new);
    return 0;
}

static int check_state(const struct setup *old, const struct setup *new, struct error *error)
{
    if (strcmp(old->config.paths.state, new->config.paths.state) == 0)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "paths.state cannot change while felhomd runs: systemctl restart felhomd");
}

/* Before the start there is nothing yet to be kept. */
static int replace_setup(struct agent *agent, struct setup *new)
{
    setup_drop(swap_setup(agent, setup_hold(new)));
    return 0;
}

void agent_wake_workers(const struct agent *agent)
{
    if (agent->jobs)
        jobs_wake(agent->jobs);
    if (agent->hub)
        hub_wake(agent->hub);
    if (agent->registry)
        registry_wake(agent->registry);
}

int agent_reload(struct agent *agent, struct error *error)
{
    cleanup_setup struct setup *new = NULL;
    if (setup_load(&new, error) < 0 || check_state(agent->setup, new, error) < 0)
        return -1;
    if (!agent->gate)
        return replace_setup(agent, new);
    int result = put_in_force(agent, new, error);
    bool other_certificate = adopt_pins(agent);
    if (result == 0) {
        agent_wake_workers(agent);
        exporter_apply(agent->exporter, &new->config);
    }
    if (result == 0 || other_certificate)
        tell_host(agent);
    return result;
}

void agent_follow_identity(struct agent *agent)
{
    struct error error;
    cleanup_setup struct setup *setup = agent_setup(agent);
    if (renew_certificate(agent, setup, &error) < 0)
        throttled_log_line(&agent->log, LOG_ERR, "the certificate shown stays the old one: %s",
                           error.message);
    bool other = adopt_pins(agent);
    if (other)
        log_line(LOG_NOTICE, "another certificate is shown from now on, leaf pin %s",
                 agent->pins.leaf);
    if (other || agent->untold)
        tell_host(agent);
}
