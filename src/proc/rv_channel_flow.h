/*
 * rv_channel_flow: how much of what weighs more than its bytes is on its way.
 *
 * A message can stand for far more than its own bytes, which are all that the kernel bounds. So the
 * channel lets no more of such weight go than its limit before the receiver has taken it.
 */
#ifndef RV_CHANNEL_FLOW_H
#define RV_CHANNEL_FLOW_H

#include "rv_base.h"

#include <stddef.h>

typedef struct {
    size_t weight;   /* that has gone, and perhaps not come */
    size_t outgoing; /* bytes in the socket when it was last looked at */
    uint64_t taken;  /* bytes that have been seen to leave it, at least */
    uint64_t end;    /* of taken, when the last message with weight has come */
} rv_channel_flow_t;

/* Whether a message of this weight may go: nothing is on its way, or no more than `limit` with
 * it. */
int rv_channel_flow_allows(rv_channel_flow_t *flow, int socket, size_t weight, size_t limit);

/* It has gone. */
void rv_channel_flow_add(rv_channel_flow_t *flow, int socket, size_t weight);

#endif
