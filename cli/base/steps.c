/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/steps.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/output.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"

static const char *const outcome_names[] = {"done", "already", "warning", "undone"};

struct steps steps_new(void)
{
    json_t *list = json_array();
    if (!list)
        mem_exhausted();
    return (struct steps){.list = list};
}

void steps_free(struct steps *steps)
{
    json_decref(steps->list);
    steps->list = NULL;
    vmids_free(&steps->failed);
}

__attribute__((format(printf, 4, 0))) static void add(struct steps *steps,
                                                      enum step_outcome outcome, const char *about,
                                                      const char *format, va_list args)
{
    cleanup_free char *detail = NULL;
    int length = vasprintf(&detail, format, args);
    json_t *step = json_object();
    if (length < 0 || !step)
        mem_exhausted();
    output_put_texts(step, "about", about, "outcome", outcome_names[outcome], "detail", detail);
    json_append(steps->list, step);
    steps->changed = steps->changed || outcome == STEP_DONE;
}

void steps_add(struct steps *steps, enum step_outcome outcome, const char *about,
               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(steps, outcome, about, format, args);
    va_end(args);
}

void steps_add_revoked(struct steps *steps, int count)
{
    steps_add(steps, count ? STEP_DONE : STEP_ALREADY, "tokens", "%d revoked", count);
}

void steps_undo(struct steps *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps->list, i, step)
    {
        if (strcmp(json_get_text(step, "outcome", ""), outcome_names[STEP_DONE]) == 0)
            output_put_text(step, "outcome", outcome_names[STEP_UNDONE]);
    }
    steps->changed = false;
}

void steps_add_not_undone(struct steps *steps, const char *about, const struct error *problem)
{
    steps_add(steps, STEP_WARNING, about, "could not be taken back: %s", problem->message);
}

void steps_add_guest(struct steps *steps, enum step_outcome outcome, uint32_t vmid,
                     const char *format, ...)
{
    cleanup_free char *about = mem_format("%u", vmid);
    va_list args;
    va_start(args, format);
    add(steps, outcome, about, format, args);
    va_end(args);
}

void steps_add_failure(struct steps *steps, uint32_t vmid, const char *why)
{
    steps_add_guest(steps, STEP_WARNING, vmid, "%s", why);
    vmids_add(&steps->failed, vmid);
}

int steps_fail_guests(const struct vmids *failed, const char *what, struct error *error)
{
    cleanup_buffer struct buffer list = BUFFER_EMPTY;
    if (failed->count == 0)
        return 0;
    for (size_t i = 0; i < failed->count; i++)
        buffer_add_format(&list, "%s%u", i ? ", " : "", failed->items[i]);
    return fail(error, ERROR_CONFLICT, "%s: guest%s %s", what, failed->count == 1 ? "" : "s",
                buffer_text(&list));
}

int steps_check_failures(const struct steps *steps, const char *what, struct error *error)
{
    return steps_fail_guests(&steps->failed, what, error);
}

static void print_text(const struct steps *steps, FILE *out)
{
    for (size_t i = 0; i < json_array_size(steps->list); i++) {
        const json_t *step = json_array_get(steps->list, i);
        (void)fprintf(out, "%-8s %-16s %s\n", json_string_value(json_object_get(step, "outcome")),
                      json_string_value(json_object_get(step, "about")),
                      json_string_value(json_object_get(step, "detail")));
    }
}

void steps_report(const struct steps *steps, json_t *object)
{
    output_put_bool(object, "changed", steps->changed);
    json_set(object, "steps", json_incref(steps->list));
}

void steps_print(const struct steps *steps, const struct invocation *invocation, json_t *rest)
{
    cleanup_json json_t *whole = json_object();
    if (!whole || (rest && json_object_update(whole, rest) < 0))
        mem_exhausted();
    steps_report(steps, whole);
    if (output_value(invocation, whole))
        return;
    print_text(steps, invocation->out);
    const char *next = json_get_text(rest, "next", NULL);
    if (next)
        (void)fprintf(invocation->out, "\nNext: %s.\n", next);
}
