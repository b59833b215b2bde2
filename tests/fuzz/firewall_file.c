/* SPDX-License-Identifier: Apache-2.0 */
/* One of Proxmox's firewall files: nothing but what says so lets the port in, and whatever stands
 * before, a rule or a switch at the end counts. */
#include <stdlib.h>
#include <string.h>

#include "cli/pve/firewall_file.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORT 8443

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check_as_it_is(const char *text)
{
    if (firewall_file_lets_in(text, PORT))
        demand(strcasestr(text, "accept") && strchr(text, '['));
    if (firewall_file_switch(text) != FIREWALL_UNSAID)
        demand(strcasestr(text, "enable:") && strcasestr(text, "[options]"));
    if (firewall_file_drops_out(text, PORT))
        demand(firewall_file_switch(text) == FIREWALL_ON &&
               (strcasestr(text, "drop") || strcasestr(text, "reject")));
}

static void check_with(const char *text)
{
    cleanup_buffer struct buffer longer = BUFFER_EMPTY;
    buffer_add_format(&longer, "%s\n[rules]\n|in accept\n# in accept\n", text);
    demand(firewall_file_lets_in(buffer_text(&longer), PORT) == firewall_file_lets_in(text, PORT));
    buffer_add_text(&longer, "In ACCEPT -p tcp -dport 22,8000:9000\n[options]\nenable: 0");
    demand(firewall_file_lets_in(buffer_text(&longer), PORT));
    demand(firewall_file_switch(buffer_text(&longer)) == FIREWALL_OFF);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = mem_copy_text_n((const char *)data, size);
    check_as_it_is(text);
    check_with(text);
    return 0;
}
