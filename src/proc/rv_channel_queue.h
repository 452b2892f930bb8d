/*
 * rv_channel_queue: what one channel has still to send.
 *
 * Records in the order in which they were given; each policy decides what makes way for a
 * new one where its bytes do not fit any more.
 */
#ifndef RV_CHANNEL_QUEUE_H
#define RV_CHANNEL_QUEUE_H

#include "rv_base.h"
#include "rv_channel.h"

#include <sys/uio.h>

enum { RV_CHANNEL_QUEUE_FDS = 2 }; /* descriptors that a waiting message may have */

typedef struct rv_channel_waiting_s {
    struct rv_channel_waiting_s *next;
    uint16_t type;
    uint32_t key; /* of a control message, 0: it is none */
    rv_channel_policy_t policy;
    uint64_t same; /* of one with the policy COALESCE */
    size_t weight; /* bytes that count towards the limit */
    size_t beside; /* those of it that are no bytes of the record */
    int fd[RV_CHANNEL_QUEUE_FDS];
    unsigned fd_count;
    size_t length; /* of record */
    size_t done;   /* of it already written, on a stream */
    char record[];
} rv_channel_waiting_t;

typedef struct {
    rv_channel_waiting_t *first;
    rv_channel_waiting_t **last;
    size_t bytes;   /* of messages that are no control messages */
    unsigned count; /* of all */
} rv_channel_queue_t;

void rv_channel_queue_init(rv_channel_queue_t *q);

/*
 * Appends a record, which is `parts`, of which `done` bytes are sent. Messages that make way for
 * it are counted in *dropped. RV_AGAIN: there is no room below `limit`; RV_ERROR: no memory or
 * descriptors, or too many of these (EINVAL). In both cases nothing has changed.
 */
int rv_channel_queue_add(rv_channel_queue_t *q, const rv_message_t *msg, const struct iovec *parts,
    size_t done, size_t limit, unsigned *dropped);

/* Takes out the first and gives up what it holds. */
void rv_channel_queue_drop(rv_channel_queue_t *q);

void rv_channel_queue_clear(rv_channel_queue_t *q);

/* How many that are no control messages wait. */
unsigned rv_channel_queue_count_data(const rv_channel_queue_t *q);

/* 1 while a control message with this key waits. */
int rv_channel_queue_has(const rv_channel_queue_t *q, uint32_t key);

#endif
