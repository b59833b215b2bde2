/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/vmid.h"
#include "server/base/lock.h"
#include "server/net/syn_ring.h"
#include "store/base/clock.h"

#define NOTES_PER_DEVICE 128u  /* SYNs of one device whose connections were not accepted yet */
#define DEVICES_MOST     4096u /* the one that was quiet for longest is forgotten then */
#define HELD_MOST        4096u /* connections that were found and not yet confirmed */
#define CONTENTS_KEPT    8u
#define DRAIN_PAUSE_MS   2 /* so that the thread wakes once for many packets */
#define DEVICE_BUCKETS   1024u
#define NOTE_BUCKETS     4096u

/* What has come in of a connection's data, in bytes from the first one on. */
struct progress {
    uint32_t until;      /* up to here all has come the way of the SYN */
    uint32_t ahead_from; /* the same of a part beyond a gap, up to ahead_until */
    uint32_t ahead_until;
    uint32_t other_from;              /* the first byte that came another way */
    uint32_t count;                   /* how many packets have come the way of the SYN */
    uint64_t contents[CONTENTS_KEPT]; /* of the newest of these packets */
};

/* A SYN whose connection has not been looked up yet, or not been confirmed. */
struct note {
    LIST_ENTRY(note) in_bucket;
    TAILQ_ENTRY(note) in_queue; /* of the device, or of those that are held */
    struct device *device;      /* the first one that saw it; NULL: it was looked up, and is held */
    struct syn syn;
    enum witness_path path;
    uint32_t vmid;
    int first_device; /* the index of that device */
    struct progress progress;
};
LIST_HEAD(note_list, note);
TAILQ_HEAD(note_queue, note);

/* A network device that was the first to see a SYN. */
struct device {
    LIST_ENTRY(device) in_bucket;
    int index;
    enum witness_path path; /* which way a SYN has come that comes in here */
    uint32_t vmid;
    uint32_t note_count;
    struct note_queue notes; /* the oldest first */
    int64_t used_us;
};
LIST_HEAD(device_list, device);

struct witness {
    int stop_fd;
    uint16_t port;
    bool started;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all members below */
    struct syn_ring ring;
    uint64_t secret; /* odd; as peers do not know it, they cannot fill one bucket */
    struct syn_end *ends;
    size_t end_count;
    uint32_t device_count;
    uint32_t held_count;
    struct note_queue held; /* the oldest first */
    struct device_list devices[DEVICE_BUCKETS];
    struct note_list notes[NOTE_BUCKETS];
};

/* --- devices --- */

/* Reads NUMBER, the separator, and digits up to the end. */
static bool port_owner_after(const char *text, char separator, uint32_t *ret_vmid)
{
    size_t length = strspn(text, DIGITS);
    if (text[length] != separator || !text_is_all(text + length + 1, DIGITS))
        return false;
    cleanup_free char *number = mem_copy_text_n(text, length);
    return vmid_parse(number, ret_vmid);
}

bool witness_port_owner(const char *device, uint32_t *ret_vmid)
{
    static const struct {
        const char *prefix;
        char separator;
    } ports[] = {{"veth", 'i'}, {"tap", 'i'}, {"fwpr", 'p'}};
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        const char *rest = text_after(device, ports[i].prefix);
        if (rest && port_owner_after(rest, ports[i].separator, ret_vmid))
            return true;
    }
    return false;
}

/*
 * Returns true for a device that gets its frames from another one, which sees them first. If such a
 * device is the first to see a SYN, the sighting by the other one was lost, and with it whose port
 * that was.
 */
static bool is_upper_device(int socket, const char *name)
{
    static const char *const drivers[] = {
        "bridge",  "802.1Q VLAN Support", "vrf",    "bonding", "team",
        "macvlan", "openvswitch",         "ipvlan", NULL};
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {.ifr_data = (char *)&info};
    memcpy(request.ifr_name, name, IF_NAMESIZE);
    if (ioctl(socket, SIOCETHTOOL, &request) < 0)
        return false;
    info.driver[sizeof info.driver - 1] = '\0';
    return text_index(info.driver, drivers) >= 0;
}

static void device_describe(struct device *device, int socket, unsigned short type)
{
    char name[IF_NAMESIZE] = "";
    if (!if_indextoname((unsigned int)device->index, name))
        device->path = WITNESS_NONE;
    else if (witness_port_owner(name, &device->vmid))
        device->path = WITNESS_GUEST;
    else if (type == ARPHRD_LOOPBACK)
        device->path = WITNESS_HOST;
    else
        device->path = is_upper_device(socket, name) ? WITNESS_NONE : WITNESS_OUTSIDE;
}

/* --- notes --- */

static uint64_t hash_more(uint64_t hash, const void *bytes, size_t length, uint64_t secret)
{
    for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const uint8_t *)bytes + i,
               length - i < sizeof word ? length - i : sizeof word);
        hash = (hash ^ word) * secret;
        hash ^= hash >> 32;
    }
    return hash;
}

static struct note_list *note_bucket(struct witness *witness, const struct syn_end *source,
                                     const struct syn_end *destination)
{
    uint64_t hash = witness->secret;
    hash = hash_more(hash, &source->address, sizeof source->address, witness->secret);
    hash = hash_more(hash, &source->port, sizeof source->port, witness->secret);
    hash = hash_more(hash, &destination->address, sizeof destination->address, witness->secret);
    return &witness->notes[hash % NOTE_BUCKETS];
}

static bool is_between(const struct syn *syn, const struct syn_end *source,
                       const struct syn_end *destination)
{
    return syn_end_equal(&syn->source, source) && syn_end_equal(&syn->destination, destination);
}

static bool is_same_syn(const struct syn *a, const struct syn *b)
{
    return a->sequence == b->sequence && is_between(a, &b->source, &b->destination) &&
           a->has_hwaddr == b->has_hwaddr && memcmp(&a->hwaddr, &b->hwaddr, sizeof a->hwaddr) == 0;
}

static struct note *note_find(struct witness *witness, const struct syn *syn)
{
    struct note *note;
    LIST_FOREACH(note, note_bucket(witness, &syn->source, &syn->destination), in_bucket)
    if (is_same_syn(&note->syn, syn))
        return note;
    return NULL;
}

static void note_leave_queue(struct witness *witness, struct note *note)
{
    TAILQ_REMOVE(note->device ? &note->device->notes : &witness->held, note, in_queue);
    if (note->device)
        note->device->note_count--;
    else
        witness->held_count--;
}

static void note_free(struct witness *witness, struct note *note)
{
    LIST_REMOVE(note, in_bucket);
    note_leave_queue(witness, note);
    free(note);
}

static void note_hold(struct witness *witness, struct note *note)
{
    note_leave_queue(witness, note);
    note->device = NULL;
    if (witness->held_count == HELD_MOST)
        note_free(witness, TAILQ_FIRST(&witness->held));
    TAILQ_INSERT_TAIL(&witness->held, note, in_queue);
    witness->held_count++;
}

static void note_add(struct witness *witness, struct device *device, const struct syn *syn)
{
    struct note *note = mem_new(struct note);
    if (device->note_count == NOTES_PER_DEVICE)
        note_free(witness, TAILQ_FIRST(&device->notes));
    note->device = device;
    note->first_device = device->index;
    note->syn = *syn;
    note->progress.other_from = UINT32_MAX;
    note->path = device->path;
    note->vmid = device->vmid;
    LIST_INSERT_HEAD(note_bucket(witness, &syn->source, &syn->destination), note, in_bucket);
    TAILQ_INSERT_TAIL(&device->notes, note, in_queue);
    device->note_count++;
}

/* A SYN that was seen before has come in at a further device. Only a guest's port counts: one guest
 * has sent it, whatever it passed before; two cannot both have been the first. */
static void note_see_again(struct note *note, const struct device *device)
{
    if (device->path != WITNESS_GUEST || note->path == WITNESS_CONFLICT)
        return;
    if (note->path == WITNESS_GUEST && note->vmid != device->vmid) {
        note->path = WITNESS_CONFLICT;
        note->vmid = 0;
    } else {
        note->path = WITNESS_GUEST;
        note->vmid = device->vmid;
    }
}

static struct witness_sighting sighting_of(const struct note *note)
{
    if (!note)
        return (struct witness_sighting){.path = WITNESS_NONE};
    return (struct witness_sighting){note->path, note->vmid, note->syn.has_hwaddr, note->syn.hwaddr,
                                     note->syn};
}

/* --- data --- */

/* Says which bytes of the connection the packet holds; returns false if it holds none. */
static bool place_of(const struct segment *segment, const struct syn *syn, uint32_t *ret_from,
                     uint32_t *ret_until)
{
    uint32_t from = segment->sequence - (ntohl(syn->sequence) + 1);
    uint32_t until = from + segment->length;
    *ret_from = (int32_t)from < 0 ? 0 : from;
    *ret_until = until;
    return (int32_t)until > 0;
}

/* The devices of one guest are one way, and so are all that are no guest's, such as the links of a
 * bond. */
static bool is_way_of(const struct note *note, const struct device *device)
{
    return device->index == note->first_device ||
           (device->path == note->path && device->vmid == note->vmid &&
            (device->path == WITNESS_GUEST || device->path == WITNESS_OUTSIDE));
}

static bool has_content(const struct progress *progress, uint64_t content)
{
    for (size_t i = 0; i < CONTENTS_KEPT && i < progress->count; i++)
        if (progress->contents[i] == content)
            return true;
    return false;
}

/* Whether this can be a packet that came the way of the SYN, on its way on. The port of another
 * guest is no part of that way. */
static bool is_passing_on(const struct note *note, const struct segment *segment,
                          const struct device *device)
{
    return device->path != WITNESS_GUEST && has_content(&note->progress, segment_content(segment));
}

static void progress_add(struct progress *progress, uint32_t from, uint32_t until)
{
    if (from > progress->until) {
        progress->ahead_from = from;
        progress->ahead_until = until;
        return;
    }
    if (until > progress->until)
        progress->until = until;
    if (progress->ahead_from <= progress->until && progress->ahead_until > progress->until)
        progress->until = progress->ahead_until;
}

/* A packet is seen by each device that it passes; the first one of them tells which way it came. Of
 * a fragment nobody knows which way the others came. */
static void note_see_data(struct note *note, const struct segment *segment,
                          const struct device *device)
{
    uint32_t from;
    uint32_t until;
    struct progress *progress = &note->progress;
    if (!place_of(segment, &note->syn, &from, &until))
        return;
    if (is_way_of(note, device) && !segment->is_fragment) {
        progress->contents[progress->count++ % CONTENTS_KEPT] = segment_content(segment);
        progress_add(progress, from, until);
    } else if (!is_passing_on(note, segment, device) && from < progress->other_from) {
        progress->other_from = from;
    }
}

/* --- devices that were seen --- */

static struct device_list *device_bucket(struct witness *witness, int index)
{
    return &witness->devices[(unsigned int)index % DEVICE_BUCKETS];
}

static void device_free(struct witness *witness, struct device *device)
{
    struct note *next;
    for (struct note *note = TAILQ_FIRST(&device->notes); note; note = next) {
        next = TAILQ_NEXT(note, in_queue);
        note_free(witness, note);
    }
    LIST_REMOVE(device, in_bucket);
    witness->device_count--;
    free(device);
}

static void forget_quietest_device(struct witness *witness)
{
    struct device *quietest = NULL;
    struct device *device;
    for (size_t i = 0; i < DEVICE_BUCKETS; i++)
        LIST_FOREACH(device, &witness->devices[i], in_bucket)
    if (!quietest || device->used_us < quietest->used_us)
        quietest = device;
    if (quietest)
        device_free(witness, quietest);
}

static struct device *device_add(struct witness *witness, const struct syn_seen *seen)
{
    struct device *device = mem_new(struct device);
    if (witness->device_count == DEVICES_MOST)
        forget_quietest_device(witness);
    device->index = seen->device;
    TAILQ_INIT(&device->notes);
    device_describe(device, witness->ring.fd, seen->type);
    LIST_INSERT_HEAD(device_bucket(witness, device->index), device, in_bucket);
    witness->device_count++;
    return device;
}

static struct device *device_get(struct witness *witness, const struct syn_seen *seen)
{
    struct device *device;
    LIST_FOREACH(device, device_bucket(witness, seen->device), in_bucket)
    if (device->index == seen->device)
        return device;
    return device_add(witness, seen);
}

/* --- the socket --- */

/* 0.0.0.0 or :: */
static bool is_any(const struct in6_addr *address)
{
    static const struct in6_addr any_v4 = {{{[10] = 0xff, [11] = 0xff}}};
    return IN6_IS_ADDR_UNSPECIFIED(address) || IN6_ARE_ADDR_EQUAL(address, &any_v4);
}

static bool is_watched(const struct witness *witness, const struct syn_end *destination)
{
    for (size_t i = 0; i < witness->end_count; i++) {
        const struct syn_end *end = &witness->ends[i];
        if (end->port == destination->port &&
            (is_any(&end->address) || IN6_ARE_ADDR_EQUAL(&end->address, &destination->address)))
            return true;
    }
    return false;
}

static void witness_see_data(struct witness *witness, const struct syn_seen *seen)
{
    const struct segment *segment = &seen->segment;
    struct note *note;
    LIST_FOREACH(note, note_bucket(witness, &segment->source, &segment->destination), in_bucket)
    if (is_between(&note->syn, &segment->source, &segment->destination))
        note_see_data(note, segment, device_get(witness, seen));
}

static void witness_note(struct witness *witness, const struct syn_seen *seen)
{
    if (!is_watched(witness, &seen->syn.destination))
        return;
    struct device *device = device_get(witness, seen);
    struct note *note = note_find(witness, &seen->syn);
    device->used_us = clock_steady_us();
    if (note)
        note_see_again(note, device);
    else
        note_add(witness, device, &seen->syn);
}

/* Notes all that has come in. Call with the lock held. */
static void witness_drain(struct witness *witness)
{
    struct syn_seen seen;
    while (syn_ring_next(&witness->ring, &seen))
        if (seen.is_segment)
            witness_see_data(witness, &seen);
        else
            witness_note(witness, &seen);
}

static void *witness_run(void *data)
{
    struct witness *witness = data;
    struct pollfd polled[] = {{.fd = witness->ring.fd, .events = POLLIN},
                              {.fd = witness->stop_fd, .events = POLLIN}};
    while (polled[1].revents == 0) {
        (void)pthread_mutex_lock(&witness->lock);
        witness_drain(witness);
        (void)pthread_mutex_unlock(&witness->lock);
        (void)poll(polled, ARRAY_SIZE(polled), -1);
        if (polled[1].revents == 0)
            (void)poll(&polled[1], 1, DRAIN_PAUSE_MS);
    }
    return NULL;
}

static struct witness *witness_new(uint16_t port)
{
    struct witness *witness = mem_new(struct witness);
    (void)pthread_mutex_init(&witness->lock, NULL);
    witness->port = port;
    witness->ring.fd = -1;
    witness->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (getentropy(&witness->secret, sizeof witness->secret) < 0)
        witness->secret = (uint64_t)clock_steady_us(); /* weak, but better than not serving */
    witness->secret |= 1;
    TAILQ_INIT(&witness->held);
    return witness;
}

int witness_open(uint16_t port, struct witness **ret, struct error *error)
{
    struct witness *witness = witness_new(port);
    if (syn_ring_open(&witness->ring, port, error) < 0) {
        witness_close(witness);
        return -1;
    }
    *ret = witness;
    return 0;
}

bool witness_adopt(uint16_t port, int *fd, struct witness **ret)
{
    if (*fd < 0)
        return false;
    struct witness *witness = witness_new(port);
    if (!syn_ring_adopt(&witness->ring, *fd, port)) {
        witness_close(witness);
        return false;
    }
    *fd = -1;
    *ret = witness;
    return true;
}

int witness_start(struct witness *witness, struct error *error)
{
    int errnum = pthread_create(&witness->thread, NULL, witness_run, witness);
    if (errnum != 0)
        return fail_errno(error, errnum, "cannot start the witness's thread");
    witness->started = true;
    return 0;
}

static void witness_stop(struct witness *witness)
{
    if (!witness->started)
        return;
    (void)eventfd_write(witness->stop_fd, 1);
    (void)pthread_join(witness->thread, NULL);
    witness->started = false;
}

void witness_close(struct witness *witness)
{
    if (!witness)
        return;
    witness_stop(witness);
    for (size_t i = 0; i < DEVICE_BUCKETS; i++) {
        struct device *next;
        for (struct device *device = LIST_FIRST(&witness->devices[i]); device; device = next) {
            next = LIST_NEXT(device, in_bucket);
            device_free(witness, device);
        }
    }
    struct note *next;
    for (struct note *note = TAILQ_FIRST(&witness->held); note; note = next) {
        next = TAILQ_NEXT(note, in_queue);
        free(note);
    }
    syn_ring_close(&witness->ring);
    cleanup_close_fn(&witness->stop_fd);
    (void)pthread_mutex_destroy(&witness->lock);
    free(witness->ends);
    free(witness);
}

/* --- questions --- */

uint16_t witness_port(const struct witness *witness)
{
    return witness->port;
}

void witness_watch(struct witness *witness, const struct syn_end *ends, size_t count)
{
    struct syn_end *copy = mem_new_array(count, sizeof *copy);
    memcpy(copy, ends, count * sizeof *copy);
    (void)pthread_mutex_lock(&witness->lock);
    free(witness->ends);
    witness->ends = copy;
    witness->end_count = count;
    (void)pthread_mutex_unlock(&witness->lock);
}

static struct witness_sighting witness_take(struct witness *witness, struct note *note)
{
    if (note)
        note_hold(witness, note);
    return sighting_of(note);
}

struct witness_sighting witness_find(struct witness *witness, const struct syn *syn)
{
    (void)pthread_mutex_lock(&witness->lock);
    witness_drain(witness);
    struct note *note = note_find(witness, syn);
    struct witness_sighting sighting = witness_take(witness, note && note->device ? note : NULL);
    (void)pthread_mutex_unlock(&witness->lock);
    return sighting;
}

static bool is_free_between(const struct note *note, const struct syn_end *source,
                            const struct syn_end *destination)
{
    return note->device && is_between(&note->syn, source, destination);
}

/* Returns the only SYN between the two ends that no connection has taken; NULL if there is none or
 * several. */
static struct note *note_find_only(struct witness *witness, const struct syn_end *source,
                                   const struct syn_end *destination)
{
    struct note *only = NULL;
    struct note *note;
    size_t count = 0;
    LIST_FOREACH(note, note_bucket(witness, source, destination), in_bucket)
    if (is_free_between(note, source, destination)) {
        only = note;
        count++;
    }
    return count == 1 ? only : NULL;
}

struct witness_sighting witness_find_ends(struct witness *witness, const struct syn_end *source,
                                          const struct syn_end *destination)
{
    (void)pthread_mutex_lock(&witness->lock);
    witness_drain(witness);
    struct witness_sighting sighting =
        witness_take(witness, note_find_only(witness, source, destination));
    (void)pthread_mutex_unlock(&witness->lock);
    return sighting;
}

bool witness_confirm(struct witness *witness, const struct witness_sighting *sighting, size_t size)
{
    lock_scope(&witness->lock);
    witness_drain(witness);
    struct note *note = note_find(witness, &sighting->syn);
    if (!note || note->device)
        return false;
    const struct progress *progress = &note->progress;
    bool is_confirmed = size > 0 && progress->until >= size && progress->other_from >= size;
    note_free(witness, note);
    return is_confirmed;
}

uint64_t witness_lost(struct witness *witness)
{
    lock_scope(&witness->lock);
    return syn_ring_lost(&witness->ring);
}

int witness_fd(const struct witness *witness)
{
    return witness->ring.fd;
}

/* --- from one felhomd to the next --- */

/* A note as it is written to a file. */
struct saved_note {
    uint32_t size; /* of this struct: another version's is not read */
    int32_t device;
    int32_t path;
    uint32_t vmid;
    struct syn syn;
    struct progress progress;
};

static bool note_save(const struct note *note, int device, int fd)
{
    struct saved_note saved;
    memset(&saved, 0, sizeof saved);
    saved.size = sizeof saved;
    saved.device = device;
    saved.path = (int32_t)note->path;
    saved.vmid = note->vmid;
    saved.syn = note->syn;
    saved.progress = note->progress;
    return write(fd, &saved, sizeof saved) == (ssize_t)sizeof saved;
}

static bool device_save(const struct device *device, int fd)
{
    const struct note *note;
    TAILQ_FOREACH(note, &device->notes, in_queue)
    if (!note_save(note, device->index, fd))
        return false;
    return true;
}

int witness_save(struct witness *witness)
{
    witness_stop(witness);
    cleanup_close int fd = memfd_create("felhomd-syns", MFD_CLOEXEC);
    lock_scope(&witness->lock);
    if (fd < 0)
        return -1;
    witness_drain(witness);
    for (size_t i = 0; i < DEVICE_BUCKETS; i++) {
        const struct device *device;
        LIST_FOREACH(device, &witness->devices[i], in_bucket)
        if (!device_save(device, fd))
            return -1;
    }
    return steal_fd(&fd);
}

void witness_load(struct witness *witness, int fd)
{
    struct saved_note saved;
    lock_scope(&witness->lock);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return;
    while (read(fd, &saved, sizeof saved) == (ssize_t)sizeof saved && saved.size == sizeof saved) {
        const struct syn_seen seen = {.syn = saved.syn, .device = saved.device};
        struct device *device = device_get(witness, &seen);
        note_add(witness, device, &saved.syn);
        struct note *note = TAILQ_LAST(&device->notes, note_queue);
        note->path = (enum witness_path)saved.path;
        note->vmid = saved.vmid;
        note->progress = saved.progress;
    }
}
