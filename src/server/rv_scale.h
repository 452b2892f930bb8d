/*
 * rv_scale: one worker more, one fewer, in the generation in force.
 *
 * The other workers are not touched. What was added or removed stays so over reloads,
 * until the configuration says another number.
 */
#ifndef RV_SCALE_H
#define RV_SCALE_H

#include "rv_workers.h"

typedef struct {
    rv_workers_t *workers;
    unsigned adds; /* told, and not yet begun */
    unsigned removes;
    int adding;    /* the highest number is not yet in service */
    int listening; /* its sockets listen */
    int64_t until; /* ms: it has until then to get ready */
} rv_scale_t;

/* Takes the signals that have come; how many actions wait. */
unsigned rv_scale_take(rv_scale_t *s);

/*
 * Begins what waits, one at a time, and goes on with what was begun; the cycle is
 * the one in force, and none is pending. Before workers that are READY get
 * their START. Outcomes are logged and entered into the cycle's statistics.
 */
void rv_scale_act(rv_scale_t *s, rv_cycle_t *cycle, int64_t now);

/* Instead: what waits is refused. What was begun goes on when it may. */
void rv_scale_refuse(rv_scale_t *s, const rv_cycle_t *cycle, const char *reason);

/* The daemon ends: what waits and what was begun has failed. */
void rv_scale_stop(rv_scale_t *s, const rv_cycle_t *cycle);

/* Closes sockets of workers that are no more, when it is time. Not while a generation is pending,
 * or another master has them too. */
void rv_scale_retire(const rv_cycle_t *cycle);

/* After another master has used the same sockets: clients come to those of the cycle's workers. */
void rv_scale_reclaim(const rv_cycle_t *cycle);

/* When to act next, ms; INT64_MAX: not before something happens. */
int64_t rv_scale_due(const rv_scale_t *s);

#endif
