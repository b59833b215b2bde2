/* SPDX-License-Identifier: Apache-2.0 */
/*
 * felhomctl: the operator's command. cli/arguments.c reads the command line, the table here finds
 * the verb, and the verb's own file (cli/verbs/, cli/doctor/) does the work and prints the result.
 * An error is printed once, here. Exits with 0, 1 (the verb failed), 2 (wrong usage) or another
 * status that the verb returned.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/arguments.h"
#include "cli/base/session.h"
#include "cli/base/verb.h"
#include "schema/base/cleanup.h"
#include "schema/base/version.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const struct verb *const verbs[] = {
    &verb_guests, &verb_guest,        &verb_status,   &verb_events,   &verb_explain,
    &verb_init,   &verb_enroll,       &verb_unenroll, &verb_doctor,   &verb_rotate,
    &verb_revoke, &verb_restore_test, &verb_identity, &verb_firewall, &verb_parse,
};
static const struct verb_table table = {verbs, ARRAY_SIZE(verbs)};

static int fail_with(const struct error *error, int status)
{
    (void)fprintf(stderr, "felhomctl: %s\n", error->message);
    return status;
}

/* --quiet: results and warnings go to /dev/null; errors are still printed. */
static int redirect_to_null(struct invocation *invocation, FILE **ret, struct error *error)
{
    *ret = fopen("/dev/null", "we");
    if (!*ret)
        return fail_errno(error, errno, "cannot open /dev/null");
    invocation->out = invocation->warnings = *ret;
    return 0;
}

static int run_verb(struct arguments *arguments, struct error *error)
{
    cleanup_file FILE *nowhere = NULL;
    if (arguments->quiet && redirect_to_null(&arguments->invocation, &nowhere, error) < 0)
        return -1;
    return arguments->verb->run(&arguments->invocation, error);
}

static int run_arguments(struct arguments *arguments, struct error *error)
{
    int status = EXIT_OK;
    if (arguments->help)
        usage_print(stdout, &table, arguments->verb);
    else if (arguments->version)
        (void)printf("felhomctl %s\n", FELHOM_VERSION);
    else if ((status = run_verb(arguments, error)) < 0)
        return -1;
    if (fflush(stdout) == EOF || ferror(stdout))
        return fail(error, ERROR_SYSTEM, "cannot write the output");
    return status;
}

int main(int argc, char **argv)
{
    struct error error = {0};
    const struct verb *verb = NULL;
    cleanup(arguments_free) struct arguments arguments = {
        .invocation = {.out = stdout, .warnings = stderr}};
    if (arguments_parse(&table, argc, argv, &arguments, &verb, &error) < 0) {
        (void)fail_with(&error, EXIT_USAGE);
        usage_print(stderr, &table, verb);
        return EXIT_USAGE;
    }
    session_forbid_stops();
    int status = run_arguments(&arguments, &error);
    return status < 0 ? fail_with(&error, EXIT_FAILED) : status;
}
