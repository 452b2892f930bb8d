/*
 * rv_heritage: what a master hands over to the one that is to take its place.
 *
 * Over an exec only descriptors and text survive. One variable of the environment says
 * which descriptor is what: listening sockets, zones, and the pipes by which the
 * two masters know of each other.
 */
#ifndef RV_HERITAGE_H
#define RV_HERITAGE_H

#include "rv_cycle.h"

#define RV_HERITAGE_VARIABLE "REEVE_HERITAGE"

typedef struct {
    pid_t master;        /* who hands over; 0: nobody */
    unsigned generation; /* the youngest of its */
    int ready;           /* takes what goes wrong, as text, and a NUL byte when it went well */
    int alive;           /* readable once the other master is gone */
    int keeper;          /* takes pids of masters; -1: nobody keeps them (rv_keeper.h) */
    char *text;          /* what the variable said */
} rv_heritage_t;

/* --- who hands over ---------------------------------------------------------------- */

/* The value of the variable for what the cycle has; the caller's to free. NULL: not enough
 * memory. */
char *rv_heritage_write(const rv_heritage_t *h, const rv_cycle_t *cycle);

/* In the child, before exec: all that the text names is to survive it. */
int rv_heritage_keep(const char *text);

/* --- who takes over ---------------------------------------------------------------- */

/*
 * Takes the variable out of the environment. RV_OK: h->master is who hands over, or 0; the
 * pipes are this process's. RV_ERROR: it is malformed, or names what is not open.
 */
int rv_heritage_take(rv_heritage_t *h);

/*
 * Puts what was handed over into `given`, an empty cycle, so that `wanted` can be opened with it as
 * the old one. What `wanted` has no use for is closed. RV_OK; a zone that is not
 * understood is left out, with a warning. RV_ERROR: `reason` says why.
 */
int rv_heritage_give(const rv_heritage_t *h, rv_cycle_t *given, const rv_cycle_t *wanted,
    char reason[RV_CYCLE_REASON]);

#endif
