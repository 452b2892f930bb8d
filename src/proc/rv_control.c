/*
 * rv_control: what the master and its workers say to one another.
 *
 * Control messages are coalesced by key: the last word on a slot counts, since
 * OPEN replaces what stood there and CLOSE of an empty slot does nothing. So a
 * receiver that does not read costs the master at most one waiting message for each
 * slot, log, and listening socket.
 */
#include "rv_control.h"

#include "rv_peers.h"

#include <errno.h>
#include <string.h>

enum {
    KEY_SHIFT = 24,
    KEY_LOG = 2 << KEY_SHIFT, /* 1 is rv_peers' */
    KEY_LISTEN = 3 << KEY_SHIFT,
    PLACE_SHIFT = 10 /* the place of a listener's socket is below 1024 */
};

static uint32_t
order_key(rv_control_type_t order)
{
    return (uint32_t) order << KEY_SHIFT | UINT32_C(0x80000000);
}

unsigned
rv_control_start(rv_process_t *p)
{
    uint32_t slots[RV_PROCESS_SLOTS];
    unsigned count = 0;

    for (rv_process_t *other = rv_process_each(NULL); other != NULL;
         other = rv_process_each(other)) {
        if (other == p || rv_peers_is_told(other, p))
            continue;
        slots[count++] = other->slot;
        p->unknown[other->slot / 64] |= UINT64_C(1) << other->slot % 64;
    }
    p->unknown_count = count;

    const rv_message_t msg = { .type = RV_CONTROL_START,
        .slot = RV_PROCESS_MASTER,
        .length = (uint32_t) (count * sizeof(slots[0])),
        .data = slots,
        .fd = -1,
        .key = order_key(RV_CONTROL_START) };
    (void) rv_channel_send(p->channel[0], &msg); /* failing means that p is dead */
    return count;
}

/* Those of p->unknown that know it by now. Who has died meanwhile is no matter any more: p is told
 * of that, and who has the slot now has inherited p. */
static unsigned
take_known(rv_process_t *p, uint32_t *slots, unsigned room)
{
    unsigned count = 0;

    for (uint32_t slot = 0; slot < RV_PROCESS_SLOTS && count < room; slot++) {
        const rv_process_t *other = rv_process_at(slot);
        int is_gone = other->state == RV_PROCESS_FREE;

        if ((p->unknown[slot / 64] >> slot % 64 & 1) == 0
            || (!is_gone && !rv_peers_is_told(other, p)))
            continue;
        p->unknown[slot / 64] &= ~(UINT64_C(1) << slot % 64);
        p->unknown_count--;
        if (!is_gone)
            slots[count++] = slot;
    }
    return count;
}

/* While word of this kind waits for p, what has come since stays to be told. */
unsigned
rv_control_introduce(rv_process_t *p)
{
    uint32_t slots[RV_PROCESS_SLOTS];

    if (rv_channel_is_waiting(p->channel[0], order_key(RV_CONTROL_KNOWN)))
        return p->unknown_count;

    unsigned count = take_known(p, slots, rv_countof(slots));
    const rv_message_t msg = { .type = RV_CONTROL_KNOWN,
        .slot = RV_PROCESS_MASTER,
        .length = (uint32_t) (count * sizeof(slots[0])),
        .data = slots,
        .fd = -1,
        .key = order_key(RV_CONTROL_KNOWN) };
    if (count > 0)
        (void) rv_channel_send(p->channel[0], &msg);
    return p->unknown_count;
}

int
rv_control_order(const rv_process_t *p, rv_control_type_t order)
{
    const rv_message_t msg = {
        .type = (uint16_t) order, .slot = RV_PROCESS_MASTER, .fd = -1, .key = order_key(order)
    };

    return rv_channel_send(p->channel[0], &msg);
}

void
rv_control_workers(unsigned generation, unsigned count)
{
    const uint32_t number = count;
    const rv_message_t msg = { .type = RV_CONTROL_WORKERS,
        .slot = RV_PROCESS_MASTER,
        .length = sizeof(number),
        .data = &number,
        .fd = -1,
        .key = order_key(RV_CONTROL_WORKERS) };

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->generation == generation && p->state != RV_PROCESS_DRAINING)
            (void) rv_channel_send(p->channel[0], &msg);
    }
}

void
rv_control_reopen(unsigned output, int fd, uint32_t round)
{
    const rv_control_log_t log = { output, round };
    const rv_message_t msg = { .type = RV_CONTROL_REOPEN,
        .slot = RV_PROCESS_MASTER,
        .length = sizeof(log),
        .data = &log,
        .fd = fd,
        .key = KEY_LOG | output };

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->round != round)
            p->reopening = 0;
        p->round = round;
        if (rv_channel_send(p->channel[0], &msg) != RV_OK)
            continue;
        p->reopening++;
        p->owed++;
    }
}

int
rv_control_take_reopened(rv_process_t *p, const rv_message_t *msg)
{
    rv_control_log_t log;

    if (msg->length != sizeof(log) || p->owed == 0)
        return RV_ERROR;

    p->owed--;
    memcpy(&log, msg->data, sizeof(log));
    if (log.round == p->round && p->reopening > 0)
        p->reopening--;
    return RV_OK;
}

int
rv_control_has_reopened(uint32_t round)
{
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->round == round && p->reopening > 0)
            return 0;
    }
    return 1;
}

void
rv_control_listen(unsigned generation, unsigned listener, unsigned place, int fd)
{
    const uint32_t index = listener;
    const rv_message_t msg = { .type = RV_CONTROL_LISTEN,
        .slot = RV_PROCESS_MASTER,
        .length = sizeof(index),
        .data = &index,
        .fd = fd,
        .key = KEY_LISTEN | listener << PLACE_SHIFT | place };

    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (p->generation == generation && p->state != RV_PROCESS_DRAINING)
            (void) rv_channel_send(p->channel[0], &msg);
    }
}

int
rv_control_ready(void)
{
    const rv_process_t *self = rv_process_self();
    const rv_message_t msg = { .type = RV_CONTROL_READY,
        .slot = self->slot,
        .generation = self->generation,
        .fd = -1,
        .key = order_key(RV_CONTROL_READY) };

    return rv_channel_send(self->channel[1], &msg);
}

int
rv_control_peer(const rv_message_t *msg, unsigned i, rv_process_id_t *peer)
{
    size_t count = msg->length / sizeof(*peer);
    size_t fds = msg->fd == -1 ? 0 : 1 + msg->more_count; /* until the first is taken */

    if (count == 0 || msg->length % sizeof(*peer) != 0)
        return RV_ERROR;
    if (i == 0 && msg->type == RV_CONTROL_OPEN && fds != count)
        return RV_ERROR;
    if (i >= count)
        return RV_DONE;

    memcpy(peer, (const char *) msg->data + i * sizeof(*peer), sizeof(*peer));
    if (peer->slot >= RV_PROCESS_SLOTS || rv_process_at(peer->slot) == rv_process_self())
        return RV_ERROR;
    return RV_OK;
}

int
rv_control_enter(rv_message_t *msg, unsigned i, const rv_process_id_t *peer)
{
    if (msg->type == RV_CONTROL_CLOSE) {
        rv_process_release(rv_process_at(peer->slot));
        return RV_OK;
    }
    return rv_process_enter(
        peer->slot, peer->worker, peer->generation, peer->pid, rv_channel_take(msg, i));
}

/* Its channel is corked as long as it is not known to the other. */
static void
uncork(rv_process_t *p)
{
    if (p != rv_process_self() && p->channel[0] != NULL)
        rv_channel_cork(p->channel[0], 0);
}

int
rv_control_uncork(const rv_message_t *msg)
{
    unsigned char named[RV_PROCESS_SLOTS] = { 0 };
    int others = msg->type == RV_CONTROL_START; /* than those that are named */
    uint32_t slot;

    if (msg->length > RV_PROCESS_SLOTS * sizeof(slot) || msg->length % sizeof(slot) != 0)
        return RV_ERROR;
    for (size_t at = 0; at < msg->length; at += sizeof(slot)) {
        memcpy(&slot, (const char *) msg->data + at, sizeof(slot));
        if (slot >= RV_PROCESS_SLOTS)
            return RV_ERROR;
        named[slot] = 1;
    }
    for (rv_process_t *p = rv_process_each(NULL); p != NULL; p = rv_process_each(p)) {
        if (named[p->slot] != others)
            uncork(p);
    }
    return RV_OK;
}

int
rv_control_log(const rv_message_t *msg, rv_control_log_t *log)
{
    if (msg->length != sizeof(*log) || msg->fd == -1)
        return RV_ERROR;

    memcpy(log, msg->data, sizeof(*log));
    return RV_OK;
}

int
rv_control_count(const rv_message_t *msg, unsigned *count)
{
    uint32_t value;

    if (msg->length != sizeof(value))
        return RV_ERROR;

    memcpy(&value, msg->data, sizeof(value));
    *count = value;
    return RV_OK;
}

int
rv_control_index(const rv_message_t *msg, unsigned *index)
{
    uint32_t value;

    if (msg->length != sizeof(value) || msg->fd == -1)
        return RV_ERROR;

    memcpy(&value, msg->data, sizeof(value));
    *index = value;
    return RV_OK;
}

int
rv_control_reopened(const rv_control_log_t *log)
{
    const rv_process_t *self = rv_process_self();
    const rv_message_t msg = { .type = RV_CONTROL_REOPENED,
        .slot = self->slot,
        .generation = self->generation,
        .length = sizeof(*log),
        .data = log,
        .fd = -1,
        .key = KEY_LOG | log->output };

    return rv_channel_send(self->channel[1], &msg);
}

int
rv_control_is_genuine(const rv_message_t *msg)
{
    if (msg->slot == RV_PROCESS_MASTER)
        return msg->pid == rv_process_master();

    if (msg->slot >= RV_PROCESS_SLOTS)
        return 0;

    const rv_process_t *p = rv_process_at(msg->slot);
    int control = msg->type < RV_CONTROL_USER && msg->type != RV_CONTROL_READY
        && msg->type != RV_CONTROL_REOPENED;
    return p->state != RV_PROCESS_FREE && p->pid == msg->pid && p->generation == msg->generation
        && !control;
}
