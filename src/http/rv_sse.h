/*
 * rv_sse: server-sent events, as bytes (text/event-stream).
 */
#ifndef RV_SSE_H
#define RV_SSE_H

#include "rv_base.h"

/*
 * An event with this id, whose data is the text: its lines, however they end, are lines of the
 * data. Written to `out`, where that is not NULL. Returns the bytes, at most
 * RV_SSE_FRAME + RV_SSE_WORST * length.
 */
size_t rv_sse_event(char *out, uint64_t id, const char *text, size_t length);

#define RV_SSE_FRAME 40
#define RV_SSE_WORST 7

#endif
