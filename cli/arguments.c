/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/arguments.h"

#include <ctype.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"
#include "store/tables/event.h"

#define WORD_MAX 32 /* longer words get no suggestion */

static unsigned int least(unsigned int a, unsigned int b, unsigned int c)
{
    unsigned int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein distance, row by row. b is at most WORD_MAX long. */
static unsigned int edit_distance(const char *a, const char *b)
{
    unsigned int row[WORD_MAX + 1];
    size_t width = strlen(b);
    for (unsigned int j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned int i = 0; a[i]; i++) {
        unsigned int diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            unsigned int above = row[j + 1];
            row[j + 1] = least(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[width];
}

/* The most edits that still count as a typing slip: a third of the word, but at least two. */
static unsigned int tolerance(const char *word)
{
    unsigned int third = (unsigned int)strlen(word) / 3;
    return third > 2 ? third : 2;
}

/* Returns the candidate with the smallest edit distance to text; NULL if none is close. */
static const char *suggest(const char *text, const char *const *candidates, size_t count)
{
    const char *suggestion = NULL;
    unsigned int best = WORD_MAX;
    if (strlen(text) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned int found = edit_distance(candidates[i], text);
        if (found < best && found <= tolerance(candidates[i])) {
            best = found;
            suggestion = candidates[i];
        }
    }
    return suggestion;
}

enum {
    OPTION_FORMAT = 256, /* greater than any character */
    OPTION_QUIET,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_OF_VERB, /* and those after it */
};

/* What getopt_long returns besides the options' own values. */
enum { ANSWER_OPERAND = 1, ANSWER_UNKNOWN = '?' /* and ':' for one without its value */ };

static const struct option global_options[] = {
    {"output-format", required_argument, NULL, OPTION_FORMAT},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
};
#define GLOBAL_COUNT ARRAY_SIZE(global_options)

#define NO_CHOICE     (-1)
#define NUMBER_DIGITS 18 /* any number of so many digits fits an int64_t */

/* Returns the index of text among the choices "a|b|c"; NO_CHOICE if it is none of them. */
static int find_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    const char *choice = choices;
    for (int i = 0;; i++) {
        size_t n = strcspn(choice, "|");
        if (n == length && strncmp(choice, text, n) == 0)
            return i;
        if (choice[n] == '\0')
            return NO_CHOICE;
        choice += n + 1;
    }
}

static int check_choice(const char *option, const char *choices, const char *text,
                        struct error *error)
{
    if (!strchr(choices, '|') || find_choice(choices, text) != NO_CHOICE)
        return 0;
    return fail(error, ERROR_INVALID, "--%s: '%.100s' is not one of %s", option, text, choices);
}

static int check_number(const char *option, const char *text, struct error *error)
{
    if (*text && strlen(text) <= NUMBER_DIGITS && strspn(text, "0123456789") == strlen(text))
        return 0;
    return fail(error, ERROR_INVALID, "--%s: '%.100s' is not a whole number", option, text);
}

static int check_value(const struct verb_option *option, const char *text, struct error *error)
{
    if (!option->argument)
        return 0;
    if (strcmp(option->argument, "N") == 0 || strcmp(option->argument, "SEQ") == 0)
        return check_number(option->name, text, error);
    return check_choice(option->name, option->argument, text, error);
}

static int take_verb_option(size_t index, struct arguments *arguments, struct error *error)
{
    const struct verb_option *option = &arguments->verb->options[index];
    if (check_value(option, optarg, error) < 0)
        return -1;
    arguments->invocation.values[index] = option->argument ? optarg : "";
    return 0;
}

static int take_format(struct arguments *arguments, struct error *error)
{
    if (check_choice("output-format", OUTPUT_FORMATS, optarg, error) < 0)
        return -1;
    arguments->invocation.format = (enum output_format)find_choice(OUTPUT_FORMATS, optarg);
    return 0;
}

/* For an unknown single letter getopt_long sets optopt to it; for an unknown word, to 0. */
static int refuse_option(char *const *argv, struct error *error)
{
    if (optopt > 0 && optopt < 256 && isprint(optopt))
        return fail(error, ERROR_INVALID, "unknown option '-%c'", optopt);
    if (optopt >= OPTION_FORMAT)
        return fail(error, ERROR_INVALID, "option '%.100s' takes no value", argv[optind - 1]);
    return fail(error, ERROR_INVALID, "unknown option '%.100s'", argv[optind - 1]);
}

static int take_option(int answer, char *const *argv, struct arguments *arguments,
                       struct error *error)
{
    switch (answer) {
    case OPTION_FORMAT:
        return take_format(arguments, error);
    case OPTION_QUIET:
        arguments->quiet = true;
        return 0;
    case OPTION_HELP:
        arguments->help = true;
        return 0;
    case OPTION_VERSION:
        arguments->version = true;
        return 0;
    case ANSWER_UNKNOWN:
        return refuse_option(argv, error);
    default:
        return fail(error, ERROR_INVALID, "option '%.100s' needs a value", argv[optind - 1]);
    }
}

static int take_global_options(int argc, char **argv, struct arguments *arguments,
                               struct error *error)
{
    struct option options[GLOBAL_COUNT + 1] = {0};
    int answer;
    memcpy(options, global_options, sizeof global_options);
    optind = 0; /* makes glibc's getopt_long start again */
    while ((answer = getopt_long(argc, argv, "+:", options, NULL)) != -1)
        if (take_option(answer, argv, arguments, error) < 0)
            return -1;
    return 0;
}

/* Returns NULL, with *error filled in, if there is no verb of that name. */
static const struct verb *find_verb(const struct verb_table *table, const char *name,
                                    struct error *error)
{
    cleanup_free const char **names = mem_new_array(table->count, sizeof *names);
    for (size_t i = 0; i < table->count; i++) {
        names[i] = table->verbs[i]->name;
        if (strcmp(names[i], name) == 0)
            return table->verbs[i];
    }
    const char *suggestion = suggest(name, names, table->count);
    (void)fail(error, ERROR_INVALID, "unknown verb '%.50s'%s%s%s", name,
               suggestion ? ": did you mean '" : "", suggestion ? suggestion : "",
               suggestion ? "'?" : "");
    return NULL;
}

static int take_request_id(const char *text, struct arguments *arguments, struct error *error)
{
    if (strlen(text) != REQUEST_ID_LENGTH || strspn(text, "0123456789abcdef") != REQUEST_ID_LENGTH)
        return fail(error, ERROR_INVALID,
                    "%s: '%.50s' is not a request ID (16 hexadecimal digits, from the reply's "
                    "X-Request-Id)",
                    arguments->verb->name, text);
    arguments->invocation.request_id = text;
    return 0;
}

static int take_word(const char *text, struct arguments *arguments, struct error *error)
{
    const struct verb *verb = arguments->verb;
    if (find_choice(verb->words, text) == NO_CHOICE)
        return fail(error, ERROR_INVALID, "%s: '%.50s' is not one of %s", verb->name, text,
                    verb->words);
    arguments->invocation.word = text;
    return 0;
}

static int take_operand(const char *text, struct arguments *arguments, bool *seen,
                        struct error *error)
{
    const struct verb *verb = arguments->verb;
    bool several = verb->operand == OPERAND_VMIDS;
    if ((*seen && !several) || verb->operand == OPERAND_NONE)
        return fail(error, ERROR_INVALID, "%s: unexpected argument '%.50s'", verb->name, text);
    *seen = true;
    if (verb->operand == OPERAND_REQUEST_ID)
        return take_request_id(text, arguments, error);
    if (verb->operand == OPERAND_WORD_OR_NONE)
        return take_word(text, arguments, error);
    arguments->invocation.file = text;
    if (verb->operand != OPERAND_FILE && !vmid_parse(text, &arguments->invocation.vmid))
        return fail(error, ERROR_INVALID, "%s: '%.50s' is not a VMID (a number from %u to %u)",
                    verb->name, text, VMID_MIN, VMID_MAX);
    if (several)
        vmids_add(&arguments->invocation.vmids, arguments->invocation.vmid);
    return 0;
}

static int take_answer(int answer, char *const *argv, struct arguments *arguments, bool *seen,
                       struct error *error)
{
    if (answer == ANSWER_OPERAND)
        return take_operand(optarg, arguments, seen, error);
    if (answer >= OPTION_OF_VERB)
        return take_verb_option((size_t)(answer - OPTION_OF_VERB), arguments, error);
    return take_option(answer, argv, arguments, error);
}

/* "-" makes getopt_long return operands in place, even under POSIXLY_CORRECT. */
static int take_verb_arguments(const struct verb *verb, int argc, char **argv,
                               struct arguments *arguments, bool *seen, struct error *error)
{
    struct option options[GLOBAL_COUNT + VERB_OPTIONS_MAX + 1] = {0};
    int answer;
    memcpy(options, global_options, sizeof global_options);
    for (size_t i = 0; i < verb->option_count; i++)
        options[GLOBAL_COUNT + i] = (struct option){
            verb->options[i].name,
            verb->options[i].argument ? required_argument : no_argument,
            NULL,
            OPTION_OF_VERB + (int)i,
        };
    optind = 0;
    while ((answer = getopt_long(argc, argv, "-:", options, NULL)) != -1) {
        if (take_answer(answer, argv, arguments, seen, error) < 0)
            return -1;
    }
    for (; optind < argc; optind++)
        if (take_operand(argv[optind], arguments, seen, error) < 0)
            return -1;
    return 0;
}

static int require_operand(const struct arguments *arguments, bool seen, struct error *error)
{
    static const char *const names[] = {NULL, "VMID", "FILE", NULL, NULL, "REQUEST-ID", NULL};
    if (seen || !names[arguments->verb->operand] || arguments->help || arguments->version)
        return 0;
    return fail(error, ERROR_INVALID, "%s: give a %s", arguments->verb->name,
                names[arguments->verb->operand]);
}

int arguments_parse(const struct verb_table *table, int argc, char **argv, struct arguments *ret,
                    const struct verb **ret_verb, struct error *error)
{
    cleanup(arguments_free) struct arguments arguments = {.verb = NULL};
    bool seen = false;
    opterr = 0;
    *ret_verb = NULL;
    if (take_global_options(argc, argv, &arguments, error) < 0)
        return -1;
    if (optind < argc) {
        int first = optind;
        const struct verb *verb = find_verb(table, argv[first], error);
        *ret_verb = arguments.verb = verb;
        if (!verb ||
            take_verb_arguments(verb, argc - first, argv + first, &arguments, &seen, error) < 0)
            return -1;
    } else if (!arguments.help && !arguments.version) {
        arguments.verb = table->verbs[0];
    }
    if (arguments.verb && require_operand(&arguments, seen, error) < 0)
        return -1;
    arguments.invocation.out = ret->invocation.out;
    arguments.invocation.warnings = ret->invocation.warnings;
    *ret = arguments;
    arguments.invocation.vmids = (struct vmids){0};
    return 0;
}

void arguments_free(struct arguments *arguments)
{
    vmids_free(&arguments->invocation.vmids);
}

/* Returns "NAME OPERAND"; the caller frees it. */
static char *usage_form(const struct verb *verb)
{
    static const char *const texts[] = {"", " VMID", " FILE", " [VMID]", " VMID...", " REQUEST-ID"};
    if (verb->operand == OPERAND_WORD_OR_NONE)
        return mem_format("%s [%s]", verb->name, verb->words);
    if (verb->instead)
        return mem_format("%s {%s|%s}", verb->name,
                          verb->operand == OPERAND_VMIDS ? "VMID..." : "VMID", verb->instead);
    return mem_format("%s%s", verb->name, texts[verb->operand]);
}

static void print_verb_usage(FILE *out, const struct verb *verb)
{
    cleanup_free char *usage = usage_form(verb);
    (void)fprintf(out, "usage: felhomctl %s%s\n\n%s.\n", usage,
                  verb->option_count ? " [OPTION...]" : "", verb->help);
    for (size_t i = 0; i < verb->option_count; i++) {
        const struct verb_option *option = &verb->options[i];
        cleanup_free char *form = option->argument
                                      ? mem_format("--%s %s", option->name, option->argument)
                                      : mem_format("--%s", option->name);
        (void)fprintf(out, "%s  %-34s %s\n", i == 0 ? "\n" : "", form, option->help);
    }
}

#define FORM_WIDTH 19

void usage_print(FILE *out, const struct verb_table *table, const struct verb *verb)
{
    if (verb) {
        print_verb_usage(out, verb);
        return;
    }
    (void)fprintf(out, "usage: felhomctl [--output-format " OUTPUT_FORMATS "] [--quiet]\n"
                       "                 [VERB [ARGUMENT] [OPTION...]]\n\n");
    for (size_t i = 0; i < table->count; i++) {
        cleanup_free char *form = usage_form(table->verbs[i]);
        /* A form that is wider than the column has its help on the next line. */
        if (strlen(form) > FORM_WIDTH)
            (void)fprintf(out, "  %s\n  %-*s %s\n", form, FORM_WIDTH, "", table->verbs[i]->help);
        else
            (void)fprintf(out, "  %-*s %s%s\n", FORM_WIDTH, form, table->verbs[i]->help,
                          i == 0 ? " (the default)" : "");
    }
    (void)fprintf(out, "\nfelhomctl VERB --help says more about each.\n");
}
