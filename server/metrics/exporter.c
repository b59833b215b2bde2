/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/exporter.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/agent.h"
#include "server/base/worker.h"
#include "server/metrics/exposition.h"
#include "server/metrics/hook_tally.h"
#include "server/metrics/metrics_file.h"
#include "server/metrics/metrics_listener.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#define FILE_EVERY_US ((int64_t)15 * 1000000)

struct exporter {
    struct exposition exposition;
    struct hook_tally hooks;

    struct metrics_listener *listener; /* NULL: there is none */
    struct sockaddr_in address;        /* of it */

    struct worker *worker; /* of the file; NULL: there is none */
    char problem[512];     /* of the last file, told already; the worker's */
};

struct exporter *exporter_new(struct agent *agent)
{
    struct exporter *exporter = mem_new(struct exporter);
    exporter->hooks = HOOK_TALLY_NEW;
    exporter->exposition = (struct exposition){
        .agent = agent,
        .hooks = &exporter->hooks,
        .started_ms = clock_wall_ms(),
    };
    return exporter;
}

void exporter_free(struct exporter *exporter)
{
    if (!exporter)
        return;
    metrics_listener_stop(exporter->listener);
    worker_stop(exporter->worker);
    (void)pthread_mutex_destroy(&exporter->hooks.lock);
    free(exporter);
}

/* --- the file --- */

/* What lasts is told once. */
static void tell_problem(struct exporter *exporter, const struct error *error)
{
    if (strcmp(exporter->problem, error->message) == 0)
        return;
    memcpy(exporter->problem, error->message, sizeof exporter->problem);
    throttled_log_line(&exporter->exposition.agent->log, LOG_ERR,
                       "the metrics could not be written: %s", error->message);
}

static int64_t write_file(void *context)
{
    struct error error;
    struct exporter *exporter = context;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_setup struct setup *setup = agent_setup(exporter->exposition.agent);
    exposition_write(&exporter->exposition, &text);
    if (metrics_file_replace(setup->config.metrics.textfile, &text, &error) < 0)
        tell_problem(exporter, &error);
    else
        exporter->problem[0] = '\0';
    return FILE_EVERY_US;
}

/* The worker looks by itself where the file lies now, so it starts anew to do so at once. */
static void apply_file(struct exporter *exporter, const char *path)
{
    worker_stop(exporter->worker);
    exporter->problem[0] = '\0';
    exporter->worker = *path ? worker_start("metrics", write_file, exporter) : NULL;
}

/* --- the listener --- */

static bool is_listening_on(const struct exporter *exporter, const struct sockaddr_in *address)
{
    return exporter->listener && exporter->address.sin_port == address->sin_port &&
           exporter->address.sin_addr.s_addr == address->sin_addr.s_addr;
}

static void start_listener(struct exporter *exporter, const struct sockaddr_in *address)
{
    struct error error;
    exporter->address = *address;
    if (metrics_listener_start(address, &exporter->exposition, &exporter->listener, &error) < 0)
        log_line(LOG_ERR, "there are no metrics: %s", error.message);
}

static void apply_listener(struct exporter *exporter, const struct config *config)
{
    if (config->metrics.has_listen && is_listening_on(exporter, &config->metrics.listen))
        return;
    metrics_listener_stop(steal(exporter->listener));
    if (config->metrics.has_listen)
        start_listener(exporter, &config->metrics.listen);
}

/* --- both --- */

/* The hooks' phases count from here on; where the store is away, from the first look on. */
static void begin_counting(struct exporter *exporter)
{
    struct error error;
    cleanup_store_loan struct store_loan loan = {0};
    if (store_borrow(exporter->exposition.agent->stores, &loan, &error) < 0 ||
        hook_tally_catch_up(&exporter->hooks, loan.store, &error) < 0)
        store_loan_failed(&loan, &error);
}

void exporter_apply(struct exporter *exporter, const struct config *config)
{
    if (config->metrics.has_listen || *config->metrics.textfile)
        begin_counting(exporter);
    apply_listener(exporter, config);
    apply_file(exporter, config->metrics.textfile);
}
