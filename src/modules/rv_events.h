/*
 * rv_events: messages by topic, to whoever listens at whatever worker.
 */
#ifndef RV_EVENTS_H
#define RV_EVENTS_H

#include "rv_events_ring.h"
#include "rv_http_request.h"

/* The topic that a request names. RV_OK, or the status to answer. */
int rv_events_topic(const rv_http_request_t *r, char topic[RV_EVENTS_RING_TOPIC + 1]);

/* Bytes of the largest message. */
size_t rv_events_largest(void);

/*
 * Keeps a message, and has it delivered to all who listen to the topic. Once this has
 * returned RV_OK it is not lost by the death of this worker. RV_ERROR: as rv_events_ring_append.
 */
int rv_events_publish(const char *topic, const char *text, size_t length, uint64_t *id);

#endif
