/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "server/base/lock.h"
#include "server/net/device.h"
#include "server/net/syn_ring.h"
#include "store/base/clock.h"

#define NOTES_PER_DEVICE 128u  /* SYNs of one device whose connections were not accepted yet */
#define DEVICES_MOST     4096u /* the one that was quiet for longest is forgotten then */
#define HELD_MOST        4096u /* connections that were found and not yet confirmed */
#define DRAIN_PAUSE_MS   2     /* so that the thread wakes once for many packets, */
#define DRAIN_MANY       512u  /* unless that many had come in */
#define DEVICE_BUCKETS   1024u
#define NOTE_BUCKETS     4096u

/* A SYN whose connection has not been looked up yet, or not been confirmed. */
struct note {
    LIST_ENTRY(note) in_bucket;
    TAILQ_ENTRY(note) in_queue; /* of the device, or of those that are held */
    struct device *device;      /* the first one that saw it; NULL: it was looked up, and is held */
    struct syn syn;
    enum witness_path path;
    uint32_t vmid;
    int first_device;     /* the index of that device */
    uint64_t lost_before; /* of all frames; at most as many as were before it */
    struct progress progress;
};
LIST_HEAD(note_list, note);
TAILQ_HEAD(note_queue, note);

/* A network device that was the first to see a SYN. */
struct device {
    LIST_ENTRY(device) in_bucket;
    int index;
    char name[IF_NAMESIZE];
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
    uint64_t lost_at_drain; /* how many frames were known to be lost when it was last emptied */
    uint64_t lost_before;   /* and the time before */
    struct device_notices notices;
    uint64_t secret; /* odd; as peers do not know it, they cannot fill one bucket */
    struct syn_end *ends;
    size_t end_count;
    uint32_t device_count;
    uint32_t held_count;
    struct note_queue held; /* the oldest first */
    struct device_list devices[DEVICE_BUCKETS];
    struct note_list notes[NOTE_BUCKETS];
};

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
    note->progress = PROGRESS_NONE;
    note->path = device->path;
    note->vmid = device->vmid;
    note->lost_before = witness->lost_before;
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

/* The devices of one guest are one way, and so are all that are no guest's, such as the links of a
 * bond. */
static bool is_way_of(const struct note *note, const struct device *device)
{
    if (device->path == WITNESS_GUEST)
        return note->path == WITNESS_GUEST && device->vmid == note->vmid;
    return device->index == note->first_device ||
           (device->path == WITNESS_OUTSIDE && note->path == WITNESS_OUTSIDE);
}

/* Whether this can be a packet that came the way of the SYN, on its way on. The port of another
 * guest is no part of that way. */
static bool is_passing_on(const struct note *note, uint64_t content, const struct device *device)
{
    return device->path != WITNESS_GUEST && progress_has(&note->progress, content);
}

/* A packet is seen by each device that it passes; the first one of them tells which way it came. Of
 * a fragment nobody knows which way the others came. */
static void note_see_data(struct note *note, const struct segment *segment, uint64_t content,
                          const struct device *device)
{
    struct segment_place place;
    if (!segment_find_place(segment, &note->syn, &place))
        return;
    if (is_way_of(note, device) && !segment->is_fragment)
        progress_add(&note->progress, content, &place);
    else if (!is_passing_on(note, content, device))
        progress_add_other(&note->progress, &place);
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

/* An upper device is the first to see a SYN only if the sighting by the other one was lost, and
 * with it whose port that was. */
static void device_describe(struct device *device, int socket)
{
    static const enum witness_path paths[] = {[DEVICE_UNKNOWN] = WITNESS_NONE,
                                              [DEVICE_UPPER] = WITNESS_NONE,
                                              [DEVICE_LOOPBACK] = WITNESS_HOST,
                                              [DEVICE_PORT] = WITNESS_GUEST,
                                              [DEVICE_OUTSIDE] = WITNESS_OUTSIDE};
    const struct device_identity identity = device_identify(socket, device->index);
    memcpy(device->name, identity.name, sizeof device->name);
    device->path = paths[identity.kind];
    device->vmid = identity.vmid;
}

static struct device *device_add(struct witness *witness, int index)
{
    struct device *device = mem_new(struct device);
    if (witness->device_count == DEVICES_MOST)
        forget_quietest_device(witness);
    device->index = index;
    TAILQ_INIT(&device->notes);
    LIST_INSERT_HEAD(device_bucket(witness, device->index), device, in_bucket);
    witness->device_count++;
    return device;
}

static struct device *device_find(struct witness *witness, int index)
{
    struct device *device;
    LIST_FOREACH(device, device_bucket(witness, index), in_bucket)
    if (device->index == index)
        return device;
    return NULL;
}

static struct device *device_get(struct witness *witness, int index)
{
    struct device *device = device_find(witness, index);
    if (!device) {
        device = device_add(witness, index);
        device_describe(device, witness->ring.fd);
    }
    return device;
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

/* Returns the note itself, or one after it in its bucket, that is of the same connection; NULL if
 * there is none. */
static struct note *note_between(struct note *note, const struct segment *segment)
{
    while (note && !is_between(&note->syn, &segment->source, &segment->destination))
        note = LIST_NEXT(note, in_bucket);
    return note;
}

/* There can be many notes of one connection, so the content is hashed once. A device that is new to
 * the witness may have it forget another one with its notes. */
static void witness_see_data(struct witness *witness, const struct syn_seen *seen)
{
    const struct segment *segment = &seen->segment;
    const struct note_list *bucket = note_bucket(witness, &segment->source, &segment->destination);
    if (!note_between(LIST_FIRST(bucket), segment))
        return;
    const uint64_t content = segment_content(segment);
    const struct device *device = device_get(witness, seen->device);
    struct note *note = note_between(LIST_FIRST(bucket), segment);
    for (; note; note = note_between(LIST_NEXT(note, in_bucket), segment))
        note_see_data(note, segment, content, device);
}

static void witness_note(struct witness *witness, const struct syn_seen *seen)
{
    if (!is_watched(witness, &seen->syn.destination))
        return;
    struct device *device = device_get(witness, seen->device);
    struct note *note = note_find(witness, &seen->syn);
    device->used_us = clock_steady_us();
    if (note)
        note_see_again(note, device);
    else
        note_add(witness, device, &seen->syn);
}

/* Returns how many frames it has read: at least all those that had come in before the call. */
static uint32_t witness_read_ring(struct witness *witness)
{
    struct syn_seen seen;
    uint32_t count = 0;
    for (; count < SYN_RING_FRAMES && syn_ring_next(&witness->ring, &seen); count++)
        if (seen.kind == SEEN_SEGMENT)
            witness_see_data(witness, &seen);
        else if (seen.kind == SEEN_SYN)
            witness_note(witness, &seen);
    return count;
}

/* --- devices that become others --- */

/* Forgets what is taken to have come in by this device, or by the same guest's others. */
static void forget_notes_of(struct witness *witness, const struct device *device)
{
    for (size_t i = 0; i < NOTE_BUCKETS; i++) {
        struct note *next;
        for (struct note *note = LIST_FIRST(&witness->notes[i]); note; note = next) {
            next = LIST_NEXT(note, in_bucket);
            if (note->first_device == device->index ||
                (device->path == WITNESS_GUEST && is_way_of(note, device)))
                note_free(witness, note);
        }
    }
}

static void forget_all_devices(struct witness *witness)
{
    for (size_t i = 0; i < DEVICE_BUCKETS; i++) {
        struct device *next;
        for (struct device *device = LIST_FIRST(&witness->devices[i]); device; device = next) {
            next = LIST_NEXT(device, in_bucket);
            device_free(witness, device);
        }
    }
    while (!TAILQ_EMPTY(&witness->held))
        note_free(witness, TAILQ_FIRST(&witness->held));
}

/*
 * What was read before the notice can have come in by the device before or after the change, and so
 * can what lies in the ring now; what comes into the ring from now on has come in after it.
 */
static void witness_see_change(struct witness *witness, const struct netlink_link *link)
{
    struct device *device = device_find(witness, link->index);
    if (!link->is_gone && (!device || strcmp(device->name, link->name) == 0))
        return;
    if (device)
        forget_notes_of(witness, device);
    else
        device = device_add(witness, link->index);
    device->path = WITNESS_NONE;
    device->vmid = 0;
    (void)witness_read_ring(witness);
    device = device_find(witness, link->index);
    if (device)
        device_free(witness, device);
}

static void witness_lose_notices(struct witness *witness)
{
    struct syn_seen ignored;
    for (uint32_t i = 0; i < SYN_RING_FRAMES && syn_ring_next(&witness->ring, &ignored); i++)
        continue;
    forget_all_devices(witness);
}

/* Notes all that has come in. Call with the lock held. Returns how many frames that were. */
static uint32_t witness_drain(struct witness *witness)
{
    struct netlink_link link;
    witness->lost_before = witness->lost_at_drain;
    witness->lost_at_drain = witness->ring.lost;
    uint32_t count = witness_read_ring(witness);
    if (witness->ring.is_losing || count == SYN_RING_FRAMES)
        (void)syn_ring_lost(&witness->ring);
    while (device_notices_next(&witness->notices, &link))
        if (link.index == 0)
            witness_lose_notices(witness);
        else
            witness_see_change(witness, &link);
    return count;
}

static void *witness_run(void *data)
{
    struct witness *witness = data;
    struct pollfd polled[] = {{.fd = witness->stop_fd, .events = POLLIN},
                              {.fd = witness->ring.fd, .events = POLLIN},
                              {.fd = witness->notices.fd, .events = POLLIN}};
    while (polled[0].revents == 0) {
        (void)pthread_mutex_lock(&witness->lock);
        uint32_t count = witness_drain(witness);
        (void)pthread_mutex_unlock(&witness->lock);
        (void)poll(polled, ARRAY_SIZE(polled), -1);
        if (polled[0].revents == 0 && count < DRAIN_MANY)
            (void)poll(polled, 1, DRAIN_PAUSE_MS);
    }
    return NULL;
}

static struct witness *witness_new(uint16_t port)
{
    struct witness *witness = mem_new(struct witness);
    (void)pthread_mutex_init(&witness->lock, NULL);
    witness->port = port;
    witness->ring.fd = -1;
    witness->notices.fd = -1;
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
    if (device_notices_open(&witness->notices.fd, error) < 0 ||
        syn_ring_open(&witness->ring, port, error) < 0) {
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
    struct error ignored;
    struct witness *witness = witness_new(port);
    if (device_notices_open(&witness->notices.fd, &ignored) < 0 ||
        !syn_ring_adopt(&witness->ring, *fd, port)) {
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
    forget_all_devices(witness);
    syn_ring_close(&witness->ring);
    cleanup_close_fn(&witness->notices.fd);
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
    (void)witness_drain(witness);
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
    (void)witness_drain(witness);
    struct witness_sighting sighting =
        witness_take(witness, note_find_only(witness, source, destination));
    (void)pthread_mutex_unlock(&witness->lock);
    return sighting;
}

bool witness_confirm(struct witness *witness, const struct witness_sighting *sighting, size_t size)
{
    lock_scope(&witness->lock);
    (void)witness_drain(witness);
    struct note *note = note_find(witness, &sighting->syn);
    if (!note || note->device)
        return false;
    bool is_confirmed = progress_covers(&note->progress, size) &&
                        note->lost_before == syn_ring_lost(&witness->ring);
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

static bool device_save(const struct device *device, uint64_t lost, int fd)
{
    const struct note *note;
    TAILQ_FOREACH(note, &device->notes, in_queue)
    if (note->lost_before == lost && !note_save(note, device->index, fd))
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
    (void)witness_drain(witness);
    uint64_t lost = syn_ring_lost(&witness->ring);
    for (size_t i = 0; i < DEVICE_BUCKETS; i++) {
        const struct device *device;
        LIST_FOREACH(device, &witness->devices[i], in_bucket)
        if (!device_save(device, lost, fd))
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
        struct device *device = device_get(witness, saved.device);
        note_add(witness, device, &saved.syn);
        struct note *note = TAILQ_LAST(&device->notes, note_queue);
        note->path = (enum witness_path)saved.path;
        note->vmid = saved.vmid;
        note->progress = saved.progress;
    }
}
