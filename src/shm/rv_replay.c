/*
 * rv_replay: the last messages, in memory that many processes share.
 *
 * Places count all bytes that were ever written; a place modulo the size is where a byte is, and a
 * message may go round the end. The ring is what lies from tail to head. Each of the two changes by
 * one store, from the end of one message to the end of another: the tail moves before anything is
 * overwritten, the head after the new message is written. So there is no
 * instruction after which the ring is not whole, but for what is known of the youngest message,
 * which follows the head, and is put right by rv_replay_check.
 *
 * What is read is copied out first and judged after that.
 */
#include "rv_replay.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC UINT64_C(0x7265657665727031) /* "reeverp1" */

struct rv_replay_ring_s {
    uint64_t magic;
    uint64_t size; /* of data */
    uint64_t lost; /* the highest id that is not held any more, or never was */
    _Atomic uint64_t tail, head;
    _Atomic uint64_t last; /* its id, and where it begins: the youngest message */
    uint64_t youngest;
    char data[];
};

/* In front of each message. */
typedef struct {
    uint64_t id;
    uint32_t topic_length, text_length;
    uint32_t before; /* bytes of the message in front of it; 0: there was none */
    uint32_t check;  /* of the other fields */
} head_t;

size_t
rv_replay_overhead(void)
{
    return sizeof(rv_replay_ring_t);
}

size_t
rv_replay_largest(size_t size)
{
    return size / 4;
}

/* --- bytes ------------------------------------------------------------------------------- */

static void
copy_out(const rv_replay_t *r, uint64_t place, void *bytes, size_t length)
{
    size_t at = place % r->size, first = rv_min(length, r->size - at);

    memcpy(bytes, r->ring->data + at, first);
    memcpy((char *) bytes + first, r->ring->data, length - first);
}

static uint64_t
copy_in(rv_replay_t *r, uint64_t place, const void *bytes, size_t length)
{
    size_t at = place % r->size, first = rv_min(length, r->size - at);

    memcpy(r->ring->data + at, bytes, first);
    memcpy(r->ring->data, (const char *) bytes + first, length - first);
    return place + length;
}

static uint32_t
check_of(const head_t *h)
{
    return (uint32_t) h->id ^ (uint32_t) (h->id >> 32) ^ h->topic_length ^ h->text_length << 8
        ^ h->before << 16 ^ UINT32_C(0x5e9a1b3d);
}

static size_t
length_of(const head_t *h)
{
    return sizeof(*h) + h->topic_length + h->text_length;
}

/* The head of the message at this place, and the place behind it. RV_ERROR: there is none. */
static int
look_at(const rv_replay_t *r, uint64_t place, head_t *h, uint64_t *behind)
{
    uint64_t left = atomic_load(&r->ring->head) - place;

    if (left < sizeof(*h) || left > r->size)
        return RV_ERROR;
    copy_out(r, place, h, sizeof(*h));
    if (h->check != check_of(h) || h->topic_length > r->size || h->text_length > r->size
        || length_of(h) > left)
        return RV_ERROR;
    *behind = place + length_of(h);
    return RV_OK;
}

/* --- the whole --------------------------------------------------------------------------- */

/* The size is this process's word, not the memory's. */
static int
attach(rv_replay_t *r, void *memory, size_t size)
{
    if (size < sizeof(rv_replay_ring_t) + RV_REPLAY_LEAST)
        return RV_ERROR;
    r->ring = memory;
    r->size = rv_min(size - sizeof(rv_replay_ring_t), (size_t) UINT32_MAX);
    return RV_OK;
}

int
rv_replay_create(rv_replay_t *r, void *memory, size_t size, uint64_t last)
{
    if (attach(r, memory, size) != RV_OK)
        return RV_ERROR;
    r->ring->size = r->size;
    r->ring->lost = last;
    r->ring->youngest = 0;
    atomic_store(&r->ring->tail, 0);
    atomic_store(&r->ring->head, 0);
    atomic_store(&r->ring->last, last);
    r->ring->magic = MAGIC;
    return RV_OK;
}

/* From tail to head there is to be one message behind the other, and ids grow. */
static int
walk(rv_replay_t *r, uint64_t tail)
{
    uint64_t place = tail, end = atomic_load(&r->ring->head), behind, last = r->ring->lost;
    head_t h;

    if (end < place || end - place > r->size)
        return RV_ERROR;
    for (r->ring->youngest = place; place < end; place = behind) {
        if (look_at(r, place, &h, &behind) != RV_OK || h.id <= last)
            return RV_ERROR;
        last = h.id;
        r->ring->youngest = place;
    }
    if (last > atomic_load(&r->ring->last))
        atomic_store(&r->ring->last, last);
    return RV_OK;
}

int
rv_replay_attach(rv_replay_t *r, void *memory, size_t size)
{
    if (attach(r, memory, size) != RV_OK)
        return RV_ERROR;
    return r->ring->magic == MAGIC && r->ring->size == r->size ? RV_OK : RV_ERROR;
}

int
rv_replay_check(rv_replay_t *r, void *memory, size_t size)
{
    if (rv_replay_attach(r, memory, size) != RV_OK)
        return RV_ERROR;

    /* a tail that was to move has told of it first */
    uint64_t tail = atomic_load(&r->ring->tail), behind;
    head_t h;
    while (look_at(r, tail, &h, &behind) == RV_OK && h.id <= r->ring->lost)
        atomic_store(&r->ring->tail, tail = behind);
    return walk(r, tail);
}

uint64_t
rv_replay_last(const rv_replay_t *r)
{
    return atomic_load(&r->ring->last);
}

/* --- writing ----------------------------------------------------------------------------- */

/* Room for so many bytes; the oldest messages go. RV_ERROR: the ring is not whole. */
static int
make_room(rv_replay_t *r, size_t length)
{
    uint64_t tail = atomic_load(&r->ring->tail), behind;
    head_t h;

    while (atomic_load(&r->ring->head) - tail + length > r->size) {
        if (look_at(r, tail, &h, &behind) != RV_OK) {
            errno = EPROTO;
            return RV_ERROR;
        }
        r->ring->lost = h.id;
        atomic_store(&r->ring->tail, tail = behind);
    }
    return RV_OK;
}

static int
append(rv_replay_t *r, const rv_replay_message_t *m)
{
    uint64_t place = atomic_load(&r->ring->head);
    head_t h = { .id = m->id,
        .topic_length = (uint32_t) m->topic_length,
        .text_length = (uint32_t) m->text_length };

    if (make_room(r, length_of(&h)) != RV_OK)
        return RV_ERROR;
    h.before = (uint32_t) (place - r->ring->youngest);
    h.check = check_of(&h);
    uint64_t end = copy_in(r, place, &h, sizeof(h));
    end = copy_in(r, end, m->topic, m->topic_length);
    end = copy_in(r, end, m->text, m->text_length);
    atomic_store(&r->ring->head, end);
    r->ring->youngest = place;
    atomic_store(&r->ring->last, m->id);
    return RV_OK;
}

int
rv_replay_append(rv_replay_t *r, const char *topic, size_t topic_length, const char *text,
    size_t text_length, uint64_t *id)
{
    const size_t most = rv_replay_largest(r->size) - sizeof(head_t);
    const rv_replay_message_t m = { atomic_load(&r->ring->last) + 1, topic, text, topic_length,
        text_length };

    if (topic_length > most || text_length > most - topic_length) {
        errno = EMSGSIZE;
        return RV_ERROR;
    }
    *id = m.id;
    return append(r, &m);
}

/* --- reading ----------------------------------------------------------------------------- */

/* The place of the first message behind this id: most who ask want the last few. */
static uint64_t
find(const rv_replay_t *r, uint64_t id)
{
    uint64_t place = r->ring->youngest, found = atomic_load(&r->ring->head);
    const uint64_t tail = atomic_load(&r->ring->tail);
    uint64_t behind;
    head_t h;

    while (look_at(r, place, &h, &behind) == RV_OK && h.id > id) {
        found = place;
        if (h.before == 0 || place - tail < h.before)
            break;
        place -= h.before;
    }
    return found;
}

/* Where to go on. 1: not where the cursor was, something has gone. */
static int
settle(const rv_replay_t *r, rv_replay_cursor_t *cursor)
{
    if (cursor->id < r->ring->lost || cursor->id > atomic_load(&r->ring->last)) {
        cursor->id = r->ring->lost;
        cursor->place = atomic_load(&r->ring->tail);
        return 1;
    }
    if (cursor->place == 0)
        cursor->place = find(r, cursor->id);
    return 0;
}

size_t
rv_replay_read(const rv_replay_t *r, rv_replay_cursor_t *cursor, uint64_t until, void *batch,
    size_t room, int *lost)
{
    size_t length = 0;
    uint64_t behind;
    head_t h;

    *lost = settle(r, cursor);
    while (look_at(r, cursor->place, &h, &behind) == RV_OK && h.id <= until) {
        if (length_of(&h) > room - length)
            break;
        memcpy((char *) batch + length, &h, sizeof(h));
        copy_out(r, cursor->place + sizeof(h), (char *) batch + length + sizeof(h),
            length_of(&h) - sizeof(h));
        length += length_of(&h);
        cursor->place = behind;
        cursor->id = h.id;
    }
    return length;
}

int
rv_replay_next(const void *batch, size_t length, size_t *at, rv_replay_message_t *message)
{
    const char *bytes = (const char *) batch + *at;
    head_t h;

    if (*at >= length)
        return RV_DONE;
    memcpy(&h, bytes, sizeof(h));
    message->id = h.id;
    message->topic = bytes + sizeof(h);
    message->topic_length = h.topic_length;
    message->text = message->topic + h.topic_length;
    message->text_length = h.text_length;
    *at += length_of(&h);
    return RV_OK;
}

/* --- carrying over ----------------------------------------------------------------------- */

static void
drop_all(rv_replay_t *r, uint64_t lost)
{
    uint64_t end = atomic_load(&r->ring->head);

    r->ring->lost = lost;
    r->ring->youngest = end;
    atomic_store(&r->ring->tail, end);
}

void
rv_replay_copy(rv_replay_t *to, const rv_replay_t *from)
{
    rv_replay_cursor_t cursor = { .id = from->ring->lost };
    const uint64_t last = atomic_load(&to->ring->last);
    const size_t room = rv_replay_largest(from->size);
    char *batch = malloc(room);
    rv_replay_message_t m;
    size_t length;
    int lost;

    if (batch != NULL)
        to->ring->lost = from->ring->lost;
    while (batch != NULL
        && (length = rv_replay_read(from, &cursor, UINT64_MAX, batch, room, &lost)) > 0) {
        for (size_t at = 0; rv_replay_next(batch, length, &at, &m) == RV_OK;) {
            if (sizeof(head_t) + m.topic_length + m.text_length > rv_replay_largest(to->size))
                drop_all(to, m.id); /* too large for this one */
            else
                (void) append(to, &m);
        }
    }
    atomic_store(&to->ring->last, last);
    free(batch);
}
