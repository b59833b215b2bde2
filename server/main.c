/* SPDX-License-Identifier: Apache-2.0 */
/* felhomd: serves the local API to the guests of this host. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "schema/base/version.h"
#include "server/check.h"
#include "server/daemon.h"
#include "server/privileges.h"
#include "store/base/log.h"

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
