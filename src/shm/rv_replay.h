/*
 * rv_replay: the last messages, in memory that many processes share.
 *
 * A ring of messages, each with a topic, a text, and an id that is higher than that of any
 * message before. A new one makes the oldest go. Readers have a cursor each, which is theirs alone,
 * and so get every message once and in order, or are told that some have gone.
 *
 * Whoever shares the memory holds a lock around the functions that say so. One that is killed
 * meanwhile leaves the ring as it was before its message, or with it: rv_replay_check says so to
 * the next. Nothing that stands in the memory makes a reader read outside of it.
 */
#ifndef RV_REPLAY_H
#define RV_REPLAY_H

#include "rv_base.h"

typedef struct rv_replay_ring_s rv_replay_ring_t;

/* A process's way to it. */
typedef struct {
    rv_replay_ring_t *ring; /* shared */
    size_t size;            /* for messages, bytes */
} rv_replay_t;

/* Bytes that it takes itself; all beyond is for messages, at least RV_REPLAY_LEAST. */
size_t rv_replay_overhead(void);
#define RV_REPLAY_LEAST 1024

/* Lays it out, empty; ids begin behind `last`. RV_ERROR: that is too little memory. */
int rv_replay_create(rv_replay_t *r, void *memory, size_t size, uint64_t last);

/* What was laid out there before, as it is. RV_ERROR: it is not what it should be. */
int rv_replay_attach(rv_replay_t *r, void *memory, size_t size);

/* What was laid out there before: checked, and made whole where its writer was killed. RV_ERROR: it
 * is not what it should be. Under the lock. */
int rv_replay_check(rv_replay_t *r, void *memory, size_t size);

/* Adds what `from` holds, as much of the youngest as there is room for, with the same ids. To an
 * empty one whose ids begin behind those. Both under their locks. */
void rv_replay_copy(rv_replay_t *to, const rv_replay_t *from);

/*
 * Adds a message, under the lock. RV_ERROR, EMSGSIZE: it is more than a quarter of the whole;
 * the ring is unchanged.
 */
int rv_replay_append(rv_replay_t *r, const char *topic, size_t topic_length, const char *text,
    size_t text_length, uint64_t *id);

/* The id of the youngest message; without a lock. */
uint64_t rv_replay_last(const rv_replay_t *r);

/* Where a reader stands: it has what has an id up to this one. */
typedef struct {
    uint64_t id;
    uint64_t place; /* 0, or what rv_replay_read has left here */
} rv_replay_cursor_t;

/*
 * Copies messages behind the cursor and not behind `until` to `batch`, as many as there is room
 * for, which must be for the largest one, and moves the cursor. Returns the bytes; 0: there are no
 * more. *lost is set where some had gone before they were read. Under the lock.
 */
size_t rv_replay_read(const rv_replay_t *r, rv_replay_cursor_t *cursor, uint64_t until, void *batch,
    size_t room, int *lost);

/* Room for any message of a ring of so many bytes. */
size_t rv_replay_largest(size_t size);

typedef struct {
    uint64_t id;
    const char *topic, *text;
    size_t topic_length, text_length;
} rv_replay_message_t;

/* The messages of a batch, one by one: begin with *at 0. RV_DONE: no more. */
int rv_replay_next(const void *batch, size_t length, size_t *at, rv_replay_message_t *message);

#endif
