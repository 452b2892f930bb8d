/*
 * rv_events_listener: who listens to what at this worker, and what is written to them.
 */
#ifndef RV_EVENTS_LISTENER_H
#define RV_EVENTS_LISTENER_H

#include "rv_events_ring.h"
#include "rv_http_stream.h"
#include "rv_stats.h"

typedef struct rv_events_listener_s rv_events_listener_t;

/* Of the module "events". */
extern const rv_stats_def_t rv_events_listener_stats[];

/* In a worker, first: who listens from now on hears what is new from now on. */
void rv_events_listener_init(rv_stats_t *stats);

/* Writes what is new to all who listen. */
void rv_events_listener_deliver(void);

/* The id up to which that was done. */
uint64_t rv_events_listener_here(void);

/* Writes a comment, and the id up to which they have all, to all who listen. */
void rv_events_listener_greet(void);

/* One of a topic, with nothing to write to yet. NULL: no memory. */
rv_events_listener_t *rv_events_listener_create(const char *topic);
void rv_events_listener_destroy(rv_events_listener_t *l);

/* It has what has an id up to `since`, and is told to come again after so many milliseconds,
 * should its connection be lost. */
void rv_events_listener_begin(
    rv_events_listener_t *l, rv_http_stream_t *stream, uint64_t since, uint64_t retry);

/* Whenever the client has taken all that was written. */
void rv_events_listener_go_on(rv_events_listener_t *l);

/* Has those go on for whom that was not possible, since a process that is stopped held the ring. */
void rv_events_listener_retry(void);

/* It is told to come again soon, and where it stands. */
void rv_events_listener_send_away(rv_events_listener_t *l);

#endif
