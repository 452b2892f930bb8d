/*
 * rv_channel_flow: how much of what weighs more than its bytes is on its way.
 *
 * Nobody tells a sender that its message was taken, but the socket says how many bytes are in it,
 * those of all its writers. Whenever they are fewer than at the last look, at least so many
 * have been taken; and a message has come when as many have been taken since as there were with
 * it. Others may write meanwhile and hide a part of that: then it takes longer to find out, and
 * is never said too early. Where the kernel does not tell, nothing is held.
 */
#include "rv_channel_flow.h"

#include <sys/ioctl.h>

static size_t
count_outgoing(int socket)
{
    int bytes = 0;

    return ioctl(socket, TIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t) bytes : 0;
}

static void
look(rv_channel_flow_t *flow, int socket)
{
    size_t now = count_outgoing(socket);

    if (now < flow->outgoing)
        flow->taken += flow->outgoing - now;
    flow->outgoing = now;
    if (now == 0 || flow->taken >= flow->end)
        flow->weight = 0;
}

int
rv_channel_flow_allows(rv_channel_flow_t *flow, int socket, size_t weight, size_t limit)
{
    if (weight == 0 || flow->weight == 0)
        return 1;

    look(flow, socket);
    return flow->weight == 0 || (weight <= limit && flow->weight <= limit - weight);
}

void
rv_channel_flow_add(rv_channel_flow_t *flow, int socket, size_t weight)
{
    if (weight == 0)
        return;

    flow->outgoing = count_outgoing(socket);
    flow->weight += weight;
    flow->end = flow->taken + flow->outgoing;
}
