/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/journal.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "schema/buffer.h"
#include "schema/cleanup.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET  "/dev/log"
#define IDENTIFIER     "felhom-hook"

static bool send_datagram(const char *socket_path, const struct buffer *datagram)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, socket_path, sizeof address.sun_path - 1);
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && sendto(fd, datagram->data, datagram->length, MSG_DONTWAIT | MSG_NOSIGNAL,
                             (const struct sockaddr *)&address, sizeof address) >= 0;
}

/* A line break in the text would begin a field of its own. */
static void one_line(struct buffer *buffer, size_t from)
{
    for (size_t i = from; i < buffer->length; i++)
        if (iscntrl((unsigned char)buffer->data[i]))
            buffer->data[i] = '?';
}

static void add_line(struct buffer *out, const char *name, const char *value)
{
    buffer_add_text(out, name);
    buffer_add_text(out, "=");
    size_t value_start = out->length;
    buffer_add_text(out, value);
    one_line(out, value_start);
    buffer_add_text(out, "\n");
}

static bool send_to_journal(const struct journal_entry *entry)
{
    cleanup_buffer struct buffer fields = BUFFER_EMPTY;
    add_line(&fields, "MESSAGE", entry->text);
    buffer_add_format(&fields, "PRIORITY=%d\nSYSLOG_IDENTIFIER=" IDENTIFIER "\nVMID=%u\n",
                      entry->priority, entry->vmid);
    add_line(&fields, "PHASE", entry->phase);
    return send_datagram(JOURNAL_SOCKET, &fields);
}

static void send_to_syslog(const struct journal_entry *entry)
{
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    buffer_add_format(&line, "<%d>" IDENTIFIER "[%d]: ", LOG_DAEMON | entry->priority, getpid());
    size_t text_start = line.length;
    buffer_add_text(&line, entry->text);
    one_line(&line, text_start);
    (void)send_datagram(SYSLOG_SOCKET, &line);
}

void journal_send(const struct journal_entry *entry)
{
    if (!send_to_journal(entry))
        send_to_syslog(entry);
}
