/*
 * rv_channel_queue: what one channel has still to send.
 *
 * Of a message that a stream has seen a part of the rest must follow, so that one never
 * makes way.
 */
#include "rv_channel_queue.h"

#include "rv_fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void
rv_channel_queue_init(rv_channel_queue_t *q)
{
    *q = (rv_channel_queue_t){ .last = &q->first };
}

static void
release(rv_channel_waiting_t *w)
{
    for (unsigned i = 0; i < w->fd_count; i++)
        rv_fd_close(&w->fd[i]);
    free(w);
}

/* Takes out the one that *place points to. */
static void
take_out(rv_channel_queue_t *q, rv_channel_waiting_t **place)
{
    rv_channel_waiting_t *w = *place;

    *place = w->next;
    if (q->last == &w->next)
        q->last = place;
    q->bytes -= w->key == 0 ? w->weight : 0;
    q->count--;
    release(w);
}

void
rv_channel_queue_drop(rv_channel_queue_t *q)
{
    take_out(q, &q->first);
}

void
rv_channel_queue_clear(rv_channel_queue_t *q)
{
    while (q->first != NULL)
        take_out(q, &q->first);
}

int
rv_channel_queue_has(const rv_channel_queue_t *q, uint32_t key)
{
    for (const rv_channel_waiting_t *w = q->first; w != NULL; w = w->next) {
        if (w->key == key)
            return 1;
    }
    return 0;
}

unsigned
rv_channel_queue_count_data(const rv_channel_queue_t *q)
{
    unsigned count = 0;

    for (const rv_channel_waiting_t *w = q->first; w != NULL; w = w->next)
        count += w->key == 0;
    return count;
}

/* --- what makes way ------------------------------------------------------------------ */

static int
is_replaced(const rv_channel_waiting_t *w, const rv_message_t *msg)
{
    if (msg->key != 0)
        return w->key == msg->key;
    return msg->policy == RV_CHANNEL_COALESCE && w->policy == RV_CHANNEL_COALESCE && w->key == 0
        && w->type == msg->type && w->same == msg->same;
}

static rv_channel_waiting_t **
find_replaced(rv_channel_queue_t *q, const rv_message_t *msg)
{
    if (msg->key == 0 && msg->policy != RV_CHANNEL_COALESCE)
        return NULL;
    for (rv_channel_waiting_t **p = &q->first; *p != NULL; p = &(*p)->next) {
        if ((*p)->done == 0 && is_replaced(*p, msg))
            return p;
    }
    return NULL;
}

/* How many bytes the oldest of a type give back, as far as `missing` takes. */
static size_t
weigh_oldest(const rv_channel_queue_t *q, const rv_message_t *msg, size_t missing)
{
    size_t given = 0;

    for (const rv_channel_waiting_t *w = q->first; w != NULL && given < missing; w = w->next) {
        if (w->done == 0 && w->key == 0 && w->type == msg->type)
            given += w->weight;
    }
    return given;
}

static unsigned
drop_oldest(rv_channel_queue_t *q, const rv_message_t *msg, size_t missing)
{
    unsigned dropped = 0;
    size_t given = 0;

    for (rv_channel_waiting_t **p = &q->first; *p != NULL && given < missing;) {
        rv_channel_waiting_t *w = *p;

        if (w->done > 0 || w->key != 0 || w->type != msg->type) {
            p = &w->next;
            continue;
        }
        given += w->weight;
        take_out(q, p);
        dropped++;
    }
    return dropped;
}

/* --- adding ------------------------------------------------------------------------------ */

/* Those that have to wait: on a stream they go with the first byte. */
static unsigned
count_descriptors(const rv_message_t *msg, size_t done)
{
    return msg->fd == -1 || done > 0 ? 0 : 1 + msg->more_count;
}

static size_t
weigh(const rv_message_t *msg, const struct iovec *parts, size_t done)
{
    size_t fds = count_descriptors(msg, done);

    return parts[0].iov_len + parts[1].iov_len + msg->weight + fds * RV_CHANNEL_FD;
}

static rv_channel_waiting_t *
create(const rv_message_t *msg, const struct iovec *parts, size_t done, size_t weight)
{
    size_t length = parts[0].iov_len + parts[1].iov_len;
    unsigned fds = count_descriptors(msg, done);

    rv_channel_waiting_t *w = malloc(sizeof(*w) + length);
    if (w == NULL)
        return NULL;

    *w = (rv_channel_waiting_t){ .type = msg->type,
        .key = msg->key,
        .policy = msg->policy,
        .same = msg->same,
        .weight = weight,
        .beside = msg->weight,
        .length = length,
        .done = done };
    memcpy(w->record, parts[0].iov_base, parts[0].iov_len);
    if (parts[1].iov_len > 0)
        memcpy(w->record + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);

    for (; w->fd_count < fds; w->fd_count++) {
        w->fd[w->fd_count] = rv_fd_dup(w->fd_count == 0 ? msg->fd : msg->more[w->fd_count - 1]);
        if (w->fd[w->fd_count] == -1) {
            release(w);
            return NULL;
        }
    }
    return w;
}

/* Whether the message may take `missing` bytes from those that wait. */
static int
makes_way(const rv_channel_queue_t *q, const rv_message_t *msg, size_t missing)
{
    size_t given;

    if (missing == 0)
        return 1;
    if (msg->policy != RV_CHANNEL_OLDEST)
        return 0;
    given = weigh_oldest(q, msg, missing);
    return given >= missing || given == q->bytes;
}

int
rv_channel_queue_add(rv_channel_queue_t *q, const rv_message_t *msg, const struct iovec *parts,
    size_t done, size_t limit, unsigned *dropped)
{
    rv_channel_waiting_t **replaced = done > 0 ? NULL : find_replaced(q, msg);
    size_t weight = weigh(msg, parts, done);
    size_t less = replaced == NULL || msg->key != 0 ? 0 : (*replaced)->weight;
    size_t after = q->bytes - less + weight;
    /* what is larger than the limit may wait alone: else it could never be sent */
    int must = msg->key != 0 || done > 0 || after == weight;
    size_t missing = must || after <= limit ? 0 : after - limit;

    if (count_descriptors(msg, done) > RV_CHANNEL_QUEUE_FDS) {
        errno = EINVAL;
        return RV_ERROR;
    }
    if (!makes_way(q, msg, missing))
        return RV_AGAIN;

    rv_channel_waiting_t *w = create(msg, parts, done, weight);
    if (w == NULL)
        return RV_ERROR;

    *dropped = replaced != NULL && msg->key == 0 ? 1 : 0;
    if (replaced != NULL)
        take_out(q, replaced);
    if (missing > 0)
        *dropped += drop_oldest(q, msg, missing);

    *q->last = w;
    q->last = &w->next;
    q->bytes += msg->key == 0 ? weight : 0;
    q->count++;
    return RV_OK;
}
