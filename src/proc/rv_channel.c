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
 * once for each key, so their number is bounded by what they are about. The one
 * global is the count of all channels of this process.
 */
#include "rv_channel.h"

#include "rv_channel_socket.h"
#include "rv_fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC UINT32_C(0x72766d31) /* "rvm1" */

typedef struct {
    uint32_t magic;
    uint32_t type;
    uint32_t length;
    uint32_t slot;
    uint32_t generation;
    uint32_t pid; /* the word of those whose kernel gives none */
} header_t;

enum {
    RECORD = sizeof(header_t) + RV_CHANNEL_DATA,
    DRAINED = 4096 /* more messages than a socket holds */
};

typedef struct waiting_s {
    struct waiting_s *next;
    uint32_t key;
    int fd;
    size_t length; /* of record */
    size_t done;   /* of it already written, on a stream */
    char record[];
} waiting_t;

struct rv_channel_s {
    const rv_channel_transport_t *transport;
    int fd;
    waiting_t *first;
    waiting_t **last;
    rv_channel_counts_t counts;

    void (*waiting)(rv_channel_t *, int, void *);
    void *data;

    char *record;  /* what is received */
    size_t filled; /* of it, on a stream */
    int received_fd;
};

static rv_channel_totals_t totals;

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
    ch->received_fd = -1;
    ch->last = &ch->first;
    return ch;
}

static void
drop_first(rv_channel_t *ch)
{
    waiting_t *w = ch->first;

    totals.queued--;
    ch->first = w->next;
    if (ch->first == NULL)
        ch->last = &ch->first;

    if (w->key == 0)
        ch->counts.queued -= w->length;
    rv_fd_close(&w->fd);
    free(w);
}

void
rv_channel_destroy(rv_channel_t *ch)
{
    if (ch == NULL)
        return;

    while (ch->first != NULL)
        drop_first(ch);
    rv_fd_discard(&ch->received_fd);
    rv_fd_close(&ch->fd);
    free(ch->record);
    free(ch);
}

void
rv_channel_inherit(rv_channel_t *ch)
{
    while (ch->first != NULL)
        drop_first(ch);
    rv_fd_discard(&ch->received_fd);
    ch->filled = 0;
}

int
rv_channel_fd(const rv_channel_t *ch)
{
    return ch->fd;
}

const rv_channel_counts_t *
rv_channel_counts(const rv_channel_t *ch)
{
    return &ch->counts;
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
    if (ch->first != NULL)
        tell_waiting(ch, 1);
}

void *
rv_channel_waiting_data(const rv_channel_t *ch)
{
    return ch->data;
}

/* --- sending --------------------------------------------------------------------- */

/* The bytes that go over the socket; how many. */
static size_t
write_record(const rv_channel_t *ch, const rv_message_t *msg, char *record)
{
    header_t h = { .magic = MAGIC,
        .type = msg->type,
        .length = msg->length,
        .slot = msg->slot,
        .generation = msg->generation,
        .pid = (uint32_t) getpid() };
    size_t used = sizeof(h) + msg->length;

    memcpy(record, &h, sizeof(h));
    if (msg->length > 0)
        memcpy(record + sizeof(h), msg->data, msg->length);
    if (!ch->transport->whole_records)
        return used;

    memset(record + used, 0, RECORD - used);
    return RECORD;
}

/* Takes a waiting control message with this key out of the queue. Not one of
 * which a stream has seen a part. */
static void
remove_key(rv_channel_t *ch, uint32_t key)
{
    for (waiting_t **p = &ch->first; *p != NULL; p = &(*p)->next) {
        waiting_t *w = *p;

        if (w->key != key || w->done > 0)
            continue;
        *p = w->next;
        if (ch->last == &w->next)
            ch->last = p;
        totals.queued--;
        rv_fd_close(&w->fd);
        free(w);
        return;
    }
}

static int
queue_record(
    rv_channel_t *ch, const rv_message_t *msg, const char *record, size_t length, size_t done)
{
    if (msg->key == 0 && ch->counts.queued + length > RV_CHANNEL_QUEUE) {
        ch->counts.full++;
        totals.full++;
        return RV_AGAIN;
    }

    waiting_t *w = malloc(sizeof(*w) + length);
    if (w == NULL)
        return RV_ERROR;

    memcpy(w->record, record, length);
    w->length = length;
    w->done = done;
    w->key = msg->key;
    w->next = NULL;
    w->fd = msg->fd == -1 ? -1 : rv_fd_dup(msg->fd);
    if (msg->fd != -1 && w->fd == -1) {
        free(w);
        return RV_ERROR;
    }

    if (msg->key != 0)
        remove_key(ch, msg->key);
    int was_empty = ch->first == NULL;
    *ch->last = w;
    ch->last = &w->next;
    ch->counts.queued += msg->key == 0 ? length : 0;
    totals.queued++;
    if (was_empty)
        tell_waiting(ch, 1);
    return RV_OK;
}

int
rv_channel_send(rv_channel_t *ch, const rv_message_t *msg)
{
    char record[RECORD];

    if (msg->length > RV_CHANNEL_DATA) {
        errno = EMSGSIZE;
        return RV_ERROR;
    }

    size_t length = write_record(ch, msg, record);
    if (ch->first != NULL)
        return queue_record(ch, msg, record, length, 0);

    ssize_t n = rv_channel_socket_send(ch->fd, record, length, msg->fd);
    if (n == -1)
        return rv_channel_socket_would_block(errno) ? queue_record(ch, msg, record, length, 0)
                                                    : RV_ERROR;

    if ((size_t) n < length)
        return queue_record(ch, msg, record, length, (size_t) n);

    ch->counts.sent++;
    totals.sent++;
    return RV_OK;
}

int
rv_channel_flush(rv_channel_t *ch)
{
    while (ch->first != NULL) {
        waiting_t *w = ch->first;
        ssize_t n = rv_channel_socket_send(
            ch->fd, w->record + w->done, w->length - w->done, w->done == 0 ? w->fd : -1);

        if (n == -1 && rv_channel_socket_would_block(errno))
            return RV_AGAIN;
        if (n == -1)
            break;

        w->done += (size_t) n;
        if (w->done < w->length)
            return RV_AGAIN;
        ch->counts.sent++;
        totals.sent++;
        drop_first(ch);
    }

    int failed = ch->first != NULL;
    while (ch->first != NULL)
        drop_first(ch);
    tell_waiting(ch, 0);
    return failed ? RV_ERROR : RV_OK;
}

int
rv_channel_is_waiting(const rv_channel_t *ch, uint32_t key)
{
    for (const waiting_t *w = ch->first; w != NULL; w = w->next) {
        if (w->key == key)
            return 1;
    }
    return 0;
}

/* --- receiving ------------------------------------------------------------------- */

/* Throws away the message at hand, on a stream the whole record. */
static int
refuse(rv_channel_t *ch)
{
    rv_fd_discard(&ch->received_fd);
    ch->filled = 0;
    ch->counts.refused++;
    totals.refused++;
    errno = EPROTO;
    return RV_ERROR;
}

/* The sender's pid: the kernel's word, or where it gives none the message's. */
static pid_t
sender_pid(pid_t kernel, const header_t *h)
{
    return RV_HAVE_SCM_CREDENTIALS ? kernel : (pid_t) h->pid;
}

int
rv_channel_receive(rv_channel_t *ch, rv_message_t *msg)
{
    rv_channel_received_t got;
    header_t h;

    if (ch->record == NULL && (ch->record = malloc(RECORD)) == NULL)
        return RV_ERROR;

    int result =
        rv_channel_socket_receive(ch->fd, ch->record + ch->filled, RECORD - ch->filled, &got);
    if (result == RV_ERROR && errno == EPROTO)
        return refuse(ch);
    if (result != RV_OK)
        return result;

    if (got.fd != -1) {
        rv_fd_discard(&ch->received_fd);
        ch->received_fd = got.fd;
    }
    ch->filled += got.length;
    if (ch->transport->whole_records && ch->filled < RECORD)
        return RV_AGAIN;

    size_t filled = ch->filled;
    ch->filled = 0;
    if (filled < sizeof(h))
        return refuse(ch);
    memcpy(&h, ch->record, sizeof(h));

    size_t whole = ch->transport->whole_records ? RECORD : sizeof(h) + h.length;
    if (h.magic != MAGIC || h.length > RV_CHANNEL_DATA || h.type > UINT16_MAX || filled != whole)
        return refuse(ch);

    *msg = (rv_message_t){ .type = (uint16_t) h.type,
        .slot = h.slot,
        .generation = h.generation,
        .length = h.length,
        .data = ch->record + sizeof(h),
        .fd = ch->received_fd,
        .pid = sender_pid(got.pid, &h) };
    ch->received_fd = -1;
    ch->counts.received++;
    totals.received++;
    return RV_OK;
}

uint64_t
rv_channel_refuse(rv_channel_t *ch)
{
    totals.refused++;
    return ++ch->counts.refused;
}

void
rv_channel_drain(rv_channel_t *ch)
{
    rv_message_t msg;

    for (int i = 0; i < DRAINED; i++) {
        int result = rv_channel_receive(ch, &msg);

        if (result == RV_OK)
            rv_fd_discard(&msg.fd);
        else if (result != RV_ERROR || errno != EPROTO)
            return;
    }
}
