/* SPDX-License-Identifier: Apache-2.0 */
#include "server/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/answer.h"
#include "server/base/guest_refresh.h"
#include "server/base/host_figures.h"
#include "server/events/waiters.h"
#include "server/events/wakeup.h"
#include "server/http/refusal.h"
#include "server/http/reply_cache.h"
#include "server/hub/hub.h"
#include "server/jobs/jobs.h"
#include "server/jobs/snapshot_lists.h"
#include "server/metrics/metrics.h"
#include "server/net/gate.h"
#include "server/net/listener.h"
#include "server/net/origin.h"
#include "server/net/witness.h"
#include "server/privileges.h"
#include "server/registry/registry.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/base/nudge.h"
#include "store/db/token_record.h"
#include "store/host/host.h"
#include "store/identity/identity.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

#define PEM_FILE "tls/agent.pem"

bool agent_listens(struct agent *agent)
{
    return atomic_load(&agent->context.listener) != NULL;
}

/* A NIC may have been changed since the guest's configuration was read. */
static bool agent_may_be_mistaken(enum refusal_reason refusal, const struct peer *peer)
{
    return refusal == REFUSAL_STRANGER || refusal == REFUSAL_FOREIGN_HWADDR ||
           (refusal == REFUSAL_NONE && peer->identity == PEER_AMBIGUOUS);
}

/* The gate asks who a connection's peer is. */
static enum refusal_reason agent_identify(int socket, struct peer *peer, void *data)
{
    struct context *context = data;
    struct error error;
    cleanup_server_config struct server_config *config = context_config(context);
    const struct arrival arrival = arrivals_get(context->arrivals, socket);
    const struct peer unknown = *peer;
    uint64_t before = guest_refresh_serial(context->guest_refresh);
    enum refusal_reason refusal =
        origin_check(context->stores, &config->config, &arrival, peer, &error);
    if (agent_may_be_mistaken(refusal, peer)) {
        guest_refresh_look(context->guest_refresh, context->stores, &config->config, &context->log);
        if (guest_refresh_serial(context->guest_refresh) != before) {
            *peer = unknown;
            refusal = origin_check(context->stores, &config->config, &arrival, peer, &error);
        }
    }
    if (refusal == REFUSAL_NONE && peer->identity == PEER_UNKNOWN)
        throttled_log_line(&context->log, LOG_ERR, "a connection's guest could not be found: %s",
                           error.message);
    return refusal;
}

/* The gate reports refused connections here, at most once a minute for each source and reason. */
static void agent_log_refused_connection(const struct peer *peer, enum refusal_reason reason,
                                         uint32_t count, void *data)
{
    struct context *context = data;
    char hwaddr[HWADDR_TEXT_SIZE];
    struct refusal refusal = {.reason = reason, .detail = "connection"};
    hwaddr_format(&peer->hwaddr, hwaddr);
    if (reason == REFUSAL_STRANGER && peer->vmid != 0)
        (void)snprintf(refusal.detail, sizeof refusal.detail,
                       "connection; to let it in: felhomctl enroll %u", peer->vmid);
    else if (reason == REFUSAL_STRANGER)
        (void)snprintf(refusal.detail, sizeof refusal.detail,
                       "connection; a guest not enrolled, macvlan or VRRP inside one, or another "
                       "machine on the link");
    else if (reason == REFUSAL_FOREIGN_HWADDR)
        (void)snprintf(refusal.detail, sizeof refusal.detail, "connection by %s", hwaddr);
    refusal_log(context->stores, peer, &refusal, count);
}

/* Reads the pins of the certificate in STATE/tls. */
static int agent_read_pins(const struct server_config *config, struct pins *ret,
                           struct error *error)
{
    cleanup(identity_free) struct identity identity = {0};
    if (identity_load(config->config.paths.state, &identity, error) == 0) {
        *ret = identity.pins;
        return 0;
    }
    if (error->kind == ERROR_MISSING)
        (void)fail(error, ERROR_MISSING,
                   "there is no TLS identity in %s: run felhomctl init as root",
                   config->config.paths.state);
    return -1;
}

int agent_load_identity(const struct server_config *config, struct pins *ret, struct error *error)
{
    struct pins pins;
    if (agent_read_pins(config, &pins, error) < 0)
        return -1;
    /* ERROR_CONFLICT: `felhomctl identity switch` was interrupted and left another certificate
     * beside the key. The file that holds both is whole, and it is the one that the listener shows.
     */
    if (identity_verify(config->config.paths.state, error) < 0 && error->kind != ERROR_CONFLICT)
        return -1;
    *ret = pins;
    return 0;
}

/* The port is the one that the witness's filter is made for, once and for all. */
static uint16_t agent_port(const struct config *config)
{
    return config->local_api.has_listen ? ntohs(config->local_api.listen.sin_port) : ENDPOINT_PORT;
}

/* Opens the witness. Without the right to do so felhomd goes by the Ethernet address alone, unless
 * the configuration requires more. */
static int agent_open_witness(struct agent *agent, const struct config *config, struct error *error)
{
    struct handover *handover = &agent->handover;
    struct witness **witness = &agent->context.witness;
    uint16_t port = agent_port(config);
    if (config->local_api.source_binding == BINDING_OFF)
        return 0;
    if (witness_adopt(port, &handover->witness, witness) ||
        witness_adopt(port, &handover->packet_socket, witness) ||
        witness_open(port, witness, error) == 0) {
        handover_keep_witness(handover, witness_fd(*witness));
        return 0;
    }
    if (error->kind != ERROR_DENIED || config->local_api.source_binding == BINDING_REQUIRE)
        return -1;
    log_line(LOG_WARNING,
             "%s: guests are told apart by their Ethernet addresses alone, which they can choose: "
             "start felhomd as its unit does",
             error->message);
    return 0;
}

int agent_leave_packet_socket(struct error *error)
{
    struct witness *witness;
    cleanup_server_config struct server_config *config = NULL;
    if (server_config_load(&config, error) < 0)
        return -1;
    if (config->config.local_api.source_binding == BINDING_OFF)
        return 0;
    if (witness_open(agent_port(&config->config), &witness, error) < 0)
        return -1;
    handover_leave_packet_socket(witness_fd(witness));
    witness_close(witness);
    return 0;
}

int agent_open(struct agent *agent, struct error *error)
{
    struct context *context = &agent->context;
    struct server_config *config;
    *agent = (struct agent){0};
    context_init(context);
    handover_begin(&agent->handover);
    context->refusals = refusals_new();
    context->snapshots = snapshot_lists_new(&context->counters.proxmox);
    context->guest_refresh = guest_refresh_new();
    context->figures = host_figures_new("");
    context->storage_cache = reply_cache_new();
    if (server_config_load(&config, error) < 0)
        return -1;
    context_set_config(context, config);
    if (agent_open_witness(agent, &config->config, error) < 0 || privileges_drop_raw(error) < 0 ||
        privileges_drop(config->config.paths.state, error) < 0 ||
        agent_load_identity(config, &agent->pins, error) < 0)
        return -1;
    token_record_use(config->config.paths.run);
    return store_pool_new(config->config.paths.state, &context->stores, error);
}

/* --- the store as a whole --- */

static struct file_mark database_mark_of(const struct config *config)
{
    cleanup_free char *database = mem_format("%s/db/agent.db", config->paths.state);
    return file_mark_of(database);
}

static struct file_mark records_mark_of(const struct config *config)
{
    cleanup_free char *records = token_record_directory(config->paths.run);
    return file_mark_of(records);
}

static int agent_look_for_older(struct store *store, const struct config *config,
                                struct error *error)
{
    struct token_audit found;
    if (token_audit(store, clock_wall_ms(), &found, error) < 0)
        return -1;
    if (found.count == 0)
        return 0;
    log_line(LOG_ERR,
             "the store has gone back to an earlier state, or is damaged: it does not agree with "
             "what this boot has seen of guest %u%s; %d tokens are ended, and running guests get "
             "new ones: see felhomctl doctor",
             found.vmid, found.count > 1 ? " and others" : "", found.ended);
    nudge_send(config->paths.state);
    return 0;
}

static int agent_look_for_lost(struct agent *agent, struct store *store,
                               const struct config *config, struct error *error)
{
    struct token_audit found;
    if (token_audit_lost(store, clock_wall_ms(), &found, error) < 0)
        return -1;
    if (found.count == 0)
        return 0;
    log_line(LOG_ERR,
             "the store was lost: it knows nothing of the tokens of guest %u%s; running guests get "
             "new ones",
             found.vmid, found.count > 1 ? " and others" : "");
    agent->host_unsaved = true;
    nudge_send(config->paths.state);
    return 0;
}

static int agent_audit_store(struct agent *agent, const struct config *config, struct error *error)
{
    cleanup_store_loan struct store_loan loan = {0};
    store_pool_look(agent->context.stores);
    if (store_borrow(agent->context.stores, &loan, error) < 0 ||
        agent_look_for_older(loan.store, config, error) < 0 ||
        agent_look_for_lost(agent, loan.store, config, error) < 0)
        return store_loan_failed(&loan, error);
    return 0;
}

/* How long there must have been no store: whoever puts another in its place may do so in steps. */
#define REMAKE_US (10 * SECOND_US)

static void agent_remake_store(struct agent *agent, const struct config *config)
{
    struct error error;
    cleanup_store struct store *store = NULL;
    int64_t now_us = clock_steady_us();
    if (agent->missing_us == 0)
        agent->missing_us = now_us;
    if (now_us - agent->missing_us < REMAKE_US)
        return;
    if (store_open(config->paths.state, STORE_OPEN_CREATE, SECOND_MS, &store, &error) == 0)
        log_line(LOG_NOTICE, "there was no store any more: a new one was made");
    else
        throttled_log_line(&agent->context.log, LOG_ERR, "no new store can be made: %s",
                           error.message);
}

static void *agent_checkpoint(void *data)
{
    struct agent *agent = data;
    struct checkpointer *checkpointer = &agent->checkpointer;
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    cleanup_server_config struct server_config *config = context_config(&agent->context);
    if (store_borrow_writer(agent->context.stores, &loan, &error) == 0) {
        checkpointer->before = database_mark_of(&config->config);
        store_checkpoint(loan.store);
        checkpointer->after = database_mark_of(&config->config);
    }
    atomic_store(&checkpointer->ended, true);
    return NULL;
}

static bool log_has_commits(const struct config *config)
{
    struct stat status;
    cleanup_free char *log = mem_format("%s/db/agent.db-wal", config->paths.state);
    return stat(log, &status) == 0 && status.st_size > 0;
}

static void checkpointer_join(struct checkpointer *checkpointer)
{
    if (checkpointer->started)
        (void)pthread_join(checkpointer->thread, NULL);
    checkpointer->started = false;
}

/* The checkpoint changed the file, but not what it says: that need not be audited again. */
static void agent_end_checkpoint(struct agent *agent)
{
    struct checkpointer *checkpointer = &agent->checkpointer;
    if (!checkpointer->started || !atomic_load(&checkpointer->ended))
        return;
    checkpointer_join(checkpointer);
    if (checkpointer->before.inode == checkpointer->after.inode &&
        file_mark_equals(&checkpointer->before, &agent->audited.database))
        agent->audited.database = checkpointer->after;
}

/* How long commits may be in the log alone. */
#define CHECKPOINT_US (30 * SECOND_US)

static void agent_start_checkpoint(struct agent *agent)
{
    struct checkpointer *checkpointer = &agent->checkpointer;
    if (checkpointer->started)
        return;
    checkpointer->due_us = clock_steady_us() + CHECKPOINT_US;
    checkpointer->before = checkpointer->after = (struct file_mark){0};
    atomic_store(&checkpointer->ended, false);
    checkpointer->started =
        pthread_create(&checkpointer->thread, NULL, agent_checkpoint, agent) == 0;
}

/* Guests can bring the store into doubt by what they present, but not more often than this. */
#define DOUBT_PAUSE_US SECOND_US

static bool agent_has_to_audit(struct agent *agent, const struct config *config)
{
    const struct file_mark database = database_mark_of(config);
    const struct file_mark records = records_mark_of(config);
    if (!file_mark_equals(&database, &agent->audited.database) ||
        !file_mark_equals(&records, &agent->audited.records))
        return true;
    return clock_steady_us() - agent->audited_us >= DOUBT_PAUSE_US &&
           atomic_load(&agent->context.store_in_doubt);
}

/* What cannot be audited is refused: the mark stays, so that it is tried again. */
void agent_watch_store(struct agent *agent)
{
    struct error error;
    cleanup_server_config struct server_config *config = context_config(&agent->context);
    agent_end_checkpoint(agent);
    if (agent_has_to_audit(agent, &config->config)) {
        const struct file_mark database = database_mark_of(&config->config);
        bool other = agent->audited_us != 0 && database.inode != agent->audited.database.inode;
        atomic_store(&agent->context.store_in_doubt, false);
        agent->audited_us = clock_steady_us();
        if (agent_audit_store(agent, &config->config, &error) == 0) {
            agent->audited.database = database_mark_of(&config->config);
            agent->audited.records = records_mark_of(&config->config);
            agent->missing_us = 0;
            agent->host_unsaved |= other;
        } else {
            throttled_log_line(&agent->context.log, LOG_ERR, "the store cannot be audited: %s",
                               error.message);
            if (error.kind == ERROR_MISSING)
                agent_remake_store(agent, &config->config);
        }
    }
    if (clock_steady_us() >= agent->checkpointer.due_us && log_has_commits(&config->config))
        agent_start_checkpoint(agent);
}

/* What is known of connections that the next felhomd will accept. */
static void agent_leave_notes(struct agent *agent)
{
    cleanup_close int notes = agent->context.witness ? witness_save(agent->context.witness) : -1;
    if (notes >= 0)
        handover_keep_notes(notes);
}

/* The waiters are stopped before the workers, because their thread wakes the workers. */
void agent_close(struct agent *agent)
{
    struct context *context = &agent->context;
    checkpointer_join(&agent->checkpointer);
    exporter_free(agent->exporter);
    waiters_stop(context->waiters);
    registry_stop(context->registry);
    hub_stop(context->hub);
    jobs_stop(context->jobs);
    host_figures_free(context->figures);
    snapshot_lists_free(context->snapshots);
    gate_free(context->gate);
    refusals_free(context->refusals);
    reply_cache_free(context->storage_cache);
    guest_refresh_free(context->guest_refresh);
    arrivals_free(context->arrivals);
    agent_leave_notes(agent);
    witness_close(context->witness);
    store_pool_free(context->stores);
    handover_end(&agent->handover);
    context_destroy(context);
}

static char *pem_file_of(const struct server_config *config)
{
    return mem_format("%s/" PEM_FILE, config->config.paths.state);
}

/* Has the witness note the SYNs to this address. */
static void agent_watch_address(struct agent *agent, const struct server_config *config)
{
    struct syn_end end;
    syn_end_set(&end, (const struct sockaddr *)&config->address);
    if (agent->context.witness)
        witness_watch(agent->context.witness, &end, 1);
}

/* Starts a listener with this configuration, on the socket of server/systemd/handover.h, which
 * outlives the listener. */
static int agent_start_listener(struct agent *agent, const struct server_config *config,
                                struct error *error)
{
    cleanup_free char *pem_file = pem_file_of(config);
    struct listener *listener;
    struct listener_options options = {
        .address = config->address,
        .pem_file = pem_file,
        .threads = config->config.limits.threads,
        .handshake_ms = config->config.limits.handshake_ms,
        .request_ms = config->config.limits.request_ms,
        .arrivals = agent->context.arrivals,
        .gate = agent->context.gate,
        .counters = &agent->context.counters,
        .handle = answer_request,
        .handle_error = answer_malformed,
        .context = &agent->context,
    };
    agent_watch_address(agent, config);
    if (handover_socket(&agent->handover, &config->address, &options.socket, error) < 0 ||
        arrival_prepare(options.socket, error) < 0 ||
        listener_start(&options, &listener, error) < 0)
        return -1;
    atomic_store(&agent->context.listener, listener);
    waiters_resume(agent->context.waiters);
    return 0;
}

/* Writes the description of the host to the store, from which the hooks write it into the
 * directory of each guest. */
static int agent_write_host(struct agent *agent, const struct server_config *config,
                            struct error *error)
{
    struct host host;
    cleanup_store_loan struct store_loan loan = {0};
    if (host_describe(&config->config, &agent->pins, &host, error) < 0 ||
        store_borrow(agent->context.stores, &loan, error) < 0)
        return -1;
    if (host_put(loan.store, &host, error) == 0)
        return 0;
    return store_loan_failed(&loan, error);
}

/* Does the same as agent_write_host. If the store fails, host_unsaved makes
 * agent_follow_identity try again. */
static void agent_save_host(struct agent *agent)
{
    struct error error;
    cleanup_server_config struct server_config *config = context_config(&agent->context);
    agent->host_unsaved = agent_write_host(agent, config, &error) < 0;
    if (agent->host_unsaved)
        throttled_log_line(&agent->context.log, LOG_ERR,
                           "guests will not be told of the new configuration: %s", error.message);
}

/* Updates agent->pins to the certificate that the listener shows. True if it is another than
 * before: a listener that starts takes the certificate that lies in STATE/tls then. */
static bool agent_update_pins(struct agent *agent)
{
    const struct pins before = agent->pins;
    const struct listener *listener = atomic_load(&agent->context.listener);
    if (listener)
        listener_pins(listener, &agent->pins);
    return strcmp(agent->pins.leaf, before.leaf) != 0;
}

int agent_locate(struct agent *agent, struct error *error)
{
    return server_config_locate(agent->context.config, error);
}

/* The address is known before the first SYN is read. Notes that were taken over serve once. */
static int agent_start_witness(struct agent *agent, const struct server_config *config,
                               struct error *error)
{
    struct witness *witness = agent->context.witness;
    if (!witness)
        return 0;
    agent_watch_address(agent, config);
    if (agent->handover.notes >= 0) {
        witness_load(witness, agent->handover.notes);
        handover_drop_notes(&agent->handover);
    }
    return witness_start(witness, error);
}

/* Whoever keeps the last good agent.yaml for felhom-hook goes by this. */
static void agent_note_taken(const struct server_config *config)
{
    struct error error;
    if (config_file_note_taken(config->config.paths.state, config->mark, &error) < 0)
        log_line(LOG_WARNING, "agent.yaml will not be kept for felhom-hook: %s", error.message);
}

int agent_start(struct agent *agent, struct error *error)
{
    const struct server_config *config = agent->context.config;
    const struct gate_callbacks callbacks = {agent_identify, agent_log_refused_connection,
                                             &agent->context};
    if (agent_write_host(agent, config, error) < 0)
        return -1;
    agent->checkpointer.due_us = clock_steady_us() + CHECKPOINT_US;
    agent_watch_store(agent);
    if (agent_start_witness(agent, config, error) < 0)
        return -1;
    agent->context.arrivals = arrivals_new(agent->context.witness);
    agent->context.gate = gate_new(&config->config, config->allow, config->allow_count, &callbacks);
    agent->context.jobs = jobs_start(&agent->context);
    agent->context.hub = hub_start(&agent->context);
    agent->context.registry = registry_start(&agent->context);
    if (waiters_start(&agent->context, &agent->context.waiters, error) < 0)
        return -1;
    if (agent_start_listener(agent, config, error) < 0)
        return -1;
    if (agent_update_pins(agent))
        agent_save_host(agent);
    agent->exporter = exporter_new(&agent->context);
    exporter_apply(agent->exporter, &config->config);
    agent_note_taken(config);
    return 0;
}

void agent_stop(struct agent *agent)
{
    waiters_pause(agent->context.waiters);
    listener_stop(atomic_load(&agent->context.listener));
    atomic_store(&agent->context.listener, NULL);
}

/* Puts the configuration in force for everything but the listener. */
static void agent_set_config(struct agent *agent, struct server_config *config)
{
    gate_reconfigure(agent->context.gate, &config->config, config->allow, config->allow_count);
    context_set_config(&agent->context, server_config_ref(config));
}

/* Only one listener can listen on an address: the old one has to stop before it is known whether
 * the new one starts. */
static int agent_replace_listener(struct agent *agent, struct server_config *old,
                                  struct server_config *new, struct error *error)
{
    struct error ignored;
    agent_stop(agent);
    agent_set_config(agent, new);
    if (agent_start_listener(agent, new, error) == 0)
        return 0;
    agent_set_config(agent, old);
    (void)agent_start_listener(agent, old, &ignored);
    return -1;
}

/* Has the listener show the certificate in STATE/tls, if that is another than the one shown. */
static int agent_renew_certificate(struct agent *agent, const struct server_config *config,
                                   struct error *error)
{
    struct pins there;
    struct listener *listener = atomic_load(&agent->context.listener);
    cleanup_free char *pem_file = pem_file_of(config);
    if (agent_read_pins(config, &there, error) < 0)
        return -1;
    if (!listener || strcmp(there.leaf, agent->pins.leaf) == 0)
        return 0;
    return listener_renew(listener, pem_file, error);
}

/* Renews the certificate first, because nothing has changed yet if that fails. */
static int agent_apply_config(struct agent *agent, struct server_config *new, struct error *error)
{
    cleanup_server_config struct server_config *old = context_config(&agent->context);
    if (server_config_locate(new, error) < 0 || agent_renew_certificate(agent, new, error) < 0)
        return -1;
    if (server_config_moves_listener(old, new)) {
        /* Both listeners would read the key anew, and without it none could be started. */
        struct pins ignored;
        return agent_load_identity(new, &ignored, error) < 0
                   ? -1
                   : agent_replace_listener(agent, old, new, error);
    }
    agent_set_config(agent, new);
    return 0;
}

/* Refuses a configuration with another state directory, because the store is open in the old one,
 * and one for which the witness would have to be opened, because the right to do so is gone. */
static int agent_check_unchanging(const struct agent *agent, const struct server_config *new,
                                  struct error *error)
{
    const struct config *old = &agent->context.config->config;
    const struct witness *witness = agent->context.witness;
    if (strcmp(old->paths.state, new->config.paths.state) != 0)
        return fail(error, ERROR_CONFLICT,
                    "paths.state cannot change while felhomd runs: systemctl restart felhomd");
    if (strcmp(old->paths.run, new->config.paths.run) != 0)
        return fail(error, ERROR_CONFLICT,
                    "paths.run cannot change while felhomd runs: systemctl restart felhomd");
    if (witness && witness_port(witness) != agent_port(&new->config))
        return fail(error, ERROR_CONFLICT,
                    "the port of local_api cannot change while felhomd runs: systemctl restart "
                    "felhomd");
    if (!witness && new->config.local_api.source_binding != old->local_api.source_binding &&
        (old->local_api.source_binding == BINDING_OFF ||
         new->config.local_api.source_binding == BINDING_REQUIRE))
        return fail(error, ERROR_CONFLICT,
                    "local_api.source_binding cannot change like this while felhomd runs: "
                    "systemctl restart felhomd");
    return 0;
}

int agent_reload(struct agent *agent, struct error *error)
{
    cleanup_server_config struct server_config *new = NULL;
    if (server_config_load(&new, error) < 0 || agent_check_unchanging(agent, new, error) < 0)
        return -1;
    if (!agent->context.gate) {
        /* The agent has not started: no thread uses the old configuration. */
        context_set_config(&agent->context, server_config_ref(new));
        return 0;
    }
    int result = agent_apply_config(agent, new, error);
    bool other_certificate = agent_update_pins(agent);
    if (result == 0) {
        wakeup_workers(&agent->context);
        exporter_apply(agent->exporter, &new->config);
        agent_note_taken(new);
    }
    if (result == 0 || other_certificate)
        agent_save_host(agent);
    return result;
}

/* True if agent_follow_identity has nothing to do. */
static bool agent_identity_is_settled(struct agent *agent, const struct server_config *config)
{
    bool moved = identity_mark_moved(&agent->identity, config->config.paths.state);
    return !moved && agent->identity.inode != 0 && !agent->identity_failed && !agent->host_unsaved;
}

void agent_follow_identity(struct agent *agent)
{
    struct error error;
    cleanup_server_config struct server_config *config = context_config(&agent->context);
    if (agent_identity_is_settled(agent, config))
        return;
    agent->identity_failed = agent_renew_certificate(agent, config, &error) < 0;
    if (agent->identity_failed)
        throttled_log_line(&agent->context.log, LOG_ERR,
                           "the certificate shown stays the old one: %s", error.message);
    bool other = agent_update_pins(agent);
    if (other)
        log_line(LOG_NOTICE, "another certificate is shown from now on, leaf pin %s",
                 agent->pins.leaf);
    if (other || agent->host_unsaved)
        agent_save_host(agent);
}
