/* SPDX-License-Identifier: Apache-2.0 */
/* identity: what guests pin, and the steps by which it becomes another. */
#include <mbedtls/x509_crt.h>

#include "cli/output.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "cli/verbs/identity_step.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/identity/rollover.h"
#include "store/tables/host.h"

enum { OPTION_PEM };
static const struct verb_option options[] = {
    [OPTION_PEM] = {"pem", NULL, "print the certificate alone, in PEM"},
};

static void put_date(json_t *report, const char *key, const mbedtls_x509_time *at)
{
    cleanup_free char *text = mem_format("%04d-%02d-%02dT%02d:%02d:%02dZ", at->year, at->mon,
                                         at->day, at->hour, at->min, at->sec);
    output_put_text(report, key, text);
}

static int put_validity(json_t *report, const struct buffer *pem, struct error *error)
{
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    if (mbedtls_x509_crt_parse(&certificate, (const unsigned char *)buffer_text(pem),
                               pem->length + 1) != 0)
        return fail(error, ERROR_CORRUPT, "the certificate cannot be read");
    put_date(report, "valid_from", &certificate.valid_from);
    put_date(report, "valid_to", &certificate.valid_to);
    return 0;
}

static void put_pins(json_t *report, const char *which, const struct identity *identity)
{
    cleanup_free char *spki = mem_format("%s_pin_spki_sha256", which);
    cleanup_free char *leaf = mem_format("%s_pin_leaf_sha256", which);
    if (!rollover_has(identity))
        return;
    output_put_text(report, spki, identity->pins.spki);
    output_put_text(report, leaf, identity->pins.leaf);
}

static void put_rollover(json_t *report, const struct rollover *rollover, const struct pins *told)
{
    put_pins(report, "next", &rollover->next);
    put_pins(report, "previous", &rollover->previous);
    output_put_text(report, "next_step", identity_step_next(rollover, told));
}

static int show(const struct invocation *invocation, const struct session *session,
                const struct rollover *rollover, struct error *error)
{
    struct host host;
    if (host_get(session->store, &host, error) < 0)
        return -1;
    const struct pins told = host.pins;
    /* The certificate as it lies there is the truth; a store restored from elsewhere may differ. */
    host.pins = rollover->current.pins;
    cleanup_json json_t *report = host_report(&session->config, &host);
    if (put_validity(report, &rollover->current.certificate_pem, error) < 0)
        return -1;
    put_rollover(report, rollover, &told);
    if (invocation->format != OUTPUT_TEXT)
        output_value(invocation, report);
    else
        host_report_print(invocation->out, report);
    return 0;
}

static int look(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup(rollover_free) struct rollover rollover = {0};
    if (session_open(&session, error) < 0 ||
        rollover_load(session.config.paths.state, &rollover, error) < 0)
        return -1;
    if (!invocation->values[OPTION_PEM])
        return show(invocation, &session, &rollover, error);
    (void)fputs(buffer_text(&rollover.current.certificate_pem), invocation->out);
    return 0;
}

static int run(const struct invocation *invocation, struct error *error)
{
    if (!invocation->word)
        return look(invocation, error);
    if (invocation->values[OPTION_PEM])
        return fail(error, ERROR_INVALID, "identity: --pem goes with no step");
    return identity_step_run(invocation, error);
}

const struct verb verb_identity = {
    .name = "identity",
    .operand = OPERAND_WORD_OR_NONE,
    .words = IDENTITY_STEPS,
    .help = "Show the host's endpoint, pins and certificate, or take a step to another certificate",
    .run = run,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
