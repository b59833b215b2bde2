/* SPDX-License-Identifier: Apache-2.0 */
/* A SYN, or a packet with data, as any peer may send it: nothing beyond the bytes is read, and what
 * is taken of a saved one lies between the addresses that were asked for. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/host/syn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The ends that the bytes themselves name, so that the saved form is taken. */
static void check_saved(const uint8_t *data, size_t size, const struct syn *syn)
{
    struct syn saved;
    struct sockaddr_in6 source = {
        .sin6_family = AF_INET6, .sin6_addr = syn->source.address, .sin6_port = syn->source.port};
    struct sockaddr_in6 destination = {.sin6_family = AF_INET6,
                                       .sin6_addr = syn->destination.address,
                                       .sin6_port = syn->destination.port};
    if (!syn_parse_saved(data, size, (struct sockaddr *)&source, (struct sockaddr *)&destination,
                         &saved))
        return;
    if (!syn_end_equal(&saved.source, &syn->source) ||
        !syn_end_equal(&saved.destination, &syn->destination))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct syn syn;
    /* A copy of exactly that size, so that the sanitizer sees what is read beyond. */
    uint8_t *exact = mem_new_array(size + 1, 1);
    uint8_t *bytes = exact + 1;
    if (size > 0)
        memcpy(bytes, data, size);
    for (size_t header = 0; header <= 18 && header <= size; header++)
        if (syn_parse_packet(bytes + header, size - header, &syn))
            check_saved(bytes, size, &syn);
    for (size_t header = 0; header <= 18 && header <= size; header++) {
        struct segment segment;
        if (segment_parse(bytes + header, size - header, &segment) && segment.length == 0)
            abort();
    }
    free(exact);
    return 0;
}
