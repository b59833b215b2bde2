/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of the kernel's about a route, or its notices about devices: whatever bytes come,
 * nothing beyond them is read, and a failure says why. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/host/netlink_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int result, const struct error *error)
{
    if (result < 0 && (error->kind != ERROR_MISSING || !*error->message))
        abort();
}

/* What lies beyond the answer must not count: it is read twice, before two kinds of bytes. */
static int read_before(const uint8_t *data, size_t size, int beyond, int *interface)
{
    struct error error;
    struct netlink_answer answer = {.length = size};
    memset(answer.bytes, beyond, sizeof answer.bytes);
    memcpy(answer.bytes, data, size);
    int link = netlink_answer_link(&answer, interface, &error);
    check(link, &error);
    return link;
}

/* Adds up what the notices say. */
static uint64_t read_notices(const uint8_t *data, size_t size, int beyond)
{
    uint64_t sum = 0;
    size_t at = 0;
    struct netlink_link link;
    struct netlink_answer answer = {.length = size};
    memset(answer.bytes, beyond, sizeof answer.bytes);
    memcpy(answer.bytes, data, size);
    while (netlink_answer_next_link(&answer, &at, &link)) {
        if (strnlen(link.name, sizeof link.name) == sizeof link.name)
            abort();
        sum = sum * 31 + (unsigned int)link.index + link.is_gone;
        for (const char *c = link.name; *c; c++)
            sum = sum * 31 + (unsigned char)*c;
    }
    return sum;
}

/* Adds up what the addresses are. */
static uint64_t read_addresses(const uint8_t *data, size_t size, int beyond)
{
    uint64_t sum = 0;
    size_t at = 0;
    enum netlink_item item;
    struct netlink_address address;
    struct netlink_answer answer = {.length = size};
    memset(answer.bytes, beyond, sizeof answer.bytes);
    memcpy(answer.bytes, data, size);
    while ((item = netlink_answer_next_address(&answer, &at, &address)) == NETLINK_ADDRESS) {
        char text[CIDR_TEXT_SIZE];
        cidr_format(&address.address, text);
        sum = sum * 31 + address.link + address.is_of_link;
        for (const char *c = text; *c; c++)
            sum = sum * 31 + (unsigned char)*c;
    }
    return sum * 31 + item;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int interfaces[2] = {0};
    if (size == 0 || size > NETLINK_ANSWER_MAX)
        return 0;
    int first = read_before(data, size, 0x00, &interfaces[0]);
    int second = read_before(data, size, 0xFF, &interfaces[1]);
    if (first != second || interfaces[0] != interfaces[1])
        abort();
    if (read_notices(data, size, 0x00) != read_notices(data, size, 0xFF))
        abort();
    if (read_addresses(data, size, 0x00) != read_addresses(data, size, 0xFF))
        abort();
    return 0;
}
