/*
 * rv_activation: sockets that a service manager opened for this process.
 *
 * It bound them before this process was started, and tells of them in
 * LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)).
 */
#ifndef RV_ACTIVATION_H
#define RV_ACTIVATION_H

#include "rv_base.h"

#define RV_ACTIVATION_MAX 1024 /* sockets */

typedef struct {
    int number;       /* of the descriptor, as it was passed */
    int fd;           /* the caller's, who sets it to -1; -1: nothing was passed by that number */
    const char *name; /* "unknown" where it was given none */
} rv_activation_t;

/*
 * Reads the variables, and removes them from the environment: they are for this
 * process alone. To be called once, before any fork. RV_ERROR: they are for
 * this process, but LISTEN_FDS is no number up to RV_ACTIVATION_MAX.
 */
int rv_activation_take(void);

/* What was passed, one after the other; NULL after the last. The descriptors are
 * close-on-exec and non-blocking. */
rv_activation_t *rv_activation_at(unsigned i);

#endif
