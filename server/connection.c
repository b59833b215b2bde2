/* SPDX-License-Identifier: Apache-2.0 */
#include "server/connection.h"

#include <sys/socket.h>

#include "server/stack.h"
#include "store/log.h"

static int shake_hands(struct connection *connection)
{
    char name[PEER_NAME_SIZE];
    struct error error;
    struct entrance *entrance = connection->entrance;
    if (tls_accept(entrance->tls, connection->socket, &connection->session, &error) == 0)
        return 0;
    peer_name(&connection->peer, name);
    throttled_log_line(&entrance->log, LOG_INFO, "%s: %s", name, error.message);
    return -1;
}

int connection_open(struct connection *connection, int socket)
{
    struct entrance *entrance = connection->entrance;
    connection->socket = socket;
    if (atomic_load(&entrance->closing) ||
        gate_enter(entrance->gate, socket, &connection->peer) != GATE_ADMITTED)
        return -1;
    if (shake_hands(connection) < 0) {
        gate_leave(entrance->gate, &connection->peer);
        stack_give_back(connection->stack_lowest);
        return -1;
    }
    return 0;
}

/* Bytes left unread would turn the close into a reset, which may overtake our last answer. */
static void discard_unread(int socket)
{
    char scrap[4096];
    int rounds = 16;
    while (rounds-- > 0 && recv(socket, scrap, sizeof(scrap), MSG_DONTWAIT) > 0)
        ;
}

void connection_close(struct connection *connection)
{
    tls_close(connection->session);
    connection->session = NULL;
    discard_unread(connection->socket);
    gate_leave(connection->entrance->gate, &connection->peer);
    stack_give_back(connection->stack_lowest);
}
