/* SPDX-License-Identifier: Apache-2.0 */
/* felhomd: serves the local API to the guests of this host. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "schema/base/version.h"
#include "server/agent.h"
#include "server/base/server_config.h"
#include "server/daemon.h"
#include "server/privileges.h"
#include "store/base/log.h"
#include "store/db/store.h"
#include "store/files/config_file.h"

/* felhomd --check: would it start? */

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

/* felhomd waits for an address that is not there yet, so that is no error. */
static bool check_address(struct server_config *setup, FILE *out)
{
    struct error error;
    if (server_config_locate(setup, &error) == 0) {
        char host[INET_ADDRSTRLEN];
        (void)inet_ntop(AF_INET, &setup->address.sin_addr, host, sizeof host);
        (void)fprintf(out, "ok: address %s:%u\n", host, ntohs(setup->address.sin_port));
        return true;
    }
    if (error.kind != ERROR_MISSING)
        return report_error(out, &error);
    (void)fprintf(out, "warning: %s: felhomd will wait for it\n", error.message);
    return true;
}

/* Writes one line for each finding, "ok: ...", "warning: ..." or "error: ...", and changes nothing.
 * False if one is an error. */
static bool check_run(FILE *out)
{
    struct error error;
    cleanup_server_config struct server_config *setup = NULL;
    if (server_config_load(&setup, &error) < 0)
        return report_error(out, &error);
    (void)fprintf(out, "ok: configuration %s\n", config_file_path());
    bool address = check_address(setup, out);
    bool store = check_store(&setup->config, out);
    bool identity = check_identity(setup, out);
    return address && store && identity;
}

#define EXIT_USAGE 2

static const char usage[] = "Usage: felhomd [--check | --version | --help]\n"
                            "Serves the local API to the guests of this host.\n"
                            "\n"
                            "  --check    say whether felhomd would start, and change nothing\n"
                            "  --version  print the version\n"
                            "  --help     print this text\n";

enum action { ACTION_RUN, ACTION_CHECK, ACTION_VERSION, ACTION_HELP, ACTION_INVALID };

static enum action parse_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"check", no_argument, NULL, ACTION_CHECK},
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

static int run(void)
{
    struct error error;
    privileges_seal();
    if (daemon_run(&error) == 0)
        return EXIT_SUCCESS;
    log_line(LOG_ERR, "felhomd: %s", error.message);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    switch (parse_arguments(argc, argv)) {
    case ACTION_RUN:
        return run();
    case ACTION_CHECK:
        return check_run(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
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
