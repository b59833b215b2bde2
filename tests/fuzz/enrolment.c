/* SPDX-License-Identifier: Apache-2.0 */
/* An enrolment: what was read is written so that it reads back as the same. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void compare(const struct enrolment *a, const struct enrolment *b)
{
    demand(!strcmp(a->customer_id, b->customer_id));
    demand(!strcmp(a->customer_name, b->customer_name));
    demand(!strcmp(a->customer_domain, b->customer_domain));
    demand(!strcmp(a->customer_email, b->customer_email));
    demand(!strcmp(a->hub_retrieval_password, b->hub_retrieval_password));
    demand(!strcmp(a->image, b->image));
}

static void write_and_read(const struct enrolment *enrolment)
{
    struct error error;
    struct enrolment again;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    demand(enrolment_render(enrolment, &text, &error) == 0);
    demand(enrolment_parse("again", buffer_text(&text), text.length, &again, &error) == 0);
    compare(enrolment, &again);
    enrolment_free(&again);
}

static void salvage(const char *text, size_t size)
{
    struct enrolment enrolment;
    enrolment_salvage(text, size, &enrolment);
    demand(enrolment.chain && enrolment.customer_id);
    enrolment_free(&enrolment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct enrolment enrolment;
    struct error error = {.kind = ERROR_NONE};
    if (enrolment_parse("8200.yaml", (const char *)data, size, &enrolment, &error)) {
        demand(error.kind == ERROR_INVALID && !strncmp(error.message, "8200.yaml:", 10));
        salvage((const char *)data, size);
        return 0;
    }
    write_and_read(&enrolment);
    enrolment_free(&enrolment);
    return 0;
}
