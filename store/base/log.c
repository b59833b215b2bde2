/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/text.h"

#define TEXT_MAX 8192

static bool log_send_datagram(const char *socket_path, const struct buffer *datagram)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, socket_path, strlen(socket_path));
    cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && sendto(fd, datagram->data, datagram->length, MSG_DONTWAIT | MSG_NOSIGNAL,
                             (const struct sockaddr *)&address, sizeof address) >= 0;
}

/* Appends text as one line. A line break in the text would begin a new journal field. */
static void log_add_line(struct buffer *out, const char *text)
{
    size_t start = out->length;
    buffer_add(out, text, strnlen(text, TEXT_MAX));
    text_mask_n(out->data + start, out->length - start);
}

static void log_add_field(struct buffer *out, const char *name, const char *value)
{
    if (!value)
        return;
    buffer_add_format(out, "%s=", name);
    log_add_line(out, value);
    buffer_add_text(out, "\n");
}

bool journal_send(const char *socket_path, const struct journal_entry *entry)
{
    cleanup_buffer struct buffer fields = BUFFER_EMPTY;
    log_add_field(&fields, "MESSAGE", entry->text);
    buffer_add_format(&fields, "PRIORITY=%d\n", LOG_PRI(entry->priority));
    log_add_field(&fields, "SYSLOG_IDENTIFIER", entry->identifier);
    if (entry->vmid > 0)
        buffer_add_format(&fields, "VMID=%u\n", entry->vmid);
    log_add_field(&fields, "PHASE", entry->phase);
    log_add_field(&fields, "EVENT", entry->event);
    return log_send_datagram(socket_path, &fields);
}

bool syslog_send(const char *socket_path, const struct journal_entry *entry)
{
    cleanup_buffer struct buffer line = BUFFER_EMPTY;
    buffer_add_format(&line, "<%d>%s[%d]: ", LOG_DAEMON | LOG_PRI(entry->priority),
                      entry->identifier, getpid());
    log_add_line(&line, entry->text);
    return log_send_datagram(socket_path, &line);
}

bool journal_reads(int fd)
{
    char stream[48];
    struct stat status;
    const char *known = getenv("JOURNAL_STREAM");
    if (!known || fstat(fd, &status) < 0)
        return false;
    (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)status.st_dev,
                   (unsigned long long)status.st_ino);
    return strcmp(known, stream) == 0;
}

#define IDENTIFIER "felhomd"
#define LINE_SIZE  1024

static void log_write_line(int priority, char *text)
{
    char line[LINE_SIZE + sizeof "<7>\n"];
    text_mask(text);
    if (isatty(STDERR_FILENO))
        (void)snprintf(line, sizeof line, "%s\n", text);
    else
        (void)snprintf(line, sizeof line, "<%d>%s\n", LOG_PRI(priority), text);
    /* A single write, so that lines of several threads do not mix. If it fails, there is nowhere to
     * report that. */
    ssize_t ignored = write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
}

__attribute__((format(printf, 4, 0))) static void
log_arguments(int priority, uint32_t vmid, const char *event, const char *format, va_list args)
{
    char text[LINE_SIZE];
    (void)vsnprintf(text, sizeof text, format, args);
    const struct journal_entry entry = {
        .priority = priority,
        .identifier = IDENTIFIER,
        .vmid = vmid,
        .event = event,
        .text = text,
    };
    if (!journal_reads(STDERR_FILENO) || !journal_send(JOURNAL_SOCKET, &entry))
        log_write_line(priority, text);
}

void log_line(int priority, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_arguments(priority, 0, NULL, format, args);
    va_end(args);
}

void log_guest(int priority, uint32_t vmid, const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_arguments(priority, vmid, event, format, args);
    va_end(args);
}
