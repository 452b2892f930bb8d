/*
 * rv_workers: the master's hand on the worker processes.
 *
 * Forks them into a cycle's worker numbers, takes their READY, sends orders,
 * buries the dead. What all this means for a generation is rv_master's.
 */
#ifndef RV_WORKERS_H
#define RV_WORKERS_H

#include "rv_control.h"
#include "rv_cycle.h"
#include "rv_process.h"

typedef struct {
    rv_loop_t *loop;
    int liveness[2]; /* workers watch [0] for the end of [1] */
    int unstarted;   /* some worker that is READY has not got its START, */
    int unknown;     /* or has, and some other has not taken its OPEN */

    /* in a child: gives up all that is the master's, but this cycle */
    void (*forget)(void *data, const rv_cycle_t *cycle);
    void *data;
} rv_workers_t;

/* How often each worker number has died is counted on from what these counters say. */
void rv_workers_inherit(const rv_stats_t *st);

/* Forks every worker number of the cycle that nobody fills and that is due. A
 * fork that fails is logged and tried again later. */
void rv_workers_fill(rv_workers_t *ws, rv_cycle_t *cycle, int64_t now);

/* When the next number is due, ms; INT64_MAX: none waits. */
int64_t rv_workers_due(const rv_cycle_t *cycle);

/* Takes what workers have sent. */
void rv_workers_receive(rv_workers_t *ws);

/* How many worker numbers are filled by a worker that is READY. */
unsigned rv_workers_ready(const rv_cycle_t *cycle);

/* Sends START to the cycle's workers that are READY. */
void rv_workers_start(rv_workers_t *ws, const rv_cycle_t *cycle);

/* Tells workers that were started before all others knew them who does by now. */
void rv_workers_introduce(rv_workers_t *ws);

/* Sends QUIT or TERMINATE to the cycle's workers; what has not gone by kill_at (ms) is killed. */
void rv_workers_stop(const rv_cycle_t *cycle, rv_control_type_t order, int64_t kill_at);

/* The numbers of the cycle's workers are free: whoever has one goes on to its end without. */
void rv_workers_let_go(rv_cycle_t *cycle);

/* Takes the highest worker number away; who fills it is told the same, and has until kill_at. */
void rv_workers_remove(rv_cycle_t *cycle, rv_control_type_t order, int64_t kill_at);

/* Says once more whose the rows of the cycle's workers are: they were cut off. */
void rv_workers_enter_rows(const rv_cycle_t *cycle);

/* Kills what is overdue; returns when the next one is, INT64_MAX: none. */
int64_t rv_workers_kill_overdue(int64_t now);

/* Logs the death of a worker, with this status of waitpid: how, when, and what it was doing. */
void rv_workers_tell(const rv_process_t *p, const rv_cycle_t *cycle, int status, int64_t now);

/*
 * Of a dead worker: takes what it has sent, folds its counters, tells the others, frees the slot,
 * and sets when its number is due again.
 */
void rv_workers_bury(rv_workers_t *ws, rv_process_t *p, rv_cycle_t *cycle, int64_t now);

/* "exited with code 1" or "was killed by signal 9", in `text`. */
#define RV_WORKERS_TEXT 128
const char *rv_workers_describe(int status, char text[RV_WORKERS_TEXT]);

#endif
