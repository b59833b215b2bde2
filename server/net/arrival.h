/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection came to this host: through which port, from which Ethernet address, over which
 * link; as the kernel and the witness saw its SYN. Nothing that came later counts: a peer could
 * choose it.
 */
#ifndef FELHOM_ARRIVAL_H
#define FELHOM_ARRIVAL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/address.h"
#include "schema/base/error.h"
#include "server/net/witness.h"

struct arrival {
    bool is_witnessed; /* there is a witness; path and vmid are its word */
    struct witness_sighting seen;
    int interface; /* the index of the device on which the host's own address is; 0: not known */
};

/* Has the kernel save the SYNs of connections on this listening socket, and tell the interface that
 * each came in on. Without it every arrival is empty. */
int arrival_prepare(int listening, struct error *error);

/*
 * The arrivals of accepted connections, by their descriptors. Whoever accepts a connection notes
 * it at once, while the witness still knows its SYN; the thread that serves it may be busy for
 * long. Any thread may call these functions.
 */
struct arrivals;

/* witness: borrowed; NULL without one. Then path is WITNESS_HOST or WITNESS_OUTSIDE by the Ethernet
 * address alone, which a peer can choose. Ends with arrivals_free; arrivals_free(NULL) does
 * nothing. */
struct arrivals *arrivals_new(struct witness *witness);
void arrivals_free(struct arrivals *arrivals);

/* Finds out how the connection that was just accepted came in. */
void arrivals_note(struct arrivals *arrivals, int socket);

/* Returns what was noted of the open connection. */
struct arrival arrivals_get(struct arrivals *arrivals, int socket);

/* Forgets how the open connection came in. Returns true if its first size bytes came the same way,
 * as far as can be told; to be called once, when they have been read or none will be (0). */
bool arrivals_confirm(struct arrivals *arrivals, int socket, size_t size);

/* Returns 1 if the address is behind a router as seen from the link, 0 if it is on the link itself,
 * -1 on failure. */
int arrival_is_routed(const struct arrival *arrival, struct in_addr address, struct error *error);

#endif
