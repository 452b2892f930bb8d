/*
 * rv_events_ring: the zone "events", where messages are kept for those who come late or again.
 *
 * All workers have it, of this generation and others, and so has a new master after an upgrade.
 */
#ifndef RV_EVENTS_RING_H
#define RV_EVENTS_RING_H

#include "rv_cycle.h"
#include "rv_replay.h"

#define RV_EVENTS_RING_BATCH (80 * 1024)   /* room for what rv_events_ring_read reads */
#define RV_EVENTS_RING_LARGEST (64 * 1024) /* bytes of a message's text */
#define RV_EVENTS_RING_TOPIC 64            /* and of its topic */

/* In configure: asks for the zone. */
int rv_events_ring_add(rv_cycle_t *cycle);

/* In init_worker; with none, the functions below fail. */
void rv_events_ring_use(const rv_cycle_t *cycle);

/* Adds a message. RV_ERROR: EMSGSIZE, it is too large for the zone; ETIMEDOUT, a process that has
 * stopped holds it; otherwise the zone is lost. */
int rv_events_ring_append(const char *topic, const char *text, size_t length, uint64_t *id);

/* The id of the youngest message. Takes no lock. */
uint64_t rv_events_ring_last(void);

/* As rv_replay_read, *length is what there is. RV_ERROR: it cannot be read now, as above; the
 * cursor is where it was. */
int rv_events_ring_read(
    rv_replay_cursor_t *cursor, uint64_t until, void *batch, size_t *length, int *lost);

#endif
