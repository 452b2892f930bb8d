/*
 * rv_listener_group: which of the sockets of an address get new clients.
 *
 * Sockets that share an address (reuseport) are a group, numbered in the order
 * in which they began to listen. One that is closed leaves its number to the
 * last, so a group is to be closed from the end.
 */
#ifndef RV_LISTENER_GROUP_H
#define RV_LISTENER_GROUP_H

#include "rv_base.h"

/*
 * From now on clients come to the first `count` sockets of fd's group alone, to each
 * as often as to the others. RV_ERROR: all is as it was; this kernel cannot, or fd is not in a
 * group (one that listened before it shared its address, until another one has joined it).
 */
int rv_listener_group_limit(int fd, unsigned count);

/* From now on clients come to all of fd's group, which has `count` sockets. */
void rv_listener_group_free(int fd, unsigned count);

/* How many clients wait to be accepted at fd; -1: the kernel does not say. */
int rv_listener_group_waiting(int fd);

#endif
