/*
 * rv_channel: one end of a worker's socketpair.
 *
 * A message is a type, at most RV_CHANNEL_DATA bytes and a few descriptors. It
 * arrives whole or not at all, with the sender's pid as the kernel knows it.
 */
#ifndef RV_CHANNEL_H
#define RV_CHANNEL_H

#include "rv_base.h"

#include <sys/types.h>

#define RV_CHANNEL_DATA 16384          /* bytes in one message */
#define RV_CHANNEL_FDS 253             /* descriptors in one message, what the kernel takes */
#define RV_CHANNEL_FD 4096             /* bytes that a descriptor counts as, while it waits */
#define RV_CHANNEL_QUEUE (1024 * 1024) /* bytes that wait in one queue, unless told otherwise */

/* What becomes of a message that the kernel does not take at once. */
typedef enum {
    RV_CHANNEL_FAIL = 0, /* it waits; where the queue is full it is refused */
    RV_CHANNEL_OLDEST,   /* it waits; where the queue is full the oldest of its type are dropped */
    RV_CHANNEL_COALESCE, /* it waits behind all others; one of its type that is about the same goes */
    RV_CHANNEL_NOW       /* it is refused */
} rv_channel_policy_t;

typedef struct {
    uint16_t type;
    uint16_t flags; /* for the layer above, and so is call: they travel with it */
    uint32_t call;
    uint32_t slot;       /* the sender's */
    uint32_t generation; /* the sender's */
    uint32_t length;     /* of data, bytes */
    const void *data;
    int fd;              /* -1: none. Sent: stays the caller's. Received: becomes the caller's */
    const int *more;     /* further ones, as fd; only where that is not -1 */
    unsigned more_count; /* while it waits a message can have one */
    pid_t pid;           /* received: the kernel's word for who sent it */
    uint64_t sent;       /* received: us, when it was given to rv_channel_send */
    /*
     * Sent: not 0 for a control message. One with the same key that still
     * waits is replaced by this one, and it is never refused but by the policy NOW.
     */
    uint32_t key;
    rv_channel_policy_t policy; /* sent: of a control message NOW or nothing */
    uint64_t same;              /* sent: what it is about, for COALESCE */
    size_t weight; /* sent: bytes that it takes beside its own, until the receiver has it */
} rv_message_t;

typedef struct {
    uint64_t sent;
    uint64_t received;
    uint64_t refused; /* received and thrown away */
    uint64_t full;    /* sends answered with RV_AGAIN */
    uint64_t dropped; /* messages that waited and made way for others, or whose receiver died */
    size_t queued;    /* bytes waiting now, without control messages */
    size_t most;      /* the most that there were */
    unsigned waiting; /* messages waiting now, control messages too */
} rv_channel_counts_t;

/* Of all channels that this process has, or had. After a fork they go on from
 * the parent's; what waits is the process's own. */
typedef struct {
    uint64_t sent;
    uint64_t received;
    uint64_t refused;
    uint64_t full;
    uint64_t dropped;
    uint64_t queued; /* messages waiting now, control messages too */
    uint64_t most;   /* bytes: the most that waited in one of them */
    uint64_t roomy;  /* how often one that had been full had room again */
} rv_channel_totals_t;

typedef struct rv_channel_s rv_channel_t;

/* How messages travel: a row each, in the order of preference. */
typedef struct {
    const char *name; /* seqpacket, stream */
    int socket_type;
    int whole_records; /* a message is one record of fixed size, on a stream */
} rv_channel_transport_t;

const rv_channel_transport_t *rv_channel_transport(size_t i);

/* A connected pair by the first (transport NULL) or the given transport. */
int rv_channel_pair(const rv_channel_transport_t *transport, int fds[2]);

/*
 * An end that is to be written to, read from, or both. Takes fd over in any
 * case. NULL and errno.
 */
rv_channel_t *rv_channel_create(const rv_channel_transport_t *transport, int fd);

/* Closes the descriptor and gives up what waits. NULL is allowed. */
void rv_channel_destroy(rv_channel_t *ch);

/* The bytes that may wait in each queue from now on, and the weight that may be on its way beside
 * that. */
void rv_channel_set_limit(size_t bytes);

/* After a fork, in the child: forgets what the parent had waiting. The
 * descriptor stays, and so does whom to tell. */
void rv_channel_inherit(rv_channel_t *ch);

/* After a fork, in the child, once: what each channel has counted, and the most that waited, was
 * the parent's. */
void rv_channel_forked(void);

int rv_channel_fd(const rv_channel_t *ch);
const rv_channel_counts_t *rv_channel_counts(rv_channel_t *ch);

const rv_channel_totals_t *rv_channel_totals(void);

/* Who is told when messages begin (1) and cease (0) to wait for the socket to
 * become writable; at once, where some wait already. */
void rv_channel_on_waiting(
    rv_channel_t *ch, void (*waiting)(rv_channel_t *, int, void *), void *data);
void *rv_channel_waiting_data(const rv_channel_t *ch);

/*
 * Sends, or queues what the kernel does not take at once, with a copy of the
 * data and duplicates of the descriptors. RV_OK; RV_AGAIN: the queue is full (or, with
 * the policy NOW, the socket, or something waits already), nothing was sent; RV_ERROR: the other
 * end is gone (EPIPE, ECONNRESET), or the message too long (EMSGSIZE).
 */
int rv_channel_send(rv_channel_t *ch, const rv_message_t *msg);

/* 1, once after a send was refused because the queue was full: now half of it is free. */
int rv_channel_take_room(rv_channel_t *ch);

/* Holds all messages back in the queue (1), or no more (0). */
void rv_channel_cork(rv_channel_t *ch, int on);

/* Sends what waits. RV_OK: nothing waits any more; RV_AGAIN; RV_ERROR: the other end is gone, and
 * what waited has been given up. With RV_AGAIN errno says what to wait for: EAGAIN, until the
 * socket is writable; else (ETOOMANYREFS, ENOBUFS) until some time has passed. */
int rv_channel_flush(rv_channel_t *ch);

/* 1 while a control message with this key waits. */
int rv_channel_is_waiting(const rv_channel_t *ch, uint32_t key);

/*
 * Takes one message. msg->data and msg->more are valid until the next call, for any channel; the
 * descriptors are the caller's to close. RV_OK; RV_AGAIN: none there; RV_DONE: the other end is
 * closed; RV_ERROR: what came was no message of ours (errno EPROTO), it is
 * counted, its descriptors are closed, and the next may be asked for; or
 * another errno, then the channel is of no more use.
 */
int rv_channel_receive(rv_channel_t *ch, rv_message_t *msg);

/* The i-th descriptor of a received message, 0 is msg->fd; it is the caller's now. -1: it was
 * taken. */
int rv_channel_take(rv_message_t *msg, unsigned i);

/* Closes the descriptors of a received message that nobody has taken (set to -1). */
void rv_channel_discard(rv_message_t *msg);

/* Throws away what has come and was not received, so that destroying the channel
 * never waits, whatever descriptors a dead peer has left in it. */
void rv_channel_drain(rv_channel_t *ch);

/* Counts a received message as refused, for a reason that the caller knows.
 * Returns how many there were: the first is worth a line in the log. */
uint64_t rv_channel_refuse(rv_channel_t *ch);

#endif
