/* SPDX-License-Identifier: Apache-2.0 */
/* identity: what guests pin. */
#include <mbedtls/x509_crt.h>

#include "cli/host_report.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "schema/cleanup.h"
#include "schema/memory.h"
#include "store/host.h"
#include "store/identity.h"

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

static int show(const struct invocation *invocation, const struct session *session,
                const struct identity *identity, struct error *error)
{
    struct host host;
    if (host_get(session->store, &host, error) < 0)
        return -1;
    /* The certificate as it lies there is the truth; a store restored from elsewhere may differ. */
    host.pins = identity->pins;
    cleanup_json json_t *report = host_report(&session->config, &host);
    if (put_validity(report, &identity->certificate_pem, error) < 0)
        return -1;
    if (invocation->format != OUTPUT_TEXT)
        output_value(invocation, report);
    else
        host_report_print(invocation->out, report);
    return 0;
}

static int run(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup(identity_free) struct identity identity = {0};
    if (session_open(&session, error) < 0 ||
        identity_load(session.config.paths.state, &identity, error) < 0)
        return -1;
    if (!invocation->values[OPTION_PEM])
        return show(invocation, &session, &identity, error);
    (void)fputs(buffer_text(&identity.certificate_pem), invocation->out);
    return 0;
}

const struct verb verb_identity = {
    .name = "identity",
    .help = "Show the host's endpoint, pins and certificate",
    .run = run,
    .options = options,
    .option_count = ARRAY_SIZE(options),
};
