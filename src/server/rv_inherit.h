/*
 * rv_inherit: listening sockets that were open before this process began.
 *
 * They are put into a cycle that has nothing else. Given to rv_cycle_open as the
 * old one, it hands them on to the first generation, as a reload hands on
 * those of the generation before.
 */
#ifndef RV_INHERIT_H
#define RV_INHERIT_H

#include "rv_cycle.h"

/* A cycle without anything, for rv_cycle_free(cycle, 0) when it has served; NULL and ENOMEM. */
rv_cycle_t *rv_inherit_create(void);

/*
 * Adds the listening socket fd, which the cycle takes over, to those of its
 * address. Returns that listener, of which the caller may know more than can be asked of a socket
 * (backlog, mode, bound_path). NULL: fd is still the caller's, *why says in words why.
 */
rv_listener_t *rv_inherit_listener(rv_cycle_t *given, int fd, const char **why);

/*
 * Adds the sockets that a service manager has passed and for which `wanted`
 * has a "listen"; others are closed, with a warning. RV_ERROR: not enough memory.
 */
int rv_inherit_activation(rv_cycle_t *given, const rv_cycle_t *wanted);

#endif
