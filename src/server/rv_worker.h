/*
 * rv_worker: a worker process.
 *
 * Initialises, says READY, and after START accepts. Then it acts on what the
 * loop has noted: orders of the master, signals, the master's death.
 */
#ifndef RV_WORKER_H
#define RV_WORKER_H

#include "rv_balance.h"
#include "rv_cycle.h"

struct rv_worker_s {
    rv_cycle_t *cycle;
    rv_loop_t *loop;
    rv_connections_t *connections;
    rv_balance_t *balance; /* NULL: off */
    rv_stats_t *stats;
    unsigned number; /* 0..n-1 in its generation */

    rv_loop_watch_t *signals;
    rv_loop_watch_t *beat;  /* ends a step of the loop each second */
    rv_loop_watch_t *alive; /* of liveness; NULL once the master is dead */
    int liveness;           /* readable when the master is dead; -1: there is none */
    int signalled;          /* noted by callbacks, acted on between steps */
    int readable;
    int behind; /* there are more messages than were taken in this step */
    int deaf;   /* nobody can send it anything any more */
    int orphaned;
    int null; /* /dev/null until the worker has left the terminal; -1 */
    int started;
    int draining;
    int done;
    int64_t deadline; /* ms: when draining ends */
};

/* So many workers there are in its generation. */
void rv_worker_set_workers(rv_worker_t *w, unsigned workers);

/* Accepts from now on, unless it drains. Once more is allowed. */
void rv_worker_start(rv_worker_t *w);

/* Stops accepting and finishes what there is; `why` is for the log. Once more is allowed. */
void rv_worker_drain(rv_worker_t *w, const char *why);

/*
 * Runs worker `number` of the cycle in this process, which was just forked
 * with all signals blocked and has this row of the statistics; liveness is taken over. Returns
 * the exit status.
 */
int rv_worker_run(rv_cycle_t *cycle, unsigned number, unsigned row, int liveness);

/* The same without a master, for master_process = off: signals are all that it
 * obeys, and logs are reopened here. Calls ready(data) once it accepts. */
int rv_worker_run_alone(rv_cycle_t *cycle, void (*ready)(void *), void *data);

#endif
