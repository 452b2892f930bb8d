/*
 * rv_listener_inherit: listening sockets that somebody else has bound.
 *
 * They are made into listeners that rv_listener_open takes as old ones, so
 * that a socket which was passed is carried over just as one of a generation
 * before. The file of a unix socket stays the property of who bound it.
 */
#ifndef RV_LISTENER_INHERIT_H
#define RV_LISTENER_INHERIT_H

#include "rv_listener.h"

/*
 * Asks the socket what it is: *ls becomes a listener with its address and
 * options that has no descriptor yet. RV_ERROR: no connections can be accepted
 * from it, *why is a constant text.
 */
int rv_listener_inherit_look(rv_listener_t *ls, int fd, const char **why);

/* Adds the socket, which is the listener's then, to those of this address.
 * RV_ERROR and errno: it is still the caller's. */
int rv_listener_inherit_add(rv_listener_t *ls, int fd);

#endif
