/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/chain.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/config_file.h"

#define PROXMOX_PATH "/sbin:/bin:/usr/sbin:/usr/bin"

/* True if the text has a chain as felhomctl writes it, whatever else is in the file. */
static bool names_a_chain(const char *enrolment)
{
    return strncmp(enrolment, "chain:", 6) == 0 || strstr(enrolment, "\nchain:");
}

/*
 * The volume id of the chained hookscript, "" where none is chained; the caller frees it. An
 * enrolment with other mistakes makes no difference; one whose chain cannot be read counts as one
 * whose hookscript is missing.
 */
static int read_volume(const struct reaction *reaction, char **ret, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (config_file_read_enrolment(reaction->config, reaction->vmid, &text, error) < 0)
        return -1;
    /* Nearly always there is none, and a start must be quick. */
    if (!strstr(buffer_text(&text), "chain")) {
        *ret = mem_copy_text("");
        return 0;
    }
    if (enrolment_parse("enrolment", buffer_text(&text), text.length, &enrolment, error) < 0) {
        enrolment_salvage(buffer_text(&text), text.length, &enrolment);
        reaction->report->chained = names_a_chain(buffer_text(&text));
        if (reaction->report->chained && !*enrolment.chain)
            return -1;
    }
    *ret = steal(enrolment.chain);
    return 0;
}

static int find_chain_path(const struct reaction *reaction, const char *volume, struct error *error)
{
    struct report *report = reaction->report;
    cleanup_free char *path = NULL;
    if (config_file_hookscript_path(reaction->config, volume, &path, error) < 0)
        return -1;
    if (strlen(path) >= sizeof report->chain)
        return fail(error, ERROR_INVALID, "the path of %.200s is too long", volume);
    memcpy(report->chain, path, strlen(path) + 1);
    return 0;
}

void chain_find(struct reaction *reaction)
{
    struct error error;
    cleanup_free char *volume = NULL;
    int result = read_volume(reaction, &volume, &error);
    if (result == 0 && !*volume)
        return;
    reaction->report->chained |= result == 0;
    if (result == 0)
        result = find_chain_path(reaction, volume, &error);
    if (result < 0)
        report_problem(reaction->report, "the chained hookscript cannot be found: %s",
                       error.message);
}

/* Undoes clean_surroundings (hooks/main.c), so that the hookscript runs as if Proxmox had started
 * it. */
static void restore_surroundings(void)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)umask(022);
    (void)unsetenv(CONFIG_FILE_VARIABLE);
    (void)unsetenv("TZ");
    (void)setenv("PATH", PROXMOX_PATH, 1);
}

int chain_run(const struct report *report, uint32_t vmid, const char *phase)
{
    if (!report->chained)
        return EXIT_SUCCESS;
    if (!*report->chain)
        return EXIT_FAILURE;
    cleanup_free char *path = mem_copy_text(report->chain);
    cleanup_free char *vmid_text = mem_format("%u", vmid);
    cleanup_free char *phase_text = mem_copy_text(phase);
    char *const argv[] = {path, vmid_text, phase_text, NULL};
    restore_surroundings();
    (void)execv(path, argv);
    (void)fprintf(stderr, "felhom-hook: cannot run the chained hookscript %s: %s\n", path,
                  strerror(errno));
    return EXIT_FAILURE;
}
