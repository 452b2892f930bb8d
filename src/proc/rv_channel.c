/*
 * rv_channel: one end of a worker's socketpair.
 *
 * With SOCK_SEQPACKET each message is one datagram. Where there is no such
 * socket, each is one record of fixed size on a stream, which several
 * processes may write to because the kernel takes a record whole.
 *
 * A send never blocks: what the kernel does not take at once waits in the
 * channel's own queue, in order, and whoever owns the event loop calls
 * rv_channel_flush when the socket is writable. Control messages wait at most
 * once for each key, so their number is bounded by what they are about. The
 * globals are the count of all channels of this process, how many forks there were, and the
 * datagram that was received last.
 */
#include "rv_channel.h"

#include "rv_channel_flow.h"
#include "rv_channel_queue.h"
#include "rv_channel_record.h"
#include "rv_channel_socket.h"
#include "rv_fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DRAINED = 4096 /* more messages than a socket holds */ };

struct rv_channel_s {
    const rv_channel_transport_t *transport;
    int fd;
    int corked;
    int was_full; /* a send was refused, and that there is room was not told yet */
    int has_room; /* and now there is */
    rv_channel_queue_t queue;
    rv_channel_flow_t flow;
    rv_channel_counts_t counts;
    unsigned forks; /* between the first process and the one whose counts they are */

    void (*waiting)(rv_channel_t *, int, void *);
    void *data;

    rv_channel_record_t *in; /* of a stream; NULL: nothing was received yet */
};

static size_t limit = RV_CHANNEL_QUEUE;
static rv_channel_totals_t totals;
static unsigned forks;

static const rv_channel_transport_t transports[] = {
#if RV_HAVE_SEQPACKET
    { "seqpacket", SOCK_SEQPACKET, 0 },
#endif
    { "stream", SOCK_STREAM, 1 },
};

const rv_channel_transport_t *
rv_channel_transport(size_t i)
{
    return i < rv_countof(transports) ? &transports[i] : NULL;
}

/* --- life ------------------------------------------------------------------------ */

int
rv_channel_pair(const rv_channel_transport_t *transport, int fds[2])
{
    if (transport == NULL)
        transport = &transports[0];

    return rv_channel_socket_pair(transport->socket_type, fds);
}

rv_channel_t *
rv_channel_create(const rv_channel_transport_t *transport, int fd)
{
    rv_channel_t *ch = calloc(1, sizeof(*ch));

    if (ch == NULL) {
        rv_fd_close(&fd);
        return NULL;
    }
    ch->transport = transport == NULL ? &transports[0] : transport;
    ch->fd = fd;
    ch->forks = forks;
    rv_channel_queue_init(&ch->queue);
    return ch;
}

void
rv_channel_set_limit(size_t bytes)
{
    limit = bytes;
}

/* Its own, from the first use on: what is not written to is shared with the parent. */
static rv_channel_counts_t *
counts_of(rv_channel_t *ch)
{
    if (ch->forks != forks) {
        ch->forks = forks;
        ch->counts = (rv_channel_counts_t){ 0 };
    }
    return &ch->counts;
}

static void
count_dropped(rv_channel_t *ch, unsigned count)
{
    counts_of(ch)->dropped += count;
    totals.dropped += count;
}

static void
forget_waiting(rv_channel_t *ch)
{
    totals.queued -= ch->queue.count;
    rv_channel_queue_clear(&ch->queue);
    if (ch->was_full) /* in a child what is not written to is shared with the parent */
        ch->was_full = 0;
}

void
rv_channel_destroy(rv_channel_t *ch)
{
    if (ch == NULL)
        return;

    count_dropped(ch, rv_channel_queue_count_data(&ch->queue));
    forget_waiting(ch);
    rv_channel_record_forget(ch->in);
    rv_fd_close(&ch->fd);
    free(ch->in);
    free(ch);
}

void
rv_channel_inherit(rv_channel_t *ch)
{
    forget_waiting(ch);
    if (ch->has_room)
        ch->has_room = 0;
    if (ch->flow.weight != 0)
        ch->flow.weight = 0;
    rv_channel_record_forget(ch->in);
}

void
rv_channel_forked(void)
{
    totals.most = 0;
    forks++;
}

int
rv_channel_fd(const rv_channel_t *ch)
{
    return ch->fd;
}

const rv_channel_counts_t *
rv_channel_counts(rv_channel_t *ch)
{
    rv_channel_counts_t *counts = counts_of(ch);

    counts->queued = ch->queue.bytes;
    counts->waiting = ch->queue.count;
    return counts;
}

const rv_channel_totals_t *
rv_channel_totals(void)
{
    return &totals;
}

static void
tell_waiting(rv_channel_t *ch, int on)
{
    if (ch->waiting != NULL)
        ch->waiting(ch, on, ch->data);
}

void
rv_channel_on_waiting(rv_channel_t *ch, void (*waiting)(rv_channel_t *, int, void *), void *data)
{
    ch->waiting = waiting;
    ch->data = data;
    if (ch->queue.first != NULL && !ch->corked)
        tell_waiting(ch, 1);
}

void *
rv_channel_waiting_data(const rv_channel_t *ch)
{
    return ch->data;
}

/* --- sending --------------------------------------------------------------------- */

static void
count_sent(rv_channel_t *ch)
{
    counts_of(ch)->sent++;
    totals.sent++;
}

static int
refuse_to_send(rv_channel_t *ch)
{
    counts_of(ch)->full++;
    totals.full++;
    return RV_AGAIN;
}

static int
enqueue(rv_channel_t *ch, const rv_message_t *msg, const struct iovec *parts, size_t done)
{
    unsigned before = ch->queue.count, dropped = 0;

    if (msg->policy == RV_CHANNEL_NOW && done == 0)
        return msg->key != 0 ? RV_AGAIN : refuse_to_send(ch);

    int result = rv_channel_queue_add(&ch->queue, msg, parts, done, limit, &dropped);
    if (result == RV_AGAIN) {
        ch->was_full = 1;
        return refuse_to_send(ch);
    }
    if (result != RV_OK)
        return result;

    count_dropped(ch, dropped);
    totals.queued = totals.queued + ch->queue.count - before;
    rv_channel_counts_t *counts = counts_of(ch);
    counts->most = rv_max(counts->most, ch->queue.bytes);
    totals.most = rv_max(totals.most, (uint64_t) ch->queue.bytes);
    if (before == 0 && !ch->corked)
        tell_waiting(ch, 1);
    return RV_OK;
}

/* The first descriptor and the others, in one place. */
static unsigned
collect_descriptors(const rv_message_t *msg, int *fds)
{
    if (msg->fd == -1)
        return 0;

    fds[0] = msg->fd;
    if (msg->more_count > 0)
        memcpy(fds + 1, msg->more, msg->more_count * sizeof(int));
    return 1 + msg->more_count;
}

int
rv_channel_send(rv_channel_t *ch, const rv_message_t *msg)
{
    static const char zeros[RV_CHANNEL_DATA];
    char padded[RV_CHANNEL_DATA];
    int fds[RV_CHANNEL_FDS];

    if (msg->length > RV_CHANNEL_DATA || msg->more_count >= RV_CHANNEL_FDS) {
        errno = EMSGSIZE;
        return RV_ERROR;
    }
    rv_channel_head_t h = rv_channel_record_head(msg);
    struct iovec parts[2] = { { &h, sizeof(h) }, { (void *) (uintptr_t) msg->data, msg->length } };

    if (ch->transport->whole_records) {
        memcpy(padded, msg->length > 0 ? msg->data : zeros, msg->length);
        memcpy(padded + msg->length, zeros, sizeof(padded) - msg->length);
        parts[1] = (struct iovec){ padded, sizeof(padded) };
    }
    if (ch->queue.first != NULL || ch->corked
        || !rv_channel_flow_allows(&ch->flow, ch->fd, msg->weight, limit))
        return enqueue(ch, msg, parts, 0);

    ssize_t n = rv_channel_socket_send(ch->fd, parts, fds, collect_descriptors(msg, fds));
    if (n == -1)
        return rv_channel_socket_would_block(errno) ? enqueue(ch, msg, parts, 0) : RV_ERROR;

    if ((size_t) n < parts[0].iov_len + parts[1].iov_len)
        return enqueue(ch, msg, parts, (size_t) n);

    rv_channel_flow_add(&ch->flow, ch->fd, msg->weight);
    count_sent(ch);
    return RV_OK;
}

/* Gives the first that waits to the socket. RV_OK: all of it. */
static int
flush_first(rv_channel_t *ch)
{
    rv_channel_waiting_t *w = ch->queue.first;
    const struct iovec parts[2] = { { w->record + w->done, w->length - w->done }, { NULL, 0 } };

    if (w->done == 0 && !rv_channel_flow_allows(&ch->flow, ch->fd, w->beside, limit)) {
        errno = ENOBUFS; /* the socket is writable all the time */
        return RV_AGAIN;
    }
    ssize_t n = rv_channel_socket_send(ch->fd, parts, w->fd, w->done == 0 ? w->fd_count : 0);

    if (n == -1)
        return rv_channel_socket_would_block(errno) ? RV_AGAIN : RV_ERROR;

    w->done += (size_t) n;
    if (w->done < w->length)
        return RV_AGAIN;
    rv_channel_flow_add(&ch->flow, ch->fd, w->beside);
    rv_channel_queue_drop(&ch->queue);
    totals.queued--;
    count_sent(ch);
    return RV_OK;
}

static void
note_room(rv_channel_t *ch)
{
    if (!ch->was_full || ch->queue.bytes > limit / 2)
        return;
    ch->was_full = 0;
    ch->has_room = 1;
    totals.roomy++;
}

int
rv_channel_flush(rv_channel_t *ch)
{
    int result = RV_OK;

    errno = EAGAIN;
    if (ch->corked)
        return RV_AGAIN;
    while (result == RV_OK && ch->queue.first != NULL)
        result = flush_first(ch);
    note_room(ch);
    if (result == RV_AGAIN)
        return RV_AGAIN;

    if (result == RV_ERROR) {
        count_dropped(ch, rv_channel_queue_count_data(&ch->queue));
        forget_waiting(ch);
    }
    tell_waiting(ch, 0);
    return result;
}

int
rv_channel_take_room(rv_channel_t *ch)
{
    int room = ch->has_room;

    ch->has_room = 0;
    return room;
}

void
rv_channel_cork(rv_channel_t *ch, int on)
{
    if (ch->corked == on)
        return;

    ch->corked = on;
    if (ch->queue.first != NULL)
        tell_waiting(ch, !on);
}

int
rv_channel_is_waiting(const rv_channel_t *ch, uint32_t key)
{
    return rv_channel_queue_has(&ch->queue, key);
}

/* --- receiving ------------------------------------------------------------------- */

/* A datagram is taken whole, so that one place is enough for all channels. */
static rv_channel_record_t *
record_of(rv_channel_t *ch)
{
    static rv_channel_record_t datagram;

    if (!ch->transport->whole_records)
        return &datagram;
    if (ch->in == NULL)
        ch->in = calloc(1, sizeof(*ch->in));
    return ch->in;
}

/* Throws away the message at hand, on a stream the whole record. */
static int
refuse(rv_channel_t *ch, rv_channel_record_t *in)
{
    rv_channel_record_forget(in);
    counts_of(ch)->refused++;
    totals.refused++;
    errno = EPROTO;
    return RV_ERROR;
}

int
rv_channel_receive(rv_channel_t *ch, rv_message_t *msg)
{
    int whole = ch->transport->whole_records;
    rv_channel_record_t *in = record_of(ch);
    pid_t pid;

    if (in == NULL)
        return RV_ERROR;

    int result = rv_channel_record_collect(in, ch->fd, whole, &pid);
    if (result == RV_OK)
        result = rv_channel_record_read(in, whole, pid, msg);
    if (result == RV_ERROR && errno == EPROTO)
        return refuse(ch, in);
    if (result != RV_OK)
        return result;

    counts_of(ch)->received++;
    totals.received++;
    return RV_OK;
}

int
rv_channel_take(rv_message_t *msg, unsigned i)
{
    int *place = i == 0 ? &msg->fd : (int *) (uintptr_t) &msg->more[i - 1]; /* in our own record */
    int fd = *place;

    *place = -1;
    return fd;
}

void
rv_channel_discard(rv_message_t *msg)
{
    rv_fd_discard(&msg->fd);
    for (; msg->more_count > 0; msg->more_count--) {
        int fd = msg->more[msg->more_count - 1];

        rv_fd_discard(&fd);
    }
}

uint64_t
rv_channel_refuse(rv_channel_t *ch)
{
    totals.refused++;
    return ++counts_of(ch)->refused;
}

void
rv_channel_drain(rv_channel_t *ch)
{
    rv_message_t msg;

    for (int i = 0; i < DRAINED; i++) {
        int result = rv_channel_receive(ch, &msg);

        if (result == RV_OK)
            rv_channel_discard(&msg);
        else if (result != RV_ERROR || errno != EPROTO)
            return;
    }
}
