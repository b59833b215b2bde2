/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/peer.h"

#include <stdio.h>

void peer_name(const struct peer *peer, char ret[static PEER_NAME_SIZE])
{
    char hwaddr[HWADDR_TEXT_SIZE];
    hwaddr_format(&peer->hwaddr, hwaddr);
    if (peer->vmid != 0)
        (void)snprintf(ret, PEER_NAME_SIZE, "guest %u(%s)", peer->vmid, peer->address_text);
    else if (peer->has_hwaddr)
        (void)snprintf(ret, PEER_NAME_SIZE, "%s(%s)", hwaddr, peer->address_text);
    else
        (void)snprintf(ret, PEER_NAME_SIZE, "%s", peer->address_text);
}
